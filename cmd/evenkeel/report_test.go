package main

import (
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/report"
	"evenkeel.dev/slo/zone"
)

// septemberReport is what an engine answers about two SLOs.
func septemberReport(t *testing.T) string {
	t.Helper()
	rules, err := zone.Of("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	span, err := report.NewSpan("2026-09", "", "", rules, 1_792_000_000_000)
	if err != nil {
		t.Fatal(err)
	}
	m := report.NewMinutes(span, func(slo.StatusKey) bool { return true })
	st := []slo.Status{{GlobalNamespace: "shop", Service: "checkout", Name: "availability", Objective: slo.MustDecimal("0.999"), State: slo.StateHealthy},
		{GlobalNamespace: "shop", Service: "cart", Name: "=HYPERLINK()", Objective: slo.MustDecimal("0.95"), State: slo.StateUnknown}}
	for i, total := range []float64{1_000_000, 2_000_000, 500_000} {
		e := slo.LedgerEntry{StatusKey: slo.StatusKey{GlobalNamespace: "shop", Service: "checkout", Name: "availability"}, Good: total - float64(i*i)*1234, Total: total, Covered: 60}
		if err := m.Take(&slo.LedgerFrame{Minute: span.From + bus.Time(i)*bus.Day, Entries: []slo.LedgerEntry{e}}); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	if err := m.Report(st, report.Past{}).JSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// If it fails, who asks for a month gets another form, or asks the engine for another span than was written.
func TestReportForms(t *testing.T) {
	answer := septemberReport(t)
	s, env := serveAnswers(t, map[string]string{"GET /api/v1/report": "\n\n" + answer})
	for form, file := range map[string]string{"table": "report.txt", "csv": "report.csv", "json": "report.json", "html": ""} {
		code, out, errs := command(t, env, "", "report", "--month", "2026-09", "--tz", "Europe/Berlin", "-o", form)
		if code != exitDone || errs != "" {
			t.Fatalf("%s: exit %d: %s", form, code, errs)
		}
		if file != "" {
			golden(t, file, out)
		} else if !strings.Contains(out, "2026-09-01 00:00 to 2026-10-01 00:00 (Europe/Berlin)") || !strings.HasPrefix(out, "<!DOCTYPE html>") {
			t.Errorf("the page: %.300s", out)
		}
	}
	command(t, env, "", "report", "--since", "7d", "--until", "2026-10-01", "--service", "checkout", "--global-namespace", "shop")
	if got, want := s.asked[len(s.asked)-1], "GET /api/v1/report?gns=shop&service=checkout&since=7d&tz=UTC&until=2026-10-01"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

// If it fails, a mistake looks like a report, or does not say what would be right.
func TestReportMistakes(t *testing.T) {
	_, env := serveAnswers(t, map[string]string{"GET /api/v1/report": "\n{\"error\":{\"code\":\"Internal\",\"message\":\"the log is away\"}}"})
	for _, c := range []struct {
		args []string
		env  map[string]string
		code int
		want string
	}{
		{[]string{"report", "-o", "pdf"}, env, exitUsage, "it is table, html, csv or json"},
		{[]string{"report", "--tz", "CEST"}, env, exitUsage, "--tz: \"CEST\" is no time zone"},
		{[]string{"report", "october"}, env, exitUsage, "unknown command"},
		{[]string{"report"}, env, exitCould, "the log is away"},
		{[]string{"report"}, map[string]string{"EVENKEEL_SERVER": "http://127.0.0.1:1"}, exitCould, "reach http://127.0.0.1:1"},
	} {
		code, out, errs := command(t, c.env, "", c.args...)
		if code != c.code || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit %d, wrote %q, said %q; want %d, %q", c.args, code, out, errs, c.code, c.want)
		}
	}
}
