package slo

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// Schemas of native histograms. In schema s each bucket's bounds are a factor 2^(2^-s) apart: bucket i holds values above 2^((i-1)·2^-s)
// and up to 2^(i·2^-s). (Prometheus, native histograms specification, "Schema"; in OTLP the scale is the schema and bucket i is i+1.)
const (
	CoarsestSchema = -4
	FinestSchema   = 8
	CustomBuckets  = -53 // bounds are listed
)

// MaxBuckets is how many buckets of a histogram are looked at: the 160 on either side that OpenTelemetry's SDKs make at most. One
// that has more is merged to a coarser schema until it fits, which loses no count.
const MaxBuckets = 320

// A Histogram is one sample of a native (Prometheus) or exponential (OTLP) histogram.
type Histogram struct {
	Schema        int32 // from CoarsestSchema on, or CustomBuckets
	Count         float64
	Zero          float64 // observations at most ZeroThreshold away from 0
	ZeroThreshold float64
	Positive      []Bucket
	Negative      []Bucket  // by the size of the values; none with CustomBuckets
	Bounds        []float64 // CustomBuckets: bucket i holds values above Bounds[i-1] and up to Bounds[i]; the last one has no bound
}

// A Bucket is the number of observations in one bucket.
type Bucket struct {
	Index int32
	Count float64
}

// Normalize sorts the buckets, drops empty ones and brings the schema into range. The error says what no histogram can have.
func (h *Histogram) Normalize() error {
	var err error
	for _, bs := range []*[]Bucket{&h.Positive, &h.Negative} {
		*bs, err = normalBuckets(*bs)
		if err != nil {
			return err
		}
	}
	switch {
	case !countable(h.Count) || !countable(h.Zero):
		return errors.New("a count is negative or not finite")
	case !(h.ZeroThreshold >= 0) || math.IsInf(h.ZeroThreshold, 1):
		return errors.New("the zero threshold is negative or not finite")
	case h.Schema == CustomBuckets:
		return h.checkCustom()
	case h.Schema < CoarsestSchema:
		return fmt.Errorf("the schema %d is below %d", h.Schema, CoarsestSchema)
	}
	h.coarsen(min(h.Schema, FinestSchema))
	for len(h.Positive)+len(h.Negative) > MaxBuckets && h.Schema > CoarsestSchema {
		h.coarsen(h.Schema - 1)
	}
	if n := len(h.Positive) + len(h.Negative); n > MaxBuckets {
		return fmt.Errorf("%d buckets; at most %d are possible", n, MaxBuckets)
	}
	return nil
}

func countable(v float64) bool { return v >= 0 && v <= maxValue }

func normalBuckets(bs []Bucket) ([]Bucket, error) {
	for _, b := range bs {
		if !countable(b.Count) {
			return bs, errors.New("the count of a bucket is negative or not finite")
		}
	}
	bs = slices.DeleteFunc(bs, func(b Bucket) bool { return b.Count == 0 })
	byIndex := func(a, b Bucket) int { return cmp.Compare(a.Index, b.Index) }
	if !slices.IsSortedFunc(bs, byIndex) {
		slices.SortFunc(bs, byIndex)
	}
	for i := range bs {
		if i > 0 && bs[i].Index == bs[i-1].Index {
			return bs, fmt.Errorf("the bucket %d stands twice", bs[i].Index)
		}
	}
	return bs, nil
}

func (h *Histogram) checkCustom() error {
	switch n := len(h.Positive); {
	case len(h.Bounds) > MaxBuckets:
		return fmt.Errorf("%d bounds of buckets; at most %d are possible", len(h.Bounds), MaxBuckets)
	case len(h.Negative) > 0 || n > 0 && (h.Positive[0].Index < 0 || int(h.Positive[n-1].Index) > len(h.Bounds)):
		return errors.New("a bucket has no bound")
	}
	for i, b := range h.Bounds {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= h.Bounds[i-1] {
			return errors.New("the bounds of the buckets do not rise")
		}
	}
	return nil
}

// coarsen merges buckets until the histogram has the schema, which is not above its own.
func (h *Histogram) coarsen(schema int32) {
	by := min(h.Schema-schema, 31)
	h.Positive, h.Negative = mergeBuckets(h.Positive, by), mergeBuckets(h.Negative, by)
	h.Schema = schema
}

// coarser returns the index, by schemas coarser, of the bucket that holds bucket i.
func coarser(i, by int32) int32 { return int32((int64(i)-1)>>by + 1) }

func mergeBuckets(bs []Bucket, by int32) []Bucket {
	if by == 0 {
		return bs
	}
	out := bs[:0]
	for _, b := range bs {
		b.Index = coarser(b.Index, by)
		if n := len(out); n > 0 && out[n-1].Index == b.Index {
			out[n-1].Count += b.Count
		} else {
			out = append(out, b)
		}
	}
	return out
}

// CopyFrom makes h the same as other, in its own memory.
func (h *Histogram) CopyFrom(other *Histogram) {
	p, n, b := h.Positive[:0], h.Negative[:0], h.Bounds[:0]
	*h = *other
	h.Positive, h.Negative, h.Bounds = append(p, other.Positive...), append(n, other.Negative...), append(b, other.Bounds...)
}

// RestartedAfter reports whether h cannot be a later state of a histogram that was old: it began anew in between, as a whole. A coarser
// schema, a wider zero bucket and other custom bounds are no sign of it. (Prometheus: FloatHistogram.DetectReset.)
func (h *Histogram) RestartedAfter(old *Histogram) bool {
	custom := h.Schema == CustomBuckets
	switch {
	case h.Count < old.Count:
		return true
	case custom != (old.Schema == CustomBuckets):
		return true
	case custom:
		return slices.Equal(h.Bounds, old.Bounds) && fell(h.Positive, old.Positive, 0)
	case h.Schema > old.Schema || h.ZeroThreshold < old.ZeroThreshold || h.Zero < old.Zero:
		return true
	}
	positive, negative := old.Positive, old.Negative
	if h.ZeroThreshold > old.ZeroThreshold {
		positive, negative = aboveZero(positive, old.Schema, h.ZeroThreshold), aboveZero(negative, old.Schema, h.ZeroThreshold)
	}
	by := old.Schema - h.Schema
	return fell(h.Positive, positive, by) || fell(h.Negative, negative, by)
}

// aboveZero leaves out the buckets that a zero bucket of this width has taken in.
func aboveZero(bs []Bucket, schema int32, threshold float64) []Bucket {
	return bs[sort.Search(len(bs), func(i int) bool { return bucketBound(bs[i].Index-1, schema) >= threshold }):]
}

// bucketBound returns the upper bound of a bucket.
func bucketBound(index, schema int32) float64 {
	return math.Exp2(math.Ldexp(float64(index), int(-schema)))
}

// fell reports whether a bucket of old holds less now; old ones are by schemas finer.
func fell(now, old []Bucket, by int32) bool {
	for len(old) > 0 {
		i, sum := coarser(old[0].Index, by), 0.0
		for len(old) > 0 && coarser(old[0].Index, by) == i {
			sum, old = sum+old[0].Count, old[1:]
		}
		for len(now) > 0 && now[0].Index < i {
			now = now[1:]
		}
		if len(now) == 0 || now[0].Index > i || now[0].Count < sum {
			return true
		}
	}
	return false
}

// below returns the observations in buckets with a lower index.
func below(bs []Bucket, index int32) (sum float64, rest []Bucket) {
	n := sort.Search(len(bs), func(i int) bool { return bs[i].Index >= index })
	for _, b := range bs[:n] {
		sum += b.Count
	}
	return sum, bs[n:]
}

func total(bs []Bucket) float64 {
	sum, _ := below(bs, math.MaxInt32)
	return sum
}
