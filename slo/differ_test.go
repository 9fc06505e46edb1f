package slo

import (
	"fmt"
	"strings"
	"testing"

	"evenkeel.dev/bus"
)

// differs renders the alerts of a correction: tier, what it did, what it would have done, and the rates of the long window.
func differs(c CorrectionEvent) string {
	var out []string
	for _, d := range c.Alerts {
		s := fmt.Sprintf("%s fired %v would %v", d.Tier, d.Fired, d.WouldFire)
		if d.Pair != nil {
			s += fmt.Sprintf(" %.0f->%.0f", d.Was.LongRate, d.Pair.LongRate)
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

// Somebody was woken by what was maintenance, as was written down afterwards; the next morning the correction does not say that
// the page would not have come, or says so of one for which nothing changes.
func TestCorrectionTellsAlertsThatWouldNotHaveFired(t *testing.T) {
	for name, c := range map[string]struct {
		from, until int64
		want        string
	}{
		"all of the outage":      {600, 720, "ticket fired true would false 1->0; page fired true would false 6->0"},
		"until both have fired":  {600, 660, "ticket fired true would false 1->0; page fired true would false 6->0"},
		"after they have fired":  {660, 720, ""},
		"a time without failure": {100, 300, ""},
	} {
		s := newSim(t)
		s.define(simObjective(t, "0.99", "30d"))
		s.serve(600, 100, 0)
		s.serve(120, 0, 100)
		s.serve(400, 100, 0)
		fired := strings.Join(s.alerts(), "\n")
		if !strings.Contains(fired, "page firing") || !strings.Contains(fired, "ticket firing") {
			t.Fatal(fired)
		}
		s.exclude("outage", once(c.from, c.until))
		cs := s.corrections()
		if len(cs) != 1 {
			t.Fatalf("%s: %+v", name, cs)
		}
		if got := differs(cs[0]); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A phone that reported its errors half an hour late would have woken somebody, and nobody learns it; neither when what came late goes on for
// ten minutes after the errors.
func TestCorrectionTellsAlertsThatWouldHaveFired(t *testing.T) {
	for name, until := range map[string]bus.Time{"errors alone": 400, "a backlog": 1100} {
		s := newSim(t)
		o := simObjective(t, "0.99", "30d")
		o.Alerting.Tiers = []Tier{{Name: "page", Severity: SeverityPage, Pairs: []BurnPair{{Long: Duration(bus.Hour), Short: Duration(5 * bus.Minute), Factor: MustDecimal("14.4")}}}}
		s.define(o)
		s.serve(1200, 100, 0)
		at := func(code string, v float64, second bus.Time) {
			s.send(bus.Source{Sender: "late", Newest: s.now}, point{series: code + "@b", t: simStart + second*bus.Second, v: v})
			s.flush()
		}
		at("500", 0, 290)
		for i := range bus.Time(100) {
			at("500", float64(i+1)*300, 300+i)
		}
		for i := bus.Time(400); i < until; i += 10 {
			at("200", float64(i), i)
		}
		s.serve(120, 100, 0)
		cs := s.corrections()
		if len(cs) != 1 || !strings.HasPrefix(differs(cs[0]), "page fired false would true 0->") {
			t.Errorf("%s: %d corrections; %s", name, len(cs), differs(cs[0]))
		}
	}
}

// A restart would forget what was fired, and a correction after it say that nothing differs.
func TestFiringsSurviveARestart(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.99", "30d"))
	s.serve(600, 100, 0)
	s.serve(120, 0, 100)
	s.serve(200, 100, 0)
	state, err := s.stage.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if s.stage, err = NewStage(Config{Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.stage.Restore(state); err != nil {
		t.Fatal(err)
	}
	s.exclude("outage", once(600, 720))
	if cs := s.corrections(); len(cs) != 1 || len(cs[0].Alerts) != 2 {
		t.Errorf("%+v", cs)
	}
}
