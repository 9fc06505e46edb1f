package slo

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

var prom = bus.Source{Sender: "prometheus"}

// A user would see no budget, a wrong one, or no page at all: the whole way from samples to status and alerts.
func TestBurstPagesOnceAndResolvesOnce(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	s.tick()
	if got := s.status(); got.State != StateUnknown || got.Reason != ReasonNoDataYet {
		t.Fatalf("before data: %s %s", got.State, got.Reason)
	}
	good, bad := 0.0, 0.0
	for i := range 3600 {
		good += 100
		if i >= 600 && i < 900 {
			good -= 50
			bad += 50
		}
		s.send(prom, point{series: "200", t: s.now, v: good}, point{series: "500", t: s.now, v: bad})
		s.flush()
		s.run(1)
	}
	s.run(30)
	st := s.status()
	if want := good - 100; st.Events.Good != want || st.Events.Total != want+bad {
		t.Errorf("events %v, want %v of %v", st.Events, want, want+bad)
	}
	want := []string{"ticket firing BurnRateHigh", "page firing BurnRateHigh", "page resolved BurnRateLow"}
	if d := cmp.Diff(want, s.alerts()); d != "" {
		t.Errorf("alerts (-want +got):\n%s", d)
	}
}

// A user would be paged later than they could be: with a sample each second the page is told at most the lateness and two seconds
// after the second in which both windows went over.
func TestPageIsTimely(t *testing.T) {
	s := newSim(t)
	o := simObjective(t, "0.999", "30d")
	o.Alerting.Tiers = []Tier{{Name: "page", Severity: "page", Pairs: []BurnPair{{Long: Duration(bus.Hour), Short: Duration(5 * bus.Minute), Factor: MustDecimal("14.4")}}}}
	s.define(o)
	good, bad, crossed := 0.0, 0.0, bus.Time(0)
	for i := range 4200 {
		if i < 3600 {
			good += 100
		} else {
			bad += 50
			good += 50
		}
		s.send(prom, point{series: "200", t: s.now, v: good}, point{series: "500", t: s.now, v: bad})
		s.flush()
		if share := bad / float64(100*min(i, 3660)); crossed == 0 && share > 14.4*0.001*1.02 { // the hour holds up to 61 minutes
			crossed = s.now
		}
		s.run(1)
		if len(s.alerts()) > 0 {
			if late := s.now - crossed; crossed == 0 || late > s.stage.Lateness+2*bus.Second {
				t.Errorf("told %d ms after the windows went over", late)
			}
			return
		}
	}
	t.Error("no page")
}
