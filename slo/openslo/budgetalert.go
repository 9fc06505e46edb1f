package openslo

import (
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// absentAfter is how long no samples come before alertWhenNoData says so.
const absentAfter = slo.Duration(10 * bus.Minute)

// extra reads the annotations that ask for alerts which OpenSLO has no condition for. They wait for the morning: severity ticket.
func (r *run) extra(d *mesh.Document, m *metadata, a *slo.Alerting) {
	if text, ok := m.Annotations[AnnotationBudgetAlerts]; ok {
		a.Extra = append(a.Extra, r.shares(d, annotationPath(AnnotationBudgetAlerts), text)...)
	}
	if v, ok := r.annotatedDuration(d, m, AnnotationExhaustion, "1h"); ok {
		a.Extra = append(a.Extra, slo.Tier{Name: "exhaustion", Severity: slo.SeverityTicket, Exhaustion: v})
	}
	if t, ok := r.absentTier(d, m); ok {
		a.Extra = append(a.Extra, t)
	}
	switch text := m.Annotations[AnnotationLowTraffic]; text {
	case "", "true":
	case "false":
		a.Unguarded = true
	default:
		r.add(d.Problem(annotationPath(AnnotationLowTraffic), fmt.Sprintf("%q is neither \"true\" nor \"false\"", text), `write "false" to alert by the ratio alone, however few events there are`))
	}
}

// What may stand behind the time of absent-alert.
const rollUpWord = "roll-up" // an SLO that groups has the alert itself, and its groups do not

// absentTier reads "10m", "10m page" or "10m page roll-up".
func (r *run) absentTier(d *mesh.Document, m *metadata) (slo.Tier, bool) {
	t := slo.Tier{Name: "absent", Severity: slo.SeverityTicket}
	text, there := m.Annotations[AnnotationAbsent]
	if !there {
		return t, false
	}
	const hint = `write for example "10m", or "10m page"`
	path := annotationPath(AnnotationAbsent)
	words := strings.Fields(text)
	if len(words) == 0 {
		r.add(d.Problem(path, fmt.Sprintf("%q is no duration of at least 1m", text), hint))
		return t, false
	}
	var ok bool
	if t.Absent, ok = r.leastDuration(d, path, words[0], "1m"); !ok {
		return t, false
	}
	rest := words[1:]
	if len(rest) > 0 && (rest[0] == slo.SeverityPage || rest[0] == slo.SeverityTicket) {
		t.Severity, rest = rest[0], rest[1:]
	}
	if len(rest) > 0 && rest[0] == rollUpWord {
		t.RollUp, rest = true, rest[1:]
	}
	if len(rest) > 0 {
		r.add(d.Problem(path, fmt.Sprintf("%q says nothing behind the time of an alert on absent data", rest[0]), "behind it stand page or ticket, and roll-up; "+hint))
		return t, false
	}
	if _, groups := m.Annotations[AnnotationGroupBy]; t.RollUp && !groups {
		r.add(d.Problem(path, rollUpWord+" says nothing without "+AnnotationGroupBy, "leave it out"))
	}
	return t, true
}

// shares reads "50%, 90%": an alert for each share of the budget.
func (r *run) shares(d *mesh.Document, path, text string) []slo.Tier {
	const hint = `write for example "50%, 75%, 90%, 100%"`
	parts := strings.Split(text, ",")
	if len(parts) > slo.MaxSpentTiers {
		r.add(d.Problem(path, fmt.Sprintf("%d shares of the budget are too many; at most %d", len(parts), slo.MaxSpentTiers), ""))
		return nil
	}
	var out []slo.Tier
	for _, p := range parts {
		p = strings.TrimSpace(p)
		t, err := slo.SpentTier(p)
		switch {
		case err != nil:
			r.add(d.Problem(path, err.Error(), hint))
			return nil
		case slices.ContainsFunc(out, func(o slo.Tier) bool { return o.Name == t.Name }):
			r.add(d.Problem(path, p+" stands twice", ""))
			return nil
		}
		out = append(out, t)
	}
	return out
}

// annotatedDuration reads a duration from an annotation; ok is false where there is none or a wrong one.
func (r *run) annotatedDuration(d *mesh.Document, m *metadata, name, least string) (slo.Duration, bool) {
	text, there := m.Annotations[name]
	if !there {
		return 0, false
	}
	return r.leastDuration(d, annotationPath(name), text, least)
}

func (r *run) leastDuration(d *mesh.Document, path, text, least string) (slo.Duration, bool) {
	v, err := slo.ParseDuration(text)
	floor, _ := slo.ParseDuration(least)
	if err != nil || v < floor {
		r.add(d.Problem(path, fmt.Sprintf("%q is no duration of at least %s", text, least), "write for example 3h"))
		return 0, false
	}
	return v, true
}
