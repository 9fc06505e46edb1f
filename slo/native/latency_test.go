package native

import (
	"strings"
	"testing"
)

// Buckets that nobody knows beforehand could not be interpolated between; which they are is learned from the series.
func TestInterpolateUnknownBuckets(t *testing.T) {
	for line, want := range map[string]string{
		"sli: {source: istio, latency: {threshold: 300ms, interpolate: true, anyBucket: true}}":                         "300",
		"sli: {source: grpc, percentiles: true, latency: {threshold: 300ms, interpolate: true}}":                        "0.3",
		`sli: {good: 'rate(x_bucket{le="0.3"}[5m])', total: 'rate(x_count[5m])', interpolate: true, percentiles: true}`: "0.3",
	} {
		o, _, ps := compiled(t, base(line))
		if len(ps) > 0 || !o.SLI.Interpolate || o.Percentiles != strings.Contains(line, "percentiles") {
			t.Errorf("%s: %v %+v", line, ps, o)
			continue
		}
		got := ""
		for _, m := range o.SLI.Good.Terms[0].Selector.Matchers() {
			if m.Name == "le" {
				got = m.Value
			}
		}
		if got != want {
			t.Errorf("%s: le=%q, want %q", line, got, want)
		}
	}
}

// Figures would be promised that the SLI cannot give.
func TestPercentilesNeedAHistogram(t *testing.T) {
	for line, want := range map[string]string{
		"sli: {source: istio, percentiles: true, availability: {}}":                                                                 "need an SLI over latency",
		"sli: {good: 'rate(x_bucket{le=\"1\"}[5m]) + rate(x_bucket{le=\"2\"}[5m])', total: 'rate(x_count[5m])', interpolate: true}": "interpolation needs one threshold",
	} {
		if _, ps := compiler(t).Compile(documents(t, base(line)), nil); len(ps) != 1 || !strings.Contains(ps[0].String(), want) {
			t.Errorf("%s: %v", line, ps)
		}
	}
}

// "p99 is at most 250 ms in each minute" would have to be said in other words, or be taken for something else.
func TestPercentileOfSlices(t *testing.T) {
	for text, want := range map[string]string{
		"percentile: 99}}\n  budgeting: {method: Timeslices, slice: {length: 1m}}":                "0.99",
		"percentile: p99.9}}\n  budgeting: {method: Timeslices, slice: {length: 1m}}":             "0.999",
		"percentile: 95}}\n  budgeting: {method: Timeslices, slice: {length: 1m, target: 95%}}":   "0.95",
		"percentile: 95}}\n  budgeting: {method: Timeslices, slice: {length: 1m, target: 99%}}":   "percentile 95 and the slices' target 99% say different things",
		"percentile: 100}}\n  budgeting: {method: Timeslices, slice: {length: 1m, target: 99%}}":  "must be above 0 and below 100",
		"percentile: 95}}\n  budgeting: {method: RatioTimeslices, slice: {length: 1m}}":           "and RatioTimeslices has none to say it of",
		"percentile: high}}\n  budgeting: {method: Timeslices, slice: {length: 1m, target: 99%}}": "found the string \"high\"",
	} {
		o, _, ps := compiled(t, base("sli: {source: istio, latency: {threshold: 250ms, "+text))
		switch {
		case len(ps) == 1 && strings.Contains(ps[0].String(), want):
		case len(ps) > 0 || o.Slice == nil || o.Slice.Target.String() != want:
			t.Errorf("%s: %v %+v", text, ps, o.Slice)
		}
	}
}
