package otlp

import (
	"fmt"
	"testing"

	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	pb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

// batch is what a collector sends at once: 8 resources, 20 metrics each, 50 data points each.
func batch(name string) *metricspb.ExportMetricsServiceRequest {
	m := &metricspb.ExportMetricsServiceRequest{}
	for r := range 8 {
		var metrics []*pb.Metric
		for i := range 20 {
			var ps []*pb.NumberDataPoint
			for k := range 50 {
				ps = append(ps, intPoint(int64(k), attrs("http.method", "GET", "http.route", fmt.Sprint("/v1/things/", k), "http.status_code", "200")...))
			}
			metrics = append(metrics, sum(fmt.Sprint(name, i), "", true, cumulative, ps...))
		}
		m.ResourceMetrics = append(m.ResourceMetrics, request(attrs("service.name", fmt.Sprint("s", r), "host.name", "h"), metrics...).ResourceMetrics...)
	}
	return m
}

const batchPoints = 8 * 20 * 50

// A sink knows every series.
type sink struct {
	samples int
	noHistograms
}

func (s *sink) RefHash(ingest.Hash) (ingest.Ref, bool) { return ingest.Ref{}, true }
func (s *sink) LearnHash(ingest.Hash, bus.Labels, uint64) (ingest.Ref, error) {
	return ingest.Ref{}, nil
}
func (s *sink) Add(ingest.Ref, bus.Time, bus.Time, float64) { s.samples++ }
func (s *sink) Outcome() ingest.Outcome                     { return ingest.Outcome{} }

func BenchmarkDecode(b *testing.B) {
	body := marshal(b, batch("m"))
	gate, _ := newTestReceiver(b, Config{}, ingest.Limits{})
	d := newTestDecoder(b, Config{})
	d.hash = gate.config.Gate.Hash
	b.Run("walk", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			d.begin(&sink{})
			if err := d.request(body); err != nil {
				b.Fatal(err)
			}
			d.end()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchPoints, "ns/point")
	})
	b.Run("proto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var m metricspb.ExportMetricsServiceRequest
			if err := proto.Unmarshal(body, &m); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchPoints, "ns/point")
	})
	b.Run("json", func(b *testing.B) {
		inJSON, s := mustJSON(b, batch("m")), testSchema()
		b.SetBytes(int64(len(inJSON)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := transcode(nil, inJSON, s, maxBody); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchPoints, "ns/point")
	})
}

func BenchmarkExport(b *testing.B) {
	for name, metric := range map[string]string{"filtered": "m", "kept": "wanted"} {
		b.Run(name, func(b *testing.B) {
			r, _ := newTestReceiver(b, Config{}, ingest.Limits{})
			m := batch("x")
			for _, rm := range m.ResourceMetrics {
				for i, sm := range rm.ScopeMetrics[0].Metrics {
					sm.Name = metric
					for _, p := range sm.GetSum().DataPoints {
						p.Attributes = append(p.Attributes, attr("n", fmt.Sprint(i)))
					}
				}
			}
			body := marshal(b, m)
			b.ReportAllocs()
			for b.Loop() {
				if _, f := r.export(b.Context(), ingest.Sender{Name: "x"}, body); f != nil {
					b.Fatal(f)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchPoints, "ns/point")
		})
	}
}
