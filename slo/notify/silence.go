package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A Silence keeps back that the alerts of a service, of one of its SLOs or of one tier are told. It always ends, and has an author and
// a reason. It stands in the state of the stage only; to keep alerts back for good is a matter of their policy.
type Silence struct {
	ID              string   `json:"id"`
	GlobalNamespace string   `json:"globalNamespace"`
	Service         string   `json:"service"`
	SLO             string   `json:"slo,omitempty"`  // "": all of the service
	Tier            string   `json:"tier,omitempty"` // "": all tiers
	Reason          string   `json:"reason"`
	Author          string   `json:"author"`
	StartsAt        bus.Time `json:"startsAt"`
	EndsAt          bus.Time `json:"endsAt"`
}

// Actions of a [SilenceRequest].
const (
	SilenceAdd    = "add"
	SilenceExpire = "expire"
)

// A SilenceRequest is a person's wish. It holds from the moment at which the log has taken it.
type SilenceRequest struct {
	Action          string   `json:"action"` // SilenceAdd or SilenceExpire, which needs ID and Author only
	ID              string   `json:"id"`
	GlobalNamespace string   `json:"globalNamespace,omitempty"`
	Service         string   `json:"service,omitempty"`
	SLO             string   `json:"slo,omitempty"`
	Tier            string   `json:"tier,omitempty"`
	For             bus.Time `json:"forMs,omitempty"`
	Reason          string   `json:"reason,omitempty"`
	Author          string   `json:"author"`
}

// Bounds of a silence.
const (
	SilenceForMax    = 30 * bus.Day // who needs more should change the alert's policy
	SilenceForMin    = bus.Second
	silenceTextMax   = 253 // bytes of a name, as in Kubernetes
	silenceReasonMax = 1000
	silenceIDMax     = 64
)

// Validate says what is wrong with the wish, what would be right, or nil. The field that is meant stands first in the text.
func (r SilenceRequest) Validate() error {
	switch {
	case r.Action != SilenceAdd && r.Action != SilenceExpire:
		return fmt.Errorf("action: %q is neither %q nor %q", r.Action, SilenceAdd, SilenceExpire)
	case r.ID == "" || len(r.ID) > silenceIDMax || !plain(r.ID):
		return fmt.Errorf("id: is empty, longer than %d bytes or holds control characters", silenceIDMax)
	case r.Author == "" || len(r.Author) > silenceTextMax || !plain(r.Author):
		return fmt.Errorf("author: is empty, longer than %d bytes or holds control characters", silenceTextMax)
	case r.Action == SilenceExpire:
		return nil
	case r.Service == "":
		return fmt.Errorf("service: is missing; a silence is of one service, of one of its SLOs (slo) or of one tier (tier)")
	case strings.TrimSpace(r.Reason) == "":
		return fmt.Errorf("reason: is missing; who is on call next must know why it is silent")
	case len(r.Reason) > silenceReasonMax || !plain(r.Reason):
		return fmt.Errorf("reason: is longer than %d bytes or holds control characters", silenceReasonMax)
	case r.For == 0:
		return fmt.Errorf("for: is missing; a silence must end, for example after 2h")
	case r.For < SilenceForMin || r.For > SilenceForMax:
		return fmt.Errorf("for: %s is not from %s to %s", slo.Duration(r.For), slo.Duration(SilenceForMin), slo.Duration(SilenceForMax))
	}
	for _, f := range []struct{ name, v string }{{"globalNamespace", r.GlobalNamespace}, {"service", r.Service}, {"slo", r.SLO}, {"tier", r.Tier}} {
		if len(f.v) > silenceTextMax || !plain(f.v) {
			return fmt.Errorf("%s: is longer than %d bytes or holds control characters", f.name, silenceTextMax)
		}
	}
	return nil
}

// plain reports whether s is valid text without control characters.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// Actions of a [SilenceEvent].
const (
	SilenceCreated = "created"
	SilenceExpired = "expired"
)

// A SilenceEvent is the data of the public event for a silence that begins or ends.
type SilenceEvent struct {
	ID              string `json:"id"`
	Action          string `json:"action"` // created or expired
	GlobalNamespace string `json:"globalNamespace"`
	Service         string `json:"service"`
	SLO             string `json:"slo,omitempty"`
	Tier            string `json:"tier,omitempty"`
	Reason          string `json:"reason"`
	Author          string `json:"author"`
	StartsAt        string `json:"startsAt"`
	EndsAt          string `json:"endsAt"`
	ExpiredBy       string `json:"expiredBy,omitempty"` // who ended it before its time
}

func (x *Silence) matches(e *slo.AlertEvent) bool {
	return x.GlobalNamespace == orDefault(e.GlobalNamespace) && x.Service == e.Service && (x.SLO == "" || x.SLO == e.SLO) && (x.Tier == "" || x.Tier == e.Tier)
}

// silenced returns the silence that matches an alert, of several the one that ends last; nil for none.
func (s *Stage) silenced(e *slo.AlertEvent) *Silence {
	var found *Silence
	for _, x := range s.silences { // what is found depends on no order
		if x.matches(e) && (found == nil || x.EndsAt > found.EndsAt || x.EndsAt == found.EndsAt && x.ID < found.ID) {
			found = x
		}
	}
	return found
}

// silenceList returns the silences by ID.
func (s *Stage) silenceList() []*Silence {
	var list []*Silence
	for _, x := range s.silences {
		list = append(list, x)
	}
	slices.SortFunc(list, func(x, y *Silence) int { return cmp.Compare(x.ID, y.ID) })
	return list
}

// silence takes a person's wish to add or end a silence. What is wrong with it was said where it came in; here it is counted.
func (s *Stage) silence(r *SilenceRequest, now bus.Time) {
	old := s.silences[r.ID]
	switch {
	case r.Validate() != nil, (old == nil) == (r.Action == SilenceExpire), r.Action == SilenceAdd && !s.silenceRoom(orDefault(r.GlobalNamespace)):
		s.stats.SilencesRefused++
	case r.Action == SilenceExpire:
		s.endSilence(old, r.Author)
		s.wake(func(p *pair) bool { return p.Silence == r.ID })
	default:
		x := &Silence{
			ID: r.ID, GlobalNamespace: orDefault(r.GlobalNamespace), Service: r.Service, SLO: r.SLO, Tier: r.Tier, Reason: r.Reason, Author: r.Author,
			StartsAt: now, EndsAt: now + r.For,
		}
		s.silences[x.ID] = x
		s.endAt(x.EndsAt)
		s.silenceEvent(x, SilenceCreated, "")
	}
}

// silenceRoom reports whether one more silence of the global namespace is taken.
func (s *Stage) silenceRoom(globalNamespace string) bool {
	n := 0
	for _, x := range s.silences {
		if x.GlobalNamespace == globalNamespace {
			n++
		}
	}
	return len(s.silences) < s.c.SilencesMax && n < s.c.SilencesNamespaceMax
}

func (s *Stage) endSilence(x *Silence, by string) {
	delete(s.silences, x.ID)
	s.silenceEvent(x, SilenceExpired, by)
}

func (s *Stage) silenceEvent(x *Silence, action, by string) {
	s.emit(bus.EventSubject("notify", "silence", x.GlobalNamespace, x.Service), &bus.Event{Type: SilenceEventType, Subject: x.GlobalNamespace + "/" + x.Service + "/" + x.ID}, SilenceEvent{
		ID: x.ID, Action: action, GlobalNamespace: x.GlobalNamespace, Service: x.Service, SLO: x.SLO, Tier: x.Tier, Reason: x.Reason, Author: x.Author,
		StartsAt: x.StartsAt.String(), EndsAt: x.EndsAt.String(), ExpiredBy: by,
	})
}
