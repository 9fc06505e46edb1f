package promql

import (
	"strings"
	"testing"
)

// The least, greatest or mean value of a slice would be asked for and each sample be judged, or the other way round.
func TestSelect(t *testing.T) {
	for query, want := range map[string]string{
		`queue{job="a"}`:                        `  queue{job="a"}`,
		`(queue)`:                               "  queue{}",
		`min_over_time(queue{job="a"}[2m])`:     `min 2m queue{job="a"}`,
		`max_over_time((queue[30s]))`:           "max 30s queue{}",
		`avg_over_time(queue[1m])`:              "avg 1m queue{}",
		`min(min_over_time(queue[2m]))`:         "min 2m queue{}",
		`max by (a) (max_over_time(queue[2m]))`: "max 2m queue{}",
		`max(min_over_time(queue[2m]))`:         "max of several series is not looked at",
		`avg(queue)`:                            "avg of several series is not looked at",
		`sum(min_over_time(queue[2m]))`:         "sum of several series is not looked at",
		`quantile_over_time(0.9, queue[2m])`:    "values are looked at as they come",
		`min_over_time(rate(queue[1m])[2m:])`:   "values are looked at as they come",
		`min_over_time(queue[2m] offset 1m)`:    "an offset would count events at another time",
	} {
		g, err := Select(query, false)
		got := g.Over + " "
		if g.Range > 0 {
			got += g.Range.String()
		}
		if got += " " + g.Selector.String(); err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if _, err := Select("min_over_time(queue[2m])", true); err == nil {
		t.Error("a raw ratio is that of each sample")
	}
}
