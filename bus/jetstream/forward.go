package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A Link reaches the hub's gate.
type Link interface {
	// Last asks how far the hub has what came in a lane.
	Last(ctx context.Context, lane string) (AgentAnswer, error)
	// Put hands in records, the last message of the lane in the hub's log being at the sequence expect. After an error it is not known what was taken.
	Put(ctx context.Context, lane, life string, expect uint64, ps []Parcel) (AgentAnswer, error)
}

const (
	forwardIdle     = 5 * time.Second // after which the hub is asked what it knows, where nothing is to be handed in
	forwardPauseMin = 50 * time.Millisecond
	forwardPauseMax = 15 * time.Second
)

// Forward hands in what is put until ctx ends. While the hub is away it asks again, with growing pauses.
func (o *Outbox) Forward(ctx context.Context, link Link) error {
	pause := forwardPauseMin
	for {
		err := o.forward(ctx, link, &pause)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			o.mu.Lock()
			o.stats.Failed++
			o.mu.Unlock()
			o.config.Logger.Debug("the hub does not take records now", "lane", o.config.Lane, "err", err, "pause", pause)
		}
		if wait(ctx, jittered(pause)) != nil {
			return ctx.Err()
		}
		pause = min(2*pause, forwardPauseMax)
	}
}

// forward finds out how far the hub is, and goes on from there until something is unclear.
func (o *Outbox) forward(ctx context.Context, link Link, pause *time.Duration) error {
	expect, err := o.meet(ctx, link)
	if err != nil {
		return err
	}
	for {
		ps, err := o.next(ctx)
		if err != nil {
			return err
		}
		if len(ps) == 0 { // nothing to do: a sign of life
			*pause = forwardPauseMin
			if expect, err = o.meet(ctx, link); err != nil {
				return err
			}
			continue
		}
		a, err := link.Put(ctx, o.config.Lane, o.life, expect, ps)
		if err != nil {
			return err
		}
		o.mu.Lock()
		o.stats.Batches++
		o.mu.Unlock()
		if err := o.took(ctx, &a, ps); err != nil {
			return err
		}
		expect, *pause = a.Seq, forwardPauseMin
	}
}

// meet asks the hub what it has. Its log knows best; where it keeps the last record no more, or another outbox has written since, our own progress decides.
func (o *Outbox) meet(ctx context.Context, link Link) (expect uint64, err error) {
	a, err := link.Last(ctx, o.config.Lane)
	if err != nil {
		return 0, err
	}
	o.mu.Lock()
	o.stats.Asked++
	life, sent, last := o.life, o.sent, o.last
	o.mu.Unlock()
	switch {
	case a.Code != "":
		return 0, fmt.Errorf("the hub answers %s: %s", a.Code, a.Message)
	case a.Life == life && a.N > last:
		if err := o.renew(ctx, "the hub has records that the disk has not"); err != nil {
			return 0, err
		}
		o.count(1, LostDamaged)
	case a.Life == life && a.N > sent:
		if err := o.settle(ctx, a.N, a.N-sent); err != nil {
			return 0, err
		}
	}
	o.heard(a)
	return a.Seq, nil
}

func (o *Outbox) heard(a AgentAnswer) {
	if o.config.Heard == nil {
		return
	}
	o.mu.Lock()
	all := o.last <= max(o.sent, o.lost)
	o.mu.Unlock()
	o.config.Heard(a, all)
}

// took takes over what the hub says of a batch. An error says that it must be asked before more is sent.
func (o *Outbox) took(ctx context.Context, a *AgentAnswer, ps []Parcel) error {
	n := uint64(0)
	for _, p := range ps {
		if p.N <= a.N {
			n++
		}
	}
	if a.Life == o.life && n > 0 {
		if err := o.settle(ctx, a.N, n); err != nil {
			return err
		}
	}
	switch a.Code {
	case "":
		o.heard(*a)
		return nil
	case AgentInvalid:
		if int(n) == len(ps) || a.Life != o.life {
			return fmt.Errorf("the hub refuses: %s", a.Message)
		}
		bad := ps[n].N
		o.config.Logger.Error("the hub refuses a record for good", "lane", o.config.Lane, "record", bad, "why", a.Message)
		o.missing(bad, LostRefused)
		return o.settle(ctx, bad, 0)
	case AgentMoved:
		o.mu.Lock()
		o.stats.Moved++
		o.mu.Unlock()
	}
	return fmt.Errorf("the hub answers %s", a.Code)
}

// settle remembers that the hub has all up to a number, and drops it here.
func (o *Outbox) settle(ctx context.Context, upTo, records uint64) error {
	o.mu.Lock()
	p := progress{Version: 1, Life: o.life, Sent: max(o.sent, upTo)}
	o.mu.Unlock()
	if err := o.keepProgress(ctx, p); err != nil {
		return fmt.Errorf("keep the outbox's progress: %w", err)
	}
	o.mu.Lock()
	o.sent = p.Sent
	o.stats.Sent += records
	o.mu.Unlock()
	s, err := o.js.Stream(ctx, o.stream())
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSequence(p.Sent+1))
	}
	if err != nil {
		return fmt.Errorf("drop what the hub has: %w", err)
	}
	if info, err := s.Info(ctx); err == nil {
		o.held(info.State)
	}
	return nil
}

// next returns the next records, in order; none when there were none for a while.
func (o *Outbox) next(ctx context.Context) ([]Parcel, error) {
	t := time.NewTimer(forwardIdle)
	defer t.Stop()
	for {
		o.mu.Lock()
		at, last := o.sent+1, o.last
		o.mu.Unlock()
		if at <= last {
			return o.read(ctx, at, last)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.C:
			return nil, nil
		case <-o.wake:
		}
	}
}

// read takes records off the disk, up to the bounds of a batch. What is missing between them is accounted for.
func (o *Outbox) read(ctx context.Context, at, last uint64) (ps []Parcel, err error) {
	size := 0
	for at <= last && len(ps) < batchRecords {
		raw, err := getMsg(ctx, o.conn, o.stream(), map[string]any{"seq": at, "next_by_subj": o.subject()})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return o.gone(ctx, ps, last)
		}
		if err != nil {
			return nil, err
		}
		whole := checked(raw.Subject, raw.Header, raw.Data)
		if (raw.Sequence > at || !whole) && len(ps) > 0 {
			break // what is before it goes first: it would be counted as lost with it
		}
		if raw.Sequence > at {
			info, err := o.info(ctx)
			if err != nil {
				return nil, err
			}
			o.held(info.State)
			o.missing(raw.Sequence-1, LostDamaged) // what overflow does not explain
		}
		at = raw.Sequence + 1
		if !whole {
			o.missing(raw.Sequence, LostDamaged)
			continue
		}
		if size += len(raw.Data); size > batchBytes && len(ps) > 0 {
			break
		}
		ps = append(ps, Parcel{raw.Sequence, raw.Data})
	}
	if len(ps) == 0 {
		return o.gone(ctx, ps, last)
	}
	return ps, nil
}

// gone ends a read behind which nothing is left, although there was something.
func (o *Outbox) gone(ctx context.Context, ps []Parcel, last uint64) ([]Parcel, error) {
	if len(ps) > 0 {
		return ps, nil
	}
	o.missing(last, LostDamaged)
	return nil, o.settle(ctx, last, 0)
}
