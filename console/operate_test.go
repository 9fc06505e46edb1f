package console

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"evenkeel.dev/slo"
)

// If it fails, dead letters cannot be found or sent again, or a living delivery is doubled.
func TestDeliveries(t *testing.T) {
	f := &fakes{deliveries: []Delivery{
		{ID: "ntf-1", Target: "pager", Type: "pagerduty", State: "dead", Reason: "Rejected", Status: 404, Attempts: 3, Since: "2026-01-02T03:04:05.000Z", Alert: "firing", GlobalNamespace: "shop", Service: "s", SLO: "o", Tier: "page"},
		{ID: "ntf-2", Target: "chat", Type: "slack", State: "pending", Attempts: 1, Alert: "firing", GlobalNamespace: "bank", Service: "s", SLO: "o", Tier: "page"},
	}}
	s := newTestServer(t, f, nil)
	golden(t, "deliveries.json", ask(s, "GET", "/api/v1/deliveries", tokenShopViewer, "").Body.Bytes())
	for id, want := range map[string]int{"ntf-1": http.StatusOK, "ntf-2": http.StatusConflict, "ntf-3": http.StatusNotFound} {
		if w := ask(s, "POST", "/api/v1/deliveries/"+id+"/resend", tokenOperator, ""); w.Code != want {
			t.Errorf("resend %s: status %d, want %d", id, w.Code, want)
		}
	}
	if diff := cmp.Diff([]string{"ntf-1"}, f.resent); diff != "" {
		t.Errorf("resent (-want +got):\n%s", diff)
	}
}

// If it fails, a repair does what nobody has chosen, or its explanation does not reach the operator.
func TestRepair(t *testing.T) {
	f := &fakes{findings: []Finding{{ID: "slo.3", Stage: "slo", Partition: 3, Reason: "CheckpointMissing", Message: "gone", Choices: []Choice{{"rewrite", "write again"}}}}}
	s := newTestServer(t, f, nil)
	golden(t, "repair.json", ask(s, "GET", "/api/v1/repair", tokenViewer, "").Body.Bytes())
	for body, want := range map[string]int{
		`{"finding":"slo.3","choice":"rewrite"}`: http.StatusOK,
		`{"finding":"slo.3","choice":"burn"}`:    http.StatusUnprocessableEntity,
		`{"finding":"slo.4","choice":"rewrite"}`: http.StatusNotFound,
		`oh`:                                     http.StatusBadRequest,
	} {
		if w := ask(s, "POST", "/api/v1/repair", tokenOperator, body); w.Code != want {
			t.Errorf("%s: status %d, want %d: %s", body, w.Code, want, w.Body)
		}
	}
	if diff := cmp.Diff([]string{"slo.3=rewrite"}, f.mended); diff != "" {
		t.Errorf("mended (-want +got):\n%s", diff)
	}
}

// If it fails, an orchestrator sends traffic to a process that cannot take it, or takes it away from one that can.
func TestReadiness(t *testing.T) {
	f := &fakes{ready: Readiness{Ready: false, Roles: []RoleState{
		{Role: "ingest", Ready: true, Reason: "Ready"}, {Role: "slo", Reason: "Damaged", Message: "run: evenkeel repair", Details: []int{3}},
	}}}
	s := newTestServer(t, f, nil)
	w := ask(s, "GET", "/readyz", "", "")
	golden(t, "readyz.json", w.Body.Bytes())
	for path, want := range map[string]int{
		"/readyz": http.StatusServiceUnavailable, "/readyz?role=ingest": http.StatusOK, "/readyz?role=slo": http.StatusServiceUnavailable,
		"/readyz?role=api": http.StatusNotFound, "/healthz": http.StatusOK,
	} {
		if w := ask(s, "GET", path, "", ""); w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
}

// If it fails, Prometheus cannot read our own metrics, or they can be read where the settings say no.
func TestMetrics(t *testing.T) {
	f := &fakes{items: []slo.Item{item("default", "a", "x", slo.StateViolation)}}
	s := newTestServer(t, f, nil)
	ask(s, "GET", "/api/v1/slos", tokenViewer, "")
	ask(s, "GET", "/no/such/path/4711", tokenViewer, "")
	body := ask(s, "GET", "/metrics", "", "").Body.String()
	for _, want := range []string{
		`evenkeel_http_requests_total{route="GET /api/v1/slos",status="200"} 1`, `evenkeel_http_requests_total{route="/",status="404"} 1`,
		`evenkeel_slos{state="VIOLATION"} 1`, `evenkeel_slos{state="HEALTHY"} 0`, "# TYPE evenkeel_http_requests_total counter", "process_resident_memory_bytes",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(body)); err != nil {
		t.Errorf("/metrics cannot be read: %v", err)
	}
	closed := newTestServer(t, f, func(c *Config) { c.MetricsAuth = true })
	for token, want := range map[string]int{"": http.StatusUnauthorized, tokenSender: http.StatusForbidden, tokenShopViewer: http.StatusForbidden, tokenViewer: http.StatusOK} {
		if w := ask(closed, "GET", "/metrics", token, ""); w.Code != want {
			t.Errorf("closed /metrics with %q: status %d, want %d", token, w.Code, want)
		}
	}
}

// If it fails, a process without a role crashes when it is asked for it, instead of saying so.
func TestRoutesOfOtherRoles(t *testing.T) {
	s := newTestServer(t, &fakes{}, func(c *Config) {
		c.Statuses, c.Definitions, c.Events, c.Deliveries, c.Repairs, c.Backups, c.Targets, c.Schema, c.Write, c.OTLP = nil, nil, nil, nil, nil, nil, nil, nil, nil, nil
	})
	for _, path := range []string{"GET /api/v1/slos", "GET /api/v1/definitions", "GET /api/v1/events", "POST /api/v1/write", "POST /v1/metrics", "POST /api/v1/backup", "GET /api/v1/targets"} {
		method, p, _ := strings.Cut(path, " ")
		if w := ask(s, method, p, tokenAdmin, ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "NotHere") {
			t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
		}
	}
	if w := ask(s, "GET", "/metrics", "", ""); w.Code != http.StatusOK {
		t.Errorf("/metrics: status %d", w.Code)
	}
}

// If it fails, tokens are readable by others, change with each start, or a stolen folder's looser rights go unnoticed.
func TestEnsureToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.token")
	first, created, err := EnsureToken(path)
	if err != nil || !created || len(first) < 40 {
		t.Fatalf("first: %q, %v, %v", first, created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, created, err := EnsureToken(path); again != first || created || err != nil {
		t.Errorf("second: %q, %v, %v", again, created, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := EnsureToken(path); err == nil || !strings.Contains(err.Error(), "chmod 600") || strings.Contains(err.Error(), first) {
		t.Errorf("a file that others may read: %v", err)
	}
}
