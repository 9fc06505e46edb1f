package notify

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"evenkeel.dev/bus"
)

// A View is what the stage knows, for people and the HTTP API. It holds no URL, since those may be secrets, only hosts.
type View struct {
	Targets     []TargetView  `json:"targets"`     // by global namespace and name
	Pending     []PendingView `json:"pending"`     // deliveries on their way, the oldest alert first
	Held        []PendingView `json:"held"`        // deliveries that are held back, the oldest alert first
	DeadLetters []DeadLetter  `json:"deadLetters"` // oldest first
	Silences    []Silence     `json:"silences"`    // that hold, by global namespace, service and ID
	Trials      []Trial       `json:"trials"`      // tests of targets, oldest first
	Stats       Stats         `json:"stats"`
}

// A TargetView is one target and how it fares.
type TargetView struct {
	Key             string `json:"key"`
	Namespace       string `json:"namespace"` // of the definition
	GlobalNamespace string `json:"globalNamespace"`
	Name            string `json:"name"`
	Type            string `json:"type"`
	Host            string `json:"host,omitempty"` // "" where the URL stands behind a reference
	Health          Health `json:"health"`
}

// A PendingView is one delivery that is not done.
type PendingView struct {
	ID              string   `json:"id"`
	Alert           string   `json:"alert"` // ID
	GlobalNamespace string   `json:"globalNamespace"`
	Service         string   `json:"service"`
	SLO             string   `json:"slo"`
	Tier            string   `json:"tier"`
	Target          string   `json:"target"` // name
	Type            string   `json:"type"`
	State           string   `json:"state"`             // to be told: firing or resolved
	Attempt         int      `json:"attempt"`           // number of the last order
	Failed          int      `json:"failed"`            // failures in a row
	Message         string   `json:"message,omitempty"` // of the target's last failure
	Open            bool     `json:"open"`              // an order is out
	Due             bus.Time `json:"due"`               // when something happens next
	StartsAt        string   `json:"startsAt"`
	Held            string   `json:"held,omitempty"`    // why it is not told for now: one of the Held constants
	Silence         string   `json:"silence,omitempty"` // ID of the silence that holds it
}

// View returns what the stage knows. Pending and Held are cut to pendingMax (0: all).
func (s *Stage) View(pendingMax int) View {
	v := View{
		Targets: []TargetView{}, Pending: []PendingView{}, Held: []PendingView{}, DeadLetters: append([]DeadLetter{}, s.dead.list...),
		Silences: []Silence{}, Trials: append([]Trial{}, s.trials...), Stats: s.stats,
	}
	for _, x := range s.silenceList() {
		v.Silences = append(v.Silences, *x)
	}
	slices.SortStableFunc(v.Silences, func(x, y Silence) int {
		return cmp.Or(cmp.Compare(x.GlobalNamespace, y.GlobalNamespace), cmp.Compare(x.Service, y.Service))
	})
	for _, k := range s.order {
		t := s.targets[k]
		tv := TargetView{Key: k, Namespace: keyNamespace(k), GlobalNamespace: t.Target.GlobalNamespace, Name: t.Target.Name, Type: t.Target.Type, Health: t.Health}
		if u, err := url.Parse(t.Target.Endpoint()); err == nil {
			tv.Host = u.Host
		}
		if t.Target.Mail != nil {
			tv.Host = t.Target.Mail.SMTP
		}
		v.Targets = append(v.Targets, tv)
	}
	slices.SortStableFunc(v.Targets, func(x, y TargetView) int {
		return cmp.Or(cmp.Compare(x.GlobalNamespace, y.GlobalNamespace), cmp.Compare(x.Name, y.Name))
	})
	for _, id := range s.alertIDs() {
		a := s.alerts[id]
		for _, p := range a.Pairs {
			switch {
			case p.Held != "":
				v.Held = append(v.Held, s.pendingView(a, p))
			case p.pending():
				v.Pending = append(v.Pending, s.pendingView(a, p))
			}
		}
	}
	v.Pending, v.Held = oldest(v.Pending, pendingMax), oldest(v.Held, pendingMax)
	return v
}

// oldest returns the n oldest (0: all), the oldest first.
func oldest(ps []PendingView, n int) []PendingView {
	slices.SortStableFunc(ps, func(x, y PendingView) int { return cmp.Compare(x.StartsAt, y.StartsAt) })
	if n > 0 && len(ps) > n {
		ps = ps[:n]
	}
	return ps
}

// keyNamespace returns the namespace in a target's key.
func keyNamespace(key string) string {
	_, rest, _ := strings.Cut(key, " ")
	namespace, _, _ := strings.Cut(rest, "/")
	return namespace
}

func (s *Stage) pendingView(a *alert, p *pair) PendingView {
	t, e := s.targets[p.Target], &a.Event
	v := PendingView{
		ID: deliveryID(e.ID, p.State, p.Target), Alert: e.ID, GlobalNamespace: orDefault(e.GlobalNamespace), Service: e.Service, SLO: e.SLO, Tier: e.Tier,
		Target: t.Target.Name, Type: t.Target.Type, State: p.State, Attempt: p.Attempt, Failed: p.Failed, Open: p.Open, Due: p.Due, StartsAt: e.StartsAt,
		Held: p.Held, Silence: p.Silence,
	}
	if g := s.groups[p.Group]; g != nil {
		v.Due = g.Due
	}
	if p.Failed > 0 {
		v.Message = t.Health.LastMessage
	}
	return v
}

// Stats returns the stage's counts.
func (s *Stage) Stats() Stats { return s.stats }
