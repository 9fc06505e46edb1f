package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// tick does what has come due: orders without a result, next attempts, posts again, Watchdogs.
func (s *Stage) tick(now bus.Time) {
	s.watchdogs(now)
	s.lift(now)
	if s.nextDue == 0 || now < s.nextDue {
		return
	}
	for _, d := range s.takeDue(now) {
		if d.pair.Open {
			s.silent(d.alert, d.pair, now)
		} else {
			s.send(d.alert, d.pair, now)
		}
	}
}

type duePair struct {
	alert *alert
	pair  *pair
}

// takeDue returns the pairs that are due, the longest waiting first, at most PerTickMax of them.
func (s *Stage) takeDue(now bus.Time) []duePair {
	var due []duePair
	s.nextDue = 0
	for _, a := range s.alerts { // the order is made below
		for _, p := range a.Pairs {
			if p.Due > 0 && p.Due <= now {
				due = append(due, duePair{a, p})
			} else {
				s.due(p, p.Due)
			}
		}
	}
	slices.SortFunc(due, func(x, y duePair) int {
		return cmp.Or(cmp.Compare(x.pair.Due, y.pair.Due), cmp.Compare(x.alert.Event.ID, y.alert.Event.ID), cmp.Compare(x.pair.Target, y.pair.Target))
	})
	if len(due) > s.c.PerTickMax {
		s.due(due[s.c.PerTickMax].pair, due[s.c.PerTickMax].pair.Due)
		due = due[:s.c.PerTickMax]
	}
	return due
}

const (
	watchdogID    = "watchdog-" // begins the ID of each Watchdog delivery
	watchdogAlert = "Watchdog"
	severityNone  = "none"
)

// watchdogs sends the always-firing alert where it is due: at a target's first tick, then at whole multiples of its interval.
func (s *Stage) watchdogs(now bus.Time) {
	var e *WatchdogEvent
	for _, k := range s.order {
		t := s.targets[k]
		every := t.Target.watchdogEvery()
		if every == 0 || now < t.Watchdog && t.Watchdog-now <= every {
			continue
		}
		if e == nil {
			e = s.watchdogEvent()
		}
		t.Watchdog = next(now, every)
		s.watchdog(t, e, now)
	}
	if now < s.nextPublic {
		return
	}
	s.nextPublic = next(now, bus.Minute)
	if e == nil {
		e = s.watchdogEvent()
	}
	s.emit(bus.EventSubject("notify", "watchdog", "default"), &bus.Event{Type: WatchdogEventType, Subject: "default"}, e)
}

func (s *Stage) watchdogEvent() *WatchdogEvent {
	e := &WatchdogEvent{Alert: watchdogAlert, Severity: severityNone, Targets: len(s.targets), DeadLetters: len(s.dead.list)}
	for _, a := range s.alerts {
		if !a.Ended {
			e.Firing++
		}
		for _, p := range a.Pairs {
			if p.pending() {
				e.Pending++
			}
		}
	}
	return e
}

func next(now, every bus.Time) bus.Time { return now - now%every + every }

func (s *Stage) watchdog(t *target, e *WatchdogEvent, now bus.Time) {
	sum := sha256.Sum256([]byte(t.Key + "\x00" + now.String()))
	t.WatchdogID = watchdogID + hex.EncodeToString(sum[:16])
	s.stats.Orders++
	s.emit(SubjectDelivery, nil, Delivery{
		Version: DeliveryVersion, Kind: KindWatchdog, ID: t.WatchdogID, Attempt: 1, Target: t.Target, TargetKey: t.Key, NotAfter: now + s.c.Validity, At: now,
		Event:    Attributes{ID: t.WatchdogID, Source: "/evenkeel/notify/0", Type: WatchdogEventType, Subject: "default", Time: now.String()},
		Alert:    slo.AlertEvent{ID: watchdogAlert, GlobalNamespace: t.Target.GlobalNamespace, Severity: severityNone, State: slo.AlertFiring, StartsAt: now.String(), Window: slo.Window{Type: "rolling", Duration: slo.Duration(t.Target.watchdogEvery())}},
		Watchdog: e,
	})
}

// watchdogResult notes how a Watchdog fared; it is not sent again, since the next one comes.
func (s *Stage) watchdogResult(r *Result, now bus.Time) {
	for _, k := range s.order {
		if t := s.targets[k]; t.WatchdogID == r.ID {
			t.Health.note(r, now)
			return
		}
	}
	s.stats.StaleResults++
}

// pending reports whether the pair has something to tell that is not told yet, and nothing holds it back.
func (p *pair) pending() bool {
	if p.Held != "" || p.Group != "" {
		return p.Held == ""
	}
	return (p.Open || p.Due > 0) && !(p.State == slo.AlertFiring && p.Told && p.Failed == 0)
}
