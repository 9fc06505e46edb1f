package notify

import (
	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// Reasons why an alert is not told to a target for now.
const (
	HeldSilenced  = "Silenced"  // a person has silenced it
	HeldInhibited = "Inhibited" // a page of the same SLO fires and is told
	HeldCoolDown  = "CoolDown"  // it fires again within the target's cool-down
)

// A Hold says that an alert which fires is not told to a target for now. It is recorded when it begins and when its reason changes.
type Hold struct {
	ID              string   `json:"id"`     // of the delivery that is held
	Reason          string   `json:"reason"` // one of the Held constants
	Silence         string   `json:"silence,omitempty"`
	Until           bus.Time `json:"until,omitempty"` // in milliseconds; 0: nobody knows
	Target          string   `json:"target"`          // name
	Alert           string   `json:"alert"`           // ID
	GlobalNamespace string   `json:"globalNamespace"`
	Service         string   `json:"service"`
	SLO             string   `json:"slo"`
	Tier            string   `json:"tier"`
}

type coolKey struct{ alert, target string } // key of an alert, key of a target

// gate says what holds back that the target is told, an empty Reason for nothing. Only a beginning is held, and only until it is told.
func (s *Stage) gate(a *alert, p *pair, now bus.Time) Hold {
	if p.State != slo.AlertFiring || p.Told || a.Ended {
		return Hold{}
	}
	t := &s.targets[p.Target].Target
	if x := s.silenced(&a.Event); x != nil {
		return Hold{Reason: HeldSilenced, Silence: x.ID, Until: x.EndsAt}
	}
	if !t.NoInhibit && s.inhibited(a) {
		return Hold{Reason: HeldInhibited}
	}
	if until := s.cool[coolKey{alertKey(&a.Event), p.Target}]; t.CoolDown > 0 && until > now {
		return Hold{Reason: HeldCoolDown, Until: until}
	}
	return Hold{}
}

// hold keeps the pair back; it is looked at again when the reason may be gone.
func (s *Stage) hold(a *alert, p *pair, h Hold, now bus.Time) {
	news := p.Held != h.Reason || p.Silence != h.Silence
	p.Held, p.Silence, p.Group, p.Open = h.Reason, h.Silence, "", false
	p.Failed, p.Since, p.Silent = 0, 0, 0 // the time in which it is held is no time of trying
	s.due(p, h.Until)
	s.wakeInhibited(a)
	if !news {
		return
	}
	switch h.Reason {
	case HeldSilenced:
		s.stats.Silenced++
	case HeldInhibited:
		s.stats.Inhibited++
	case HeldCoolDown:
		s.stats.CoolDown++
	}
	e := &a.Event
	h.ID, h.Target, h.Alert = deliveryID(e.ID, p.State, p.Target), s.targets[p.Target].Target.Name, e.ID
	h.GlobalNamespace, h.Service, h.SLO, h.Tier = orDefault(e.GlobalNamespace), e.Service, e.SLO, e.Tier
	s.emit(SubjectHeld, nil, h)
}

// inhibited reports whether a higher tier of the alert's SLO fires and somebody is told of it.
func (s *Stage) inhibited(a *alert) bool {
	for _, id := range s.bySLO[sloKey(&a.Event)] {
		if b := s.alerts[id]; !b.Ended && lower(&a.Event, &b.Event) && b.isTold() {
			return true
		}
	}
	return false
}

// lower reports whether a's severity is below b's: a ticket below a page. What is neither is below nothing.
func lower(a, b *slo.AlertEvent) bool {
	return a.Severity == slo.SeverityTicket && b.Severity == slo.SeverityPage
}

// isTold reports whether somebody knows of the alert, or is about to be told.
func (a *alert) isTold() bool {
	for _, p := range a.Pairs {
		if p.Told || p.Held == "" && !p.Dead {
			return true
		}
	}
	return false
}

// wakeInhibited has the lower tiers of an alert's SLO looked at again by the next tick.
func (s *Stage) wakeInhibited(a *alert) {
	if a.Event.Severity != slo.SeverityPage {
		return
	}
	for _, id := range s.bySLO[sloKey(&a.Event)] {
		for _, p := range s.alerts[id].Pairs {
			if p.Held == HeldInhibited {
				s.due(p, s.now)
			}
		}
	}
}

// wakeTarget has all that is held from a target looked at again by the next tick: its definition may say otherwise now.
func (s *Stage) wakeTarget(key string) {
	s.wake(func(p *pair) bool { return p.Target == key })
}

// wake has held pairs looked at again by the next tick.
func (s *Stage) wake(which func(*pair) bool) {
	for _, a := range s.alerts { // no order shows: the tick makes its own
		for _, p := range a.Pairs {
			if p.Held != "" && which(p) {
				s.due(p, s.now)
			}
		}
	}
}

// coolDown notes that the target is told the end of an alert.
func (s *Stage) coolDown(a *alert, p *pair, now bus.Time) {
	every := s.targets[p.Target].Target.CoolDown.Time()
	if every <= 0 {
		return
	}
	k := coolKey{alertKey(&a.Event), p.Target}
	if _, known := s.cool[k]; !known && len(s.cool) >= s.c.CoolMax {
		s.stats.CoolOver++
		return
	}
	s.cool[k] = now + every
	s.endAt(now + every)
}

// endAt notes when a silence or a cool-down ends.
func (s *Stage) endAt(t bus.Time) {
	if s.nextEnd == 0 || t < s.nextEnd {
		s.nextEnd = t
	}
}

// lift ends silences and forgets cool-downs whose time is over. What they held is due by itself.
func (s *Stage) lift(now bus.Time) {
	if s.nextEnd == 0 || now < s.nextEnd {
		return
	}
	s.nextEnd = 0
	for k, until := range s.cool {
		if until <= now {
			delete(s.cool, k)
		} else {
			s.endAt(until)
		}
	}
	for _, x := range s.silenceList() {
		if x.EndsAt <= now {
			s.endSilence(x, "")
		} else {
			s.endAt(x.EndsAt)
		}
	}
}
