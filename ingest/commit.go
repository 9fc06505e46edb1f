package ingest

import (
	"context"
	"errors"
	"fmt"

	"evenkeel.dev/bus"
)

// arrivalState is where an arrival is on its way through the group commit.
type arrivalState uint8

const (
	stateQueued    arrivalState = iota
	stateTaken                  // the leader writes it
	stateLead                   // it is its turn to lead
	stateDone                   // its outcome and err are set
	stateAbandoned              // its sender has gone while it was being written; the leader releases it
)

// bookkeeping is about what a waiting arrival takes beside its samples.
const bookkeeping = 512

// commit passes the arrival through the group commit and ends it.
func (g *Gate) commit(ctx context.Context, a *Arrival) (Outcome, error) {
	a.outcome.Kept = len(a.samples)
	out := a.outcome // from here on the leader may write to that of a
	if a.sender.over {
		return g.refuseAll(a, ErrSenders)
	}
	if len(a.seen) > 0 { // whatever becomes of the arrival: a reading that comes again says nothing new
		g.config.Watcher.Take(a.now, a.seen)
	}
	if !g.worthWriting(a) {
		g.count(a)
		g.release(a)
		g.sweep(a.now)
		return out, nil
	}
	a.bytes = bookkeeping + len(a.samples)*sampleMemory
	g.mu.Lock()
	if g.waiting > 0 && g.waiting+a.bytes > g.limits.WaitingBytes {
		g.mu.Unlock()
		g.stats.busy.Add(1)
		return g.refuseAll(a, ErrBusy)
	}
	if !a.sender.mayPass(&g.limits, len(a.samples), a.now) {
		g.mu.Unlock()
		g.stats.overQuota.Add(1)
		return g.refuseAll(a, ErrQuota)
	}
	g.waiting += a.bytes
	a.state, a.err = stateQueued, nil
	g.queue = append(g.queue, a)
	if lead := !g.flushing; lead {
		g.flushing = true
		g.mu.Unlock()
		g.lead(ctx)
	} else {
		g.mu.Unlock()
	}
	return g.wait(ctx, a, out)
}

const sampleMemory = 32 // bytes of a sample

func (g *Gate) refuseAll(a *Arrival, err error) (Outcome, error) {
	out := a.outcome
	g.release(a)
	return out, err
}

// worthWriting reports whether the log must hear of the arrival: it has samples, tells of refused series, or moves the event time
// of a source by a second or more. Less than that the source's next arrival brings along.
func (g *Gate) worthWriting(a *Arrival) bool {
	if len(a.samples) > 0 || len(a.refusals) > 0 {
		return true
	}
	for _, s := range a.sources {
		if s.newest != noTime && int64(s.newest) >= saturatingAdd(s.src.logged.Load(), int64(bus.Second)) {
			return true
		}
	}
	return false
}

// saturatingAdd keeps noTime where it is.
func saturatingAdd(t, d int64) int64 {
	if t == int64(noTime) {
		return t
	}
	return t + d
}

// wait returns when the arrival is done, leading meanwhile if it is its turn, or when ctx ends.
func (g *Gate) wait(ctx context.Context, a *Arrival, out Outcome) (Outcome, error) {
	for {
		select {
		case <-a.wake:
		case <-ctx.Done():
			if err, left := g.leave(ctx, a); left {
				return out, err
			}
			<-a.wake // done or turned leader in the same moment
		}
		g.mu.Lock()
		state := a.state
		g.mu.Unlock()
		if state == stateDone {
			err := a.err
			out.Seq = a.outcome.Seq
			g.release(a)
			return out, err
		}
		g.lead(ctx)
	}
}

// leave takes an arrival out whose sender has gone. It returns false when it is done or is to lead.
func (g *Gate) leave(ctx context.Context, a *Arrival) (error, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch a.state {
	case stateQueued:
		for i, q := range g.queue {
			if q == a {
				g.queue = append(g.queue[:i], g.queue[i+1:]...)
				break
			}
		}
		g.waiting -= a.bytes
		g.release(a)
		return fmt.Errorf("ingest: nothing was taken: %w", context.Cause(ctx)), true
	case stateTaken:
		a.state = stateAbandoned
		return fmt.Errorf("ingest: whether it was stored is unknown: %w", context.Cause(ctx)), true
	}
	return nil, false
}

// lead writes what waits, once, and then hands over to the first that came meanwhile. The caller's own arrival is the first in
// the queue. ctx gives values only: its end does not end the write, since others wait for the same frame.
func (g *Gate) lead(ctx context.Context) {
	f := &g.flusher
	g.mu.Lock()
	f.batch = g.take(f.batch[:0])
	g.mu.Unlock()
	now := g.config.Now()
	f.run(context.WithoutCancel(ctx), g, now)
	g.sweep(now)
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(f.batch)
	if len(g.queue) == 0 {
		g.flushing = false
		return
	}
	g.queue[0].state = stateLead
	g.queue[0].wake <- struct{}{}
}

// take moves arrivals from the head of the queue into the batch, about two frames full; the lock is held.
func (g *Gate) take(batch []*Arrival) []*Arrival {
	size := 0
	n := 0
	for n < len(g.queue) && (n == 0 || size < 2*g.limits.FrameBytes) {
		a := g.queue[n]
		a.state = stateTaken
		size += a.size
		batch = append(batch, a)
		n++
	}
	rest := copy(g.queue, g.queue[n:])
	clear(g.queue[rest:])
	g.queue = g.queue[:rest]
	return batch
}

// finish ends arrivals: their outcome is known.
func (g *Gate) finish(as []*Arrival, err error) {
	for _, a := range as {
		if err == nil {
			g.count(a)
		}
		g.mu.Lock()
		g.waiting -= a.bytes
		abandoned := a.state == stateAbandoned
		if !abandoned {
			a.state, a.err = stateDone, err
			a.wake <- struct{}{}
		}
		g.mu.Unlock()
		if abandoned {
			g.release(a)
		}
	}
	if err != nil {
		g.stats.failed.Add(uint64(len(as)))
		if errors.Is(err, bus.ErrFull) {
			g.stats.full.Add(uint64(len(as)))
		}
	}
}

// keepSamples bounds the memory that a pooled arrival holds on to.
const keepSamples = 64 << 10

// release gives the arrival back to the pool.
func (g *Gate) release(a *Arrival) {
	if cap(a.samples) > keepSamples {
		a.samples = nil
	}
	if cap(a.seen) > keepSamples {
		a.seen = nil
	}
	clear(a.samples)
	clear(a.sources)
	clear(a.refusals)
	hits := a.hits[:cap(a.hits)]
	clear(hits)
	*a = Arrival{gate: g, wake: a.wake, samples: a.samples[:0], seen: a.seen[:0], sources: a.sources[:0], refusals: a.refusals[:0], hits: hits[:0], scratch: a.scratch[:0]}
	g.arrivals.Put(a)
}
