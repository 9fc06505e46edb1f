package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A fact is a line about an SLO, with a value for each side of a comparison.
type fact struct {
	Label  string
	Values []string
	Worse  []bool // the value is bad news
}

// facts lists what is to be said of the sides of a pair; "-" where a side has no such SLO.
func (p *Pair) facts() []fact {
	lines := []struct {
		label string
		value func(s *SLO) (string, bool)
	}{
		{"objective", func(s *SLO) (string, bool) {
			return s.Status.Objective.String() + " over " + windowText(s.Status.Window), false
		}},
		{"SLI", func(s *SLO) (string, bool) { return sliText(&s.Status), false }},
		{"events", func(s *SLO) (string, bool) {
			return number(s.Status.Events.Good) + " good of " + number(s.Status.Events.Total), false
		}},
		{"budget", func(s *SLO) (string, bool) {
			return number(s.Status.Budget.Total) + " events, " + number(s.Status.Budget.Consumed) + " spent", false
		}},
		{"budget left", func(s *SLO) (string, bool) {
			return number(s.Status.Budget.Remaining) + " events, " + percentOf(s.Status.Budget.RemainingRatio), s.Status.Budget.Remaining < 0
		}},
		{"first breach", func(s *SLO) (string, bool) { return breachText(s), s.Breached }},
		{"coverage", func(s *SLO) (string, bool) { return percent(s.Status.Coverage), false }},
		{"state", func(s *SLO) (string, bool) { return s.Status.State + " " + s.Status.Reason, false }},
		{"alerts", func(s *SLO) (string, bool) { return alertText(s), s.Fired(slo.SeverityPage) > 0 }},
		{"as of", func(s *SLO) (string, bool) { return clock(s.Status.AsOf), false }},
	}
	var out []fact
	for _, l := range lines {
		f := fact{Label: l.label}
		for _, s := range p.Sides {
			v, bad := "-", false
			if s != nil {
				v, bad = l.value(s)
			}
			f.Values, f.Worse = append(f.Values, v), append(f.Worse, bad)
		}
		out = append(out, f)
	}
	return out
}

func windowText(w slo.Window) string {
	if w.Calendar != nil {
		return fmt.Sprintf("%s %d %s (%s)", w.Type, w.Calendar.Count, strings.ToLower(w.Calendar.Unit), w.Calendar.Zone.Name)
	}
	return w.Type + " " + w.Duration.String()
}

func sliText(st *slo.Status) string {
	if st.SLI == nil {
		return "no events"
	}
	s := st.SLI.String()
	if i := strings.IndexByte(s, '.'); i >= 0 && len(s) > i+9 {
		s = s[:i+9] // cut, not rounded: what is not 1 shall not look like it
	}
	return s
}

func breachText(s *SLO) string {
	early := 0
	for _, b := range s.Breaches {
		if b.Early {
			early++
		}
	}
	more := ""
	if early > 0 {
		more = fmt.Sprintf(" (%d early)", early)
	}
	if s.FirstBreach == nil {
		return "never" + more
	}
	return clock(*s.FirstBreach) + more
}

func alertText(s *SLO) string {
	late := 0
	for i := range s.Alerts {
		if s.Alerts[i].State == slo.AlertLate {
			late++
		}
	}
	text := fmt.Sprintf("%d page, %d ticket", s.Fired(slo.SeverityPage), s.Fired(slo.SeverityTicket))
	if late > 0 {
		text += fmt.Sprintf(", %d late", late)
	}
	return text
}

// clock writes a moment in UTC, as precisely as stages decide.
func clock(m slo.Moment) string {
	if m == 0 {
		return "-"
	}
	return m.Time().Std().Format("2006-01-02 15:04:05")
}

// lasted writes how long an alert was open, or that it is.
func lasted(from, to slo.Moment) string {
	if to == 0 {
		return "lasts"
	}
	d := (to.Time() - from.Time()) / bus.Second * bus.Second
	if d <= 0 {
		return "0s"
	}
	return slo.Duration(d).String()
}

// number writes a count: whole as it is, otherwise with three digits.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) + " %" }

func percentOf(v *float64) string {
	if v == nil {
		return "-"
	}
	return percent(*v)
}

func burnText(p *slo.AlertPair) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f/%.1f over %s (%s/%s)", p.LongRate, p.ShortRate, p.Factor, p.Long, p.Short)
}

// protocolText says how history was read.
func (s *Source) protocolText() string {
	switch s.Protocol {
	case "RemoteReadStreamed":
		return "remote read, streamed"
	case "RemoteReadSamples":
		return "remote read, whole answers"
	case "QueryAPI":
		return "HTTP API"
	}
	return strings.ToLower(s.Protocol)
}

// text says what became of a run's samples.
func (c *Counts) text() string {
	out := fmt.Sprintf("%d samples counted", c.Samples)
	for _, n := range []struct {
		n    uint64
		what string
	}{{c.Resets, "resets of counters"}, {c.Born, "series born"}, {c.Lumps, "increases over more than 5m"}, {c.Stale, "staleness markers"}, {c.Duplicate, "duplicates"}, {c.Disorder, "out of order"}, {c.Bad, "that no counter can have"}} {
		if n.n > 0 {
			out += fmt.Sprintf(", %d %s", n.n, n.what)
		}
	}
	return out
}

// span writes from when to when, and how long that is.
func (r *Report) span() string {
	return fmt.Sprintf("%s to %s UTC (%s)", clock(r.From), clock(r.Until), slo.Duration(r.Until-r.From))
}
