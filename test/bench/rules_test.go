//go:build bench || peers

package bench

import (
	"fmt"
	"strings"
)

// slothID are the labels that tell one SLO's recorded series from another's.
const slothID = `sloth_id="checkout-availability", sloth_service="checkout", sloth_slo="availability"`

// slothRules are the seventeen rules that Sloth makes by default of one SLO of events at 99.9 % over 30 days, written from its published
// examples (slok/sloth, examples/_gen/getting-started.yml): eight recorded error ratios, of which that of the period averages the
// five-minute one, seven more, and two alerts. Its groups have no interval of their own, so that Prometheus' default of a minute holds.
func slothRules(interval string) string {
	var b strings.Builder
	b.WriteString("groups:\n")
	group := func(name string) { fmt.Fprintf(&b, "- name: %s\n  interval: %s\n  rules:\n", name, interval) }
	rule := func(record, expr, more string) {
		fmt.Fprintf(&b, "  - record: %s\n    expr: %q\n    labels: {sloth_id: checkout-availability, sloth_service: checkout, sloth_slo: availability%s}\n", record, expr, more)
	}
	sel := func(record string) string { return record + "{" + slothID + "}" }
	group("sloth-slo-sli-recordings-checkout-availability")
	for _, w := range []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d"} {
		rule("slo:sli_error:ratio_rate"+w, fmt.Sprintf(`(sum(rate(http_requests_total{job="checkout",code=~"(5..|429)"}[%[1]s]))) / (sum(rate(http_requests_total{job="checkout"}[%[1]s])))`, w), ", sloth_window: "+w)
	}
	short := sel("slo:sli_error:ratio_rate5m")
	rule("slo:sli_error:ratio_rate30d", fmt.Sprintf("sum_over_time(%[1]s[30d]) / ignoring (sloth_window) count_over_time(%[1]s[30d])", short), ", sloth_window: 30d")
	group("sloth-slo-meta-recordings-checkout-availability")
	rule("slo:objective:ratio", "vector(0.999)", "")
	rule("slo:error_budget:ratio", "vector(1-0.999)", "")
	rule("slo:time_period:days", "vector(30)", "")
	on := " / on(sloth_id, sloth_slo, sloth_service) group_left " + sel("slo:error_budget:ratio")
	rule("slo:current_burn_rate:ratio", short+on, "")
	rule("slo:period_burn_rate:ratio", sel("slo:sli_error:ratio_rate30d")+on, "")
	rule("slo:period_error_budget_remaining:ratio", "1 - "+sel("slo:period_burn_rate:ratio"), "")
	rule("sloth_slo_info", "vector(1)", ", sloth_mode: cli-gen-prom, sloth_spec: prometheus/v1")
	group("sloth-slo-alerts-checkout-availability")
	pair := func(short, long, factor string) string {
		one := func(w string) string {
			return fmt.Sprintf("(%s > (%s * 0.001))", sel("slo:sli_error:ratio_rate"+w), factor)
		}
		return "(" + one(short) + " and ignoring (sloth_window) " + one(long) + ")"
	}
	for _, a := range [][2]string{{"page", pair("5m", "1h", "14.4") + " or ignoring (sloth_window) " + pair("30m", "6h", "6")}, {"ticket", pair("2h", "1d", "3") + " or ignoring (sloth_window) " + pair("6h", "3d", "1")}} {
		fmt.Fprintf(&b, "  - alert: CheckoutAvailability\n    expr: %q\n    labels: {sloth_severity: %s}\n", a[1], a[0])
	}
	return b.String()
}

// slothRatios is how many rules the group has that reads raw series.
const slothRatios = 8

// pyrraIncrease is the rule with which Pyrra counts the budget of a ratio whose errors and total are one metric, written from its source
// (pyrra-dev/pyrra, slo/rules.go): exact but for extrapolation. For 28 to 35 days it is evaluated every 150 s.
func pyrraIncrease(interval string) string {
	return fmt.Sprintf(`groups:
- name: checkout-availability-increase
  interval: %s
  rules:
  - record: http_requests:increase30d
    expr: 'sum by (code) (increase(http_requests_total{job="checkout"}[30d]))'
    labels: {job: checkout, slo: checkout-availability}
`, interval)
}

const (
	slothEvery   = 60.0  // seconds
	pyrraEvery   = 150.0 // seconds
	secondsOfDay = 86_400.0
)
