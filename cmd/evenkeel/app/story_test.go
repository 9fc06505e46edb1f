package app

import (
	"encoding/json"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// If it fails, a burst of errors pages nobody, or more than once, deleting the SLO leaves the page open, or the budget is not what was
// counted. (That the alert resolves by itself needs half an hour of ticks; package slo tests it.)
func TestBurstPagesOnce(t *testing.T) {
	data := t.TempDir()
	emptyPools()
	defer emptyPools()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		e := start(t, Settings{Data: data}, Surroundings{Listen: func(string, string) (net.Listener, error) { return p, nil }})
		defer func() {
			time.Sleep(tickPhase) // a commit that is cut leaves goroutines of the embedded server behind, which a bubble does not forgive
			e.stop()
		}()
		e.http.Transport = transport(p)
		e.apply(checkout)
		c := &counters{}
		traffic := func(d time.Duration, good, bad float64) {
			for end := time.Now().Add(d); time.Now().Before(end); {
				c.good, c.bad = c.good+good, c.bad+bad
				e.write(time.Now(), c.values())
				time.Sleep(5 * time.Second)
			}
		}
		traffic(30*time.Second, 100, 0)
		const first = 100 // what a counter shows at first sight has no beginning, and counts nothing
		traffic(40*time.Second, 50, 50)
		time.Sleep(30 * time.Second)

		s := e.slo()
		if !s.SLIBad || len(s.Alerts) != 2 || s.Alerts[0].State != "firing" {
			t.Errorf("after a minute of errors the status is %+v", s)
		}
		if want := c.good + c.bad - first; s.Events.Total != want || s.Events.Good != c.good-first {
			t.Errorf("counted %v good of %v, sent %v of %v", s.Events.Good, s.Events.Total, c.good-first, want)
		}
		if status, b := e.do("DELETE", "/api/v1/definitions/SLO/default/availability", e.admin, nil); status != 200 {
			t.Errorf("delete: status %d: %s", status, b)
		}
		time.Sleep(5 * time.Second)
		if diff := cmp.Diff([]string{"page firing BurnRateHigh", "page resolved Deleted"}, told(t, e, "page")); diff != "" {
			t.Errorf("page alerts (-want +got):\n%s", diff)
		}
	})
}

// emptyPools empties every sync.Pool: the NATS client keeps timers in one, and one of a bubble must not be used outside, nor the other
// way round. What a pool holds survives one collection.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}

// tickPhase is a moment between two ticks, when no stage commits.
const tickPhase = 500 * time.Millisecond

// told lists tier, state and reason of the firing and resolved alert events of a tier.
func told(t *testing.T, e *engine, tier string) []string {
	t.Helper()
	var out []string
	for _, l := range e.eventLines("slo.alert") {
		var v struct {
			Data struct{ Tier, State, Reason string }
		}
		if err := json.Unmarshal(l, &v); err != nil {
			t.Fatal(err)
		}
		if v.Data.Tier == tier && (v.Data.State == "firing" || v.Data.State == "resolved") {
			out = append(out, v.Data.Tier+" "+v.Data.State+" "+v.Data.Reason)
		}
	}
	return out
}
