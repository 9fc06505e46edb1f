package otlp

import (
	"fmt"
	"math"

	"evenkeel.dev/bus"
)

// Field tags of the OTLP messages, from opentelemetry/proto/metrics/v1/metrics.proto and its neighbours.
var (
	tagRequestResource = tagBytes(1)

	tagResourceResource = tagBytes(1)
	tagResourceScope    = tagBytes(2)
	tagResourceAttr     = tagBytes(1)

	tagScopeMetric = tagBytes(2)

	tagMetricName = tagBytes(1)
	tagMetricUnit = tagBytes(3)

	tagDataPoint       = tagBytes(1)
	tagDataTemporality = tagVarint(2)
	tagDataMonotonic   = tagVarint(3)
)

// A kind is what a metric is; its number is the field of the oneof "data" in Metric.
type kind uint8

const (
	kindNone        kind = 0
	kindGauge       kind = 5
	kindSum         kind = 7
	kindHistogram   kind = 9
	kindExponential kind = 10
	kindSummary     kind = 11
)

const (
	temporalityDelta      = 1
	temporalityCumulative = 2
)

// A metric is the one that is being walked.
type metric struct {
	name, unit  []byte
	kind        kind
	data        []byte
	temporality uint64
	monotonic   bool

	family    string // the name in Prometheus' terms, made when a series is first seen
	familyErr error
	named     bool
}

// flags says how the values of the metric's series count.
func (m *metric) flags() uint64 {
	var f uint64
	if m.kind == kindGauge || m.kind == kindSum && !m.monotonic {
		f |= bus.SeriesGauge
	}
	if m.temporal() && m.temporality == temporalityDelta {
		f |= bus.SeriesDelta
	}
	return f
}

func (m *metric) temporal() bool { return m.kind != kindGauge && m.kind != kindSummary }

// request walks an ExportMetricsServiceRequest and gives its samples to the sink. An error means that the message as a whole
// cannot be trusted; data points that are wrong by themselves are counted in d.tally and left out.
func (d *decoder) request(b []byte) error {
	c, n := cursor{b: b}, 0
	for f := (field{}); c.next(&f); {
		if f.tag != tagRequestResource {
			continue
		}
		if err := d.resourceMetrics(f.bytes); err != nil {
			return fmt.Errorf("resource_metrics[%d]: %w", n, err)
		}
		n++
	}
	return c.err()
}

func (c *cursor) err() error {
	if c.bad {
		return errWire
	}
	return nil
}

func (d *decoder) resourceMetrics(b []byte) error {
	if err := d.resource(b); err != nil {
		return err
	}
	c, n := cursor{b: b}, 0
	for f := (field{}); c.next(&f); {
		if f.tag != tagResourceScope {
			continue
		}
		if err := d.scopeMetrics(f.bytes); err != nil {
			return fmt.Errorf("scope_metrics[%d].%w", n, err)
		}
		n++
	}
	return c.err()
}

// resource looks for the resource first, since it may stand behind the metrics that it describes.
func (d *decoder) resource(b []byte) error {
	d.attrs = d.attrs[:0]
	c := cursor{b: b}
	for f := (field{}); c.next(&f); {
		if f.tag != tagResourceResource {
			continue
		}
		in := cursor{b: f.bytes}
		for g := (field{}); in.next(&g); {
			if g.tag == tagResourceAttr {
				d.attrs = append(d.attrs, g.bytes)
			}
		}
		if in.bad {
			return fmt.Errorf("resource: %w", errWire)
		}
	}
	if c.bad {
		return errWire
	}
	d.setResource()
	return nil
}

func (d *decoder) scopeMetrics(b []byte) error {
	c, n := cursor{b: b}, 0
	for f := (field{}); c.next(&f); {
		if f.tag != tagScopeMetric {
			continue
		}
		if err := d.metricMessage(f.bytes); err != nil {
			return fmt.Errorf("metrics[%d]: %w", n, err)
		}
		n++
	}
	return c.err()
}

func (d *decoder) metricMessage(b []byte) error {
	m := &d.metric
	*m = metric{}
	c := cursor{b: b}
	for f := (field{}); c.next(&f); {
		switch {
		case f.tag == tagMetricName:
			m.name = f.bytes
		case f.tag == tagMetricUnit:
			m.unit = f.bytes
		case f.tag&7 == wireBytes && isData(f.tag>>3):
			if m.kind != kindNone {
				return fmt.Errorf("metric %q has data twice: %w", clip(m.name), errWire)
			}
			m.kind, m.data = kind(f.tag>>3), f.bytes
		}
	}
	if c.bad {
		return errWire
	}
	if m.kind == kindNone {
		return nil // no data, or of a kind that this version does not know
	}
	if err := d.dataHead(); err != nil {
		return err
	}
	d.beginMetric()
	return d.dataPoints()
}

func isData(number uint64) bool {
	switch kind(number) {
	case kindGauge, kindSum, kindHistogram, kindExponential, kindSummary:
		return number <= math.MaxUint8
	}
	return false
}

// dataHead reads what stands beside the data points and holds for all of them.
func (d *decoder) dataHead() error {
	m := &d.metric
	c := cursor{b: m.data}
	for f := (field{}); c.next(&f); {
		switch f.tag {
		case tagDataTemporality:
			m.temporality = f.num
		case tagDataMonotonic:
			m.monotonic = f.num != 0
		}
	}
	return c.err()
}

func (d *decoder) dataPoints() error {
	m := &d.metric
	known := !m.temporal() || m.temporality == temporalityDelta || m.temporality == temporalityCumulative
	c, n := cursor{b: m.data}, 0
	for f := (field{}); c.next(&f); {
		if f.tag != tagDataPoint {
			continue
		}
		if !known {
			d.tally.points++
			d.tally.reject(reasonTemporality, m.name, nil)
			continue
		}
		if err := d.dataPoint(f.bytes); err != nil {
			return fmt.Errorf("metric %q, data_points[%d]: %w", clip(m.name), n, err)
		}
		n++
	}
	return c.err()
}

// clip keeps what is shown of a foreign name short.
func clip(name []byte) string {
	const most = 80
	if len(name) > most {
		return string(name[:most]) + "…"
	}
	return string(name)
}
