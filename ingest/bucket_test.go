package ingest_test

import (
	"fmt"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

// classic makes the objective one over the classic histogram "d" with a threshold.
func classic(t testing.TB, le string) slo.Objective {
	t.Helper()
	sel := func(ms ...bus.Matcher) bus.Selector {
		s, err := bus.NewSelector(ms)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	o, one := latencyObjective(t), slo.MustDecimal("1")
	name := func(v string) bus.Matcher { return bus.Matcher{Name: "__name__", Type: bus.MatchEqual, Value: v} }
	o.SLI = slo.SLI{
		Good:  &slo.Expr{Terms: []slo.Term{{Factor: one, Selector: sel(name("d_bucket"), bus.Matcher{Name: "le", Type: bus.MatchEqual, Value: le})}}},
		Total: slo.Expr{Terms: []slo.Term{{Factor: one, Selector: sel(name("d_count"))}}},
	}
	return o
}

// The edge would leave out the buckets beside a threshold, so that nothing could be interpolated and no percentile be told; or send them
// for objectives that do not ask for them.
func TestBucketsBesideTheThreshold(t *testing.T) {
	for name, c := range map[string]struct {
		le      string
		ask     func(*slo.Objective)
		good    float64
		figures int
	}{
		"interpolated":     {"0.3", func(o *slo.Objective) { o.SLI.Interpolate = true }, 33 * 25, 2}, // less the first minute
		"with percentiles": {"0.25", func(o *slo.Objective) { o.Percentiles = true }, 39 * 20, 2},
		"alone":            {"0.25", func(*slo.Objective) {}, 39 * 20, 0},
	} {
		h, o := newHouse(t, ingest.Limits{}), classic(t, c.le)
		c.ask(&o)
		e := newEngine(t, o)
		h.SetObjectives(1, []slo.Objective{o})
		known := 0
		for round := range 44 {
			n := float64(min(round, 39)) // the last rounds close the seconds before
			a := h.Begin(ingest.Sender{Name: "prometheus"})
			known = 0
			for i, of := range []struct {
				name, le string
				each     float64
			}{{"d_bucket", "0.1", 10}, {"d_bucket", "0.25", 20}, {"d_bucket", "0.5", 45}, {"d_bucket", "+Inf", 100}, {"d_count", "", 100}} {
				ls := bus.Labels{{Name: "__name__", Value: of.name}, {Name: "instance", Value: "a"}, {Name: "job", Value: "checkout"}, {Name: "le", Value: of.le}}
				hash := ingest.Hash{A: uint64(i+1) * 0x9e3779b97f4a7c15, B: uint64(i+1) * 0xd1b54a32d192ed03}
				ref, seen := a.RefHash(hash)
				if !seen {
					var err error
					if ref, err = a.LearnHash(hash, ls, 0); err != nil {
						t.Fatal(err)
					}
				}
				if ref != (ingest.Ref{}) {
					known++
				}
				a.Add(ref, h.clock(), 0, n*of.each)
			}
			h.commit(t, a)
			e.follow(&h.log, h.clock(), 10)
			h.pass(10 * bus.Second)
		}
		it, _ := e.view.Get("shop", "checkout", "latency")
		want := 5
		if c.figures == 0 {
			want = 2
		}
		if known != want {
			t.Errorf("%s: %d series are needed, want %d", name, known, want)
		}
		if fmt.Sprint(it.Events.Good) != fmt.Sprint(c.good) || len(it.Percentiles) != c.figures {
			t.Errorf("%s: %+v, want %g good; %d windows of percentiles", name, it.Events, c.good, len(it.Percentiles))
		}
	}
}
