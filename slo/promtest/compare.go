package promtest

import (
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// An Episode is an alert from firing to the end of it, as offsets from the start.
type Episode struct {
	SLO      string
	Severity string // page or ticket
	From     bus.Time
	To       bus.Time // -1: it lasts
}

// lasts stands for the end of an episode that has none.
const lasts = bus.Time(-1)

// A Known is an SLO, for [Subject] to find.
type Known struct{ Namespace, Service, Name, DisplayName string }

// Subject says which SLO an alert of rules is about, and how severe it is, by the labels that Sloth (sloth_service, sloth_slo,
// sloth_severity) or Pyrra (slo, service, severity) give it. ok is false where they do not say.
func Subject(ls map[string]string, known []Known) (name, severity string, ok bool) {
	service, own, severity := ls["sloth_service"], ls["sloth_slo"], ls["sloth_severity"]
	if own == "" {
		service, own = ls["service"], ls["slo"]
	}
	if severity == "" {
		severity = ls["severity"]
	}
	switch severity {
	case "critical":
		severity = slo.SeverityPage
	case "warning":
		severity = slo.SeverityTicket
	case slo.SeverityPage, slo.SeverityTicket:
	default:
		return "", "", false
	}
	if own == "" {
		return "", "", false
	}
	var found []Known
	for _, k := range known {
		if k.Name != own && k.DisplayName != own {
			continue
		}
		if k.Service == service {
			return SLOName(k.Namespace, k.Service, k.Name), severity, true
		}
		found = append(found, k)
	}
	if len(found) == 1 { // Pyrra's rules name the service only where it has that label, and Sloth's as it was written
		return SLOName(found[0].Namespace, found[0].Service, found[0].Name), severity, true
	}
	return service + "/" + own, severity, true
}

// Differences between the two sides of an alert.
const (
	DifferenceFired          = "Fired"          // at other times
	DifferenceResolved       = "Resolved"       // at other times
	DifferenceOnlyPrometheus = "OnlyPrometheus" // fired there alone
	DifferenceOnlyEvenkeel   = "OnlyEvenkeel"   // fired here alone
)

func differences() []string {
	return []string{DifferenceFired, DifferenceResolved, DifferenceOnlyPrometheus, DifferenceOnlyEvenkeel}
}

// A Pair is one alert on both sides.
type Pair struct {
	SLO        string `json:"slo"`
	Severity   string `json:"severity"`
	Prometheus *Span  `json:"prometheus"` // null: it did not fire there
	Evenkeel   *Span  `json:"evenkeel"`
	// Difference is "" where the sides agree within the tolerance, else named constants, joined by "+".
	Difference string `json:"difference"`
	Accepted   string `json:"accepted,omitempty"` // the reason that the file gives
}

// A Span is from firing to the end, as offsets from the start.
type Span struct {
	From     string `json:"from"`
	To       string `json:"to"` // "": it lasts
	from, to bus.Time
}

// Match sets the alerts of both sides beside each other and says which differences nobody has accepted. All alerts of one severity of
// an SLO count as one; episodes with a gap that is not longer than the tolerance are one episode.
func (c *Comparison) Match(o *Outcome) ([]Pair, []Failure) {
	type key struct{ slo, severity string }
	sides := map[key]*[2][]Episode{}
	var keys []key
	for side, es := range [][]Episode{o.Prometheus, o.Evenkeel} {
		for _, e := range es {
			k := key{e.SLO, e.Severity}
			if sides[k] == nil {
				sides[k] = &[2][]Episode{}
				keys = append(keys, k)
			}
			sides[k][side] = append(sides[k][side], e)
		}
	}
	slices.SortFunc(keys, func(a, b key) int { return strings.Compare(a.slo+"\x00"+a.severity, b.slo+"\x00"+b.severity) })
	pairs := []Pair{}
	for _, k := range keys {
		pairs = append(pairs, c.pairs(join(sides[k][0], c.Tolerance), join(sides[k][1], c.Tolerance))...)
	}
	return pairs, c.judge(pairs)
}

// join makes one of episodes that overlap or nearly do, in the order of their time.
func join(es []Episode, gap bus.Time) []Episode {
	slices.SortStableFunc(es, func(a, b Episode) int { return int(a.From - b.From) })
	var out []Episode
	for _, e := range es {
		n := len(out)
		switch {
		case n > 0 && out[n-1].To == lasts:
		case n > 0 && e.From-out[n-1].To <= gap:
			if e.To == lasts || e.To > out[n-1].To {
				out[n-1].To = e.To
			}
		default:
			out = append(out, e)
		}
	}
	return out
}

// pairs puts together what overlaps, or begins at nearly the same time.
func (c *Comparison) pairs(ps, es []Episode) []Pair {
	var out []Pair
	for len(ps) > 0 || len(es) > 0 {
		switch {
		case len(es) == 0 || len(ps) > 0 && ps[0].To != lasts && ps[0].To < es[0].From-c.Tolerance:
			out = append(out, Pair{SLO: ps[0].SLO, Severity: ps[0].Severity, Prometheus: spanOf(ps[0]), Difference: DifferenceOnlyPrometheus})
			ps = ps[1:]
		case len(ps) == 0 || es[0].To != lasts && es[0].To < ps[0].From-c.Tolerance:
			out = append(out, Pair{SLO: es[0].SLO, Severity: es[0].Severity, Evenkeel: spanOf(es[0]), Difference: DifferenceOnlyEvenkeel})
			es = es[1:]
		default:
			p := Pair{SLO: es[0].SLO, Severity: es[0].Severity, Prometheus: spanOf(ps[0]), Evenkeel: spanOf(es[0])}
			p.Difference = c.difference(ps[0], es[0])
			out, ps, es = append(out, p), ps[1:], es[1:]
		}
	}
	return out
}

// difference compares an alert that fired on both sides.
func (c *Comparison) difference(p, e Episode) string {
	var out []string
	if apart(p.From, e.From) > c.Tolerance {
		out = append(out, DifferenceFired)
	}
	end := func(ep Episode) bus.Time {
		if ep.To == lasts {
			return c.Until
		}
		return ep.To
	}
	if apart(end(p), end(e)) > c.Resolved {
		out = append(out, DifferenceResolved)
	}
	return strings.Join(out, "+")
}

func apart(a, b bus.Time) bus.Time { return max(a-b, b-a) }

func spanOf(e Episode) *Span {
	s := &Span{From: offset(e.From), from: e.From, to: e.To}
	if e.To != lasts {
		s.To = offset(e.To)
	}
	return s
}

// judge accepts what the file does, and fails for the rest, and for what is accepted and is not there.
func (c *Comparison) judge(pairs []Pair) []Failure {
	var out []Failure
	used := make([]bool, len(c.Accept))
	for i := range pairs {
		p := &pairs[i]
		if p.Difference == "" {
			continue
		}
		for k, a := range c.Accept {
			if a.SLO == p.SLO && a.Severity == p.Severity && (a.Difference == "" || a.Difference == p.Difference) {
				p.Accepted, used[k] = a.Reason, true
			}
		}
		if p.Accepted == "" {
			out = append(out, Failure{c.Place, offset(c.Until), fmt.Sprintf("%s %s: %s", p.SLO, p.Severity, p.Difference), []string{"prometheus " + p.Prometheus.String()}, []string{"evenkeel " + p.Evenkeel.String()}})
		}
	}
	for k, a := range c.Accept {
		if !used[k] {
			out = append(out, Failure{a.Place, offset(c.Until), "accepted: " + a.Reason, []string{"a difference of " + a.SLO + " " + a.Severity}, []string{"there is none; take it out of the list"}})
		}
	}
	return out
}

// deltas says by how much later an alert that fired on both sides did so here.
func (p *Pair) deltas() string {
	if p.Prometheus == nil || p.Evenkeel == nil {
		return ""
	}
	s := "fired " + later(p.Evenkeel.from-p.Prometheus.from)
	if p.Prometheus.to != lasts && p.Evenkeel.to != lasts {
		s += ", resolved " + later(p.Evenkeel.to-p.Prometheus.to)
	}
	return s
}

func later(t bus.Time) string {
	if t < 0 {
		return "-" + offset(-t)
	}
	return "+" + offset(t)
}

// String writes "from - to".
func (s *Span) String() string {
	switch {
	case s == nil:
		return "never"
	case s.To == "":
		return s.From + " - "
	}
	return s.From + " - " + s.To
}
