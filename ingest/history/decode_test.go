package history

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"math"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"evenkeel.dev/bus"
)

// framed puts a message into the stream's form.
func framed(b []byte) []byte {
	out := binary.AppendUvarint(nil, uint64(len(b)))
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(b, castagnoli))
	return append(out, b...)
}

func message(t testing.TB, query int64, name string, cs ...chunk) []byte {
	m := prompb.ChunkedReadResponse{QueryIndex: query, ChunkedSeries: []*prompb.ChunkedSeries{{Labels: []prompb.Label{{Name: "__name__", Value: name}}}}}
	for _, c := range cs {
		m.ChunkedSeries[0].Chunks = append(m.ChunkedSeries[0].Chunks, prompb.Chunk{MinTimeMs: c.min, MaxTimeMs: c.max, Type: prompb.Chunk_Encoding(c.encoding), Data: c.data})
	}
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A stream would be read wrongly: series that go on in the next message, series that two queries give, native histograms, damage.
func TestReadStream(t *testing.T) {
	one, two := encoded(t, []int64{10, 20}, []float64{1, 2}), encoded(t, []int64{30}, []float64{3})
	histogram := chunk{min: 10, max: 10, encoding: chunkenc.EncHistogram, data: []byte{0, 1, 2}}
	whole := append(framed(message(t, 0, "a", one)), framed(message(t, 0, "a", two))...)
	whole = append(append(whole, framed(message(t, 1, "a", one))...), framed(message(t, 1, "b", histogram))...)
	s := newSlice(0, 100, 1<<20)
	if err := s.readStream(bytes.NewReader(whole), 2); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]row{{10, "a{}", 1}, {20, "a{}", 2}, {30, "a{}", 3}}, rowsOf(t, s)); diff != "" || s.histograms != 1 {
		t.Errorf("%d histograms, (-want +got):\n%s", s.histograms, diff)
	}
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 4
	for name, b := range map[string][]byte{"damaged": damaged, "cut": whole[:len(whole)-1], "short": whole[:3], "query of nobody": framed(message(t, 7, "a", one)), "unknown encoding": framed(message(t, 0, "a", chunk{encoding: 99, data: []byte{0, 1}}))} {
		if err := newSlice(0, 100, 1<<20).readStream(bytes.NewReader(b), 2); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	if err := newSlice(0, 100, 64).readStream(bytes.NewReader(whole), 2); !errors.Is(err, errTooLarge) {
		t.Errorf("a slice of 64 bytes: %v", err)
	}
}

// A server without streams would be read wrongly.
func TestReadAnswer(t *testing.T) {
	resp := prompb.ReadResponse{Results: []*prompb.QueryResult{
		{Timeseries: []*prompb.TimeSeries{{Labels: []prompb.Label{{Name: "b", Value: "1"}, {Name: "__name__", Value: "a"}}, Samples: []prompb.Sample{{Timestamp: 5, Value: 1}, {Timestamp: 7, Value: math.Inf(1)}}}}},
		{Timeseries: []*prompb.TimeSeries{{Labels: []prompb.Label{{Name: "__name__", Value: "a"}, {Name: "b", Value: "1"}}, Samples: []prompb.Sample{{Timestamp: 5, Value: 1}}}}},
	}}
	b, err := resp.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s := newSlice(0, 100, 1<<20)
	if err := s.readAnswer(bytes.NewReader(snappy.Encode(nil, b)), 2); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]row{{5, `a{b="1"}`, 1}, {7, `a{b="1"}`, math.Inf(1)}}, rowsOf(t, s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := newSlice(0, 100, 1<<20).readAnswer(bytes.NewReader(snappy.Encode(nil, b)), 1); err == nil {
		t.Error("more results than queries were taken")
	}
	if err := newSlice(0, 100, 32).readAnswer(bytes.NewReader(snappy.Encode(nil, b)), 2); !errors.Is(err, errTooLarge) {
		t.Errorf("a slice of 32 bytes: %v", err)
	}
}

const matrix = `{"status":"success","infos":[1,{"x":[null,true]}],"data":{"resultType":"matrix","result":[
 {"metric":{"__name__":"a","b":"caf\u00e9 \"x\""},"values":[[1.5,"1"],[ 2 ,"2e3"],[2.25,"NaN"],[3.0004,"+Inf"]]},
 {"metric":{"__name__":"c"},"histograms":[[1,{"count":"1"}]]}]}}`

// The HTTP API's numbers would be read wrongly.
func TestReadMatrix(t *testing.T) {
	s := newSlice(0, 10_000, 1<<20)
	if err := s.readMatrix(strings.NewReader(matrix)); err != nil {
		t.Fatal(err)
	}
	want := []row{{1500, `a{b="café \"x\""}`, 1}, {2000, `a{b="café \"x\""}`, 2000}, {2250, `a{b="café \"x\""}`, math.NaN()}, {3000, `a{b="café \"x\""}`, math.Inf(1)}}
	if diff := gocmp.Diff(want, rowsOf(t, s), cmpopts.EquateNaNs()); diff != "" || s.histograms != 1 {
		t.Errorf("%d histograms, (-want +got):\n%s", s.histograms, diff)
	}
	for n := range len(matrix) - 1 {
		if err := newSlice(0, 10_000, 1<<20).readMatrix(strings.NewReader(matrix[:n])); err == nil {
			t.Fatalf("an answer that is cut after %d bytes was taken", n)
		}
	}
	if err := newSlice(0, 10_000, 1<<20).readMatrix(strings.NewReader(`{"status":"success","data":{"resultType":"vector","result":[]}}`)); err == nil {
		t.Error("a vector was taken")
	}
	if err := newSlice(0, 10_000, 300).readMatrix(strings.NewReader(matrix)); !errors.Is(err, errTooLarge) {
		t.Errorf("a slice of 300 bytes: %v", err)
	}
}

// A damaged or hostile stream would take the process with it.
func FuzzReadStream(f *testing.F) {
	f.Add(message(f, 0, "a", encoded(f, []int64{10, 20}, []float64{1, 2})))
	f.Add(message(f, 0, "a", chunk{encoding: chunkenc.EncXOR2, data: []byte{0, 9, 1, 2, 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSlice(0, 100, 1<<20)
		if err := s.readStream(bytes.NewReader(framed(b)), 1); err != nil || s.seal() != nil {
			return
		}
		n := 0
		if err := s.merge(t.Context(), func(m *Moment) error { n += len(m.Series); return nil }); err == nil && n > 8*len(b)+8 {
			t.Fatalf("%d samples of %d bytes", n, len(b))
		}
	})
}

// A hostile answer would take the process with it.
func FuzzReadAnswer(f *testing.F) {
	b, err := (&prompb.ReadResponse{Results: []*prompb.QueryResult{{Timeseries: []*prompb.TimeSeries{{Labels: []prompb.Label{{Name: "a", Value: "b"}}, Samples: []prompb.Sample{{Timestamp: 1, Value: 2}}}}}}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSlice(0, 100, 1<<20)
		if s.readAnswer(bytes.NewReader(snappy.Encode(nil, b)), 1) == nil && s.samples > len(b) {
			t.Fatalf("%d samples of %d bytes", s.samples, len(b))
		}
	})
}

// A hostile answer would take the process with it, and an answer of a plain form would be read in another way than encoding/json reads it.
func FuzzReadMatrix(f *testing.F) {
	f.Add([]byte(matrix))
	f.Add([]byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"1"]]}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSlice(math.MinInt64/2, math.MaxInt64/2, 1<<20)
		if s.readMatrix(bytes.NewReader(b)) == nil && s.samples > len(b) {
			t.Fatalf("%d samples of %d bytes", s.samples, len(b))
		}
		var text string
		got, err := (&scanner{r: bufio.NewReader(bytes.NewReader(b))}).str()
		if json.Valid(b) && json.Unmarshal(b, &text) == nil && len(b) < maxText && len(b) > 0 && bytes.TrimSpace(b)[0] == '"' && (err != nil || got != text) {
			t.Fatalf("%q: %q, %v; encoding/json reads %q", b, got, err, text)
		}
	})
}

func load(t testing.TB, text string, q Query) ([]row, error) {
	s, err := loadFile(t.Context(), "f.om", strings.NewReader(text), q)
	if err != nil {
		return nil, err
	}
	return rowsOf(t, s), nil
}

func everything(t testing.TB) Query {
	s, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchRegexp, Value: "a.*"}})
	if err != nil {
		t.Fatal(err)
	}
	return Query{Selectors: []bus.Selector{s}, From: 0, To: 1_000_000}
}

// A file would be read wrongly.
func TestOpenMetrics(t *testing.T) {
	got, err := load(t, "# HELP a_x help\n# TYPE a_x counter\na_x_total{b=\"1\"} 1 1\na_x_total{b=\"2\"} 5 1.5\na_x_total{b=\"1\"} 2 2\na_x_total{b=\"1\"} 3 1000\n# TYPE a_g gauge\na_g 7 3\nzzz 1 1\n# EOF\n", everything(t))
	want := []row{{1000, `a_x_total{b="1"}`, 1}, {1500, `a_x_total{b="2"}`, 5}, {2000, `a_x_total{b="1"}`, 2}, {3000, "a_g{}", 7}}
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// A person with a mistake in a file would have to look for it.
func TestOpenMetricsMistakes(t *testing.T) {
	long := "# TYPE a counter\n" + strings.Repeat("a_total 1 1\n", 1)
	for _, c := range []struct{ text, want string }{
		{"a 1 1\na 2 1\n# EOF\n", "f.om:2: the sample of a is at 1970-01-01T00:00:01.000Z, and the one before it at 1970-01-01T00:00:01.000Z; within a series time must rise"},
		{"# TYPE a gauge\na 1\n# EOF\n", "f.om:2: the sample of a has no timestamp; write it, in seconds, after the value"},
		{long + "a_total oops 2\n# EOF\n", "f.om:3: "},
		{"a 1 1\n", `f.om:1: the file does not end with the line "# EOF" that OpenMetrics wants; it may be cut`},
		{strings.Repeat("x", maxLine+1), "f.om:1: the line has over 262144 bytes"},
	} {
		_, err := load(t, c.text, everything(t))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.40q: got %v, want %s", c.text, err, c.want)
		}
	}
}

// Lines of a long file would be numbered wrongly, or its types forgotten, where one block ends.
func TestOpenMetricsBlocks(t *testing.T) {
	var b strings.Builder
	b.WriteString("# TYPE a gauge\n")
	n := 0
	for b.Len() < 2*blockBytes {
		n++
		b.WriteString("a " + strconv.Itoa(n) + " " + strconv.Itoa(n) + "\n")
	}
	b.WriteString("a{b=\"x\"} 1 1\n")
	q := everything(t)
	q.To = bus.Time(n+1) * 1000
	s, err := loadFile(t.Context(), "f.om", strings.NewReader(b.String()+"# EOF\n"), q)
	if err != nil || s.samples != n+1 {
		t.Fatalf("%d of %d samples, %v", s.samples, n+1, err)
	}
	for _, c := range s.columns {
		if c.series.Flags != bus.SeriesGauge {
			t.Errorf("%s is no gauge", c.series.Labels)
		}
	}
	if _, err := load(t, b.String()+"a{ 1 1\n# EOF\n", q); err == nil || !strings.HasPrefix(err.Error(), "f.om:"+strconv.Itoa(n+3)+":") {
		t.Errorf("got %v, want line %d", err, n+3)
	}
}

// A hostile file would take the process with it.
func FuzzOpenMetrics(f *testing.F) {
	f.Add("# TYPE a counter\na_total{b=\"1\"} 1 1 # {x=\"y\"} 1\na_created 1 1\n# EOF\n")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := load(t, text, everything(t))
		if err == nil && len(rows) > len(text) {
			t.Fatalf("%d samples of %d bytes", len(rows), len(text))
		}
	})
}
