package notify

import (
	"fmt"
	"hash/fnv"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

const (
	messageMax    = 300      // bytes of a result's message that are kept
	retryAfterMax = bus.Hour // a receiver may not silence a page for longer
)

// result takes what came of an attempt.
func (s *Stage) result(r *Result, now bus.Time) {
	if len(r.Message) > messageMax {
		r.Message = strings.ToValidUTF8(r.Message[:messageMax], "")
	}
	if strings.HasPrefix(r.ID, watchdogID) {
		s.watchdogResult(r, now)
		return
	}
	if strings.HasPrefix(r.ID, trialID) {
		s.trialResult(r, now)
		return
	}
	if refs := s.byBatch[r.ID]; len(refs) > 0 {
		s.batchResult(refs, r, now)
		return
	}
	ref, ok := s.byDelivery[r.ID]
	if !ok {
		s.stats.StaleResults++
		return
	}
	a := s.alerts[ref.alert]
	p := a.pair(ref.target)
	s.targets[p.Target].Health.note(r, now)
	if r.ID != deliveryID(a.Event.ID, p.State, p.Target) || r.Attempt != p.Attempt || !p.Open {
		s.staleResult(a, p, r, now)
		return
	}
	s.awaited(a, p, r, now)
}

// awaited takes the result of the last order of a pair.
func (s *Stage) awaited(a *alert, p *pair, r *Result, now bus.Time) {
	p.Open, p.Silent = false, 0
	s.due(p, 0)
	switch r.Outcome {
	case OutcomeDelivered:
		s.delivered(a, p, now)
	case OutcomeRetry:
		s.stats.Retried++
		s.failed(a, p, r, now)
	case OutcomeRejected:
		s.stats.Rejected++
		s.rejected(a, p, r, now)
	case OutcomeExpired, OutcomeLate:
		s.expired(a, p, r, now)
	default:
		s.stats.Undecodable++
		s.failed(a, p, r, now)
	}
}

// staleResult takes the result of an older attempt: only that something got there matters.
func (s *Stage) staleResult(a *alert, p *pair, r *Result, now bus.Time) {
	s.stats.StaleResults++
	if r.Outcome != OutcomeDelivered {
		return
	}
	if r.ID == deliveryID(a.Event.ID, slo.AlertFiring, p.Target) {
		p.Told = true
	}
	if r.ID == deliveryID(a.Event.ID, p.State, p.Target) && !p.Open {
		s.delivered(a, p, now)
	}
}

func (s *Stage) delivered(a *alert, p *pair, now bus.Time) {
	s.stats.Delivered++
	p.Failed, p.Since, p.Dead = 0, 0, false
	p.Held, p.Silence, p.Group = "", "", "" // a late result may come while it waits
	if p.State == slo.AlertResolved {
		s.removePair(a, p)
		return
	}
	p.Told = true
	s.due(p, 0)
	switch {
	case a.Ended:
		s.endPair(a, p, now)
	case s.targets[p.Target].Target.Type == TypeAlertmanager:
		s.due(p, now+s.c.Repost)
	}
}

// failed plans the next attempt, or gives up.
func (s *Stage) failed(a *alert, p *pair, r *Result, now bus.Time) {
	if p.State == slo.AlertFiring {
		p.Tried = true
		if a.Ended {
			s.endPair(a, p, now)
			return
		}
	}
	p.Failed++
	if p.Since == 0 {
		p.Since = now
	}
	if p.Failed < s.c.MaxAttempts && now-p.Since < s.c.MaxAge {
		wait := s.backoff(a, p, p.Failed)
		s.due(p, now+max(wait, min(r.RetryAfter, retryAfterMax)))
		return
	}
	if !p.Dead {
		s.bury(a, s.letter(a, p, DeadExhausted, r, now))
	}
	p.Dead = true
	s.wakeInhibited(a)
	switch {
	case p.State == slo.AlertResolved:
		s.removePair(a, p)
	case s.targets[p.Target].Target.Type == TypeAlertmanager:
		s.due(p, now+s.c.BackoffMax) // it holds the state of now, so that it is told as soon as it is back
	}
}

func (s *Stage) rejected(a *alert, p *pair, r *Result, now bus.Time) {
	s.bury(a, s.letter(a, p, DeadRejected, r, now))
	p.Dead = true
	s.wakeInhibited(a)
	switch {
	case p.State == slo.AlertResolved:
		s.removePair(a, p)
	case a.Ended:
		s.endPair(a, p, now)
	}
}

// expired decides anew about an order that lapsed unsent.
func (s *Stage) expired(a *alert, p *pair, r *Result, now bus.Time) {
	s.stats.Expired++
	if r.Outcome == OutcomeLate && p.State == slo.AlertResolved {
		s.late(a, p)
		s.removePair(a, p)
		return
	}
	if due := p.Sent + s.validity(p); now < due && !p.Skewed {
		s.stats.Skewed++
		p.Skewed = true
	}
	if p.State == slo.AlertFiring && a.Ended {
		s.endPair(a, p, now)
		return
	}
	s.send(a, p, now)
}

// silent handles an order that had no result in time: its sender may have died before or after it sent.
func (s *Stage) silent(a *alert, p *pair, now bus.Time) {
	s.stats.Silent++
	p.Open = false
	p.Silent++
	if p.State == slo.AlertFiring {
		p.Maybe = true
		if a.Ended {
			s.endPair(a, p, now)
			return
		}
	}
	if p.Silent == 1 {
		s.send(a, p, now)
		return
	}
	s.due(p, now+s.backoff(a, p, p.Silent+5))
}

// backoff returns how long to wait after the n-th failure in a row: 1 s doubled each time up to the bound, of which a hash of the
// attempt takes up to a half away, so that many alerts do not come back at one moment; those of one group do, to stay one message.
func (s *Stage) backoff(a *alert, p *pair, n int) bus.Time {
	id, attempt := p.Batch, p.BatchN
	if id == "" {
		id, attempt = deliveryID(a.Event.ID, p.State, p.Target), p.Attempt
	}
	wait := s.c.BackoffMax
	if n < 20 {
		wait = min(wait, bus.Second<<(n-1))
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", id, attempt)
	return max(bus.Second, wait-bus.Time(h.Sum64()>>1)%(wait/2+1))
}
