package kube

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/inventory"
)

const (
	gather       = 75 * time.Millisecond // for what changes together
	silence      = 10 * time.Second      // after which a sign of life is given
	maxSize      = 200_000               // bytes of an observation's objects as JSON, unless one alone is larger
	retryFirst   = 100 * time.Millisecond
	retryLast    = 5 * time.Second
	relistAfter  = time.Second      // so that a sink which always wants one gets it no faster
	askWithin    = 2 * time.Second  // what the cluster is
	askAgain     = time.Second      // after no answer
	versionEvery = 10 * time.Minute // the cluster's version is asked for; another one makes a new listing
)

func newLife() life {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return life{id: hex.EncodeToString(b[:])}
}

// begin starts a new life, whose listing tells all there is.
func (o *Observer) begin() {
	since := time.Now()
	o.life = newLife()
	o.life.since = since
	o.book.relist()
}

// tell hands observations to the sink until the context ends.
func (o *Observer) tell(ctx context.Context) {
	var asked time.Time
	var info *inventory.Info
	for ctx.Err() == nil {
		if now := time.Now(); info == nil || now.Sub(asked) >= versionEvery {
			if fresh := o.askInfo(ctx); fresh != nil {
				if info != nil && info.Version != fresh.Version {
					o.relist()
				}
				info = fresh
				asked = now
			} else {
				asked = now.Add(askAgain - versionEvery)
			}
		}
		ob, wait := o.next(time.Now(), info)
		if ob == nil {
			if info == nil {
				wait = min(wait, askAgain)
			}
			o.pause(ctx, wait, o.wake)
			continue
		}
		o.deliver(ctx, *ob)
	}
}

// askInfo asks the cluster what it is; nil when it does not say. The namespace kube-system is always there, and it may be forbidden to us.
func (o *Observer) askInfo(ctx context.Context) *inventory.Info {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	i := &inventory.Info{Labels: o.config.Labels, TrustDomain: o.config.TrustDomain}
	v, err := o.client.version(ctx)
	switch {
	case err == nil:
		i.Version = v
	case !apierrors.IsForbidden(err):
		return nil
	}
	if uid, err := o.client.uid(ctx); err == nil {
		i.UID = uid
	}
	return i
}

// next returns the observation that is due, or how long there may be none.
func (o *Observer) next(now time.Time, info *inventory.Info) (*inventory.Observation, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := bus.TimeOf(now)
	due := silence - at.Std().Sub(o.life.sent.Std())
	if why := o.blind(now); why != "" {
		if o.life.phase == inventory.PhaseBlind && due > 0 {
			return nil, min(due, probeEvery)
		}
		ob := o.observation(inventory.PhaseBlind, at)
		ob.Reason = why
		return ob, 0
	}
	if !o.life.info {
		if info == nil {
			return nil, askAgain
		}
		if o.life.number > 0 { // it has told of its blindness; a listing opens a life
			o.begin()
		}
		o.life.info = true
		ob := o.observation(inventory.PhaseListing, at)
		ob.Info = info
		return ob, 0
	}
	if !o.life.listed && !o.complete(now) {
		return o.sign(inventory.PhaseListing, now, due)
	}
	if o.life.listed && o.life.phase == inventory.PhaseBlind { // it sees again
		due = 0
	}
	if len(o.book.queue) > 0 {
		if wait := gather - now.Sub(o.life.since); wait > 0 && due > 0 {
			return nil, wait
		}
		return o.part(now, due)
	}
	if !o.life.listed {
		return o.part(now, due)
	}
	return o.sign(inventory.PhaseWatching, now, due)
}

// part returns the next part of a listing, or what has changed since.
func (o *Observer) part(now time.Time, due time.Duration) (*inventory.Observation, time.Duration) {
	ob := inventory.Observation{}
	moved, same := o.book.take(&ob, maxSize)
	o.counts.same += uint64(same)
	rest := len(o.book.queue) > 0
	o.life.since = now
	phase := inventory.PhaseWatching
	switch {
	case !o.life.listed && rest:
		phase = inventory.PhaseListing
	case !o.life.listed:
		phase = inventory.PhaseListed
		o.life.listed = true
	case moved == 0 && due > 0:
		return nil, due
	}
	head := o.observation(phase, bus.TimeOf(now))
	ob.Version, ob.Cluster, ob.Observer, ob.Number, ob.Phase, ob.At, ob.Left = head.Version, head.Cluster, head.Observer, head.Number, head.Phase, head.At, head.Left
	ob.Reason = o.missing(now)
	return &ob, 0
}

// sign returns an empty observation when the silence has been long enough.
func (o *Observer) sign(phase string, now time.Time, due time.Duration) (*inventory.Observation, time.Duration) {
	if due > 0 {
		return nil, min(due, probeEvery) // it may have become blind
	}
	ob := o.observation(phase, bus.TimeOf(now))
	ob.Reason = o.missing(now)
	return ob, 0
}

// observation returns the next one, with nothing in it.
func (o *Observer) observation(phase string, at bus.Time) *inventory.Observation {
	if phase != o.life.phase {
		o.config.Logger.Info("cluster", "phase", phase)
	}
	o.life.number++
	o.life.phase = phase
	o.life.sent = at
	return &inventory.Observation{
		Version: inventory.ObservationVersion, Cluster: o.config.Cluster, Observer: o.life.id, Number: o.life.number, Phase: phase, At: at, Left: o.book.left(),
	}
}

// deliver offers an observation until the sink takes it, or wants a new listing.
func (o *Observer) deliver(ctx context.Context, ob inventory.Observation) {
	for wait := retryFirst; ; wait = min(2*wait, retryLast) {
		err := o.config.Sink(ctx, ob)
		o.mu.Lock()
		if err == nil {
			o.counts.told++
			o.life.sent = bus.TimeOf(time.Now())
		} else if ctx.Err() == nil {
			o.counts.sinkErrors++
		}
		o.mu.Unlock()
		switch {
		case err == nil || ctx.Err() != nil:
			return
		case errors.Is(err, ErrRelist):
			o.pause(ctx, relistAfter, nil)
			o.relist()
			return
		case wait == retryFirst:
			o.config.Logger.Warn("an observation was not taken; it waits", "n", ob.Number, "error", err)
		}
		o.pause(ctx, wait, nil)
	}
}

// relist begins a new life.
func (o *Observer) relist() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts.relists++
	o.begin()
}
