package slo

import (
	"math"
	"math/rand/v2"
	"testing"
)

// counted adds up what the parts of a histogram count at or below the threshold.
func counted(t *testing.T, c *Cut, h *Histogram) float64 {
	t.Helper()
	sum := 0.0
	c.Parts(h, func(p Part, v float64) {
		f, ok := c.factor(p.Text())
		if !ok {
			t.Fatalf("part %q has no factor", p.Text())
		}
		sum += f * v
	})
	return sum
}

// The parts of a histogram would not add up to what Prometheus' histogram_fraction says of it, or whole events would not stay whole.
func TestPartsAddUp(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		h := Histogram{Schema: int32(r.IntN(schemas)) + CoarsestSchema, ZeroThreshold: []float64{0, 1e-30, 1e-3, 0.2, 0.31}[r.IntN(5)], Zero: float64(r.IntN(4))}
		c := NewCut(MustDecimal([]string{"0.3", "0.25", "1", "17", "0.001", "1e9", "65536"}[r.IntN(7)]))
		at, _ := c.in(h.Schema)
		want := h.Zero
		for i := at - 30; i < at+30; i++ {
			if n := float64(r.IntN(5)); n > 0 && bucketBound(i-1, h.Schema) >= h.ZeroThreshold {
				h.Positive = append(h.Positive, Bucket{i, n})
				f := (math.Log2(c.At) - math.Log2(bucketBound(i-1, h.Schema))) / (math.Log2(bucketBound(i, h.Schema)) - math.Log2(bucketBound(i-1, h.Schema)))
				want += n * min(max(f, 0), 1)
			}
		}
		if h.ZeroThreshold > c.At {
			want += h.Zero * (c.At/h.ZeroThreshold - 1) // linear, from 0 since there is nothing below
		}
		if got := counted(t, c, &h); math.Abs(got-want) > 1e-5 {
			t.Fatalf("schema %d, at %s, zero %g: %v, want %v", h.Schema, c.Text, h.ZeroThreshold, got, want)
		}
	}
}

// An event that is surely good or bad would count as a little less or more.
func TestWholeEventsStayWhole(t *testing.T) {
	c := NewCut(MustDecimal("0.3"))
	for s := int32(CoarsestSchema); s <= FinestSchema; s++ {
		at, _ := c.in(s)
		for i := at - 40; i < at+40; i++ {
			if i == at {
				continue
			}
			h := Histogram{Schema: s, Positive: []Bucket{{i, 1e6 + 1}}}
			want := 0.0
			if i < at {
				want = 1e6 + 1
			}
			if got := counted(t, c, &h); got != want {
				t.Fatalf("schema %d, bucket %d of %d: %v, want %v", s, i, at, got, want)
			}
		}
		lower, upper := c.Bounds(s)
		if !(lower < 0.3 && 0.3 <= upper) {
			t.Errorf("schema %d: the bucket from %g to %g does not hold 0.3", s, lower, upper)
		}
	}
	if f := NewCut(MustDecimal("0.25")); counted(t, f, &Histogram{Schema: 3, Positive: []Bucket{{-16, 7}}}) != 7 {
		t.Error("a threshold on a bucket's bound is not exact")
	}
}

// Histograms with bounds of their own would be counted wrongly.
func TestCustomBounds(t *testing.T) {
	h := Histogram{Schema: CustomBuckets, Bounds: []float64{0.1, 0.25, 0.5}, Positive: []Bucket{{0, 1}, {1, 2}, {2, 4}, {3, 8}}}
	for at, want := range map[string]float64{"0.05": 0.5, "0.1": 1, "0.25": 3, "0.375": 5, "0.5": 7, "3": 7} {
		if got := counted(t, NewCut(MustDecimal(at)), &h); math.Abs(got-want) > 1e-5 {
			t.Errorf("at %s: %v, want %v", at, got, want)
		}
	}
}

// A histogram that began anew would be taken for one that went on, or the other way round.
func TestRestartedAfter(t *testing.T) {
	old := Histogram{Schema: 1, Count: 10, Zero: 1, ZeroThreshold: 1e-3, Positive: []Bucket{{-20, 1}, {1, 3}, {2, 2}, {5, 3}}}
	for name, c := range map[string]struct {
		now  Histogram
		want bool
	}{
		"the same":             {old, false},
		"more":                 {Histogram{Schema: 1, Count: 12, Zero: 1, ZeroThreshold: 1e-3, Positive: []Bucket{{-20, 1}, {1, 3}, {2, 3}, {3, 1}, {5, 3}}}, false},
		"fewer in all":         {Histogram{Schema: 1, Count: 9, Zero: 1, ZeroThreshold: 1e-3, Positive: old.Positive}, true},
		"one bucket fell":      {Histogram{Schema: 1, Count: 90, Zero: 9, ZeroThreshold: 1e-3, Positive: []Bucket{{-20, 9}, {1, 30}, {2, 40}, {5, 2}}}, true},
		"one bucket is gone":   {Histogram{Schema: 1, Count: 90, Zero: 9, ZeroThreshold: 1e-3, Positive: []Bucket{{-20, 9}, {1, 30}, {5, 42}}}, true},
		"the zero bucket fell": {Histogram{Schema: 1, Count: 90, ZeroThreshold: 1e-3, Positive: []Bucket{{-20, 9}, {1, 30}, {2, 40}, {5, 12}}}, true},
		"coarser":              {Histogram{Schema: 0, Count: 10, Zero: 1, ZeroThreshold: 1e-3, Positive: []Bucket{{-10, 1}, {1, 5}, {3, 3}}}, false},
		"coarser and fewer":    {Histogram{Schema: 0, Count: 10, Zero: 1, ZeroThreshold: 1e-3, Positive: []Bucket{{-10, 1}, {1, 4}, {3, 4}}}, true},
		"finer":                {Histogram{Schema: 2, Count: 30, Zero: 1, ZeroThreshold: 1e-3, Positive: []Bucket{{1, 29}}}, true},
		"a wider zero bucket":  {Histogram{Schema: 1, Count: 10, Zero: 2, ZeroThreshold: 1.0 / 512, Positive: []Bucket{{1, 3}, {2, 2}, {5, 3}}}, false},
		"a narrower one":       {Histogram{Schema: 1, Count: 10, Zero: 2, ZeroThreshold: 1e-4, Positive: old.Positive}, true},
	} {
		if got := c.now.RestartedAfter(&old); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A damaged histogram would be counted, or a large one refused.
func TestNormalize(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for name, h := range map[string]Histogram{
		"count":     {Count: -1},
		"bucket":    {Positive: []Bucket{{1, nan}}},
		"twice":     {Positive: []Bucket{{1, 1}, {1, 1}}},
		"threshold": {ZeroThreshold: inf},
		"schema":    {Schema: -5},
		"no bound":  {Schema: CustomBuckets, Bounds: []float64{1}, Positive: []Bucket{{2, 1}}},
		"bounds":    {Schema: CustomBuckets, Bounds: []float64{1, 1}},
	} {
		if h.Normalize() == nil {
			t.Errorf("%s: is not refused", name)
		}
	}
	h := Histogram{Schema: 20, Count: 1000}
	for i := range int32(1000) {
		h.Positive = append(h.Positive, Bucket{(i*7919%1000 - 500) * 5000, 1})
	}
	if err := h.Normalize(); err != nil || len(h.Positive) > MaxBuckets || total(h.Positive) != 1000 || h.Schema > FinestSchema {
		t.Errorf("%d buckets of schema %d with %v: %v", len(h.Positive), h.Schema, total(h.Positive), err)
	}
}
