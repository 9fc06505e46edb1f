package app

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"evenkeel.dev/console"
	"evenkeel.dev/slo/report"
)

// If it fails, a report says other numbers than the status, loses groups and journeys, or does not see the alert, or a counter of the export is wrong: from the ledger and EVENTS
// of a whole process to the API.
func TestReportOfAProcess(t *testing.T) {
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
		e.apply(journey)
		e.apply(checkout)
		c := &counters{}
		quiet := time.Now().Add(4 * time.Minute)
		for end := quiet.Add(150 * time.Second); time.Now().Before(end); { // minutes are told when later samples come
			if time.Now().Before(quiet) {
				c.good, c.bad = c.good+90, c.bad+10
			}
			e.write(time.Now(), c.values())
			time.Sleep(5 * time.Second)
		}
		var got report.Period
		e.get("/api/v1/report", &got)
		if got.Complete || len(got.Notes) != 1 || got.Notes[0].Reason != "SoFar" || got.LedgerFrom != 0 || got.EventsFrom != 0 {
			t.Errorf("the month at hand: complete %t, notes %v", got.Complete, got.Notes)
		}
		_, metrics := e.do("GET", "/metrics/slo?names=pyrra,evenkeel", e.admin, nil)
		for _, name := range []string{"shop/grouped", "shop/grouped_a", "shop/order", "checkout/availability", "front/regions_a"} {
			var want console.SLO
			e.get("/api/v1/slos/default/"+name, &want)
			var has *report.PeriodSLO
			for i := range got.SLOs {
				if o := &got.SLOs[i]; o.Service+"/"+o.Name == name {
					has = o
				}
			}
			if has == nil || want.Events.Total == 0 || has.Good != want.Events.Good || has.Total != want.Events.Total || has.SLI == nil || has.SLI.Float() != want.SLI.Float() || has.StateAtEnd != want.State || has.RollUp != want.RollUp {
				t.Errorf("%s: the report says %+v, the status %+v", name, has, want.Status)
				continue
			}
			// The counters begin with the first frames that the process hears, and so does this engine.
			if line := fmt.Sprintf("\npyrra_requests_total{slo=%q} %g\n", name, has.Total); !bytes.Contains(metrics, []byte(line)) {
				t.Errorf("%s: the export does not say %s", name, line)
			}
			missed := has.Slice == 0 // the journey's budget is of the whole month
			if (has.Verdict == report.VerdictMissed) != missed || has.Days[0].Total != has.Total || has.CoveredSeconds < 180 {
				t.Errorf("%s: %s, %d s covered", name, has.Verdict, has.CoveredSeconds)
			}
			if name == "checkout/availability" && (len(has.Alerts) == 0 || has.Alerts[0].Fired != 1) {
				t.Errorf("%s: alerts %+v", name, has.Alerts)
			}
		}
	})
}
