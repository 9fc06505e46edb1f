package remotewrite_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"evenkeel.dev/ingest"
	"evenkeel.dev/ingest/remotewrite"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// allocated returns how many bytes f makes the process allocate.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

func TestHostileBodies(t *testing.T) {
	// Broken: a body of a few bytes could take the process down for everybody.
	uvarint := func(v uint64) []byte { return binary.AppendUvarint(nil, v) }
	field := func(num byte, b []byte) []byte {
		return append(append([]byte{num<<3 | 2}, uvarint(uint64(len(b)))...), b...)
	}
	repeat := func(b []byte, n int) []byte { return bytes.Repeat(b, n) }
	pack := func(b []byte) []byte { return snappy.Encode(nil, b) }
	manyLabels := field(1, append(repeat(field(1, []byte("\x0a\x01a\x12\x01b")), 1_000_000), field(2, []byte{0x10, 0x80})...))
	for name, c := range map[string]struct {
		body []byte
		typ  string
		want int
		mib  int // allocated at most, counting what was given back in between
	}{
		"empty":                     {nil, typeV1, 400, 1},
		"no snappy":                 {[]byte("hello, world"), typeV1, 400, 1},
		"claims 4 GiB":              {append(uvarint(1<<32-1), 0), typeV1, 413, 1},
		"claims 2^63":               {append(uvarint(1<<63), 0), typeV1, 400, 1},
		"claims 32 MiB in 10 bytes": {append(uvarint(32<<20), 0, 1, 2, 3), typeV1, 400, 1},
		"over 32 MiB":               {pack(make([]byte, 32<<20+1)), typeV1, 413, 8},
		"cut message":               {pack([]byte{0x0a, 0x7f, 1}), typeV1, 400, 1},
		"field 0":                   {pack([]byte{0x02, 0x00}), typeV1, 400, 1},
		"group":                     {pack([]byte{0x0b, 0x0c}), typeV2, 400, 1},
		"endless varint":            {pack(repeat([]byte{0xff}, 1000)), typeV2, 400, 1},
		"a million labels":          {pack(manyLabels), typeV1, 400, 24},
		"a million labels apart":    {pack(field(1, repeat([]byte{0x0a, 0x00, 0x12, 0x00}, 1_000_000))), typeV1, 400, 24},
		"16 million empty series":   {pack(repeat([]byte{0x0a, 0x00}, 16_000_000)), typeV1, 204, 48},
		"16 million empty samples":  {pack(field(1, repeat([]byte{0x12, 0x00}, 16_000_000))), typeV1, 413, 48},
		"16 million symbols":        {pack(repeat([]byte{0x22, 0x00}, 16_000_000)), typeV2, 413, 280},
		"30 million references":     {pack(append([]byte{0x22, 0x00}, field(5, append(field(1, make([]byte, 30_000_000)), 0x12, 0x00))...)), typeV2, 400, 48},
		"huge label":                {packV1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{sampleV1("need_a", t0, 1, "l", strings.Repeat("x", 20<<20))}}), typeV1, 400, 48},
		"huge symbol":               {packV2(t, &newTable().sample(t0, 1, "need_a", "l", strings.Repeat("x", 20<<20)).req), typeV2, 400, 48},
		"no UTF-8":                  {packV2(t, &newTable().sample(t0, 1, "need_a", "l", "\xff\xfe").req), typeV2, 400, 1},
	} {
		h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
		var w *httptest.ResponseRecorder
		used := allocated(func() { w = h.post(c.body, c.typ) })
		if w.Code != c.want {
			t.Errorf("%s: %d %.200s, want %d", name, w.Code, w.Body, c.want)
		}
		if used > c.mib<<20 {
			t.Errorf("%s: %d KiB were allocated, want at most %d MiB", name, used>>10, c.mib)
		}
		if w.Body.Len() > 1000 {
			t.Errorf("%s: the answer has %d bytes", name, w.Body.Len())
		}
		if len(h.log.stored) != 0 && c.want != 204 {
			t.Errorf("%s: something was stored", name)
		}
		if n := h.Stats().InFlight; n != 0 {
			t.Errorf("%s: %d bytes are still counted", name, n)
		}
	}
}

func TestOneSenderCannotTakeAllMemory(t *testing.T) {
	// Broken: a sender with many slow uploads would shut the others out.
	h := newHouse(t, remotewrite.Config{MaxBytes: 1 << 20, MaxInFlight: 10 << 20, MaxSender: 4 << 20,
		Sender: func(r *http.Request) (ingest.Sender, error) { return ingest.Sender{Name: r.Header.Get("X-Test")}, nil }}, ingest.Limits{})
	var open []*io.PipeWriter
	var ends []chan int
	start := func(name string) {
		pr, pw := io.Pipe()
		end := make(chan int, 1)
		open, ends = append(open, pw), append(ends, end)
		r := httptest.NewRequest(http.MethodPost, "/api/v1/write", pr)
		r.ContentLength = 1 << 20
		r.Header.Set("X-Test", name)
		w := httptest.NewRecorder()
		go func() { h.ServeHTTP(w, r); pr.CloseWithError(io.ErrClosedPipe); end <- w.Code }()
		_, _ = pw.Write(make([]byte, 1<<19)) // half of it; a refused request closes the pipe
	}
	for range 20 {
		start("greedy")
	}
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(packV1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{sampleV1("need_a", t0, 1)}})))
	r.Header.Set("X-Test", "modest")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusNoContent {
		t.Errorf("the other sender got %d %s", w.Code, w.Body)
	}
	if n := h.Stats().InFlight; n > 4<<20 {
		t.Errorf("%d bytes under work", n)
	}
	busy := 0
	for i, pw := range open {
		pw.Close()
		if <-ends[i] == http.StatusServiceUnavailable {
			busy++
		}
	}
	if busy < 15 || h.Stats().InFlight != 0 {
		t.Errorf("%d of 20 uploads were refused; %d bytes are still counted", busy, h.Stats().InFlight)
	}
}

// reference decodes a body with Prometheus' own code and lists what should stand in the log, for messages that both understand.
func reference(t testing.TB, body []byte) []string {
	var req prompb.WriteRequest
	if err := req.Unmarshal(body); err != nil {
		return nil
	}
	var out []string
	for _, ts := range req.Timeseries {
		for _, s := range ts.Samples {
			out = append(out, fmt.Sprint(ts.Labels, s.Value, s.Timestamp))
		}
	}
	return out
}

func FuzzVersion1(f *testing.F) {
	// Broken: some body would crash the process, or be read otherwise than Prometheus reads it.
	b, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{sampleV1("need_a", t0, 1, "x", "y")}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0x0a, 0x02, 0x12, 0x00})
	f.Fuzz(func(t *testing.T, body []byte) {
		h := newHouse(t, remotewrite.Config{}, ingest.Limits{FilterBytes: 4096})
		w := h.post(snappy.Encode(nil, body), typeV1)
		if w.Code != 204 && w.Code != 400 {
			t.Fatalf("answer %d", w.Code)
		}
		lines, err := read(h.log.stored)
		if err != nil {
			t.Fatal(err)
		}
		if w.Code == 204 && len(lines) > 0 && len(lines) > 2*max(1, len(reference(t, body))) {
			t.Errorf("%d samples stored, Prometheus reads %d", len(lines), len(reference(t, body)))
		}
	})
}

func FuzzVersion2(f *testing.F) {
	// Broken: some body would crash the process, or make frames that cannot be read.
	b, err := (&newTable().sample(t0, 1, "need_a", "x", "y").req).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	h, err := (&writev2.Request{Symbols: []string{"", "__name__", "need_h"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 2},
		Histograms: []writev2.Histogram{{Sum: 1, Timestamp: int64(t0)}}}}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(h)
	f.Fuzz(func(t *testing.T, body []byte) {
		h := newHouse(t, remotewrite.Config{}, ingest.Limits{FilterBytes: 4096})
		if w := h.post(snappy.Encode(nil, body), typeV2); w.Code != 204 && w.Code != 400 {
			t.Fatalf("answer %d", w.Code)
		}
		if _, err := read(h.log.stored); err != nil {
			t.Fatal(err)
		}
	})
}
