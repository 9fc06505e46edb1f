package openslo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// groups reads the annotations that make one more SLO for each value of labels.
func (r *run) groups(d *mesh.Document, m *metadata, o *slo.Objective) {
	text, there := m.Annotations[AnnotationGroupBy]
	for _, name := range []string{AnnotationMaxGroups, AnnotationGroupAlerts} {
		if _, ok := m.Annotations[name]; ok && !there {
			r.add(d.KeyProblem(annotationPath(name), name+" says nothing without "+AnnotationGroupBy, "write "+AnnotationGroupBy+" with the labels, or leave it out"))
		}
	}
	if !there {
		return
	}
	o.GroupBy = r.groupLabels(d, text)
	if text, ok := m.Annotations[AnnotationMaxGroups]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > slo.MaxGroups {
			r.add(d.Problem(annotationPath(AnnotationMaxGroups), fmt.Sprintf("%q is no number from 1 to %d", text, slo.MaxGroups), fmt.Sprintf("it is %d unless it says otherwise", slo.DefaultMaxGroups)))
		}
		o.MaxGroups = n
	}
	known := []string{slo.GroupAlertsGroups, slo.GroupAlertsRollUp, slo.GroupAlertsBoth}
	if v, ok := m.Annotations[AnnotationGroupAlerts]; ok && !slices.Contains(known, v) {
		hint := "write " + strings.Join(known, ", ")
		if n := mesh.Nearest(v, known); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		}
		r.add(d.Problem(annotationPath(AnnotationGroupAlerts), fmt.Sprintf("unknown value %q", v), hint))
	} else {
		o.GroupAlerts = v
	}
}

func (r *run) groupLabels(d *mesh.Document, text string) []string {
	path := annotationPath(AnnotationGroupBy)
	var out []string
	for _, l := range strings.Split(text, ",") {
		switch l = strings.TrimSpace(l); {
		case l == "":
			r.add(d.Problem(path, fmt.Sprintf("%q names no label, or an empty one", text), "write labels with commas between them, for example region, zone"))
			return nil
		case strings.HasPrefix(l, "__"):
			r.add(d.Problem(path, fmt.Sprintf("%q cannot tell groups: labels that begin with __ are Prometheus' own", l), "name a label that the series have, for example region"))
			return nil
		case slices.Contains(out, l):
			r.add(d.Problem(path, fmt.Sprintf("the label %q stands twice", l), "keep one of them"))
			return nil
		}
		out = append(out, l)
	}
	if len(out) > slo.MaxGroupLabels {
		r.add(d.Problem(path, fmt.Sprintf("%d labels; at most %d are allowed", len(out), slo.MaxGroupLabels), "each combination of their values is an SLO of its own"))
		return nil
	}
	return out
}

// splits tells of a label by which good events are told from others: each of its groups would be all good or all bad.
func (r *run) splits(d *mesh.Document, o *slo.Objective) {
	part := o.SLI.Good
	if o.SLI.Bad != nil {
		part = o.SLI.Bad
	}
	if part == nil {
		return
	}
	for _, l := range o.GroupBy {
		if a, b := conditions(part, l), conditions(&o.SLI.Total, l); !slices.Equal(a, b) {
			r.add(d.Problem(annotationPath(AnnotationGroupBy), fmt.Sprintf("the label %q tells good events from bad ones, so each group would be all good or all bad", l),
				"group by a label that good (or bad) and total select alike"))
		}
	}
}

// conditions returns what an expression asks of a label, sorted, each once.
func conditions(e *slo.Expr, label string) []string {
	var out []string
	for i := range e.Terms {
		for _, m := range e.Terms[i].Selector.Matchers() {
			if m.Name == label {
				out = append(out, string(m.Type)+m.Value)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
