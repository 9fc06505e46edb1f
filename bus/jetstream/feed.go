package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

// A feed turns LOG, from a sequence on, into messages and gaps. It makes its consumer anew whenever that is lost, and never passes
// over a sequence in silence.
type feed struct {
	l     *Log
	p     *puller
	at    uint64         // next sequence to deliver; 0: the first that is kept
	queue []*bus.Message // found, not delivered yet
	tries int            // rebuilds since the last message
}

// gapLookMax bounds how many missing messages are asked for one by one before they count as missing.
const gapLookMax = 64

// next returns the next message or gap.
func (f *feed) next(ctx context.Context) (*bus.Message, error) {
	for len(f.queue) == 0 {
		if err := f.fill(ctx); err != nil {
			return nil, err
		}
	}
	m := f.queue[0]
	f.queue = f.queue[1:]
	return m, nil
}

// ready reports whether next will answer without waiting for the server.
func (f *feed) ready() bool { return len(f.queue) > 0 || f.p != nil && !f.p.idle() }

func (f *feed) fill(ctx context.Context) error {
	if f.p == nil {
		if err := f.connect(ctx); err != nil {
			return err
		}
	}
	got, err := f.p.next(ctx)
	if errors.Is(err, errRebuild) {
		f.drop()
		return nil
	}
	if err != nil {
		return fmt.Errorf("read LOG at %d: %w", f.at, err)
	}
	f.tries = 0
	return f.take(ctx, got)
}

// connect makes the consumer, with a growing pause after the first failure. While it is away the reader waits: being cut off from
// the server is no damage.
func (f *feed) connect(ctx context.Context) error {
	for {
		if f.tries > 0 {
			if err := wait(ctx, min(2*time.Second, 50*time.Millisecond<<min(f.tries, 6))); err != nil {
				return err
			}
		}
		f.tries++
		p, err := f.l.pull(ctx, streamLog, "", f.at, nil)
		if err == nil {
			f.p = p
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, nats.ErrConnectionClosed) {
			return fmt.Errorf("read LOG at %d: %w", f.at, err)
		}
		f.l.config.Logger.Warn("LOG cannot be read; trying again", "at", f.at, "err", err)
	}
}

func (f *feed) drop() {
	if f.p != nil {
		f.p.close()
		f.p = nil
	}
}

// take queues a delivered message, and before it what is missing.
func (f *feed) take(ctx context.Context, got pulled) error {
	if f.at != 0 && got.seq < f.at {
		return nil // a rebuilt consumer may begin early
	}
	t := bus.TimeOf(got.at)
	if f.at != 0 && got.seq > f.at {
		if err := f.missing(ctx, got.seq, t); err != nil {
			return err
		}
	}
	// The client hands out parts of its read buffer's own copy per message: the data may be kept.
	m, damaged := unwire(got.seq, t, got.msg.Subject, got.msg.Header, got.msg.Data)
	f.add(m, damaged)
	f.at = got.seq + 1
	return nil
}

func (f *feed) add(m *bus.Message, damaged bool) {
	if damaged {
		f.l.count.damaged.Add(1)
	}
	if m.Subject == bus.SubjectGap {
		f.l.count.gaps.Add(1)
		f.l.count.missing.Add(after(m) - m.Seq)
	}
	f.queue = append(f.queue, m)
}

// missing queues what stands between the next sequence and one that was delivered: messages that the stream's leader still has (a
// replica may have lost them alone), gaps for the rest.
func (f *feed) missing(ctx context.Context, until uint64, t bus.Time) error {
	info, err := f.l.info(ctx, streamLog)
	if err != nil {
		return f.again(err)
	}
	if f.at < info.State.FirstSeq && !f.l.acceptedGap(info.State.FirstSeq) {
		return historyMissing(f.at, info.State.FirstSeq)
	}
	at, first := f.at, info.State.FirstSeq
	for _, span := range without(at, until, f.l.void) {
		if err := f.look(ctx, span[0], span[1], first, t); err != nil {
			return f.again(err)
		}
	}
	return nil
}

// without returns a range of sequences less another.
func without(from, until uint64, void [2]uint64) [][2]uint64 {
	if void[1] <= from || void[0] >= until {
		return [][2]uint64{{from, until}}
	}
	var out [][2]uint64
	if from < void[0] {
		out = append(out, [2]uint64{from, void[0]})
	}
	if void[1] < until {
		out = append(out, [2]uint64{void[1], until})
	}
	return out
}

// look queues a range of which nothing was delivered.
func (f *feed) look(ctx context.Context, start, until, first uint64, t bus.Time) error {
	flush := func(end uint64) {
		if end > start {
			f.add(gap(start, end-start, t), false)
		}
	}
	from := start
	for s := max(from, first); s < until && s < from+gapLookMax; s++ {
		raw, err := f.l.msgAt(ctx, streamLog, s)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		flush(s)
		m, damaged := unwire(s, bus.TimeOf(raw.Time), raw.Subject, raw.Header, raw.Data)
		f.add(m, damaged)
		start = s + 1
	}
	flush(until)
	return nil
}

// again gives up the consumer, so that the place is read once more.
func (f *feed) again(err error) error {
	f.queue = nil
	f.drop()
	f.l.config.Logger.Warn("a gap in LOG cannot be looked at; trying again", "at", f.at, "err", err)
	return nil
}

func (l *Log) acceptedGap(first uint64) bool { return first <= l.accepted.Load() }

func historyMissing(at, first uint64) error {
	return &bus.DamageError{Reason: bus.DamageHistoryMissing, Detail: fmt.Sprintf("messages from %d on are needed, and LOG begins at %d", at, first)}
}

// isFrame reports whether a subject carries telemetry.
func isFrame(subject string) bool { return strings.HasPrefix(subject, bus.SubjectFrame) }
