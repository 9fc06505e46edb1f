package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Widths of the table, in signs.
const (
	Columns     = 100
	labelWidth  = 14
	tableAlerts = 20 // alerts of an SLO that are listed
)

// Table writes the report for people, in at most [Columns] columns of plain text.
func (r *Report) Table(w io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(fit(fmt.Sprintf(format, args...), Columns) + "\n") }
	var names []string
	for i := range r.Runs {
		names = append(names, r.Runs[i].Name)
	}
	b.WriteString(wrap(fmt.Sprintf("%s over %s %s (%s)", strings.Join(names, " and "), r.Source.Kind, r.Source.Place, r.Source.protocolText()), "  "))
	line("%s, %d samples at %d timestamps", r.span(), r.Samples, r.Timestamps)
	for i := range r.Runs {
		b.WriteString(wrap(r.Runs[i].Name+": "+r.Runs[i].Counts.text(), "  "))
	}
	for _, p := range r.Pairs() {
		b.WriteByte('\n')
		r.pairTable(&p, line)
	}
	for i := range r.Runs {
		for _, n := range r.Runs[i].Notes {
			b.WriteString("\n" + wrap(r.Runs[i].Name+": "+n.Reason+": "+n.Message, ""))
		}
	}
	b.WriteString("\nWhat history does not reproduce:\n")
	for _, n := range r.NotReproduced {
		b.WriteString(wrap("- "+n.Message, "  "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) pairTable(p *Pair, line func(string, ...any)) {
	width := (Columns - 2 - labelWidth) / len(r.Runs)
	line("%s", p.Name)
	cells := func(label string, values []string) {
		text := "  " + pad(label, labelWidth)
		for _, v := range values {
			text += pad(fit(v, width-1), width)
		}
		line("%s", strings.TrimRight(text, " "))
	}
	if len(r.Runs) > 1 {
		var names []string
		for i := range r.Runs {
			names = append(names, fitEnd(r.Runs[i].Name, width-1))
		}
		cells("", names)
	}
	for _, f := range p.facts() {
		cells(f.Label, f.Values)
	}
	for side, s := range p.Sides {
		if s == nil || len(s.Alerts) == 0 {
			continue
		}
		line("")
		if len(p.Sides) > 1 {
			line("  alerts of %s", r.Runs[side].Name)
		}
		line("  %s%s", pad("ALERT", 16), "FIRED                RESOLVED             LASTED     BURN LONG/SHORT")
		for i, a := range s.Alerts {
			if i == tableAlerts {
				line("  … and %d more; -o json lists them", len(s.Alerts)-i)
				break
			}
			line("  %s%-21s%-21s%-11s%s", pad(fit(a.Tier, 15), 16), clock(a.StartsAt), clock(a.EndsAt), lasted(a.StartsAt, a.EndsAt), burnText(a.Pair))
		}
	}
}

// fit takes control signs out of a text and shortens it to n signs, the last then being "…".
func fit(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Cf, r) {
			return '?'
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// fitEnd shortens a path to its last n signs, the first then being "…".
func fitEnd(s string, n int) string {
	if over := utf8.RuneCountInString(s) - n; over > 0 {
		return "…" + string([]rune(s)[over+1:])
	}
	return s
}

func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

// wrap breaks a text into lines, those after the first begin with indent.
func wrap(s, indent string) string {
	var b strings.Builder
	n := 0
	for word := range strings.FieldsSeq(fit(s, 4000)) {
		word = fit(word, Columns-len(indent))
		l := utf8.RuneCountInString(word)
		switch {
		case n == 0:
		case n+1+l > Columns:
			b.WriteString("\n" + indent)
			n = len(indent)
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += l
	}
	b.WriteByte('\n')
	return b.String()
}
