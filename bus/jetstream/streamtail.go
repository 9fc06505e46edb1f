package jetstream

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

// A streamTail reads one of the streams, where gaps are no matter, from a sequence or a moment, and makes its consumer anew when that is lost.
type streamTail struct {
	l      *Log
	stream string
	filter string
	next   uint64
	at     *time.Time
	p      *puller
}

// end returns the sequence of the last message that there is now, 0 where none is left to read.
func (e *streamTail) end(ctx context.Context) (uint64, error) {
	raw, err := e.l.lastMsg(ctx, e.stream, e.filter)
	switch {
	case err != nil:
		return 0, nilIfMissing(err)
	case raw.Sequence < e.next, e.at != nil && raw.Time.Before(*e.at):
		return 0, nil
	}
	return raw.Sequence, nil
}

func (e *streamTail) take(ctx context.Context) (pulled, error) {
	for tries := 0; ; {
		if e.p == nil {
			p, err := e.l.pull(ctx, e.stream, e.filter, e.next, e.at)
			if err != nil {
				if ctx.Err() != nil || !transient(err) && tries > 3 {
					return pulled{}, err
				}
				tries++
				if err := wait(ctx, min(2*time.Second, 100*time.Millisecond<<min(tries, 5))); err != nil {
					return pulled{}, err
				}
				continue
			}
			e.p = p
		}
		got, err := e.p.next(ctx)
		if errors.Is(err, errRebuild) {
			e.drop()
			continue
		}
		if err != nil {
			return pulled{}, err
		}
		e.next, e.at = got.seq+1, nil
		return got, nil
	}
}

func (e *streamTail) drop() {
	if e.p != nil {
		e.p.close()
		e.p = nil
	}
}

// Kept says from which moments on EVENTS and LEDGER hold all that there ever was; 0 where nothing has been dropped.
type Kept struct{ Events, Ledger bus.Time }

// Kept returns how far back the past is kept.
func (l *Log) Kept(ctx context.Context) (k Kept, err error) {
	for stream, to := range map[string]*bus.Time{streamEvents: &k.Events, streamLedger: &k.Ledger} {
		info, err := l.info(ctx, stream)
		if err != nil {
			return k, err
		}
		*to = keptFrom(info.State)
	}
	return k, nil
}

func keptFrom(s jetstream.StreamState) bus.Time {
	switch {
	case s.FirstSeq <= 1:
		return 0
	case s.Msgs == 0:
		return bus.TimeOf(s.LastTime)
	}
	return bus.TimeOf(s.FirstTime)
}
