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
