package history

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/bus"
)

// reading is a source on a server that answers with f, impatient.
func reading(t *testing.T, c Config, f http.HandlerFunc) *Prometheus {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	c.URL = s.URL
	p, err := NewPrometheus(c)
	if err != nil {
		t.Fatal(err)
	}
	p.client.pause, p.client.silence = time.Millisecond, 300*time.Millisecond
	return p
}

func read(t *testing.T, p *Prometheus, to bus.Time) (n int, err error) {
	q := everything(t)
	q.To = to
	err = p.Read(t.Context(), q, func(m *Moment) error { n += len(m.Series); return nil })
	return n, err
}

const streamed = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"

// A server that stumbles once would end a long replay, or half an answer would be counted.
func TestAnotherTry(t *testing.T) {
	n := 0
	whole := framed(message(t, 0, "a", encoded(t, []int64{10, 20}, []float64{1, 2})))
	p := reading(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("Content-Type", streamed)
		switch n {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			_, _ = w.Write(whole)
			_, _ = w.Write(whole[:7])
		case 4: // silent
			_, _ = w.Write(whole)
			w.(http.Flusher).Flush()
			<-time.After(500 * time.Millisecond)
		default:
			_, _ = w.Write(whole)
		}
	})
	got, err := read(t, p, 1000)
	if err != nil || got != 2 || n != 5 || p.Origin().Protocol != ProtocolStreamed {
		t.Errorf("%d samples after %d requests, %v", got, n, err)
	}
}

// A user would wait for nothing, or not be told what is wrong: what cannot get better is not asked again, and secrets stay out of it.
func TestNoOtherTry(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("anna:topsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config Config
		answer http.HandlerFunc
		want   string
	}{
		{Config{BasicAuthFile: secret}, func(w http.ResponseWriter, r *http.Request) {
			u, p, _ := r.BasicAuth()
			http.Error(w, fmt.Sprint("wrong password for ", u, len(p)), http.StatusUnauthorized)
		}, "the server answers 401 Unauthorized: wrong password for anna9"},
		{Config{}, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }, `content type "text/html", which is not known here`},
		{Config{BearerTokenFile: secret + "-missing"}, nil, "bearer token: open "},
		{Config{}, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/x?y", http.StatusMovedPermanently)
		},
			"it redirects to https://elsewhere.example in a way that drops the question"},
		{Config{Protocol: ChooseRemoteRead}, http.NotFound, "remote read is not offered: the server answers 404"},
		{Config{Protocol: ChooseAPI}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"status":"error","errorType":"bad_data","error":"no\u001b such metric"}`)
		}, "the server answers 400 Bad Request: bad_data: no  such metric"},
	} {
		n := 0
		p := reading(t, c.config, func(w http.ResponseWriter, r *http.Request) { n++; c.answer(w, r) })
		_, err := read(t, p, 1000)
		if err == nil || !strings.Contains(err.Error(), c.want) || n > 1 || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("after %d requests: %v; want %s", n, err, c.want)
		}
	}
}

// A server with narrower bounds than ours could not be replayed at all.
func TestShorterSlices(t *testing.T) {
	n := 0
	longest := time.Duration(0)
	p := reading(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/read" {
			http.Error(w, "not here", http.StatusMethodNotAllowed)
			return
		}
		n++
		q := r.FormValue("query")
		d, err := time.ParseDuration(q[strings.Index(q, "[")+1 : len(q)-1])
		if err != nil {
			t.Error(err)
		}
		if d > 30*time.Minute {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}`)
			return
		}
		longest = max(longest, d)
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"a"},"values":[[%s,"%d"]]}]}}`, r.FormValue("time"), n)
	})
	noted := ""
	p.config.Note = func(format string, args ...any) { noted = fmt.Sprintf(format, args...) }
	got, err := read(t, p, 4*bus.Hour)
	if err != nil || got < 8 || longest > 30*time.Minute || !strings.Contains(noted, "405") || p.Origin().Protocol != ProtocolAPI {
		t.Errorf("%d samples, longest slice %v, note %q, %v", got, longest, noted, err)
	}
	p = reading(t, Config{Protocol: ChooseAPI}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"status":"error","error":"too many samples"}`)
	})
	if _, err := read(t, p, 4*bus.Hour); !errors.Is(err, errTooLarge) || !strings.Contains(err.Error(), "narrower selectors") {
		t.Errorf("a minute that is too large: %v", err)
	}
}

// Credentials would go where they must not, or a typo would be told late.
func TestConfigs(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{URL: "prometheus:9090"}, "is no URL of a Prometheus"},
		{Config{URL: "http://u:topsecret@h"}, "write them into a file"},
		{Config{URL: "http://h/?x=1"}, "query or a fragment"},
		{Config{URL: "http://h", Protocol: "grpc"}, `protocol "grpc" is not known`},
		{Config{URL: "http://h", BearerTokenFile: "a", BasicAuthFile: "b"}, "choose one"},
		{Config{URL: "https://h", CAFile: "/nonexistent"}, "authority's certificate"},
	} {
		_, err := NewPrometheus(c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%+v: %v; want %s", c.config, err, c.want)
		}
	}
}

// A token would be sent in the clear, or to a server whose certificate nobody signed.
func TestTLS(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the plain server was asked") }))
	defer plain.Close()
	s := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(s.Certificate().Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ca, want string }{{ca, "it redirects from HTTPS to HTTP"}, {"", "certificate"}} {
		p, err := NewPrometheus(Config{URL: s.URL, CAFile: c.ca})
		if err != nil {
			t.Fatal(err)
		}
		p.client.pause = time.Millisecond
		if _, err := read(t, p, 1000); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("with authority %q: %v; want %s", c.ca, err, c.want)
		}
	}
}

// Who stops a replay would wait for it.
func TestCancel(t *testing.T) {
	p := reading(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	p.client.pause = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Read(ctx, everything(t), func(*Moment) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
