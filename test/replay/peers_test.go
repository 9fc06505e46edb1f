//go:build peers

package replay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"evenkeel.dev/slo/report"
	"evenkeel.dev/test/peer"
)

// An exporter shows two counters, which begin at 0, and counts for itself.
type exporter struct {
	mu        sync.Mutex
	good, bad int
	scrapes   int
}

// ServeHTTP shows the counters.
func (e *exporter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.scrapes++
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintf(w, "# TYPE %[1]s counter\n%[1]s{service=\"shop\",code=\"200\"} %[2]d\n%[1]s{service=\"shop\",code=\"503\"} %[3]d\n", peer.Metric, e.good, e.bad)
}

func (e *exporter) serve(good, bad int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.good, e.bad = e.good+good, e.bad+bad
}

// scraped waits until the counters as they are now have been shown n more times.
func (e *exporter) scraped(t *testing.T, n int) {
	e.mu.Lock()
	want := e.scrapes + n
	e.mu.Unlock()
	peer.Until(t, time.Minute, "Prometheus scrapes", func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.scrapes < want {
			return fmt.Errorf("%d of %d scrapes", e.scrapes, want)
		}
		return nil
	})
}

// A month of somebody's real Prometheus would be counted wrongly: over remote read and over the HTTP API the replayed totals are the
// exporter's own integers, and the same replay gives the same bytes again.
func TestPeersReplay(t *testing.T) {
	e := &exporter{}
	target := httptest.NewServer(e)
	t.Cleanup(target.Close)
	since := time.Now()
	_, url := peer.Prometheus{Path: peer.DebianPrometheus(t), Targets: []string{strings.TrimPrefix(target.URL, "http://")}}.Start(t)
	e.scraped(t, 2)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for i := range 250 {
		<-ticker.C
		if i < 150 {
			e.serve(7, 0)
		} else {
			e.serve(3, 4)
		}
	}
	e.scraped(t, 3) // the last of them is stored when the next begins
	until := time.Now().Truncate(time.Second)
	dir := t.TempDir()
	file := filepath.Join(dir, "shop.yaml")
	if err := os.WriteFile(file, []byte(peer.SLO("shop", "availability", "0.9", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"replay", file, "--from", "prometheus:" + url, "-o", "json", "--step", "10s",
		"--since", since.Add(-time.Minute).UTC().Format(time.RFC3339), "--until", until.UTC().Format(time.RFC3339)}
	binary := peer.Binary(t)
	for protocol, kind := range map[string]string{"remote-read": "RemoteReadStreamed", "api": "QueryAPI"} {
		out, errs, code := peer.RunCommand(t, binary, append(args, "--protocol", protocol)...)
		var r report.Report
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%s: exit code %d, %v: %s", protocol, code, err, errs)
		}
		st := r.Runs[0].SLOs[0].Status
		if code != 1 || r.Source.Protocol != kind || st.Events.Good != float64(e.good) || st.Events.Total != float64(e.good+e.bad) || st.Budget.Consumed != float64(e.bad) {
			t.Errorf("%s: exit code %d, by %s: %v good of %v, %v consumed; the exporter has %d, %d, %d", protocol, code, r.Source.Protocol, st.Events.Good, st.Events.Total, st.Budget.Consumed, e.good, e.good+e.bad, e.bad)
		}
		if len(r.Runs[0].SLOs[0].Alerts) == 0 {
			t.Errorf("%s: nothing fired", protocol)
		}
		if again, _, _ := peer.RunCommand(t, binary, append(args, "--protocol", protocol)...); again != out {
			t.Errorf("%s: the second time the answer is another", protocol)
		}
	}
}
