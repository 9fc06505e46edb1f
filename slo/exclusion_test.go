package slo

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

func exclusionRef(name string) mesh.Ref {
	return mesh.Ref{APIVersion: ExclusionVersion, Kind: KindExclusion, Namespace: "default", Name: name}
}

func (s *sim) exclude(name string, x Exclusion) {
	s.change(mesh.Change{Accepted: true, Set: []mesh.Definition{{Ref: exclusionRef(name), GlobalNamespace: x.GlobalNamespace, Compiled: mustJSON(x)}}})
}

// once is an exclusion of checkout from one second of the simulation to another.
func once(from, until int64) Exclusion {
	start := int64(simStart / bus.Second)
	return Exclusion{GlobalNamespace: "shop", Services: []string{"checkout"}, Once: []Span{{start + from, start + until}}, Reason: "SHOP-1: a new data base"}
}

// serve sends samples every second for some seconds, good and bad of them in each.
func (s *sim) serve(seconds int, good, bad float64) {
	for range seconds {
		s.good, s.bad = s.good+good, s.bad+bad
		s.send(prom, point{series: "200@a", t: s.now, v: s.good}, point{series: "500@a", t: s.now, v: s.bad})
		s.flush()
		s.run(1)
	}
}

func (s *sim) corrections() []CorrectionEvent {
	var out []CorrectionEvent
	for _, d := range s.drafts {
		if d.Event == nil || d.Event.Type != CorrectionEventType {
			continue
		}
		var e CorrectionEvent
		if err := json.Unmarshal(d.Data, &e); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// ledger adds up all minutes.
func (s *sim) ledger() (good, total float64, covered, excluded int) {
	for _, d := range s.drafts {
		if !strings.HasPrefix(d.Subject, SubjectLedgerFrame) {
			continue
		}
		f, err := DecodeLedgerFrame(d.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range f.Entries {
			good, total = good+e.Good+e.LateGood, total+e.Total+e.LateTotal
			covered, excluded = covered+e.Covered, excluded+e.Excluded
		}
	}
	return good, total, covered, excluded
}

// Planned maintenance would cost budget, page at night or look like a gap: what is excluded is in no window, no ledger and no coverage.
func TestExclusionBefore(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	s.exclude("deploy", once(600, 1200))
	s.serve(600, 10, 0)
	s.serve(600, 0, 10) // all fails
	s.serve(600, 10, 0)
	s.run(20)
	st := s.status()
	// The first sample of each series counts nothing.
	if want := (Events{11990, 11990}); st.Events != want {
		t.Errorf("events %v, want %v", st.Events, want)
	}
	if as := s.alerts(); len(as) > 0 {
		t.Errorf("alerts: %v", as)
	}
	if st.Coverage != 1199.0/1200 { // the first sample covers nothing
		t.Errorf("coverage %v", st.Coverage)
	}
	if d := cmp.Diff(&Excluded{Seconds: 600}, st.Excluded); d != "" {
		t.Errorf("excluded (-want +got):\n%s", d)
	}
	for i := range st.BurnRates {
		if r := st.BurnRates[i].Rate; r == nil || *r != 0 {
			t.Errorf("burn rate over %s: %v", st.BurnRates[i].Window, r)
		}
	}
	s.run(60)
	if good, total, covered, excluded := s.ledger(); good != 11990 || total != 11990 || covered != 1199 || excluded != 600 {
		t.Errorf("the ledger has %v of %v, %v seconds and %v excluded", good, total, covered, excluded)
	}
	if cs := s.corrections(); len(cs) > 0 {
		t.Errorf("corrections: %v", cs)
	}
}

// Someone who looks at the numbers during maintenance would not know why they stand still; and who is paged would see the page end by
// itself, or another one begin.
func TestExclusionHoldsAlerts(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.99", "7d"))
	s.exclude("deploy", once(900, 1500))
	s.serve(600, 100, 0)
	s.serve(300, 50, 50)
	firing := s.alerts()
	if len(firing) == 0 || !strings.Contains(firing[0], "firing") {
		t.Fatalf("alerts: %v", firing)
	}
	s.serve(300, 100, 0)
	if as := s.alerts(); len(as) != len(firing) {
		t.Errorf("during the exclusion: %v", as[len(firing):])
	}
	st := s.status()
	want := &Excluded{Seconds: 294, Now: true, Until: Moment(simStart + 1500*bus.Second), Name: "default/deploy", Reason: "SHOP-1: a new data base"}
	if d := cmp.Diff(want, st.Excluded); d != "" {
		t.Errorf("excluded (-want +got):\n%s", d)
	}
	if st.State != StateUnknown || st.Reason != ReasonExcluded {
		t.Errorf("state %s %s", st.State, st.Reason)
	}
	s.serve(2000, 100, 0)
	if as := s.alerts(); len(as) == len(firing) || !strings.Contains(as[len(firing)], "resolved") {
		t.Errorf("after the exclusion: %v", as[len(firing):])
	}
	if st := s.status(); st.State != StateHealthy && st.State != StateExhausted || st.Excluded.Now {
		t.Errorf("after the exclusion: %s %s, %+v", st.State, st.Reason, st.Excluded)
	}
}

// A night's maintenance without data would raise an alert of absent data.
func TestExclusionHoldsAbsence(t *testing.T) {
	o := simObjective(t, "0.99", "7d")
	o.Alerting.Disabled = true
	o.Alerting.Extra = []Tier{{Name: "absent", Severity: SeverityTicket, Absent: Duration(2 * bus.Minute)}}
	s := newSim(t)
	s.define(o)
	s.exclude("deploy", once(60, 1260))
	s.serve(60, 10, 0)
	s.run(1300)
	if as := s.alerts(); len(as) > 0 {
		t.Errorf("alerts: %v", as)
	}
	s.run(100)
	if as := s.alerts(); len(as) != 1 {
		t.Errorf("two minutes after the exclusion: %v", as)
	}
}

// Slices of time that are excluded would count as bad, or be missing in the budget: 98 % of a day without an hour is 27 min 36 s.
func TestExclusionOfSlices(t *testing.T) {
	for _, none := range []string{NoDataBad, NoDataGood, NoDataHold, NoDataExclude} {
		o := simObjective(t, "0.98", "1d")
		o.Method, o.Slice, o.OnNoData = MethodTimeslices, &Slice{Length: Duration(bus.Minute), Target: MustDecimal("0.9")}, none
		o.Alerting.Disabled = true
		s := newSim(t)
		start := int64(simStart / bus.Second)
		s.now = bus.Time(start-start%86400) * bus.Second
		begin := secondOf(s.now)
		s.define(o)
		x := once(0, 1)
		x.Once = []Span{{begin + 610, begin + 610 + 3600}} // from the 10th second of the 11th minute on
		s.exclude("deploy", x)
		s.serve(600, 10, 0)
		s.serve(60, 10, 0)
		s.serve(3540, 0, 10)
		s.serve(60, 10, 0) // of its minute, the first ten seconds are excluded
		s.serve(600, 10, 0)
		s.run(60)
		st := s.status()
		good := st.Events.Good
		if st.Events.Total != good || st.Budget.Consumed != 0 {
			t.Errorf("%s: %v", none, st.Events)
		}
		if want := 1440.0 - 59; st.Slices != want && none != NoDataExclude {
			t.Errorf("%s: %v slices, want %v", none, st.Slices, want)
		}
	}
}

// An exclusion that is written after the trouble would change nothing, or more than it says: whole slices go, an edge goes by its share
// of time, the ledger goes with them, and an event says what was and what is.
func TestExclusionAfterwards(t *testing.T) {
	s := newSim(t)
	o := simObjective(t, "0.99", "7d")
	o.Alerting.Disabled = true
	s.define(o)
	s.serve(600, 10, 0)
	s.serve(300, 0, 10)
	s.serve(300, 10, 0)
	s.run(20)
	before := s.status()
	s.exclude("outage", once(600, 900))
	after := s.status()
	if before.Events != (Events{8990, 11990}) {
		t.Fatalf("before: %v", before.Events)
	}
	// Seconds from 600 on are slices of five seconds of the 5 m window; only this window and 7 d count without alerts.
	if lost := before.Events.Total - after.Events.Total; lost < 2900 || lost > 3100 {
		t.Errorf("%v events are out", lost)
	}
	cs := s.corrections()
	if len(cs) != 1 {
		t.Fatalf("%d corrections", len(cs))
	}
	c := cs[0]
	if c.Reason != ReasonExclusionApplied || c.Seconds != 300 || c.Before.Events != before.Events || c.After.Events != after.Events || c.Why == "" {
		t.Errorf("%+v", c)
	}
	bad := after.Events.Total - after.Events.Good
	if bad > c.ErrorMax {
		t.Errorf("%v bad events are left and the error is said to be at most %v", bad, c.ErrorMax)
	}
	s.serve(90, 0, 0)
	if good, total, _, _ := s.ledger(); good != after.Events.Good || total != after.Events.Total {
		t.Errorf("the ledger has %v of %v, the window %v", good, total, after.Events)
	}
	// Said again and taken away, it changes nothing; what is taken away is told.
	s.exclude("outage", once(600, 900))
	s.change(mesh.Change{Accepted: true, Deleted: []mesh.Ref{exclusionRef("outage")}})
	s.exclude("outage", once(600, 900))
	if got := s.status(); got.Events != after.Events || got.Excluded.Seconds != 300 {
		t.Errorf("%v, %+v", got.Events, got.Excluded)
	}
	if cs := s.corrections(); len(cs) != 2 || cs[1].Reason != ReasonExclusionRemoved || cs[1].Seconds != 300 || cs[1].Before.Events != cs[1].After.Events {
		t.Errorf("%+v", cs[1:])
	}
}

// With burn windows that still hold the time finely, the budget would be wrong by a slice of two hours.
func TestExclusionAfterwardsIsAsFineAsTheFinestWindow(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.99", "30d"))
	s.now -= s.now % (60 * bus.Second)
	begin := secondOf(s.now)
	s.serve(600, 10, 0)
	s.serve(300, 0, 10)
	s.serve(300, 10, 0)
	s.run(20)
	x := once(0, 1)
	x.Once = []Span{{begin + 600, begin + 900}}
	s.exclude("outage", x)
	if st := s.status(); st.Events.Good != st.Events.Total {
		t.Errorf("%v: the window of an hour has slices of a minute, and the exclusion begins and ends with one", st.Events)
	}
	if cs := s.corrections(); len(cs) != 1 || cs[0].ErrorMax != 0 {
		t.Errorf("%+v", cs)
	}
}

// Of slices of time the newest hour would be excluded by a share, though they are kept one by one.
func TestExclusionOfSlicesAfterwards(t *testing.T) {
	o := simObjective(t, "0.98", "1d")
	o.Method, o.Slice = MethodTimeslices, &Slice{Length: Duration(bus.Minute), Target: MustDecimal("0.9")}
	o.Alerting.Disabled = true
	s := newSim(t)
	s.now -= s.now % (60 * bus.Second)
	begin := secondOf(s.now)
	s.define(o)
	s.serve(600, 10, 0)
	s.serve(300, 0, 10)
	s.serve(300, 10, 0)
	s.run(60)
	x := once(0, 1)
	x.Once = []Span{{begin + 600, begin + 870}}
	s.exclude("outage", x)
	st := s.status()
	if st.Budget.Consumed != 1 || st.Slices != 1436 || st.Events.Total-st.Events.Good != 1 {
		t.Errorf("%v, budget %+v, %v slices: of five bad minutes four are excluded whole, the fifth counts what is left", st.Events, st.Budget, st.Slices)
	}
}

// What comes late for time that does not count would count after all.
func TestExclusionOfLateSamples(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.99", "30d"))
	s.exclude("deploy", once(100, 200))
	s.serve(300, 10, 0)
	s.send(bus.Source{Sender: "late", Newest: s.now}, point{series: "500@b", t: simStart + 50*bus.Second, v: 0}, point{series: "500@b", t: simStart + 150*bus.Second, v: 7},
		point{series: "500@b", t: simStart + 220*bus.Second, v: 8}, // since 150: in part of excluded time
		point{series: "500@b", t: simStart + 250*bus.Second, v: 10})
	s.flush()
	s.run(10)
	if st := s.status(); st.Events.Total-st.Events.Good != 2 {
		t.Errorf("%v", st.Events)
	}
}

// A budget would change by half without a word when a sender comes back.
func TestLateDataIsTold(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.99", "30d"))
	s.serve(600, 100, 0)
	late := func(v float64, at bus.Time) {
		s.send(bus.Source{Sender: "late", Newest: s.now}, point{series: "500@b", t: simStart + at*bus.Second, v: v})
		s.flush()
	}
	late(0, 100)
	late(200, 200) // of a budget of 600
	s.serve(120, 100, 0)
	cs := s.corrections()
	if len(cs) != 1 || cs[0].Reason != ReasonLateData || cs[0].After.Budget.Consumed != 200 || cs[0].Before.Budget.Consumed != 0 || cs[0].Exclusion != nil {
		t.Fatalf("%+v", cs)
	}
	late(202, 210) // less than 1 %
	s.serve(120, 100, 0)
	if cs := s.corrections(); len(cs) != 1 {
		t.Errorf("%+v", cs[1:])
	}
}

// One team's exclusions would stop another's alerts, or fill the engine.
func TestExclusionsMatchAndAreBounded(t *testing.T) {
	for _, c := range []struct {
		x    Exclusion
		want bool
	}{
		{Exclusion{GlobalNamespace: "shop", Services: []string{"checkout"}}, true},
		{Exclusion{GlobalNamespace: "shop", Services: []string{"*"}}, true},
		{Exclusion{GlobalNamespace: "bank", Services: []string{"*"}}, false},
		{Exclusion{GlobalNamespace: "shop", Services: []string{"cart"}}, false},
		{Exclusion{GlobalNamespace: "shop", SLOs: []string{"latency", "availability"}}, true},
		{Exclusion{GlobalNamespace: "shop", Services: []string{"*"}, SLOs: []string{"latency"}}, false},
	} {
		o := simObjective(t, "0.99", "30d")
		if e := (exclusion{Exclusion: c.x}); e.matches(&o) != c.want {
			t.Errorf("%+v: %t", c.x, !c.want)
		}
	}
	s := newSim(t)
	for i := range MaxExclusions + 1 {
		s.exclude(fmt.Sprint("x", i), once(0, 10))
	}
	other := once(0, 10)
	other.GlobalNamespace = "bank"
	s.exclude("other", other)
	var denied []DefinitionDetail
	for _, d := range s.drafts {
		if d.Subject == SubjectDefinitionDetail {
			var e DefinitionDetail
			if err := json.Unmarshal(d.Data, &e); err != nil {
				t.Fatal(err)
			}
			denied = append(denied, e)
		}
	}
	if len(denied) != 1 || denied[0].Reason != DefinitionRefused || !strings.Contains(denied[0].Message, "has 100 exclusions already") {
		t.Errorf("%+v", denied)
	}
	s.change(mesh.Change{Accepted: true, Set: []mesh.Definition{{Ref: exclusionRef("x"), Compiled: []byte(`{"globalNamespace":"shop"}`)}}})
	if len(s.stage.exclusions) != MaxExclusions+1 {
		t.Errorf("%d are held", len(s.stage.exclusions))
	}
}

// A correction would promise an error that it does not keep: against a list of all events, what is wrong is at most what the event says.
func TestExclusionAfterwardsKeepsItsError(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	inexact := 0
	for round := range 12 {
		s := newSim(t)
		o := simObjective(t, "0.99", "30d")
		if round%3 == 1 {
			o.Window = NewCalendarWindow(Calendar{Unit: UnitMonth, Count: 1, Start: "2027-01-01 00:00:00", Zone: utcZone})
		}
		if round%3 == 2 {
			o.Alerting.Disabled = true // and no window but that of five minutes helps
		}
		s.define(o)
		var good, bad [3 * 3600]float64
		for i := range good {
			if i%5 == 0 && i > 0 {
				good[i], bad[i] = float64(rnd.IntN(20)), float64(rnd.IntN(1+3*(i/600%3)))
			}
			s.good, s.bad = s.good+good[i], s.bad+bad[i]
			if i%5 == 0 {
				s.send(prom, point{series: "200@a", t: s.now, v: s.good}, point{series: "500@a", t: s.now, v: s.bad})
				s.flush()
			}
			s.run(1)
		}
		s.run(20)
		for k := range 4 {
			from := rnd.Int64N(3 * 3600)
			until := min(3*3600, from+1+rnd.Int64N(3000))
			for i := from; i < until; i++ {
				good[i], bad[i] = 0, 0
			}
			s.exclude(fmt.Sprint("x", k), once(from, until))
		}
		var want Events
		for i := range good {
			want.Good += good[i]
			want.Total += good[i] + bad[i]
		}
		errorMax := 0.0
		for _, c := range s.corrections() {
			errorMax += c.ErrorMax
		}
		inexact += bToInt(errorMax > 0)
		got := s.status().Events
		if math.Abs(got.Total-want.Total) > errorMax || math.Abs(got.Total-got.Good-want.Total+want.Good) > errorMax || got.Good > got.Total || !isWhole(cell{got.Good, got.Total}) {
			t.Errorf("round %d: %v, want %v, error at most %v", round, got, want, errorMax)
		}
	}
	if inexact == 0 {
		t.Error("no round has an edge")
	}
}

// Reports over months would stop at the upgrade: minutes that were written before exclusions were known are read, and both tell the same.
func TestLedgerOfBothVersions(t *testing.T) {
	want := &LedgerFrame{Partition: 3, Minute: 60_000, Entries: []LedgerEntry{{StatusKey: StatusKey{"a", "b", "c"}, Generation: 1, Good: 1.5, Total: 2, Covered: 40, LateGood: -1, LateTotal: 4}}}
	b := EncodeLedgerFrame(want)
	b[4] = 1                                    // the version
	old, err := DecodeLedgerFrame(b[:len(b)-2]) // neither late minutes nor excluded seconds
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, old); d != "" {
		t.Errorf("version 1 (-want +got):\n%s", d)
	}
	want.Entries[0].Excluded = 20
	got, err := DecodeLedgerFrame(EncodeLedgerFrame(want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
