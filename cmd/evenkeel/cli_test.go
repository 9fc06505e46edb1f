package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// command runs one command line and returns its exit code and what it wrote.
func command(t *testing.T, env map[string]string, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	getenv := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	if env["EVENKEEL_DATA"] == "" {
		getenv = func(name string) (string, bool) {
			if name == "EVENKEEL_DATA" {
				return t.TempDir(), true // not the folder that the tests happen to run in
			}
			v, ok := env[name]
			return v, ok
		}
	}
	code = execute(t.Context(), &cli{in: strings.NewReader(in), out: &stdout, err: &stderr, getenv: getenv}, args)
	return code, stdout.String(), stderr.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// served answers each path with a file of testdata, and counts what it was asked.
type served struct {
	answers map[string]string // "GET /path" -> JSON
	asked   []string
	tokens  []string
}

func (s *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
	s.tokens = append(s.tokens, r.Header.Get("Authorization"))
	a, ok := s.answers[r.Method+" "+r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"code":"NotFound","message":"there is nothing"}}`)
		return
	}
	_, _ = io.WriteString(w, a)
}

func serveAnswers(t *testing.T, answers map[string]string) (*served, map[string]string) {
	t.Helper()
	s := &served{answers: answers}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, map[string]string{"EVENKEEL_SERVER": h.URL, "EVENKEEL_TOKEN": "token-0123456789"}
}

const twoSLOs = `{"items":[
{"globalNamespace":"default","service":"checkout","name":"availability","objective":"0.999","window":{"type":"rolling","duration":"30d"},"state":"HEALTHY","reason":"MeetsObjective","sliBad":false,"sli":"0.99987","events":{"good":99987,"total":100000},"budget":{"total":100,"consumed":13,"remaining":87,"remainingRatio":0.87},"burnRates":[{"window":"5m","rate":0.134},{"window":"1h","rate":0.5}],"alerts":[{"tier":"page","state":"inactive","since":""}],"coverage":1,"asOf":"2026-01-02T03:04:05.000Z","lagSeconds":1.5},
{"globalNamespace":"a-very-long-global-namespace","service":"with-a-long-service-name","name":"and-a-long-objective","objective":"0.99999","window":{"type":"rolling","duration":"30d"},"state":"VIOLATION","reason":"MissesObjective","sliBad":true,"sli":"0.5","events":{"good":1,"total":2},"budget":{"total":0.00002,"consumed":1,"remaining":-0.99998,"remainingRatio":-49999},"burnRates":[{"window":"5m","rate":50000},{"window":"1h","rate":12.345}],"alerts":[{"tier":"page","state":"firing","since":"2026-01-02T03:04:05.000Z"},{"tier":"ticket","state":"pending","since":"2026-01-02T03:04:05.000Z"}],"coverage":0.5,"asOf":"2026-01-02T03:04:05.000Z","lagSeconds":1.5},
{"globalNamespace":"default","service":"new","name":"latency","objective":"0.95","window":{"type":"rolling","duration":"7d"},"state":"UNKNOWN","reason":"NoDataYet","sliBad":false,"sli":null,"events":{"good":0,"total":0},"budget":{"total":0,"consumed":0,"remaining":0,"remainingRatio":null},"burnRates":[{"window":"5m","rate":null},{"window":"1h","rate":null}],"alerts":[],"coverage":0,"asOf":"","lagSeconds":0}
],"asOf":"2026-01-02T03:04:05.000Z","lagSeconds":1.5}`

// If it fails, the table that people look at first is wrong or breaks in a terminal of 100 columns, or scripts that read -o break.
func TestStatusForms(t *testing.T) {
	s, env := serveAnswers(t, map[string]string{"GET /api/v1/slos": twoSLOs})
	for _, form := range []string{"", "json", "yaml"} {
		args := []string{"status"}
		if form != "" {
			args = append(args, "-o", form)
		}
		code, out, errs := command(t, env, "", args...)
		if code != exitDone || errs != "" {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
		golden(t, "status."+map[string]string{"": "txt", "json": "json", "yaml": "yaml"}[form], out)
		if form == "" {
			for _, l := range strings.Split(out, "\n") {
				if n := utf8.RuneCountInString(l); n > 100 {
					t.Errorf("a line has %d columns: %s", n, l)
				}
			}
		}
	}
	command(t, env, "", "status", "--gns", "shop", "--state", "WARNING")
	if got, want := s.asked[len(s.asked)-1], "GET /api/v1/slos?gns=shop&state=WARNING"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if s.tokens[0] != "Bearer token-0123456789" {
		t.Errorf("the token was sent as %q", s.tokens[0])
	}
}

// If it fails, scripts take one outcome for another.
func TestExitCodes(t *testing.T) {
	_, env := serveAnswers(t, map[string]string{"GET /api/v1/slos": `{"items":[]}`, "GET /api/v1/repair": `{"items":[{"id":"slo.3","reason":"CheckpointMissing","choices":[]}]}`})
	away := map[string]string{"EVENKEEL_SERVER": "http://127.0.0.1:1"}
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("kind: SLO\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want int
		env  map[string]string
		args string
	}{
		{exitDone, env, "version"},
		{exitDone, env, "version -o json"},
		{exitDone, env, "status"},
		{exitDone, env, "events schema"},
		{exitDone, env, "completion bash"},
		{exitDone, env, ""},
		{exitNo, env, "status default/a/b"},
		{exitNo, env, "get slo nope"},
		{exitNo, env, "delete slo/nope"},
		{exitDone, env, "delete slo/nope --ignore-not-found"},
		{exitNo, env, "check " + bad},
		{exitNo, env, "repair"},
		{exitNo, env, "resend ntf-1"},
		{exitUsage, env, "nonsense"},
		{exitUsage, env, "status --nonsense"},
		{exitUsage, env, "status a/b"},
		{exitUsage, env, "status -o xml"},
		{exitUsage, env, "status --watch -o json"},
		{exitUsage, env, "check"},
		{exitUsage, env, "apply"},
		{exitUsage, env, "delete"},
		{exitUsage, env, "delete slo"},
		{exitUsage, env, "get nonsense"},
		{exitUsage, env, "repair --accept x"},
		{exitUsage, env, "restore x"},
		{exitUsage, env, "run --roles nonsense"},
		{exitUsage, env, "run --log xml"},
		{exitUsage, env, "run --settings /does/not/exist"},
		{exitUsage, env, "run --nats nats://x --roles bus"},
		{exitUsage, env, "status --server ftp://x"},
		{exitCould, away, "status"},
		{exitCould, away, "events"},
		{exitCould, away, "apply -f " + dir},
		{exitCould, env, "check /does/not/exist"},
		{exitCould, env, "repair --data /does/not/exist"},
		{exitCould, env, "restore /does/not/exist --data " + dir},
		{exitCould, env, "run --http 256.0.0.1:1 --data " + filepath.Join(dir, "data")},
	} {
		if code, out, errs := command(t, c.env, "", strings.Fields(c.args)...); code != c.want {
			t.Errorf("evenkeel %s: exit %d, want %d\n%s%s", c.args, code, c.want, out, errs)
		}
	}
}

// If it fails, a person who has no token learns nothing of where to get one.
func TestWithoutToken(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"code":"Unauthorized","message":"a valid token is needed"}}`)
	}))
	defer s.Close()
	code, _, errs := command(t, map[string]string{"EVENKEEL_SERVER": s.URL}, "", "status")
	if code != exitCould || !strings.Contains(errs, "--token") || !strings.Contains(errs, "admin.token") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// If it fails, people cannot read on a terminal what happens, or an event moves their cursor.
func TestEventsReadable(t *testing.T) {
	const alert = `{"specversion":"1.0","id":"slo.3.42","source":"/evenkeel/slo/3","type":"dev.evenkeel.slo.alert.v1","subject":"shop/checkout/availability","time":"2026-01-02T03:04:05.000Z","sequence":"42","data":{"tier":"page","state":"firing","reason":"BurnRateHigh","budget":{"remainingRatio":0.5}}}`
	const strange = `{"specversion":"1.0","id":"x","source":"/x","type":"dev.evenkeel.new.thing.v1","subject":"a\u001b[2Jb","time":"2026-01-02T03:04:06.000Z","sequence":"43","data":{"x":1}}`
	s, env := serveAnswers(t, map[string]string{"GET /api/v1/events": alert + "\n\n" + strange + "\n"})
	code, out, errs := command(t, env, "", "events", "--from", "15m", "--follow=false", "--type", "slo.alert")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, errs)
	}
	golden(t, "events.txt", out)
	if got, want := s.asked[0], "GET /api/v1/events?follow=false&from=15m&type=slo.alert"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if _, out, _ := command(t, env, "", "events", "--follow=false", "-o", "json"); out != alert+"\n"+strange+"\n" {
		t.Errorf("-o json: %s", out)
	}
	if code, _, _ := command(t, env, "", "events"); code != exitCould {
		t.Errorf("a stream that breaks off ends with exit %d", code)
	}
}

// If it fails, Ctrl-C of a stream looks like a failure to scripts.
func TestInterruptedEventsAreDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	var stderr bytes.Buffer
	code := execute(ctx, &cli{in: strings.NewReader(""), out: io.Discard, err: &stderr, getenv: func(string) (string, bool) { return "", false }}, []string{"events", "--server", s.URL})
	if code != exitDone {
		t.Errorf("exit %d: %s", code, &stderr)
	}
}

// If it fails, the help that people and shells complete from is not what the program can do.
func TestHelp(t *testing.T) {
	_, out, _ := command(t, nil, "", "--help")
	golden(t, "help.txt", out)
	_, out, _ = command(t, nil, "", "run", "--help")
	golden(t, "help-run.txt", out)
	for _, l := range strings.Split(out, "\n") {
		if n := utf8.RuneCountInString(l); n > 180 {
			t.Errorf("a line of help has %d columns: %s", n, l)
		}
	}
}
