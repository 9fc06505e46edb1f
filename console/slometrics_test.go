package console

import (
	"net/http"
	"strings"
	"testing"

	"evenkeel.dev/slo"
)

// Who may not read the names of SLOs would, a scrape would bring series that nobody asked for, or a mistake would look like an engine without SLOs.
func TestSLOMetrics(t *testing.T) {
	f := &fakes{}
	for _, k := range someSLOs {
		f.items = append(f.items, slo.Item{Status: slo.Status{GlobalNamespace: k.GlobalNamespace, Service: k.Service, Name: k.Name, Objective: slo.MustDecimal("0.99"), State: slo.StateHealthy}})
	}
	s := newTestServer(t, f, nil)
	without := newTestServer(t, f, func(c *Config) { c.Statuses = nil })
	for _, c := range []struct {
		s            *Server
		query, token string
		status       int
		has, hasNot  string
	}{
		{s, "", tokenViewer, 200, `evenkeel_slo_objective_ratio{global_namespace="secret",service="cart",slo="c"} 0.99`, "pyrra"},
		{s, "?names=pyrra", tokenViewer, 200, `pyrra_objective{slo="shop/cart/a"} 0.99`, "evenkeel"},
		{s, "?names=pyrra,sloth&gns=shop&service=pay", tokenViewer, 200, `sloth_service="pay"`, "cart"},
		{s, "?names=pira", tokenViewer, 400, "they are evenkeel, sloth or pyrra", "# TYPE"},
		{s, "", "", 401, "token", "cart"},
		{s, "", tokenSender, 403, "sender", "cart"},
		{s, "", tokenShopViewer, 200, `global_namespace="shop"`, "secret"},
		{without, "", tokenViewer, 404, "--roles", "# TYPE"},
	} {
		w := ask(c.s, "GET", "/metrics/slo"+c.query, c.token, "")
		if body := w.Body.String(); w.Code != c.status || !strings.Contains(body, c.has) || strings.Contains(body, c.hasNot) {
			t.Errorf("%s as %q: status %d, want %d, with %s and without %s:\n%s", c.query, c.token, w.Code, c.status, c.has, c.hasNot, body)
		}
	}
	if w := ask(s, "GET", "/metrics", "", ""); strings.Contains(w.Body.String(), "secret") {
		t.Error("/metrics names an SLO")
	}
	s.counts.Exports.Store(MaxExports)
	if w := ask(s, "GET", "/metrics/slo", tokenViewer, ""); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one export too many: status %d", w.Code)
	}
}
