package remotewrite_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"evenkeel.dev/ingest"
	"evenkeel.dev/ingest/remotewrite"
	"github.com/prometheus/prometheus/prompb"
)

// bodies makes requests of 2,000 series with ten labels, one sample each, of which every keep-th series is needed.
func bodies(t testing.TB, requests, keep int, v2 bool) [][]byte {
	var out [][]byte
	for q := range requests {
		var req prompb.WriteRequest
		tab := newTable()
		for i := range 2000 {
			n := q*2000 + i
			name := "http_requests_total"
			if n%keep == 0 {
				name = "need_requests_total"
			}
			pairs := []string{"instance", fmt.Sprintf("10.%d.%d.%d:8080", n/65536, n/256%256, n%256), "job", "checkout", "method", "GET", "path", "/api/v1/orders",
				"code", "200", "namespace", "shop", "pod", fmt.Sprintf("checkout-5d8f7c9b6-%07d", n), "region", "eu-central-1", "cluster", "eu-1"}
			if v2 {
				tab.sample(t0, float64(n), name, pairs...)
			} else {
				req.Timeseries = append(req.Timeseries, sampleV1(name, t0, float64(n), pairs...))
			}
		}
		if v2 {
			out = append(out, packV2(t, &tab.req))
		} else {
			out = append(out, packV1(t, &req))
		}
	}
	return out
}

// A quiet writer is a ResponseWriter that keeps the status only.
type quiet struct {
	header http.Header
	code   int
}

func (q *quiet) Header() http.Header         { return q.header }
func (q *quiet) WriteHeader(code int)        { q.code = code }
func (q *quiet) Write(b []byte) (int, error) { return len(b), nil }

func replay(t testing.TB, h *house, body []byte, typ string) {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(body))
	r.Header.Set("Content-Type", typ)
	r.Header.Set("Content-Encoding", "snappy")
	q := quiet{header: http.Header{}}
	if h.ServeHTTP(&q, r); q.code != http.StatusNoContent {
		t.Fatalf("answer %d", q.code)
	}
}

func TestSteadyRequestsAllocateNothingPerSample(t *testing.T) {
	// Broken: a million samples a second would feed the garbage collector.
	for _, v2 := range []bool{false, true} {
		typ := map[bool]string{false: typeV1, true: typeV2}[v2]
		h := newHouse(t, remotewrite.Config{}, ingest.Limits{})
		h.log.drop = true
		body := bodies(t, 1, 10, v2)[0]
		replay(t, h, body, typ)
		if n := testing.AllocsPerRun(20, func() { replay(t, h, body, typ) }); n > 100 {
			t.Errorf("2.0 %v: %v allocations for a request of 2000 samples", v2, n)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, c := range []struct {
		name     string
		v2       bool
		requests int
		keep     int
	}{{"1.0/2k/all", false, 1, 1}, {"1.0/2k/tenth", false, 1, 10}, {"2.0/2k/all", true, 1, 1}, {"2.0/2k/tenth", true, 1, 10},
		{"1.0/100k/all", false, 50, 1}, {"1.0/100k/tenth", false, 50, 10}, {"2.0/100k/all", true, 50, 1}, {"2.0/100k/tenth", true, 50, 10},
		{"1.0/1M/all", false, 500, 1}, {"1.0/1M/tenth", false, 500, 10}, {"2.0/1M/all", true, 500, 1}, {"2.0/1M/tenth", true, 500, 10}} {
		b.Run(c.name, func(b *testing.B) {
			typ := map[bool]string{false: typeV1, true: typeV2}[c.v2]
			h := newHouse(b, remotewrite.Config{}, ingest.Limits{})
			h.log.drop = true
			bs := bodies(b, c.requests, c.keep, c.v2)
			for _, body := range bs {
				replay(b, h, body, typ)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				replay(b, h, bs[i%len(bs)], typ)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/sample")
			b.ReportMetric(float64(len(bs[0]))/2000, "B/sample-wire")
		})
	}
}
