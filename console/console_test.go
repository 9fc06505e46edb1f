package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fakes stand for everything behind the console.
type fakes struct {
	items       []slo.Item
	definitions []mesh.Definition
	applied     []ApplyRequest
	deleted     []DeleteRequest
	answer      ApplyAnswer
	err         error
	events      []Event
	deliveries  []Delivery
	resent      []string
	findings    []Finding
	mended      []string
	ready       Readiness
	backup      func(io.Writer) error
	written     []Identity
}

func (f *fakes) List() []slo.Item { return f.items }

func (f *fakes) Get(gns, service, name string) (slo.Item, bool) {
	for _, it := range f.items {
		if it.GlobalNamespace == gns && it.Service == service && it.Name == name {
			return it, true
		}
	}
	return slo.Item{}, false
}

type fakeDefinitions struct{ *fakes }

func (f fakeDefinitions) List(context.Context) ([]mesh.Definition, uint64, error) {
	return f.definitions, 7, f.err
}

func (f fakeDefinitions) Apply(_ context.Context, r ApplyRequest) (ApplyAnswer, error) {
	f.applied = append(f.applied, r)
	return f.answer, f.err
}

func (f fakeDefinitions) Delete(_ context.Context, r DeleteRequest) (ApplyAnswer, error) {
	f.deleted = append(f.deleted, r)
	return f.answer, f.err
}

func (f *fakes) Events(ctx context.Context, from EventsFrom, fn func(Event) error) error {
	for _, e := range f.events {
		if e.Seq >= from.Seq {
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	if from.Stop {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

type fakeDeliveries struct{ *fakes }

func (f fakeDeliveries) List(context.Context) ([]Delivery, error) { return f.deliveries, f.err }

func (f fakeDeliveries) Resend(_ context.Context, ids []string, _ Identity) error {
	f.resent = append(f.resent, ids...)
	return f.err
}

func (f *fakes) Diagnose(context.Context) ([]Finding, error) { return f.findings, f.err }

func (f *fakes) Mend(_ context.Context, finding, choice string) error {
	f.mended = append(f.mended, finding+"="+choice)
	return nil
}

func (f *fakes) Backup(_ context.Context, w io.Writer) error { return f.backup(w) }

// Tokens of the tests; the shop viewer and the shop author see one global namespace only.
const (
	tokenViewer     = "viewer-0123456789"
	tokenShopViewer = "shop-viewer-0123456789"
	tokenOperator   = "operator-0123456789"
	tokenAuthor     = "author-0123456789"
	tokenAdmin      = "admin-0123456789"
	tokenSender     = "sender-0123456789"
)

func newTestServer(t *testing.T, f *fakes, change func(*Config)) *Server {
	t.Helper()
	grant := func(name string, role Role, token string, gns ...string) Grant {
		return Grant{Identity{name, role, gns}, token}
	}
	a, err := NewAuthority([]Grant{
		grant("v", Viewer, tokenViewer), grant("sv", Viewer, tokenShopViewer, "shop"), grant("o", Operator, tokenOperator),
		grant("a", Author, tokenAuthor), grant("root", Admin, tokenAdmin), grant("prom", Sender, tokenSender),
	})
	if err != nil {
		t.Fatal(err)
	}
	receive := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.written = append(f.written, IdentityOf(r.Context()))
		w.WriteHeader(http.StatusNoContent)
	})
	c := Config{
		Authority: a, Logger: slog.New(slog.DiscardHandler), Statuses: f, Definitions: fakeDefinitions{f}, Events: f, Deliveries: fakeDeliveries{f},
		Repairs: f, Backups: f, Targets: func() any { return []string{} }, Schema: func() ([]byte, error) { return []byte(`{"asyncapi":"3.0.0"}`), nil },
		Ready: func() Readiness { return f.ready }, Version: Version{Version: "v1", Go: "go1"}, Write: receive, OTLP: receive,
		Now: func() bus.Time { return 1_700_000_012_345 },
	}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a request and returns the answer.
func ask(s http.Handler, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// golden compares indented JSON with a file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(got), "", "  "); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	b.WriteByte('\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func ptr[T any](v T) *T { return &v }

func item(gns, service, name, state string) slo.Item {
	sli, _ := slo.ParseDecimal("0.9985")
	return slo.Item{Status: slo.Status{
		GlobalNamespace: gns, Service: service, Name: name, Objective: slo.MustDecimal("0.999"), Window: slo.Window{Type: "rolling", Duration: slo.Duration(30 * bus.Day)}, Method: slo.MethodOccurrences,
		State: state, Reason: "MissesObjective", SLIBad: true, SLI: &sli, Events: slo.Events{Good: 99850, Total: 100000},
		Budget:    slo.Budget{Total: 100, Consumed: 150, Remaining: -50, RemainingRatio: ptr(-0.5)},
		BurnRates: []slo.BurnRate{{Window: slo.Duration(5 * bus.Minute), Rate: ptr(20.5)}, {Window: slo.Duration(bus.Hour), Rate: nil}},
		Alerts:    []slo.AlertStatus{{Tier: "page", State: slo.AlertFiring, Since: 1_700_000_000_000}}, Coverage: 0.75, AsOf: 1_700_000_005_000,
	}}
}

// If it fails, dashboards and scripts that read the status API break, or digits of an objective get lost.
func TestStatusShape(t *testing.T) {
	f := &fakes{items: []slo.Item{item("default", "checkout", "availability", slo.StateViolation)}}
	s := newTestServer(t, f, nil)
	golden(t, "slos.json", ask(s, "GET", "/api/v1/slos", tokenViewer, "").Body.Bytes())
	golden(t, "slo.json", ask(s, "GET", "/api/v1/slos/default/checkout/availability", tokenViewer, "").Body.Bytes())
	f.items[0].Reason = slo.ReasonNoDataYet
	f.items[0].BurnRates, f.items[0].Alerts, f.items[0].SLI, f.items[0].Budget, f.items[0].AsOf = nil, nil, nil, slo.Budget{}, 0
	golden(t, "slos-without-data.json", ask(s, "GET", "/api/v1/slos", tokenViewer, "").Body.Bytes())
}

// If it fails, filters answer with other SLOs than were asked for, or a viewer sees another global namespace's.
func TestStatusFilters(t *testing.T) {
	s := newTestServer(t, &fakes{items: []slo.Item{
		item("default", "a", "x", slo.StateHealthy), item("shop", "a", "x", slo.StateViolation), item("shop", "b", "y", slo.StateHealthy),
	}}, nil)
	for _, c := range []struct {
		path, token string
		want        string
	}{
		{"/api/v1/slos", tokenViewer, "default/a/x shop/a/x shop/b/y"},
		{"/api/v1/slos?gns=shop", tokenViewer, "shop/a/x shop/b/y"},
		{"/api/v1/slos?service=a", tokenViewer, "default/a/x shop/a/x"},
		{"/api/v1/slos?state=HEALTHY", tokenViewer, "default/a/x shop/b/y"},
		{"/api/v1/slos?name=y", tokenViewer, "shop/b/y"},
		{"/api/v1/slos", tokenShopViewer, "shop/a/x shop/b/y"},
		{"/api/v1/slos?gns=default", tokenShopViewer, ""},
	} {
		var list SLOList
		if err := json.Unmarshal(ask(s, "GET", c.path, c.token, "").Body.Bytes(), &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, it := range list.Items {
			got = append(got, it.GlobalNamespace+"/"+it.Service+"/"+it.Name)
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s with %s: got %q, want %q", c.path, c.token, g, c.want)
		}
	}
	if w := ask(s, "GET", "/api/v1/slos/default/a/x", tokenShopViewer, ""); w.Code != http.StatusNotFound {
		t.Errorf("a viewer of shop reads an SLO of default: %d", w.Code)
	}
}

// If it fails, somebody without a right gets in, or somebody with one is kept out.
func TestRights(t *testing.T) {
	f := &fakes{backup: func(io.Writer) error { return nil }, definitions: []mesh.Definition{{Ref: mesh.Ref{Kind: "SLO", Namespace: "default", Name: "x"}}}}
	s := newTestServer(t, f, func(c *Config) { c.Pprof = true })
	tokens := []string{tokenViewer, tokenShopViewer, tokenOperator, tokenAuthor, tokenAdmin, tokenSender}
	const yes, no = true, false
	for _, c := range []struct {
		method, path string
		may          [6]bool // in the order of tokens
	}{
		{"GET", "/api/v1/slos", [6]bool{yes, yes, yes, yes, yes, no}},
		{"GET", "/api/v1/version", [6]bool{yes, yes, yes, yes, yes, no}},
		{"GET", "/api/v1/definitions", [6]bool{yes, yes, yes, yes, yes, no}},
		{"POST", "/api/v1/definitions", [6]bool{no, no, no, yes, yes, no}},
		{"POST", "/api/v1/definitions/diff", [6]bool{yes, yes, yes, yes, yes, no}},
		{"DELETE", "/api/v1/definitions/SLO/default/x", [6]bool{no, no, no, yes, yes, no}},
		{"GET", "/api/v1/events?follow=false", [6]bool{yes, yes, yes, yes, yes, no}},
		{"GET", "/api/v1/events/schema", [6]bool{yes, yes, yes, yes, yes, no}},
		{"GET", "/api/v1/deliveries", [6]bool{yes, yes, yes, yes, yes, no}},
		{"POST", "/api/v1/deliveries/x/resend", [6]bool{no, no, yes, no, yes, no}},
		{"GET", "/api/v1/targets", [6]bool{yes, no, yes, yes, yes, no}},
		{"GET", "/api/v1/repair", [6]bool{yes, no, yes, yes, yes, no}},
		{"POST", "/api/v1/repair", [6]bool{no, no, yes, no, yes, no}},
		{"POST", "/api/v1/backup", [6]bool{no, no, no, no, yes, no}},
		{"GET", "/debug/pprof/cmdline", [6]bool{no, no, no, no, yes, no}},
		{"POST", "/api/v1/write", [6]bool{no, no, no, no, yes, yes}},
		{"POST", "/v1/metrics", [6]bool{no, no, no, no, yes, yes}},
	} {
		for i, token := range tokens {
			w := ask(s, c.method, c.path, token, "")
			if got := w.Code != http.StatusForbidden; got != c.may[i] || w.Code == http.StatusUnauthorized {
				t.Errorf("%s %s with %s: status %d, want may=%v", c.method, c.path, token, w.Code, c.may[i])
			}
		}
		for _, token := range []string{"", "wrong-0123456789", tokenAdmin + "x"} {
			w := ask(s, c.method, c.path, token, "")
			if w.Code != http.StatusUnauthorized || len(w.Header().Values("WWW-Authenticate")) == 0 {
				t.Errorf("%s %s with token %q: status %d, want 401 with WWW-Authenticate", c.method, c.path, token, w.Code)
			}
		}
	}
}

// If it fails, a Prometheus that sends its token as the password of basic authentication is refused, or senders lose their identity.
func TestBasicAuthenticationAndSender(t *testing.T) {
	f := &fakes{}
	s := newTestServer(t, f, nil)
	r := httptest.NewRequest("POST", "/api/v1/write", strings.NewReader("x"))
	r.SetBasicAuth("whoever", tokenSender)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusNoContent {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if diff := cmp.Diff([]Identity{{Name: "prom", Role: Sender}}, f.written); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
}

// If it fails, a mistake in the settings of tokens opens a door or is found only at the first request.
func TestAuthorityRefuses(t *testing.T) {
	for want, g := range map[string][]Grant{
		"unknown role":       {{Identity{Name: "x", Role: "boss"}, tokenAdmin}},
		"has no name":        {{Identity{Role: Viewer}, tokenAdmin}},
		"fewer than 16":      {{Identity{Name: "x", Role: Viewer}, "short"}},
		"are the same":       {{Identity{Name: "x", Role: Viewer}, tokenAdmin}, {Identity{Name: "y", Role: Admin}, tokenAdmin}},
		"cannot be bound":    {{Identity{"x", Admin, []string{"shop"}}, tokenAdmin}},
		"one global namespa": {{Identity{"x", Sender, []string{"shop", "bank"}}, tokenAdmin}},
	} {
		if _, err := NewAuthority(g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// If it fails, one request that meets a mistake of ours takes the whole process down, or the cause is in no log.
func TestPanicStaysInItsRequest(t *testing.T) {
	var log bytes.Buffer
	f := &fakes{backup: func(io.Writer) error { panic("oh") }}
	s := newTestServer(t, f, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	if w := ask(s, "POST", "/api/v1/backup", tokenAdmin, ""); w.Code != http.StatusInternalServerError {
		t.Errorf("status %d", w.Code)
	}
	if !strings.Contains(log.String(), "handler panicked") || strings.Contains(log.String(), tokenAdmin) {
		t.Errorf("log: %s", &log)
	}
	if w := ask(s, "GET", "/metrics", "", ""); !strings.Contains(w.Body.String(), "evenkeel_http_panics_total 1") {
		t.Error("the panic is not counted")
	}
}

// If it fails, a half-written back-up looks like a whole one.
func TestBackupThatBreaksOffIsCut(t *testing.T) {
	f := &fakes{backup: func(w io.Writer) error { _, _ = w.Write([]byte("half")); return errors.New("disk") }}
	s := httptest.NewServer(newTestServer(t, f, nil))
	defer s.Close()
	r, _ := http.NewRequest("POST", s.URL+"/api/v1/backup", nil)
	r.Header.Set("Authorization", "Bearer "+tokenAdmin)
	resp, err := http.DefaultClient.Do(r)
	if err == nil {
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
	}
	if err == nil {
		t.Error("the client got an end, as if all had come")
	}
	f = &fakes{backup: func(io.Writer) error { return errors.New("disk") }}
	if w := ask(newTestServer(t, f, nil), "POST", "/api/v1/backup", tokenAdmin, ""); w.Code != http.StatusInternalServerError {
		t.Errorf("a backup that does not begin: status %d", w.Code)
	}
}
