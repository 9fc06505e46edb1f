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
	known := slo.GroupAlerts()
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
		if l = strings.TrimSpace(l); l == "" {
			r.add(d.Problem(path, fmt.Sprintf("%q names no label, or an empty one", text), "write labels with commas between them, for example region, zone"))
			return nil
		}
		out = append(out, l)
	}
	if err := slo.CheckGroupBy(out); err != nil {
		r.add(d.QueryProblem(path, err))
		return nil
	}
	return out
}

// splits tells of a label by which good events are told from others.
func (r *run) splits(d *mesh.Document, o *slo.Objective) {
	if err := o.CheckGroupSplit(); err != nil {
		r.add(d.QueryProblem(annotationPath(AnnotationGroupBy), err))
	}
}
