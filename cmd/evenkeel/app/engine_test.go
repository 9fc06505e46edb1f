package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/nats-io/nats-server/v2/server/ats"
	"google.golang.org/protobuf/encoding/protowire"

	"evenkeel.dev/bus"
	"evenkeel.dev/console"
)

func TestMain(m *testing.M) {
	ats.Register() // so that the embedded server's clock does not begin inside a bubble
	os.Exit(m.Run())
}

// engine is a whole process under test and a client of it.
type engine struct {
	t      *testing.T
	data   string
	http   *http.Client
	at     Addresses
	log    *syncBuffer
	stop   func()
	admin  string
	sender string
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs a process with the settings, completed by what a test needs, and stops it when the test ends.
func start(t *testing.T, s Settings, sur Surroundings) *engine {
	t.Helper()
	if s.Data == "" {
		s.Data = t.TempDir()
	}
	if s.HTTP == "" {
		s.HTTP = "127.0.0.1:0"
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, data: s.Data, log: &syncBuffer{}, http: &http.Client{Transport: &http.Transport{}}}
	sur.Logger = slog.New(slog.NewTextHandler(e.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	sur.Err = e.log
	started, done := make(chan Addresses, 1), make(chan error, 1)
	sur.Started = func(a Addresses) { started <- a }
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- Run(ctx, s, sur) }()
	var once sync.Once
	e.stop = func() {
		once.Do(func() {
			e.http.CloseIdleConnections()
			cancel()
			if err := <-done; err != nil {
				t.Errorf("the process ended with: %v\n%s", err, e.log)
			}
		})
	}
	select {
	case e.at = <-started:
	case err := <-done:
		t.Fatalf("the process did not start: %v\n%s", err, e.log)
	}
	t.Cleanup(e.stop)
	e.admin, e.sender = e.token(adminToken), e.token(senderToken)
	return e
}

func (e *engine) token(name string) string {
	e.t.Helper()
	s, err := console.ReadToken(filepath.Join(e.data, name))
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

// do sends a request and returns status and body.
func (e *engine) do(method, path, token string, body []byte, header ...string) (int, []byte) {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), method, e.at.HTTP+path, bytes.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := e.http.Do(r)
	if err != nil {
		e.t.Fatalf("%s %s: %v\n%s", method, path, err, e.log)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.StatusCode, b
}

// get reads a JSON answer as the admin.
func (e *engine) get(path string, into any) {
	e.t.Helper()
	status, b := e.do("GET", path, e.admin, nil)
	if status != http.StatusOK {
		e.t.Fatalf("GET %s: status %d: %s", path, status, b)
	}
	if err := json.Unmarshal(b, into); err != nil {
		e.t.Fatalf("GET %s: %v: %s", path, err, b)
	}
}

// apply sets definitions over the API.
func (e *engine) apply(yaml string) console.ApplyAnswer {
	e.t.Helper()
	status, b := e.do("POST", "/api/v1/definitions", e.admin, []byte(yaml))
	if status != http.StatusOK {
		e.t.Fatalf("apply: status %d: %s", status, b)
	}
	var a console.ApplyAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		e.t.Fatal(err)
	}
	return a
}

// slo reads the status of default/checkout/availability.
func (e *engine) slo() console.SLO {
	e.t.Helper()
	var s console.SLO
	e.get("/api/v1/slos/default/checkout/availability", &s)
	return s
}

// eventLines returns the events of a type so far.
func (e *engine) eventLines(typ string) []json.RawMessage {
	e.t.Helper()
	status, b := e.do("GET", "/api/v1/events?from=1&follow=false&type="+typ, e.admin, nil)
	if status != http.StatusOK {
		e.t.Fatalf("events: status %d: %s", status, b)
	}
	var out []json.RawMessage
	for _, l := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		if len(l) > 0 {
			out = append(out, l)
		}
	}
	return out
}

// write sends counters of one moment by remote write 1.0, as a Prometheus would.
func (e *engine) write(at time.Time, values map[string]float64) {
	e.t.Helper()
	status, b := e.do("POST", "/api/v1/write", e.sender, snappy.Encode(nil, writeRequest(at, values)),
		"Content-Type", "application/x-protobuf", "Content-Encoding", "snappy", "X-Prometheus-Remote-Write-Version", "0.1.0")
	if status != http.StatusNoContent {
		e.t.Fatalf("remote write: status %d: %s", status, b)
	}
}

// writeRequest encodes a prometheus.WriteRequest; the keys are labels as "name=value,name=value".
func writeRequest(at time.Time, values map[string]float64) []byte {
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var out []byte
	for _, k := range keys {
		var series []byte
		for _, l := range strings.Split(k, ",") {
			name, value, _ := strings.Cut(l, "=")
			var label []byte
			label = protowire.AppendString(protowire.AppendTag(label, 1, protowire.BytesType), name)
			label = protowire.AppendString(protowire.AppendTag(label, 2, protowire.BytesType), value)
			series = protowire.AppendBytes(protowire.AppendTag(series, 1, protowire.BytesType), label)
		}
		var sample []byte
		sample = protowire.AppendFixed64(protowire.AppendTag(sample, 1, protowire.Fixed64Type), math.Float64bits(values[k]))
		sample = protowire.AppendVarint(protowire.AppendTag(sample, 2, protowire.VarintType), uint64(bus.TimeOf(at)))
		series = protowire.AppendBytes(protowire.AppendTag(series, 2, protowire.BytesType), sample)
		out = protowire.AppendBytes(protowire.AppendTag(out, 1, protowire.BytesType), series)
	}
	return out
}

// checkout is an SLO over http_requests_total, as its owner would write it.
const checkout = `apiVersion: openslo/v1
kind: Service
metadata: {name: checkout}
spec: {description: takes the money}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: availability}
spec:
  service: checkout
  indicator:
    metadata: {name: availability-sli}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{job="checkout",code!~"5.."}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{job="checkout"}'}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999}]
`

// counters are the series of the service: requests that went well and that did not.
type counters struct{ good, bad float64 }

func (c *counters) values() map[string]float64 {
	return map[string]float64{
		"__name__=http_requests_total,code=200,instance=a,job=checkout": c.good,
		"__name__=http_requests_total,code=500,instance=a,job=checkout": c.bad,
		"__name__=go_goroutines,instance=a,job=checkout":                7, // nobody needs it
	}
}

// pipes is a listener whose connections never leave the process, so that a bubble's clock goes on.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, fmt.Errorf("dial: %w", net.ErrClosed)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func transport(p *pipes) *http.Transport { return &http.Transport{DialContext: p.dial} }
