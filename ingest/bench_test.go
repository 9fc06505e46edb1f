package ingest_test

import (
	"context"
	"fmt"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

// A sink is a log that keeps nothing.
type sink struct{ bytes, frames int }

func (s *sink) Append(_ context.Context, m bus.Message) (uint64, error) {
	s.bytes += len(m.Data)
	s.frames++
	return uint64(s.frames), nil
}

// steady is a gate that knows n series by keys of the usual length, all of them needed or none.
func steady(t testing.TB, n int, needed bool) (*ingest.Gate, *sink, [][]byte) {
	log := &sink{}
	now := t0
	g, err := ingest.New(ingest.Config{Log: log, Writer: 1, NewWriter: func() uint64 { return 2 }, Now: func() bus.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if needed {
		g.SetObjectives(1, []slo.Objective{objective(t, "", "s", "http_requests_total")})
	}
	keys := make([][]byte, n)
	a := g.Begin(ingest.Sender{Name: "s"})
	for i := range keys {
		ls := series("http_requests_total", "instance", fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250), "job", "checkout", "method", "GET", "path", "/api/v1/orders",
			"code", "200", "namespace", "shop", "pod", fmt.Sprintf("checkout-5d8f7c9b6-%05d", i), "region", "eu-central-1")
		keys[i] = ls.Append(nil)
		if _, err := a.Learn(keys[i], ls, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	return g, log, keys
}

func pass(t testing.TB, g *ingest.Gate, keys [][]byte) {
	a := g.Begin(ingest.Sender{Name: "s"})
	for i, k := range keys {
		ref, ok := a.Ref(k)
		if !ok { // the filter has forgotten it
			ls, _, err := bus.DecodeLabels(k)
			if err != nil {
				t.Fatal(err)
			}
			if ref, err = a.Learn(k, ls, 0); err != nil {
				t.Fatal(err)
			}
		}
		a.Add(ref, t0, 0, float64(i))
	}
	if _, err := a.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestSteadyPathAllocatesNothingPerSample(t *testing.T) {
	// Broken: a million samples a second would feed the garbage collector instead of the windows.
	for _, needed := range []bool{true, false} {
		g, _, keys := steady(t, 2000, needed)
		pass(t, g, keys)
		if n := testing.AllocsPerRun(50, func() { pass(t, g, keys) }); n > 20 {
			t.Errorf("needed %v: %v allocations for an arrival of 2000 samples", needed, n)
		}
	}
}

func benchmarkPass(b *testing.B, n int, needed bool) {
	g, log, keys := steady(b, n, needed)
	const size = 2000
	for i := 0; i < n; i += size {
		pass(b, g, keys[i:i+size])
	}
	log.bytes = 0
	b.ReportAllocs()
	b.ResetTimer()
	at := 0
	for range b.N {
		pass(b, g, keys[at:at+size])
		at = (at + size) % n
	}
	samples := float64(b.N) * size
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/samples, "ns/sample")
	b.ReportMetric(float64(log.bytes)/samples, "B/sample")
}

func BenchmarkKept100k(b *testing.B)     { benchmarkPass(b, 100_000, true) }
func BenchmarkKept1M(b *testing.B)       { benchmarkPass(b, 1_000_000, true) }
func BenchmarkFiltered100k(b *testing.B) { benchmarkPass(b, 100_000, false) }
func BenchmarkFiltered1M(b *testing.B)   { benchmarkPass(b, 1_000_000, false) }

func BenchmarkLearn(b *testing.B) {
	for _, objectives := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("%d objectives", objectives), func(b *testing.B) {
			g, _, _ := steady(b, 2000, false)
			var os []slo.Objective
			for i := range objectives {
				os = append(os, objective(b, "", fmt.Sprint(i), "http_requests_total", "job", fmt.Sprint("other", i)))
			}
			g.SetObjectives(1, os)
			ls := series("http_requests_total", "code", "200", "instance", "10.0.0.1:8080", "job", "checkout", "method", "GET", "namespace", "shop", "path", "/api/v1/orders")
			key := make([]byte, 0, 16)
			a := g.Begin(ingest.Sender{Name: "s"})
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				key = fmt.Appendf(key[:0], "%d", i)
				i++
				if _, err := a.Learn(key, ls, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
