//go:build bench || peers

package bench

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"evenkeel.dev/test/load"
	"evenkeel.dev/test/peer"
)

// A result is one line of the table.
type result struct {
	server    string
	version   load.Version
	fleet     fleet
	samples   int64
	wall, cpu time.Duration
	allocs    float64 // per sample
	rss       int64   // at its highest
	perSeries int64   // bytes of memory for each series: what RSS grew by, of the fleet's size
	stored    float64 // bytes on disk per sample
	note      string
}

func (r result) nsPerSample() float64 { return float64(r.cpu.Nanoseconds()) / float64(r.samples) }

// measure drives one fresh server with one fleet.
func measure(tb testing.TB, s *server, f fleet, v load.Version, span time.Duration, conns int) result {
	tb.Helper()
	r := result{server: s.name, version: v, fleet: f}
	if !s.takes(tb, v) {
		r.note = "does not take this version"
		return r
	}
	sender := load.NewSender(s.write, s.token, conns)
	defer sender.Close()
	d := newDriver(f, v, sender, conns)
	empty, _ := s.process.RSS()
	d.round(tb)
	settle(tb, s, d)
	cpu, allocs, samples, disk, began := s.process.CPU(), s.metric(tb, "go_memstats_mallocs_total"), d.samples.Load(), s.stored(tb), time.Now()
	d.drive(tb, span)
	r.wall = time.Since(began)
	settle(tb, s, d)
	r.cpu = s.process.CPU() - cpu
	r.samples = d.samples.Load() - samples
	r.allocs = (s.metric(tb, "go_memstats_mallocs_total") - allocs) / float64(r.samples)
	r.stored = float64(s.stored(tb)-disk) / float64(r.samples)
	now, highest := s.process.RSS()
	r.rss, r.perSeries = highest, (now-empty)/int64(f.series)
	return r
}

// settle waits until everything that was sent has had its effect.
func settle(tb testing.TB, s *server, d *driver) {
	tb.Helper()
	peer.Until(tb, 2*time.Minute, s.name+" has caught up with the driver", func() error { return s.caughtUp(d) })
}

// table prints the results as one table.
func table(results []result) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "server\tprotocol\tseries\trelevant\tsamples/s\tns CPU/sample\tsamples/CPU-s\tallocs/sample\tRSS MiB\tB/series\tstored B/sample\t")
	for _, r := range results {
		relevant := fmt.Sprintf("%d %%", r.fleet.relevant)
		if r.server != "evenkeel" {
			relevant = "(all)"
		}
		if r.note != "" {
			fmt.Fprintf(w, "%s\t%v\t%d\t%s\t%s\t\t\t\t\t\t\t\n", r.server, r.version, r.fleet.series, relevant, r.note)
			continue
		}
		fmt.Fprintf(w, "%s\t%v\t%d\t%s\t%.0f\t%.0f\t%.0f\t%.3f\t%d\t%d\t%.2f\t\n", r.server, r.version, r.fleet.series, relevant,
			float64(r.samples)/r.wall.Seconds(), r.nsPerSample(), 1e9/r.nsPerSample(), r.allocs, r.rss>>20, r.perSeries, r.stored)
	}
	w.Flush()
	return b.String()
}

// remarks say what the table does not show.
const remarks = `Both peers build a store that can be queried later and do not sync each request to disk; Evenkeel syncs each request before it answers
and keeps only what some SLO needs. "Stored" is what the data folder grew by while driven: peers have not compacted yet, Evenkeel's log
may already have been purged in part. The driver runs on the same processors; only the server's own processor time is counted.`
