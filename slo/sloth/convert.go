package sloth

import (
	"fmt"
	"maps"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// Convert returns the SLOs of a document with their words, so that they can be written in another form. Left is what is wrong, whose SLOs
// are not among them; notes are what is in the document and has no place elsewhere.
func (c *Compiler) Convert(d *mesh.Document) (ws []slo.Written, left, notes []mesh.Problem) {
	r := &reading{cfg: c.cfg, d: d, claims: map[string]mesh.Ref{}}
	f := r.file()
	if len(r.problems) > 0 {
		return nil, mesh.SortProblems(r.problems), nil
	}
	var scratch mesh.Definition
	for i := range f.levels {
		l := &f.levels[i]
		o, ok := r.objective(f, l)
		before := len(r.problems)
		if ok {
			r.claim(&scratch, &o, l.path+".name")
		}
		if !ok || len(r.problems) > before {
			continue
		}
		ws = append(ws, slo.Written{
			Objective: o, Namespace: d.Namespace, Description: l.description, Labels: l.labels, Annotations: f.others(), Bad: fill(l.errorQuery, false), Total: fill(l.totalQuery, false),
		})
		notes = append(notes, r.notes(l)...)
	}
	return ws, mesh.SortProblems(r.problems), mesh.SortProblems(notes)
}

// applied is the annotation in which kubectl keeps the whole file.
const applied = "kubectl.kubernetes.io/last-applied-configuration"

// others returns the annotations of the document that have no meaning here.
func (f *file) others() map[string]string {
	out := maps.Clone(f.annotations)
	maps.DeleteFunc(out, func(name, _ string) bool { return name == applied || strings.HasPrefix(name, annotationPrefix) })
	return out
}

// notes tells of what has no meaning here.
func (r *reading) notes(l *level) []mesh.Problem {
	var out []mesh.Problem
	note := func(path, format string, args ...any) {
		out = append(out, r.d.KeyProblem(path, fmt.Sprintf(format, args...), ""))
	}
	alerting := l.path + ".alerting"
	if l.alerting.Name != "" {
		note(alerting+".name", "the alert name %s is left out: an alert is named by service, SLO and tier", l.alerting.Name)
	}
	const routes = "labels of alerts are left out: notification targets route by severity, page or ticket"
	if len(l.alerting.Labels) > 0 {
		note(alerting+".labels", routes)
	}
	for name, text := range l.annotations {
		if strings.Contains(text, "{{") {
			note(mesh.JoinPath(alerting+".annotations", name), "the template in the annotation %s is kept as it is written: nothing fills it in", name)
		}
	}
	for _, a := range []struct {
		path  string
		alert *alertSpec
	}{{l.pagePath, &l.alerting.Page}, {l.ticketPath, &l.alerting.Ticket}} {
		if len(a.alert.Labels) > 0 && !a.alert.Disable {
			note(a.path+".labels", routes)
		}
		if len(a.alert.Annotations) > 0 && !a.alert.Disable {
			note(a.path+".annotations", "annotations of one of the two alerts are left out; write those for both into alerting.annotations")
		}
	}
	if l.infoLabels != nil {
		note(l.path+".infoLabels", "infoLabels are left out: they are labels of a metric that Sloth makes")
	}
	if l.interval != nil {
		note(l.path+".interval", "interval is left out: nothing is evaluated at intervals here")
	}
	return out
}
