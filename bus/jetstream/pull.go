package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of one pull: bytes rather than messages, since a frame has up to 512 KiB; just over the largest message, because each
// partition that catches up has a pull of its own.
const (
	pullBytes   = maxPayload + 1<<20
	pullBatch   = 8192
	pullExpires = 20 * time.Second
	pullBeat    = time.Second
	// pullSilence is how long nothing at all (message, status, heartbeat) may come before the consumer is made anew.
	pullSilence = 5 * time.Second
)

// errRebuild says that a consumer must be made anew at the next sequence.
var errRebuild = errors.New("consumer is lost")

// A puller reads one stream in order from a sequence, by a short-lived consumer without acknowledgements. It keeps one pull on its
// way and knows by the consumer's own numbers whether something was lost between the server and here.
type puller struct {
	l        *Log
	stream   string
	filter   string
	consumer string
	sub      *nats.Subscription
	reply    string
	waiting  int    // messages that the pull on its way may still bring
	number   uint64 // of the consumer's last message
	seq      uint64 // of the last message in the stream
	progress time.Time
}

// pulled is one message as it came.
type pulled struct {
	msg *nats.Msg
	seq uint64
	at  time.Time
}

func (l *Log) pull(ctx context.Context, stream, filter string, from uint64, at *time.Time) (*puller, error) {
	c := jetstream.ConsumerConfig{
		Name: "r" + randomName(8), AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, FilterSubject: filter,
	}
	switch {
	case at != nil:
		c.DeliverPolicy, c.OptStartSeq, c.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, at
	case from == 0:
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	if _, err := l.js.CreateConsumer(ctx, stream, c); err != nil {
		return nil, fmt.Errorf("consumer of %s: %w", stream, err)
	}
	p := &puller{l: l, stream: stream, filter: filter, consumer: c.Name, reply: l.conn.NewInbox(), progress: time.Now()}
	var err error
	if p.sub, err = l.conn.SubscribeSync(p.reply); err != nil {
		return nil, fmt.Errorf("reader of %s: %w", stream, err)
	}
	// The pull bounds what can wait here; the client's own bounds would drop silently.
	if err := p.sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	l.count.rebuilt.Add(1)
	return p, nil
}

// request asks for the next messages.
func (p *puller) request() error {
	b, err := json.Marshal(map[string]any{"batch": pullBatch, "max_bytes": pullBytes, "expires": pullExpires, "idle_heartbeat": pullBeat})
	if err != nil {
		return err
	}
	p.waiting = pullBatch
	return p.l.conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+p.stream+"."+p.consumer, p.reply, b)
}

// next returns the next message. errRebuild says that the consumer is lost or something on the way was.
func (p *puller) next(ctx context.Context) (pulled, error) {
	for {
		if p.waiting == 0 {
			if err := p.request(); err != nil {
				return pulled{}, err
			}
		}
		m, err := p.receive(ctx)
		if err != nil {
			return pulled{}, err
		}
		if len(m.Data) == 0 && m.Header.Get("Status") != "" {
			if err := p.status(m); err != nil {
				return pulled{}, err
			}
			continue
		}
		md, err := m.Metadata()
		if err != nil {
			continue // not of this consumer
		}
		p.waiting--
		if md.Sequence.Consumer != p.number+1 {
			return pulled{}, errRebuild
		}
		p.number++
		p.seq, p.progress = md.Sequence.Stream, time.Now()
		return pulled{msg: m, seq: md.Sequence.Stream, at: md.Timestamp}, nil
	}
}

func (p *puller) receive(ctx context.Context) (*nats.Msg, error) {
	wait, cancel := context.WithTimeout(ctx, pullSilence)
	defer cancel()
	m, err := p.sub.NextMsgWithContext(wait)
	if err == nil {
		return m, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil, fmt.Errorf("read %s: %w", p.stream, err)
	}
	return nil, errRebuild
}

// status takes a message that carries no data: a heartbeat, or the end of the pull on its way.
func (p *puller) status(m *nats.Msg) error {
	switch m.Header.Get("Status") {
	case "100": // heartbeat
		if p.stream == streamLog && p.l.Last() > p.seq && time.Since(p.progress) > pullSilence {
			return errRebuild // there is more, and it does not come
		}
		return nil
	case "404", "408":
		p.waiting = 0
		return nil
	case "409":
		switch m.Header.Get("Description") {
		case "Batch Completed", "Message Size Exceeds MaxBytes":
			p.waiting = 0
			return nil
		}
	}
	return errRebuild // deleted, no responders, leadership change
}

// idle reports whether nothing that came waits to be taken.
func (p *puller) idle() bool {
	n, _, err := p.sub.Pending()
	return err != nil || n == 0
}

func (p *puller) close() {
	p.sub.Unsubscribe() //nolint:errcheck // the connection is going anyway
	if p.l.conn.IsConnected() {
		// The server drops the consumer by itself after a minute.
		p.l.conn.PublishRequest("$JS.API.CONSUMER.DELETE."+p.stream+"."+p.consumer, p.l.conn.NewInbox(), nil) //nolint:errcheck
	}
}
