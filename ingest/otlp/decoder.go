package otlp

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/prometheus/otlptranslator"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

// An arrival takes what a request brought; [ingest.Arrival] is one.
type arrival interface {
	RefHash(h ingest.Hash) (ingest.Ref, bool)
	LearnHash(h ingest.Hash, ls bus.Labels, flags uint64) (ingest.Ref, error)
	Add(r ingest.Ref, t, start bus.Time, v float64)
	histograms
	Outcome() ingest.Outcome
}

type histograms interface {
	HistogramHash(h ingest.Hash) (ingest.HistogramRef, bool)
	LearnHistogram(h ingest.Hash, ls bus.Labels, flags uint64) (ingest.HistogramRef, error)
	AddHistogram(r ingest.HistogramRef, h ingest.Hash, t, start bus.Time, flags uint64, of *slo.Histogram, learn func(ingest.Hash, bus.Labels) (ingest.Ref, error)) (bus.Time, error)
}

// A decoder walks one request at a time. It is used again, so that known series cost no allocation: they are found by a hash of the
// bytes of the message, and labels are made only for a series at first sight.
//
// The hash of a series is the join of those of its resource's labels, its metric, the attributes of its data point and, where a
// data point makes several series, which of them it is. So long names and many labels cost once, not once for each sample.
type decoder struct {
	naming naming
	hash   func([]byte) ingest.Hash
	out    arrival
	tally  tally

	resourceLabels bus.Labels // job and instance, then promoted attributes, which override nothing
	identity       int        // how many of resourceLabels, from the start, are job and instance
	resourceErr    error      // why the resource's attributes cannot become labels
	metric         metric
	point          point
	exponential    native
	attrs          [][]byte // KeyValue messages of what is being walked

	t, start                            bus.Time
	hashResource, hashMetric, hashPoint ingest.Hash

	pointLabels bus.Labels // of the data point, made at first sight of the first of its series
	pointReady  bool

	key    []byte     // scratch
	labels bus.Labels // scratch
}

// naming is how names are translated, in the terms of Prometheus' OTLP receiver.
type naming struct {
	metric   otlptranslator.MetricNamer
	label    otlptranslator.LabelNamer
	promoted []string
}

// keyVersion sets the hashes of this package apart from those of other protocols that the same sender may speak.
const keyVersion = "otlp1"

// A part is which of the series of a data point a sample belongs to.
type part byte

const (
	partValue part = iota
	partCount
	partSum
	partBucket
	partNative
)

var partSuffix = [...]string{partValue: "", partCount: "_count", partSum: "_sum", partBucket: "_bucket", partNative: slo.NativeSuffix}

func (d *decoder) begin(out arrival) {
	d.out = out
	d.tally = tally{}
}

// end lets go of all that refers to the request.
func (d *decoder) end() {
	clear(d.attrs[:cap(d.attrs)])
	clear(d.labels[:cap(d.labels)])
	clear(d.pointLabels[:cap(d.pointLabels)])
	clear(d.resourceLabels[:cap(d.resourceLabels)])
	d.out, d.metric, d.attrs = nil, metric{}, d.attrs[:0]
	d.exponential.up, d.exponential.down = nil, nil
}

// beginMetric hashes what tells series of one metric from those of another.
func (d *decoder) beginMetric() {
	m := &d.metric
	d.key = appendBytes(d.key[:0], m.name)
	d.key = appendBytes(d.key, m.unit)
	monotonic := byte(0)
	if m.monotonic {
		monotonic = 1
	}
	d.key = append(d.key, byte(m.kind), byte(m.temporality), monotonic)
	d.hashMetric = d.hashResource.Join(d.hash(d.key))
}

func (d *decoder) beginPoint() {
	d.t, d.start = bus.Time(d.point.time/1e6), bus.Time(d.point.start/1e6)
	d.pointReady = false
	d.key = d.key[:0]
	for _, kv := range d.attrs {
		d.key = appendBytes(d.key, kv)
	}
	d.hashPoint = d.hashMetric.Join(d.hash(d.key))
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// emit gives one sample to the arrival. An error says why the series cannot be made of the data point; what the arrival itself
// refuses it counts itself.
func (d *decoder) emit(p part, bound, v float64) error {
	if d.point.flags&flagNoRecordedValue != 0 {
		v = math.Float64frombits(ingest.StaleMarker)
	}
	h := d.hashPoint
	if p != partValue {
		var b [9]byte
		b[0] = byte(p)
		binary.LittleEndian.PutUint64(b[1:], math.Float64bits(bound))
		h = h.Join(d.hash(b[:]))
	}
	ref, known := d.out.RefHash(h)
	if !known {
		ls, err := d.seriesLabels(p, bound)
		if err != nil {
			return err
		}
		if ref, err = d.out.LearnHash(h, ls, d.metric.flags()); err != nil && d.tally.gate == nil {
			d.tally.gate = err // the ref counts it
		}
	}
	d.out.Add(ref, d.t, d.start, v)
	return nil
}

// formatBound writes a bucket's bound as Prometheus' OTLP receiver does: "0.005", "10", "+Inf".
func formatBound(bound float64) string {
	if math.IsInf(bound, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(bound, 'f', -1, 64)
}
