package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// early is the share of a rolling window below which a breach that ends is early.
const early = 10

// A Collector makes a [Run] of the drafts of slo stages. It belongs to one goroutine.
type Collector struct {
	from  bus.Time
	step  bus.Time
	slos  map[slo.StatusKey]*SLO
	next  map[int]bus.Time // by partition: when points are due
	asOf  map[int]bus.Time
	notes []Note
}

// NewCollector returns a collector for objectives that are defined at from, with a point every step.
func NewCollector(objectives []slo.Objective, from, step bus.Time) *Collector {
	c := &Collector{from: from, step: step, slos: map[slo.StatusKey]*SLO{}, next: map[int]bus.Time{}, asOf: map[int]bus.Time{}}
	for i := range objectives {
		o := &objectives[i]
		c.slos[slo.StatusKey{GlobalNamespace: o.GlobalNamespace, Service: o.Service, Name: o.Name}] = &SLO{
			DisplayName: o.DisplayName, Tiers: o.Tiers(), Step: slo.Duration(step),
			Status: slo.Status{GlobalNamespace: o.GlobalNamespace, Service: o.Service, Name: o.Name, Objective: o.Target, Window: o.Window, State: slo.StateUnknown, Reason: slo.ReasonNoDataYet},
		}
	}
	return c
}

// Take looks at a draft that a partition's stage made at the record time now.
func (c *Collector) Take(partition int, now bus.Time, d *bus.Draft) error {
	switch {
	case strings.HasPrefix(d.Subject, slo.SubjectStatusFrame):
		if now < c.next[partition] {
			return nil
		}
		return c.frame(partition, now, d.Data)
	case d.Event != nil && d.Event.Type == slo.AlertEventType:
		var e slo.AlertEvent
		if err := json.Unmarshal(d.Data, &e); err != nil {
			return fmt.Errorf("alert event: %w", err)
		}
		return c.alert(&e)
	case d.Event != nil && d.Event.Type == slo.StatusEventType:
		var e slo.StatusEvent
		if err := json.Unmarshal(d.Data, &e); err != nil {
			return fmt.Errorf("status event: %w", err)
		}
		c.change(&e)
	case d.Subject == slo.SubjectDefinitionDetail:
		var e slo.DefinitionDetail
		if err := json.Unmarshal(d.Data, &e); err != nil {
			return fmt.Errorf("definition detail: %w", err)
		}
		if e.Reason == slo.DefinitionRefused || e.Reason == slo.DefinitionUnreadable {
			c.notes = append(c.notes, Note{Reason: e.Reason, Message: fmt.Sprintf("%s/%s/%s: %s", e.GlobalNamespace, e.Service, e.SLO, e.Message)})
		}
	}
	return nil
}

// Settle makes every status frame from now on be looked at, for the end of a replay.
func (c *Collector) Settle() {
	clear(c.next)
	c.step = 0
}

// AsOf returns the event time up to which a partition was last seen to have counted.
func (c *Collector) AsOf(partition int) bus.Time { return c.asOf[partition] }

// frame takes points, and keeps the newest status.
func (c *Collector) frame(partition int, now bus.Time, data []byte) error {
	f, err := slo.DecodeStatusFrame(data)
	if err != nil {
		return err
	}
	c.asOf[partition] = f.AsOf.Time()
	for i := range f.Statuses {
		st := &f.Statuses[i]
		s := c.slos[slo.StatusKey{GlobalNamespace: st.GlobalNamespace, Service: st.Service, Name: st.Name}]
		if s == nil {
			continue
		}
		s.Status = *st
		if f.Parts == 0 || c.step == 0 {
			continue
		}
		if len(s.Points) == MaxPoints {
			s.Left++
			continue
		}
		s.Points = append(s.Points, pointOf(st))
	}
	if f.Parts > 0 && f.Part == f.Parts-1 && c.step > 0 {
		c.next[partition] = c.from + ((now-c.from)/c.step+1)*c.step
	}
	return nil
}

func pointOf(st *slo.Status) Point {
	return Point{At: st.AsOf, SLI: st.SLI, RemainingRatio: st.Budget.RemainingRatio, Coverage: st.Coverage, BurnRates: orEmpty(st.BurnRates)}
}

func (c *Collector) alert(e *slo.AlertEvent) error {
	s := c.slos[slo.StatusKey{GlobalNamespace: e.GlobalNamespace, Service: e.Service, Name: e.SLO}]
	if s == nil {
		return nil
	}
	var starts, ends slo.Moment
	if err := starts.UnmarshalText([]byte(e.StartsAt)); err != nil {
		return fmt.Errorf("alert event: startsAt: %w", err)
	}
	if err := ends.UnmarshalText([]byte(e.EndsAt)); err != nil {
		return fmt.Errorf("alert event: endsAt: %w", err)
	}
	switch e.State {
	case slo.AlertFiring, slo.AlertLate:
		if len(s.Alerts) == MaxPoints {
			s.Left++
			return nil
		}
		s.Alerts = append(s.Alerts, Alert{ID: e.ID, Tier: e.Tier, Severity: e.Severity, State: e.State, StartsAt: starts, EndsAt: ends, Pair: e.Pair, Budget: e.Budget})
	case slo.AlertResolved:
		for i := range s.Alerts {
			if a := &s.Alerts[i]; a.ID == e.ID && a.Tier == e.Tier {
				a.State, a.EndsAt = e.State, ends
			}
		}
	}
	return nil
}

func (c *Collector) change(e *slo.StatusEvent) {
	s := c.slos[slo.StatusKey{GlobalNamespace: e.GlobalNamespace, Service: e.Service, Name: e.Name}]
	if s == nil {
		return
	}
	if len(s.Changes) < MaxPoints {
		s.Changes = append(s.Changes, Change{At: e.AsOf, State: e.State, Reason: e.Reason})
	} else {
		s.Left++
	}
	open := len(s.Breaches) > 0 && s.Breaches[len(s.Breaches)-1].To == 0
	switch e.State {
	case slo.StateViolation, slo.StateExhausted:
		if open {
			return
		}
		if len(s.Breaches) == MaxPoints {
			s.Left++
			return
		}
		s.Breaches = append(s.Breaches, Breach{From: e.AsOf})
	case slo.StateHealthy, slo.StateWarning:
		if open {
			b := &s.Breaches[len(s.Breaches)-1]
			b.To = e.AsOf
			b.Early = e.Window.Type == slo.WindowRolling && (b.To.Time()-c.from)*early < e.Window.Duration.Time()
		}
	}
}

// Run returns what was collected.
func (c *Collector) Run(name string) Run {
	r := Run{Name: name, Notes: c.notes}
	for _, s := range c.slos {
		out := *s
		for i := range out.Breaches {
			if b := &out.Breaches[i]; !b.Early {
				out.Breached = true
				out.FirstBreach = &b.From
				break
			}
		}
		if n := len(out.Points); n < MaxPoints && (n == 0 || out.Points[n-1].At < out.Status.AsOf) && out.Status.AsOf > 0 {
			out.Points = append(out.Points, pointOf(&out.Status))
		}
		out.Breaches = orEmpty(out.Breaches)
		out.Alerts, out.Changes, out.Points, out.Tiers = orEmpty(out.Alerts), orEmpty(out.Changes), orEmpty(out.Points), orEmpty(out.Tiers)
		out.Status.BurnRates, out.Status.Alerts = orEmpty(out.Status.BurnRates), orEmpty(out.Status.Alerts)
		slices.SortStableFunc(out.Alerts, func(a, b Alert) int { return int(a.StartsAt - b.StartsAt) })
		r.SLOs = append(r.SLOs, out)
	}
	slices.SortFunc(r.SLOs, func(a, b SLO) int { return strings.Compare(a.Name(), b.Name()) })
	r.SLOs = orEmpty(r.SLOs)
	return r
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
