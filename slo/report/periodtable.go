package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes the report for people, in at most [Columns] columns of plain text.
func (p *Period) Table(w io.Writer) error {
	var b strings.Builder
	b.WriteString(wrap(p.Title(), "") + wrap(p.sub(), "  "))
	for _, n := range p.Notes {
		b.WriteString(wrap("- "+n.Message, "  "))
	}
	if len(p.SLOs) == 0 {
		b.WriteString("\nThere is no SLO of that time.\n")
		_, err := io.WriteString(w, b.String())
		return err
	}
	rows := [][]string{{"SERVICE", "SLOS", "MET", "MISSED", "NOT KNOWN", "GAPS", "ALERTS", "MET/MISSED BEFORE"}}
	for _, t := range p.Totals {
		rows = append(rows, []string{t.name(), fmt.Sprint(t.SLOs), fmt.Sprint(t.Met), fmt.Sprint(t.Missed), fmt.Sprint(t.NotKnown), fmt.Sprint(t.Gaps), p.alertCounts(fmt.Sprint(t.Pages), fmt.Sprint(t.Tickets)), t.before()})
	}
	b.WriteString("\n" + aligned(rows))
	rows = [][]string{{"SLO", "OBJECTIVE", "SLI", "CHANGE", "VERDICT", "MIN LEFT", "OF", "COVERAGE", "ALERTS"}}
	for i := range p.SLOs {
		s := &p.SLOs[i]
		whole, _, left := s.budget()
		rows = append(rows, []string{s.label(), s.objective(), sharePercent(s.SLI, 4), s.change(), p.verdict(s.Verdict), left, whole, percent(s.Coverage), p.alertCounts(p.fired(s, true), p.fired(s, false))})
	}
	b.WriteString("\n" + aligned(rows))
	b.WriteString("\n" + wrap("MIN LEFT OF: minutes of error budget; CHANGE: of the SLI, in percentage points; GAPS: SLOs with data for less than 99 % of the time; ALERTS: pages/tickets that fired.", ""))
	for i := range p.SLOs {
		s := &p.SLOs[i]
		if len(s.Notes) > 0 || s.ExcludedSeconds > 0 || s.Verdict == VerdictMissed {
			b.WriteString("\n" + p.more(s))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *Period) alertCounts(pages, tickets string) string {
	if !p.alertsKept() {
		return "-"
	}
	return pages + "/" + tickets
}

// more tells of an SLO what the table has no room for.
func (p *Period) more(s *PeriodSLO) string {
	text := wrap(s.name()+": "+s.counts(), "  ")
	if d := s.worstText(); d != "" {
		text += wrap("- worst days: "+d, "  ")
	}
	if s.ExcludedSeconds > 0 {
		text += wrap("- excluded: "+secondsText(s.ExcludedSeconds), "  ")
	}
	if s.StateAtEnd != "" {
		text += wrap("- state "+p.when()+": "+s.StateAtEnd, "  ")
	}
	for _, n := range s.Notes {
		text += wrap("- "+n.Message, "  ")
	}
	return text
}

// when names the moment of the last state.
func (p *Period) when() string {
	if p.Complete {
		return "at the end"
	}
	return "now"
}

func (s *PeriodSLO) name() string { return s.GlobalNamespace + "/" + s.Service + "/" + s.Name }

// label is the name in a list, the SLOs of groups below their roll-up.
func (s *PeriodSLO) label() string {
	if s.RollUp != "" {
		return "  " + strings.TrimPrefix(s.Name, s.RollUp)
	}
	return s.name()
}

func (t *Total) name() string {
	if t.Service == "" {
		return t.GlobalNamespace + " (all)"
	}
	return "  " + t.Service
}

func (t *Total) before() string { return fmt.Sprintf("%d/%d", t.MetBefore, t.MissedBefore) }

// aligned writes rows in columns two spaces apart; the first gives way where a line would be too long.
func aligned(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, v := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(v))
		}
	}
	left := Columns
	for _, w := range widths[1:] {
		left -= w + 2
	}
	widths[0] = min(widths[0], left)
	var b strings.Builder
	for _, row := range rows {
		line := pad(fitEnd(fit(row[0], 4000), widths[0]), widths[0])
		for i, v := range row[1:] {
			line += "  " + strings.Repeat(" ", widths[i+1]-utf8.RuneCountInString(v)) + v
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
