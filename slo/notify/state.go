package notify

import (
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A target is a Target with what the stage knows of how it fares.
type target struct {
	Key        string   `json:"key"`
	Target     Target   `json:"target"`
	Watchdog   bus.Time `json:"watchdog,omitempty"`   // when the next one is due
	WatchdogID string   `json:"watchdogId,omitempty"` // of the last one
	Health     Health   `json:"health"`
}

// Health is how a target's deliveries went, Watchdogs included.
type Health struct {
	Delivered     uint64   `json:"delivered"`
	Failed        uint64   `json:"failed"`        // attempts with outcome retry or rejected
	InRow         uint64   `json:"inRow"`         // of those, since the last delivered one
	LastDelivered bus.Time `json:"lastDelivered"` // 0: never
	LastFailed    bus.Time `json:"lastFailed"`    // 0: never
	LastMessage   string   `json:"lastMessage,omitempty"`
}

func (h *Health) note(r *Result, now bus.Time) {
	switch r.Outcome {
	case OutcomeDelivered:
		h.Delivered++
		h.InRow, h.LastDelivered = 0, now
		if r.Message != "" {
			h.LastMessage = r.Message // some of its recipients did not take it
		}
	case OutcomeRetry, OutcomeRejected:
		h.Failed++
		h.InRow++
		h.LastFailed, h.LastMessage = now, r.Message
	}
}

// An alert is one that fires, or that is over while somebody has still to be told.
type alert struct {
	Event slo.AlertEvent `json:"event"` // the newest: firing, then resolved
	Attr  Attributes     `json:"attr"`
	Size  int            `json:"size"`
	Ended bool           `json:"ended,omitempty"`
	Pairs []*pair        `json:"pairs,omitempty"` // by target
}

// A pair is one alert and one target: what is to be told, and how far that has come.
type pair struct {
	Target  string   `json:"target"`           // key
	State   string   `json:"state"`            // to be told: firing or resolved
	Attempt int      `json:"attempt"`          // number of the last order under this state's ID
	Open    bool     `json:"open,omitempty"`   // an order is out and has no result
	Due     bus.Time `json:"due,omitempty"`    // when to act: the order's timeout, or the next attempt; 0 never
	Sent    bus.Time `json:"sent,omitempty"`   // when the last order was given
	Failed  int      `json:"failed,omitempty"` // failures since something was delivered
	Silent  int      `json:"silent,omitempty"` // orders in a row that had no result in time
	Since   bus.Time `json:"since,omitempty"`  // first of those failures
	Told    bool     `json:"told,omitempty"`   // it was delivered that the alert fires
	Tried   bool     `json:"tried,omitempty"`  // an attempt to tell it failed on the way, and may have got there
	Maybe   bool     `json:"maybe,omitempty"`  // an order to tell it had no result in time
	Dead    bool     `json:"dead,omitempty"`   // a dead letter stands for it
	Skewed  bool     `json:"skewed,omitempty"` // the sender's clock is ahead of the log's: orders hold for a day

	Held    string `json:"held,omitempty"`    // why it is not told for now: one of the Held constants
	Silence string `json:"silence,omitempty"` // ID of the silence that holds it
	Group   string `json:"group,omitempty"`   // key of the group in which it waits to be sent
	Batch   string `json:"batch,omitempty"`   // ID of its last order, where that carried a group
	BatchN  int    `json:"batchN,omitempty"`  // and its attempt
	ToldIn  string `json:"toldIn,omitempty"`  // for the end: the order that told the beginning, where that carried a group
}

// heard reports whether the target knows, or may know, that the alert fires.
func (p *pair) heard() bool { return p.Told || p.Tried || p.Maybe }

// toResolved begins to tell the end.
func (s *Stage) toResolved(a *alert, p *pair) {
	told := p.Batch
	s.setBatch(a, p, "", 0)
	p.State, p.Attempt, p.Open, p.Failed, p.Silent, p.Since, p.Dead = slo.AlertResolved, 0, false, 0, 0, 0, false
	p.Held, p.Silence, p.ToldIn = "", "", told
}

func (a *alert) pair(target string) *pair {
	for _, p := range a.Pairs {
		if p.Target == target {
			return p
		}
	}
	return nil
}

// addAlert keeps an alert; the caller has looked at the bounds.
func (s *Stage) addAlert(a *alert) {
	id, key := a.Event.ID, alertKey(&a.Event)
	s.alerts[id] = a
	s.bytes += a.Size
	s.byKey[key] = append(s.byKey[key], id)
	s.bySLO[sloKey(&a.Event)] = append(s.bySLO[sloKey(&a.Event)], id)
	for _, p := range a.Pairs {
		s.index(id, p.Target)
	}
}

func (s *Stage) index(id, target string) {
	for _, state := range []string{slo.AlertFiring, slo.AlertResolved} {
		s.byDelivery[deliveryID(id, state, target)] = pairRef{alert: id, target: target}
	}
}

// setBatch notes the group order that a pair went out with, "" for none.
func (s *Stage) setBatch(a *alert, p *pair, id string, attempt int) {
	ref := pairRef{alert: a.Event.ID, target: p.Target}
	if p.Batch != "" {
		drop(s.byBatch, p.Batch, ref)
	}
	if p.Batch, p.BatchN = id, attempt; id != "" {
		s.byBatch[id] = append(s.byBatch[id], ref)
	}
}

// drop takes one entry out of an index.
func drop[T comparable](index map[string][]T, key string, entry T) {
	rest := slices.DeleteFunc(index[key], func(x T) bool { return x == entry })
	if len(rest) == 0 {
		delete(index, key)
	} else {
		index[key] = rest
	}
}

// setEvent replaces the event of an alert that is kept.
func (s *Stage) setEvent(a *alert, e *slo.AlertEvent, attr Attributes, size int) {
	s.bytes += size - a.Size
	a.Event, a.Attr, a.Size = *e, attr, size
}

// addPair adds a pair in the order of targets.
func (s *Stage) addPair(a *alert, p *pair) {
	i, _ := slices.BinarySearchFunc(a.Pairs, p.Target, func(p *pair, t string) int { return strings.Compare(p.Target, t) })
	a.Pairs = slices.Insert(a.Pairs, i, p)
	s.index(a.Event.ID, p.Target)
}

// removePair forgets a pair, and its alert when that is over and nobody else is to be told.
func (s *Stage) removePair(a *alert, p *pair) {
	s.setBatch(a, p, "", 0)
	a.Pairs = slices.DeleteFunc(a.Pairs, func(q *pair) bool { return q == p })
	s.wakeInhibited(a)
	for _, state := range []string{slo.AlertFiring, slo.AlertResolved} {
		delete(s.byDelivery, deliveryID(a.Event.ID, state, p.Target))
	}
	s.sweep(a)
}

// sweep forgets an alert that is over and has nobody to be told.
func (s *Stage) sweep(a *alert) {
	if !a.Ended || len(a.Pairs) > 0 || s.alerts[a.Event.ID] != a {
		return
	}
	id := a.Event.ID
	delete(s.alerts, id)
	s.bytes -= a.Size
	drop(s.byKey, alertKey(&a.Event), id)
	drop(s.bySLO, sloKey(&a.Event), id)
}

func (s *Stage) sortTargets() {
	s.order = s.order[:0]
	for k := range s.targets {
		s.order = append(s.order, k)
	}
	slices.Sort(s.order)
}

// removeTarget forgets a target and all that was to be told to it.
func (s *Stage) removeTarget(key string) {
	if s.targets[key] == nil {
		return
	}
	delete(s.targets, key)
	s.sortTargets()
	for k := range s.cool {
		if k.target == key {
			delete(s.cool, k)
		}
	}
	for _, id := range s.alertIDs() {
		a := s.alerts[id]
		if p := a.pair(key); p != nil {
			s.removePair(a, p)
		}
	}
}

func (s *Stage) alertIDs() []string {
	ids := make([]string, 0, len(s.alerts))
	for id := range s.alerts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Stats count what the stage met since its log began.
type Stats struct {
	Orders       uint64 `json:"orders"` // deliveries ordered, each attempt and Watchdog
	Delivered    uint64 `json:"delivered"`
	Retried      uint64 `json:"retried"` // results with outcome retry
	Rejected     uint64 `json:"rejected"`
	Expired      uint64 `json:"expired"`
	Silent       uint64 `json:"silent"`       // orders without a result in time
	Late         uint64 `json:"late"`         // alerts that were over before a target could be told
	Dead         uint64 `json:"dead"`         // dead letters made
	DeadDropped  uint64 `json:"deadDropped"`  // dead letters dropped, the oldest, at the bound
	NoTarget     uint64 `json:"noTarget"`     // alerts, or names in alerts, without a target
	Overload     uint64 `json:"overload"`     // alerts over AlertsMax, AlertBytesMax or EventBytesMax
	TargetsOver  uint64 `json:"targetsOver"`  // targets over TargetsMax
	BadTargets   uint64 `json:"badTargets"`   // definitions that are no valid target
	Superseded   uint64 `json:"superseded"`   // alerts whose end was never told and whose next beginning was
	Skewed       uint64 `json:"skewed"`       // orders that lapsed by the sender's clock and not by the log's
	StaleResults uint64 `json:"staleResults"` // results of nothing that is awaited
	Undecodable  uint64 `json:"undecodable"`  // records that could not be read
	Missing      uint64 `json:"missing"`      // messages that the log has lost

	Silenced        uint64 `json:"silenced,omitempty"`        // alerts and targets held by a silence
	Inhibited       uint64 `json:"inhibited,omitempty"`       // held by a page of the same SLO
	CoolDown        uint64 `json:"coolDown,omitempty"`        // held by the target's cool-down
	CoolOver        uint64 `json:"coolOver,omitempty"`        // cool-downs over CoolMax
	Groups          uint64 `json:"groups,omitempty"`          // orders that carry a group
	Grouped         uint64 `json:"grouped,omitempty"`         // alerts in them
	Truncated       uint64 `json:"truncated,omitempty"`       // of those, counted in the message and not written out
	SilencesRefused uint64 `json:"silencesRefused,omitempty"` // that are wrong, or over a bound
	Tests           uint64 `json:"tests,omitempty"`           // tests of targets ordered
}
