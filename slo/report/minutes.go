package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// CellsMax bounds what is kept: SLOs times days.
const CellsMax = 1_000_000

// LateMax is how long after its minute a frame of the ledger is looked for: a partition may work off a backlog of days.
const LateMax = 3 * bus.Day

// ErrTooMuch says that a report would be over its bound.
type ErrTooMuch struct{ SLOs, Days int }

// Error says what would be right.
func (e *ErrTooMuch) Error() string {
	return fmt.Sprintf("%d SLOs times %d days are more than %d: ask for one service, one global namespace or a shorter time", e.SLOs, e.Days, CellsMax)
}

// Minutes adds up the minutes of the ledger to a [Period]. Frames come in the order of the log.
type Minutes struct {
	span  Span
	days  []bus.Time
	keeps func(slo.StatusKey) bool
	told  bus.Time // end of the newest minute
	slos  map[slo.StatusKey]*counted
	ends  map[slo.StatusKey]string // states when the span ended, where they changed later
	rings map[slo.StatusKey][]PeriodAlert
}

type count struct {
	good, total       float64
	covered, excluded int64
}

// A counted is what one SLO's minutes add up to.
type counted struct {
	generation uint32
	before     count
	days       []count
	changed    bus.Time // when its SLI became another one; what was before is left out
	undated    float64  // late events whose minutes are not known; they count in the minute that told of them
}

// NewMinutes begins a report about the SLOs that keeps says yes to.
func NewMinutes(s Span, keeps func(slo.StatusKey) bool) *Minutes {
	return &Minutes{span: s, days: s.days(), keeps: keeps, slos: map[slo.StatusKey]*counted{}, ends: map[slo.StatusKey]string{}, rings: map[slo.StatusKey][]PeriodAlert{}}
}

// Take adds a frame of the ledger. What is of another time is left out, but for the late events that belong here.
func (m *Minutes) Take(f *slo.LedgerFrame) error {
	inside := f.Minute >= m.span.Before && f.Minute < m.span.end()
	m.told = max(m.told, f.Minute+bus.Minute)
	for i := range f.Entries {
		e := &f.Entries[i]
		if !inside && len(e.Late) == 0 || !m.keeps(e.StatusKey) {
			continue
		}
		c, err := m.of(e, f.Minute, inside)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		good, total := e.LateGood, e.LateTotal
		for _, l := range e.Late {
			c.put(m.day(l.Minute), l.Good, l.Total)
			good, total = good-l.Good, total-l.Total
		}
		if !inside {
			continue
		}
		day := m.day(f.Minute)
		c.put(day, e.Good+good, e.Total+total)
		if day >= 0 && (good != 0 || total != 0) {
			c.undated += max(math.Abs(total), math.Abs(total-good))
		}
		c.at(day).excluded += int64(e.Excluded)
		m.cover(c, f.Minute+bus.Minute, int64(e.Covered))
	}
	return nil
}

// of returns what an SLO's minutes add up to. Another generation counts something else: it begins anew; nil where that is after the span.
func (m *Minutes) of(e *slo.LedgerEntry, minute bus.Time, inside bool) (*counted, error) {
	c := m.slos[e.StatusKey]
	switch {
	case c != nil && c.generation == e.Generation:
		return c, nil
	case !inside:
		return nil, nil
	case c == nil:
		if n := len(m.slos) + 1; n*len(m.days) > CellsMax {
			return nil, &ErrTooMuch{n, len(m.days)}
		}
		c = &counted{generation: e.Generation, days: make([]count, len(m.days))}
		m.slos[e.StatusKey] = c
	default:
		*c = counted{generation: e.Generation, days: make([]count, len(m.days)), changed: minute}
	}
	return c, nil
}

// Days of what is not in the span.
const (
	dayBefore = -1
	dayNone   = -2
)

// day returns the number of the day that holds a moment.
func (m *Minutes) day(t bus.Time) int {
	switch {
	case t < m.span.Before, t >= m.span.end():
		return dayNone
	case t < m.span.From:
		return dayBefore
	}
	i, found := slices.BinarySearch(m.days, t)
	if !found {
		i--
	}
	return i
}

func (c *counted) at(day int) *count {
	switch day {
	case dayNone:
		return &count{}
	case dayBefore:
		return &c.before
	}
	return &c.days[day]
}

func (c *counted) put(day int, good, total float64) {
	to := c.at(day)
	to.good += good
	to.total += total
}

// cover notes seconds that have data, the last of which ends at a moment; they may begin in the day before.
func (m *Minutes) cover(c *counted, end bus.Time, seconds int64) {
	for seconds > 0 {
		day := m.day(end - bus.Second)
		n := seconds
		switch {
		case day >= 0:
			n = min(n, int64((end-m.days[day])/bus.Second))
		case day == dayBefore:
			n = min(n, int64((end-m.span.Before)/bus.Second))
		}
		c.at(day).covered += n
		seconds -= n
		end -= bus.Time(n) * bus.Second
	}
}

// Event takes a public event that happened since the span began; those that are neither alerts nor changes of state change nothing.
func (m *Minutes) Event(typ string, data []byte) error {
	switch typ {
	case slo.AlertEventType:
		var e slo.AlertEvent
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("alert event: %w", err)
		}
		m.alert(&e)
	case slo.StatusEventType:
		var e slo.StatusEvent
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("status event: %w", err)
		}
		k := e.Key()
		if _, known := m.ends[k]; !known && e.AsOf.Time() >= m.span.Until && m.keeps(k) {
			m.ends[k] = e.Previous
		}
	}
	return nil
}

func (m *Minutes) alert(e *slo.AlertEvent) {
	var at slo.Moment
	k := slo.StatusKey{GlobalNamespace: e.GlobalNamespace, Service: e.Service, Name: e.SLO}
	late := e.State == slo.AlertLate
	if err := at.UnmarshalText([]byte(e.StartsAt)); err != nil || !late && e.State != slo.AlertFiring || m.day(at.Time()) < 0 || !m.keeps(k) {
		return
	}
	rs := m.rings[k]
	i := slices.IndexFunc(rs, func(a PeriodAlert) bool { return a.Tier == e.Tier && a.Severity == e.Severity })
	if i < 0 {
		i = len(rs)
		rs = append(rs, PeriodAlert{Tier: e.Tier, Severity: e.Severity})
	}
	if late {
		rs[i].Late++
	} else {
		rs[i].Fired++
	}
	m.rings[k] = rs
}

// A Past says from which moments on minutes and events are kept (0: from their beginning), and how many messages are damaged.
type Past struct {
	Ledger, Events bus.Time
	Damaged        int
}

// Report returns what it all adds up to. present are the SLOs as they are now.
func (m *Minutes) Report(present []slo.Status, past Past) *Period {
	s := m.span
	p := &Period{Version: Version, Month: s.Month, TimeZone: s.Zone.Name, From: slo.Moment(s.From), Until: slo.Moment(s.Until), AsOf: slo.Moment(m.asOf()), Complete: s.Complete(),
		Before: slo.Moment(s.Before), LedgerFrom: slo.Moment(past.Ledger), EventsFrom: slo.Moment(past.Events), Notes: []Note{}, Totals: []Total{}, SLOs: []PeriodSLO{}, rules: s.Zone}
	now := map[slo.StatusKey]*slo.Status{}
	for i := range present {
		k := present[i].Key()
		if !m.keeps(k) {
			continue
		}
		now[k] = &present[i]
		if m.slos[k] == nil && present[i].CountedFrom.Time() < s.end() {
			m.slos[k] = &counted{days: make([]count, len(m.days))}
		}
	}
	for k, c := range m.slos { // sorted below
		o := m.one(k, c, now, past)
		if now[k] != nil || o.Total != 0 || o.CoveredSeconds > 0 {
			p.SLOs = append(p.SLOs, o)
		}
	}
	slices.SortFunc(p.SLOs, comparePeriodSLOs)
	p.total()
	p.note(past)
	return p
}

// asOf returns up to when minutes were told; of a span that is over, what is missing at its end is a gap.
func (m *Minutes) asOf() bus.Time {
	end := m.span.end()
	if m.span.Complete() || m.told <= m.span.From {
		return end
	}
	return min(end, m.told)
}

func comparePeriodSLOs(a, b PeriodSLO) int {
	family := func(s PeriodSLO) string { return cmp.Or(s.RollUp, s.Name) }
	return cmp.Or(cmp.Compare(a.GlobalNamespace, b.GlobalNamespace), cmp.Compare(a.Service, b.Service), cmp.Compare(family(a), family(b)), cmp.Compare(a.RollUp, b.RollUp), cmp.Compare(a.Name, b.Name))
}

// one renders an SLO. A group that has ended had the objective of its roll-up.
func (m *Minutes) one(k slo.StatusKey, c *counted, now map[slo.StatusKey]*slo.Status, past Past) PeriodSLO {
	o := PeriodSLO{GlobalNamespace: k.GlobalNamespace, Service: k.Service, Name: k.Name, Days: []Day{}, Alerts: m.rings[k]}
	st := now[k]
	if rollUp, _, group := strings.Cut(k.Name, "_"); st == nil && group {
		o.RollUp = rollUp
		if all := now[slo.StatusKey{GlobalNamespace: k.GlobalNamespace, Service: k.Service, Name: rollUp}]; all != nil {
			st = &slo.Status{Objective: all.Objective, Method: all.Method, Slice: all.Slice, RollUp: rollUp}
		}
	}
	if o.Alerts == nil {
		o.Alerts = []PeriodAlert{}
	}
	slices.SortFunc(o.Alerts, func(a, b PeriodAlert) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Tier, b.Tier))
	})
	var all count
	for i, d := range c.days {
		o.Days = append(o.Days, Day{m.span.date(m.days[i]), d.good, d.total, d.covered, d.excluded})
		all = count{all.good + d.good, all.total + d.total, all.covered + d.covered, all.excluded + d.excluded}
	}
	seconds := func(from, until bus.Time) int64 { return int64((until - from) / bus.Second) }
	s := m.span
	o.Sums = sumsOf(all, st, length{seconds(s.From, s.Until), seconds(s.From, s.end())})
	if was := seconds(s.Before, s.From); c.before.total != 0 || c.before.covered > 0 {
		b := sumsOf(c.before, st, length{was, was})
		o.Before = &b
	}
	if st != nil {
		o.Objective, o.Method, o.Slice, o.RollUp, o.Group = &st.Objective, st.Method, st.Slice, st.RollUp, st.Group
	}
	o.StateAtEnd = m.endState(k, st, past)
	o.notes(c, st, s)
	return o
}

// endState returns the state when the span ended, or of now where it has not; "" where nothing of then is kept.
func (m *Minutes) endState(k slo.StatusKey, st *slo.Status, past Past) string {
	if m.span.Complete() {
		if was, changed := m.ends[k]; changed && past.Events <= m.span.Until {
			return was
		}
		if past.Events > m.span.Until {
			return ""
		}
	}
	if st == nil {
		return ""
	}
	return st.State // nothing has changed since
}

func (o *PeriodSLO) notes(c *counted, st *slo.Status, s Span) {
	add := func(reason, message string) { o.Notes = append(o.Notes, Note{reason, message}) }
	switch {
	case st == nil:
		add("NotDefined", "It is not defined any more: its objective is not known")
	case st.State == "":
		add("GroupEnded", "The group has ended; its objective is that of the roll-up")
	case st.CountedFrom.Time() > s.From && c.changed == 0:
		add("NewInSpan", "It counts from "+s.clock(st.CountedFrom.Time(), minuteForm)+" on")
	}
	if c.changed != 0 {
		add("SLIChanged", "Its SLI is another one since "+s.clock(c.changed, minuteForm)+"; what was counted before is left out")
	}
	if c.undated > 0 {
		add("LateEvents", number(c.undated)+" events came, or were taken out, so late that their minutes are not known; they count on the day that they became known")
	}
}

// minuteForm writes a moment of the span's zone.
const minuteForm = "2006-01-02 15:04"

func (p *Period) note(past Past) {
	add := func(reason, message string) { p.Notes = append(p.Notes, Note{reason, message}) }
	if !p.Complete {
		add("SoFar", "The time is not over: all numbers are so far, and budgets in minutes are those of the whole")
	}
	if past.Ledger > p.Before.Time() {
		add("LedgerDropped", "Minutes before "+clock(p.LedgerFrom)+" UTC are not kept any more")
	}
	if past.Events > p.From.Time() {
		add("EventsDropped", "Alerts before "+clock(p.EventsFrom)+" UTC are not kept any more, and not counted")
	}
	if past.Damaged > 0 {
		add("Damaged", fmt.Sprintf("%d messages are damaged and left out", past.Damaged))
	}
}

// total counts verdicts and alerts by service and global namespace.
func (p *Period) total() {
	at := map[[2]string]*Total{}
	for i := range p.SLOs {
		s := &p.SLOs[i]
		for _, service := range []string{"", s.Service} {
			k := [2]string{s.GlobalNamespace, service}
			if at[k] == nil {
				at[k] = &Total{GlobalNamespace: s.GlobalNamespace, Service: service}
			}
			at[k].add(s)
		}
	}
	for _, t := range at { // sorted below
		p.Totals = append(p.Totals, *t)
	}
	slices.SortFunc(p.Totals, func(a, b Total) int {
		return cmp.Or(cmp.Compare(a.GlobalNamespace, b.GlobalNamespace), cmp.Compare(a.Service, b.Service))
	})
}

func (t *Total) add(s *PeriodSLO) {
	t.SLOs++
	switch s.Verdict {
	case VerdictMet:
		t.Met++
	case VerdictMissed:
		t.Missed++
	default:
		t.NotKnown++
	}
	if s.Coverage < GapShare {
		t.Gaps++
	}
	if s.Before != nil && s.Before.Verdict == VerdictMet {
		t.MetBefore++
	} else if s.Before != nil && s.Before.Verdict == VerdictMissed {
		t.MissedBefore++
	}
	for _, a := range s.Alerts {
		if a.Severity == slo.SeverityPage {
			t.Pages += a.Fired
		} else {
			t.Tickets += a.Fired
		}
	}
}
