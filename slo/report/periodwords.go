package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// Title says what the report is about, and whether it is whole.
func (p *Period) Title() string {
	t := "Service levels from " + p.local(p.From) + " to " + p.local(p.Until)
	if p.Month != "" {
		t = "Service levels of " + p.Month
	}
	if !p.Complete {
		t += ", so far"
	}
	return t
}

// local writes a moment in the zone of the report, as far as its days tell what that is.
func (p *Period) local(m slo.Moment) string { return p.zone().clock(m.Time(), minuteForm) }

// Zoned gives a report that was read back the rules of its zone, in which its moments are written.
func (p *Period) Zoned(z slo.Zone) { p.rules = z }

func (p *Period) zone() Span {
	z := p.rules
	if len(z.Offsets) == 0 {
		z.Offsets = []slo.Offset{{}}
	}
	return Span{Zone: z}
}

// sub says which span, zone and moment the numbers are of.
func (p *Period) sub() string {
	s := fmt.Sprintf("%s to %s (%s)", p.local(p.From), p.local(p.Until), p.TimeZone)
	if !p.Complete {
		s += ", counted up to " + p.local(p.AsOf)
	}
	if p.Month != "" {
		return s + ", compared with the month before"
	}
	return s + ", compared with as long a time before"
}

// alertsKept reports whether alerts of at least a part of the span are kept.
func (p *Period) alertsKept() bool { return p.EventsFrom < p.AsOf }

// sharePercent writes a share as a percentage of at most n digits behind the point, cut and not rounded: what is not 1 shall not look like it.
func sharePercent(d *slo.Decimal, n int) string {
	if d == nil {
		return "-"
	}
	return slo.DecimalOf(new(big.Rat).Mul(d.Rat(), big.NewRat(100, 1)), n).String() + " %"
}

// minutesText writes seconds as signed minutes.
func minutesText(d slo.Decimal) string {
	return new(big.Rat).Quo(d.Rat(), big.NewRat(60, 1)).FloatString(2)
}

var verdictWords = map[string]string{VerdictMet: "met", VerdictMissed: "missed", VerdictNoData: "no data", VerdictNoEvent: "no traffic", VerdictUnknown: "not known"}

// verdict says whether an objective was met.
func (p *Period) verdict(v string) string {
	if w := verdictWords[v]; p.Complete || v != VerdictMet && v != VerdictMissed {
		return w
	}
	return verdictWords[v] + " so far"
}

func (s *PeriodSLO) objective() string { return sharePercent(s.Objective, 30) }

// counts names what was counted.
func (s *PeriodSLO) counts() string {
	what := " events"
	if s.Slice > 0 {
		what = " slices of " + s.Slice.String()
	}
	return number(s.Good) + " of " + number(s.Total) + what
}

// left writes the part of the budget that remains.
func (s *Sums) left() string {
	if s.Budget == nil || s.Budget.RemainingRatio == nil {
		return "-"
	}
	return s.Budget.RemainingRatio.Rat().Mul(s.Budget.RemainingRatio.Rat(), big.NewRat(100, 1)).FloatString(1) + " %"
}

// budget writes minutes: of the whole, spent, remaining.
func (s *Sums) budget() (whole, spent, left string) {
	if s.Budget == nil {
		return "-", "-", "-"
	}
	b := s.Budget.Seconds
	return minutesText(b.Total), minutesText(b.Consumed), minutesText(b.Remaining)
}

// alertsText counts the alerts by tier.
func (p *Period) alertsText(s *PeriodSLO) string {
	if !p.alertsKept() {
		return "not kept"
	}
	var out []string
	for _, a := range s.Alerts {
		if a.Fired > 0 {
			out = append(out, fmt.Sprintf("%d %s", a.Fired, a.Tier))
		}
		if a.Late > 0 {
			out = append(out, fmt.Sprintf("%d %s late", a.Late, a.Tier))
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// change compares the SLI with that of the time before, in hundredths of a percent.
func (s *PeriodSLO) change() string {
	if s.Before == nil || s.Before.SLI == nil || s.SLI == nil {
		return "-"
	}
	d := new(big.Rat).Sub(s.SLI.Rat(), s.Before.SLI.Rat())
	text := d.Mul(d, big.NewRat(100, 1)).FloatString(3)
	if d.Sign() >= 0 {
		text = "+" + text
	}
	return text
}

// worstDays is how many days are named.
const worstDays = 3

// worst returns the days with the most bad events.
func (s *PeriodSLO) worst() []Day {
	days := slices.DeleteFunc(slices.Clone(s.Days), func(d Day) bool { return d.Total-d.Good <= 0 })
	slices.SortStableFunc(days, func(a, b Day) int {
		switch x, y := a.Total-a.Good, b.Total-b.Good; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return days[:min(worstDays, len(days))]
}

func (s *PeriodSLO) worstText() string {
	var out []string
	for _, d := range s.worst() {
		out = append(out, d.Date+" ("+number(d.Total-d.Good)+" bad)")
	}
	return strings.Join(out, ", ")
}

func secondsText(n int64) string {
	if n == 0 {
		return "none"
	}
	return slo.Duration(n * int64(bus.Second)).String()
}

// columns are the CSV form's, each with its value.
var columns = []struct {
	name  string
	value func(p *Period, s *PeriodSLO) string
}{
	{"global_namespace", func(_ *Period, s *PeriodSLO) string { return cell(s.GlobalNamespace) }},
	{"service", func(_ *Period, s *PeriodSLO) string { return cell(s.Service) }},
	{"slo", func(_ *Period, s *PeriodSLO) string { return cell(s.Name) }},
	{"roll_up", func(_ *Period, s *PeriodSLO) string { return cell(s.RollUp) }},
	{"from", func(p *Period, _ *PeriodSLO) string { return p.From.String() }},
	{"until", func(p *Period, _ *PeriodSLO) string { return p.Until.String() }},
	{"as_of", func(p *Period, _ *PeriodSLO) string { return p.AsOf.String() }},
	{"complete", func(p *Period, _ *PeriodSLO) string { return strconv.FormatBool(p.Complete) }},
	{"objective", func(_ *Period, s *PeriodSLO) string { return optional(s.Objective) }},
	{"counts", func(_ *Period, s *PeriodSLO) string {
		if s.Slice > 0 {
			return "slices of " + s.Slice.String()
		}
		return "events"
	}},
	{"verdict", func(_ *Period, s *PeriodSLO) string { return s.Verdict }},
	{"sli", func(_ *Period, s *PeriodSLO) string { return optional(s.SLI) }},
	{"good", func(_ *Period, s *PeriodSLO) string { return exactNumber(s.Good) }},
	{"total", func(_ *Period, s *PeriodSLO) string { return exactNumber(s.Total) }},
	{"budget", func(_ *Period, s *PeriodSLO) string {
		return ofBudget(s, func(b *PeriodBudget) slo.Decimal { return b.Total })
	}},
	{"budget_remaining", func(_ *Period, s *PeriodSLO) string {
		return ofBudget(s, func(b *PeriodBudget) slo.Decimal { return b.Remaining })
	}},
	{"budget_seconds", func(_ *Period, s *PeriodSLO) string {
		return ofBudget(s, func(b *PeriodBudget) slo.Decimal { return b.Seconds.Total })
	}},
	{"budget_seconds_spent", func(_ *Period, s *PeriodSLO) string {
		return ofBudget(s, func(b *PeriodBudget) slo.Decimal { return b.Seconds.Consumed })
	}},
	{"budget_seconds_remaining", func(_ *Period, s *PeriodSLO) string {
		return ofBudget(s, func(b *PeriodBudget) slo.Decimal { return b.Seconds.Remaining })
	}},
	{"coverage", func(_ *Period, s *PeriodSLO) string { return exactNumber(s.Coverage) }},
	{"excluded_seconds", func(_ *Period, s *PeriodSLO) string { return strconv.FormatInt(s.ExcludedSeconds, 10) }},
	{"pages", func(p *Period, s *PeriodSLO) string { return p.fired(s, true) }},
	{"tickets", func(p *Period, s *PeriodSLO) string { return p.fired(s, false) }},
	{"state_at_end", func(_ *Period, s *PeriodSLO) string { return s.StateAtEnd }},
	{"previous_sli", func(_ *Period, s *PeriodSLO) string {
		if s.Before == nil {
			return ""
		}
		return optional(s.Before.SLI)
	}},
	{"worst_days", func(_ *Period, s *PeriodSLO) string { return s.worstText() }},
	{"notes", func(_ *Period, s *PeriodSLO) string {
		var out []string
		for _, n := range s.Notes {
			out = append(out, n.Message)
		}
		return cell(strings.Join(out, "; "))
	}},
}

// CSV writes a line for each SLO. No text is one that a spreadsheet would take for a formula.
func (p *Period) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	row := make([]string, len(columns))
	for i, col := range columns {
		row[i] = col.name
	}
	if err := c.Write(row); err != nil {
		return err
	}
	for k := range p.SLOs {
		for i, col := range columns {
			row[i] = col.value(p, &p.SLOs[k])
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// cell takes from a text what makes a spreadsheet run it: control signs become "?", and before one of = + - @, in their wide forms too, a quote is put.
func cell(s string) string {
	s = fit(s, 4000)
	if r, _ := utf8.DecodeRuneInString(strings.TrimLeft(s, " '")); strings.ContainsRune("=+-@|%＝＋－＠", r) && r != utf8.RuneError {
		return "'" + s
	}
	return s
}

func optional(d *slo.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}

func exactNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func ofBudget(s *PeriodSLO, of func(*PeriodBudget) slo.Decimal) string {
	if s.Budget == nil {
		return ""
	}
	return of(s.Budget).String()
}

// fired counts alerts that page, or that do not; "" where none are kept.
func (p *Period) fired(s *PeriodSLO, pages bool) string {
	if !p.alertsKept() {
		return ""
	}
	n := 0
	for _, a := range s.Alerts {
		if (a.Severity == slo.SeverityPage) == pages {
			n += a.Fired
		}
	}
	return strconv.Itoa(n)
}
