package pyrra

import (
	"fmt"
	"maps"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// Convert returns the SLO of a document with its words, so that it can be written in another form. Left is what is missing then: the SLO
// itself, with what is wrong with it. Notes are what is in the document and has no place elsewhere.
func (c *Compiler) Convert(d *mesh.Document) (ws []slo.Written, left, notes []mesh.Problem) {
	r := &reading{cfg: c.cfg, d: d}
	o := r.objective()
	if len(r.problems) > 0 {
		return nil, mesh.SortProblems(r.problems), nil
	}
	s := &r.file.Spec
	w := slo.Written{Objective: o, Namespace: d.Namespace, Description: s.Description, Labels: r.file.Metadata.Labels, Annotations: r.others(), Counter: true}
	if in := s.Indicator.Ratio; in != nil {
		w.Bad, w.Total = in.Errors.Metric, in.Total.Metric
	}
	if in := s.Indicator.Latency; in != nil {
		w.Good, w.Total = in.Success.Metric, in.Total.Metric
	}
	if q := r.native; q != nil {
		w.Good, w.Total, w.Counter = q.good, q.total, false
	}
	if in := s.Indicator.BoolGauge; in != nil {
		w.Values, w.Counter = in.Metric, false
	}
	return []slo.Written{w}, nil, r.notes(&o)
}

// applied is the annotation in which kubectl keeps the whole file.
const applied = "kubectl.kubernetes.io/last-applied-configuration"

// others returns the annotations that have a meaning neither to Pyrra nor here.
func (r *reading) others() map[string]string {
	out := maps.Clone(r.file.Metadata.Annotations)
	maps.DeleteFunc(out, func(name, _ string) bool {
		return name == applied || strings.HasPrefix(name, prefix) || strings.HasPrefix(name, annotationPrefix)
	})
	return out
}

// notes tells of what has no meaning here.
func (r *reading) notes(o *slo.Objective) (notes []mesh.Problem) {
	s := &r.file.Spec
	at := func(path, format string, args ...any) mesh.Problem {
		return r.d.KeyProblem(path, fmt.Sprintf(format, args...), "")
	}
	if s.Alerting.absents() {
		if _, text := AbsentAfter(o.Target, o.Window.Duration); text != "" {
			notes = append(notes, at("spec.window", "%s", text))
		}
	}
	if s.Alerting.burns() {
		_, differ, _ := Tiers(o.Target, o.Window.Duration)
		for _, text := range differ {
			notes = append(notes, at("spec.window", "%s", text))
		}
		if len(o.Alerting.Tiers) > 0 {
			notes = append(notes, at("spec.window", "alerts come as soon as both windows burn: the time that Pyrra waits besides (for) is left out"))
		}
	}
	if s.Alerting.Name != "" {
		notes = append(notes, at("spec.alerting.name", "the alert name %s is left out: an alert is named by service, SLO and tier", s.Alerting.Name))
	}
	if s.Alerting.AbsentName != "" {
		notes = append(notes, at("spec.alerting.absentName", "the alert name %s is left out: the alert is named by service, SLO and tier", s.Alerting.AbsentName))
	}
	if s.PartialResponseStrategy != nil {
		notes = append(notes, at("spec.partial_response_strategy", "partial_response_strategy is left out: it is about the rules of Thanos"))
	}
	if s.PerformanceOverAccuracy != nil {
		notes = append(notes, at("spec.performanceOverAccuracy", "performanceOverAccuracy is left out: counts are exact here, and cost the same"))
	}
	return mesh.SortProblems(notes)
}
