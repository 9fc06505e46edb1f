package remotewrite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"sync"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/ingest/remotewrite"
	"evenkeel.dev/slo"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

const t0 = bus.Time(1_800_000_000_000)

// A recorder is a log that keeps frames, or fails.
type recorder struct {
	mu     sync.Mutex
	stored [][]byte
	err    error
	drop   bool // keep nothing
}

func (r *recorder) Append(_ context.Context, m bus.Message) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	if !r.drop {
		r.stored = append(r.stored, bytes.Clone(m.Data))
	}
	return 1, nil
}

type house struct {
	*remotewrite.Handler
	gate *ingest.Gate
	log  recorder
}

// newHouse is a handler whose gate needs every metric that begins with "need".
func newHouse(t testing.TB, c remotewrite.Config, l ingest.Limits) *house {
	t.Helper()
	h := &house{}
	writer := uint64(1)
	var err error
	h.gate, err = ingest.New(ingest.Config{Log: &h.log, Partitions: 1, Writer: writer, NewWriter: func() uint64 { writer++; return writer },
		Now: func() bus.Time { return t0 }, Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchRegexp, Value: "need.*"}})
	if err != nil {
		t.Fatal(err)
	}
	h.gate.SetObjectives(1, []slo.Objective{{Service: "s", Name: "n", SLI: slo.SLI{Total: slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: sel}}}}}})
	c.Gate = h.gate
	if c.Sender == nil {
		c.Sender = func(*http.Request) (ingest.Sender, error) { return ingest.Sender{Name: "prom"}, nil }
	}
	if h.Handler, err = remotewrite.New(c); err != nil {
		t.Fatal(err)
	}
	return h
}

const (
	typeV1 = "application/x-protobuf"
	typeV2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

func (h *house) post(body []byte, contentType string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Content-Encoding", "snappy")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (h *house) v1(t testing.TB, req *prompb.WriteRequest) *httptest.ResponseRecorder {
	return h.post(packV1(t, req), typeV1)
}

func (h *house) v2(t testing.TB, req *writev2.Request) *httptest.ResponseRecorder {
	return h.post(packV2(t, req), typeV2)
}

func packV1(t testing.TB, req *prompb.WriteRequest) []byte {
	b, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

func packV2(t testing.TB, req *writev2.Request) []byte {
	b, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

// points lists what stands in the log, one line per sample, sorted: flags, labels, time, start, value, source.
func (h *house) points(t testing.TB) []string {
	t.Helper()
	out, err := read(h.log.stored)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func read(stored [][]byte) ([]string, error) {
	var out []string
	known := map[uint32]bus.Announcement{}
	for _, b := range stored {
		f := bus.DecodeFrame(b)
		if f.Err != nil {
			return nil, f.Err
		}
		var r bus.SectionReader
		as, err := r.Reset(f.Section(0))
		if err != nil {
			return nil, err
		}
		for _, a := range as {
			known[a.Ref] = a
		}
		var b bus.Block
		for r.Next(&b) {
			for i, ref := range b.Refs {
				a, ok := known[ref]
				if !ok {
					return nil, fmt.Errorf("ref %d was not announced", ref)
				}
				start := bus.Time(0)
				if len(b.Starts) > 0 {
					start = b.Starts[i]
				}
				s := f.Sources[b.Source]
				line := fmt.Sprintf("%s @%d %v", a.Labels, b.Times[i]-t0, b.Values[i])
				if start != 0 {
					line += fmt.Sprintf(" since %d", start-t0)
				}
				if a.Flags != 0 {
					line += fmt.Sprintf(" flags %d", a.Flags)
				}
				if s.Cluster != "" || s.Replica != "" {
					line += fmt.Sprintf(" from %s/%s", s.Cluster, s.Replica)
				}
				out = append(out, line)
			}
		}
		if r.Err() != nil {
			return nil, r.Err()
		}
	}
	sort.Strings(out)
	return out, nil
}

// labels makes labels of "name" and pairs, sorted as senders do.
func labels(name string, pairs ...string) []prompb.Label {
	ls := []prompb.Label{{Name: "__name__", Value: name}}
	for i := 0; i+1 < len(pairs); i += 2 {
		ls = append(ls, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	sort.Slice(ls, func(i, j int) bool { return ls[i].Name < ls[j].Name })
	return ls
}

func sampleV1(name string, t bus.Time, v float64, pairs ...string) prompb.TimeSeries {
	return prompb.TimeSeries{Labels: labels(name, pairs...), Samples: []prompb.Sample{{Value: v, Timestamp: int64(t)}}}
}

// A table makes the symbols of a 2.0 request.
type table struct {
	req  writev2.Request
	refs map[string]uint32
}

func newTable(first ...string) *table {
	s := &table{refs: map[string]uint32{"": 0}, req: writev2.Request{Symbols: []string{""}}}
	for _, f := range first {
		s.symbol(f)
	}
	return s
}

func (s *table) symbol(text string) uint32 {
	if r, ok := s.refs[text]; ok {
		return r
	}
	s.refs[text] = uint32(len(s.req.Symbols))
	s.req.Symbols = append(s.req.Symbols, text)
	return s.refs[text]
}

func (s *table) add(ts writev2.TimeSeries, name string, pairs ...string) *table {
	for _, l := range labels(name, pairs...) {
		ts.LabelsRefs = append(ts.LabelsRefs, s.symbol(l.Name), s.symbol(l.Value))
	}
	s.req.Timeseries = append(s.req.Timeseries, ts)
	return s
}

func (s *table) sample(t bus.Time, v float64, name string, pairs ...string) *table {
	return s.add(writev2.TimeSeries{Samples: []writev2.Sample{{Value: v, Timestamp: int64(t)}}}, name, pairs...)
}

func writtenHeaders(w *httptest.ResponseRecorder) string {
	var out []string
	for _, k := range []string{"Samples", "Histograms", "Exemplars"} {
		out = append(out, w.Header().Get("X-Prometheus-Remote-Write-"+k+"-Written"))
	}
	return strings.Join(out, " ")
}

var errAway = errors.New("no answer from the log")
