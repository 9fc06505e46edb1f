package slo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

func (s *sim) backfill(o Objective, from, until int64, ms ...PastMinute) {
	b := Backfill{GlobalNamespace: o.GlobalNamespace, Service: o.Service, SLO: o.Name, Counts: o.Counts(), Source: "a test", From: from, Until: until, Minutes: ms}
	if err := b.Validate(); err != nil {
		s.t.Fatal(err)
	}
	data, err := json.Marshal(b)
	if err != nil {
		s.t.Fatal(err)
	}
	s.step(bus.Record{Subject: SubjectBackfill, Data: data})
}

// A new SLO would begin with an empty budget although its history is known; or history that is sent twice, out of order or for another SLI
// would count twice or wrongly.
func TestBackfill(t *testing.T) {
	s := newSim(t)
	o := simObjective(t, "0.99", "7d")
	s.define(o)
	at := int64(simStart / bus.Minute)
	if got := s.status().CountedFrom; got != Moment(simStart) {
		t.Fatalf("counted from %s", got)
	}
	s.backfill(o, at-60, at, PastMinute{at - 60, 90, 100, 60}, PastMinute{at - 1, 100, 100, 60})
	s.backfill(o, at-60, at, PastMinute{at - 60, 90, 100, 60}) // again
	other := o
	other.SLI.Total = *o.SLI.Good
	s.backfill(other, at-120, at-60, PastMinute{at - 70, 0, 100, 60})
	s.backfill(o, at-180, at-120, PastMinute{at - 170, 0, 100, 60})                                    // one is missing between
	s.backfill(o, at-120, at-60, PastMinute{at - 100, 100, 100, 60})                                   // it
	s.backfill(o, at-180, at-120, PastMinute{at - 170, 100, 100, 0}, PastMinute{at - 121, 50, 50, 60}) // and now it fits
	s.run(5)
	st := s.status()
	if d := cmp.Diff(Events{Good: 440, Total: 450}, st.Events); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if want := Moment((at - 180) * int64(bus.Minute)); st.CountedFrom != want {
		t.Errorf("counted from %s, want %s", st.CountedFrom, want)
	}
	if n := s.stage.Stats.BackfillsRefused.Load(); n != 3 {
		t.Errorf("%d parts were refused, want 3", n)
	}
	var reasons []string
	for _, c := range s.corrections() {
		reasons = append(reasons, c.Reason)
	}
	if d := cmp.Diff([]string{ReasonBackfilled, ReasonBackfilled, ReasonBackfilled}, reasons); d != "" {
		t.Errorf("corrections (-want +got):\n%s", d)
	}
	s.traffic(60, func(int) (float64, float64) { return 10, 0 })
	s.run(20)
	st = s.status()
	if st.Events.Total != 450+590 {
		t.Errorf("what comes live is added: %v", st.Events)
	}
	if covered := 4*60.0 + 60; st.Coverage < (covered-2)/(181*60) || st.Coverage > (covered+2)/(180.5*60) {
		t.Errorf("coverage %v of three hours and a minute, of which five minutes are covered", st.Coverage)
	}
	if got := s.alerts(); len(got) > 0 {
		t.Errorf("what is over pages nobody: %v", got)
	}
}

// The budget would differ by how an SLO came to its past: one that was back-filled with the minutes of one that has counted them live has
// the same windows as that, within the minute that a back-filled event may be off.
func TestBackfillEqualsLive(t *testing.T) {
	for _, method := range []string{MethodOccurrences, MethodTimeslices} {
		live, filled := newSim(t), newSim(t)
		o := simObjective(t, "0.99", "7d")
		if method != MethodOccurrences {
			o = sliced(t, method, "0.99", "1m", "0.9", NoDataGood)
		}
		live.define(o)
		rnd := rand.New(rand.NewPCG(4, 4))
		live.traffic(6*3600, func(int) (float64, float64) {
			return float64(rnd.IntN(20)), float64(bToInt(rnd.IntN(100) == 0))
		})
		live.run(20)
		var minutes []PastMinute
		for _, d := range live.drafts {
			if d.Subject != SubjectLedgerFrame+"0" {
				continue
			}
			f, err := DecodeLedgerFrame(d.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range f.Entries {
				minutes = append(minutes, PastMinute{int64(f.Minute / bus.Minute), e.Good + e.LateGood, e.Total + e.LateTotal, e.Covered})
			}
		}
		filled.now = simStart + 6*bus.Hour
		filled.define(o)
		at, first := int64(filled.now/bus.Minute), int64(simStart/bus.Minute)
		filled.backfill(o, first, at, minutes...)
		filled.send(prom, point{series: "200", t: filled.now, v: 1})
		filled.flush()
		filled.run(20)
		got, want := filled.status(), live.status()
		if method == MethodTimeslices {
			want.Events.Good, want.Events.Total = got.Events.Good, got.Events.Total // the slice at hand is another
			if d := got.Events.Total - 360; d < -1 || d > 1 {
				t.Errorf("%v slices", got.Events.Total)
			}
		}
		if d := cmp.Diff(want.Events, got.Events); d != "" {
			t.Errorf("%s (-live +filled):\n%s", method, d)
		}
		for i, b := range want.BurnRates {
			g := got.BurnRates[i]
			if b.Window < Duration(bus.Hour) || b.Rate == nil || g.Rate == nil {
				continue
			}
			if d := *g.Rate / *b.Rate; d < 0.9 || d > 1.1 {
				t.Errorf("%s: burn rate over %s is %v, live %v", method, b.Window, *g.Rate, *b.Rate)
			}
		}
	}
}

// A hostile or broken client would put nonsense into a budget.
func TestBackfillMistakes(t *testing.T) {
	good := Backfill{GlobalNamespace: "a", Service: "b", SLO: "c", Counts: "d", From: 10, Until: 20, Minutes: []PastMinute{{12, 1, 2, 60}, {13, 1, 2, 60}}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for i, change := range []func(*Backfill){
		func(b *Backfill) { b.SLO = "" }, func(b *Backfill) { b.From = 0 }, func(b *Backfill) { b.Until = 10 }, func(b *Backfill) { b.Until = 10 + BackfillMinutes + 1 },
		func(b *Backfill) { b.Minutes = []PastMinute{{13, 1, 2, 60}, {12, 1, 2, 60}} }, func(b *Backfill) { b.Minutes = []PastMinute{{20, 1, 2, 60}} },
		func(b *Backfill) { b.Minutes = []PastMinute{{12, 1, 1e300, 60}} }, func(b *Backfill) { b.Minutes = []PastMinute{{12, 1, 2, -1}} },
	} {
		b := good
		change(&b)
		if b.Validate() == nil {
			t.Errorf("mistake %d was taken: %s", i, fmt.Sprint(b))
		}
	}
}
