package remotewrite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

// maxRead bounds the buckets that are read of one histogram before those beyond [slo.MaxBuckets] are merged.
const maxRead = 1 << 13

// errBuckets says that the buckets of a histogram, and no more than those, make no sense.
var errBuckets = errors.New("the histogram's buckets do not fit")

// native is a histogram of the request with its buckets, and what they are read from.
type native struct {
	slo.Histogram
	positive, negative side
}

// A side holds the buckets above or below zero: spans of them that stand together, and their counts.
type side struct {
	spans  []span
	deltas []int64   // of counts that are whole, each to the one before
	counts []float64 // of others
}

type span struct {
	offset int32
	length uint32
}

// addBuckets takes the buckets of a histogram, if some definition needs them. It returns the start of the histogram's count and sum.
func (k *work) addBuckets(base ingest.Hash, b []byte, h *histogram) (bus.Time, error) {
	hash := base.Join(ingest.Hash{A: 7, B: 7})
	ref, known := k.arrival.HistogramHash(hash)
	if !known {
		ls, err := k.suffixed(slo.NativeSuffix)
		if err != nil {
			return 0, err
		}
		if ref, err = k.arrival.LearnHistogram(hash, ls, k.flags); err != nil {
			k.note(err.Error())
		}
	}
	if !ref.Wanted() {
		return h.start, nil
	}
	if err := k.countParts(ref.SamplesMax()); err != nil {
		return 0, err
	}
	var of *slo.Histogram
	if math.Float64bits(h.sum) != ingest.StaleMarker {
		of = &k.native.Histogram
		if err := k.native.read(b); err != nil {
			return 0, fmt.Errorf("%w: %w", errBuckets, err)
		}
	}
	return k.arrival.AddHistogram(ref, hash, h.t, h.start, k.flags, of, func(hash ingest.Hash, more bus.Labels) (ingest.Ref, error) {
		return k.learn(hash, slo.NativeSuffix, more...)
	})
}

// countParts counts the memory that the samples of a histogram's parts will take in the arrival.
func (k *work) countParts(n int) error {
	const chunk, bytes = 4096, 32
	if k.parts += n; k.parts < chunk {
		return nil
	}
	k.parts -= chunk
	return k.loan.take(chunk * bytes)
}

func (n *native) read(b []byte) error {
	n.Histogram = slo.Histogram{Positive: n.Positive[:0], Negative: n.Negative[:0], Bounds: n.Bounds[:0]}
	n.positive.reset()
	n.negative.reset()
	ok := true
	r := reader{b: b}
	for r.next() {
		switch {
		case r.is(1, wireVarint):
			n.Count = float64(r.value)
		case r.is(2, wire64):
			n.Count = r.float()
		case r.is(4, wireVarint):
			n.Schema = int32(zigzag(r.value))
		case r.is(5, wire64):
			n.ZeroThreshold = r.float()
		case r.is(6, wireVarint):
			n.Zero = float64(r.value)
		case r.is(7, wire64):
			n.Zero = r.float()
		case r.num >= 8 && r.num <= 10:
			ok = n.negative.field(&r, r.num-8) && ok
		case r.num >= 11 && r.num <= 13:
			ok = n.positive.field(&r, r.num-11) && ok
		case r.num == 16:
			n.Bounds, ok = appendFloats(n.Bounds, &r, ok)
		}
	}
	if r.bad || !ok {
		return errors.New("they are damaged")
	}
	if n.Positive, ok = n.positive.buckets(n.Positive); !ok {
		return errors.New("spans and counts differ")
	}
	if n.Negative, ok = n.negative.buckets(n.Negative); !ok {
		return errors.New("spans and counts differ")
	}
	return n.Normalize()
}

func zigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func (s *side) reset() { s.spans, s.deltas, s.counts = s.spans[:0], s.deltas[:0], s.counts[:0] }

// field reads one field of a side: spans, deltas or counts, in this order.
func (s *side) field(r *reader, which uint32) (ok bool) {
	switch which {
	case 0:
		if r.wire != wireBytes || len(s.spans) >= maxRead {
			return false
		}
		var sp span
		in := reader{b: r.data}
		for in.next() {
			switch {
			case in.is(1, wireVarint):
				sp.offset = int32(zigzag(in.value))
			case in.is(2, wireVarint):
				sp.length = uint32(in.value)
			}
		}
		s.spans = append(s.spans, sp)
		return !in.bad
	case 1:
		if r.wire == wireVarint {
			s.deltas = append(s.deltas, zigzag(r.value))
			return len(s.deltas) <= maxRead
		}
		for b := r.data; r.wire == wireBytes && len(b) > 0; {
			v, n := binary.Uvarint(b)
			if n <= 0 || len(s.deltas) >= maxRead {
				return false
			}
			s.deltas, b = append(s.deltas, zigzag(v)), b[n:]
		}
		return r.wire == wireBytes
	}
	s.counts, ok = appendFloats(s.counts, r, true)
	return ok
}

// appendFloats appends the numbers of a repeated double, packed or one at a time.
func appendFloats(dst []float64, r *reader, before bool) ([]float64, bool) {
	switch {
	case r.wire == wire64 && len(dst) < maxRead:
		return append(dst, r.float()), before
	case r.wire != wireBytes || len(r.data)%8 != 0 || len(dst)+len(r.data)/8 > maxRead:
		return dst, false
	}
	for b := r.data; len(b) > 0; b = b[8:] {
		dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
	return dst, before
}

// buckets appends the buckets of a side, or returns false where there are not as many counts as spans say.
func (s *side) buckets(dst []slo.Bucket) ([]slo.Bucket, bool) {
	n, whole := len(s.counts), len(s.deltas) > 0
	if whole {
		n = len(s.deltas)
	}
	index, at, count := int64(0), 0, int64(0)
	for _, sp := range s.spans {
		index += int64(sp.offset)
		if int64(sp.length) > int64(n-at) || index < math.MinInt32/2 || index+int64(sp.length) > math.MaxInt32/2 {
			return dst, false
		}
		for range sp.length {
			b := slo.Bucket{Index: int32(index)}
			if whole {
				count += s.deltas[at]
				b.Count = float64(count)
			} else {
				b.Count = s.counts[at]
			}
			dst = append(dst, b)
			index, at = index+1, at+1
		}
	}
	return dst, at == n
}
