//go:build bench

package bench

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"evenkeel.dev/test/peer"
)

var (
	daysFlag = flag.Int("days", 30, "days of history under the rules of Sloth and Pyrra; 0: leave Prometheus out")
	slosFlag = flag.Int("slos", 100_000, "SLOs in one process; 0 for none")
)

// Without these numbers nobody could tell what an SLO costs here, and what its rules cost elsewhere.
func TestBenchSLODay(t *testing.T) {
	h := history{series: 1000, days: *daysFlag, every: 30 * time.Second}
	stage := stageDay(t, h.series, 30, 6)
	server, idle := serverDay(t, h, time.Minute)
	rows := []sloDay{stage, server}
	if h.days > 0 {
		rows = append(rows, prometheusDays(t, peer.NewPrometheus(t), h, "10s", 4)...)
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "one SLO of 1,000 series, a sample every 30 s\tCPU seconds a day\ttimes Evenkeel's server\tmeasured")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%s\n", r.what, r.cpu, r.cpu/server.cpu, r.how)
	}
	w.Flush()
	fmt.Printf("\n%sEvenkeel's server at rest takes %.4f of a processor, whatever the number of SLOs; it is not in the figures, nor is what Prometheus takes at rest and to ingest.\n", b.String(), idle)
}

// Without these numbers nobody could tell how many SLOs a machine holds.
func TestBenchManySLOs(t *testing.T) {
	if *slosFlag > 0 {
		fmt.Print("\n" + manySLOs(t, *slosFlag, max(1, *slosFlag/100), 10, 30, 60))
		fmt.Print(manySLOs(t, *slosFlag, 1, 10, 30, 10)) // all on one metric, as those of a mesh are
	}
}
