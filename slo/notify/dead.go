package notify

import (
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A DeadLetter is a delivery that was given up. It can be sent again by its ID.
type DeadLetter struct {
	ID         string         `json:"id"`
	At         bus.Time       `json:"at"`
	Reason     string         `json:"reason"` // one of the Dead constants
	Message    string         `json:"message,omitempty"`
	Status     int            `json:"status,omitempty"`
	Attempts   int            `json:"attempts"`
	State      string         `json:"state"` // firing or resolved
	TargetKey  string         `json:"targetKey,omitempty"`
	TargetName string         `json:"target,omitempty"`
	TargetType string         `json:"type,omitempty"`
	Alert      slo.AlertEvent `json:"alert"`
	Attr       Attributes     `json:"event"`
	Size       int            `json:"size"`
}

// deadLetters is a list, oldest first, of bounded length and size.
type deadLetters struct {
	countMax, bytesMax int
	bytes              int
	list               []DeadLetter
}

// add appends a letter, in the place of an older one of its ID, and returns how many of the oldest were dropped.
func (d *deadLetters) add(l DeadLetter) (dropped int) {
	d.remove(l.ID)
	d.list = append(d.list, l)
	d.bytes += l.Size
	for len(d.list)-dropped > d.countMax || d.bytes > d.bytesMax && len(d.list)-dropped > 1 {
		d.bytes -= d.list[dropped].Size
		dropped++
	}
	d.list = slices.Delete(d.list, 0, dropped)
	return dropped
}

func (d *deadLetters) get(id string) (DeadLetter, bool) {
	i := slices.IndexFunc(d.list, func(l DeadLetter) bool { return l.ID == id })
	if i < 0 {
		return DeadLetter{}, false
	}
	return d.list[i], true
}

func (d *deadLetters) remove(id string) {
	d.list = slices.DeleteFunc(d.list, func(l DeadLetter) bool {
		if l.ID != id {
			return false
		}
		d.bytes -= l.Size
		return true
	})
}

// letter is the dead letter of a pair.
func (s *Stage) letter(a *alert, p *pair, reason string, r *Result, now bus.Time) DeadLetter {
	t := s.targets[p.Target].Target
	return DeadLetter{
		ID: deliveryID(a.Event.ID, p.State, p.Target), At: now, Reason: reason, Message: r.Message, Status: r.Status, Attempts: p.Attempt,
		State: p.State, TargetKey: p.Target, TargetName: t.Name, TargetType: t.Type,
	}
}

func noTarget(name string, a *alert, now bus.Time) DeadLetter {
	l := DeadLetter{ID: deliveryID(a.Event.ID, slo.AlertFiring, "name "+name), At: now, Reason: DeadNoTarget, State: slo.AlertFiring, TargetName: name}
	l.Message = "the alert names no target and there is no default one"
	if name != "" {
		l.Message = "there is no target of this name in the alert's global namespace, nor in default"
	}
	return l
}

// bury keeps a dead letter and tells of it.
func (s *Stage) bury(a *alert, l DeadLetter) {
	l.Alert, l.Attr, l.Size = a.Event, a.Attr, a.Size
	s.stats.Dead++
	e := &a.Event
	if l.Size > s.c.EventBytesMax {
		l.Alert = slo.AlertEvent{ID: e.ID, GlobalNamespace: e.GlobalNamespace, Service: e.Service, SLO: e.SLO, Tier: e.Tier, Severity: e.Severity, State: e.State, StartsAt: e.StartsAt, Objective: e.Objective, Window: e.Window}
		l.Size = s.c.EventBytesMax
	}
	s.stats.DeadDropped += uint64(s.dead.add(l))
	names := []string{orDefault(e.GlobalNamespace), e.Service, e.SLO}
	s.emit(bus.EventSubject("notify", "dead", names...), &bus.Event{Type: DeadEventType, Subject: names[0] + "/" + names[1] + "/" + names[2], Time: l.At}, DeadEvent{
		ID: l.ID, Target: l.TargetName, Type: l.TargetType, Reason: l.Reason, Message: l.Message, Status: l.Status, Attempts: l.Attempts, State: l.State,
		Alert: e.ID, GlobalNamespace: orDefault(e.GlobalNamespace), Service: e.Service, SLO: e.SLO, Tier: e.Tier, Severity: e.Severity,
	})
}

const resendMax = 1000 // IDs in one request: one step's outputs stay small

// resend takes a person's wish to try dead letters again. That an alert fires is said again only while it does; otherwise the
// letter is dropped and recorded as late.
func (s *Stage) resend(r *Resend, now bus.Time) {
	for _, id := range r.IDs[:min(len(r.IDs), resendMax)] {
		l, ok := s.dead.get(id)
		if !ok {
			s.stats.StaleResults++
			continue
		}
		a := s.alerts[l.Alert.ID]
		fires := a != nil && !a.Ended
		switch {
		case l.State == slo.AlertFiring && !fires:
			s.dead.remove(id)
			s.stats.Late++
			s.emit(SubjectLate, nil, Result{ID: id, Attempt: l.Attempts, Outcome: OutcomeLate, Message: "the alert is over"})
		case l.Reason == DeadNoTarget:
			s.resendName(a, l, now)
		case s.targets[l.TargetKey] == nil:
			s.stats.NoTarget++ // it stays: the target may come back
		case l.State == slo.AlertFiring:
			s.dead.remove(id)
			s.again(a, l, now)
		default:
			s.resendEnd(a, l, now)
		}
	}
}

// resendName looks for the target again that there was none of.
func (s *Stage) resendName(a *alert, l DeadLetter, now bus.Time) {
	var names []string
	if l.TargetName != "" {
		names = []string{l.TargetName}
	}
	keys, _ := s.route(l.Alert.GlobalNamespace, names)
	if len(keys) == 0 {
		s.stats.NoTarget++
		return
	}
	if len(s.byDelivery)/2+len(keys) > s.c.PairsMax {
		s.stats.Overload++
		return
	}
	s.dead.remove(l.ID)
	for _, k := range keys {
		if a.pair(k) == nil {
			p := &pair{Target: k, State: slo.AlertFiring}
			s.addPair(a, p)
			s.send(a, p, now)
		}
	}
}

// again starts a pair of a firing alert anew.
func (s *Stage) again(a *alert, l DeadLetter, now bus.Time) {
	p := a.pair(l.TargetKey)
	if p == nil {
		p = &pair{Target: l.TargetKey, State: slo.AlertFiring, Attempt: l.Attempts}
		s.addPair(a, p)
	}
	p.Failed, p.Since, p.Dead = 0, 0, false
	if !p.Open {
		s.send(a, p, now)
	}
}

// resendEnd tells the end of an alert again. Where the next one of the same SLO and tier fires already, Alertmanager would take it
// for that one's end.
func (s *Stage) resendEnd(a *alert, l DeadLetter, now bus.Time) {
	if s.targets[l.TargetKey].Target.Type == TypeAlertmanager && len(s.byKey[alertKey(&l.Alert)]) > 0 {
		s.dead.remove(l.ID)
		s.stats.Superseded++
		return
	}
	if a == nil {
		if !s.room(l.Size, 1) {
			s.stats.Overload++
			return
		}
		a = &alert{Event: l.Alert, Attr: l.Attr, Size: l.Size, Ended: true}
		s.addAlert(a)
	}
	s.dead.remove(l.ID)
	if a.pair(l.TargetKey) != nil {
		return // it is being told already
	}
	p := &pair{Target: l.TargetKey, State: slo.AlertResolved, Attempt: l.Attempts, Tried: true}
	s.addPair(a, p)
	s.send(a, p, now)
}
