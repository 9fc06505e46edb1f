package notify

import (
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// event takes an alert event from the log.
func (s *Stage) event(e *slo.AlertEvent, r *bus.Record) {
	if !complete(e) {
		s.stats.Undecodable++
		return
	}
	attr := Attributes{ID: r.Header.Get("ce-id"), Source: r.Header.Get("ce-source"), Type: slo.AlertEventType, Subject: r.Header.Get("ce-subject"), Time: r.Header.Get("ce-time")}
	size := len(r.Data)
	switch e.State {
	case slo.AlertFiring:
		s.fire(e, attr, size, r.Time)
	case slo.AlertResolved:
		if size > s.c.EventBytesMax {
			e.Annotations, size = nil, s.c.EventBytesMax // the end must be told all the same
		}
		if a := s.alerts[e.ID]; a != nil && !a.Ended {
			s.end(a, e, attr, size, r.Time)
		}
	}
}

// complete reports whether the event says what it must. A duration of zero cannot be read again once it is written.
func complete(e *slo.AlertEvent) bool {
	return e.ID != "" && e.Window.Duration > 0 && (e.Pair == nil || e.Pair.Long > 0 && e.Pair.Short > 0)
}

// fire begins to tell that an alert fires.
func (s *Stage) fire(e *slo.AlertEvent, attr Attributes, size int, now bus.Time) {
	if a := s.alerts[e.ID]; a != nil {
		if !a.Ended && size <= s.c.EventBytesMax {
			s.setEvent(a, e, attr, size)
		}
		return
	}
	s.supersede(e, now)
	a := &alert{Event: *e, Attr: attr, Size: size}
	keys, missing := s.route(e.GlobalNamespace, e.Notify)
	if size > s.c.EventBytesMax || !s.room(size, len(keys)) {
		s.stats.Overload++
		s.bury(a, DeadLetter{ID: deliveryID(e.ID, slo.AlertFiring, "overload"), State: slo.AlertFiring, Reason: DeadOverload, Message: "more alerts fire at once than are kept", At: now})
		return
	}
	s.addAlert(a)
	for _, name := range missing {
		s.stats.NoTarget++
		s.bury(a, noTarget(name, a, now))
	}
	for _, k := range keys {
		p := &pair{Target: k, State: slo.AlertFiring}
		s.addPair(a, p)
		s.send(a, p, now)
	}
}

// room reports whether an alert with an event of so many bytes and so many targets can be kept.
func (s *Stage) room(size, targets int) bool {
	return len(s.alerts) < s.c.AlertsMax && s.bytes+size <= s.c.AlertBytesMax && len(s.byDelivery)/2+targets <= s.c.PairsMax
}

// supersede ends older alerts of the same SLO and tier: there is one at a time, so that their end was lost, or is still being told.
// To Alertmanager both are one alert, which goes on.
func (s *Stage) supersede(e *slo.AlertEvent, now bus.Time) {
	ids := slices.Clone(s.byKey[alertKey(e)])
	slices.Sort(ids) // a restored stage has met them in another order
	for _, id := range ids {
		a := s.alerts[id]
		for _, p := range slices.Clone(a.Pairs) {
			if s.targets[p.Target].Target.Type == TypeAlertmanager {
				s.removePair(a, p)
			}
		}
		if !a.Ended {
			s.stats.Superseded++
			end := a.Event
			end.State, end.Reason, end.EndsAt = slo.AlertResolved, ReasonSuperseded, e.StartsAt
			s.end(a, &end, a.Attr, a.Size, now)
		}
	}
}

// ReasonSuperseded is the reason of an end that the stage concludes from the next beginning.
const ReasonSuperseded = "Superseded"

// end begins to tell that an alert is over, to those who know, or may know, that it fires. Who is being told just now is waited for.
func (s *Stage) end(a *alert, e *slo.AlertEvent, attr Attributes, size int, now bus.Time) {
	s.setEvent(a, e, attr, size)
	a.Ended = true
	s.wakeInhibited(a)
	for _, p := range slices.Clone(a.Pairs) {
		if !p.Open {
			s.endPair(a, p, now)
		}
	}
	s.sweep(a)
}

// endPair tells a target the end, or records that nobody was told anything.
func (s *Stage) endPair(a *alert, p *pair, now bus.Time) {
	if p.heard() {
		s.coolDown(a, p, now)
		s.toResolved(a, p)
		s.send(a, p, now)
		return
	}
	if !p.Dead {
		s.late(a, p)
	}
	s.removePair(a, p)
}

// late records that an alert was over before the target could be told.
func (s *Stage) late(a *alert, p *pair) {
	s.stats.Late++
	s.emit(SubjectLate, nil, Result{ID: deliveryID(a.Event.ID, slo.AlertFiring, p.Target), Attempt: p.Attempt, Outcome: OutcomeLate, Message: "the alert was over before it could be told"})
}

// send orders the next attempt, now or with its group, unless something holds it back.
func (s *Stage) send(a *alert, p *pair, now bus.Time) {
	switch h := s.gate(a, p, now); {
	case h.Reason != "":
		s.hold(a, p, h, now)
	case s.targets[p.Target].Target.groups():
		s.join(a, p, now)
	default:
		s.orderOne(a, p, now)
	}
}

// orderOne orders the next attempt of one alert.
func (s *Stage) orderOne(a *alert, p *pair, now bus.Time) {
	s.setBatch(a, p, "", 0)
	p.Held, p.Silence, p.Group = "", "", ""
	p.Attempt++
	p.Open, p.Sent = true, now
	s.due(p, now+s.c.ResultTimeout)
	d := Delivery{
		Version: DeliveryVersion, Kind: KindAlert, ID: deliveryID(a.Event.ID, p.State, p.Target), Attempt: p.Attempt,
		Target: s.targets[p.Target].Target, TargetKey: p.Target, NotAfter: now + s.validity(p), At: now, Event: a.Attr, Alert: a.Event,
	}
	if d.Event.ID == "" {
		d.Event = Attributes{ID: d.ID, Source: "/evenkeel/notify/0", Type: slo.AlertEventType, Time: now.String()}
	}
	d.Alert.State = p.State
	if p.State == slo.AlertResolved && !p.Told && !p.Tried {
		d.Follows = deliveryID(a.Event.ID, slo.AlertFiring, p.Target)
	}
	s.stats.Orders++
	s.emit(SubjectDelivery, nil, d)
}

func (s *Stage) validity(p *pair) bus.Time {
	if p.Skewed {
		return bus.Day
	}
	return s.c.Validity
}

// due sets when a pair is looked at again.
func (s *Stage) due(p *pair, t bus.Time) {
	p.Due = t
	if t > 0 && (s.nextDue == 0 || t < s.nextDue) {
		s.nextDue = t
	}
}
