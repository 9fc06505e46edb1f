package notify

import (
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A TrialRequest is a person's wish to see whether a target can be reached.
type TrialRequest struct {
	ID     string `json:"id"`     // begins with "test-"
	Target string `json:"target"` // key
	Author string `json:"author"`
}

// A Trial is a test of a target and what came of it. It goes the way of every delivery, but once: it is not tried again.
type Trial struct {
	ID      string   `json:"id"`
	Target  string   `json:"target"` // key
	Author  string   `json:"author"`
	At      bus.Time `json:"at"`
	Outcome string   `json:"outcome,omitempty"` // one of the Outcome constants; "" while nobody knows
	Status  int      `json:"status,omitempty"`
	Message string   `json:"message,omitempty"`
	Done    bus.Time `json:"done,omitempty"`
}

// OutcomeRefused is the outcome of a test that was not ordered; the message says why.
const OutcomeRefused = "refused"

const (
	trialID     = "test-" // begins the ID of each test
	trialIDMax  = 64
	trialEnd    = "-end" // ends the ID of the message that closes what a test has opened
	trialAlert  = "EvenkeelTest"
	trialSLO    = "notification-test"
	trialTier   = "test"
	trialReason = "Test"
)

// NewTrialID makes an ID of a test from random text.
func NewTrialID(random string) string { return trialID + strings.ToLower(random) }

// trial orders one test message.
func (s *Stage) trial(r *TrialRequest, now bus.Time) {
	known := slices.ContainsFunc(s.trials, func(x Trial) bool { return x.ID == r.ID })
	if !strings.HasPrefix(r.ID, trialID) || len(r.ID) > trialIDMax || !plain(r.ID) || strings.HasSuffix(r.ID, trialEnd) || len(r.Author) > silenceTextMax || !plain(r.Author) || known {
		s.stats.Undecodable++
		return
	}
	x := Trial{ID: r.ID, Target: r.Target, Author: r.Author, At: now}
	t := s.targets[r.Target]
	switch {
	case t == nil:
		x.Outcome, x.Message, x.Done = OutcomeRefused, "there is no such target", now
	case slices.ContainsFunc(s.trials, func(o Trial) bool { return o.Target == r.Target && o.Outcome == "" && now < o.At+s.c.ResultTimeout }):
		x.Outcome, x.Message, x.Done = OutcomeRefused, "a test of this target is under way", now
	default:
		s.orderTrial(t, &x, x.ID, slo.AlertFiring, now)
	}
	s.trials = append(s.trials, x)
	s.trials = slices.Delete(s.trials, 0, max(0, len(s.trials)-s.c.TrialsMax))
}

func (s *Stage) orderTrial(t *target, x *Trial, id, state string, now bus.Time) {
	e := slo.AlertEvent{
		ID: x.ID, GlobalNamespace: t.Target.GlobalNamespace, Service: "evenkeel", SLO: trialSLO, Tier: trialTier, Severity: severityNone, State: state, Reason: trialReason,
		StartsAt: x.At.String(), Window: slo.Window{Type: "rolling", Duration: slo.Duration(bus.Day)},
	}
	if state == slo.AlertResolved {
		e.EndsAt = now.String()
	}
	s.stats.Orders++
	s.stats.Tests++
	s.emit(SubjectDelivery, nil, Delivery{
		Version: deliveryVersion2, Kind: KindTest, ID: id, Attempt: 1, Target: t.Target, TargetKey: t.Key, NotAfter: now + s.c.Validity, At: now, Author: x.Author, Alert: e,
		Event: Attributes{ID: id, Source: "/evenkeel/notify/0", Type: slo.AlertEventType, Subject: e.GlobalNamespace + "/" + e.Service + "/" + e.SLO, Time: now.String()},
	})
}

// trialResult notes how a test went. What it has opened at PagerDuty is closed again.
func (s *Stage) trialResult(r *Result, now bus.Time) {
	i := slices.IndexFunc(s.trials, func(x Trial) bool { return x.ID == r.ID && x.Outcome == "" })
	if i < 0 {
		if !strings.HasSuffix(r.ID, trialEnd) {
			s.stats.StaleResults++
		}
		return
	}
	x := &s.trials[i]
	x.Outcome, x.Status, x.Message, x.Done = r.Outcome, r.Status, r.Message, now
	t := s.targets[x.Target]
	if t == nil {
		return
	}
	t.Health.note(r, now)
	if t.Target.Type == TypePagerDuty && r.Outcome == OutcomeDelivered {
		s.orderTrial(t, x, x.ID+trialEnd, slo.AlertResolved, now)
	}
}
