//go:build bench || peers

package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// slothRules are the seventeen rules that Sloth makes by default of one SLO of events at 99.9 % over 30 days, those of the example tests: eight
// recorded error ratios, of which that of the period averages the five-minute one, seven more, and two alerts.
func slothRules(tb testing.TB, interval string) string {
	b, err := os.ReadFile("../../deploy/tests/checkout.rules.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "interval: 1m", "interval: "+interval)
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
