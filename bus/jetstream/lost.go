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

// The end of LOG can be lost: the server cuts a stream at the first damaged record when its index is gone too, and would then give
// the lost sequences to new messages. EVENTS would not take those, and nobody would see that anything is missing. So META keeps a
// mark, the last sequence of LOG, at most a second old; and if LOG ends before it, or before what HEADS, EVENTS, LEDGER or DETAIL have
// seen of it, Open fills the place with messages that say that they stand for a lost one. Readers deliver them as gaps.
const (
	subjectLost = "log.lost"
	subjectMark = "meta.mark"
	// lostMax bounds what is filled: more than LOG takes in a second by far.
	lostMax = 1 << 20
)

type mark struct {
	Version int    `json:"v"`
	Seq     uint64 `json:"seq"`
}

// keepMark writes how far LOG has come.
func (l *Log) keepMark(ctx context.Context, seq uint64) {
	if _, err := l.js.PublishMsg(ctx, wire(bus.Message{Subject: subjectMark, Data: encode(mark{Version: 1, Seq: seq})})); err != nil && ctx.Err() == nil {
		l.config.Logger.Warn("the mark of LOG's end was not written", "err", err)
	}
}

// fillLost appends a message for each sequence that LOG has lost at its end, and returns their number. It looks again when LOG has
// moved meanwhile: by another process, or because a leader was still coming up.
func (l *Log) fillLost(ctx context.Context) (uint64, error) {
	for tries := 0; ; tries++ {
		n, err := l.fillOnce(ctx)
		if tries == 5 || serverCode(err) != codeWrongSequence && serverCode(err) != codeWrongInBatch || wait(ctx, 200*time.Millisecond) != nil {
			return n, err
		}
	}
}

func (l *Log) fillOnce(ctx context.Context) (uint64, error) {
	info, err := l.info(ctx, streamLog)
	if err != nil {
		return 0, err
	}
	known, err := l.knownEnd(ctx)
	if err != nil {
		return 0, fmt.Errorf("find the end of LOG: %w", err)
	}
	last := info.State.LastSeq
	if known <= last {
		return 0, nil
	}
	lost := known - last
	if lost > lostMax {
		return 0, fmt.Errorf("LOG ends at %d, and %d was there: so much is missing that its data folder must be another one, or restored from a backup", last, known)
	}
	l.config.Logger.Error("the end of LOG is lost; it is told to all stages as a gap", "from", last+1, "to", known)
	for last < known {
		n := min(known-last, bus.MaxCommit)
		batch := make([]*nats.Msg, n)
		for i := range batch {
			batch[i] = wire(bus.Message{Subject: subjectLost})
		}
		batch[0].Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(last, 10))
		if last, err = l.publishBatch(ctx, batch); err != nil {
			return 0, fmt.Errorf("fill the lost end of LOG: %w", err)
		}
	}
	return lost, nil
}

// knownEnd is the highest sequence of LOG that any other stream knows.
func (l *Log) knownEnd(ctx context.Context) (uint64, error) {
	known := uint64(0)
	raw, err := l.lastMsg(ctx, streamMeta, subjectMark)
	if err == nil && checked(raw.Subject, raw.Header, raw.Data) {
		var m mark
		if json.Unmarshal(raw.Data, &m) == nil {
			known = m.Seq
		}
	} else if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, err
	}
	for _, s := range []string{streamEvents, streamLedger, streamDetail} {
		n, err := l.sourced(ctx, s)
		if err != nil {
			return 0, err
		}
		known = max(known, n)
	}
	raw, err = l.lastMsg(ctx, streamHeads, subjectHeads+">")
	if err == nil && checked(raw.Subject, raw.Header, raw.Data) {
		var h head
		if json.Unmarshal(raw.Data, &h) == nil {
			known = max(known, h.Seq)
		}
	}
	return known, nilIfMissing(err)
}
