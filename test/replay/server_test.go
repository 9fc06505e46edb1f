package replay

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// A recording is a series that a server has. value is asked in the order of time.
type recording struct {
	labels map[string]string
	first  int64 // milliseconds
	step   int64
	value  func(i int) float64 // of the sample at first + i*step; NaN: there is none
}

// A server is a Prometheus that has recorded some series.
type server struct {
	*httptest.Server
	tb         testing.TB
	series     []recording
	last       int64 // no sample is after it
	noRead     bool  // remote read is not offered
	samples    bool  // it knows no streams
	mu         sync.Mutex
	asked      map[string]int // requests by path
	fail       func(path string, n int, w http.ResponseWriter) bool
	chunkLimit int
}

func serve(tb testing.TB, last int64, series []recording) *server {
	s := &server{tb: tb, series: series, last: last, asked: map[string]int{}, chunkLimit: 120}
	s.Server = httptest.NewServer(s)
	tb.Cleanup(s.Close)
	return s
}

// ServeHTTP answers remote read and range queries.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked[r.URL.Path]++
	n := s.asked[r.URL.Path]
	s.mu.Unlock()
	if s.fail != nil && s.fail(r.URL.Path, n, w) {
		return
	}
	switch {
	case r.URL.Path == "/api/v1/read" && !s.noRead:
		s.read(w, r)
	case r.URL.Path == "/api/v1/query":
		s.query(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *server) read(w http.ResponseWriter, r *http.Request) {
	packed, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	body, err := snappy.Decode(nil, packed)
	var req prompb.ReadRequest
	if err != nil || req.Unmarshal(body) != nil {
		http.Error(w, "no ReadRequest", http.StatusBadRequest)
		return
	}
	if s.samples {
		s.whole(w, &req)
		return
	}
	w.Header().Set("Content-Type", "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
	for i, q := range req.Queries {
		for k := range s.series {
			rec := &s.series[k]
			if !selected(rec.labels, q.Matchers) {
				continue
			}
			one := &prompb.ChunkedSeries{Labels: pairs(rec.labels), Chunks: rec.chunks(q.StartTimestampMs, min(q.EndTimestampMs, s.last), s.chunkLimit)}
			if len(one.Chunks) == 0 {
				continue
			}
			message := &prompb.ChunkedReadResponse{ChunkedSeries: []*prompb.ChunkedSeries{one}, QueryIndex: int64(i)}
			b, err := message.Marshal()
			if err != nil {
				s.tb.Error(err)
				return
			}
			head := binary.AppendUvarint(nil, uint64(len(b)))
			head = binary.BigEndian.AppendUint32(head, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
			if _, err := w.Write(append(head, b...)); err != nil {
				return
			}
		}
	}
}

func (s *server) whole(w http.ResponseWriter, req *prompb.ReadRequest) {
	var resp prompb.ReadResponse
	for _, q := range req.Queries {
		result := &prompb.QueryResult{}
		for k := range s.series {
			rec := &s.series[k]
			if !selected(rec.labels, q.Matchers) {
				continue
			}
			ts := &prompb.TimeSeries{Labels: pairs(rec.labels)}
			rec.each(q.StartTimestampMs, min(q.EndTimestampMs, s.last), func(t int64, v float64) {
				ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: t, Value: v})
			})
			if len(ts.Samples) > 0 {
				result.Timeseries = append(result.Timeseries, ts)
			}
		}
		resp.Results = append(resp.Results, result)
	}
	b, err := resp.Marshal()
	if err != nil {
		s.tb.Error(err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Header().Set("Content-Encoding", "snappy")
	_, _ = w.Write(snappy.Encode(nil, b)) // who does not listen misses it
}

var rangeQuery = regexp.MustCompile(`^(\w+)\{(.*)\}\[(\d+)ms\]$`)
var matcherForm = regexp.MustCompile(`^(\w+)(=~|!~|!=|=)"(.*)"$`)

// query answers metric{…}[2h] as Prometheus 3 does: the range is open at its old end, and staleness markers are left out.
func (s *server) query(w http.ResponseWriter, r *http.Request) {
	m := rangeQuery.FindStringSubmatch(r.FormValue("query"))
	end, err := strconv.ParseFloat(r.FormValue("time"), 64)
	if m == nil || err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"status":"error","errorType":"bad_data","error":"cannot read %q"}`, r.FormValue("query"))
		return
	}
	ms := []*prompb.LabelMatcher{{Name: "__name__", Value: m[1]}}
	for part := range strings.SplitSeq(m[2], ",") {
		f := matcherForm.FindStringSubmatch(part)
		if f != nil {
			ms = append(ms, &prompb.LabelMatcher{Type: prompb.LabelMatcher_Type(slices.Index([]string{"=", "!=", "=~", "!~"}, f[2])), Name: f[1], Value: f[3]})
		}
	}
	width, _ := strconv.ParseInt(m[3], 10, 64)
	to := int64(math.Round(end * 1000))
	type row struct {
		Metric map[string]string `json:"metric"`
		Values [][2]any          `json:"values"`
	}
	rows := []row{}
	for k := range s.series {
		rec := &s.series[k]
		one := row{Metric: rec.labels}
		if selected(rec.labels, ms) {
			rec.each(to-width+1, min(to, s.last), func(t int64, v float64) {
				if math.Float64bits(v) != staleMarker {
					one.Values = append(one.Values, [2]any{json.Number(fmt.Sprintf("%d.%03d", t/1000, t%1000)), strconv.FormatFloat(v, 'f', -1, 64)})
				}
			})
		}
		if len(one.Values) > 0 {
			rows = append(rows, one)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": rows}})
}

const staleMarker = 0x7ff0000000000002

// each gives the samples of [from, to].
func (rec *recording) each(from, to int64, give func(t int64, v float64)) {
	i := max(0, (from-rec.first+rec.step-1)/rec.step)
	for ; rec.first+i*rec.step <= to; i++ {
		if v := rec.value(int(i)); v == v || math.Float64bits(v) == staleMarker {
			give(rec.first+i*rec.step, v)
		}
	}
}

// chunks encodes the samples of [from, to] as Prometheus does.
func (rec *recording) chunks(from, to int64, limit int) []prompb.Chunk {
	var out []prompb.Chunk
	var c *chunkenc.XORChunk
	var a chunkenc.Appender
	first, last := int64(0), int64(0)
	shut := func() {
		if c != nil {
			out = append(out, prompb.Chunk{MinTimeMs: first, MaxTimeMs: last, Type: prompb.Chunk_XOR, Data: c.Bytes()})
		}
		c = nil
	}
	rec.each(from, to, func(t int64, v float64) {
		if c == nil {
			c, first = chunkenc.NewXORChunk(), t
			a, _ = c.Appender() // of an empty chunk
		}
		a.Append(0, t, v)
		last = t
		if c.NumSamples() == limit {
			shut()
		}
	})
	shut()
	return out
}

func pairs(m map[string]string) []prompb.Label {
	var out []prompb.Label
	for k, v := range m {
		out = append(out, prompb.Label{Name: k, Value: v})
	}
	slices.SortFunc(out, func(a, b prompb.Label) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func selected(ls map[string]string, ms []*prompb.LabelMatcher) bool {
	for _, m := range ms {
		v, ok := ls[m.Name], false
		switch m.Type {
		case prompb.LabelMatcher_EQ:
			ok = v == m.Value
		case prompb.LabelMatcher_NEQ:
			ok = v != m.Value
		default:
			ok = regexp.MustCompile("^(?s:"+m.Value+")$").MatchString(v) == (m.Type == prompb.LabelMatcher_RE)
		}
		if !ok {
			return false
		}
	}
	return true
}
