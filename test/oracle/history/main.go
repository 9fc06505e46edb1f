// Command history writes blocks of Prometheus' storage for `make bench`: counters of one service as if they had been scraped for days,
// and the recorded five-minute error ratio that Sloth's rule for the whole period averages. Blocks are of a day each.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const day = int64(24 * time.Hour / time.Millisecond)

func main() {
	dir := flag.String("dir", "", "folder of the storage")
	series := flag.Int("series", 1000, "counters; every tenth counts failures")
	days := flag.Int("days", 30, "days before the end")
	interval := flag.Duration("interval", 30*time.Second, "between two scrapes")
	end := flag.Int64("end", time.Now().Unix(), "end of the history, Unix seconds")
	ratio := flag.Bool("ratio", false, "write the recorded ratio; its labels are the arguments: NAME VALUE NAME VALUE")
	flag.Parse()
	if *dir == "" || *series < 10 || *days < 1 || *interval < time.Second {
		fmt.Fprintln(os.Stderr, "history: -dir is needed, at least ten series, a day and a second between scrapes")
		os.Exit(2)
	}
	h := &history{dir: *dir, interval: interval.Milliseconds(), from: (*end - int64(*days)*86_400) * 1000, end: *end * 1000}
	h.counters(*series)
	if *ratio {
		h.ratio = labels.FromStrings(append([]string{"__name__", "slo:sli_error:ratio_rate5m"}, flag.Args()...)...)
	}
	if err := h.write(); err != nil {
		fmt.Fprintln(os.Stderr, "history:", err)
		os.Exit(1)
	}
}

// A history is what is written.
type history struct {
	dir       string
	interval  int64
	from, end int64 // milliseconds
	labels    []labels.Labels
	refs      []storage.SeriesRef
	values    []float64
	ratio     labels.Labels
	ratioRef  storage.SeriesRef
	samples   int64
}

// counters names the counters as those of a service in a cluster: pods that answer ten combinations of code and method each.
func (h *history) counters(n int) {
	h.values = make([]float64, n)
	for i := range n {
		pod, slot := i/10, i%10
		code := "200"
		if slot == 9 {
			code = "500"
		}
		h.labels = append(h.labels, labels.FromStrings("__name__", "http_requests_total", "job", "checkout", "service", "checkout", "namespace", "shop-prod",
			"pod", fmt.Sprintf("checkout-7c9d8f6b5d-%05d", pod), "instance", fmt.Sprintf("10.0.%d.%d:8080", pod>>8, pod&255), "code", code,
			"method", []string{"GET", "POST"}[slot&1], "path", fmt.Sprintf("/v1/things/%d", slot)))
	}
}

// write writes one block for each day.
func (h *history) write() error {
	for from := h.from; from < h.end; {
		to := min((from/day+1)*day, h.end)
		if err := h.block(from, to); err != nil {
			return err
		}
		from = to
	}
	fmt.Printf("%d samples\n", h.samples)
	return nil
}

func (h *history) block(from, to int64) error {
	w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), h.dir, 2*day)
	if err != nil {
		return err
	}
	defer w.Close()
	ctx := context.Background()
	h.refs, h.ratioRef = make([]storage.SeriesRef, len(h.labels)), 0
	for t := from - from%h.interval + h.interval; t <= to; t += h.interval {
		a := w.Appender(ctx)
		n := (t - h.from) / h.interval
		for i, ls := range h.labels {
			if i%10 < 9 || n%50 == int64(i)%50 {
				h.values[i] += float64(1 + (n*2654435761+int64(i)*40503)>>7&7) // traffic is no straight line
			}
			if h.refs[i], err = a.Append(h.refs[i], ls, t, h.values[i]); err != nil {
				return err
			}
		}
		h.samples += int64(len(h.labels))
		if !h.ratio.IsEmpty() && t%60_000 < h.interval {
			if h.ratioRef, err = a.Append(h.ratioRef, h.ratio, t, 0.0005+float64(n%7)*1e-6); err != nil {
				return err
			}
		}
		if err := a.Commit(); err != nil {
			return err
		}
	}
	_, err = w.Flush(ctx)
	return err
}
