//go:build bench

package bench

import (
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/test/load"
)

var (
	seriesFlag   = flag.String("series", "100000,1000000", "sizes of the fleet, separated by commas")
	relevantFlag = flag.String("relevant", "10,100", "percent of the series that matter to some SLO, separated by commas")
	secondsFlag  = flag.Int("seconds", 15, "how long each server is driven")
	connsFlag    = flag.Int("conns", 8, "connections of the driver")
	peersFlag    = flag.Bool("others", true, "measure VictoriaMetrics and Prometheus too")
	alertsFlag   = flag.Int("alerts", 100, "alerts whose latency is measured, at most 100; 0 for none")
)

// Without these numbers nobody could tell whether Evenkeel carries their telemetry, and what a change cost.
func TestBench(t *testing.T) {
	span := time.Duration(*secondsFlag) * time.Second
	sizes, shares := numbers(t, *seriesFlag), numbers(t, *relevantFlag)
	var results []result
	for _, n := range sizes {
		for _, v := range []load.Version{load.V1, load.V2} {
			for _, share := range shares {
				results = append(results, one(t, startEvenkeel, fleet{n, share}, v, span))
			}
			if *peersFlag {
				results = append(results, one(t, startVictoriaMetrics, fleet{n, 100}, v, span), one(t, startPrometheus, fleet{n, 100}, v, span))
			}
		}
	}
	report := fmt.Sprintf("%d processors, %s, %d connections, %d series a request, %v each\n%s%s\n", runtime.NumCPU(), runtime.Version(), *connsFlag, perRequest, span, table(results), remarks)
	if *alertsFlag > 0 {
		report += latencyReport(t, results[0])
	}
	fmt.Print("\n" + report)
}

func one(t *testing.T, start func(testing.TB) *server, f fleet, v load.Version, span time.Duration) result {
	var r result
	t.Run(fmt.Sprintf("%d %d%% %v", f.series, f.relevant, v), func(t *testing.T) {
		s := start(t)
		r = measure(t, s, f, v, span, *connsFlag)
		t.Logf("%s: %.0f ns", s.name, r.nsPerSample())
	})
	return r
}

// latencyReport measures alerts at half of the rate that the first result reached.
func latencyReport(t *testing.T, full result) string {
	rate := float64(full.samples) / full.wall.Seconds() / 2
	var took []time.Duration
	t.Run("latency", func(t *testing.T) { took = runLatency(t, full.fleet, rate, *alertsFlag, *connsFlag) })
	return fmt.Sprintf("from arrival to alert event, at %.0f samples/s (half load), %d alerts: p50 %v, p99 %v, highest %v\n",
		rate, len(took), quantile(took, 0.5).Round(time.Millisecond), quantile(took, 0.99).Round(time.Millisecond), quantile(took, 1).Round(time.Millisecond))
}

func numbers(t *testing.T, list string) []int {
	t.Helper()
	var out []int
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n <= 0 {
			t.Fatalf("%q in %q is no number above 0", s, list)
		}
		out = append(out, n)
	}
	return out
}
