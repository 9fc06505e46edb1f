// Package jetstream is the durable log: [bus.Log] on NATS JetStream, in a server of its own inside the process ([StartServer]) or in
// an existing cluster that is reached by URL.
//
// One stream, LOG, has the one order of everything that stages read. HEADS keeps a second copy of each partition's newest
// checkpoint, SNAP the stages' states, EVENTS, LEDGER and DETAIL what lives longer than LOG, META the log's generation. [Open]
// creates them and returns a [Log].
//
// What it guarantees: an append that is acknowledged is on disk (the embedded server syncs always); a commit is one atomic batch,
// fenced by the sequence of the checkpoint before; a message that is missing or whose bytes have changed is delivered as a gap,
// never passed over; a checkpoint or a snapshot that cannot be trusted is a [bus.DamageError] until [Log.Mend].
//
// What it refuses: telemetry when LOG is over its bound or the disk's reserve is touched ([bus.ErrFull]); a second owner's commit
// ([bus.ErrFenced]); a message over 8 MiB ([bus.ErrTooLarge]).
//
// Beside the log itself it shares out work: [Members] says which process should run which partition, a [Worker] runs it,
// [Log.RunTicks] and [Log.RunRetention] are done by one process at a time. None of these is trusted: the fence alone decides.
package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

// requestTimeout bounds one question to the server where the caller's context has no deadline of its own.
const requestTimeout = 5 * time.Second

// A Log is [bus.Log] on JetStream. It is safe for use by several goroutines.
type Log struct {
	config     Config
	conn       *nats.Conn
	js         jetstream.JetStream
	generation uint64
	void       [2]uint64 // see meta
	starts     map[string]uint64
	accepted   atomic.Uint64 // history before this sequence may be missing: a person has said so

	mu     sync.Mutex
	fences map[string]*fence // by stage and partition; bounded by the enabled partitions
	tail   *tail             // nil until the first reader

	acked atomic.Uint64 // highest sequence of LOG that this process knows of
	usage usage
	count counters

	cancel context.CancelFunc
	done   sync.WaitGroup
}

var _ bus.Log = (*Log)(nil)

// Open connects, creates the streams where they are missing, brings their bounds up to date and returns the log. It waits for a
// cluster that is still electing until ctx ends.
func Open(ctx context.Context, c Config) (*Log, error) {
	l, err := dial(c)
	if err != nil {
		return nil, err
	}
	if err := l.begin(ctx); err != nil {
		l.conn.Close()
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.done.Go(func() { l.usage.watch(run, l) })
	return l, nil
}

// dial connects without touching any stream.
func dial(c Config) (*Log, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{config: c, fences: map[string]*fence{}}
	if c.Server != nil {
		l.conn, err = c.Server.connect(c.Name)
	} else {
		l.conn, err = connectURL(c)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the log: %w", err)
	}
	if l.js, err = jetstream.New(l.conn, jetstream.WithDefaultTimeout(requestTimeout)); err != nil {
		l.conn.Close()
		return nil, fmt.Errorf("connect to the log: %w", err)
	}
	return l, nil
}

func (l *Log) begin(ctx context.Context) error {
	ready := l.createStreams
	if l.config.Attach {
		ready = l.awaitStreams
	}
	if err := ready(ctx); err != nil {
		return err
	}
	if err := l.readMeta(ctx); err != nil {
		return err
	}
	if !l.config.Attach {
		n, err := l.fillLost(ctx)
		if err != nil {
			return err
		}
		l.count.lost.Add(n)
	}
	return l.usage.refresh(ctx, l)
}

// Close ends the log's own work and its connection. Readers end with an error.
func (l *Log) Close() error {
	l.cancel()
	l.mu.Lock()
	t := l.tail
	l.mu.Unlock()
	if t != nil {
		t.close()
	}
	l.done.Wait()
	if !l.config.Attach && l.conn.IsConnected() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		l.keepMark(ctx, l.Last())
		cancel()
	}
	l.conn.Close()
	return nil
}

// Generation is the log's: 1 at first, and one more with each restore of a backup.
func (l *Log) Generation() uint64 { return l.generation }

// Last returns the highest sequence of LOG that is known here, at most a second old.
func (l *Log) Last() uint64 { return l.acked.Load() }

// saw raises the highest known sequence.
func (l *Log) saw(seq uint64) {
	for {
		old := l.acked.Load()
		if seq <= old || l.acked.CompareAndSwap(old, seq) {
			return
		}
	}
}

func connectURL(c Config) (*nats.Conn, error) {
	k := c.Credentials
	o := []nats.Option{
		nats.Name(c.Name), nats.MaxReconnects(-1), nats.ReconnectWait(200 * time.Millisecond), nats.ReconnectJitter(200*time.Millisecond, 500*time.Millisecond),
		nats.ReconnectBufSize(-1), nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(3), nats.Timeout(requestTimeout),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.Logger.Warn("bus connection", "err", err) }),
	}
	switch {
	case k.CredsFile != "":
		o = append(o, nats.UserCredentials(k.CredsFile))
	case k.NKeySeedFile != "":
		n, err := nats.NkeyOptionFromSeed(k.NKeySeedFile)
		if err != nil {
			return nil, fmt.Errorf("seed file of the log's credentials: %w", err)
		}
		o = append(o, n)
	case k.Token != "":
		o = append(o, nats.Token(k.Token))
	case k.User != "":
		o = append(o, nats.UserInfo(k.User, k.Password))
	}
	if k.CAFile != "" {
		o = append(o, nats.RootCAs(k.CAFile))
	}
	if k.CertFile != "" {
		o = append(o, nats.ClientCert(k.CertFile, k.KeyFile))
	}
	return nats.Connect(c.URL, o...)
}

// meta is what META keeps under its one subject.
type meta struct {
	Version    int    `json:"v"`
	Generation uint64 `json:"generation"`
	// Accepted is the first sequence of LOG at the time when a person accepted that history before it is missing.
	Accepted uint64 `json:"accepted,omitempty"`
	// Starts is, after a restore, where in LOG the streams go on that take from it.
	Starts map[string]uint64 `json:"starts,omitempty"`
	// Void is, after a restore, a range of LOG (first, first behind) that was never committed: no gap, although nothing is there.
	Void [2]uint64 `json:"void,omitzero"`
	// Busy is until when a backup wants nothing to be purged.
	Busy bus.Time `json:"busy,omitempty"`
}

// readMeta reads META, and writes its first entry where there is none.
func (l *Log) readMeta(ctx context.Context) error {
	m, seq, err := l.loadMeta(ctx)
	if err == nil && seq == 0 && !l.config.Attach {
		m = meta{Version: 1, Generation: 1}
		err = l.storeMeta(ctx, m, 0)
	}
	if err != nil {
		return err
	}
	if m.Version > 1 {
		return fmt.Errorf("log: META has version %d; this program knows 1", m.Version)
	}
	l.generation, l.void = m.Generation, m.Void
	l.accepted.Store(m.Accepted)
	return nil
}

func (l *Log) loadMeta(ctx context.Context) (meta, uint64, error) {
	var m meta
	raw, err := l.lastMsg(ctx, streamMeta, subjectMeta)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return m, 0, nil
	}
	if err != nil {
		return m, 0, fmt.Errorf("read META: %w", err)
	}
	if err := json.Unmarshal(raw.Data, &m); err != nil || !checked(raw.Subject, raw.Header, raw.Data) {
		return m, 0, errors.New("log: META is damaged: its checksum does not fit")
	}
	return m, raw.Sequence, nil
}

func (l *Log) storeMeta(ctx context.Context, m meta, expected uint64) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = l.js.PublishMsg(ctx, wire(bus.Message{Subject: subjectMeta, Data: b}), jetstream.WithExpectLastSequencePerSubject(expected))
	if err != nil && serverCode(err) != codeWrongSequence { // another process wrote it first: its entry stands
		return fmt.Errorf("write META: %w", err)
	}
	return nil
}
