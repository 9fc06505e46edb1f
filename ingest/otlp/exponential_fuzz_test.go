package otlp

import (
	"testing"

	pb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"evenkeel.dev/slo"
)

// A sender's bytes would bring the process down, or make it keep more buckets than a histogram may have.
func FuzzBuckets(f *testing.F) {
	f.Add(marshal(f, &pb.ExponentialHistogramDataPoint_Buckets{Offset: -5, BucketCounts: []uint64{1, 0, 3}}), int32(3), uint64(4))
	f.Add(marshal(f, &pb.ExponentialHistogramDataPoint_Buckets{Offset: 1 << 30, BucketCounts: make([]uint64, 500)}), int32(20), uint64(0))
	cut := slo.NewCut(slo.MustDecimal("0.3"))
	f.Fuzz(func(t *testing.T, b []byte, scale int32, count uint64) {
		n := native{scale: scale, up: b, down: b}
		if n.read(count) != nil {
			return
		}
		if len(n.Positive)+len(n.Negative) > slo.MaxBuckets {
			t.Fatalf("%d and %d buckets", len(n.Positive), len(n.Negative))
		}
		if n.RestartedAfter(&n.Histogram) {
			t.Fatal("a histogram has begun anew after itself")
		}
		cut.Parts(&n.Histogram, func(p slo.Part, v float64) {
			if v < 0 || p.Text() == "" {
				t.Fatalf("part %q is %v", p.Text(), v)
			}
		})
	})
}
