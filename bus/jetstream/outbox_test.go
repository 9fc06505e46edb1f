package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"evenkeel.dev/bus"
)

// A box is an outbox with the server under it, which can be restarted.
type box struct {
	*Outbox
	t      *testing.T
	config OutboxConfig
	dir    string
	server *Server
	lost   map[string]uint64
	mu     sync.Mutex
}

func openBox(t *testing.T, c OutboxConfig) *box {
	t.Helper()
	b := &box{t: t, config: c, dir: t.TempDir(), lost: map[string]uint64{}}
	b.config.Lane = laneTest
	b.config.Lost = func(n uint64, why string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.lost[why] += n
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *box) start() {
	b.t.Helper()
	var err error
	if b.server, err = StartServer(ServerConfig{DataDir: b.dir, DiskReserve: 1}); err != nil {
		b.t.Fatal(err)
	}
	b.config.Server = b.server
	if b.Outbox, err = OpenOutbox(context.Background(), b.config); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) stop() {
	b.Close()
	b.server.Close()
}

func (b *box) restart() {
	b.t.Helper()
	b.stop()
	b.start()
}

func (b *box) put(text string) {
	b.t.Helper()
	if _, err := b.Put(b.t.Context(), []byte(text)); err != nil {
		b.t.Fatal(err)
	}
}

// forward hands in until all is there.
func (b *box) forward(link Link) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Forward(ctx, link) }() //nolint:errcheck // it ends with the context
	eventually(b.t, 30*time.Second, "all is handed in", func() bool { return b.Stats().Waiting == 0 })
	cancel()
	<-done
}

// written returns what LOG has on the subject of a cluster, in order.
func written(t *testing.T, l *Log, token string) []string {
	t.Helper()
	var out []string
	for _, m := range readAll(t, l) {
		if m.Subject == observations(token) {
			out = append(out, string(m.Data))
		}
	}
	return out
}

// A faulty link loses requests and answers.
type faulty struct {
	Link
	fault func(what string) (before, after bool) // whether the request, or its answer, is lost
}

var errLine = errors.New("the line is down")

func (f *faulty) Last(ctx context.Context, lane string) (AgentAnswer, error) {
	if before, after := f.fault("last"); before || after {
		return AgentAnswer{}, errLine
	}
	return f.Link.Last(ctx, lane)
}

func (f *faulty) Put(ctx context.Context, lane, life string, expect uint64, ps []Parcel) (AgentAnswer, error) {
	before, after := f.fault("put")
	if before {
		return AgentAnswer{}, errLine
	}
	a, err := f.Link.Put(ctx, lane, life, expect, ps)
	if after {
		return AgentAnswer{}, errLine
	}
	return a, err
}

// hub is a hub with one agent.
func hub(t *testing.T) (*Log, *AgentLink) {
	t.Helper()
	s := listeningServer(t)
	l := openTestLog(t, Config{Server: s})
	serveGate(t, l, GateConfig{})
	key, seed := agentKey(t, "eu-1")
	if err := s.SetAgents([]AgentKey{key}); err != nil {
		t.Fatal(err)
	}
	link := dialHub(t, s, "eu-1", seed)
	eventually(t, 5*time.Second, "connected", func() bool { return link.conn.IsConnected() })
	return l, link
}

func texts(from, to int) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s: LOG has %v, want %v", what, got, want)
	}
}

// TestOutboxLostAnswer: a record would be in LOG twice after an answer was lost, or not at all.
func TestOutboxLostAnswer(t *testing.T) {
	t.Parallel()
	l, link := hub(t)
	b := openBox(t, OutboxConfig{})
	n := 0
	f := &faulty{link, func(what string) (bool, bool) {
		n++
		return what == "put" && n%7 == 1, what == "put" && n%3 == 0
	}}
	for i := 1; i <= 20; i++ {
		b.put(strconv.Itoa(i))
		if i%4 == 0 {
			b.forward(f)
		}
	}
	same(t, "after lost answers", written(t, l, "eu-1"), texts(1, 20))
	b.restart()
	b.put("21")
	b.forward(link)
	same(t, "after a restart", written(t, l, "eu-1"), texts(1, 21))
	if s := b.Stats(); s.LostOverflow+s.LostDamaged+s.LostRefused != 0 {
		t.Errorf("%+v", s)
	}
}

// TestOutboxPurgedLog: after the hub has purged its log of the last record, the agent would send all again or stop.
func TestOutboxPurgedLog(t *testing.T) {
	t.Parallel()
	l, link := hub(t)
	b := openBox(t, OutboxConfig{})
	for i := 1; i <= 3; i++ {
		b.put(strconv.Itoa(i))
	}
	b.forward(link)
	if err := l.ask(t.Context(), "STREAM.PURGE.LOG", map[string]any{}, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.put("4")
	b.forward(link)
	same(t, "after a purge", written(t, l, "eu-1"), texts(4, 4))
}

// TestOutboxOverflow: an outbox that is full would lose the newest, lose silently, or take more of the disk than it may.
func TestOutboxOverflow(t *testing.T) {
	t.Parallel()
	l, link := hub(t)
	b := openBox(t, OutboxConfig{Bytes: 64 << 10})
	pad := strings.Repeat("x", 4<<10)
	for i := 1; i <= 40; i++ {
		b.put(fmt.Sprintf("%d %s", i, pad))
	}
	s := b.Stats()
	if s.LostOverflow == 0 || s.LostOverflow+uint64(s.Waiting) != 40 || s.Bytes > 64<<10 || b.lost[LostOverflow] != s.LostOverflow {
		t.Fatalf("%+v, told of %v", s, b.lost)
	}
	b.forward(link)
	got := written(t, l, "eu-1")
	for i := range got {
		got[i], _, _ = strings.Cut(got[i], " ")
	}
	same(t, "after an overflow", got, texts(int(s.LostOverflow)+1, 40))
	raw, err := l.lastMsg(t.Context(), streamLog, observations("eu-1"))
	if err != nil || raw.Header.Get(headerOutboxN) != "40" {
		t.Errorf("the numbers do not mark the gap: %v, %v", raw.Header, err)
	}
	b.put("41")
	b.forward(link)
	if after := b.Stats(); after.LostOverflow != s.LostOverflow || after.Waiting != 0 {
		t.Errorf("%+v", after)
	}
}

// TestOutboxDamaged: one record that the disk has lost would be counted with all before it, which have arrived.
func TestOutboxDamaged(t *testing.T) {
	t.Parallel()
	l, link := hub(t)
	b := openBox(t, OutboxConfig{})
	for i := 1; i <= 8; i++ {
		b.put(strconv.Itoa(i))
	}
	s, err := b.js.Stream(t.Context(), b.stream())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.PublishMsg(t.Context(), &nats.Msg{Subject: b.subject(), Data: []byte("no checksum")}); err != nil {
		t.Fatal(err)
	}
	b.put("10")
	b.forward(link)
	same(t, "with one that is gone and one that is damaged", written(t, l, "eu-1"), strings.Fields("1 2 3 4 5 7 8 10"))
	// A record that is gone at the front of the stream looks as if it had made room, so that the sum is held and not the reasons.
	if s := b.Stats(); s.LostDamaged+s.LostOverflow != 2 || b.lost[LostDamaged]+b.lost[LostOverflow] != 2 || s.Sent != 8 {
		t.Errorf("%+v, told of %v", s, b.lost)
	}
}

// TestOutboxLossless: results of what was done in a cluster would be lost while the hub is away.
func TestOutboxLossless(t *testing.T) {
	t.Parallel()
	l, link := hub(t)
	b := openBox(t, OutboxConfig{Bytes: 64 << 10, Lossless: true})
	pad := strings.Repeat("x", 4<<10)
	n := 0
	for ; ; n++ {
		if _, err := b.Put(t.Context(), fmt.Appendf(nil, "%d %s", n+1, pad)); errors.Is(err, bus.ErrFull) {
			break
		} else if err != nil || n > 40 {
			t.Fatalf("%d records in 64 KiB: %v", n, err)
		}
	}
	b.forward(link)
	if got := written(t, l, "eu-1"); len(got) != n || len(b.lost) != 0 {
		t.Errorf("%d of %d records; lost %v", len(got), n, b.lost)
	}
	b.put("room again")
}

// TestOutboxRolledBack: a disk that was set back to an older copy would give numbers twice, and the hub would take new records for old ones.
func TestOutboxRolledBack(t *testing.T) {
	t.Parallel()
	l, link := hub(t)
	b := openBox(t, OutboxConfig{})
	for i := 1; i <= 3; i++ {
		b.put(strconv.Itoa(i))
	}
	b.forward(link)
	life := b.life
	// The same life, of which the disk knows nothing any more.
	if err := b.js.DeleteStream(t.Context(), b.stream()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.CreateStream(t.Context(), b.layout(life)); err != nil {
		t.Fatal(err)
	}
	if err := b.js.DeleteStream(t.Context(), streamProgress); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.put("never told: the life ends with it")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Forward(ctx, link) }() //nolint:errcheck // it ends with the context
	eventually(t, 10*time.Second, "a new life", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.lost[LostDamaged] > 0 })
	b.put("4")
	eventually(t, 10*time.Second, "it is handed in", func() bool { return b.Stats().Waiting == 0 })
	cancel()
	<-done
	same(t, "after the disk was set back", written(t, l, "eu-1"), texts(1, 4))
}

// BenchmarkOutbox measures how fast a hub that comes back is caught up with.
func BenchmarkOutbox(b *testing.B) {
	s, err := StartServer(ServerConfig{DataDir: b.TempDir(), DiskReserve: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	o, err := OpenOutbox(b.Context(), OutboxConfig{Server: s, Lane: laneTest})
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	data := []byte(strings.Repeat(`{"name":"cart-7d9f8","state":"Healthy"},`, 50))
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := o.Put(b.Context(), data); err != nil {
			b.Fatal(err)
		}
	}
}
