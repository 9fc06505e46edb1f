package app

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/console"
)

const deafTarget = `apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: oncall, annotations: {evenkeel.dev/url: "http://127.0.0.1:9/hook", evenkeel.dev/watchdog: "false"}}
spec: {target: alertmanager-webhook}
`

// deliveries lists tier, what is told, state and reason of all deliveries.
func (e *engine) deliveries() []string {
	e.t.Helper()
	var in struct{ Items []console.Delivery }
	e.get("/api/v1/deliveries", &in)
	out := []string{}
	for _, d := range in.Items {
		out = append(out, fmt.Sprint(d.Tier, " ", d.Alert, " ", d.State, " ", d.Reason))
	}
	return out
}

// If it fails, a silence does not reach the stage through the log, what it holds cannot be seen, a ticket does not wait for its page, or what
// still fires after it is never told.
func TestSilencedBurst(t *testing.T) {
	data := t.TempDir()
	emptyPools()
	defer emptyPools()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		e := start(t, Settings{Data: data}, Surroundings{Listen: func(string, string) (net.Listener, error) { return p, nil }})
		defer func() {
			time.Sleep(tickPhase)
			e.stop()
		}()
		e.http.Transport = transport(p)
		e.apply(checkout)
		e.apply(deafTarget)
		var s console.Silence
		status, b := e.do("POST", "/api/v1/silences", e.admin, []byte(`{"service":"checkout","for":"1h","reason":"upgrade"}`))
		if err := json.Unmarshal(b, &s); status != 200 || err != nil || s.Author != "admin" || s.GlobalNamespace != "default" {
			t.Fatalf("silence: status %d: %s", status, b)
		}
		c := &counters{good: 100}
		for range 14 {
			e.write(time.Now(), c.values())
			time.Sleep(5 * time.Second)
			c.good, c.bad = c.good+50, c.bad+50
		}
		time.Sleep(10 * time.Second)
		if diff := cmp.Diff([]string{"page firing held Silenced", "ticket firing held Silenced"}, slices.Sorted(slices.Values(e.deliveries()))); diff != "" {
			t.Errorf("while it is silent (-want +got):\n%s", diff)
		}
		if status, b := e.do("DELETE", "/api/v1/silences/"+s.ID, e.admin, nil); status != 200 {
			t.Errorf("expire: status %d: %s", status, b)
		}
		time.Sleep(10 * time.Second)
		// The target's address is private, so that the page is refused; then the ticket, which waited for it, is tried.
		if diff := cmp.Diff([]string{"page firing dead Rejected", "ticket firing dead Rejected"}, slices.Sorted(slices.Values(e.deliveries()))); diff != "" {
			t.Errorf("after the silence (-want +got):\n%s", diff)
		}
		if n := len(e.eventLines("notify.silence")); n != 2 {
			t.Errorf("%d events of one silence, want 2", n)
		}
	})
}
