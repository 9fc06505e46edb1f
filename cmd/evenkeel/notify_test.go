package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func receiverDefinition(url string) string {
	return fmt.Sprintf(`apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata:
  name: oncall
  annotations: {evenkeel.dev/url: %q, evenkeel.dev/allow-private: "true", evenkeel.dev/watchdog: "false"}
spec: {target: alertmanager-webhook}
`, url)
}

// If it fails, the test button says that a target is well that is not, or a test looks like an alert.
func TestNotifyTest(t *testing.T) {
	var status atomic.Int64
	status.Store(http.StatusOK)
	bodies := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies <- string(b)
		w.WriteHeader(int(status.Load()))
	}))
	defer srv.Close()
	env, _ := running(t, t.TempDir())
	if code, out, errs := command(t, env, receiverDefinition(srv.URL+"/hook"), "apply", "-f", "-"); code != exitDone {
		t.Fatalf("apply: exit %d: %s%s", code, out, errs)
	}
	for _, c := range []struct {
		status int
		args   string
		code   int
		want   string
	}{
		{http.StatusOK, "notify test oncall", exitDone, "target oncall (alertmanager-webhook) has taken the test (200)"},
		{http.StatusOK, "notify test default/oncall -o json", exitDone, `"outcome": "delivered"`},
		{http.StatusNotFound, "notify test oncall", exitNo, "target oncall (alertmanager-webhook) did not take the test: rejected (404): the receiver answered 404"},
		{http.StatusInternalServerError, "notify test -n default oncall -o yaml", exitNo, "outcome: retry"},
		{http.StatusOK, "notify test gone", exitNo, "there is no AlertNotificationTarget default/gone"},
		{http.StatusOK, "notify test", exitUsage, ""},
	} {
		status.Store(int64(c.status))
		code, out, errs := command(t, env, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("evenkeel %s: exit %d, want %d with %q\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
	if n := len(bodies); n != 4 {
		t.Errorf("%d messages for four tests", n)
	}
	if b := <-bodies; !strings.Contains(b, "[TEST] This is only a test") || !strings.Contains(b, "admin asked for it") {
		t.Errorf("the test looks like an alert: %s", b)
	}
}

// If it fails, planned work pages people because its silence is not there, cannot be found, or cannot be ended.
func TestSilenceOverTheCommandLine(t *testing.T) {
	env, _ := running(t, t.TempDir())
	code, out, errs := command(t, env, "", "silence", "add", "--service", "checkout", "--slo", "latency", "--tier", "page", "--gns", "shop", "--for", "2h", "--reason", "database upgrade")
	id, rest, _ := strings.Cut(out, " ")
	if code != exitDone || len(id) != 16 || !strings.HasPrefix(rest, "silences shop/checkout/latency, tier page until ") {
		t.Fatalf("add: exit %d: %s%s", code, out, errs)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"silence list", exitDone, "admin  database upgrade"}, // the author is who was authenticated
		{"silence list --service payments", exitDone, "Nothing is silenced"},
		{"silence list -o json", exitDone, `"id": "` + id + `"`},
		{"silence add --service checkout --for 31d --reason x", exitNo, "for: 31d is not from 1s to 30d"},
		{"silence add --service checkout --for soon --reason x", exitUsage, "is not a duration"},
		{"silence add --service checkout --for 2h", exitUsage, "--reason is missing"},
		{"silence add --for 2h --reason x", exitUsage, "--service is missing"},
		{"silence expire nothing", exitNo, "there is no silence nothing"},
		{"silence expire " + id, exitDone, id + " is ended"},
		{"silence expire " + id, exitNo, "there is no silence " + id},
		{"silence list", exitDone, "Nothing is silenced"},
	} {
		code, out, errs := command(t, env, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("evenkeel %s: exit %d, want %d with %q\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
	// Events are republished a moment after the answer.
	for _, want := range []string{"SLO latency, tier page silenced by admin until", "was ended by admin: database upgrade"} {
		eventually(t, want, func() bool {
			code, out, _ := command(t, env, "", "events", "--from", "1", "--follow=false", "--type", "notify.silence")
			return code == exitDone && strings.Contains(out, want)
		})
	}
}
