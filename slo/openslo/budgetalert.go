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
	if v, ok := r.annotatedDuration(d, m, AnnotationAbsent, "1m"); ok {
		a.Extra = append(a.Extra, slo.Tier{Name: "absent", Severity: slo.SeverityTicket, Absent: v})
	}
	switch text := m.Annotations[AnnotationLowTraffic]; text {
	case "", "true":
	case "false":
		a.Unguarded = true
	default:
		r.add(d.Problem(annotationPath(AnnotationLowTraffic), fmt.Sprintf("%q is neither \"true\" nor \"false\"", text), `write "false" to alert by the ratio alone, however few events there are`))
	}
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
	v, err := slo.ParseDuration(text)
	floor, _ := slo.ParseDuration(least)
	if err != nil || v < floor {
		r.add(d.Problem(annotationPath(name), fmt.Sprintf("%q is no duration of at least %s", text, least), "write for example 3h"))
		return 0, false
	}
	return v, true
}
