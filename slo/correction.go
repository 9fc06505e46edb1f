package slo

import (
	"fmt"
	"math"

	"evenkeel.dev/mesh"
)

// CorrectionEventType is the CloudEvents type of a [CorrectionEvent]; its subject is evenkeel.slo.correction.<gns>.<service>.<slo>.
const CorrectionEventType = "dev.evenkeel.slo.correction.v1"

// Reasons of a correction.
const (
	ReasonExclusionApplied = "ExclusionApplied" // time that was counted does not count any more
	ReasonExclusionRemoved = "ExclusionRemoved" // time that did not count stays out; only what comes from now on counts again
	ReasonLateData         = "LateData"         // samples behind the watermark changed closed minutes by more than lateShare of the budget
)

// lateShare is the share of the whole budget that late samples of one minute must change for a correction to be told.
const lateShare = 0.01

// A CorrectionEvent is the data of a public event: what is known of the past has changed, and the budget with it.
type CorrectionEvent struct {
	GlobalNamespace string `json:"globalNamespace"`
	Service         string `json:"service"`
	SLO             string `json:"slo"`
	Reason          string `json:"reason"`
	Message         string `json:"message"`
	From            Moment `json:"from"`  // of the time that is corrected; LateData: of the minute in which the samples came
	Until           Moment `json:"until"` // the end of it
	// Seconds of that time do not count any more (ExclusionApplied) or did not and stay out (ExclusionRemoved).
	Seconds   int64     `json:"seconds"`
	Exclusion *mesh.Ref `json:"exclusion,omitempty"`
	Why       string    `json:"why,omitempty"` // the exclusion's own reason
	Objective Decimal   `json:"objective"`
	Window    Window    `json:"window"`
	Before    Corrected `json:"before"`
	After     Corrected `json:"after"`
	// ErrorMax is how many events of the window After may be wrong at most: of slices that are excluded in part, a share by time was
	// taken out.
	ErrorMax float64 `json:"errorMax"`
	// Alerts are those that would have been others by what is known now, at the moment at which they fired or did not; of the newest
	// eight firings, and by the slices of the windows.
	Alerts []Differed `json:"alerts,omitempty"`
}

// Corrected is one side of a correction.
type Corrected struct {
	Events Events `json:"events"`
	Budget Budget `json:"budget"`
}

// corrected returns the numbers as they are.
func (t *tracker) corrected(closed int64) Corrected {
	st := t.status(closed)
	return Corrected{st.Events, st.Budget}
}

// correctExcluded takes out what next excludes of the past, and tells it; of what old excluded and next does not, it tells that it
// stays out.
func (s *Stage) correctExcluded(t *tracker, old, next *exclusion) {
	window := t.window(s.closed)
	var applied, left []Span
	if old != nil {
		for _, sp := range old.within(window) {
			left = append(left, sp.in(t.cut.spans)...)
		}
	}
	if next != nil && next.matches(&t.o) {
		spans := next.within(window)
		var kept []Span
		for _, sp := range left {
			kept = append(kept, sp.minus(spans)...)
		}
		left = kept
		for _, sp := range spans {
			applied = append(applied, sp.minus(t.cut.spans)...)
		}
	}
	if len(left) > 0 {
		e := s.correction(t, ReasonExclusionRemoved, old, left)
		e.After = e.Before
		e.Message = fmt.Sprintf("%s of time that did not count stay out of the window; only what comes from now on counts again", Duration(e.Seconds*1000))
		s.emitCorrection(t, e)
	}
	if len(applied) > 0 {
		e := s.correction(t, ReasonExclusionApplied, next, applied)
		e.Alerts = t.differed(t.without(applied, s.closed))
		e.ErrorMax = t.retract(applied, s.closed)
		e.After = t.corrected(s.closed)
		e.Message = fmt.Sprintf("%s of time that was counted do not count any more", Duration(e.Seconds*1000))
		if e.ErrorMax > 0 {
			e.Message += "; of slices that are excluded in part a share by time was taken out, which may be wrong by errorMax events"
		}
		s.emitCorrection(t, e)
	}
}

// correction begins an event about spans, which are ascending.
func (s *Stage) correction(t *tracker, reason string, x *exclusion, spans []Span) CorrectionEvent {
	e := CorrectionEvent{
		GlobalNamespace: t.o.GlobalNamespace, Service: t.o.Service, SLO: t.o.Name, Reason: reason, Objective: t.o.Target, Window: t.o.Window.brief(),
		From: Moment(spans[0].From * 1000), Until: Moment(spans[len(spans)-1].Until * 1000), Before: t.corrected(s.closed),
	}
	for _, sp := range spans {
		e.Seconds += sp.Until - sp.From
	}
	if x != nil {
		e.Exclusion, e.Why = &x.Definition, x.Reason
	}
	return e
}

func (s *Stage) emitCorrection(t *tracker, e CorrectionEvent) {
	t.dirty = true
	s.emitEvent("correction", CorrectionEventType, &t.o, s.now, e)
}

// correctLate tells a minute whose late samples changed the budget by more than lateShare.
func (s *Stage) correctLate(t *tracker, minute int64) {
	m := &t.minute
	late := cell{m.lateGood - m.cutGood, m.lateTotal - m.cutTotal}
	if late == (cell{}) {
		return
	}
	e := s.correction(t, ReasonLateData, nil, []Span{{minute * 60, minute*60 + 60}})
	e.Seconds, e.After = 0, e.Before
	st := Status{Objective: t.o.Target, Events: Events{Good: e.After.Events.Good - late.good, Total: e.After.Events.Total - late.total}}
	if t.slicer != nil {
		st.Slice, st.Slices = t.o.Slice.Length, t.expected(s.closed)
	}
	st.derive()
	e.Before = Corrected{st.Events, st.Budget}
	change := math.Abs(e.After.Budget.Remaining - e.Before.Budget.Remaining)
	if change == 0 || change <= lateShare*e.After.Budget.Total {
		return
	}
	e.Alerts = t.differed(t.lately(minute))
	e.Message = fmt.Sprintf("samples that came late changed closed time: %g events, %g of them bad", late.total, late.total-late.good)
	s.emitCorrection(t, e)
}
