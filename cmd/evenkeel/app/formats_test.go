package app

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evenkeel.dev/console"
)

// formats holds the objective of checkout as Sloth, Pyrra and OpenSLO v1alpha write it.
const formats = `version: prometheus/v1
service: checkout
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(http_requests_total{job="checkout",code=~"5.."}[{{.window}}]))
        total_query: sum(rate(http_requests_total{job="checkout"}[{{.window}}]))
    alerting: {name: CheckoutFails}
---
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: by-pyrra, labels: {pyrra.dev/service: checkout}}
spec:
  target: "99.9"
  window: 4w
  indicator:
    ratio:
      errors: {metric: 'http_requests_total{job="checkout",code=~"5.."}'}
      total: {metric: 'http_requests_total{job="checkout"}'}
---
apiVersion: openslo/v1alpha
kind: SLO
metadata: {name: by-alpha}
spec:
  service: checkout
  timeWindows: [{unit: Day, count: 28, isRolling: true}]
  objectives:
    - target: 0.999
      ratioMetrics:
        incremental: true
        good: {source: prometheus, queryType: promql, query: 'http_requests_total{job="checkout",code!~"5.."}'}
        total: {source: prometheus, queryType: promql, query: 'http_requests_total{job="checkout"}'}
`

// If it fails, files of Sloth, Pyrra or OpenSLO v1alpha do not run as they are: 'apply' refuses them, or they count something else than an
// OpenSLO file of the same objective would.
func TestFormatsRunAsTheyAre(t *testing.T) {
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
		for range 2 {
			a := e.apply(formats)
			if len(a.Objects) != 3 || a.Objects[0].Ref.Name != "checkout--availability" {
				t.Fatalf("applied: %+v", a.Objects)
			}
		}
		c := &counters{}
		for range 12 {
			c.good, c.bad = c.good+95, c.bad+5
			e.write(time.Now(), c.values())
			time.Sleep(5 * time.Second)
		}
		time.Sleep(30 * time.Second)
		for name, alerts := range map[string]int{"availability": 2, "by-pyrra": 5, "by-alpha": 2} {
			var s console.SLO
			e.get("/api/v1/slos/default/checkout/"+name, &s)
			if s.Events.Total != 1100 || s.Events.Good != 1045 || !s.SLIBad || len(s.Alerts) != alerts || s.Alerts[0].State != "firing" {
				t.Errorf("%s: %+v", name, s)
			}
		}
		// What it is converted to means the same objective, so that both cannot stand.
		converted, err := Convert([]console.File{{Name: "slos.yaml", Text: formats}})
		if err != nil {
			t.Fatal(err)
		}
		if status, b := e.do("POST", "/api/v1/definitions", e.admin, converted.Text); status != 422 || !strings.Contains(string(b), "is defined by PrometheusServiceLevel default/checkout--availability already") {
			t.Errorf("applying what was converted beside it: status %d: %s", status, b)
		}
	})
}
