package otlp

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// A maker makes messages by chance, with what is ordinary and what is odd.
type maker struct{ *rand.Rand }

func pick[T any](m maker, of ...T) T { return of[m.IntN(len(of))] }

func (m maker) value() *commonpb.AnyValue {
	switch m.IntN(7) {
	case 0:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: m.Int64()}}
	case 1:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: m.double()}}
	case 2:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: m.IntN(2) == 0}}
	case 3:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{m.value(), m.value()}}}}
	case 4:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 1, 255}}}
	}
	return text(pick(m, "", "x", "ü", "a\"b\\c\n", "1"))
}

func (m maker) double() float64 {
	return pick(m, 0, 1, -1, 0.1, 1e300, -5e-324, math.Inf(1), math.NaN(), float64(m.Int64()))
}

func (m maker) attributes() []*commonpb.KeyValue {
	var as []*commonpb.KeyValue
	for range m.IntN(5) {
		key := pick(m, "a", "a.b", "a_b", "a-b", "__name__", "job", "service.name", "service.namespace", "service.instance.id", "9", "_", "ü", "")
		as = append(as, &commonpb.KeyValue{Key: key, Value: m.value()})
	}
	return as
}

func (m maker) time() uint64 { return pick(m, 0, at0, atNano, atNano, atNano, math.MaxUint64) }

func (m maker) number() *pb.NumberDataPoint {
	p := &pb.NumberDataPoint{StartTimeUnixNano: m.time(), TimeUnixNano: m.time(), Attributes: m.attributes(), Flags: pick[uint32](m, 0, 0, 0, 1, 2)}
	switch m.IntN(5) {
	case 0:
	case 1, 2:
		p.Value = &pb.NumberDataPoint_AsDouble{AsDouble: m.double()}
	default:
		p.Value = &pb.NumberDataPoint_AsInt{AsInt: m.Int64()}
	}
	return p
}

func (m maker) sum() *float64 {
	if m.IntN(3) == 0 {
		return nil
	}
	return proto.Float64(m.double())
}

func (m maker) histogram() *pb.HistogramDataPoint {
	p := &pb.HistogramDataPoint{StartTimeUnixNano: m.time(), TimeUnixNano: m.time(), Attributes: m.attributes(), Count: m.Uint64N(100), Sum: m.sum()}
	for i := range m.IntN(4) {
		p.ExplicitBounds = append(p.ExplicitBounds, float64(i)+m.Float64())
	}
	for range len(p.ExplicitBounds) + pick(m, 0, 1, 1, 1, 1) {
		p.BucketCounts = append(p.BucketCounts, m.Uint64N(10))
	}
	return p
}

func (m maker) metric() *pb.Metric {
	name, unit := pick(m, "", "a", "a.b", "http.server.duration", "x_total", "ü"), pick(m, "", "s", "By", "1", "{x}", "m/s")
	temporality := pick(m, 0, cumulative, cumulative, delta, delta, 9)
	var out *pb.Metric
	switch m.IntN(5) {
	case 0:
		out = gauge(name, unit, m.number(), m.number())
	case 1:
		out = sum(name, unit, m.IntN(3) > 0, temporality, m.number(), m.number())
	case 2:
		out = histogram(name, unit, temporality, m.histogram(), m.histogram())
	case 3:
		h := m.histogram()
		out = exponential(name, temporality, &pb.ExponentialHistogramDataPoint{
			StartTimeUnixNano: h.StartTimeUnixNano, TimeUnixNano: h.TimeUnixNano, Attributes: h.Attributes, Count: h.Count, Sum: h.Sum, Scale: -2,
			Positive: &pb.ExponentialHistogramDataPoint_Buckets{Offset: -3, BucketCounts: h.BucketCounts}, ZeroThreshold: 0.5,
		})
	default:
		h := m.histogram()
		out = summary(name, &pb.SummaryDataPoint{TimeUnixNano: h.TimeUnixNano, Attributes: h.Attributes, Count: h.Count, Sum: h.GetSum(), QuantileValues: []*pb.SummaryDataPoint_ValueAtQuantile{{Quantile: 0.5, Value: 1}}})
	}
	out.Description = "what it is"
	return out
}

func (m maker) request() *metricspb.ExportMetricsServiceRequest {
	out := &metricspb.ExportMetricsServiceRequest{}
	for range m.IntN(3) {
		out.ResourceMetrics = append(out.ResourceMetrics, request(m.attributes(), m.metric(), m.metric(), m.metric()).ResourceMetrics...)
	}
	return out
}

func TestRandomMessages(t *testing.T) {
	// If this fails, some combination of kind, temporality and attributes is counted as something else than it says, or JSON differs from protobuf.
	d, s := newTestDecoder(t, Config{}), testSchema()
	samples := 0
	for seed := range uint64(1000) {
		m := maker{rand.New(rand.NewPCG(seed, 1))}.request()
		want := reference(d.naming, m)
		samples += len(want)
		r, _, err := run(d, marshal(t, m))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(want, r.lines); diff != "" {
			t.Fatalf("seed %d: %v\n(-plain +walk):\n%s", seed, m, diff)
		}
		inJSON, err := protojson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		body, err := transcode(nil, inJSON, s, maxBody)
		if err != nil {
			t.Fatalf("seed %d: JSON: %v in %s", seed, err, inJSON)
		}
		if r, _, err = run(d, body); err != nil {
			t.Fatalf("seed %d: from JSON: %v", seed, err)
		}
		if diff := cmp.Diff(want, r.lines); diff != "" {
			t.Fatalf("seed %d: %s\n(-plain +JSON):\n%s", seed, inJSON, diff)
		}
	}
	if samples < 1500 {
		t.Errorf("only %d samples were compared", samples)
	}
}
