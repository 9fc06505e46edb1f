package peererrors

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/openslo"
	"evenkeel.dev/slo/promql"
	"evenkeel.dev/slo/zone"
)

// slothPeriod is what Sloth's default rule for the whole period computes: sum_over_time(slo:sli_error:ratio_rate5m[30d]) /
// count_over_time(slo:sli_error:ratio_rate5m[30d]), a mean of ratios in which five minutes of one request weigh as much as five of a
// million. The history has one reading a minute, the usual interval of rules.
func slothPeriod(h history) float64 {
	sum, n := 0.0, 0.0
	for i := 5; i < len(h); i++ {
		sum += h.errorRatio(i, 5)
		n++
	}
	return sum / n
}

// A service owner would believe that nine tenths of the budget are left when it is overspent: an hour with 25 times the usual traffic,
// of which 4 % fail, counts by its requests. Source: slok/sloth #618, #241, #332 (closed; the optimisation is on by default).
func TestBusyHour(t *testing.T) {
	w := newWorld(t, objective(t, "0.999", "30d"))
	h := w.traffic(nil, bus.Minute, 30*24*60, func(minute int) (float64, float64) {
		if hour := minute / 60; hour != 20*24+10 {
			return 50, 0
		}
		return 1200, 50 // 25 × 50
	})
	st := w.status()
	first := h[0]
	exact := (h.last().total - first.total - h.last().good + first.good) / (h.last().total - first.total)
	ours, sloth := (st.Events.Total-st.Events.Good)/st.Events.Total, slothPeriod(h)
	left := func(ratio float64) float64 { return 100 * (1 - ratio/0.001) }
	t.Logf("share of bad requests: exact %.5f %%, Evenkeel %.5f %%, Sloth's mean of ratios %.5f %%: %.1f times too low", 100*exact, 100*ours, 100*sloth, exact/sloth)
	t.Logf("budget left: exact %.0f %%, Evenkeel %.0f %%, by Sloth's rule %.0f %%", left(exact), 100**st.Budget.RemainingRatio, left(sloth))
	if ours != exact || exact/sloth < 22.5 || exact/sloth > 23.5 {
		t.Errorf("Evenkeel %v, exact %v, Sloth %v", ours, exact, sloth)
	}
	if st.State != slo.StateExhausted || left(sloth) < 90 {
		t.Errorf("state %s; by Sloth's rule %.0f %% are left", st.State, left(sloth))
	}
}

// An SLO would show nothing for thirty days since nobody called for five minutes: no traffic is no failure and no number, and it takes
// nothing away. Source: slok/sloth #133, #231, #440, #531 (0 / 0 is NaN, and a sum with one NaN is NaN).
func TestOneEmptyWindow(t *testing.T) {
	w := newWorld(t, objective(t, "0.999", "30d"))
	h := w.traffic(nil, bus.Minute, 3*24*60, func(minute int) (float64, float64) {
		if minute >= 1000 && minute < 1010 {
			return 0, 0
		}
		return 1999, 1
	})
	st := w.status()
	sloth := slothPeriod(h)
	t.Logf("share of bad requests by Sloth's rule %v, here %v of %v", sloth, st.Events.Total-st.Events.Good, st.Events.Total)
	if !math.IsNaN(sloth) {
		t.Errorf("the rule computes %v", sloth)
	}
	if st.SLI == nil || math.Abs(st.SLI.Float()-0.9995) > 1e-9 || st.State != slo.StateHealthy || st.Coverage < 0.999 {
		t.Errorf("SLI %v, state %s %s, coverage %v", st.SLI, st.State, st.Reason, st.Coverage)
	}
}

// A team would wait for a page that can never come: with an objective of 93 % everything may fail and the burn rate is 14.29, below the
// factor 14.4 that generators write into each rule. It is refused, with the reason and the highest factor. Source: kcp-dev/kcp-glbc #287,
// elastic/kibana #142521.
func TestAbsurdBurnFactor(t *testing.T) {
	if threshold := 14.4 * (1 - 0.93); threshold < 1 {
		t.Errorf("an error ratio of 1 is above %v", threshold)
	}
	c, err := openslo.New(openslo.Config{Compile: promql.Compile, Form: promql.Form, Select: promql.Select, Zone: zone.Of, EnvPrefix: "EVENKEEL_SECRET_"})
	if err != nil {
		t.Fatal(err)
	}
	k, err := mesh.NewKinds(c)
	if err != nil {
		t.Fatal(err)
	}
	docs, problems := yaml.Parse("slo.yaml", []byte(absurd))
	_, more := k.Compile(docs, nil)
	problems = append(problems, more...)
	if len(problems) != 1 || !strings.Contains(problems[0].String(), "slo.yaml:38:") || !strings.Contains(problems[0].String(), "can never be exceeded") || !strings.Contains(problems[0].String(), "14.285714") {
		t.Errorf("%v", problems)
	}
	// The default alerts leave such a pair out and keep the others, which can fire.
	tiers, notes := slo.DefaultTiers(slo.MustDecimal("0.93"), slo.Duration(30*bus.Day))
	if len(tiers) != 2 || len(tiers[0].Pairs) != 1 || tiers[0].Pairs[0].Factor.String() != "6" || len(notes) != 1 {
		t.Errorf("%v %v", tiers, notes)
	}
}

const absurd = `apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: on-call, annotations: {evenkeel.dev/url: "https://example.com/hook"}}
spec: {target: alertmanager-webhook}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: availability}
spec:
  service: checkout
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{target: 0.93}]
  indicator:
    metadata: {name: availability}
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource: {type: Prometheus, spec: {query: 'sum(rate(requests{code="200"}[5m]))'}}
        total:
          metricSource: {type: Prometheus, spec: {query: 'sum(rate(requests[5m]))'}}
  alertPolicies:
  - kind: AlertPolicy
    metadata: {name: fast}
    spec:
      notificationTargets: [{targetRef: on-call}]
      conditions:
      - kind: AlertCondition
        metadata: {name: fast-burn}
        spec:
          severity: page
          condition:
            kind: burnrate
            op: gt
            lookbackWindow: 1h
            alertAfter: 5m
            threshold: 14.4
      alertWhenBreaching: true
`

// A person would be woken below the rate that the team has chosen, or not above it: a factor of 2.5 stays 2.5. Pyrra prints factors
// without decimals into its rules, and its own 14, 7, 2 and 1 spend 2.1 %, 6.3 %, 7.1 % and 14.3 % of the budget where the workbook
// means 2 %, 5 %, 10 % and 10 %. Source: pyrra-dev/pyrra slo/rules.go, #775.
func TestIntegerFactors(t *testing.T) {
	if printed := fmt.Sprintf("%.f %.f", 2.5, 0.4); printed != "2 0" {
		t.Errorf("Pyrra's format prints %s", printed)
	}
	for _, c := range []struct {
		burn  float64 // true burn rate
		fires bool
	}{{2.3, false}, {2.7, true}} {
		o := objective(t, "0.99", "30d")
		hour, minutes := slo.Duration(bus.Hour), slo.Duration(5*bus.Minute)
		o.Alerting.Tiers = []slo.Tier{{Name: "page", Severity: slo.SeverityPage, Pairs: []slo.BurnPair{{Long: hour, Short: minutes, Factor: slo.MustDecimal("2.5")}}}}
		w := newWorld(t, o)
		w.traffic(nil, 30*bus.Second, 240, func(int) (float64, float64) { return 10_000 * (1 - c.burn/100), 100 * c.burn })
		if got := slices.Contains(w.alerts, "page firing"); got != c.fires {
			t.Errorf("burn rate %v: fires %v, want %v; rounded to 2 it would fire: %v", c.burn, got, c.fires, c.burn > 2)
		}
	}
	var shares []string
	for _, p := range []struct{ factor, long float64 }{{14, 1}, {7, 6}, {2, 24}, {1, 96}} {
		shares = append(shares, fmt.Sprintf("%.1f", 100*p.factor*p.long/(28*24)))
	}
	if got := strings.Join(shares, " "); got != "2.1 6.2 7.1 14.3" {
		t.Errorf("Pyrra's factors spend %s %% of the budget", got)
	}
	tiers, _ := slo.DefaultTiers(slo.MustDecimal("0.999"), slo.Duration(28*bus.Day))
	var factors []string
	for _, tier := range tiers {
		for _, p := range tier.Pairs {
			factors = append(factors, p.Factor.String())
		}
	}
	if got := strings.Join(factors, " "); got != "13.44 5.6 2.8 0.933333" {
		t.Errorf("28 days: factors %s", got)
	}
}
