package console

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"evenkeel.dev/bus"
)

// Bounds of requests and streams, with their reasons.
const (
	MaxDefinitionsBody = 8 << 20  // some 10,000 SLOs as text, and the largest message that the log takes
	MaxTelemetryBody   = 64 << 20 // twice what the reference receivers take; the receivers' own bounds are below
	MaxStreams         = 256      // each holds a consumer of the log
	maxHeader          = 64 << 10
	headerTimeout      = 10 * time.Second // against senders that drip their headers
	idleTimeout        = 2 * time.Minute
)

// A Config says what a [Server] serves. A nil interface leaves its routes out: they answer 404 with the role that would have them.
type Config struct {
	Authority   *Authority
	Logger      *slog.Logger
	Statuses    Statuses
	Definitions Definitions
	Events      Events
	Deliveries  Deliveries
	Silences    Silences
	TargetTests TargetTests
	Backfills   Backfills
	Clusters    Clusters
	Reports     Reports
	Repairs     Repairs
	Backups     Backups
	Records     Records
	Mesh        Mesh
	Targets     func() any             // scrape targets, as they are answered under "items"
	Schema      func() ([]byte, error) // the AsyncAPI document
	Ready       func() Readiness
	Metrics     func(io.Writer) // appends the parts' metrics
	Version     Version
	Write       http.Handler // remote write
	OTLP        http.Handler // OTLP over HTTP
	MetricsAuth bool         // whether /metrics asks for a right to read
	Pprof       bool
	Now         func() bus.Time
	Ending      <-chan struct{} // closed when the process is asked to end: event streams end then; may be nil
}

// A Version says what runs.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

// Counts are what the server counts of its own.
type Counts struct {
	Unauthorized, Forbidden, Failed, Panics atomic.Uint64
	Streams, Reports, Exports, Replays      atomic.Int64
}

// enter counts one more of what may be there so often at a time, and reports whether there was room.
func enter(n *atomic.Int64, most int64) bool {
	if n.Add(1) > most {
		n.Add(-1)
		return false
	}
	return true
}

// A Server answers HTTP. It is made by [New].
type Server struct {
	Config
	counts   Counts
	requests requestCounts
	mux      *http.ServeMux
}

// New checks the configuration and lays out the routes.
func New(c Config) (*Server, error) {
	switch {
	case c.Authority == nil:
		return nil, errors.New("console: no authority was given")
	case c.Logger == nil:
		return nil, errors.New("console: no logger was given")
	case c.Ready == nil:
		return nil, errors.New("console: nothing tells readiness")
	case c.Now == nil:
		return nil, errors.New("console: no clock was given")
	}
	metrics.ExposeMetadata(true)
	s := &Server{Config: c, mux: http.NewServeMux()}
	s.routes()
	return s, nil
}

// ServeHTTP answers one request; a panic of a handler ends as 500.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	rec := &recorder{ResponseWriter: w}
	defer func() {
		if p := recover(); p != nil {
			s.recovered(rec, r, p)
		}
		s.requests.add(r.Pattern, rec.status, time.Since(began))
	}()
	s.mux.ServeHTTP(rec, r)
}

func (s *Server) recovered(w *recorder, r *http.Request, p any) {
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.counts.Panics.Add(1)
	s.Logger.Error("handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	if w.status == 0 {
		writeError(w, http.StatusInternalServerError, "Internal", "the request met a mistake of ours; it is in the log", nil)
	}
}

// HTTP returns a server with the bounds of this package, which listens where the caller says.
func (s *Server) HTTP() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader sends the first status alone: what fails after the answer has begun is told in its body.
func (w *recorder) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// queryBool reads a flag of the query: absent is false, "" and "true" and "1" are true.
func queryBool(r *http.Request, name string) (bool, error) {
	q := r.URL.Query()
	if !q.Has(name) {
		return false, nil
	}
	v := q.Get(name)
	if v == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, Fail(http.StatusBadRequest, "BadQuery", name+"="+v+" is neither true nor false", nil)
	}
	return b, nil
}
