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

// The streams.
const (
	streamLog    = "LOG"
	streamHeads  = "HEADS"
	streamSnap   = "SNAP"
	streamMeta   = "META"
	streamEvents = "EVENTS"
	streamLedger = "LEDGER"
	streamDetail = "DETAIL"
)

// streamNames are all of them, in the order in which a restarted node is asked for its copies.
var streamNames = [...]string{streamMeta, streamHeads, streamSnap, streamLog, streamEvents, streamLedger, streamDetail}

// Subjects of the streams beside LOG.
const (
	subjectHeads  = "heads." // heads.<stage>.<partition>
	subjectSnap   = "snap."  // snap.<stage>.<partition>.<number>.<random>.<chunk>
	subjectMeta   = "meta.log"
	subjectPublic = "evenkeel."
	// subjectCopy carries the second copy of a checkpoint, at the end of a batch with drafts: log.copy.<stage>.<partition>.
	subjectCopy = "log.copy."
)

// consumersMax bounds the readers of one stream: one per process, and one more for each partition that catches up.
const consumersMax = 1000

func (l *Log) streams() []jetstream.StreamConfig {
	s := l.config.Sizes
	base := func(name string, subjects ...string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Subjects: subjects, Replicas: l.config.Replicas, Storage: jetstream.FileStorage, MaxMsgSize: maxPayload,
			Duplicates: time.Second, // nothing here carries a message id; the window is as short as it may be
		}
	}
	from := func(name, source, dest string) jetstream.StreamConfig {
		c := base(name)
		c.Sources = []*jetstream.StreamSource{{Name: streamLog, OptStartSeq: l.starts[name], SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: source, Destination: dest}}}}
		c.Discard = jetstream.DiscardOld
		return c
	}
	log := base(streamLog, "log.>")
	log.Discard, log.MaxBytes, log.AllowAtomicPublish = jetstream.DiscardNew, l.logBytes(), true
	log.ConsumerLimits = jetstream.StreamConsumerLimits{InactiveThreshold: 5 * time.Minute}
	heads := base(streamHeads, subjectHeads+">")
	heads.MaxMsgsPerSubject, heads.MaxBytes = 8, 64<<20 // a rotten newest entry leaves an older one that still tells
	snap := base(streamSnap, subjectSnap+">")
	snap.Discard, snap.MaxBytes = jetstream.DiscardNew, s.SnapshotBytes
	meta := base(streamMeta, "meta.>")
	meta.MaxMsgsPerSubject, meta.MaxBytes = 8, 1<<20
	events := from(streamEvents, "log.event.>", "evenkeel.>")
	events.MaxAge, events.MaxBytes, events.AllowDirect = s.EventsAge, s.EventsBytes, true
	events.RePublish = &jetstream.RePublish{Source: "evenkeel.>", Destination: "evenkeel.>"}
	ledger := from(streamLedger, "log.ledger.>", "ledger.>")
	ledger.MaxAge, ledger.MaxBytes = s.LedgerAge, s.LedgerBytes
	detail := from(streamDetail, "log.detail.>", "detail.>")
	detail.MaxBytes = s.DetailBytes
	return []jetstream.StreamConfig{meta, heads, snap, log, events, ledger, detail}
}

// logBytes is the bound of LOG: what was asked for, and with an embedded server no more than the disk can hold beside its reserve.
func (l *Log) logBytes() int64 {
	want := l.config.Sizes.LogBytes
	if l.config.Server == nil {
		return want
	}
	free, reserve := l.config.Server.Disk()
	return max(minLogBytes, min(want, l.usage.bytes.Load()+free-reserve))
}

// createStreams creates or updates all streams. A cluster may still be electing: it asks again until ctx ends.
func (l *Log) createStreams(ctx context.Context) error {
	if info, err := l.info(ctx, streamLog); err == nil {
		l.usage.bytes.Store(int64(info.State.Bytes))
	}
	for i := range l.streams() {
		c := l.streams()[i] // META comes first; what it says is part of the others
		for {
			err := l.createStream(ctx, c)
			if err == nil {
				break
			}
			if !transient(err) || wait(ctx, 250*time.Millisecond) != nil {
				return fmt.Errorf("stream %s: %w", c.Name, err)
			}
		}
	}
	return nil
}

// createStream makes one try to create or update a stream and to hear from its leader. A question that falls into an election may
// never be answered: it gets its own time, not all that ctx has.
func (l *Log) createStream(ctx context.Context, c jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := l.js.CreateOrUpdateStream(ctx, c); err != nil {
		return err
	}
	if c.Name != streamMeta {
		_, err := l.info(ctx, c.Name)
		return err
	}
	m, _, err := l.loadMeta(ctx)
	l.starts = m.Starts
	return err
}

// awaitStreams waits until another process has created all streams and META's first entry.
func (l *Log) awaitStreams(ctx context.Context) error {
	for _, c := range l.streams() {
		for {
			_, err := l.info(ctx, c.Name)
			if err == nil && c.Name == streamMeta {
				_, err = l.lastMsg(ctx, streamMeta, subjectMeta)
			}
			if err == nil {
				break
			}
			if werr := wait(ctx, 250*time.Millisecond); werr != nil {
				return fmt.Errorf("wait for the streams that the process with role bus creates: %w", err)
			}
		}
	}
	return nil
}

// transient reports whether an error may pass when asked again: no leader yet, no answer, starting.
func transient(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.Code == 503 || api.Code == 500 && api.ErrorCode == 10008 || api.ErrorCode == 10005)
}

// wait waits, or returns the context's error.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (l *Log) info(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	var resp struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.StreamInfo
	}
	if err := l.ask(ctx, "STREAM.INFO."+name, nil, &resp); err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	if resp.Error != nil {
		return nil, fmt.Errorf("stream %s: %w", name, resp.Error)
	}
	return &resp.StreamInfo, nil
}

// ask sends one request to JetStream's interface and decodes its answer.
func (l *Log) ask(ctx context.Context, what string, req, resp any) error {
	return ask(ctx, l.conn, what, req, resp)
}

func ask(ctx context.Context, conn *nats.Conn, what string, req, resp any) error {
	var b []byte
	if req != nil {
		var err error
		if b, err = json.Marshal(req); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, "$JS.API."+what, b)
	if err != nil {
		return fmt.Errorf("ask %s: %w", what, err)
	}
	return json.Unmarshal(m.Data, resp)
}

// stored is one message as the stream's leader keeps it.
type stored struct {
	Sequence uint64
	Subject  string
	Time     time.Time
	Header   nats.Header
	Data     []byte
}

// lastMsg reads the newest message on a subject (wildcards allowed) from the leader; jetstream.ErrMsgNotFound where there is none.
func (l *Log) lastMsg(ctx context.Context, stream, subject string) (*stored, error) {
	return l.getMsg(ctx, stream, map[string]any{"last_by_subj": subject})
}

// msgAt reads the message at a sequence from the leader.
func (l *Log) msgAt(ctx context.Context, stream string, seq uint64) (*stored, error) {
	return l.getMsg(ctx, stream, map[string]any{"seq": seq})
}

func (l *Log) getMsg(ctx context.Context, stream string, req map[string]any) (*stored, error) {
	return getMsg(ctx, l.conn, stream, req)
}

func getMsg(ctx context.Context, conn *nats.Conn, stream string, req map[string]any) (*stored, error) {
	var resp struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := ask(ctx, conn, "STREAM.MSG.GET."+stream, req, &resp); err != nil {
		return nil, err
	}
	switch {
	case resp.Error != nil && resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound, resp.Error == nil && resp.Message == nil:
		return nil, jetstream.ErrMsgNotFound
	case resp.Error != nil:
		return nil, fmt.Errorf("read from %s: %w", stream, resp.Error)
	}
	m := &stored{Sequence: resp.Message.Seq, Subject: resp.Message.Subject, Time: resp.Message.Time, Data: resp.Message.Data}
	if len(resp.Message.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(resp.Message.Header)
		if err != nil {
			return nil, jetstream.ErrMsgNotFound // its bytes have changed: it is not there
		}
		m.Header = h
	}
	return m, nil
}

// nilIfMissing drops the error that says that there is no such message.
func nilIfMissing(err error) error {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}
