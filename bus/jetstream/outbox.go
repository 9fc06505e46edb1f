package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

// An OutboxConfig says what an [Outbox] keeps.
type OutboxConfig struct {
	Server *Server // on the agent's own disk
	Lane   string  // lower-case letters; what is handed in, see [GateConfig]
	Bytes  int64   // bound; default 256 MiB
	// Lossless refuses what has no room (ErrFull). Without it the oldest records make room, and Lost hears of it.
	Lossless bool
	// Lost is told that records will never arrive, whatever the reason; may be nil.
	Lost func(n uint64, why string)
	// Heard is told of each answer of the hub, with whether it has all that was put so far; may be nil.
	Heard  func(a AgentAnswer, all bool)
	Logger *slog.Logger
}

// Reasons of lost records.
const (
	LostOverflow = "Overflow" // the outbox was full
	LostDamaged  = "Damaged"  // the disk has lost them
	LostRefused  = "Refused"  // the hub will not have them
)

const defaultOutboxBytes = 256 << 20

// OutboxStats say what an outbox holds, and count what it did since the process started.
type OutboxStats struct {
	Put, Sent, Batches, Asked, Moved, Failed, LostOverflow, LostDamaged, LostRefused uint64

	Waiting  int // records that the hub has not taken
	Bytes    int
	BytesMax int
}

// An Outbox keeps records on the agent's disk until the hub has them, and hands them in in order: each once, across lost answers and restarts of both sides, as
// long as the hub's log keeps the last of them or the outbox its own progress.
//
// Records are numbered from 1 within a life of the outbox; numbers and life stand on the record in LOG (Ek-Outbox-N, Ek-Outbox), so that a jump of the numbers there
// marks what was lost.
type Outbox struct {
	config OutboxConfig
	conn   *nats.Conn
	js     jetstream.JetStream
	wake   chan struct{} // holds one when something was put

	whole sync.RWMutex // held while a life ends and another begins
	mu    sync.Mutex
	life  string
	sent  uint64 // the hub has all up to here, or never will
	last  uint64 // number of the newest record
	lost  uint64 // all up to here is accounted for as lost
	bytes int
	stats OutboxStats
}

// progress is what an outbox remembers of the hub.
type progress struct {
	Version int    `json:"v"`
	Life    string `json:"life"`
	Sent    uint64 `json:"sent"`
}

func (o *Outbox) stream() string   { return "OUTBOX_" + strings.ToUpper(o.config.Lane) }
func (o *Outbox) subject() string  { return "outbox." + o.config.Lane }
func (o *Outbox) progress() string { return "progress." + o.config.Lane }

const streamProgress = "PROGRESS"

// lifeKey is under what name a stream's metadata hold the outbox's life.
const lifeKey = "ek-life"

// OpenOutbox opens an outbox, which is made if it is not there.
func OpenOutbox(ctx context.Context, c OutboxConfig) (*Outbox, error) {
	if c.Server == nil || c.Lane == "" || bus.Token(c.Lane) != c.Lane {
		return nil, errors.New("outbox: a server and a lane must be there")
	}
	if c.Bytes == 0 {
		c.Bytes = defaultOutboxBytes
	}
	if c.Bytes < 64<<10 {
		return nil, fmt.Errorf("outbox: %d bytes; it must be at least 64 KiB", c.Bytes)
	}
	c.Logger = logger(c.Logger)
	o := &Outbox{config: c, wake: make(chan struct{}, 1)}
	var err error
	if o.conn, err = c.Server.connect("outbox " + c.Lane); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	if o.js, err = jetstream.New(o.conn, jetstream.WithDefaultTimeout(requestTimeout)); err == nil {
		err = o.open(ctx)
	}
	if err != nil {
		o.conn.Close()
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return o, nil
}

// Close ends the outbox; what waits stays on disk.
func (o *Outbox) Close() error {
	o.conn.Close()
	return nil
}

func (o *Outbox) open(ctx context.Context) error {
	_, err := o.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamProgress, Subjects: []string{"progress.>"}, MaxMsgsPerSubject: 4, MaxBytes: 1 << 20, Storage: jetstream.FileStorage, Duplicates: time.Second,
	})
	if err != nil {
		return err
	}
	info, err := o.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return o.begin(ctx)
	}
	if err != nil {
		return err
	}
	p, err := o.readProgress(ctx)
	if err != nil {
		return err
	}
	life := info.Config.Metadata[lifeKey]
	if p.Life == life && p.Sent > info.State.LastSeq || life == "" {
		err := o.renew(ctx, "the disk has fewer records than the hub was given")
		o.count(1, LostDamaged)
		return err
	}
	if _, err := o.js.UpdateStream(ctx, o.layout(life)); err != nil {
		return err
	}
	o.life, o.last, o.bytes = life, info.State.LastSeq, int(info.State.Bytes)
	if p.Life == life {
		o.sent = p.Sent
	}
	o.lost = o.sent
	return nil
}

func (o *Outbox) layout(life string) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: o.stream(), Subjects: []string{o.subject()}, MaxBytes: o.config.Bytes, MaxMsgSize: recordMax + 4096, Storage: jetstream.FileStorage, Duplicates: time.Second,
		Metadata: map[string]string{lifeKey: life},
	}
	if o.config.Lossless {
		c.Discard = jetstream.DiscardNew
	}
	return c
}

// begin makes the stream, with a new life.
func (o *Outbox) begin(ctx context.Context) error {
	life := randomName(8)
	if _, err := o.js.CreateStream(ctx, o.layout(life)); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.life, o.sent, o.last, o.lost, o.bytes = life, 0, 0, 0, 0
	return nil
}

// renew throws away an outbox that has lost its order, and begins a new one: numbers that the hub knows must not be given twice.
func (o *Outbox) renew(ctx context.Context, why string) error {
	o.whole.Lock()
	defer o.whole.Unlock()
	o.config.Logger.Error("the outbox begins anew; what was in it is lost", "lane", o.config.Lane, "why", why)
	if err := o.js.DeleteStream(ctx, o.stream()); err != nil {
		return err
	}
	return o.begin(ctx)
}

func (o *Outbox) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := o.js.Stream(ctx, o.stream())
	if err != nil {
		return nil, err
	}
	return s.Info(ctx)
}

// readProgress returns the newest progress that is whole.
func (o *Outbox) readProgress(ctx context.Context) (p progress, err error) {
	raw, err := getMsg(ctx, o.conn, streamProgress, map[string]any{"last_by_subj": o.progress()})
	if err != nil {
		return p, nilIfMissing(err)
	}
	if !checked(raw.Subject, raw.Header, raw.Data) || json.Unmarshal(raw.Data, &p) != nil || p.Version != 1 {
		return progress{}, nil // the hub knows it too
	}
	return p, nil
}

func (o *Outbox) keepProgress(ctx context.Context, p progress) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = o.js.PublishMsg(ctx, wire(bus.Message{Subject: o.progress(), Data: b}))
	return err
}

// Put keeps a record and returns its number once it is on disk. A lossless outbox without room answers [bus.ErrFull].
func (o *Outbox) Put(ctx context.Context, data []byte) (uint64, error) {
	if len(data) > recordMax {
		return 0, fmt.Errorf("outbox: %w: the record has %d bytes, the bound is %d", bus.ErrTooLarge, len(data), recordMax)
	}
	o.whole.RLock()
	defer o.whole.RUnlock()
	ack, err := o.js.PublishMsg(ctx, wire(bus.Message{Subject: o.subject(), Data: data}), jetstream.WithRetryAttempts(0))
	if err != nil {
		if code := serverCode(err); code == codeStoreFailed || code == codeNoStorage || code == codeNoResources {
			return 0, fmt.Errorf("outbox: %w: %w", bus.ErrFull, err)
		}
		return 0, fmt.Errorf("outbox: %w", err)
	}
	info, err := o.info(ctx)
	o.mu.Lock()
	o.last = max(o.last, ack.Sequence)
	o.stats.Put++
	o.mu.Unlock()
	if err == nil {
		o.held(info.State)
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return ack.Sequence, nil
}

// held takes over what the stream holds, and notices what made room.
func (o *Outbox) held(s jetstream.StreamState) {
	o.mu.Lock()
	o.bytes = int(s.Bytes)
	o.mu.Unlock()
	if s.FirstSeq > 1 {
		o.missing(s.FirstSeq-1, LostOverflow)
	}
}

// missing accounts for records up to a number that are neither with the hub nor here any more.
func (o *Outbox) missing(upTo uint64, why string) {
	o.mu.Lock()
	from := max(o.sent, o.lost)
	if upTo <= from {
		o.mu.Unlock()
		return
	}
	o.lost = upTo
	o.mu.Unlock()
	o.count(upTo-from, why)
}

func (o *Outbox) count(n uint64, why string) {
	o.mu.Lock()
	switch why {
	case LostOverflow:
		o.stats.LostOverflow += n
	case LostRefused:
		o.stats.LostRefused += n
	default:
		o.stats.LostDamaged += n
	}
	o.mu.Unlock()
	o.config.Logger.Warn("records of the outbox are lost", "lane", o.config.Lane, "records", n, "why", why)
	if o.config.Lost != nil {
		o.config.Lost(n, why)
	}
}

// Stats returns what the outbox holds and counts.
func (o *Outbox) Stats() OutboxStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.stats
	s.Waiting, s.Bytes, s.BytesMax = int(o.last-min(o.last, max(o.sent, o.lost))), o.bytes, int(o.config.Bytes)
	return s
}

// jittered is a pause of half to all of a time, so that agents that were cut off together do not come back together.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
