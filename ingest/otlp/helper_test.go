package otlp

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"

	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

// A recorder is an arrival that writes down what it is given. It knows a series from its first sample on.
type recorder struct {
	series  map[ingest.Hash]string
	last    string
	lines   []string
	learned int
	refuse  bool
	outcome ingest.Outcome
	noHistograms
}

func newRecorder() *recorder { return &recorder{series: map[ingest.Hash]string{}} }

func (r *recorder) RefHash(h ingest.Hash) (ingest.Ref, bool) {
	s, ok := r.series[h]
	r.last = s
	return ingest.Ref{}, ok
}

func (r *recorder) LearnHash(h ingest.Hash, ls bus.Labels, flags uint64) (ingest.Ref, error) {
	r.learned++
	r.last = ls.String() + flagText(flags)
	r.series[h] = r.last
	if r.refuse {
		return ingest.Ref{}, &ingest.SeriesError{Reason: ingest.SeriesLimit}
	}
	return ingest.Ref{}, nil
}

// noHistograms stands for a gate whose objectives look into no histogram.
type noHistograms struct{}

func (noHistograms) HistogramHash(ingest.Hash) (ingest.HistogramRef, bool) {
	return ingest.HistogramRef{}, true
}

func (noHistograms) LearnHistogram(ingest.Hash, bus.Labels, uint64) (ingest.HistogramRef, error) {
	panic("a histogram is learned that is known")
}

func (noHistograms) AddHistogram(ingest.HistogramRef, ingest.Hash, bus.Time, bus.Time, uint64, *slo.Histogram, func(ingest.Hash, bus.Labels) (ingest.Ref, error)) (bus.Time, error) {
	panic("a histogram is added that nobody wants")
}

func flagText(flags uint64) string {
	s := ""
	if flags&bus.SeriesDelta != 0 {
		s += " delta"
	}
	if flags&bus.SeriesGauge != 0 {
		s += " gauge"
	}
	return s
}

func (r *recorder) Add(_ ingest.Ref, t, start bus.Time, v float64) {
	if r.refuse {
		r.outcome.Refused[ingest.SeriesLimit]++
		return
	}
	r.lines = append(r.lines, line(r.last, t, start, v))
}

func line(series string, t, start bus.Time, v float64) string {
	value := fmt.Sprint(v)
	if math.Float64bits(v) == ingest.StaleMarker {
		value = "stale"
	}
	return fmt.Sprintf("%s @%d from %d = %s", series, t, start, value)
}

func (r *recorder) Outcome() ingest.Outcome { return r.outcome }

func testHash(b []byte) ingest.Hash {
	h := fnv.New128a()
	h.Write(b)
	s := h.Sum(nil)
	var out ingest.Hash
	for i := range 8 {
		out.A = out.A<<8 | uint64(s[i])
		out.B = out.B<<8 | uint64(s[8+i])
	}
	return out
}

func newTestDecoder(t testing.TB, c Config) *decoder {
	t.Helper()
	n, err := newNaming(c)
	if err != nil {
		t.Fatal(err)
	}
	return &decoder{naming: n, hash: testHash}
}

// run decodes b and returns what the arrival got.
func run(d *decoder, b []byte) (*recorder, tally, error) {
	r := newRecorder()
	d.begin(r)
	err := d.request(b)
	got := d.tally
	d.end()
	return r, got, err
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Short forms for messages.

func text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func attr(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: text(value)}
}

func attrs(pairs ...string) []*commonpb.KeyValue {
	var out []*commonpb.KeyValue
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, attr(pairs[i], pairs[i+1]))
	}
	return out
}

func request(resource []*commonpb.KeyValue, ms ...*pb.Metric) *metricspb.ExportMetricsServiceRequest {
	return &metricspb.ExportMetricsServiceRequest{ResourceMetrics: []*pb.ResourceMetrics{{
		Resource:     &resourcepb.Resource{Attributes: resource},
		ScopeMetrics: []*pb.ScopeMetrics{{Scope: &commonpb.InstrumentationScope{Name: "library"}, Metrics: ms}},
	}}}
}

const (
	ms      = uint64(1e6)
	atNano  = 1_700_000_000_000*ms + 123456 // what is below a millisecond is cut
	at0     = 1_699_999_000_000 * ms
	wantAt  = bus.Time(1_700_000_000_000)
	wantAt0 = bus.Time(1_699_999_000_000)
)

func intPoint(v int64, as ...*commonpb.KeyValue) *pb.NumberDataPoint {
	return &pb.NumberDataPoint{StartTimeUnixNano: at0, TimeUnixNano: atNano, Attributes: as, Value: &pb.NumberDataPoint_AsInt{AsInt: v}}
}

func doublePoint(v float64, as ...*commonpb.KeyValue) *pb.NumberDataPoint {
	return &pb.NumberDataPoint{StartTimeUnixNano: at0, TimeUnixNano: atNano, Attributes: as, Value: &pb.NumberDataPoint_AsDouble{AsDouble: v}}
}

func sum(name, unit string, monotonic bool, temporality pb.AggregationTemporality, ps ...*pb.NumberDataPoint) *pb.Metric {
	return &pb.Metric{Name: name, Unit: unit, Data: &pb.Metric_Sum{Sum: &pb.Sum{IsMonotonic: monotonic, AggregationTemporality: temporality, DataPoints: ps}}}
}

func gauge(name, unit string, ps ...*pb.NumberDataPoint) *pb.Metric {
	return &pb.Metric{Name: name, Unit: unit, Data: &pb.Metric_Gauge{Gauge: &pb.Gauge{DataPoints: ps}}}
}

func histogram(name, unit string, temporality pb.AggregationTemporality, ps ...*pb.HistogramDataPoint) *pb.Metric {
	return &pb.Metric{Name: name, Unit: unit, Data: &pb.Metric_Histogram{Histogram: &pb.Histogram{AggregationTemporality: temporality, DataPoints: ps}}}
}

func exponential(name string, temporality pb.AggregationTemporality, ps ...*pb.ExponentialHistogramDataPoint) *pb.Metric {
	return &pb.Metric{Name: name, Data: &pb.Metric_ExponentialHistogram{ExponentialHistogram: &pb.ExponentialHistogram{AggregationTemporality: temporality, DataPoints: ps}}}
}

func summary(name string, ps ...*pb.SummaryDataPoint) *pb.Metric {
	return &pb.Metric{Name: name, Data: &pb.Metric_Summary{Summary: &pb.Summary{DataPoints: ps}}}
}

const (
	cumulative = pb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	delta      = pb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
)
