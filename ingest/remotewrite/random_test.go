package remotewrite_test

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/ingest/remotewrite"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// randomSeries makes labels of all lengths that are encoded differently, and samples with values and times that are.
func randomSeries(r *rand.Rand, n int) ([]string, []prompb.Sample) {
	pairs := []string{"number", fmt.Sprint(n)}
	for i := range r.IntN(20) {
		pairs = append(pairs, fmt.Sprintf("%c%s", 'a'+i, strings.Repeat("n", []int{0, 1, 120, 130, 300}[r.IntN(5)])),
			strings.Repeat("v", []int{1, 2, 100, 123, 127, 128, 129, 400}[r.IntN(8)]))
	}
	var samples []prompb.Sample
	for range r.IntN(4) {
		t := []int64{int64(t0), int64(t0) - 60_000, int64(t0) + 59_000, 0, -1, 127, 128, 1 << 40, 1 << 62}[r.IntN(9)]
		samples = append(samples, prompb.Sample{Value: []float64{0, 1, -1, 1e300, 0.1}[r.IntN(5)], Timestamp: t})
	}
	return pairs, samples
}

// expect lists the samples that are neither too old nor too far ahead.
func expect(name string, pairs []string, ss []prompb.Sample, start func(prompb.Sample) int64) []string {
	var ls bus.Labels
	for _, l := range labels(name, pairs...) {
		ls = append(ls, bus.Label{Name: l.Name, Value: l.Value})
	}
	var out []string
	for _, s := range ss {
		if d := s.Timestamp - int64(t0); d > 60_000 || d < -int64(bus.Day) {
			continue
		}
		line := fmt.Sprintf("%s @%d %v", ls.Sort(), s.Timestamp-int64(t0), s.Value)
		if st := start(s); st != 0 {
			line += fmt.Sprintf(" since %d", st-int64(t0))
		}
		out = append(out, line)
	}
	return out
}

func TestRandomMessagesAreReadAsTheirSenderWroteThem(t *testing.T) {
	// Broken: some length of a label or form of a number would take the fast way and come out wrong.
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		h1 := newHouse(t, remotewrite.Config{}, ingest.Limits{FilterBytes: 4096})
		h2 := newHouse(t, remotewrite.Config{}, ingest.Limits{FilterBytes: 4096})
		var v1 prompb.WriteRequest
		v2 := newTable()
		var want1, want2 []string
		for n := range r.IntN(60) {
			pairs, samples := randomSeries(r, n)
			v1.Timeseries = append(v1.Timeseries, prompb.TimeSeries{Labels: labels("need", pairs...), Samples: samples})
			want1 = append(want1, expect("need", pairs, samples, func(prompb.Sample) int64 { return 0 })...)
			ts := writev2.TimeSeries{}
			start := func(s prompb.Sample) int64 {
				if s.Value == 1 {
					return s.Timestamp - 5
				}
				return 0
			}
			for _, s := range samples {
				ts.Samples = append(ts.Samples, writev2.Sample{Value: s.Value, Timestamp: s.Timestamp, StartTimestamp: start(s)})
			}
			v2.add(ts, "need", pairs...)
			want2 = append(want2, expect("need", pairs, samples, start)...)
		}
		for range 2 { // once more by hash
			h1.v1(t, &v1)
			h2.v2(t, &v2.req)
		}
		for version, c := range map[string]struct {
			h    *house
			want []string
		}{"1.0": {h1, want1}, "2.0": {h2, want2}} {
			want := append(append([]string(nil), c.want...), c.want...)
			sort.Strings(want)
			if diff := cmp.Diff(want, c.h.points(t)); diff != "" {
				t.Fatalf("seed %d, %s: %s", seed, version, diff)
			}
			if n := c.h.gate.Stats().Learned; int(n) > len(v1.Timeseries) {
				t.Errorf("seed %d, %s: %d series were decoded, there are %d", seed, version, n, len(v1.Timeseries))
			}
		}
	}
}

func TestLabelsThatStandApartAreOneSeries(t *testing.T) {
	// Broken: an encoder that mixes labels and samples would have its series cut or mixed with others.
	h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	var body []byte
	for _, service := range []string{"a", "b"} {
		label := func(name, value string) []byte {
			return append([]byte{0x0a}, pack(pack(nil, 0x0a, name), 0x12, value)...)
		}
		sample, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Samples: []prompb.Sample{{Value: 1, Timestamp: int64(t0)}}}}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var ts []byte
		for _, l := range [][]byte{label("__name__", "need_a"), label("service", service)} {
			ts = append(append(ts, l[0], byte(len(l)-1)), l[1:]...)
			ts = append(ts, sample[2:]...)
		}
		body = append(append(body, 0x0a, byte(len(ts))), ts...)
	}
	for range 2 {
		if w := h.post(snappy.Encode(nil, body), typeV1); w.Code != 204 {
			t.Fatal(w.Code, w.Body)
		}
	}
	want := []string{}
	for _, service := range []string{"a", "b"} {
		for range 4 {
			want = append(want, fmt.Sprintf(`need_a{service=%q} @0 1`, service))
		}
	}
	if diff := cmp.Diff(want, h.points(t)); diff != "" {
		t.Error(diff)
	}
	if n := h.gate.Stats().Learned; n != 2 {
		t.Errorf("%d series were decoded, want 2", n)
	}
}

// pack appends a field of bytes with the given tag.
func pack(b []byte, tag byte, s string) []byte {
	return append(append(b, tag, byte(len(s))), s...)
}
