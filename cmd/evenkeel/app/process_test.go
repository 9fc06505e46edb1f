package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/console"
)

// eventually asks until ok or a minute has passed.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// receiver is a webhook receiver that notes the state of each Alertmanager payload.
func receiver(t *testing.T) (url string, got <-chan string) {
	t.Helper()
	states := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var p struct {
			Status string `json:"status"`
			Alerts []struct {
				Labels map[string]string `json:"labels"`
			} `json:"alerts"`
		}
		if err != nil || json.Unmarshal(b, &p) != nil || len(p.Alerts) == 0 {
			states <- "unreadable: " + string(b)
			return
		}
		if name := p.Alerts[0].Labels["alertname"]; name != "Watchdog" {
			states <- p.Status
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, states
}

// If it fails, a person who runs the program with a folder of definitions, points Prometheus at it and waits for the page at a
// webhook waits in vain.
func TestFromRemoteWriteToWebhook(t *testing.T) {
	url, got := receiver(t)
	config := t.TempDir()
	target := fmt.Sprintf(`---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata:
  name: default
  annotations: {evenkeel.dev/url: %q, evenkeel.dev/allow-private: "true"}
spec: {target: alertmanager-webhook}
`, url)
	put(t, config, "checkout.yaml", checkout+target)
	e := start(t, Settings{Config: []string{config}, OTLPGRPC: "127.0.0.1:0", NATSListen: "127.0.0.1:0"}, Surroundings{})
	eventually(t, "the folder is applied", func() bool {
		var a struct{ Items []json.RawMessage }
		e.get("/api/v1/definitions", &a)
		return len(a.Items) == 3
	})
	c, began := &counters{}, time.Now().Add(-2*time.Minute)
	for i := range 24 { // two minutes of a scrape each 5 s, half of the requests fail from the second on
		c.good, c.bad = c.good+50, c.bad+50
		e.write(began.Add(time.Duration(i)*5*time.Second), c.values())
	}
	eventually(t, "the alert fires", func() bool {
		c.good, c.bad = c.good+5, c.bad+5
		e.write(time.Now(), c.values())
		return e.fires()
	})
	select {
	case state := <-got:
		if state != "firing" {
			t.Errorf("the webhook was told %s", state)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("the webhook was told nothing\n%s", e.log)
	}
	e.restartKeeps(c)
}

// fires reports whether the page alert of the SLO fires; before the first status frame nothing does.
func (e *engine) fires() bool {
	e.t.Helper()
	status, b := e.do("GET", "/api/v1/slos/default/checkout/availability", e.admin, nil)
	var s console.SLO
	return status == http.StatusOK && json.Unmarshal(b, &s) == nil && len(s.Alerts) > 0 && s.Alerts[0].State == "firing"
}

// restartKeeps stops the process, starts it on the same folder, and compares what it knows.
func (e *engine) restartKeeps(c *counters) {
	t := e.t
	t.Helper()
	e.stop()
	if s := e.log.String(); !strings.Contains(s, "evenkeel has ended") {
		t.Errorf("the process did not say that it has ended:\n%s", s)
	}
	again := start(t, Settings{Data: e.data}, Surroundings{})
	eventually(t, "the count is the one from before", func() bool {
		return again.fires() && again.slo().Events.Total == c.good+c.bad-100
	})
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
