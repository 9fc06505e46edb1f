package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evenkeel.dev/slo"
	"evenkeel.dev/slo/report"
)

// fakeReports answers with a report of the keys that are asked for.
type fakeReports func(ctx context.Context, span report.Span, keeps func(slo.StatusKey) bool) (*report.Period, error)

func (f fakeReports) Report(ctx context.Context, span report.Span, keeps func(slo.StatusKey) bool) (*report.Period, error) {
	return f(ctx, span, keeps)
}

// someSLOs are in two global namespaces.
var someSLOs = []slo.StatusKey{{GlobalNamespace: "shop", Service: "cart", Name: "a"}, {GlobalNamespace: "shop", Service: "pay", Name: "b"}, {GlobalNamespace: "secret", Service: "cart", Name: "c"}}

func names(_ context.Context, span report.Span, keeps func(slo.StatusKey) bool) (*report.Period, error) {
	p := &report.Period{Month: span.Month, TimeZone: span.Zone.Name, From: slo.Moment(span.From)}
	for _, k := range someSLOs {
		if keeps(k) {
			p.SLOs = append(p.SLOs, report.PeriodSLO{Name: k.Name})
		}
	}
	return p, nil
}

// A report would show the SLOs of others, or of another month, or take what nobody understands for the month at hand.
func TestReport(t *testing.T) {
	s := newTestServer(t, &fakes{}, func(c *Config) { c.Reports = fakeReports(names) })
	for _, c := range []struct {
		query, token string
		status       int
		want         string // names and beginning, or part of the message
	}{
		{"", tokenViewer, 200, "abc 2023-11-01T00:00:00.000Z UTC"},
		{"month=2023-10&tz=Europe/Berlin", tokenViewer, 200, "abc 2023-09-30T22:00:00.000Z Europe/Berlin"},
		{"since=2023-10-01&until=2023-10-03&gns=shop", tokenViewer, 200, "ab 2023-10-01T00:00:00.000Z UTC"},
		{"service=cart", tokenViewer, 200, "ac 2023-11-01T00:00:00.000Z UTC"},
		{"", tokenShopViewer, 200, "ab 2023-11-01T00:00:00.000Z UTC"},
		{"gns=secret", tokenShopViewer, 200, " 2023-11-01T00:00:00.000Z UTC"},
		{"", tokenSender, 403, "sender"},
		{"", "", 401, "token"},
		{"month=13", tokenViewer, 400, "is no month; write for example 2026-10"},
		{"tz=Europe/Berln", tokenViewer, 400, "Europe/Berlin"},
	} {
		w := ask(s, "GET", "/api/v1/report?"+c.query, c.token, "")
		var p report.Period
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		got := w.Body.String()
		if w.Code == http.StatusOK {
			got = ""
			for _, o := range p.SLOs {
				got += o.Name
			}
			got += " " + p.From.String() + " " + p.TimeZone
		}
		if w.Code != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: status %d, %s; want %d, %s", c.query, w.Code, got, c.status, c.want)
		}
	}
}

// A long report would be cut off on its way, one that fails late would look like a whole one, and many of them would take the engine's memory.
func TestReportTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := errors.New("the log is away")
		s := newTestServer(t, &fakes{}, func(c *Config) {
			c.Reports = fakeReports(func(ctx context.Context, span report.Span, keeps func(slo.StatusKey) bool) (*report.Period, error) {
				time.Sleep(35 * time.Second)
				if answer != nil {
					return nil, answer
				}
				return names(ctx, span, keeps)
			})
		})
		for range MaxReports {
			go ask(s, "GET", "/api/v1/report", tokenViewer, "")
		}
		synctest.Wait()
		if w := ask(s, "GET", "/api/v1/report", tokenViewer, ""); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("one report too many: status %d", w.Code)
		}
		time.Sleep(time.Minute)
		w := ask(s, "GET", "/api/v1/report", tokenViewer, "")
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), "\n\n\n{\"error\":") {
			t.Errorf("what failed late: status %d: %q", w.Code, w.Body)
		}
		answer = nil
		if w := ask(s, "GET", "/api/v1/report", tokenViewer, ""); !strings.HasPrefix(w.Body.String(), "\n\n\n{") || !json.Valid(w.Body.Bytes()) {
			t.Errorf("a long one: %q", w.Body)
		}
		answer = &report.ErrTooMuch{SLOs: 9, Days: 9}
		if w := ask(s, "GET", "/api/v1/report", tokenViewer, ""); !strings.Contains(w.Body.String(), `"TooLarge"`) {
			t.Errorf("too large a one: %q", w.Body)
		}
	})
}
