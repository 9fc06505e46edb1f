package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// postOTLP sends a counter's value per code, with the time at which it began.
func postOTLP(t *testing.T, env map[string]string, began time.Time, values map[string]int) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(env["EVENKEEL_DATA"], "sender.token"))
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for code, v := range values {
		points = append(points, fmt.Sprintf(`{"asInt": "%d", "startTimeUnixNano": "%d", "timeUnixNano": "%d", "attributes": [{"key": "service", "value": {"stringValue": "shop"}}, {"key": "code", "value": {"stringValue": %q}}]}`,
			v, began.UnixNano(), time.Now().UnixNano(), code))
	}
	body := fmt.Sprintf(`{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "http_requests", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [%s]}}]}]}]}`, strings.Join(points, ","))
	r, err := http.NewRequest(http.MethodPost, env["EVENKEEL_SERVER"]+"/v1/metrics", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
}

// A person asks the engine's own log what a stricter objective would have given, and is told other counts than the engine has.
func TestReplayOfTheEnginesLog(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	slos := filepath.Join(dir, "slos")
	if err := os.Mkdir(slos, 0o700); err != nil {
		t.Fatal(err)
	}
	replaySLO(t, filepath.Join(slos, "shop.yaml"), "0.95")
	stricter := replaySLO(t, "stricter.yaml", "0.995")
	env, _ := running(t, filepath.Join(dir, "data"), "--config", slos)
	eventually(t, "the SLO is there", func() bool {
		_, out, _ := command(t, env, "", "status")
		return strings.Contains(out, "availability")
	})
	began := time.Now()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for i := range 8 {
		postOTLP(t, env, began, map[string]int{"200": 90 * (i + 1), "500": 10 * (i + 1)})
		<-ticker.C
	}
	var status struct {
		Events struct{ Good, Total float64 }
	}
	eventually(t, "all is counted", func() bool {
		postOTLP(t, env, began, map[string]int{"200": 720, "500": 80}) // time stands still where every sender is silent
		_, out, _ := command(t, env, "", "status", "default/shop/availability", "-o", "json")
		return json.Unmarshal([]byte(out), &status) == nil && status.Events.Total == 700 // the first contact counts nothing
	})
	code, out, errs := command(t, env, "", "replay", stricter, "--from", "log", "--since", "2m", "-o", "json")
	var r struct {
		Runs []struct {
			SLOs []struct {
				Status struct {
					Events struct{ Good, Total float64 }
				}
			}
		}
		Source        struct{ Kind string }
		NotReproduced []struct{ Reason string }
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("exit code %d, %s %v", code, errs, err)
	}
	if got := r.Runs[0].SLOs[0].Status.Events; got != status.Events || code != exitNo || r.Source.Kind != "log" {
		t.Errorf("exit code %d, %+v of %s; the engine counted %+v", code, got, r.Source.Kind, status.Events)
	}
	if !strings.Contains(fmt.Sprint(r.NotReproduced), "Unneeded") || strings.Contains(fmt.Sprint(r.NotReproduced), "ArrivalDelays") {
		t.Errorf("%+v", r.NotReproduced)
	}
}
