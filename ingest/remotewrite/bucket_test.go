package remotewrite_test

import (
	"fmt"
	"net/http"
	"sort"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/ingest/remotewrite"
	"evenkeel.dev/slo"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// wantLatency makes the gate need how many observations of the histogram "latency" are at most 0.3.
func (h *house) wantLatency(t testing.TB) {
	t.Helper()
	sel, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: "latency" + slo.NativeSuffix}})
	if err != nil {
		t.Fatal(err)
	}
	at := slo.MustDecimal("0.3")
	h.gate.SetObjectives(2, []slo.Objective{{Service: "s", Name: "n", SLI: slo.SLI{Total: slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: sel, AtMost: &at}}}}}})
}

// lines are the points of the parts of a histogram of the job j.
func lines(of *slo.Histogram, at int, rest string) []string {
	var out []string
	slo.NewCut(slo.MustDecimal("0.3")).Parts(of, func(p slo.Part, v float64) {
		out = append(out, fmt.Sprintf(`latency_native_bucket{__at_most__="0.3", __part__=%q, job="j"} @%d %v%s`, p.Text(), at, v, rest))
	})
	return out
}

// The latency of a service whose native histograms come by remote write would be wrong, or one that began anew would be missed.
func TestBucketsOfNativeHistograms(t *testing.T) {
	first := slo.Histogram{Schema: 1, Count: 17, Zero: 2, ZeroThreshold: 1e-9, Positive: []slo.Bucket{{Index: -5, Count: 1}, {Index: -4, Count: 2}, {Index: -3, Count: 4}, {Index: -1, Count: 8}}}
	second := slo.Histogram{Schema: 0, Count: 41.5, Positive: []slo.Bucket{{Index: -1, Count: 40.5}, {Index: 0, Count: 1}}, Negative: []slo.Bucket{{Index: 2, Count: 0.5}}}
	want := append(lines(&first, 0, ""), lines(&second, 1000, " since 1")...)
	sort.Strings(want)

	h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	h.wantLatency(t)
	w := h.v1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: labels("latency", "job", "j"), Histograms: []prompb.Histogram{
		{
			Count: &prompb.Histogram_CountInt{CountInt: 17}, Schema: 1, ZeroThreshold: 1e-9, ZeroCount: &prompb.Histogram_ZeroCountInt{ZeroCountInt: 2}, Timestamp: int64(t0),
			PositiveSpans: []prompb.BucketSpan{{Offset: -5, Length: 3}, {Offset: 1, Length: 1}}, PositiveDeltas: []int64{1, 1, 2, 4},
		},
		{
			Count: &prompb.Histogram_CountFloat{CountFloat: 41.5}, Timestamp: int64(t0) + 1000, // the bucket of 0.5 and 0.7 has fallen
			PositiveSpans: []prompb.BucketSpan{{Offset: -1, Length: 2}}, PositiveCounts: []float64{40.5, 1},
			NegativeSpans: []prompb.BucketSpan{{Offset: 2, Length: 1}}, NegativeCounts: []float64{0.5},
		},
	}}}})
	if w.Code != http.StatusNoContent || writtenHeaders(w) != "0 2 0" {
		t.Fatalf("%d %s, written %s", w.Code, w.Body, writtenHeaders(w))
	}
	if diff := cmp.Diff(want, h.points(t)); diff != "" {
		t.Error(diff)
	}

	custom := slo.Histogram{Schema: slo.CustomBuckets, Count: 6, Bounds: []float64{0.1, 0.5}, Positive: []slo.Bucket{{Index: 0, Count: 1}, {Index: 1, Count: 2}, {Index: 2, Count: 3}}}
	h = newHouse(t, remotewrite.Config{}, ingest.Limits{})
	h.wantLatency(t)
	w = h.v2(t, &newTable().add(writev2.TimeSeries{Histograms: []writev2.Histogram{{
		Count: &writev2.Histogram_CountInt{CountInt: 6}, Schema: -53, CustomValues: []float64{0.1, 0.5}, Timestamp: int64(t0), StartTimestamp: int64(t0) - 9,
		PositiveSpans: []writev2.BucketSpan{{Length: 3}}, PositiveDeltas: []int64{1, 1, 1},
	}}}, "latency", "job", "j").req)
	if w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want = lines(&custom, 0, " since -9")
	sort.Strings(want)
	if diff := cmp.Diff(want, h.points(t)); diff != "" {
		t.Error(diff)
	}
}

// A damaged histogram would be counted in part, take others with it, or not be told.
func TestBucketsThatDoNotFit(t *testing.T) {
	good := prompb.Histogram{Count: &prompb.Histogram_CountInt{CountInt: 1}, Timestamp: int64(t0), PositiveSpans: []prompb.BucketSpan{{Offset: 1, Length: 1}}, PositiveDeltas: []int64{1}}
	for name, bad := range map[string]prompb.Histogram{
		"more spans than counts": {PositiveSpans: []prompb.BucketSpan{{Length: 1 << 31}}, PositiveDeltas: []int64{1}},
		"fewer":                  {NegativeDeltas: []int64{1}},
		"a negative count":       {PositiveSpans: []prompb.BucketSpan{{Length: 1}}, PositiveDeltas: []int64{-1}},
		"far away":               {PositiveSpans: []prompb.BucketSpan{{Offset: 1<<31 - 1, Length: 1}, {Offset: 1<<31 - 1, Length: 1}}, PositiveDeltas: []int64{1, 1}},
		"too coarse":             {Schema: -9},
	} {
		h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
		h.wantLatency(t)
		bad.Timestamp = int64(t0)
		w := h.v1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{
			{Labels: labels("latency", "job", "bad"), Histograms: []prompb.Histogram{bad}},
			{Labels: labels("latency", "job", "j"), Histograms: []prompb.Histogram{good}},
		}})
		if w.Code != http.StatusBadRequest || writtenHeaders(w) != "0 1 0" {
			t.Errorf("%s: %d %s, written %s", name, w.Code, w.Body, writtenHeaders(w))
		}
		if n := len(h.points(t)); n == 0 {
			t.Errorf("%s: the other histogram is lost", name)
		}
	}
}

// What one histogram costs, with a threshold and without.
func BenchmarkNativeHistogram(b *testing.B) {
	var ts []prompb.TimeSeries
	for i := range 100 {
		h := prompb.Histogram{Count: &prompb.Histogram_CountInt{CountInt: 60}, Schema: 3, Timestamp: int64(t0), PositiveSpans: []prompb.BucketSpan{{Offset: -40, Length: 60}}, PositiveDeltas: make([]int64, 60)}
		h.PositiveDeltas[0] = 1
		ts = append(ts, prompb.TimeSeries{Labels: labels("latency", "job", "j", "pod", fmt.Sprint(i)), Histograms: []prompb.Histogram{h}})
	}
	for _, wanted := range []bool{false, true} {
		b.Run(fmt.Sprintf("wanted=%v", wanted), func(b *testing.B) {
			h := newHouse(b, remotewrite.Config{}, ingest.Limits{})
			h.log.drop = true
			if wanted {
				h.wantLatency(b)
			}
			body := packV1(b, &prompb.WriteRequest{Timeseries: ts})
			b.ReportAllocs()
			for b.Loop() {
				if w := h.post(body, typeV1); w.Code != http.StatusNoContent {
					b.Fatal(w.Code, w.Body)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/histogram")
		})
	}
}
