package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/console"
	"evenkeel.dev/slo"
)

// A user who asks for one SLO would not see how long requests take, how sure that is, or why it is UNKNOWN.
func TestMoreOfOneSLO(t *testing.T) {
	v := func(f float64) *float64 { return &f }
	var out bytes.Buffer
	c := &cli{out: &out}
	c.more(&console.SLO{Status: slo.Status{
		GlobalNamespace: "shop", Service: "checkout", Name: "fast", Reason: slo.ReasonSourceUnsupported, Message: "Datadog\x1b[2J",
		Percentiles: []slo.Percentiles{
			{Window: 300_000, Unit: "s", Count: 1234, P50: &slo.Quantile{Value: v(0.123456), Lower: 0.1, Upper: v(0.25)}, P90: &slo.Quantile{Value: v(1.5), Lower: 1, Upper: v(2.5)}, P99: &slo.Quantile{Lower: 10}},
			{Window: 30 * 86_400_000, Unit: "ms", Count: 5, P50: &slo.Quantile{Value: v(7), Upper: v(10)}, P90: &slo.Quantile{Lower: 3_600_000}},
			{Window: 300_000, P50: &slo.Quantile{Value: v(0.3), Lower: 0.25, Upper: v(0.5)}},
		},
		Interpolation: &slo.Interpolation{Threshold: 0.3, Lower: 0.25, Upper: 0.5, SLIMin: v(0.97)},
	}})
	const want = `shop/checkout/fast: SourceUnsupported: Datadog?[2J
shop/checkout/fast, last 5m: p50 123ms (100ms to 250ms), p90 1.5s (1s to 2.5s), p99 over 10s of 1234 requests
shop/checkout/fast, last 30d: p50 7ms (0ms to 10ms), p90 over 1h0m0s, p99 - of 5 requests
shop/checkout/fast, last 5m: p50 0.3 (0.25 to 0.5), p90 -, p99 - of 0 requests
shop/checkout/fast: interpolated at 0.3 between 0.25 and 0.5; SLI from 97% to ?
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
