package remotewrite_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
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

func TestVersion1(t *testing.T) {
	// Broken: a Prometheus with its default settings could not send, or its samples would be read wrongly.
	h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	req := &prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{
			sampleV1("need_a", t0, 1.5, "code", "200"),
			{Labels: labels("need_a", "code", "500"), Samples: []prompb.Sample{{Value: 2, Timestamp: int64(t0) - 15000}, {Value: 3, Timestamp: int64(t0)}},
				Exemplars: []prompb.Exemplar{{Labels: labels("x"), Value: 1, Timestamp: int64(t0)}}},
			sampleV1("other", t0, 9),
		},
		Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "need_a"}},
	}
	want := []string{`need_a{code="200"} @0 1.5`, `need_a{code="500"} @-15000 2`, `need_a{code="500"} @0 3`}
	for _, sight := range []string{"first sight", "by hash"} {
		already := len(h.points(t))
		w := h.v1(t, req)
		if w.Code != http.StatusNoContent || writtenHeaders(w) != "4 0 1" {
			t.Fatalf("%s: %d %s, written %s", sight, w.Code, w.Body, writtenHeaders(w))
		}
		if n := len(h.points(t)) - already; n != len(want) {
			t.Errorf("%s: %d samples stored, want %d", sight, n, len(want))
		}
		if sight == "first sight" {
			if diff := cmp.Diff(want, h.points(t)); diff != "" {
				t.Error(diff)
			}
		}
	}
	if n := h.gate.Stats().Learned; n != 3 {
		t.Errorf("%d series were decoded, want 3, once each", n)
	}
}

func TestVersion2(t *testing.T) {
	// Broken: senders of remote write 2.0 could not send, or start timestamps and types would be lost.
	h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	s := newTable()
	s.sample(t0, 1, "need_a", "code", "200")
	s.add(writev2.TimeSeries{Samples: []writev2.Sample{{Value: 2, Timestamp: int64(t0), StartTimestamp: int64(t0) - 5000}, {Value: 3, Timestamp: int64(t0) + 1}},
		Metadata: writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER}, Exemplars: []writev2.Exemplar{{Value: 1}, {Value: 2}}}, "need_b")
	s.add(writev2.TimeSeries{Samples: []writev2.Sample{{Value: 4, Timestamp: int64(t0)}}, Metadata: writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_GAUGE}}, "need_c")
	s.sample(t0, 9, "other")
	w := h.v2(t, &s.req)
	if w.Code != http.StatusNoContent || writtenHeaders(w) != "5 0 2" {
		t.Fatalf("%d %s, written %s", w.Code, w.Body, writtenHeaders(w))
	}
	want := []string{`need_a{code="200"} @0 1`, `need_b{} @0 2 since -5000`, `need_b{} @1 3`, `need_c{} @0 4 flags 2`}
	if diff := cmp.Diff(want, h.points(t)); diff != "" {
		t.Error(diff)
	}
	// Another table of symbols, the same series.
	s = newTable("x", "y", "code", "need_b")
	s.sample(t0, 5, "need_a", "code", "200")
	s.add(writev2.TimeSeries{Samples: []writev2.Sample{{Value: 6, Timestamp: int64(t0)}}}, "need_b")
	if w := h.v2(t, &s.req); w.Code != http.StatusNoContent {
		t.Fatal(w.Code, w.Body)
	}
	if n := h.gate.Stats().Learned; n != 4 {
		t.Errorf("%d series were decoded, want 4: the same series has the same hash whatever its symbols", n)
	}
}

func TestCreatedTimestampOfOlderSenders(t *testing.T) {
	// Broken: a counter that starts between two scrapes of a sender of 2.0-rc.3 would lose its first increments.
	h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	s := newTable().sample(t0, 1, "need_a")
	b, err := s.req.Timeseries[0].Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, 6<<3)
	for v := uint64(t0 - 7000); ; v >>= 7 {
		if v < 0x80 {
			b = append(b, byte(v))
			break
		}
		b = append(b, byte(v)|0x80)
	}
	s.req.Timeseries = nil
	body, err := s.req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	body = append(append(body, 5<<3|2, byte(len(b))), b...)
	if w := h.post(snappy.Encode(nil, body), typeV2); w.Code != http.StatusNoContent {
		t.Fatal(w.Code, w.Body)
	}
	if diff := cmp.Diff([]string{`need_a{} @0 1 since -7000`}, h.points(t)); diff != "" {
		t.Error(diff)
	}
}

func TestNativeHistogramsGiveCountAndSum(t *testing.T) {
	// Broken: an SLO over the count of a native histogram would see nothing.
	want := []string{
		`need_h_count{job="j"} @0 7`, `need_h_count{job="j"} @1 2.5`, `need_h_count{job="j"} @2 NaN`,
		`need_h_sum{job="j"} @0 1.25`, `need_h_sum{job="j"} @1 3`, `need_h_sum{job="j"} @2 NaN`,
	}
	stale := math.Float64frombits(ingest.StaleMarker)
	h1 := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	w := h1.v1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{
		{Labels: labels("need_h", "job", "j"), Histograms: []prompb.Histogram{
			{Count: &prompb.Histogram_CountInt{CountInt: 7}, Sum: 1.25, Timestamp: int64(t0), PositiveSpans: []prompb.BucketSpan{{Offset: 1, Length: 1}}, PositiveDeltas: []int64{7}},
			{Count: &prompb.Histogram_CountFloat{CountFloat: 2.5}, Sum: 3, Timestamp: int64(t0) + 1},
			{Count: &prompb.Histogram_CountInt{CountInt: 0}, Sum: stale, Timestamp: int64(t0) + 2}}},
		{Labels: labels("other_h"), Histograms: []prompb.Histogram{{Sum: 1, Timestamp: int64(t0)}}},
	}})
	if w.Code != http.StatusNoContent || writtenHeaders(w) != "0 4 0" {
		t.Errorf("1.0: %d %s, written %s", w.Code, w.Body, writtenHeaders(w))
	}
	if diff := cmp.Diff(want, h1.points(t)); diff != "" {
		t.Error("1.0", diff)
	}
	h2 := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	s := newTable().add(writev2.TimeSeries{Metadata: writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_HISTOGRAM}, Histograms: []writev2.Histogram{
		{Count: &writev2.Histogram_CountInt{CountInt: 7}, Sum: 1.25, Timestamp: int64(t0)},
		{Count: &writev2.Histogram_CountFloat{CountFloat: 2.5}, Sum: 3, Timestamp: int64(t0) + 1},
		{Count: &writev2.Histogram_CountInt{CountInt: 0}, Sum: stale, Timestamp: int64(t0) + 2},
	}}, "need_h", "job", "j").add(writev2.TimeSeries{Histograms: []writev2.Histogram{
		{Count: &writev2.Histogram_CountInt{CountInt: 1}, Sum: 1, Timestamp: int64(t0), StartTimestamp: int64(t0) - 9, ResetHint: writev2.Histogram_RESET_HINT_GAUGE}}}, "need_g")
	if w := h2.v2(t, &s.req); w.Code != http.StatusNoContent || writtenHeaders(w) != "0 4 0" {
		t.Errorf("2.0: %d %s, written %s", w.Code, w.Body, writtenHeaders(w))
	}
	want = append([]string{`need_g_count{} @0 1 since -9 flags 2`, `need_g_sum{} @0 1 since -9 flags 2`}, want...)
	if diff := cmp.Diff(want, h2.points(t)); diff != "" {
		t.Error("2.0", diff)
	}
}

func TestReplicaOfTheRequest(t *testing.T) {
	// Broken: an HA pair would look like two senders of two services, and be counted twice.
	h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	h.v1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{sampleV1("other", t0, 1, "cluster", "eu", "__replica__", "r1"),
		sampleV1("need_a", t0, 1, "cluster", "eu", "__replica__", "r1")}})
	h.v2(t, &newTable().sample(t0, 1, "need_a", "cluster", "eu", "__replica__", "r2").req)
	want := []string{`need_a{cluster="eu"} @0 1 from eu/r1`, `need_a{cluster="eu"} @0 1 from eu/r2`}
	if diff := cmp.Diff(want, h.points(t)); diff != "" {
		t.Error(diff)
	}
}

func TestBadSamplesAreToldAndTheRestIsKept(t *testing.T) {
	// Broken: one bad sample of a thousand would lose the others, or go unnoticed by its sender.
	h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	w := h.v1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{
		sampleV1("need_a", t0, 1), sampleV1("need_a", 1000, 2), sampleV1("need_a", 4_102_444_800_000, 3), sampleV1("need_a", t0, math.NaN()),
		{Labels: []prompb.Label{{Name: "no", Value: "name"}}, Samples: []prompb.Sample{{Value: 1, Timestamp: int64(t0)}}},
		{Labels: []prompb.Label{{Name: "__name__", Value: "need_x"}, {Name: "a", Value: "1"}, {Name: "a", Value: "2"}}, Samples: []prompb.Sample{{Value: 1, Timestamp: int64(t0)}}},
	}})
	want := "4 of 6 samples were refused, the rest is kept: TooFarAhead 1 TooOld 1 NameMissing 1 LabelsInvalid 1; series 5: series refused: NameMissing: label \"__name__\"\n"
	if w.Code != http.StatusBadRequest || writtenHeaders(w) != "2 0 0" || w.Body.String() != want {
		t.Errorf("%d, written %s, %q", w.Code, writtenHeaders(w), w.Body)
	}
	if diff := cmp.Diff([]string{`need_a{} @0 1`}, h.points(t)); diff != "" {
		t.Error(diff)
	}
	if w := h.v1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{sampleV1("need_a", t0, math.NaN())}}); w.Code != http.StatusNoContent {
		t.Errorf("NaN alone: %d %s", w.Code, w.Body)
	}
}

func TestUnsortedLabelsAreTheSameSeries(t *testing.T) {
	// Broken: a sender that does not sort would be refused, or its series counted apart.
	h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	ls := labels("need_a", "a", "1", "b", "2")
	ls[0], ls[2] = ls[2], ls[0]
	if w := h.v1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: ls, Samples: []prompb.Sample{{Value: 1, Timestamp: int64(t0)}}}}}); w.Code != http.StatusNoContent {
		t.Fatal(w.Code, w.Body)
	}
	if diff := cmp.Diff([]string{`need_a{a="1", b="2"} @0 1`}, h.points(t)); diff != "" {
		t.Error(diff)
	}
}

func TestVersion2IsValidated(t *testing.T) {
	// Broken: a damaged table of symbols would attach samples to the wrong series.
	for name, c := range map[string]struct {
		req  writev2.Request
		want string
	}{
		"symbol 0":  {writev2.Request{Symbols: []string{"x"}}, "symbol 0"},
		"odd":       {writev2.Request{Symbols: []string{"", "__name__"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1}, Samples: []writev2.Sample{{}}}}}, "odd number"},
		"beyond":    {writev2.Request{Symbols: []string{"", "__name__"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{}}}}}, "beyond"},
		"huge":      {writev2.Request{Symbols: []string{"", "__name__"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 4_294_967_295}, Samples: []writev2.Sample{{}}}}}, "beyond"},
		"duplicate": {writev2.Request{Symbols: []string{"", "__name__", "need"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 2, 1, 2}, Samples: []writev2.Sample{{}}}}}, "LabelsInvalid"},
		"no name":   {writev2.Request{Symbols: []string{"", "a", "b"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 2}, Histograms: []writev2.Histogram{{}}}}}, "NameMissing"},
		"empty":     {writev2.Request{Symbols: []string{""}, Timeseries: []writev2.TimeSeries{{Samples: []writev2.Sample{{}}}}}, "NameMissing"},
	} {
		h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
		w := h.v2(t, &c.req)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), c.want) || writtenHeaders(w) != "0 0 0" {
			t.Errorf("%s: %d, written %s, %q", name, w.Code, writtenHeaders(w), w.Body)
		}
		if len(h.points(t)) != 0 {
			t.Errorf("%s: something was stored", name)
		}
	}
}

func TestNegotiation(t *testing.T) {
	// Broken: a sender would not learn what is understood here, or zstd would be read as snappy.
	h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
	for _, c := range []struct {
		method, typ, encoding string
		want                  int
	}{
		{"POST", typeV1, "snappy", 204}, {"POST", typeV2, "snappy", 204}, {"POST", "", "", 204},
		{"POST", "application/x-protobuf;proto=prometheus.WriteRequest", "snappy", 204},
		{"POST", "application/x-protobuf; proto=unknown.v9", "snappy", 415}, {"POST", "application/json", "snappy", 415},
		{"POST", "application/x-protobuf;;;=", "snappy", 415}, {"POST", typeV2, "zstd", 415}, {"POST", typeV1, "gzip", 415}, {"GET", typeV1, "snappy", 405},
	} {
		r := httptest.NewRequest(c.method, "/api/v1/write", strings.NewReader(string(snappy.Encode(nil, nil))))
		r.Header.Set("Content-Type", c.typ)
		r.Header.Set("Content-Encoding", c.encoding)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want || c.want == 415 && (!strings.Contains(w.Header().Get("Accept"), "v2.Request") || w.Header().Get("Accept-Encoding") != "snappy") {
			t.Errorf("%+v: %d %v", c, w.Code, w.Header())
		}
	}
}

func TestAnswersForSendersThatMustWait(t *testing.T) {
	// Broken: a sender would drop samples that it should keep and send again.
	h := newHouse(t, remotewrite.Config{RetryAfter: 7}, ingest.Limits{SamplesPerMinute: 1})
	one := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{sampleV1("need_a", t0, 1)}}
	for _, c := range []struct {
		err  error
		want int
	}{{nil, 204}, {nil, 429}} {
		h.log.err = c.err
		if w := h.v1(t, one); w.Code != c.want || c.want != 204 && w.Header().Get("Retry-After") != "7" {
			t.Errorf("%v: %d %v", c.err, w.Code, w.Header())
		}
	}
	for _, err := range []error{fmt.Errorf("append: %w", bus.ErrFull), errAway} {
		h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
		h.log.err = err
		if w := h.v1(t, one); w.Code != 503 || w.Header().Get("Retry-After") == "" || writtenHeaders(w) != "0 0 0" {
			t.Errorf("%v: %d %v", err, w.Code, w.Header())
		}
	}
	h = newHouse(t, remotewrite.Config{Sender: func(*http.Request) (ingest.Sender, error) { return ingest.Sender{}, errors.New("no identity") }}, ingest.Limits{})
	if w := h.v1(t, one); w.Code != 403 {
		t.Errorf("without identity: %d", w.Code)
	}
}
