package slo

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

// latencyObjective counts as good what took at most the bound.
func latencyObjective(t testing.TB, le string) Objective {
	o := simObjective(t, "0.9", "7d")
	one := MustDecimal("1")
	o.SLI = SLI{
		Good:  &Expr{Terms: []Term{{Factor: one, Selector: selectorOf(t, "__name__", "d_seconds_bucket", "le", le)}}},
		Total: Expr{Terms: []Term{{Factor: one, Selector: selectorOf(t, "__name__", "d_seconds_bucket", "le", "+Inf")}}},
	}
	return o
}

var simBounds = []string{"0.1", "0.25", "0.5", "1", "+Inf"}

// requests adds requests of these durations to each instance's histogram and sends its buckets.
func (s *sim) requests(bounds []string, instance string, durations ...float64) {
	for _, le := range bounds {
		at := math.Inf(1)
		if le != "+Inf" {
			_, _ = fmt.Sscan(le, &at)
		}
		key := "le=" + le + "@" + instance
		for _, d := range durations {
			if d <= at {
				s.counts[key]++
			}
		}
		s.send(prom, point{series: key, t: s.now, v: s.counts[key]})
	}
	s.flush()
}

func quantileText(q *Quantile) string {
	show := func(v *float64) string {
		if v == nil {
			return "none"
		}
		return number(math.Round(*v*1e6) / 1e6)
	}
	if q == nil {
		return "none"
	}
	return fmt.Sprintf("%s in %s..%s", show(q.Value), number(q.Lower), show(q.Upper))
}

func (s *sim) figures() Status {
	tr := s.stage.byKey["shop\x00checkout\x00availability"]
	return tr.figures(s.stage.closed, s.now)
}

func (s *sim) recent() string {
	ps := s.figures().Percentiles
	if len(ps) != 2 {
		return fmt.Sprintf("%d windows", len(ps))
	}
	p := ps[0]
	return fmt.Sprintf("%g%s: %s, %s, %s", p.Count, p.Unit, quantileText(p.P50), quantileText(p.P90), quantileText(p.P99))
}

// A user would see percentiles that are wrong, or none.
func TestPercentiles(t *testing.T) {
	s := newSim(t)
	o := latencyObjective(t, "0.25")
	o.Percentiles = true
	s.define(o)
	for range 40 {
		s.requests(simBounds, "a", 0.05, 0.05, 0.05, 0.05, 0.2, 0.2, 0.2, 0.4, 0.4, 9)
		s.run(10)
	}
	// 30 or 31 rounds of ten requests: p50 is the fifth, one of three in (0.1, 0.25].
	if got, want := s.recent(), "310s: 0.15 in 0.1..0.25, 0.5 in 0.25..0.5, none in 1..none"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	st := s.figures()
	if p := st.Percentiles[1]; p.Count != 390 || p.Window != o.Window.Duration || p.From != Moment(simStart)+10_000 {
		t.Errorf("the budget window: %+v", p)
	}
	if e := s.status().Events; e != (Events{Good: 273, Total: 390}) {
		t.Errorf("%+v: the SLI itself must not change", e)
	}
	back, err := DecodeStatusFrame(EncodeStatusFrame(&StatusFrame{AsOf: st.AsOf, Statuses: []Status{st}}))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(st.Percentiles, back.Statuses[0].Percentiles); d != "" {
		t.Errorf("in a status frame (-was +is):\n%s", d)
	}
}

// The bounds of a percentile would not hold it: with any requests, in histograms with any bounds of their own, the true one lies between them.
func TestPercentileLiesInItsBounds(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s := newSim(t)
		o := latencyObjective(t, "0.25")
		o.Percentiles = true
		s.define(o)
		bounds := map[string][]string{}
		for _, in := range []string{"a", "b", "c"} {
			for _, le := range simBounds {
				if le == "+Inf" || seed%2 == 0 || rnd.IntN(3) > 0 {
					bounds[in] = append(bounds[in], le)
				}
			}
		}
		var all []float64
		for round := range 90 {
			for _, in := range []string{"a", "b", "c"} {
				var ds []float64
				for range rnd.IntN(20) {
					ds = append(ds, math.Exp(rnd.NormFloat64()*2-2))
				}
				s.requests(bounds[in], in, ds...)
				if round > 0 {
					all = append(all, ds...)
				}
			}
			s.run(10)
		}
		slices.Sort(all)
		p := s.figures().Percentiles[1]
		if p.Count != float64(len(all)) {
			t.Fatalf("seed %d: %g of %d", seed, p.Count, len(all))
		}
		for i, q := range p.quantiles() {
			want := all[int(math.Ceil(quantileRanks[i]*p.Count))-1]
			if (*q).Lower >= want || (*q).Upper != nil && *(*q).Upper < want {
				t.Errorf("seed %d: p%g is %g, said %s", seed, quantileRanks[i]*100, want, quantileText(*q))
			}
			if seed%2 == 0 && (*q).Upper != nil && *(*q).Upper > 4*max((*q).Lower, 0.1) {
				t.Errorf("seed %d: same bounds everywhere, and p%g is only known as %s", seed, quantileRanks[i]*100, quantileText(*q))
			}
		}
	}
}

// A percentile would be computed from a bound that only the new version of a service has, as if the old one had no requests.
func TestBoundsThatDiffer(t *testing.T) {
	s := newSim(t)
	o := latencyObjective(t, "0.25")
	o.Percentiles = true
	s.define(o)
	for range 60 {
		s.requests(simBounds, "old", 0.05, 0.05, 0.05)
		s.requests([]string{"0.25", "+Inf"}, "new", 0.05, 0.2, 0.2)
		s.run(20)
	}
	// Old ones alone have a bound at 0.1: at least 3 of 6 are below, and whether more are is not known.
	if got, want := s.recent(), "96s: 0.1 in 0..0.1, 0.225 in 0..0.25, 0.2475 in 0..0.25"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Percentiles that are asked for later would begin with the whole past of the counters, or change what the SLO has counted.
func TestPercentilesAskedForLater(t *testing.T) {
	s := newSim(t)
	o := latencyObjective(t, "0.25")
	s.define(o)
	for i := range 110 {
		if i == 30 || i == 100 {
			o.Percentiles = i == 30
			s.define(o)
			for _, le := range simBounds {
				s.announce("le="+le+"@a", s.refs["le="+le+"@a"], 0)
			}
		}
		if i == 99 {
			if got := s.recent(); got != "33s: 0.05 in 0..0.1, 0.09 in 0..0.1, 0.099 in 0..0.1" {
				t.Error(got)
			}
		}
		s.requests(simBounds, "a", 0.05)
		s.run(10)
	}
	if ps := s.figures().Percentiles; len(ps) > 0 {
		t.Errorf("nobody asks for %+v", ps)
	}
	if e := s.status().Events; e != (Events{Good: 109, Total: 109}) {
		t.Errorf("%+v", e)
	}
}

// A threshold between two buckets would count nothing, or nobody would know how wrong it may be.
func TestInterpolation(t *testing.T) {
	s := newSim(t)
	o := latencyObjective(t, "0.3")
	o.SLI.Interpolate = true
	s.define(o)
	for range 40 {
		s.requests(simBounds, "a", 0.05, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4, 0.9, 0.9, 0.9)
		s.run(10)
	}
	st := s.status()
	if want := st.Events.Total * 0.3; st.Events.Total < 300 || math.Abs(st.Events.Good-want) > 1e-6 {
		t.Errorf("%+v: two of ten are surely fast, and a fifth of the five in (0.25, 0.5] are taken to be", st.Events)
	}
	n := s.figures().Interpolation
	if n == nil || n.Lower != 0.25 || n.Upper != 0.5 || *n.SLIMin != 0.2 || *n.SLIMax != 0.7 {
		t.Errorf("%+v", n)
	}
	want := []string{"at most 0.3 is counted between the buckets that end at 0.25 and 0.5, their requests taken to be spread evenly"}
	if d := cmp.Diff(want, s.details(DefinitionBounds)); d != "" {
		t.Error(d)
	}
}

// A service that gets other buckets would be counted from those that it no longer has, or be told as it was.
func TestInterpolationAndOtherBounds(t *testing.T) {
	for name, c := range map[string]struct {
		bounds []string
		want   string // of the last detail
	}{
		"finer ones beside the old": {[]string{"0.1", "0.25", "0.28", "0.5", "1", "+Inf"}, "between the buckets that end at 0.25 and 0.5"},
		"a bucket at the threshold": {[]string{"0.3", "+Inf"}, "a bucket ends at 0.3"},
		"others":                    {[]string{"0.2", "2", "+Inf"}, "between the buckets that end at 0.2 and 2"},
		"none above":                {[]string{"0.2", "+Inf"}, "no bucket that all histograms have ends at or above 0.3"},
		"the threshold below all":   {[]string{"0.5", "+Inf"}, "between the buckets that end at 0 and 0.5"},
	} {
		s := newSim(t)
		o := latencyObjective(t, "0.3")
		o.SLI.Interpolate = true
		s.define(o)
		for range 30 {
			s.requests(simBounds, "old", 0.05, 0.2, 0.4)
			s.run(10)
		}
		for i := range 7 * 60 { // the old ones are forgotten after four hours
			s.now += 40 * bus.Second
			s.requests(c.bounds, "new", 0.05, 0.2, 0.4)
			s.run(1)
			if i%7 == 0 {
				for _, le := range c.bounds {
					s.announce("le="+le+"@new", s.refs["le="+le+"@new"], 0)
				}
			}
		}
		details := s.details(DefinitionBounds)
		if strings.HasPrefix(c.want, "no bucket") {
			details = s.details(ReasonNoSuchBucket)
		}
		if !strings.Contains(details[len(details)-1], c.want) {
			t.Errorf("%s: %q, want …%s…", name, details, c.want)
		}
		if st := s.status(); (st.Reason == ReasonNoSuchBucket) != strings.HasPrefix(c.want, "no bucket") {
			t.Errorf("%s: %s %s", name, st.State, st.Reason)
		}
	}
}

// An objective would be taken that asks for what its SLI does not have.
func TestShapeIsChecked(t *testing.T) {
	for want, change := range map[string]func(*Objective){
		"need an SLI over latency": func(o *Objective) { *o = simObjective(t, "0.9", "7d"); o.Percentiles = true },
		"needs one threshold": func(o *Objective) {
			o.SLI.Good.Terms = append(o.SLI.Good.Terms, latencyObjective(t, "1").SLI.Good.Terms...)
		},
		"needs a threshold above 0": func(o *Objective) { *o = latencyObjective(t, "-1"); o.SLI.Interpolate = true },
		"a classic and a native one": func(o *Objective) {
			o.SLI.Good.Terms = append(o.SLI.Good.Terms, Term{Factor: MustDecimal("1"), AtMost: decimalPtr("1"), Selector: selectorOf(t, "__name__", "x"+NativeSuffix)})
		},
		"has a reason and no SLI": func(o *Objective) { o.Unread = &Unread{Reason: ReasonSourceUnsupported} },
	} {
		o := latencyObjective(t, "0.3")
		o.SLI.Interpolate = true
		change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want …%s…", err, want)
		}
	}
}

// The bounds around a threshold of a native histogram would not be those of its buckets, or their counts not add up.
func TestGrid(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		h := Histogram{Schema: int32(rnd.IntN(schemas)) + CoarsestSchema, Zero: 2, ZeroThreshold: 1e-9}
		c := NewCut(MustDecimal([]string{"0.3", "0.25", "1", "17"}[rnd.IntN(4)]))
		c.Grid = true
		at, _ := c.in(h.Schema)
		h.Count = h.Zero
		for i := at - 200; i < at+200; i++ {
			if n := float64(rnd.IntN(3)); n > 0 {
				h.Positive = append(h.Positive, Bucket{i, n})
				h.Count += n
			}
		}
		parts := 0
		c.Parts(&h, func(p Part, n float64) {
			bound, ok := gridBound(p.Text())
			if !ok {
				return
			}
			parts++
			want := h.Zero
			for _, b := range h.Positive {
				if bucketBound(b.Index, h.Schema) <= bound*(1+1e-12) {
					want += b.Count
				}
			}
			if n != want {
				t.Fatalf("schema %d, at %g: %g, want %g", h.Schema, bound, n, want)
			}
		})
		if parts > GridMax || h.Schema >= gridSchema && parts != 27 {
			t.Fatalf("schema %d: %d parts", h.Schema, parts)
		}
	}
}

// What stands beside an objective would be lost with a restart, or a state that is rotten be taken.
func TestShapeInSnapshots(t *testing.T) {
	s := newSim(t)
	o := latencyObjective(t, "0.3")
	o.SLI.Interpolate = true
	s.define(o)
	for range 30 {
		s.requests(simBounds, "a", 0.05, 0.2, 0.4)
		s.run(10)
	}
	want, state := s.recent(), snapshotOf(t, s.stage)
	if err := s.stage.Restore(state); err != nil {
		t.Fatal(err)
	}
	if got := s.recent(); got != want || !bytes.Equal(state, snapshotOf(t, s.stage)) {
		t.Errorf("%s, was %s", got, want)
	}
}
