package slo

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"evenkeel.dev/bus"
)

// A process of a test has a counter that only grows, and restarts now and then.
type process struct {
	value, epoch float64 // shown now; counted in earlier lives and lost to nobody
	begun        bus.Time
	last         float64
	lastT        bus.Time
}

// A user would see good and total counts that are not those of the services: over a random work load of resets, duplicates, disorder,
// stale markers, bad values, late and lost samples the stage counts exactly what a list of all increases adds up to.
func TestCountsAgreeWithOracle(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { countAgainstOracle(t, seed) })
	}
}

func countAgainstOracle(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 99))
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	codes := []string{"200", "500", "404", "200/a", "503"}
	good, total := new(big.Int), new(big.Int)
	ps := make([]process, len(codes))
	for range 1200 {
		s.now += bus.Second
		for i := range ps {
			p := &ps[i]
			p.value += float64(rnd.IntN(1000))
			if rnd.IntN(150) == 0 {
				p.value = float64(rnd.IntN(5))
			}
			if rnd.IntN(4) > 0 {
				continue // scraped every four seconds, about
			}
			at := s.now - bus.Time(rnd.IntN(2000))
			if rnd.IntN(20) == 0 {
				at -= 20 * bus.Second // late, behind the watermark
			}
			if at > p.lastT { // else it is out of order and counts nothing
				var d float64
				switch {
				case p.lastT == 0:
				case p.value < p.last:
					d = p.value
				default:
					d = p.value - p.last
				}
				total.Add(total, big.NewInt(int64(d)))
				if codes[i] == "200" {
					good.Add(good, big.NewInt(int64(d)))
				}
				p.last, p.lastT = p.value, at
			}
			s.send(prom, point{series: codes[i], t: at, v: p.value})
			dirt(s, rnd, codes[i], at)
		}
		if !s.b.Empty() {
			s.flush()
		}
		s.tick()
	}
	s.run(60)
	got := s.status().Events
	if big.NewInt(int64(got.Good)).Cmp(good) != 0 || big.NewInt(int64(got.Total)).Cmp(total) != 0 {
		t.Errorf("counted %.0f of %.0f, the oracle %s of %s", got.Good, got.Total, good, total)
	}
	checkLedger(t, s, got)
}

// dirt sends what must change nothing.
func dirt(s *sim, rnd *rand.Rand, code string, at bus.Time) {
	switch rnd.IntN(12) {
	case 0:
		s.send(prom, point{series: code, t: at, v: 1e9}) // a duplicate in time
	case 1:
		s.send(prom, point{series: code, t: at - bus.Second, v: 5})
	case 2:
		s.send(prom, point{series: code, t: at + 1, v: math.Float64frombits(staleBits)})
	case 3:
		s.send(prom, point{series: code, t: at + 1, v: math.NaN()})
	case 4:
		s.send(prom, point{series: code, t: at + 1, v: math.Inf(1)})
	case 5:
		s.send(prom, point{series: code, t: at + 1, v: -7})
	}
}

// checkLedger adds up the ledger's frames, which must give what was counted.
func checkLedger(t *testing.T, s *sim, want Events) {
	t.Helper()
	var got Events
	for _, d := range s.drafts {
		if d.Subject != SubjectLedgerFrame+"0" {
			continue
		}
		f, err := DecodeLedgerFrame(d.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range f.Entries {
			got.Good += e.Good + e.LateGood
			got.Total += e.Total + e.LateTotal
		}
	}
	m := s.stage.order[0].minute
	got.Good += m.good + m.lateGood
	got.Total += m.total + m.lateTotal
	if got != want {
		t.Errorf("the ledger adds up to %v, counted were %v", got, want)
	}
}

// A user would lose the first errors of each new process, or count those from before anyone looked: a first sample counts when its
// start timestamp lies after the source and the SLO were first seen.
func TestFirstSample(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	s.send(prom, point{series: "404", t: s.now, v: 1})
	s.flush()
	s.run(30)
	began := s.now - 20*bus.Second
	s.send(prom, point{series: "200", t: s.now, v: 40, start: began})                   // began while observed
	s.send(prom, point{series: "500", t: s.now, v: 1000, start: simStart - bus.Minute}) // began before
	s.send(prom, point{series: "503", t: s.now, v: 1000})                               // does not say
	s.flush()
	s.run(30)
	s.send(prom, point{series: "200", t: s.now, v: 50, start: began})
	s.send(prom, point{series: "503", t: s.now, v: 1100, start: s.now - bus.Second}) // began anew, and is higher than before
	s.flush()
	s.run(30)
	if got, want := s.status().Events, (Events{Good: 50, Total: 1150}); got != want {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// An OTLP user would see counts of a delta sum doubled by retries or differenced like a counter.
func TestDeltaSeries(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	s.refs["200"] = 0
	s.announce("200", 0, bus.SeriesDelta)
	src := bus.Source{Sender: "otel"}
	for i := range 10 {
		p := point{series: "200", t: s.now, v: 7, start: s.now - bus.Second}
		s.send(src, p)
		s.send(src, p)
		s.flush()
		s.run(1 + i%2)
	}
	s.run(20)
	if got := s.status().Events; got.Good != 70 {
		t.Errorf("counted %v, want 70", got.Good)
	}
}

// A user would see a gauge counted as if it were events.
func TestGaugeInACounterSLIIsBadData(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	s.refs["200"] = 0
	s.announce("200", 0, bus.SeriesGauge)
	for i := range 30 {
		s.send(prom, point{series: "200", t: s.now, v: float64(i)})
		s.flush()
		s.run(1)
	}
	if st := s.status(); st.Reason != ReasonBadData || st.Events.Total != 0 {
		t.Errorf("%s %s, %v events", st.State, st.Reason, st.Events.Total)
	}
}

// One tenant with too many series would take the counts of others with it: only the SLO over its bound is unknown.
func TestSeriesLimitHurtsOnlyTheOffender(t *testing.T) {
	s := newSim(t)
	s.stage.MaxSeriesPerSLO = 3
	small := simObjective(t, "0.99", "7d")
	small.Name = "small"
	small.SLI.Total.Terms[0].Selector = selectorOf(t, "__name__", "requests", "code", "~200|500")
	s.define(simObjective(t, "0.999", "30d"), small)
	for i := range 30 {
		for _, code := range []string{"200", "500", "501", "502", "503"} {
			s.send(prom, point{series: code, t: s.now, v: float64(i)})
		}
		s.flush()
		s.run(1)
	}
	if st := s.status(); st.Reason != ReasonSeriesLimit {
		t.Errorf("over the bound: %s %s", st.State, st.Reason)
	}
	if tr := s.stage.byKey[keyOf(&small)]; tr.state == StateUnknown || tr.rings.budget().total < 40 {
		t.Errorf("the other: %s %s, %v events", tr.state, tr.reason, tr.rings.budget().total)
	}
}
