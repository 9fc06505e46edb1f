package openslo

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// Write returns an objective as an OpenSLO v1 document that compiles to the same objective.
func Write(w *slo.Written) (*mesh.Node, error) {
	switch {
	case w.Composite != nil:
		return nil, fmt.Errorf("a composite cannot be written")
	case w.Method != slo.MethodOccurrences || w.Window.Type != slo.WindowRolling:
		return nil, fmt.Errorf("an SLO with the method %s over a %s window cannot be written", w.Method, w.Window.Type)
	case w.SLI.Gauge != nil && w.SLI.Gauge.Raw == "":
		return nil, fmt.Errorf("an SLO that compares values cannot be written")
	}
	annotations := map[string]string{}
	maps.Copy(annotations, w.Annotations)
	policies, err := writeAlerts(w, annotations)
	if err != nil {
		return nil, err
	}
	if err := writeExtra(&w.Alerting, annotations); err != nil {
		return nil, err
	}
	if err := writeGroups(&w.Objective, annotations); err != nil {
		return nil, err
	}
	maps.Copy(annotations, w.Objective.Annotations())
	if w.OnNoData != "" {
		annotations[AnnotationOnNoData] = w.OnNoData
	}
	description := w.Description
	if utf8.RuneCountInString(description) > descriptionMax {
		description = ""
	}
	for name, text := range w.Alerting.Annotations {
		if name != "description" || text != description {
			annotations[AnnotationAlert+name] = text
		}
	}
	if w.Alerting.Runbook != "" {
		annotations[AnnotationRunbook] = w.Alerting.Runbook
	}
	if w.GlobalNamespace != "default" {
		annotations[AnnotationGlobalNamespace] = w.GlobalNamespace
	}
	labels := maps.Clone(w.Labels)
	for _, name := range []string{AnnotationGlobalNamespace, slo.AnnotationPercentiles, slo.AnnotationInterpolate} {
		delete(labels, name)
	}
	return mesh.Map(
		mesh.Entry("apiVersion", mesh.Text(APIVersion)),
		mesh.Entry("kind", mesh.Text(KindSLO)),
		mesh.Entry("metadata", mesh.Map(
			mesh.Entry("name", mesh.Text(w.Name)),
			mesh.Entry("namespace", unless(w.Namespace, "default")),
			mesh.Entry("displayName", unless(w.DisplayName, "")),
			mesh.Entry("labels", mesh.Entries(labels)),
			mesh.Entry("annotations", mesh.Entries(annotations)),
		)),
		mesh.Entry("spec", mesh.Map(
			mesh.Entry("description", unless(description, "")),
			mesh.Entry("service", mesh.Text(w.Service)),
			mesh.Entry("indicator", mesh.Map(
				mesh.Entry("metadata", mesh.Map(mesh.Entry("name", mesh.Text(w.Name)))),
				mesh.Entry("spec", mesh.Map(mesh.Entry("ratioMetric", writeRatio(w)))),
			)),
			mesh.Entry("timeWindow", mesh.List(mesh.Map(mesh.Entry("duration", mesh.Text(writeDuration(w.Window.Duration))), mesh.Entry("isRolling", mesh.Bool(true))))),
			mesh.Entry("budgetingMethod", mesh.Text(w.Method)),
			mesh.Entry("objectives", mesh.List(mesh.Map(mesh.Entry("target", mesh.Number(w.Target.String()))))),
			mesh.Entry("alertPolicies", policies),
		)),
	), nil
}

// unless returns a text that is not the one that may be left out.
func unless(text, left string) *mesh.Node {
	if text == left || text == "" {
		return nil
	}
	return mesh.Text(text)
}

func writeRatio(w *slo.Written) *mesh.Node {
	metric := func(query string) *mesh.Node {
		if query == "" {
			return nil
		}
		return mesh.Map(mesh.Entry("metricSource", mesh.Map(
			mesh.Entry("type", mesh.Text("Prometheus")),
			mesh.Entry("spec", mesh.Map(mesh.Entry("query", mesh.Text(query)))),
		)))
	}
	if w.SLI.Gauge != nil {
		return mesh.Map(mesh.Entry("rawType", mesh.Text(w.SLI.Gauge.Raw)), mesh.Entry("raw", metric(w.Values)))
	}
	n := mesh.Map(mesh.Entry("good", metric(w.Good)), mesh.Entry("bad", metric(w.Bad)), mesh.Entry("total", metric(w.Total)))
	if w.Counter {
		n.Fields = append([]mesh.Field{mesh.Entry("counter", mesh.Bool(true))}, n.Fields...)
	}
	return n
}

// writeDuration writes a duration in one unit, as OpenSLO's shorthand asks.
func writeDuration(d slo.Duration) string {
	for _, u := range []struct {
		size bus.Time
		unit string
	}{{bus.Day, "d"}, {bus.Hour, "h"}} {
		if d.Time()%u.size == 0 {
			return strconv.FormatInt(int64(d.Time()/u.size), 10) + u.unit
		}
	}
	return strconv.FormatInt(int64(d.Time()/bus.Minute), 10) + "m"
}

// writeAlerts writes the alerts of an objective: nothing where they are the default ones.
func writeAlerts(w *slo.Written, annotations map[string]string) (*mesh.Node, error) {
	a := &w.Alerting
	switch {
	case a.Disabled:
		return mesh.List(), nil
	case len(a.Tiers) == 0:
		return nil, nil
	case len(a.Tiers) == 1 && reflect.DeepEqual(a.Tiers, defaultTiers(w.Target, w.Window.Duration, a.Tiers[0].Name)):
		annotations[AnnotationAlerts] = a.Tiers[0].Name
		return nil, nil
	}
	var conditions []*mesh.Node
	for _, t := range a.Tiers {
		if len(t.Pairs) != 1 || len(t.Notify) > 0 || mesh.LabelHint(t.Name) != "" {
			return nil, fmt.Errorf("the alert %s cannot be written as an AlertCondition", t.Name)
		}
		p := t.Pairs[0]
		for _, d := range []slo.Duration{p.Long, p.Short} {
			if d.Time()%bus.Minute != 0 {
				return nil, fmt.Errorf("the alert %s has a window of %s, and OpenSLO knows whole minutes only", t.Name, d)
			}
		}
		conditions = append(conditions, mesh.Map(
			mesh.Entry("kind", mesh.Text(KindCondition)),
			mesh.Entry("metadata", mesh.Map(mesh.Entry("name", mesh.Text(t.Name)))),
			mesh.Entry("spec", mesh.Map(
				mesh.Entry("severity", mesh.Text(t.Severity)),
				mesh.Entry("condition", mesh.Map(
					mesh.Entry("kind", mesh.Text("burnrate")),
					mesh.Entry("op", mesh.Text("gt")),
					mesh.Entry("threshold", mesh.Number(p.Factor.String())),
					mesh.Entry("lookbackWindow", mesh.Text(writeDuration(p.Long))),
					mesh.Entry("alertAfter", mesh.Text(writeDuration(p.Short))),
				)),
			)),
		))
	}
	return mesh.List(mesh.Map(
		mesh.Entry("kind", mesh.Text(KindPolicy)),
		mesh.Entry("metadata", mesh.Map(mesh.Entry("name", mesh.Text(w.Name)))),
		mesh.Entry("spec", mesh.Map(mesh.Entry("conditions", mesh.List(conditions...)), mesh.Entry("notificationTargets", mesh.List()))),
	)), nil
}

// writeExtra writes the alerts that are not about burn rates.
func writeExtra(a *slo.Alerting, annotations map[string]string) error {
	if a.Unguarded {
		annotations[AnnotationLowTraffic] = "false"
	}
	for i := range a.Extra {
		t := &a.Extra[i]
		if t.Name != "absent" || t.Absent == 0 || len(t.Notify) > 0 {
			return fmt.Errorf("the alert %s cannot be written as an annotation", t.Name)
		}
		text := t.Absent.String()
		if t.Severity != slo.SeverityTicket {
			text += " " + t.Severity
		}
		if t.RollUp {
			text += " " + rollUpWord
		}
		annotations[AnnotationAbsent] = text
	}
	return nil
}

// writeGroups writes what an objective groups by.
func writeGroups(o *slo.Objective, annotations map[string]string) error {
	if len(o.GroupBy) == 0 {
		return nil
	}
	for _, l := range o.GroupBy {
		if strings.Contains(l, ",") || strings.TrimSpace(l) != l {
			return fmt.Errorf("the label %q cannot be written in a list with commas", l)
		}
	}
	annotations[AnnotationGroupBy] = strings.Join(o.GroupBy, ", ")
	if o.MaxGroups != 0 {
		annotations[AnnotationMaxGroups] = strconv.Itoa(o.MaxGroups)
	}
	if o.GroupAlerts != "" {
		annotations[AnnotationGroupAlerts] = o.GroupAlerts
	}
	return nil
}

// defaultTiers returns the default tier of a name, if the objective has it.
func defaultTiers(target slo.Decimal, window slo.Duration, name string) []slo.Tier {
	tiers, _ := slo.DefaultTiers(target, window)
	return slices.DeleteFunc(tiers, func(t slo.Tier) bool { return t.Name != name })
}
