package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	pb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

// A fakeLog takes frames, or fails as it is told.
type fakeLog struct {
	*bus.Memory
	err    error
	stored [][]byte
}

func (l *fakeLog) Append(ctx context.Context, m bus.Message) (uint64, error) {
	if l.err != nil {
		return 0, l.err
	}
	l.stored = append(l.stored, bytes.Clone(m.Data))
	return l.Memory.Append(ctx, m)
}

// newTestReceiver returns a receiver whose gate needs the series of wanted_total.
func newTestReceiver(t testing.TB, c Config, limits ingest.Limits) (*Receiver, *fakeLog) {
	t.Helper()
	log := &fakeLog{Memory: bus.NewMemory()}
	if limits.FilterBytes == 0 {
		limits.FilterBytes = 1 << 20
	}
	gate, err := ingest.New(ingest.Config{
		Log: log, Writer: 1, NewWriter: func() uint64 { return 2 }, Now: func() bus.Time { return wantAt }, Limits: limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	selector, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: "wanted_total"}})
	if err != nil {
		t.Fatal(err)
	}
	expr := slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: selector}}}
	gate.SetObjectives(1, []slo.Objective{{Service: "s", Name: "o", SLI: slo.SLI{Good: &expr, Total: expr}}})
	c.Gate = gate
	c.Sender = func(ctx context.Context) (ingest.Sender, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if name, _ := ctx.Value(nameKey{}).(string); name != "" || len(md.Get("authorization")) > 0 {
			return ingest.Sender{Name: "test"}, nil
		}
		return ingest.Sender{}, errors.New("token s3cret is wrong")
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r, log
}

type nameKey struct{}

func good() *pb.Metric { return sum("wanted", "", true, cumulative, intPoint(1)) }

func bad() *pb.Metric { return gauge("m", "", &pb.NumberDataPoint{}) }

func post(r *Receiver, contentType, encoding string, body []byte) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, "/v1/metrics", bytes.NewReader(body))
	req = req.WithContext(context.WithValue(req.Context(), nameKey{}, "test"))
	req.Header.Set("Content-Type", contentType)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

func TestHTTPStoresBeforeItAnswers(t *testing.T) {
	// If this fails, a sender is told that its telemetry is safe when it is not.
	m := request(nil, good())
	inJSON, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		contentType, encoding string
		body                  []byte
		answer                string
	}{
		{"application/x-protobuf", "", marshal(t, m), ""},
		{"application/x-protobuf", "gzip", zipped(marshal(t, m)), ""},
		{"application/json; charset=utf-8", "", inJSON, "{}"},
		{"application/json", "gzip", zipped(inJSON), "{}"},
	} {
		r, log := newTestReceiver(t, Config{}, ingest.Limits{})
		for range 2 { // the second time with used buffers
			w := post(r, c.contentType, c.encoding, c.body)
			if w.Code != 200 || w.Body.String() != c.answer || w.Header().Get("Content-Type") != strings.Split(c.contentType, ";")[0] {
				t.Errorf("%s %s: %d %s %q", c.contentType, c.encoding, w.Code, w.Header(), w.Body)
			}
		}
		if log.Last() == 0 {
			t.Errorf("%s %s: nothing in the log", c.contentType, c.encoding)
		}
		if s := r.Stats(); s.InFlightBytes != 0 || s.Points != 2 || s.Requests != 2 {
			t.Errorf("stats %+v", s)
		}
	}
}

func TestHTTPRefuses(t *testing.T) {
	// If this fails, senders retry what can never pass, or drop what could.
	whole := marshal(t, request(nil, good()))
	bomb := zipped(make([]byte, 1<<20))
	for name, c := range map[string]struct {
		contentType, encoding string
		body                  []byte
		log                   error
		want                  int
		retry                 string
	}{
		"content type":      {"text/plain", "", whole, nil, 415, ""},
		"encoding":          {"application/x-protobuf", "snappy", whole, nil, 415, ""},
		"cut protobuf":      {"application/x-protobuf", "", whole[:20], nil, 400, ""},
		"cut gzip":          {"application/x-protobuf", "gzip", zipped(whole)[:20], nil, 400, ""},
		"no gzip":           {"application/x-protobuf", "gzip", whole, nil, 400, ""},
		"no JSON":           {"application/json", "", whole, nil, 400, ""},
		"bomb":              {"application/x-protobuf", "gzip", bomb, nil, 413, ""},
		"too long":          {"application/x-protobuf", "", make([]byte, 70<<10), nil, 413, ""},
		"JSON bomb":         {"application/json", "", []byte(`{"resourceMetrics":[` + strings.Repeat(`{},`, 20000) + `{}]}`), nil, 413, ""},
		"log full":          {"application/x-protobuf", "", whole, fmt.Errorf("append: %w", bus.ErrFull), 503, "5"},
		"log away":          {"application/x-protobuf", "", whole, errors.New("timeout"), 503, "5"},
		"not authenticated": {"none", "", whole, nil, 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, log := newTestReceiver(t, Config{MaxBody: 64 << 10}, ingest.Limits{})
			log.err = c.log
			var w *httptest.ResponseRecorder
			if c.contentType == "none" {
				req := httptest.NewRequest(http.MethodPost, "/v1/metrics", bytes.NewReader(c.body))
				req.Header.Set("Content-Type", "application/x-protobuf")
				w = httptest.NewRecorder()
				r.ServeHTTP(w, req)
			} else {
				w = post(r, c.contentType, c.encoding, c.body)
			}
			if w.Code != c.want || w.Header().Get("Retry-After") != c.retry {
				t.Errorf("got %d, Retry-After %q, want %d, %q; body %q", w.Code, w.Header().Get("Retry-After"), c.want, c.retry, w.Body)
			}
			var s spb.Status
			unmarshal := proto.Unmarshal
			if w.Header().Get("Content-Type") == "application/json" {
				unmarshal = protojson.Unmarshal
			}
			if err := unmarshal(w.Body.Bytes(), &s); err != nil || s.Message == "" || strings.Contains(s.Message, "s3cret") {
				t.Errorf("the body is no status: %v, %q", err, w.Body)
			}
			if log.Last() != 0 || r.Stats().InFlightBytes != 0 {
				t.Errorf("%d frames stored, %d bytes still held", log.Last(), r.Stats().InFlightBytes)
			}
		})
	}
}

func TestQuota(t *testing.T) {
	// If this fails, a sender that sends too much is asked to stop in a way that it does not understand.
	synctest.Test(t, func(t *testing.T) {
		r, _ := newTestReceiver(t, Config{}, ingest.Limits{SamplesPerMinute: 1})
		m := request(nil, good())
		if w := post(r, "application/json", "", mustJSON(t, m)); w.Code != 200 {
			t.Fatalf("the first sample: %d %s", w.Code, w.Body)
		}
		if w := post(r, "application/json", "", mustJSON(t, m)); w.Code != 429 || w.Header().Get("Retry-After") != "5" {
			t.Errorf("got %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		_, err := dial(t, r, GRPC{}).Export(authorized(t), m)
		if s := status.Convert(err); s.Code() != codes.ResourceExhausted || len(s.Details()) != 1 {
			t.Errorf("got %v with details %v", s, s.Details())
		}
		if n := r.Stats().Quota; n != 2 {
			t.Errorf("counted %d", n)
		}
	})
}

func mustJSON(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHTTPMethod(t *testing.T) {
	// If this fails, a browser that looks at the address is told nothing useful.
	r, _ := newTestReceiver(t, Config{}, ingest.Limits{})
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/metrics", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("got %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestHTTPPartialSuccess(t *testing.T) {
	// If this fails, a sender of bad data points never learns of it, or its good ones are lost.
	r, log := newTestReceiver(t, Config{}, ingest.Limits{})
	w := post(r, "application/json", "", mustJSON(t, request(nil, good(), bad(), bad())))
	var answer metricspb.ExportMetricsServiceResponse
	if err := protojson.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	p := answer.PartialSuccess
	if w.Code != 200 || p.GetRejectedDataPoints() != 2 || !strings.Contains(p.GetErrorMessage(), "time_unix_nano") || log.Last() == 0 {
		t.Errorf("%d %s, %d frames", w.Code, w.Body, log.Last())
	}
	want := Rejected{Reason: "NoTime", Points: 2}
	if s := r.Stats(); s.Points != 3 || s.Rejected[0] != want {
		t.Errorf("stats %+v", s)
	}
}

func TestSamplesTooOldAreToldToTheSender(t *testing.T) {
	// If this fails, a sender with a wrong clock believes that its telemetry counts.
	r, _ := newTestReceiver(t, Config{}, ingest.Limits{})
	old := intPoint(1)
	old.TimeUnixNano, old.StartTimeUnixNano = 1*ms, 0
	w := post(r, "application/x-protobuf", "", marshal(t, request(nil, sum("wanted", "", true, cumulative, old))))
	var answer metricspb.ExportMetricsServiceResponse
	if err := proto.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if p := answer.PartialSuccess; p.GetRejectedDataPoints() != 1 || !strings.Contains(p.GetErrorMessage(), "TooOld 1") {
		t.Errorf("answer %v", &answer)
	}
}

func TestBudgetOfMemory(t *testing.T) {
	// If this fails, many slow senders at once fill the memory.
	r, _ := newTestReceiver(t, Config{MaxBody: 64 << 10, MaxMessage: 1024, MaxInFlight: 64 << 10}, ingest.Limits{})
	if !r.http.take(60 << 10) {
		t.Fatal("no room in an empty budget")
	}
	w := post(r, "application/x-protobuf", "", marshal(t, request(nil, good())))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d while the memory is taken", w.Code)
	}
	r.http.give(60 << 10)
	if w := post(r, "application/x-protobuf", "", marshal(t, request(nil, good()))); w.Code != 200 {
		t.Errorf("got %d when it is free again", w.Code)
	}
}

func TestConfigIsChecked(t *testing.T) {
	// If this fails, a mistake in the settings is found by the first sender and not at the start.
	gate, _ := newTestReceiver(t, Config{}, ingest.Limits{})
	for _, c := range []Config{
		{}, {Gate: gate.config.Gate},
		{Gate: gate.config.Gate, Sender: gate.config.Sender, Translation: "Underscores"},
		{Gate: gate.config.Gate, Sender: gate.config.Sender, MaxBody: 1 << 30},
		{Gate: gate.config.Gate, Sender: gate.config.Sender, MaxInFlight: 1 << 10},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("no error for %+v", c)
		}
	}
}

// dial serves r over memory and returns a client. It runs in a bubble.
func dial(t testing.TB, r *Receiver, g GRPC) metricspb.MetricsServiceClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := r.NewGRPC(g)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///otlp", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		synctest.Wait()
		if n := r.grpc.used.Load(); n != 0 {
			t.Errorf("%d bytes are still held", n)
		}
	})
	return metricspb.NewMetricsServiceClient(conn)
}

func authorized(t testing.TB) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x")
}

func TestGRPC(t *testing.T) {
	// If this fails, collectors with their default exporter cannot send.
	synctest.Test(t, func(t *testing.T) {
		r, log := newTestReceiver(t, Config{}, ingest.Limits{})
		client := dial(t, r, GRPC{})
		for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(grpcgzip.Name)}} {
			answer, err := client.Export(authorized(t), request(nil, good(), bad()), options...)
			if err != nil || answer.GetPartialSuccess().GetRejectedDataPoints() != 1 {
				t.Errorf("answer %v, error %v", answer, err)
			}
		}
		if log.Last() == 0 {
			t.Error("nothing in the log")
		}
		answer, err := client.Export(authorized(t), request(nil, good()))
		if err != nil || answer.PartialSuccess != nil {
			t.Errorf("answer %v, error %v; want no partial success", answer, err)
		}
	})
}

func TestGRPCRefuses(t *testing.T) {
	// If this fails, collectors retry what can never pass, or drop what could.
	for name, c := range map[string]struct {
		log       error
		config    Config
		anonymous bool
		m         *metricspb.ExportMetricsServiceRequest
		code      codes.Code
		retry     bool
	}{
		"log full":          {log: bus.ErrFull, m: request(nil, good()), code: codes.Unavailable, retry: true},
		"log away":          {log: io.ErrUnexpectedEOF, m: request(nil, good()), code: codes.Unavailable, retry: true},
		"too large":         {config: Config{MaxMessage: 1000}, m: request(attrs("k", strings.Repeat("v", 2000)), good()), code: codes.ResourceExhausted},
		"not authenticated": {anonymous: true, m: request(nil, good()), code: codes.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := authorized(t)
				if c.anonymous {
					ctx = t.Context()
				}
				r, log := newTestReceiver(t, c.config, ingest.Limits{})
				log.err = c.log
				_, err := dial(t, r, GRPC{}).Export(ctx, c.m)
				s := status.Convert(err)
				retry := false
				for _, d := range s.Details() {
					_, ok := d.(*errdetails.RetryInfo)
					retry = retry || ok
				}
				if s.Code() != c.code || retry != c.retry || strings.Contains(s.Message(), "s3cret") {
					t.Errorf("got %v, retry %v, want %v, %v", s, retry, c.code, c.retry)
				}
			})
		})
	}
}

func TestGRPCBudget(t *testing.T) {
	// If this fails, connections that open calls and send nothing fill the memory, or keep everybody else out for good.
	synctest.Test(t, func(t *testing.T) {
		r, _ := newTestReceiver(t, Config{MaxBody: 1000, MaxMessage: 1000, MaxInFlight: 1000}, ingest.Limits{})
		client := dial(t, r, GRPC{Timeout: time.Second, Authenticate: func(ctx context.Context) (context.Context, error) {
			return context.WithValue(ctx, nameKey{}, "test"), nil
		}})
		if !r.grpc.take(1000) {
			t.Fatal("no room in an empty budget")
		}
		if _, err := client.Export(t.Context(), request(nil, good())); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v while the memory is taken", err)
		}
		r.grpc.give(1000)
		if _, err := client.Export(t.Context(), request(nil, good())); err != nil {
			t.Errorf("got %v when it is free again", err)
		}
	})
}

func TestGRPCSilentCallEnds(t *testing.T) {
	// If this fails, a sender that opens calls and sends nothing holds their memory for good.
	synctest.Test(t, func(t *testing.T) {
		r, _ := newTestReceiver(t, Config{}, ingest.Limits{})
		listener := bufconn.Listen(1 << 20)
		server := r.NewGRPC(GRPC{})
		done := make(chan error, 1)
		go func() { done <- server.Serve(listener) }()
		conn, err := grpc.NewClient("passthrough:///otlp", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := conn.NewStream(authorized(t), &grpc.StreamDesc{ClientStreams: true}, "/"+serviceName+"/"+methodName)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if held := r.Stats().InFlightBytes; held != 4<<20 {
			t.Errorf("the open call holds %d bytes", held)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if held := r.Stats().InFlightBytes; held != 0 {
			t.Errorf("31 s later it holds %d bytes", held)
		}
		if err := stream.RecvMsg(&metricspb.ExportMetricsServiceResponse{}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("the call ended with %v", err)
		}
		_ = conn.Close()
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func TestStatsNameAllReasons(t *testing.T) {
	// If this fails, a reason for leaving data points out has no name on /metrics.
	r, _ := newTestReceiver(t, Config{}, ingest.Limits{})
	var names []string
	for _, s := range r.Stats().Rejected {
		names = append(names, s.Reason)
	}
	want := []string{"NoTime", "NoValue", "Start", "Temporality", "Buckets", "Name", "Attribute", "Resource", "Gate"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}
