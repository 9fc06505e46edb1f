package remotewrite

import (
	"testing"

	"evenkeel.dev/slo"
	"github.com/prometheus/prometheus/prompb"
)

// A sender's bytes would bring the process down, or make it keep more buckets than a histogram may have.
func FuzzBuckets(f *testing.F) {
	for _, h := range []prompb.Histogram{
		{Schema: 3, PositiveSpans: []prompb.BucketSpan{{Offset: -5, Length: 2}, {Offset: 3, Length: 1}}, PositiveDeltas: []int64{1, 2, -1}},
		{Schema: -53, CustomValues: []float64{1, 2}, PositiveSpans: []prompb.BucketSpan{{Length: 3}}, PositiveCounts: []float64{1, 2.5, 3}},
		{Schema: 0, NegativeSpans: []prompb.BucketSpan{{Offset: 1 << 30, Length: 1 << 31}}, NegativeDeltas: []int64{1}},
	} {
		b, err := h.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	cut := slo.NewCut(slo.MustDecimal("0.3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n native
		if n.read(b) != nil {
			return
		}
		if len(n.Positive)+len(n.Negative) > slo.MaxBuckets+1 || len(n.Bounds) > slo.MaxBuckets {
			t.Fatalf("%d and %d buckets, %d bounds", len(n.Positive), len(n.Negative), len(n.Bounds))
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
