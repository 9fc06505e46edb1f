package app

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"evenkeel.dev/console"
	"evenkeel.dev/slo"
)

// journey is a user's way through two services, and an SLO with a group for each instance.
const journey = `apiVersion: openslo/v1
kind: SLO
metadata:
  name: order
  annotations: {evenkeel.dev/composite: Worst, evenkeel.dev/composite-target: "99%"}
spec:
  service: shop
  budgetingMethod: Occurrences
  objectives:
    - displayName: Checkout
      target: 0.999
      indicator: &requests
        spec:
          ratioMetric:
            counter: true
            good: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{job="checkout",code!~"5.."}'}}}
            total: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{job="checkout"}'}}}
    - {displayName: Again, target: 0.999, indicator: *requests}
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: grouped
  annotations: {evenkeel.dev/group-by: instance}
spec:
  service: shop
  budgetingMethod: Occurrences
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{job="checkout",code!~"5.."}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{job="checkout"}'}}}
  objectives: [{target: 0.999}]
---
apiVersion: evenkeel.dev/v1beta1
kind: SLO
metadata: {name: regions}
spec:
  targetRef: {kind: Service, name: front}
  objective: 99.9%
  sli: {bad: 'http_requests_total{job="checkout",code=~"5.."}', total: 'http_requests_total{job="checkout"}'}
  groupBy: {labels: [instance], alerts: Both}
---
apiVersion: evenkeel.dev/v1beta1
kind: SLO
metadata: {name: all}
spec:
  targetRef: {kind: Service, name: front}
  objective: 99%
  composite:
    method: AllMustHold
    members:
      - {service: shop, slo: grouped, objective: 80%}
      - {service: front, slo: regions_a, objective: 95%}
`

// If it fails, a file with a composite or with groups is taken by a whole process and nothing is counted: from YAML over the log, both stages and
// the status frames to the API.
func TestJourneyAndGroups(t *testing.T) {
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
		c := &counters{}
		for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); {
			c.good, c.bad = c.good+90, c.bad+10
			e.write(time.Now(), c.values())
			time.Sleep(5 * time.Second)
		}
		time.Sleep(40 * time.Second)
		read := func(name string) console.SLO {
			var s console.SLO
			e.get("/api/v1/slos/default/"+name, &s)
			return s
		}
		roll, group, joint := read("shop/grouped"), read("shop/grouped_a"), read("shop/order")
		if roll.Groups == nil || roll.Groups.Count != 1 || roll.Events.Total == 0 || group.Events != roll.Events || group.Group["instance"] != "a" {
			t.Errorf("the roll-up is %+v, its group %+v", roll.Status, group.Status)
		}
		if n := joint.Events.Total; n < 3 || n > 6 || joint.Events.Good > 0.91*n || joint.Events.Good < 0.89*n || joint.State != slo.StateViolation && joint.State != slo.StateWarning {
			t.Errorf("the journey is %+v", joint.Status)
		}
		if own, all := read("front/regions_a"), read("front/all"); own.Events != roll.Events || all.Events.Total < 3 || all.Events.Total > 6 || all.Events.Good != 0 {
			t.Errorf("of the kind SLO, the group is %+v, the journey over it %+v", own.Status, all.Status)
		}
	})
}
