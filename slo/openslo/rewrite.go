package openslo

import (
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// rewrite returns the v1 form of the document with the queries of a group of objectives. All objectives are in it.
func (a *alpha) rewrite(group []int) *mesh.Node {
	root := a.d.Root
	out := &mesh.Node{Kind: mesh.NodeMap, Line: root.Line, Column: root.Column}
	for _, f := range root.Fields {
		switch {
		case f.Key == "apiVersion":
			f.Value = at(f.Value, mesh.Text(APIVersion))
		case f.Key == "spec" && a.d.Kind == KindSLO:
			f.Value = a.spec(f.Value, group)
		}
		out.Fields = append(out.Fields, f)
	}
	return out
}

// at gives a node the place of another.
func at(place, n *mesh.Node) *mesh.Node {
	n.Line, n.Column = place.Line, place.Column
	return n
}

// moved gives a field another name and value.
func moved(f mesh.Field, key string, value *mesh.Node) mesh.Field {
	f.Key, f.Value = key, value
	return f
}

// fields returns the fields of a node that have a value.
func fields(n *mesh.Node) []mesh.Field {
	var out []mesh.Field
	for _, f := range n.Fields {
		if f.Value.Kind != mesh.NodeNull {
			out = append(out, f)
		}
	}
	return out
}

func (a *alpha) spec(n *mesh.Node, group []int) *mesh.Node {
	out := at(n, mesh.Map())
	method := false
	for _, f := range fields(n) {
		switch f.Key {
		case "indicator":
			for _, t := range fields(f.Value) { // thresholdMetric
				f = moved(f, "indicator", a.indicator(f.Value, moved(t, "thresholdMetric", a.metric(t.Value))))
			}
		case "timeWindows":
			f = moved(f, "timeWindow", a.windows(f.Value))
		case "objectives":
			if ratio := a.ratio(f.Value, group); ratio != nil {
				out.Fields = append(out.Fields, *ratio)
			}
			f = moved(f, "objectives", objectives(f.Value))
		case "budgetingMethod":
			method = true
		}
		out.Fields = append(out.Fields, f)
	}
	if !method {
		out.Fields = append(out.Fields, mesh.Field{Key: "budgetingMethod", Line: n.Line, Column: n.Column, Value: at(n, mesh.Text(slo.MethodOccurrences))})
	}
	return out
}

// indicator wraps a metric as v1 does.
func (a *alpha) indicator(place *mesh.Node, metric mesh.Field) *mesh.Node {
	return at(place, mesh.Map(
		mesh.Entry("metadata", mesh.Map(mesh.Entry("name", mesh.Text(a.d.Name)))),
		moved(metric, "spec", at(place, mesh.Map(metric))),
	))
}

// ratio returns the indicator of the group's objectives, which all have the same queries.
func (a *alpha) ratio(list *mesh.Node, group []int) *mesh.Field {
	if len(group) == 0 || group[0] >= len(list.Items) {
		return nil
	}
	for _, f := range fields(list.Items[group[0]]) {
		if f.Key != "ratioMetrics" {
			continue
		}
		n := at(f.Value, mesh.Map())
		for _, m := range fields(f.Value) {
			switch m.Key {
			case "incremental":
				m.Key = "counter"
			case "good", "total":
				m.Value = a.metric(m.Value)
			}
			n.Fields = append(n.Fields, m)
		}
		out := moved(f, "indicator", a.indicator(f.Value, moved(f, "ratioMetric", n)))
		return &out
	}
	return nil
}

// metric rewrites source, queryType and query.
func (a *alpha) metric(n *mesh.Node) *mesh.Node {
	source := at(n, mesh.Map())
	promql := slices.ContainsFunc(n.Fields, func(f mesh.Field) bool {
		return f.Key == "queryType" && strings.EqualFold(f.Value.Text, "promql") || f.Key == "source" && strings.EqualFold(f.Value.Text, "prometheus")
	})
	for _, f := range fields(n) {
		switch {
		case f.Key == "source" && promql:
			source.Fields = append(source.Fields, moved(f, "type", at(f.Value, mesh.Text("Prometheus"))))
		case f.Key == "source":
			source.Fields = append(source.Fields, moved(f, "type", f.Value))
		case f.Key == "query":
			q := *f.Value
			q.Text = a.fill(q.Text)
			source.Fields = append(source.Fields, moved(f, "spec", at(f.Value, mesh.Map(moved(f, "query", &q)))))
		}
	}
	return at(n, mesh.Map(mesh.Field{Key: "metricSource", Line: n.Line, Column: n.Column, Value: source}))
}

func (a *alpha) windows(list *mesh.Node) *mesh.Node {
	out := at(list, mesh.List())
	for i, item := range list.Items {
		w := &a.o.Spec.TimeWindows[i]
		n := at(item, mesh.Map())
		rolling := false
		for _, f := range fields(item) {
			switch f.Key {
			case "count":
				f = moved(f, "duration", at(f.Value, mesh.Text(w.duration())))
			case "unit":
				continue
			case "isRolling":
				rolling = true
			}
			n.Fields = append(n.Fields, f)
		}
		if !rolling {
			n.Fields = append(n.Fields, mesh.Field{Key: "isRolling", Line: item.Line, Column: item.Column, Value: at(item, mesh.Bool(w.Calendar == nil))})
		}
		out.Items = append(out.Items, n)
	}
	if len(out.Items) == 0 {
		out.Kind = mesh.NodeNull // the window is the default one
	}
	return out
}

// objectives leaves out what v1 says elsewhere, and what means nothing beside a ratio.
func objectives(list *mesh.Node) *mesh.Node {
	out := at(list, mesh.List())
	for _, item := range list.Items {
		n := at(item, mesh.Map())
		ratio := item.Get("ratioMetrics")
		for _, f := range fields(item) {
			if f.Key == "ratioMetrics" || ratio != nil && (f.Key == "op" || f.Key == "value") {
				continue
			}
			n.Fields = append(n.Fields, f)
		}
		out.Items = append(out.Items, n)
	}
	return out
}

// Convert returns the v1 documents that say what d says. Left is what is wrong with it, and then there is none; notes are what is in d and
// means nothing.
func (c *Compiler) Convert(d *mesh.Document) (docs []*mesh.Node, left, notes []mesh.Problem) {
	if d.APIVersion != APIVersionAlpha {
		return []*mesh.Node{d.Root}, nil, nil
	}
	r := &run{cfg: c.cfg, objects: map[mesh.Ref]*entry{}, claims: map[string]mesh.Ref{}}
	r.compileAlpha(d, &mesh.Definition{Ref: d.Ref()})
	if len(r.problems) > 0 {
		return nil, mesh.SortProblems(r.problems), nil
	}
	a := &alpha{d: d, groups: [][]int{{}}}
	if d.Kind == KindSLO {
		a, _ = r.alpha(d)
		a.exact = false
		notes = append(a.notes(), r.warnings...)
	}
	for _, g := range a.groups {
		v1 := a.rewrite(g)
		if len(a.groups) == 1 {
			return []*mesh.Node{v1}, nil, notes
		}
		for _, i := range g {
			docs = append(docs, a.alone(v1, i))
		}
	}
	return docs, nil, notes
}

// notes tells of what v1 has no place for.
func (a *alpha) notes() []mesh.Problem {
	var out []mesh.Problem
	for i := range a.o.Spec.Objectives {
		o := &a.o.Spec.Objectives[i]
		for _, f := range []struct {
			field string
			value *mesh.Node
		}{{"op", o.Op}, {"value", o.Value}} {
			if f.value != nil && o.RatioMetrics != nil {
				out = append(out, a.d.KeyProblem(fmt.Sprintf("spec.objectives[%d].%s", i, f.field), f.field+" is left out: it means nothing beside ratioMetrics", ""))
			}
		}
	}
	return out
}

// alone returns a v1 SLO with one of its objectives, named as that would be among the others.
func (a *alpha) alone(v1 *mesh.Node, i int) *mesh.Node {
	o := object[sloSpec]{Metadata: a.o.Metadata}
	for _, of := range a.o.Spec.Objectives {
		o.Spec.Objectives = append(o.Spec.Objectives, objective{DisplayName: of.DisplayName})
	}
	name, display := objectiveName(&o, i)
	out := *v1
	out.Fields = slices.Clone(v1.Fields)
	for j, f := range out.Fields {
		switch f.Key {
		case "metadata":
			m := mesh.Map(mesh.Entry("name", mesh.Text(name)), mesh.Entry("displayName", unless(display, "")))
			for _, f := range fields(f.Value) {
				if f.Key != "name" && f.Key != "displayName" {
					m.Fields = append(m.Fields, f)
				}
			}
			out.Fields[j].Value = m
		case "spec":
			s := *f.Value
			s.Fields = slices.Clone(s.Fields)
			for k, f := range s.Fields {
				if f.Key == "objectives" {
					s.Fields[k].Value = mesh.List(f.Value.Items[i])
				}
			}
			out.Fields[j].Value = &s
		}
	}
	return &out
}
