package load

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"
)

type decoded struct {
	Labels Series
	Value  float64
	Time   int64
}

// A request that says something else than the test believes makes every exact count in this folder worthless.
func TestBody(t *testing.T) {
	series := []Series{Counter("http_requests_total", "service", "shop", "code", "200"), Counter("http_requests_total", "service", "shop", "code", "500")}
	want := []decoded{
		{Series{"__name__", "http_requests_total", "code", "200", "service", "shop"}, 41, 1793000000123},
		{Series{"__name__", "http_requests_total", "code", "500", "service", "shop"}, 1.5, 1793000000456},
	}
	for _, v := range []Version{V1, V2} {
		b := NewBody(v, series)
		b.Stamp(7, 1)
		b.Set(0, 41, 1793000000123)
		b.Set(1, 1.5, 1793000000456)
		raw, err := snappy.Decode(nil, b.Compress(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, decode(t, v, raw)); diff != "" {
			t.Errorf("version %v: -want +got\n%s", v, diff)
		}
	}
}

// decode reads a request with the protobuf library's own wire reader.
func decode(t *testing.T, v Version, raw []byte) []decoded {
	t.Helper()
	var symbols []string
	var out []decoded
	fields(t, raw, func(n protowire.Number, b []byte, _ uint64) {
		switch {
		case v == V2 && n == 4:
			symbols = append(symbols, string(b))
		case v == V1 && n == 1, v == V2 && n == 5:
			out = append(out, decodeSeries(t, v, symbols, b))
		}
	})
	return out
}

func decodeSeries(t *testing.T, v Version, symbols []string, raw []byte) decoded {
	t.Helper()
	var d decoded
	fields(t, raw, func(n protowire.Number, b []byte, _ uint64) {
		switch {
		case n == 2:
			fields(t, b, func(n protowire.Number, _ []byte, x uint64) {
				if n == 1 {
					d.Value = math.Float64frombits(x)
				} else {
					d.Time = int64(x)
				}
			})
		case n == 1 && v == V1:
			fields(t, b, func(_ protowire.Number, s []byte, _ uint64) { d.Labels = append(d.Labels, string(s)) })
		case n == 1:
			for len(b) > 0 {
				ref, k := protowire.ConsumeVarint(b)
				if k < 0 {
					t.Fatal(protowire.ParseError(k))
				}
				d.Labels = append(d.Labels, symbols[ref])
				b = b[k:]
			}
		}
	})
	return d
}

func fields(t *testing.T, raw []byte, visit func(n protowire.Number, b []byte, x uint64)) {
	t.Helper()
	for len(raw) > 0 {
		n, typ, k := protowire.ConsumeTag(raw)
		if k < 0 {
			t.Fatal(protowire.ParseError(k))
		}
		raw = raw[k:]
		var b []byte
		var x uint64
		switch typ {
		case protowire.BytesType:
			b, k = protowire.ConsumeBytes(raw)
		case protowire.Fixed64Type:
			x, k = protowire.ConsumeFixed64(raw)
		default:
			x, k = protowire.ConsumeVarint(raw)
		}
		if k < 0 {
			t.Fatal(protowire.ParseError(k))
		}
		visit(n, b, x)
		raw = raw[k:]
	}
}

// A sender that gave up where Prometheus tries again would make lost counts look like the product's fault, or hide them.
func TestSendUntilTaken(t *testing.T) {
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			http.Error(w, "full", http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusNoContent)
		default:
			http.Error(w, "bad", http.StatusBadRequest)
		}
	}))
	defer srv.Close()
	s := NewSender(srv.URL, "secret", 1)
	defer s.Close()
	if tries, err := s.SendUntilTaken(context.Background(), V1, nil); err != nil || tries != 2 {
		t.Errorf("a busy receiver: %d tries, %v; want 2 and none", tries, err)
	}
	if tries, err := s.SendUntilTaken(context.Background(), V1, nil); err == nil || tries != 1 {
		t.Errorf("a receiver that refuses for good: %d tries, %v; want 1 and an error", tries, err)
	}
}
