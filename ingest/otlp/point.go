package otlp

import (
	"errors"
	"math"

	"evenkeel.dev/bus"
)

// Field tags of the four kinds of data points. Start and time have the same number in all of them, and so have count and sum.
var (
	tagPointStart = tagFixed64(2)
	tagPointTime  = tagFixed64(3)

	tagNumberDouble = tagFixed64(4)
	tagNumberInt    = tagFixed64(6)
	tagNumberAttr   = tagBytes(7) // of summaries too
	tagNumberFlags  = tagVarint(8)

	tagPointCount = tagFixed64(4)
	tagPointSum   = tagFixed64(5)

	tagHistogramCounts  = tagBytes(6)
	tagHistogramCount1  = tagFixed64(6)
	tagHistogramBounds  = tagBytes(7)
	tagHistogramBound1  = tagFixed64(7)
	tagHistogramAttr    = tagBytes(9)
	tagHistogramFlags   = tagVarint(10) // of exponential histograms too
	tagExponentialAttr  = tagBytes(1)
	tagExponentialScale = tagVarint(6)
	tagExponentialZero  = tagFixed64(7)
	tagExponentialUp    = tagBytes(8)
	tagExponentialDown  = tagBytes(9)
	tagExponentialWidth = tagFixed64(14)
	flagNoRecordedValue = uint64(1)
)

// staleNaN is Prometheus' staleness marker: this very NaN says that a series has ended.
const staleNaN = 0x7ff0000000000002

// maxBuckets bounds the buckets of one explicit histogram; each is a series. SDKs make 15 by default and Prometheus' users rarely
// more than 100.
const maxBuckets = 256

// maxName bounds the name and the unit of a metric in bytes; OpenTelemetry allows 255 and 63.
const maxName = 1024

// A point is a data point of any kind.
type point struct {
	start, time uint64 // nanoseconds since the Unix epoch, 0 for none
	flags       uint64
	value       float64
	valued      bool
	count       uint64
	sum         float64
	summed      bool
	counts      []uint64
	bounds      []float64
	malformed   bool
}

func (d *decoder) dataPoint(b []byte) error {
	p := &d.point
	*p = point{counts: p.counts[:0], bounds: p.bounds[:0]}
	d.exponential = native{Histogram: d.exponential.Histogram}
	p.summed = d.metric.kind == kindSummary // the sum of a summary is not optional: absent is 0
	d.attrs = d.attrs[:0]
	c := cursor{b: b}
	for f := (field{}); c.next(&f); {
		switch f.tag {
		case tagPointStart:
			p.start = f.num
		case tagPointTime:
			p.time = f.num
		default:
			d.pointField(&f)
		}
	}
	if c.bad || p.malformed {
		return errWire
	}
	d.emitPoint()
	return nil
}

func (d *decoder) pointField(f *field) {
	switch d.metric.kind {
	case kindGauge, kindSum:
		d.numberField(f)
	case kindSummary:
		d.summaryField(f)
	case kindHistogram:
		d.histogramField(f)
	case kindExponential:
		d.exponentialField(f)
	}
}

func (d *decoder) numberField(f *field) {
	switch p := &d.point; f.tag {
	case tagNumberDouble:
		p.value, p.valued = math.Float64frombits(f.num), true
	case tagNumberInt:
		p.value, p.valued = float64(int64(f.num)), true
	case tagNumberAttr:
		d.attrs = append(d.attrs, f.bytes)
	case tagNumberFlags:
		p.flags = f.num
	}
}

func (d *decoder) summaryField(f *field) {
	switch p := &d.point; f.tag {
	case tagPointCount:
		p.count = f.num
	case tagPointSum:
		p.sum = math.Float64frombits(f.num)
	case tagNumberAttr:
		d.attrs = append(d.attrs, f.bytes)
	case tagNumberFlags:
		p.flags = f.num
	}
}

func (d *decoder) histogramField(f *field) {
	ok := true
	switch p := &d.point; f.tag {
	case tagPointCount:
		p.count = f.num
	case tagPointSum:
		p.sum, p.summed = math.Float64frombits(f.num), true
	case tagHistogramCounts, tagHistogramCount1:
		p.counts, ok = appendFixed64(p.counts, f)
	case tagHistogramBounds, tagHistogramBound1:
		p.bounds, ok = appendDouble(p.bounds, f)
	case tagHistogramAttr:
		d.attrs = append(d.attrs, f.bytes)
	case tagHistogramFlags:
		p.flags = f.num
	}
	d.point.malformed = d.point.malformed || !ok
}

func (d *decoder) exponentialField(f *field) {
	switch p := &d.point; f.tag {
	case tagPointCount:
		p.count = f.num
	case tagPointSum:
		p.sum, p.summed = math.Float64frombits(f.num), true
	case tagExponentialAttr:
		d.attrs = append(d.attrs, f.bytes)
	case tagExponentialScale, tagExponentialZero, tagExponentialUp, tagExponentialDown, tagExponentialWidth:
		d.bucketField(f)
	case tagHistogramFlags:
		p.flags = f.num
	}
}

// emitPoint turns the point into samples, or counts why it is left out.
func (d *decoder) emitPoint() {
	d.tally.points++
	if why, err := d.judge(); why != 0 {
		d.tally.reject(why, d.metric.name, err)
		return
	}
	d.beginPoint()
	before := d.refused()
	if err := d.emitAll(); errors.Is(err, errBuckets) {
		d.tally.reject(reasonBuckets, d.metric.name, err)
	} else if err != nil {
		d.tally.reject(reasonAttribute, d.metric.name, err)
	} else if d.refused() > before {
		d.tally.reject(reasonGate, d.metric.name, d.tally.gate)
	}
}

func (d *decoder) refused() int {
	o := d.out.Outcome()
	return o.Refused.Total()
}

func (d *decoder) emitAll() error {
	switch d.metric.kind {
	case kindGauge, kindSum:
		return d.emit(partValue, 0, d.point.value)
	case kindHistogram:
		return d.emitHistogram()
	case kindExponential:
		if err := d.emitBuckets(); err != nil {
			return err
		}
	}
	return d.emitCountAndSum()
}

// judge returns why the point is left out, or 0.
func (d *decoder) judge() (reason, error) {
	p, m := &d.point, &d.metric
	switch {
	case p.time == 0 || p.time > math.MaxInt64:
		return reasonNoTime, nil
	case len(m.name) == 0 || len(m.name) > maxName || len(m.unit) > maxName:
		return reasonName, nil
	case d.resourceErr != nil:
		return reasonResource, d.resourceErr
	case !d.attributesFit():
		return reasonAttribute, errTooLarge
	case p.start > p.time && m.flags()&bus.SeriesDelta != 0:
		return reasonStart, nil
	case p.flags&flagNoRecordedValue == 0 && !p.valued && (m.kind == kindGauge || m.kind == kindSum):
		return reasonNoValue, nil
	case m.kind == kindHistogram && !validBuckets(p.counts, p.bounds):
		return reasonBuckets, nil
	}
	if p.start > p.time { // of a cumulative value: a start that cannot be is no start, the value still counts
		p.start = 0
	}
	return 0, nil
}

func (d *decoder) attributesFit() bool {
	size := 0
	for _, kv := range d.attrs {
		size += len(kv)
	}
	return len(d.attrs) <= bus.MaxLabels && size <= maxAttributeBytes
}

// validBuckets holds a histogram to its definition: no buckets, or one more than there are bounds, which rise strictly.
func validBuckets(counts []uint64, bounds []float64) bool {
	if len(counts) == 0 {
		return true
	}
	if len(counts) != len(bounds)+1 || len(bounds) > maxBuckets {
		return false
	}
	for i, b := range bounds {
		if math.IsNaN(b) || i > 0 && b <= bounds[i-1] {
			return false
		}
	}
	return true
}

func (d *decoder) emitCountAndSum() error {
	p := &d.point
	if err := d.emit(partCount, 0, float64(p.count)); err != nil || !p.summed {
		return err
	}
	return d.emit(partSum, 0, p.sum)
}

// emitHistogram writes the classic series: each bucket holds what is at or below its bound, and the last holds all.
func (d *decoder) emitHistogram() error {
	p := &d.point
	if err := d.emitCountAndSum(); err != nil {
		return err
	}
	below := uint64(0)
	for i := range min(len(p.bounds), len(p.counts)) {
		below += p.counts[i]
		if math.IsInf(p.bounds[i], 1) {
			continue // taken from count below
		}
		if err := d.emit(partBucket, p.bounds[i], float64(below)); err != nil {
			return err
		}
	}
	return d.emit(partBucket, math.Inf(1), float64(p.count))
}
