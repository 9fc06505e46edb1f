package console

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

func newRequest(method, path, token, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func serve(s http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func event(seq uint64, kind, gns string) Event {
	return Event{
		Seq: seq, Subject: bus.PublicSubject(bus.EventSubject("slo", kind, gns, "checkout", "availability")), Data: fmt.Appendf(nil, `{"state":"firing","n":%d}`, seq),
		Header: bus.Header{
			{Name: "ce-specversion", Value: "1.0"}, {Name: "ce-id", Value: fmt.Sprintf("slo.3.%d", seq)}, {Name: "ce-source", Value: "/evenkeel/slo/3"},
			{Name: "ce-type", Value: "dev.evenkeel.slo." + kind + ".v1"}, {Name: "ce-subject", Value: gns + "/checkout/availability"},
			{Name: "ce-time", Value: "2026-01-02T03:04:05.000Z"}, {Name: "content-type", Value: "application/json"}, {Name: "Ek-N", Value: "1"},
		},
	}
}

// If it fails, whoever reads the event stream as JSON lines breaks, or cannot take it up where it ended.
func TestEventLineShape(t *testing.T) {
	s := newTestServer(t, &fakes{events: []Event{event(42, "alert", "shop")}}, nil)
	golden(t, "event.json", ask(s, "GET", "/api/v1/events?follow=false", tokenViewer, "").Body.Bytes())
}

// If it fails, a filter shows other events than were asked for, or a viewer hears of another global namespace.
func TestEventFilters(t *testing.T) {
	s := newTestServer(t, &fakes{events: []Event{event(1, "alert", "shop"), event(2, "status", "shop"), event(3, "alert", "shop-evil"), event(4, "alert", "Shop")}}, nil)
	for path, want := range map[string]string{
		"":                                   "1 2 3 4",
		"&from=3":                            "3 4",
		"&type=slo.alert":                    "1 3 4",
		"&type=status":                       "2",
		"&type=dev.evenkeel.slo.alert.v1":    "1 3 4",
		"&gns=shop":                          "1 2",
		"&gns=Shop":                          "4",
		"&type=dev.evenkeel.slo.alert.v1.no": "",
	} {
		if got := sequences(ask(s, "GET", "/api/v1/events?follow=false"+path, tokenViewer, "").Body.String()); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got := sequences(ask(s, "GET", "/api/v1/events", tokenShopViewer, "").Body.String()); got != "1 2" {
		t.Errorf("a viewer of shop got %q", got)
	}
}

func sequences(body string) string {
	var out []string
	for _, l := range strings.Split(body, "\n") {
		if _, rest, ok := strings.Cut(l, `"sequence":"`); ok {
			out = append(out, rest[:strings.IndexByte(rest, '"')])
		}
	}
	return strings.Join(out, " ")
}

// If it fails, --from begins at another moment than a person means.
func TestParseFrom(t *testing.T) {
	const now = bus.Time(1_700_000_000_000)
	for v, want := range map[string]EventsFrom{
		"": {}, "now": {}, "17": {Seq: 17}, "0": {Seq: 1}, "15m": {Time: now - 15*bus.Minute}, "1d": {Time: now - bus.Day},
		"2023-11-14T22:13:20Z": {Time: now}, "2023-11-14T23:13:20.5+01:00": {Time: now + 500},
	} {
		if got, err := ParseFrom(v, now); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", v, got, err, want)
		}
	}
	for _, v := range []string{"yesterday", "-5m", "2023-11-14", "-1"} {
		if got, err := ParseFrom(v, now); err == nil {
			t.Errorf("%q is taken as %+v", v, got)
		}
	}
}

// If it fails, a stream without news looks dead to proxies, goes on after the client left, or holds up the end of the process.
func TestStreamBeatsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ending := make(chan struct{})
		s := newTestServer(t, &fakes{events: []Event{event(1, "alert", "shop")}}, func(c *Config) { c.Ending = ending })
		in, out := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeHTTP(&pipeWriter{h: http.Header{}, w: out}, newRequest("GET", "/api/v1/events?follow", tokenViewer, ""))
			out.Close()
		}()
		began, lines := time.Now(), bufio.NewScanner(in)
		var got []string
		for range 3 {
			lines.Scan()
			got = append(got, fmt.Sprintf("%s %v", sequences(lines.Text()), time.Since(began)))
		}
		if diff := cmp.Diff([]string{"1 0s", " 15s", " 30s"}, got); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		close(ending)
		<-done
		if n := s.counts.Streams.Load(); n != 0 {
			t.Errorf("%d streams are counted after the end", n)
		}
	})
}

// If it fails, streams of clients that have left pile up until no new one is let in.
func TestStreamEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, &fakes{}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeHTTP(&pipeWriter{h: http.Header{}, w: io.Discard}, newRequest("GET", "/api/v1/events?follow", tokenViewer, "").WithContext(ctx))
		}()
		synctest.Wait()
		s.counts.Streams.Store(MaxStreams)
		if w := ask(s, "GET", "/api/v1/events?follow", tokenViewer, ""); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("a stream over the bound: status %d", w.Code)
		}
		cancel()
		<-done
		if n := s.counts.Streams.Load(); n != MaxStreams-1 {
			t.Errorf("%d streams are counted, want %d", n, MaxStreams-1)
		}
	})
}

// pipeWriter is the writer of an answer whose body goes where it is read at once.
type pipeWriter struct {
	h http.Header
	w io.Writer
}

func (w *pipeWriter) Header() http.Header         { return w.h }
func (w *pipeWriter) WriteHeader(int)             {}
func (w *pipeWriter) Write(b []byte) (int, error) { return w.w.Write(b) }
func (w *pipeWriter) Flush()                      {}
