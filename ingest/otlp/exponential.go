package otlp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

// Field tags of ExponentialHistogramDataPoint.Buckets.
var (
	tagBucketsOffset = tagVarint(1)
	tagBucketsCounts = tagBytes(2)
	tagBucketsCount1 = tagVarint(2)
)

// maxRead bounds the buckets that are read of one side of a histogram before those beyond [slo.MaxBuckets] are merged.
const maxRead = 1 << 13

// errBuckets says that the buckets of an exponential histogram cannot be counted.
var errBuckets = errors.New("its buckets do not fit")

// native is what is read of an exponential histogram beside count and sum. The buckets are read when they are needed.
type native struct {
	slo.Histogram
	scale    int32
	zero     uint64
	width    float64
	up, down []byte
}

func (d *decoder) bucketField(f *field) {
	switch e := &d.exponential; f.tag {
	case tagExponentialScale:
		e.scale = int32(zigzag(f.num))
	case tagExponentialZero:
		e.zero = f.num
	case tagExponentialUp:
		e.up = f.bytes
	case tagExponentialDown:
		e.down = f.bytes
	case tagExponentialWidth:
		e.width = math.Float64frombits(f.num)
	}
}

func zigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// emitBuckets takes the buckets of the histogram, if some definition needs them, and moves the start of its other series where it
// began anew without saying so.
func (d *decoder) emitBuckets() error {
	h := d.hashPoint.Join(d.hash([]byte{byte(partNative)}))
	ref, known := d.out.HistogramHash(h)
	if !known {
		ls, err := d.seriesLabels(partNative, 0)
		if err != nil {
			return err
		}
		if ref, err = d.out.LearnHistogram(h, ls, d.metric.flags()); err != nil && d.tally.gate == nil {
			d.tally.gate = err
		}
	}
	if !ref.Wanted() {
		return nil
	}
	var of *slo.Histogram
	if d.point.flags&flagNoRecordedValue == 0 {
		of = &d.exponential.Histogram
		if err := d.exponential.read(d.point.count); err != nil {
			return fmt.Errorf("%w: %w", errBuckets, err)
		}
	}
	start, err := d.out.AddHistogram(ref, h, d.t, d.start, d.metric.flags(), of, d.learnPart)
	d.start = start
	return err
}

func (d *decoder) learnPart(h ingest.Hash, more bus.Labels) (ingest.Ref, error) {
	ls, err := d.seriesLabels(partNative, 0)
	if err != nil {
		return ingest.Ref{}, err
	}
	d.labels = append(ls, more...)
	ref, err := d.out.LearnHash(h, d.labels, d.metric.flags())
	if err != nil && d.tally.gate == nil {
		d.tally.gate = err // the ref counts it
	}
	return ref, nil
}

// read fills the histogram from its buckets.
func (e *native) read(count uint64) error {
	h := &e.Histogram
	*h = slo.Histogram{
		Schema: e.scale, Count: float64(count), Zero: float64(e.zero), ZeroThreshold: e.width, Positive: h.Positive[:0], Negative: h.Negative[:0],
	}
	var err error
	if h.Positive, err = appendBuckets(h.Positive, e.up); err != nil {
		return err
	}
	if h.Negative, err = appendBuckets(h.Negative, e.down); err != nil {
		return err
	}
	return h.Normalize()
}

// appendBuckets reads a Buckets message. OTLP's bucket i holds values above base^i, which is bucket i+1 in Prometheus' terms.
func appendBuckets(dst []slo.Bucket, b []byte) ([]slo.Bucket, error) {
	offset, n := int64(0), 0
	add := func(count uint64) {
		if n++; n <= maxRead && count > 0 {
			dst = append(dst, slo.Bucket{Index: int32(n), Count: float64(count)})
		}
	}
	c := cursor{b: b}
	for f := (field{}); c.next(&f); {
		switch f.tag {
		case tagBucketsOffset:
			offset = zigzag(f.num)
		case tagBucketsCount1:
			add(f.num)
		case tagBucketsCounts:
			for packed := f.bytes; len(packed) > 0; {
				v, k := binary.Uvarint(packed)
				if k <= 0 {
					return dst, errWire
				}
				packed = packed[k:]
				add(v)
			}
		}
	}
	switch {
	case c.bad:
		return dst, errWire
	case n > maxRead:
		return dst, fmt.Errorf("%d buckets on one side; at most %d are read", n, maxRead)
	case offset < math.MinInt32/2 || offset > math.MaxInt32/2:
		return dst, fmt.Errorf("the offset %d is beyond what values there are", offset)
	}
	for i := range dst {
		dst[i].Index += int32(offset)
	}
	return dst, nil
}
