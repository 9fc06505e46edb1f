package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// buffer is an output that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running starts "evenkeel run" on free ports and returns the environment for client commands, and how to stop it.
func running(t *testing.T, data string, args ...string) (env map[string]string, stop func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var out buffer
	code := make(chan int, 1)
	all := append([]string{"run", "--data", data, "--http", address, "--nats-listen", "", "--otlp-grpc", "", "--log", "json"}, args...)
	go func() {
		code <- execute(ctx, &cli{in: strings.NewReader(""), out: &out, err: &out, getenv: func(string) (string, bool) { return "", false }}, all)
	}()
	var once sync.Once
	stop = func() string {
		once.Do(func() {
			cancel()
			if c := <-code; c != exitDone {
				t.Errorf("run ended with exit %d:\n%s", c, &out)
			}
		})
		return out.String()
	}
	t.Cleanup(func() { stop() })
	env = map[string]string{"EVENKEEL_SERVER": "http://" + address, "EVENKEEL_DATA": data}
	eventually(t, "the engine answers", func() bool {
		c, _, _ := command(t, env, "", "get")
		return c == exitDone
	})
	return env, stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
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

func definition(target string) string {
	return fmt.Sprintf(`apiVersion: openslo/v1
kind: SLO
metadata: {name: availability}
spec:
  service: checkout
  indicatorRef: answered
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: %s}]
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: answered}
spec:
  ratioMetric:
    counter: true
    good: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{job="checkout",code!~"5.."}'}}}
    total: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{job="checkout"}'}}}
`, target)
}

// If it fails, the way of a definition over the command line (check, apply, look, change, delete) is broken somewhere.
func TestDefinitionsOverTheCommandLine(t *testing.T) {
	env, stop := running(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "checkout.yaml")
	write := func(target string) {
		if err := os.WriteFile(file, []byte(definition(target)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("0.999")
	for _, c := range []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"check FILE", exitDone, ""},
		{"apply --dry-run -f FILE", exitDone, "SLO default/availability created (dry run)"},
		{"diff -f FILE", exitNo, "+  objectives: [{target: 0.999}]"},
		{"get slos", exitDone, "No definitions found"},
		{"apply -f FILE", exitDone, "SLI default/answered created"},
		{"apply -f FILE", exitDone, "SLO default/availability unchanged"},
		{"diff -f FILE", exitDone, ""},
		{"get slo/availability", exitDone, "kind: SLO"},
		{"get slo availability -o yaml", exitDone, "managedBy: api"},
		{"apply --expect-revision 77 -f FILE", exitDone, "unchanged"},
		{"delete sli/answered", exitNo, "refer"},
		{"events --from 1 --follow=false --type mesh.definition", exitDone, "SLO default/availability created by admin"},
	} {
		c.args = strings.ReplaceAll(c.args, "FILE", file)
		code, out, errs := command(t, env, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("evenkeel %s: exit %d, want %d with %q\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
	write("0.99")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"diff -f FILE", exitNo, "-  objectives: [{target: 0.999}]\n+  objectives: [{target: 0.99}]"},
		{"apply --expect-revision 77 -f FILE", exitNo, "revision 1 and not 77"},
		{"apply -f FILE", exitDone, "SLO default/availability configured"},
		{"delete sli/answered slo/availability", exitDone, "SLI default/answered deleted"}, // the second refers to the first
		{"delete -f FILE", exitNo, "there is no SLO"},
		{"delete --ignore-not-found -f FILE", exitDone, ""},
	} {
		c.args = strings.ReplaceAll(c.args, "FILE", file)
		code, out, errs := command(t, env, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("evenkeel %s: exit %d, want %d with %q\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
	if code, out, _ := command(t, env, "kind: [", "apply", "-f", "-"); code != exitNo || !strings.HasPrefix(out, "stdin:1:") {
		t.Errorf("a mistake in the input: exit %d: %s", code, out)
	}
	for _, l := range strings.Split(strings.TrimSpace(stop()), "\n") {
		if strings.HasPrefix(l, "{") && !json.Valid([]byte(l)) {
			t.Errorf("--log json wrote %s", l)
		}
	}
}

// If it fails, a back-up cannot be made, cannot be restored, or lacks what was there.
func TestBackupAndRestore(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	env, stop := running(t, data)
	if code, out, errs := command(t, env, definition("0.999"), "apply", "-f", "-"); code != exitDone {
		t.Fatalf("apply: exit %d: %s%s", code, out, errs)
	}
	file, restored := filepath.Join(dir, "evenkeel.backup"), filepath.Join(dir, "data")
	if code, _, errs := command(t, env, "", "backup", file); code != exitDone {
		t.Fatalf("backup: exit %d: %s", code, errs)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if code, _, errs := command(t, nil, "", "repair", "--data", data); code != exitCould || !strings.Contains(errs, "in use") {
		t.Errorf("repair of a folder in use: exit %d: %s", code, errs)
	}
	stop()
	if code, out, errs := command(t, nil, "", "repair", "--data", data); code != exitDone || !strings.Contains(out, "Nothing is damaged") {
		t.Errorf("repair of a sound folder: exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := command(t, nil, "", "restore", file, "--data", data); code != exitCould || !strings.Contains(errs, "not empty") {
		t.Errorf("restore into a full folder: exit %d: %s", code, errs)
	}
	if code, _, errs := command(t, nil, "", "restore", file, "--data", restored); code != exitDone {
		t.Fatalf("restore: exit %d: %s", code, errs)
	}
	env, _ = running(t, restored)
	if code, out, errs := command(t, env, "", "get", "slo/availability", "-o", "json"); code != exitDone || !strings.Contains(out, `"target": 0.999`) {
		t.Errorf("after the restore: exit %d: %s%s", code, out, errs)
	}
}
