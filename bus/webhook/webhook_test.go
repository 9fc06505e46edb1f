package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"evenkeel.dev/bus"
	"github.com/google/go-cmp/cmp"
)

const (
	testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	oldSecret  = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	urlSecret  = "T000XYZsecretpath"
)

// A bench is a sender with a log in memory, of which a test gives orders and reads results.
type bench struct {
	t       *testing.T
	s       *Sender
	mu      sync.Mutex
	orders  map[string]Request
	results chan Result
	raw     []byte // all results as they were appended
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, orders: map[string]Request{}, results: make(chan Result, 10_000)}
	c := Config{
		Subject: "log.result.notify",
		Request: func(m bus.Message) (Request, bool, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			switch string(m.Data) {
			case "none":
				return Request{}, false, nil
			case "bad":
				return Request{}, false, errors.New("cannot be read")
			}
			return b.orders[string(m.Data)], true, nil
		},
		Resolve: func(ref string) (string, error) {
			switch ref {
			case "env:TWO":
				return testSecret + " " + oldSecret, nil
			case "env:ONE":
				return testSecret, nil
			}
			if u, ok := strings.CutPrefix(ref, "test:"); ok {
				return u, nil
			}
			return "", fmt.Errorf("no %s here: %s", ref, urlSecret)
		},
		Append: func(_ context.Context, m bus.Message) (uint64, error) {
			var r Result
			if err := json.Unmarshal(m.Data, &r); err != nil || m.Subject != "log.result.notify" {
				t.Errorf("appended %s %s: %v", m.Subject, m.Data, err)
			}
			b.mu.Lock()
			b.raw = append(b.raw, m.Data...)
			b.mu.Unlock()
			b.results <- r
			return 1, nil
		},
		AllowPrivate: true,
	}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	b.s = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) order(rs ...Request) {
	var ms []bus.Message
	for _, r := range rs {
		if r.Render == nil {
			r.Render = func(string) (Content, error) { return Content{Method: "POST", Body: []byte(`{"a":1}`)}, nil }
		}
		if r.Receiver == "" {
			r.Receiver = "one"
		}
		key := fmt.Sprintf("%s/%d", r.ID, r.Attempt)
		b.mu.Lock()
		b.orders[key] = r
		b.mu.Unlock()
		ms = append(ms, bus.Message{Data: []byte(key)})
	}
	b.s.Handle(ms)
}

func (b *bench) result() Result {
	b.t.Helper()
	select {
	case r := <-b.results:
		return r
	case <-time.After(20 * time.Second):
		b.t.Fatal("no result")
		return Result{}
	}
}

func TestDelivers(t *testing.T) {
	// A receiver would not get the alert as rendered, or the stage would not hear that it did.
	got := make(chan *http.Request, 1)
	body := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got <- r
		body <- string(data)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer srv.Close()
	b := newBench(t, nil)
	b.s.Handle([]bus.Message{{Data: []byte("none")}, {Data: []byte("bad")}})
	b.order(Request{ID: "d1", Attempt: 3, URL: srv.URL + "/base", Render: func(string) (Content, error) {
		return Content{Method: "POST", Path: "/api/v2/alerts", Header: []bus.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "ce-id", Value: "7"}}, Body: []byte(`[1]`)}, nil
	}})
	if diff := cmp.Diff(Result{ID: "d1", Attempt: 3, Outcome: Delivered, Status: 202}, b.result()); diff != "" {
		t.Error(diff)
	}
	r := <-got
	have := []string{r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("ce-id"), r.Header.Get("Webhook-Id"), r.Header.Get("User-Agent"), r.Header.Get("Webhook-Signature"), <-body}
	want := []string{"POST", "/base/api/v2/alerts", "application/json", "7", "d1", "Evenkeel", "", "[1]"}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	if n := b.s.Stats().Undecodable.Load(); n != 1 {
		t.Errorf("%d undecodable messages, want 1", n)
	}
}

func TestOutcomes(t *testing.T) {
	// A page would be given up though the receiver is only busy, or sent for ever though it is refused.
	date := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
	tests := map[int]Result{
		200: {Outcome: Delivered},
		204: {Outcome: Delivered},
		301: {Outcome: Rejected, Message: msgRedirect},
		307: {Outcome: Rejected, Message: msgRedirect},
		400: {Outcome: Rejected, Message: "the receiver answered 400"},
		401: {Outcome: Rejected, Message: "the receiver answered 401"},
		404: {Outcome: Rejected, Message: "the receiver answered 404"},
		408: {Outcome: Retry, Message: "the receiver answered 408"},
		429: {Outcome: Retry, Message: "the receiver answered 429", RetryAfter: 7 * bus.Second},
		500: {Outcome: Retry, Message: "the receiver answered 500"},
		503: {Outcome: Retry, Message: "the receiver answered 503"},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscanf(r.URL.Path, "/%d", &code)
		switch code {
		case 301, 307:
			w.Header().Set("Location", "/200")
		case 429:
			w.Header().Set("Retry-After", "7")
		case 503:
			w.Header().Set("Retry-After", date)
		}
		w.WriteHeader(code)
	}))
	defer srv.Close()
	b := newBench(t, nil)
	for code, want := range tests {
		b.order(Request{ID: "d", Attempt: 1, URL: fmt.Sprintf("%s/%d", srv.URL, code)})
		got := b.result()
		if code == 503 {
			if got.RetryAfter < 60*bus.Second || got.RetryAfter > 90*bus.Second {
				t.Errorf("Retry-After as a date gave %d ms", got.RetryAfter)
			}
			got.RetryAfter = 0
		}
		want.ID, want.Attempt, want.Status = "d", 1, code
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d: %s", code, diff)
		}
	}
}

func TestLapsed(t *testing.T) {
	// An engine that comes back after two hours would page for what is long over.
	var hits sync.Map
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hits.Store(r.Header.Get("Webhook-Id"), true) }))
	defer srv.Close()
	now := time.UnixMilli(1_000_000)
	b := newBench(t, func(c *Config) { c.Now = func() time.Time { return now } })
	b.order(
		Request{ID: "old", Attempt: 1, Key: "k", URL: srv.URL, NotAfter: 999_999},
		Request{ID: "end", Attempt: 1, Key: "k", URL: srv.URL, NotAfter: 1_000_001, Follows: "old"},
		Request{ID: "new", Attempt: 1, Key: "k", URL: srv.URL, NotAfter: 1_000_000, Follows: "never heard of"},
	)
	var got []string
	for range 3 {
		r := b.result()
		got = append(got, r.ID+" "+r.Outcome)
	}
	want := []string{"old expired", "end late", "new delivered"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, ok := hits.Load("end"); ok {
		t.Error("the end of what was never sent was sent")
	}
	b.order(Request{ID: "old", Attempt: 2, Key: "k", URL: srv.URL, NotAfter: 1_000_001}, Request{ID: "end", Attempt: 2, Key: "k", URL: srv.URL, Follows: "old"})
	b.result()
	if r := b.result(); r.Outcome != Delivered {
		t.Errorf("after the beginning was sent at last, its end is %s", r.Outcome)
	}
}

func TestSlowReceiverDelaysNobodyElse(t *testing.T) {
	// One hanging chat server would hold up the pager.
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer slow.Close()
	fast := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer fast.Close()
	b := newBench(t, nil)
	for i := range 200 {
		b.order(Request{ID: fmt.Sprint("slow", i), Receiver: "slow", Key: fmt.Sprint(i), URL: slow.URL})
	}
	for i := range 200 {
		b.order(Request{ID: fmt.Sprint("fast", i), Receiver: "fast", Key: fmt.Sprint(i), URL: fast.URL})
	}
	for range 200 {
		if r := b.result(); !strings.HasPrefix(r.ID, "fast") {
			t.Fatalf("%s came first", r.ID)
		}
	}
	close(release)
	for range 200 {
		b.result()
	}
}

func TestOrderWithinKey(t *testing.T) {
	// A pager would hear "resolved" before "firing" and stay open for ever.
	var mu sync.Mutex
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header.Get("Webhook-Id"))
	}))
	defer srv.Close()
	b := newBench(t, nil)
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(i))
		b.order(Request{ID: fmt.Sprint(i), Key: "same", URL: srv.URL})
	}
	for range 100 {
		b.result()
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestQueueIsBounded(t *testing.T) {
	// A receiver that hangs would eat the memory of the process.
	release := make(chan struct{})
	started := make(chan struct{}, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { started <- struct{}{}; <-release }))
	defer srv.Close()
	b := newBench(t, func(c *Config) { c.QueueMax, c.ReceiverMax, c.Workers = 8, 5, 1 })
	b.order(Request{ID: "a", Receiver: "a", URL: srv.URL}, Request{ID: "b", Receiver: "b", URL: srv.URL})
	<-started
	<-started
	for i := range 20 {
		b.order(Request{ID: fmt.Sprint("a", i), Receiver: "a", URL: srv.URL})
	}
	for i := range 20 {
		b.order(Request{ID: fmt.Sprint("b", i), Receiver: "b", URL: srv.URL})
	}
	b.order(Request{ID: "a3", Attempt: 2, Receiver: "a", URL: srv.URL}) // takes the place of the one that waits
	st := b.s.Stats()
	if diff := cmp.Diff([]uint64{32, 1, 8}, []uint64{st.Dropped.Load(), st.Replaced.Load(), uint64(st.Queued.Load())}); diff != "" {
		t.Errorf("dropped, replaced, queued: %s", diff)
	}
	close(release)
	for range 10 {
		if r := b.result(); r.ID == "a3" && r.Attempt != 2 {
			t.Error("the older attempt was sent")
		}
	}
}

func TestTimeoutAndBrokenConnections(t *testing.T) {
	// A receiver that hangs or breaks would stop all later messages, or count as reached.
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer hang.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	}))
	defer broken.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	b := newBench(t, func(c *Config) { c.Timeout = 300 * time.Millisecond })
	for url, want := range map[string]string{hang.URL: msgTimeout, broken.URL: msgBroken, gone.URL: msgRefused} {
		b.order(Request{ID: "d", URL: url})
		if r := b.result(); r.Outcome != Retry || r.Message != want {
			t.Errorf("got %+v, want retry: %s", r, want)
		}
	}
}

func TestAnswerIsReadOnlySoFar(t *testing.T) {
	// A hostile receiver would fill the memory, or hold a worker, with an endless answer.
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	b := newBench(t, nil)
	start := time.Now()
	b.order(Request{ID: "d", URL: srv.URL})
	if r := b.result(); r.Outcome != Delivered || time.Since(start) > 5*time.Second {
		t.Errorf("%+v after %s", r, time.Since(start))
	}
}

func TestLogThatRefusesResults(t *testing.T) {
	// A full log for a moment would make the stage send everything twice.
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	tries := 0
	var b *bench
	b = newBench(t, func(c *Config) {
		inner := c.Append
		c.Append = func(ctx context.Context, m bus.Message) (uint64, error) {
			if tries++; tries < 3 {
				return 0, bus.ErrFull
			}
			return inner(ctx, m)
		}
	})
	b.order(Request{ID: "d", URL: srv.URL})
	if r := b.result(); r.Outcome != Delivered || tries != 3 {
		t.Errorf("%+v after %d tries", r, tries)
	}
}

func TestRunAgain(t *testing.T) {
	// A process that loses the stage and gets it back would never again send to who was being sent to.
	started, release := make(chan struct{}, 10), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { started <- struct{}{}; <-release }))
	defer srv.Close()
	results := make(chan Result, 10)
	s, err := New(Config{
		Subject: "r", AllowPrivate: true, Resolve: func(string) (string, error) { return "", nil },
		Request: func(m bus.Message) (Request, bool, error) {
			render := func(string) (Content, error) { return Content{Method: "POST"}, nil }
			return Request{ID: string(m.Data), Key: "k", URL: srv.URL, Render: render}, true, nil
		},
		Append: func(_ context.Context, m bus.Message) (uint64, error) {
			var r Result
			err := json.Unmarshal(m.Data, &r)
			results <- r
			return 1, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { done <- s.Run(ctx) }()
	s.Handle([]bus.Message{{Data: []byte("first")}, {Data: []byte("waits")}})
	<-started
	stop()
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r := <-results; r.ID != "first" || r.Outcome != Delivered || s.Stats().Queued.Load() != 0 {
		t.Errorf("what was on its way when the process stopped: %+v, queued %d", r, s.Stats().Queued.Load())
	}
	ctx, stop = context.WithCancel(context.Background())
	defer stop()
	go func() { done <- s.Run(ctx) }()
	s.Handle([]bus.Message{{Data: []byte("second")}})
	select {
	case r := <-results:
		if r.ID != "second" {
			t.Errorf("%+v", r)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing is sent any more")
	}
	stop()
	<-done
}

func TestNewRefusesHalfAConfig(t *testing.T) {
	// A forgotten part of the wiring would show itself only at the first page.
	if _, err := New(Config{Subject: "x"}); err == nil {
		t.Error("a config without functions was taken")
	}
}

func TestCarriedByAnotherProtocol(t *testing.T) {
	// A mail would go out after its time, without its password, or nobody would learn what came of it.
	b := newBench(t, nil)
	calls := 0
	carry := func(ctx context.Context, secret string) Result {
		calls++
		until, ok := ctx.Deadline()
		if left := time.Until(until); !ok || left < 15*time.Second || secret != testSecret {
			t.Errorf("%v left, secret %q", left, secret)
		}
		return Result{Outcome: Delivered, Status: 250, Message: "taken", ID: "another", Attempt: 9}
	}
	b.order(Request{ID: "m", Attempt: 2, SecretFrom: "env:ONE", Carry: carry, Timeout: 20 * time.Second})
	if diff := cmp.Diff(Result{ID: "m", Attempt: 2, Outcome: Delivered, Status: 250, Message: "taken"}, b.result()); diff != "" {
		t.Error(diff)
	}
	b.order(Request{ID: "late", Attempt: 1, Carry: carry, NotAfter: 1})
	if r := b.result(); r.Outcome != Expired {
		t.Errorf("%+v", r)
	}
	b.order(Request{ID: "no secret", Attempt: 1, SecretFrom: "env:GONE", Carry: carry})
	if r := b.result(); r.Outcome != Retry || r.Message != msgSecretRef {
		t.Errorf("%+v", r)
	}
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
	for address, want := range map[string]string{"127.0.0.1:25": msgPrivate, "169.254.169.254:25": msgLinkLocal, "93.184.215.14:25": ""} {
		got := ""
		if err := CheckAddress(address, false); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}
