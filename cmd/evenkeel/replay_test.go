package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"evenkeel.dev/bus"
)

// replaySLO is a definition over http_requests_total, for files of replayFile.
func replaySLO(t *testing.T, path, target string) string {
	t.Helper()
	text := fmt.Sprintf(`apiVersion: openslo/v1
kind: SLO
metadata: {name: availability}
spec:
  service: shop
  indicator:
    metadata: {name: availability}
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource: {type: Prometheus, spec: {query: 'sum(rate(http_requests_total{service="shop",code!~"5.."}[5m]))'}}
        total:
          metricSource: {type: Prometheus, spec: {query: 'sum(rate(http_requests_total{service="shop"}[5m]))'}}
  timeWindow: [{duration: 2h, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: answered, target: %s}]
---
apiVersion: openslo/v1
kind: Service
metadata: {name: shop}
spec: {description: a shop}
`, target)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// replayFile writes three hours of a service, 15 s apart: 1,500 requests each, and from 1 h on for ten minutes 10 % errors.
func replayFile(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# TYPE http_requests counter\n")
	for _, code := range []string{"200", "500"} {
		good, bad := 0, 0
		for i := range 3 * 240 {
			errors := 0
			if i >= 240 && i < 280 {
				errors = 150
			}
			good, bad = good+1500-errors, bad+errors
			v := good
			if code == "500" {
				v = bad
			}
			fmt.Fprintf(&b, "http_requests_total{service=\"shop\",code=%q} %d %d\n", code, v, 1_800_000_000+15*i)
		}
	}
	b.WriteString("# EOF\n")
	path := "shop.om"
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A program that reads the JSON of a replay, or a person its table, would find another form, or other numbers than were recorded.
func TestReplayForms(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	goldenHere := func(name, got string) { // the names of files are in the answers, so that they must be short
		t.Helper()
		t.Chdir(here)
		golden(t, name, got)
	}
	t.Chdir(t.TempDir())
	slo, other, file := replaySLO(t, "shop.yaml", "0.95"), replaySLO(t, "stricter.yaml", "0.995"), replayFile(t)
	code, out, errs := command(t, nil, "", "replay", slo, "--from", "openmetrics:"+file, "-o", "json", "--step", "10m")
	asJSON := out
	if code != exitDone || errs != "" {
		t.Errorf("exit code %d, %s", code, errs)
	}
	if _, again, _ := command(t, nil, "", "replay", slo, "--from", "openmetrics:"+file, "-o", "json", "--step", "10m"); again != out {
		t.Error("the same replay gives another answer the second time")
	}
	code, out, _ = command(t, nil, "", "replay", other, "--compare", slo, "--from", "openmetrics:"+file)
	asTable := out
	if code != exitNo {
		t.Errorf("a breach exits with %d", code)
	}
	for line := range strings.Lines(out) {
		if utf8.RuneCountInString(line) > 101 {
			t.Errorf("over 100 columns: %s", line)
		}
	}
	if code, out, _ = command(t, nil, "", "replay", slo, "--compare", other, "--from", "openmetrics:"+file, "-o", "html"); code != exitDone || !strings.HasPrefix(out, "<!DOCTYPE html>") || strings.Count(out, "<svg viewBox=\"0 0 720") != 4 {
		t.Errorf("exit code %d, page of %d bytes", code, len(out))
	}
	goldenHere("replay.json", asJSON)
	goldenHere("replay.txt", asTable)
}

// A script would go on with an answer that is none, or a person not learn what to do.
func TestReplayExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	slo, file := replaySLO(t, "shop.yaml", "0.95"), replayFile(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-streamed-protobuf")
	}))
	t.Cleanup(s.Close)
	broken := "broken.yaml"
	if err := os.WriteFile(broken, []byte("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: x}\nspec: {servise: y}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	service := "service.yaml"
	if err := os.WriteFile(service, []byte("apiVersion: openslo/v1\nkind: Service\nmetadata: {name: x}\nspec: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{slo}, exitUsage, `"from" not set`},
		{[]string{slo, "--from", "prometheus:" + s.URL}, exitUsage, "--since is needed"},
		{[]string{slo, "--from", "influx:x"}, exitUsage, "write prometheus:URL, openmetrics:FILE, or log"},
		{[]string{slo, "--from", "log"}, exitUsage, "--since is needed"},
		{[]string{slo, "--from", "log:x", "--since", "1d"}, exitUsage, "write prometheus:URL, openmetrics:FILE, or log"},
		{[]string{slo, "--from", "log", "--since", "1d", "--server", "http://127.0.0.1:1"}, exitCould, "reach http://127.0.0.1:1"},
		{[]string{slo, "--from", "prometheus:http://u:topsecret@h", "--since", "1d"}, exitUsage, "write them into a file"},
		{[]string{slo, "--from", "prometheus:" + s.URL, "--since", "yesterday"}, exitUsage, "neither a duration"},
		{[]string{slo, "--from", "prometheus:" + s.URL, "--since", "5s"}, exitUsage, "less than a minute"},
		{[]string{slo, "--from", "prometheus:" + s.URL, "--since", "1d", "--until", "2999-01-01T00:00:00Z"}, exitUsage, "is in the future"},
		{[]string{slo, "--from", "prometheus:" + s.URL, "--since", "500d"}, exitUsage, "more than 400d"},
		{[]string{slo, "--from", "prometheus:" + s.URL, "--since", "1d", "--step", "1s"}, exitUsage, "at least 10s"},
		{[]string{slo, "--from", "openmetrics:" + file, "-o", "yaml"}, exitUsage, "it is table, json or html"},
		{[]string{slo, "--from", "openmetrics:" + file, "--progress", "loud"}, exitUsage, "auto, always or never"},
		{[]string{broken, "--from", "openmetrics:" + file}, exitNo, "broken.yaml:4:"},
		{[]string{service, "--from", "openmetrics:" + file}, exitNo, "there is no SLO in it"},
		{[]string{slo, "--from", "openmetrics:" + file + "-missing"}, exitCould, "no such file"},
		{[]string{slo, "--from", "prometheus:" + s.URL, "--since", "1d"}, exitCould, "has no sample of what these definitions count"},
	} {
		code, out, errs := command(t, nil, "", append([]string{"replay"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) || out != "" || strings.Contains(errs, "topsecret") {
			t.Errorf("%v: exit code %d, want %d; %s; want %s", c.args, code, c.code, errs, c.want)
		}
	}
}

// A person would not know whether anything happens, or a program find the bar in what it reads.
func TestReplayProgress(t *testing.T) {
	var b strings.Builder
	p := &progress{w: &b, terminal: true, began: time.Now().Add(-time.Minute)}
	p.at(0.25, 1000)
	if got := b.String(); !strings.Contains(got, "[##########..............................]  25 %, 1000 samples, about 3m0s left") {
		t.Errorf("the bar is %q", got)
	}
	b.Reset()
	p.note("said %d", 1)
	if got := b.String(); got != "\r\x1b[Kevenkeel: said 1\n" {
		t.Errorf("a note is %q", got)
	}
	b.Reset()
	p = &progress{w: &b, began: time.Now().Add(-time.Minute)}
	p.at(0.5, 1000)
	p.end()
	if got := b.String(); got != " 50 %, 1000 samples, about 1m0s left\n" {
		t.Errorf("the line is %q", got)
	}
	for _, c := range []struct {
		choice, output string
		silent         bool
	}{{"auto", "table", false}, {"auto", "json", true}, {"always", "json", false}, {"never", "table", true}} {
		if got := newProgress(&b, c.choice, c.output).silent; got != c.silent {
			t.Errorf("--progress %s -o %s: silent %v", c.choice, c.output, got)
		}
	}
}

// A user would get another span than the one that was asked for.
func TestReplaySpan(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_999)
	f := replayFlags{since: "30d", until: "2027-01-15T07:00:00+01:00"}
	from, until, step, err := f.span(t.Context(), nil, now)
	if err != nil || from != 1_800_000_000_000-30*bus.Day || until.String() != "2027-01-15T06:00:00.000Z" || step != 3590*bus.Second {
		t.Errorf("from %s until %s step %d, %v", from, until, step, err)
	}
}
