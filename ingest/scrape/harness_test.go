package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

// A journal is a log that can be read back as text, and that refuses when it is told to.
type journal struct {
	*bus.Memory
	mu   sync.Mutex
	fail error
}

func (j *journal) Append(ctx context.Context, m bus.Message) (uint64, error) {
	j.mu.Lock()
	err := j.fail
	j.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return j.Memory.Append(ctx, m)
}

func (j *journal) refuse(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = err
}

// newGate returns a gate that keeps the series whose name matches the expression.
func newGate(t testing.TB, names string, now func() bus.Time) (*ingest.Gate, *journal) {
	t.Helper()
	j := &journal{Memory: bus.NewMemory()}
	g, err := ingest.New(ingest.Config{Log: j, Partitions: 1, Writer: 1, NewWriter: func() uint64 { return 2 }, Now: now,
		Limits: ingest.Limits{FilterBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchRegexp, Value: names}})
	if err != nil {
		t.Fatal(err)
	}
	e := slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: s}}}
	g.SetObjectives(1, []slo.Objective{{Service: "s", Name: "o", SLI: slo.SLI{Good: &e, Total: e}}})
	return g, j
}

func realNow() bus.Time { return bus.TimeOf(time.Now()) }

// arrivals returns the samples of all frames from the given sequence on, one sorted list for each frame.
func (j *journal) arrivals(t testing.TB, from uint64) [][]string {
	t.Helper()
	r, err := j.Open(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	names := map[uint32]string{}
	var out [][]string
	for {
		m, err := r.Next(t.Context(), false)
		if m == nil || errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, frameLines(t, m.Data, names))
	}
}

func frameLines(t testing.TB, data []byte, names map[uint32]string) []string {
	t.Helper()
	f := bus.DecodeFrame(data)
	if f.Err != nil {
		t.Fatal(f.Err)
	}
	var r bus.SectionReader
	as, err := r.Reset(f.Section(0))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range as {
		names[a.Ref] = a.Labels.String()
		if a.Flags&bus.SeriesGauge != 0 {
			names[a.Ref] += " gauge"
		}
	}
	var lines []string
	for b := (bus.Block{}); r.Next(&b); {
		for i, ref := range b.Refs {
			start := bus.Time(0)
			if len(b.Starts) > 0 {
				start = b.Starts[i]
			}
			lines = append(lines, line(names[ref], b.Times[i], start, b.Values[i]))
		}
	}
	slices.Sort(lines)
	return lines
}

func line(series string, t, start bus.Time, v float64) string {
	value := fmt.Sprint(v)
	if math.Float64bits(v) == ingest.StaleMarker {
		value = "stale"
	}
	if start != 0 {
		return fmt.Sprintf("%s @%d from %d = %s", series, t, start, value)
	}
	return fmt.Sprintf("%s @%d = %s", series, t, value)
}

// only returns the lines that hold part.
func only(arrivals [][]string, part string) [][]string {
	var out [][]string
	for _, lines := range arrivals {
		var kept []string
		for _, l := range lines {
			if strings.Contains(l, part) {
				kept = append(kept, l)
			}
		}
		out = append(out, kept)
	}
	return out
}

// A pipeListener serves connections in memory, so that tests run in a bubble of fake time.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// serve answers what is dialled with h, for as long as the test runs.
func serve(t testing.TB, h http.Handler) func(context.Context, string, string) (net.Conn, error) {
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: h}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case l.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// A page is what a target shows; it may change while it is scraped.
type page struct {
	mu          sync.Mutex
	text        string
	contentType string
	status      int
	delay       time.Duration
	requests    []*http.Request
}

func (p *page) set(f func(*page)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests = append(p.requests, r)
	text, contentType, status, delay := p.text, p.contentType, p.status, p.delay
	p.mu.Unlock()
	if contentType == "" {
		contentType = "text/plain; version=0.0.4"
	}
	w.Header().Set("Content-Type", contentType)
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return
	}
	if status != 0 {
		w.WriteHeader(status)
	}
	_, _ = io.WriteString(w, text)
}

// start runs a scraper until the test ends, and checks that it stops.
func start(t testing.TB, c Config) *Scraper {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if n := s.bodies.used.Load(); n != 0 {
			t.Errorf("%d bytes of bodies are still held", n)
		}
	})
	return s
}
