package ingest_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// latencyObjective is good where an observation of the native histogram "latency" is at most 0.3.
func latencyObjective(t testing.TB) slo.Objective {
	t.Helper()
	window, err := slo.ParseDuration("30d")
	if err != nil {
		t.Fatal(err)
	}
	sel := func(name string) bus.Selector {
		s, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: name}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	at, one := slo.MustDecimal("0.3"), slo.MustDecimal("1")
	return slo.Objective{
		GlobalNamespace: "shop", Service: "checkout", Name: "latency", Target: slo.MustDecimal("0.99"),
		Window: slo.Window{Type: slo.WindowRolling, Duration: window}, Method: slo.MethodOccurrences,
		SLI: slo.SLI{
			Good:  &slo.Expr{Terms: []slo.Term{{Factor: one, Selector: sel("latency" + slo.NativeSuffix), AtMost: &at}}},
			Total: slo.Expr{Terms: []slo.Term{{Factor: one, Selector: sel("latency_count")}}},
		},
	}
}

// An engine is a stage that reads what gates write.
type engine struct {
	t     testing.TB
	stage *slo.Stage
	view  *slo.View
	seq   uint64
	read  int
}

func newEngine(t testing.TB, o slo.Objective) *engine {
	t.Helper()
	stage, err := slo.NewStage(slo.Config{Partitions: bus.DefaultPartitions, Partition: bus.Partition(o.GlobalNamespace, o.Service, bus.DefaultPartitions)})
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, stage: stage, view: slo.NewView(10)}
	compiled, err := json.Marshal([]slo.Objective{o})
	if err != nil {
		t.Fatal(err)
	}
	change, err := json.Marshal(mesh.Change{Accepted: true, Revision: 1, Set: []mesh.Definition{{Ref: mesh.Ref{Kind: "SLO", Name: "a"}, Revision: 1, Compiled: compiled}}})
	if err != nil {
		t.Fatal(err)
	}
	e.step(bus.Record{Subject: mesh.SubjectChange, Data: change}, t0-bus.Minute)
	return e
}

func (e *engine) step(r bus.Record, now bus.Time) {
	e.t.Helper()
	e.seq++
	r.Seq, r.Time = e.seq, now
	ds, err := e.stage.Step(&r)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, d := range ds {
		if len(d.Subject) > len(bus.SubjectStatus) && d.Subject[:len(bus.SubjectStatus)] == bus.SubjectStatus {
			if err := e.view.Apply(&bus.Record{Subject: d.Subject, Data: d.Data, Seq: e.seq, Time: now}); err != nil {
				e.t.Fatal(err)
			}
		}
	}
}

// follow reads the new frames of a log and lets time pass.
func (e *engine) follow(r *recorder, now bus.Time, seconds int) {
	e.t.Helper()
	for _, data := range r.stored[e.read:] {
		f := bus.DecodeFrame(data)
		if f.Err != nil {
			e.t.Fatal(f.Err)
		}
		e.step(bus.Record{Subject: bus.SubjectFrame + "w", Data: data, Frame: f, Section: f.Section(bus.Partition("shop", "checkout", bus.DefaultPartitions))}, now)
	}
	e.read = len(r.stored)
	for i := range seconds {
		e.step(bus.Record{Subject: bus.SubjectTick}, now+bus.Time(i)*bus.Second)
	}
}

func (e *engine) events() slo.Events {
	e.t.Helper()
	it, ok := e.view.Get("shop", "checkout", "latency")
	if !ok {
		e.t.Fatal("no status")
	}
	return it.Status.Events
}

// A process observes latencies into one native histogram, and keeps each.
type process struct {
	name    string
	schema  int32
	all     []float64 // of this life
	counted int       // of all, how many the last scrape that arrived has shown
	zero    float64
	started bus.Time
	shown   bool
	lives   int
}

// index is the bucket of a value, as the specification says it: the least i with v ≤ 2^(i/2^schema).
func index(v float64, schema int32) int32 {
	return int32(math.Ceil(math.Ldexp(math.Log2(v), int(schema))))
}

func (p *process) histogram() *slo.Histogram {
	h := &slo.Histogram{Schema: p.schema, Count: float64(len(p.all)), ZeroThreshold: p.zero}
	sums := map[int32]float64{}
	for _, v := range p.all {
		if v <= p.zero {
			h.Zero++
		} else {
			sums[index(v, p.schema)]++
		}
	}
	for i, n := range sums {
		h.Positive = append(h.Positive, slo.Bucket{Index: i, Count: n})
	}
	return h
}

// below is the oracle: what the observations count at or below 0.3 when they come in buckets of the schema, and by how much that may be
// beside the truth.
func below(vs []float64, schema int32) (count, within, exact float64) {
	at := index(0.3, schema)
	f := math.Ldexp(math.Log2(0.3), int(schema)) - float64(at-1)
	for _, v := range vs {
		switch i := index(v, schema); {
		case i < at:
			count++
		case i == at:
			count += f
			within++
		}
		if v <= 0.3 {
			exact++
		}
	}
	return count, within, exact
}

// observe lets the process work for a while, begin anew, or lose resolution.
func (p *process) observe(r *rand.Rand, now bus.Time) {
	switch r.IntN(12) {
	case 0:
		if p.counted == 0 {
			break // what began anew before it was seen cannot be told from what it was
		}
		*p = process{name: p.name, schema: int32(r.IntN(13)) - 4, started: now, shown: p.shown, zero: p.zero, lives: p.lives + 1}
		p.mark()
	case 1, 2:
		p.schema = max(p.schema-1-int32(r.IntN(3)), slo.CoarsestSchema)
	}
	for range r.IntN(60) {
		p.all = append(p.all, 0.3*math.Exp(0.8*r.NormFloat64()))
	}
	if r.IntN(3) == 0 {
		p.all = append(p.all, p.zero/2, 1e-6*r.Float64()+p.zero)
	}
}

// mark gives a life a bucket that no other has, so that its end can be seen.
func (p *process) mark() { p.all = append(p.all, math.Exp2(float64(100+16*p.lives))) }

// scrape offers the histogram as a shell does. It returns its schema, which is coarser where there are too many buckets.
func scrape(t testing.TB, a *ingest.Arrival, p *process, now, start bus.Time) int32 {
	t.Helper()
	of := p.histogram()
	if err := of.Normalize(); err != nil {
		t.Fatal(err)
	}
	offer(t, a, p.name, now, start, 0, of)
	return of.Schema
}

func offer(t testing.TB, a *ingest.Arrival, name string, now, start bus.Time, flags uint64, of *slo.Histogram) {
	t.Helper()
	labels := func(suffix string, more ...bus.Label) bus.Labels {
		return append(bus.Labels{{Name: "__name__", Value: "latency" + suffix}, {Name: "instance", Value: name}, {Name: "job", Value: "checkout"}}, more...)
	}
	h := ingest.Hash{A: uint64(len(name)), B: flags}
	for _, c := range []byte(name) {
		h = h.Join(ingest.Hash{A: uint64(c), B: uint64(c)})
	}
	ref, known := a.HistogramHash(h)
	if !known {
		var err error
		if ref, err = a.LearnHistogram(h, labels(slo.NativeSuffix), flags); err != nil {
			t.Fatal(err)
		}
	}
	if !ref.Wanted() {
		t.Fatal("the histogram is not wanted")
	}
	start, err := a.AddHistogram(ref, h, now, start, flags, of, func(h ingest.Hash, more bus.Labels) (ingest.Ref, error) {
		return a.LearnHash(h, labels(slo.NativeSuffix, more...), flags)
	})
	if err != nil {
		t.Fatal(err)
	}
	count := h.Join(ingest.Hash{A: 1, B: 2})
	series, known := a.RefHash(count)
	if !known {
		if series, err = a.LearnHash(count, labels("_count"), flags); err != nil {
			t.Fatal(err)
		}
	}
	a.Add(series, now, start, of.Count)
}

// The latency of a service with native histograms would be counted wrongly: where processes begin anew, where histograms lose
// resolution, where many are merged, where scrapes are missed or sent twice, or where the engine's edge begins anew.
func TestHistogramsCountAsEachObservation(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		h, o := newHouse(t, ingest.Limits{}), latencyObjective(t)
		o.Percentiles = seed%2 == 1 // which must change nothing
		e := newEngine(t, o)
		h.SetObjectives(1, []slo.Objective{o})
		starts := seed%3 == 0
		var ps []*process
		for i := range 1 + r.IntN(5) {
			ps = append(ps, &process{name: fmt.Sprint("i", i), schema: int32(r.IntN(13)) - 4, started: h.clock() - bus.Hour, zero: []float64{0, 1e-128, 1e-9}[i%3]})
			ps[i].mark()
		}
		var good, exact, total, bound float64
		missed := false
		for round := range 80 {
			// A new edge has nothing to compare with: what begins anew while it does must say so by a start timestamp.
			restarted := round > 0 && r.IntN(25) == 0 && (starts || !missed)
			missed = false
			if restarted {
				stored := h.log.stored
				now := h.now
				h = newHouseAs(t, ingest.Limits{}, 1000*uint64(round))
				h.log.stored, h.now = stored, now
				h.SetObjectives(1, []slo.Objective{o})
			}
			times := 1 + r.IntN(2)
			var as []*ingest.Arrival
			for range times {
				as = append(as, h.Begin(ingest.Sender{Name: "prometheus"}))
			}
			for _, p := range ps {
				if starts || !restarted {
					p.observe(r, h.clock()-bus.Second)
				} else {
					p.all = append(p.all, 0.1, 0.2, 0.29, 0.31, 4)
				}
				if round > 0 && (starts || !restarted) && r.IntN(6) == 0 {
					missed = true
					continue // a missed scrape
				}
				start := bus.Time(0)
				if starts {
					start = p.started
				}
				schema := p.schema
				for _, a := range as {
					schema = scrape(t, a, p, h.clock(), start)
				}
				if p.shown {
					g, within, x := below(p.all[p.counted:], schema)
					good, bound, exact, total = good+g, bound+within, exact+x, total+float64(len(p.all)-p.counted)
				}
				p.shown, p.counted = true, len(p.all)
			}
			for _, a := range as {
				h.commit(t, a)
			}
			e.follow(&h.log, h.clock(), 15)
			h.pass(15 * bus.Second)
		}
		for range 4 { // so that the last round is closed
			a := h.Begin(ingest.Sender{Name: "prometheus"})
			for _, p := range ps {
				p.all = p.all[:p.counted]
				scrape(t, a, p, h.clock(), 0)
			}
			h.commit(t, a)
			e.follow(&h.log, h.clock(), 15)
			h.pass(15 * bus.Second)
		}
		got := e.events()
		if got.Total != total || math.Abs(got.Good-good) > 1e-6*total {
			t.Errorf("seed %d: %.6f of %.0f, want %.6f of %.0f", seed, got.Good, got.Total, good, total)
		}
		if math.Abs(got.Good-exact) > bound+1e-6*total {
			t.Errorf("seed %d: %.3f are counted, %.0f are at most 0.3: more apart than the %.0f in the buckets that hold it", seed, got.Good, exact, bound)
		}
	}
}

// A histogram too many would be dropped without a word: its SLO would go on as if nothing were missing.
func TestHistogramsOverTheBoundAreTold(t *testing.T) {
	h, o := newHouse(t, ingest.Limits{Histograms: 1}), latencyObjective(t)
	e := newEngine(t, o)
	h.SetObjectives(1, []slo.Objective{o})
	for range 8 {
		a := h.Begin(ingest.Sender{Name: "prometheus"})
		offer(t, a, "one", h.clock(), 0, 0, &slo.Histogram{Count: 1, Zero: 1})
		_, err := a.LearnHistogram(ingest.Hash{A: 7, B: 7}, bus.Labels{{Name: "__name__", Value: "latency" + slo.NativeSuffix}, {Name: "instance", Value: "two"}}, 0)
		if want := "series refused: SeriesLimit: 2, at most 1"; err == nil || err.Error() != want {
			t.Fatalf("%v, want %s", err, want)
		}
		h.commit(t, a)
		e.follow(&h.log, h.clock(), 15)
		h.pass(15 * bus.Second)
	}
	if it, _ := e.view.Get("shop", "checkout", "latency"); it.Reason != slo.ReasonSeriesLimit {
		t.Errorf("%s %s, want SeriesLimit", it.State, it.Reason)
	}
}

// A histogram that ended and came back would count its history again, or a gauge histogram would be counted as a counter.
func TestHistogramsThatEnd(t *testing.T) {
	h, o := newHouse(t, ingest.Limits{}), latencyObjective(t)
	e := newEngine(t, o)
	h.SetObjectives(1, []slo.Objective{o})
	total := 100.0
	for i := range 10 {
		a := h.Begin(ingest.Sender{Name: "prometheus"})
		of := &slo.Histogram{Schema: 3, Count: total, Positive: []slo.Bucket{{Index: -40, Count: total - 10}, {Index: 40, Count: 10}}}
		if i == 5 {
			offerEnd(t, a, "one", h.clock())
		} else {
			offer(t, a, "one", h.clock(), 0, 0, of)
		}
		total += 7
		h.commit(t, a)
		e.follow(&h.log, h.clock(), 15)
		h.pass(15 * bus.Second)
	}
	if got := e.events(); got.Good != got.Total || got.Total < 49 || got.Total > 63 {
		t.Errorf("%v of %v, want about 60 of 60", got.Good, got.Total)
	}
	if n := h.Stats().Series; n != 16+1 {
		t.Errorf("%d series are kept, want 16 parts and the count", n)
	}
}

func offerEnd(t testing.TB, a *ingest.Arrival, name string, now bus.Time) {
	t.Helper()
	h := ingest.Hash{A: uint64(len(name))}
	for _, c := range []byte(name) {
		h = h.Join(ingest.Hash{A: uint64(c), B: uint64(c)})
	}
	ref, known := a.HistogramHash(h)
	if !known {
		t.Fatal("the histogram is not known")
	}
	if _, err := a.AddHistogram(ref, h, now, 0, 0, nil, func(ingest.Hash, bus.Labels) (ingest.Ref, error) { return ingest.Ref{}, fmt.Errorf("a part is new") }); err != nil {
		t.Fatal(err)
	}
}

// Bounds that change while a histogram counts on would count its history a second time, or lose more than one interval.
func TestOtherPartsDoNotCountHistory(t *testing.T) {
	h, o := newHouse(t, ingest.Limits{}), latencyObjective(t)
	e := newEngine(t, o)
	h.SetObjectives(1, []slo.Objective{o})
	for i := range 12 {
		n := float64(1000 + 10*i)
		of := &slo.Histogram{Schema: slo.CustomBuckets, Count: n, Bounds: []float64{0.1, 0.3}, Positive: []slo.Bucket{{Index: 1, Count: n}}}
		if i >= 5 {
			of.Bounds, of.Positive = []float64{0.2, 0.3, 1}, []slo.Bucket{{Index: 0, Count: 400}, {Index: 1, Count: n - 400}}
		}
		a := h.Begin(ingest.Sender{Name: "prometheus"})
		for _, name := range []string{"one", "two"} { // the other one proves that a new series was born
			if name == "two" {
				of = &slo.Histogram{Schema: 0, Count: 5, Positive: []slo.Bucket{{Index: -5, Count: 5}}}
			}
			offer(t, a, name, h.clock(), 0, 0, of)
		}
		h.commit(t, a)
		e.follow(&h.log, h.clock(), 15)
		h.pass(15 * bus.Second)
	}
	if got := e.events(); got.Total < 90 || got.Total > 110 || got.Total-got.Good != 10 {
		t.Errorf("%v of %v, want all but one interval of 10", got.Good, got.Total)
	}
}

// Where requests are spread over several processes, each would find out by itself that a histogram began anew, and count it again.
func TestTwoEdgesCountARestartOnce(t *testing.T) {
	o := latencyObjective(t)
	e := newEngine(t, o)
	edges := []*house{newHouseAs(t, ingest.Limits{}, 100), newHouseAs(t, ingest.Limits{}, 1_000_000)}
	for _, h := range edges {
		h.SetObjectives(1, []slo.Objective{o})
	}
	now, stored := t0, [][]byte(nil)
	for i := range 40 {
		n := float64(1000 + 10*i)
		if i >= 10 {
			n = float64(10 * (i - 9)) // it began anew
		}
		h := edges[i%2]
		h.now, h.log.stored = now, stored
		a := h.Begin(ingest.Sender{Name: "prometheus"})
		offer(t, a, "one", now, 0, 0, &slo.Histogram{Schema: 3, Count: n, Positive: []slo.Bucket{{Index: -40, Count: n}}})
		h.commit(t, a)
		stored = h.log.stored
		e.follow(&h.log, now, 15)
		now += 15 * bus.Second
	}
	if got := e.events(); got.Good != got.Total || got.Total < 370 || got.Total > 390 {
		t.Errorf("%v of %v, want about 390 of 390", got.Good, got.Total)
	}
}

// The percentiles of native histograms would lie beside the bounds that are told with them, or those be wider than the grid is.
func TestPercentilesOfHistograms(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	h, o := newHouse(t, ingest.Limits{}), latencyObjective(t)
	o.Percentiles = true
	e := newEngine(t, o)
	h.SetObjectives(1, []slo.Objective{o})
	ps := []*process{{name: "a", schema: 3}, {name: "b", schema: 5}, {name: "c", schema: 2}}
	var all []float64
	for round := range 60 {
		a := h.Begin(ingest.Sender{Name: "prometheus"})
		for _, p := range ps {
			for range r.IntN(60) {
				p.all = append(p.all, 0.2*math.Exp(0.8*r.NormFloat64()))
			}
			if round > 0 && round < 57 {
				all = append(all, p.all[p.counted:]...)
			} else if round >= 57 {
				p.all = p.all[:p.counted] // so that the last ones are closed
			}
			p.counted = len(p.all)
			scrape(t, a, p, h.clock(), 0)
		}
		if round == 30 {
			ps[0].schema = 1 // it is coarser from now on, and its parts are others
		}
		h.commit(t, a)
		e.follow(&h.log, h.clock(), 15)
		h.pass(15 * bus.Second)
	}
	it, _ := e.view.Get("shop", "checkout", "latency")
	if len(it.Percentiles) != 2 {
		t.Fatalf("%+v", it.Percentiles)
	}
	slices.Sort(all)
	p := it.Percentiles[1]
	if lost := float64(len(all)) - p.Count; lost < 0 || lost > 60 {
		t.Errorf("%g of %d; what is lost is one interval of one histogram", p.Count, len(all))
	}
	for i, q := range []*slo.Quantile{p.P50, p.P90, p.P99} {
		want := all[int([]float64{0.5, 0.9, 0.99}[i]*float64(len(all)))]
		if q == nil || q.Upper == nil || want <= q.Lower || want > *q.Upper || *q.Upper/q.Lower > 1.42 {
			t.Errorf("quantile %d is %g, told %+v", i, want, q)
		}
	}
}
