package console

import (
	"fmt"
	"io"
	"net/http"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// requestCounts counts answers by route and status. Routes are those of the mux, so that their number is bounded.
type requestCounts struct {
	mu     sync.Mutex
	byName map[requestKey]*requestCount
}

type requestKey struct {
	route  string
	status int
}

type requestCount struct {
	n       uint64
	seconds float64
}

func (c *requestCounts) add(route string, status int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName == nil {
		c.byName = map[requestKey]*requestCount{}
	}
	k := requestKey{route, status}
	n := c.byName[k]
	if n == nil {
		n = &requestCount{}
		c.byName[k] = n
	}
	n.n++
	n.seconds += took.Seconds()
}

func (c *requestCounts) write(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := make([]string, 0, len(c.byName))
	sums := make([]string, 0, len(c.byName))
	for k, n := range c.byName {
		labels := fmt.Sprintf(`{route=%s,status="%d"}`, strconv.Quote(k.route), k.status)
		lines = append(lines, fmt.Sprintf("evenkeel_http_requests_total%s %d\n", labels, n.n))
		sums = append(sums, fmt.Sprintf("evenkeel_http_request_seconds_total%s %g\n", labels, n.seconds))
	}
	sort.Strings(lines)
	sort.Strings(sums)
	writeFamily(w, "evenkeel_http_requests_total", lines)
	writeFamily(w, "evenkeel_http_request_seconds_total", sums)
}

func writeFamily(w io.Writer, name string, lines []string) {
	if len(lines) == 0 {
		return
	}
	metrics.WriteMetadataIfNeeded(w, name, "counter")
	for _, l := range lines {
		_, _ = io.WriteString(w, l)
	}
}

// metrics answers in the Prometheus text format.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.requests.write(w)
	metrics.WriteCounterUint64(w, "evenkeel_http_unauthorized_total", s.counts.Unauthorized.Load())
	metrics.WriteCounterUint64(w, "evenkeel_http_forbidden_total", s.counts.Forbidden.Load())
	metrics.WriteCounterUint64(w, "evenkeel_http_failed_total", s.counts.Failed.Load())
	metrics.WriteCounterUint64(w, "evenkeel_http_panics_total", s.counts.Panics.Load())
	metrics.WriteGaugeUint64(w, "evenkeel_event_streams", uint64(max(s.counts.Streams.Load(), 0)))
	if s.Statuses != nil {
		s.writeStates(w)
	}
	if s.Metrics != nil {
		s.Metrics(w)
	}
	metrics.WriteProcessMetrics(w)
}

func (s *Server) writeStates(w io.Writer) {
	n, oldest := map[string]int{}, bus.Time(0)
	for _, it := range s.Statuses.List() {
		n[it.State]++
		oldest = max(oldest, it.Age)
	}
	metrics.WriteMetadataIfNeeded(w, "evenkeel_slos", "gauge")
	for _, state := range []string{slo.StateHealthy, slo.StateWarning, slo.StateViolation, slo.StateExhausted, slo.StateUnknown} {
		fmt.Fprintf(w, "evenkeel_slos{state=%q} %d\n", state, n[state])
	}
	metrics.WriteGaugeFloat64(w, "evenkeel_status_age_seconds", float64(oldest)/1000) // since the SLO was told that was told longest ago
}
