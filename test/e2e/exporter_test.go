//go:build peers

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"evenkeel.dev/test/peer"
)

// An exporter is a service with two counters, shown in Prometheus' text format. It counts for itself.
type exporter struct {
	*httptest.Server
	service string

	mu        sync.Mutex
	good, bad int
	scrapes   int
}

func startExporter(tb testing.TB, service string) *exporter {
	e := &exporter{service: service}
	e.Server = httptest.NewServer(e)
	tb.Cleanup(e.Close)
	return e
}

// ServeHTTP shows the counters.
func (e *exporter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.scrapes++
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintf(w, "# HELP %[1]s Requests by answer.\n# TYPE %[1]s counter\n%[1]s{service=%[2]q,code=\"200\"} %[3]d\n%[1]s{service=%[2]q,code=\"503\"} %[4]d\n",
		peer.Metric, e.service, e.good, e.bad)
}

// serve answers some requests.
func (e *exporter) serve(good, bad int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.good, e.bad = e.good+good, e.bad+bad
}

// counts returns what it has answered and how often it was scraped.
func (e *exporter) counts() (good, bad, scrapes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.good, e.bad, e.scrapes
}

// traffic serves requests for a while, 20 times a second.
func (e *exporter) traffic(ctx context.Context, d time.Duration, good, bad int) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	end := time.After(d)
	for {
		select {
		case <-end:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
			e.serve(good, bad)
		}
	}
}
