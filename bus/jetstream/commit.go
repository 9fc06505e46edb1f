package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

// A fence is what this process knows of a partition's newest checkpoint.
type fence struct {
	seq   uint64         // of the checkpoint in LOG; 0 where there is none
	cp    bus.Checkpoint // Number 0 where there is none
	kept  bus.Time       // the Now of the checkpoint that HEADS has
	inUse bool           // HEADS has one at all
}

// headsEvery is the greatest age of what HEADS keeps, in the time of the records.
const headsEvery = 10 * bus.Second

// How often Head looks before it believes that a checkpoint is damaged.
const (
	headLooks = 3
	headPause = 200 * time.Millisecond
)

// commitTimeout bounds one write; the server drops a batch that stands still for 10 s.
const commitTimeout = 10 * time.Second

// head is an entry of HEADS: a checkpoint and its sequence in LOG.
type head struct {
	Version    int            `json:"v"`
	Seq        uint64         `json:"seq"`
	Checkpoint bus.Checkpoint `json:"checkpoint"`
}

func partitionKey(stage string, partition int) string { return stage + "." + strconv.Itoa(partition) }

// Commit implements [bus.Log].
func (l *Log) Commit(ctx context.Context, c bus.Commit) error {
	if len(c.Messages) > bus.MaxCommit {
		return fmt.Errorf("commit: %d messages are over %d", len(c.Messages), bus.MaxCommit)
	}
	cp := &c.Checkpoint
	f, err := l.fence(ctx, cp)
	if err != nil {
		return err
	}
	seq, err := l.write(ctx, c, f.seq)
	if err != nil {
		code := serverCode(err)
		if code != 0 {
			l.forget(cp.Stage, cp.Partition)
		}
		if code == codeWrongSequence || code == codeWrongInBatch {
			l.count.fenced.Add(1)
			return fmt.Errorf("commit %s/%d: %w", cp.Stage, cp.Partition, bus.ErrFenced)
		}
		return fmt.Errorf("commit %s/%d: %w", cp.Stage, cp.Partition, l.explain(err))
	}
	l.count.commits.Add(1)
	next := fence{seq: seq, cp: *cp, kept: f.kept, inUse: f.inUse}
	if !f.inUse || cp.Now-f.kept >= headsEvery || cp.Snapshot != f.cp.Snapshot {
		if err := l.keepHead(ctx, seq, cp); err == nil {
			next.kept, next.inUse = cp.Now, true
		} else {
			l.config.Logger.Warn("HEADS was not written; the next commit tries again", "stage", cp.Stage, "partition", cp.Partition, "err", err)
		}
	}
	l.mu.Lock()
	l.fences[partitionKey(cp.Stage, cp.Partition)] = &next
	l.mu.Unlock()
	return nil
}

// fence returns what the commit must build upon, or ErrFenced when another has committed since.
func (l *Log) fence(ctx context.Context, cp *bus.Checkpoint) (fence, error) {
	key := partitionKey(cp.Stage, cp.Partition)
	l.mu.Lock()
	f := l.fences[key]
	l.mu.Unlock()
	if f == nil || f.cp.Number != cp.Number-1 || f.cp.Sum() != cp.Previous {
		if _, err := l.Head(ctx, cp.Stage, cp.Partition); err != nil {
			return fence{}, err
		}
		l.mu.Lock()
		f = l.fences[key]
		l.mu.Unlock()
	}
	if f == nil || f.cp.Number != cp.Number-1 || f.cp.Sum() != cp.Previous {
		l.count.fenced.Add(1)
		return fence{}, fmt.Errorf("commit %s/%d: %w", cp.Stage, cp.Partition, bus.ErrFenced)
	}
	return *f, nil
}

func (l *Log) forget(stage string, partition int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.fences, partitionKey(stage, partition))
}

// write makes the commit durable and returns the sequence of its checkpoint. With drafts it is one atomic batch: the checkpoint,
// the drafts, and a second copy of the checkpoint, by which Head sees that the first has rotted.
func (l *Log) write(ctx context.Context, c bus.Commit, expected uint64) (uint64, error) {
	// A commit that has begun is brought to its end: a batch that is cut off leaves its half with the server until that drops it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	key := partitionKey(c.Checkpoint.Stage, c.Checkpoint.Partition)
	b, err := json.Marshal(c.Checkpoint)
	if err != nil {
		return 0, err
	}
	first := wire(bus.Message{Subject: bus.SubjectCommit + key, Data: b})
	first.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(expected, 10))
	if len(c.Messages) == 0 {
		ack, err := l.js.PublishMsg(ctx, first, jetstream.WithRetryAttempts(0))
		if err != nil {
			return 0, err
		}
		l.saw(ack.Sequence)
		return ack.Sequence, nil
	}
	batch := make([]*nats.Msg, 0, len(c.Messages)+2)
	batch = append(batch, first)
	for _, m := range c.Messages {
		if len(m.Data) > maxPayload-4096 {
			return 0, fmt.Errorf("draft %s: %w: it has %d bytes, the bound is %d", m.Subject, bus.ErrTooLarge, len(m.Data), maxPayload-4096)
		}
		batch = append(batch, wire(m))
	}
	batch = append(batch, wire(bus.Message{Subject: subjectCopy + key, Data: b}))
	last, err := l.publishBatch(ctx, batch)
	if err != nil {
		return 0, err
	}
	l.saw(last)
	return last - uint64(len(batch)) + 1, nil
}

// publishBatch publishes all messages atomically and returns the sequence of the last.
func (l *Log) publishBatch(ctx context.Context, batch []*nats.Msg) (uint64, error) {
	id := randomName(11)
	for i, m := range batch {
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i+1 < len(batch) {
			if err := l.conn.PublishMsg(m); err != nil {
				return 0, err
			}
		}
	}
	m := batch[len(batch)-1]
	m.Header.Set("Nats-Batch-Commit", "1")
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r, err := l.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Seq   uint64              `json:"seq"`
		Batch string              `json:"batch"`
		Count int                 `json:"count"`
	}
	if err := json.Unmarshal(r.Data, &ack); err != nil {
		return 0, fmt.Errorf("answer to a batch: %w", err)
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	if ack.Batch != id || ack.Count != len(batch) {
		return 0, fmt.Errorf("answer to a batch of %d names %d of another", len(batch), ack.Count)
	}
	return ack.Seq, nil
}

func (l *Log) keepHead(ctx context.Context, seq uint64, cp *bus.Checkpoint) error {
	b, err := json.Marshal(head{Version: 1, Seq: seq, Checkpoint: *cp})
	if err != nil {
		return err
	}
	_, err = l.js.PublishMsg(ctx, wire(bus.Message{Subject: subjectHeads + partitionKey(cp.Stage, cp.Partition), Data: b}))
	return err
}

// Head implements [bus.Log]. It reads from the leader, and compares the newest checkpoint in LOG with the copy that its batch
// carried and with HEADS.
func (l *Log) Head(ctx context.Context, stage string, partition int) (bus.Checkpoint, error) {
	var e evidence
	for look := 1; ; look++ {
		var err error
		if e, err = l.evidence(ctx, stage, partition); err != nil {
			return bus.Checkpoint{}, fmt.Errorf("head of %s/%d: %w", stage, partition, err)
		}
		reason, detail := e.judge()
		if reason == "" {
			break
		}
		// A leader that has just been elected may not have applied all that it has: look again before calling it damage.
		if look == headLooks || wait(ctx, headPause) != nil {
			l.forget(stage, partition)
			return bus.Checkpoint{}, &bus.DamageError{Stage: stage, Partition: partition, Reason: reason, Detail: detail}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := partitionKey(stage, partition)
	if old := l.fences[key]; old == nil || old.seq <= e.log.Seq {
		l.fences[key] = &fence{seq: e.log.Seq, cp: e.log.Checkpoint, kept: e.heads.Checkpoint.Now, inUse: e.heads.Checkpoint.Number > 0}
	}
	return e.log.Checkpoint, nil
}

// evidence is all that is kept about the newest checkpoint of a partition. A zero Number means that there is none.
type evidence struct {
	log, copy, heads head
	rotten           string // why the one in LOG cannot be decoded
}

func (l *Log) evidence(ctx context.Context, stage string, partition int) (evidence, error) {
	var e evidence
	key := partitionKey(stage, partition)
	// HEADS first: what it knows is in LOG by then.
	raw, err := l.lastMsg(ctx, streamHeads, subjectHeads+key)
	if err == nil && checked(raw.Subject, raw.Header, raw.Data) {
		if err := json.Unmarshal(raw.Data, &e.heads); err != nil {
			e.heads = head{}
		}
	} else if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return e, err
	}
	for _, c := range []struct {
		subject string
		to      *head
	}{{subjectCopy + key, &e.copy}, {bus.SubjectCommit + key, &e.log}} {
		raw, err := l.lastMsg(ctx, streamLog, c.subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return e, err
		}
		why := decodeCheckpoint(raw, c.to)
		if c.to == &e.log {
			e.rotten = why
		}
	}
	return e, nil
}

func decodeCheckpoint(raw *stored, to *head) (why string) {
	to.Seq = raw.Sequence
	if !checked(raw.Subject, raw.Header, raw.Data) {
		return fmt.Sprintf("the checkpoint at %d has another checksum", raw.Sequence)
	}
	if err := json.Unmarshal(raw.Data, &to.Checkpoint); err != nil {
		return fmt.Sprintf("the checkpoint at %d cannot be read: %v", raw.Sequence, err)
	}
	if v := to.Checkpoint.Version; v < 1 || v > bus.CheckpointVersion {
		to.Checkpoint = bus.Checkpoint{}
		return fmt.Sprintf("the checkpoint at %d has version %d; this program knows 1 to %d", raw.Sequence, v, bus.CheckpointVersion)
	}
	return ""
}

// judge returns why the checkpoint in LOG cannot be trusted, or "".
func (e *evidence) judge() (reason, detail string) {
	best := e.heads
	where := "HEADS"
	if e.copy.Checkpoint.Number > best.Checkpoint.Number {
		best, where = e.copy, "its copy"
	}
	n, known := e.log.Checkpoint.Number, best.Checkpoint.Number
	switch {
	case e.rotten != "":
		return bus.DamageCheckpointRotten, e.rotten
	case n == 0 && known == 0:
		return "", ""
	case n == 0:
		return bus.DamageCheckpointMissing, fmt.Sprintf("%s knows checkpoint %d; LOG has none", where, known)
	case n < known:
		return bus.DamageCheckpointOld, fmt.Sprintf("%s knows checkpoint %d; the newest in LOG is %d", where, known, n)
	case n == known && e.log.Checkpoint.Sum() != best.Checkpoint.Sum(), n == known+1 && e.log.Checkpoint.Previous != best.Checkpoint.Sum():
		return bus.DamageCheckpointRotten, fmt.Sprintf("checkpoint %d does not follow from what %s keeps", n, where)
	}
	return "", ""
}
