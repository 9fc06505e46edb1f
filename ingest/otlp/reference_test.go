package otlp

import (
	"math"
	"slices"
	"strings"

	"github.com/prometheus/otlptranslator"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

// A plain is the mapping written a second time, over decoded messages and without regard to speed, for the walk to be compared with.
type plain struct {
	naming naming
	job    bus.Labels
	bad    bool
	lines  []string
}

func reference(n naming, m *metricspb.ExportMetricsServiceRequest) []string {
	p := &plain{naming: n}
	for _, rm := range m.ResourceMetrics {
		p.resource(rm.Resource.GetAttributes())
		for _, sm := range rm.ScopeMetrics {
			for _, metric := range sm.Metrics {
				if !p.bad && metric.Name != "" && len(metric.Name) <= maxName && len(metric.Unit) <= maxName {
					p.metric(metric)
				}
			}
		}
	}
	return p.lines
}

func (p *plain) resource(as []*commonpb.KeyValue) {
	var name, namespace, instance string
	p.bad = false
	size := 0
	for _, a := range as {
		v, err := valueOf(a.Value)
		switch a.Key {
		case "service.name":
			name = v
		case "service.namespace":
			namespace = v
		case "service.instance.id":
			instance = v
		default:
			continue
		}
		size += proto.Size(a)
		p.bad = p.bad || err != nil || size > maxAttributeBytes
	}
	if name != "" && namespace != "" {
		name = namespace + "/" + name
	}
	p.job = bus.Labels{{Name: "job", Value: name}, {Name: "instance", Value: instance}}
}

func valueOf(v *commonpb.AnyValue) (string, error) {
	b, err := proto.Marshal(v)
	if err != nil {
		return "", err
	}
	return valueText(b) // held to a table of its own
}

func (p *plain) metric(m *pb.Metric) {
	switch data := m.Data.(type) {
	case *pb.Metric_Gauge:
		p.numbers(m, otlptranslator.MetricTypeGauge, " gauge", data.Gauge.DataPoints)
	case *pb.Metric_Sum:
		kind, flags := otlptranslator.MetricType(otlptranslator.MetricTypeNonMonotonicCounter), " gauge"
		if data.Sum.IsMonotonic {
			kind, flags = otlptranslator.MetricTypeMonotonicCounter, ""
		}
		if delta, ok := temporal(data.Sum.AggregationTemporality); ok {
			p.numbers(m, kind, delta+flags, data.Sum.DataPoints)
		}
	case *pb.Metric_Histogram:
		if delta, ok := temporal(data.Histogram.AggregationTemporality); ok {
			for _, d := range data.Histogram.DataPoints {
				p.histogram(m, delta, d)
			}
		}
	case *pb.Metric_ExponentialHistogram:
		if delta, ok := temporal(data.ExponentialHistogram.AggregationTemporality); ok {
			for _, d := range data.ExponentialHistogram.DataPoints {
				s := p.sampler(m, otlptranslator.MetricTypeExponentialHistogram, delta, d.Attributes, d.StartTimeUnixNano, d.TimeUnixNano, d.Flags)
				s("_count", "", float64(d.Count))
				if d.Sum != nil {
					s("_sum", "", *d.Sum)
				}
			}
		}
	case *pb.Metric_Summary:
		for _, d := range data.Summary.DataPoints {
			s := p.sampler(m, otlptranslator.MetricTypeSummary, "", d.Attributes, d.StartTimeUnixNano, d.TimeUnixNano, d.Flags)
			s("_count", "", float64(d.Count))
			s("_sum", "", d.Sum)
		}
	}
}

func temporal(t pb.AggregationTemporality) (string, bool) {
	switch t {
	case delta:
		return " delta", true
	case cumulative:
		return "", true
	}
	return "", false
}

func (p *plain) numbers(m *pb.Metric, kind otlptranslator.MetricType, flags string, ds []*pb.NumberDataPoint) {
	for _, d := range ds {
		if d.Value == nil && d.Flags&1 == 0 {
			continue
		}
		v := d.GetAsDouble()
		if i, ok := d.Value.(*pb.NumberDataPoint_AsInt); ok {
			v = float64(i.AsInt)
		}
		p.sampler(m, kind, flags, d.Attributes, d.StartTimeUnixNano, d.TimeUnixNano, d.Flags)("", "", v)
	}
}

func (p *plain) histogram(m *pb.Metric, delta string, d *pb.HistogramDataPoint) {
	if !validBuckets(d.BucketCounts, d.ExplicitBounds) {
		return
	}
	s := p.sampler(m, otlptranslator.MetricTypeHistogram, delta, d.Attributes, d.StartTimeUnixNano, d.TimeUnixNano, d.Flags)
	s("_count", "", float64(d.Count))
	if d.Sum != nil {
		s("_sum", "", *d.Sum)
	}
	below := uint64(0)
	for i, c := range d.BucketCounts {
		below += c
		if i < len(d.ExplicitBounds) && !math.IsInf(d.ExplicitBounds[i], 1) {
			s("_bucket", formatBound(d.ExplicitBounds[i]), float64(below))
		}
	}
	s("_bucket", "+Inf", float64(d.Count))
}

// sampler returns what writes down one sample of a data point, or what does nothing where the point is left out.
func (p *plain) sampler(m *pb.Metric, kind otlptranslator.MetricType, flags string, as []*commonpb.KeyValue, start, time uint64, pointFlags uint32) func(suffix, le string, v float64) {
	nothing := func(string, string, float64) {}
	name, err := p.naming.metric.Build(otlptranslator.Metric{Name: m.Name, Unit: m.Unit, Type: kind})
	ls, ok := p.labels(as)
	if err != nil || !ok || time == 0 || time > math.MaxInt64 || start > time && strings.Contains(flags, "delta") {
		return nothing
	}
	if start > time {
		start = 0
	}
	return func(suffix, le string, v float64) {
		if pointFlags&1 != 0 {
			v = math.Float64frombits(ingest.StaleMarker)
		}
		all := slices.Clone(ls)
		if le != "" {
			all = append(all, bus.Label{Name: "le", Value: le})
		}
		all = append(all, bus.Label{Name: "__name__", Value: name + suffix}).Sort()
		p.lines = append(p.lines, line(all.String()+flags, bus.Time(time/1e6), bus.Time(start/1e6), v))
	}
}

func (p *plain) labels(as []*commonpb.KeyValue) (bus.Labels, bool) {
	values := map[string][]string{}
	sorted := slices.Clone(as)
	slices.SortStableFunc(sorted, func(a, b *commonpb.KeyValue) int { return strings.Compare(a.Key, b.Key) })
	size := 0
	for _, a := range sorted {
		size += proto.Size(a)
		name, err := p.naming.label.Build(a.Key)
		v, bad := valueOf(a.Value)
		if a.Key == "__name__" {
			continue
		}
		if err != nil || bad != nil {
			return nil, false
		}
		if v != "" || len(values[name]) > 0 {
			values[name] = append(values[name], v)
		}
	}
	var ls bus.Labels
	for name, vs := range values {
		ls = append(ls, bus.Label{Name: name, Value: strings.Join(vs, ";")})
	}
	for _, l := range p.job {
		if l.Value != "" {
			ls = append(ls, l)
		}
	}
	return ls, len(as) <= bus.MaxLabels && size <= maxAttributeBytes
}
