package slo

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"

	"evenkeel.dev/bus"
)

// Rules of alerts.
const (
	// resolveAfter is how long the short windows must stay under before an alert is resolved.
	resolveAfter = 2 * bus.Minute
	// behindAfter is how far behind the log's time the watermark may be for an alert to fire (SAFETY 10).
	behindAfter = 30 * bus.Second
	// awayAfter is the time between two ticks that says that the engine was away.
	awayAfter = 30 * bus.Second
)

// Reasons of alert events.
const (
	ReasonBurnRateHigh     = "BurnRateHigh"     // firing: both windows of a pair are over its factor
	ReasonBurnRateRising   = "BurnRateRising"   // pending: a long window is over, its short one is not yet
	ReasonBurnRateLow      = "BurnRateLow"      // resolved, inactive
	ReasonEndedWhileBehind = "EndedWhileBehind" // late: it began and ended while the engine or its data was behind
	ReasonDeleted          = "Deleted"          // the SLO is gone
	ReasonRenamed          = "Renamed"          // the SLO has another name now
	ReasonSLIChanged       = "SLIChanged"       // its SLI counts something else now
	ReasonAlertingChanged  = "AlertingChanged"  // the tier is gone
)

// SubjectAlertDetail carries an [AlertDetail]: log.detail.slo.alert.
const SubjectAlertDetail = bus.SubjectDetail + "slo.alert"

// An AlertDetail is the decision of one change of an alert in full.
type AlertDetail struct {
	Event   AlertEvent   `json:"event"`
	AsOf    Moment       `json:"asOf"`   // event time of the decision
	Behind  bool         `json:"behind"` // it was made on data that is behind
	Pairs   []AlertPair  `json:"pairs"`  // all pairs of the tier
	Windows []WindowData `json:"windows"`
}

// WindowData are the counts of a window.
type WindowData struct {
	Window Duration `json:"window"`
	Good   float64  `json:"good"`
	Total  float64  `json:"total"`
}

// An alert is one tier's state. Its state "late" is internal: burning, found while behind, told to nobody yet.
type alert struct {
	state  string
	on     uint8    // pairs that were over and whose short window still is
	tail   bool     // it was resolved, and a long window is still over from then
	told   bool     // pending was told
	old    bool     // a page was told as late: what its windows still hold is over, until the last minutes are bad again
	since  bus.Time // event time of the last change of state
	starts bus.Time // event time of its begin
	under  bus.Time // event time since when no pair is on; 0 while one is
	id     uint64
	pair   uint8 // that decided last
}

func (a *alert) shown() string {
	if a.state == AlertLate {
		if a.told {
			return AlertPending
		}
		return AlertInactive
	}
	return a.state
}

// watch decides about all alerts of an SLO at the event time at.
func (s *Stage) watch(t *tracker, at bus.Time, behind bool) {
	if t.unknown(secondOf(at), s.now) != "" {
		return // what is not known changes nothing
	}
	for i := range t.alerts {
		switch tier := &t.tiers[i]; {
		case tier.isBurn():
			s.watchTier(t, i, at, behind)
		case tier.Absent == 0:
			s.watchBudget(t, i, at, behind)
		}
	}
}

// look compares the pairs with their factors. A long window whose events are too few to tell counts as under.
func (t *tracker) look(i int, closed int64) (long, short uint8) {
	for k, p := range t.pairs[i] {
		l, sh := t.burn(p.long, closed), t.burn(p.short, closed)
		if t.budget.over(l.good, l.total, p.factor) && t.sure(l) {
			long |= 1 << k
		}
		if t.budget.over(sh.good, sh.total, p.factor) {
			short |= 1 << k
		}
	}
	return long, short
}

func (s *Stage) watchTier(t *tracker, i int, at bus.Time, behind bool) {
	a := &t.alerts[i]
	long, short := t.look(i, secondOf(at))
	both := long & short
	if long == 0 {
		a.tail = false
	}
	if both != 0 {
		a.pair = lowest(both)
	}
	switch a.state {
	case AlertFiring:
		a.on = both | a.on&short
		if a.settled(at) {
			s.change(t, i, AlertResolved, ReasonBurnRateLow, at, behind)
		}
	case AlertLate:
		a.on = both | a.on&short
		switch {
		case !behind && both != 0 && (t.tiers[i].Severity != SeverityPage || t.burnsNow()):
			s.change(t, i, AlertFiring, ReasonBurnRateHigh, at, behind)
		case a.settled(at) || !behind:
			s.change(t, i, AlertLate, ReasonEndedWhileBehind, at, behind)
		}
	case AlertPending, AlertInactive:
		s.rise(t, i, at, long, both, behind)
	}
}

// burnsNow reports whether the last five minutes, or the last slice of time, miss the objective. A page that began while the engine was behind needs it: its
// windows may hold for half an hour what was over before anyone could look.
func (t *tracker) burnsNow() bool {
	if t.slicer != nil {
		return t.slicer.bad
	}
	r := &t.rings.rings[t.windowIndex(sliWindow)]
	return t.budget.over(r.good, r.total, odds{1, 1})
}

// rise handles an alert that does not burn yet.
func (s *Stage) rise(t *tracker, i int, at bus.Time, long, both uint8, behind bool) {
	a := &t.alerts[i]
	pending := long != 0 && both == 0 && !a.tail
	a.old = a.old && both != 0
	if both == 0 && behind || a.old && !t.burnsNow() {
		return
	}
	switch {
	case both != 0:
		a.on, a.under, a.tail, a.old = both, 0, false, false
		if a.state == AlertInactive {
			a.begin(t, i, at)
		} else {
			a.starts = at
		}
		if behind {
			a.state, a.since = AlertLate, at
			return
		}
		s.change(t, i, AlertFiring, ReasonBurnRateHigh, at, behind)
	case pending && a.state == AlertInactive:
		a.begin(t, i, at)
		a.told, a.pair = true, lowest(long)
		s.change(t, i, AlertPending, ReasonBurnRateRising, at, behind)
	case !pending && a.state == AlertPending:
		s.change(t, i, AlertInactive, ReasonBurnRateLow, at, behind)
	}
}

// settled reports whether no pair has been on for long enough.
func (a *alert) settled(at bus.Time) bool {
	if a.on != 0 {
		a.under = 0
		return false
	}
	if a.under == 0 {
		a.under = at
	}
	return at-a.under >= resolveAfter
}

// begin gives an alert its name until it is resolved: a hash of what it is about and when it began.
func (a *alert) begin(t *tracker, i int, at bus.Time) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s\x00%d\x00%d", t.key, t.tiers[i].Name, t.generation, at)
	a.id, a.starts, a.told = h.Sum64(), at, false
}

func lowest(mask uint8) uint8 {
	for k := uint8(0); k < 8; k++ {
		if mask&(1<<k) != 0 {
			return k
		}
	}
	return 0
}

// change moves an alert to a state and tells it.
func (s *Stage) change(t *tracker, i int, state, reason string, at bus.Time, behind bool) {
	a := &t.alerts[i]
	e := t.alertEvent(i, state, reason, at)
	switch state {
	case AlertResolved, AlertLate, AlertInactive:
		long, _ := t.look(i, secondOf(at))
		*a = alert{state: AlertInactive, since: at, tail: long != 0 && state != AlertInactive, old: state == AlertLate}
	default:
		a.state, a.since, a.under = state, at, 0
	}
	if state == AlertFiring {
		t.remember(i, at)
	} else {
		t.settle(i, at)
	}
	t.dirty = true
	s.emitAlert(t, i, e, at, behind)
}

// drop ends the alerts of an SLO that is gone or counts something else now.
func (s *Stage) drop(t *tracker, i int, reason string) {
	a := &t.alerts[i]
	switch {
	case a.state == AlertFiring:
		s.change(t, i, AlertResolved, reason, s.now, false)
	case a.state == AlertLate:
		s.change(t, i, AlertLate, reason, s.now, true)
	case a.state == AlertPending:
		s.change(t, i, AlertInactive, reason, s.now, false)
	}
	*a = alert{state: AlertInactive, since: a.since}
}

func (t *tracker) alertEvent(i int, state, reason string, at bus.Time) AlertEvent {
	a, tier := &t.alerts[i], &t.tiers[i]
	st := t.status(secondOf(at))
	var id [8]byte
	for k := range id {
		id[k] = byte(a.id >> (56 - 8*k))
	}
	e := AlertEvent{
		ID: hex.EncodeToString(id[:]), GlobalNamespace: t.o.GlobalNamespace, Service: t.o.Service, SLO: t.o.Name, DisplayName: t.o.DisplayName,
		Tier: tier.Name, Severity: tier.Severity, State: state, Reason: reason, StartsAt: a.starts.String(),
		Objective: t.o.Target, Window: t.o.Window.brief(), Budget: st.Budget, Excluded: st.Excluded,
		Notify: t.o.Alerting.Notify, Runbook: t.o.Alerting.Runbook, Annotations: t.o.Alerting.Annotations,
	}
	if len(tier.Notify) > 0 {
		e.Notify = tier.Notify
	}
	if state == AlertResolved || state == AlertLate || state == AlertInactive {
		e.EndsAt = max(at, a.starts).String()
	}
	if ps := t.evidence(i, secondOf(at)); len(ps) > 0 {
		e.Pair = &ps[min(int(a.pair), len(ps)-1)]
	}
	return e
}

// evidence returns the pairs of a tier with the rates they see.
func (t *tracker) evidence(i int, closed int64) []AlertPair {
	var out []AlertPair
	for k, p := range t.pairs[i] {
		out = append(out, *t.rates(i, k, t.burn(p.long, closed), t.burn(p.short, closed)))
	}
	return out
}

func (s *Stage) emitAlert(t *tracker, i int, e AlertEvent, at bus.Time, behind bool) {
	s.Stats.AlertEvents.Add(1)
	s.emitEvent("alert", AlertEventType, &t.o, at, e)
	d := AlertDetail{Event: e, AsOf: Moment(at), Behind: behind, Pairs: t.evidence(i, secondOf(at))}
	for k, w := range t.windows {
		r := t.burn(k, secondOf(at))
		d.Windows = append(d.Windows, WindowData{Window: w, Good: r.good, Total: r.total})
	}
	s.out = append(s.out, bus.Draft{Subject: SubjectAlertDetail, To: bus.All, Data: mustJSON(d)})
}

// emitEvent drafts a public event about an SLO.
func (s *Stage) emitEvent(kind, typ string, o *Objective, at bus.Time, data any) {
	s.out = append(s.out, bus.Draft{
		Subject: bus.EventSubject(StageName, kind, o.GlobalNamespace, o.Service, o.Name),
		To:      bus.All,
		Event:   &bus.Event{Type: typ, Subject: o.GlobalNamespace + "/" + o.Service + "/" + o.Name, Time: at},
		Data:    mustJSON(data),
	})
}

// mustJSON encodes values of this package, which hold no number that JSON cannot write.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("slo: " + err.Error() + strconv.Quote(fmt.Sprintf("%T", v)))
	}
	return b
}
