//go:build peers

package peer

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// If the real Prometheus or Alertmanager cannot be had or started, every end-to-end test fails; this one says that it is not the
// product's fault.
func TestPeersStart(t *testing.T) {
	var written, hooked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics":
			fmt.Fprint(w, "up_total 1\n")
		case "/write":
			if got := r.Header.Get("Authorization"); got != "Bearer secret" {
				t.Errorf("Prometheus shows the authorization %q", got)
			}
			written.Add(1)
		case "/hook":
			hooked.Add(1)
		}
	}))
	t.Cleanup(srv.Close)
	Prometheus{Path: DebianPrometheus(t), Targets: []string{strings.TrimPrefix(srv.URL, "http://")}, WriteTo: srv.URL + "/write", BearerToken: "secret"}.Start(t)
	_, am := StartAlertmanager(t, srv.URL+"/hook")
	alert := fmt.Sprintf(`[{"labels":{"alertname":"A"},"startsAt":%q}]`, time.Now().Format(time.RFC3339))
	resp, err := http.Post(am+"/api/v2/alerts", "application/json", strings.NewReader(alert))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	Until(t, 30*time.Second, "both peers have called", func() error {
		if written.Load() == 0 || hooked.Load() == 0 {
			return fmt.Errorf("%d writes, %d webhooks", written.Load(), hooked.Load())
		}
		return nil
	})
}
