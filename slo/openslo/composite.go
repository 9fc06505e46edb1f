package openslo

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// isComposite reports whether objectives have indicators of their own. A single one that has is an SLO as any other.
func isComposite(d *mesh.Document, s *sloSpec) bool {
	return len(s.Objectives) > 1 && slices.ContainsFunc(paths(s), func(p string) bool { return ownIndicator(d, p) })
}

func ownIndicator(d *mesh.Document, path string) bool {
	return node(d, path+".indicator") != nil || node(d, path+".indicatorRef") != nil
}

// paths returns where each objective stands.
func paths(s *sloSpec) []string {
	var out []string
	for i := range s.Objectives {
		out = append(out, fmt.Sprintf("spec.objectives[%d]", i))
	}
	return out
}

// compositeFields tells of what belongs to composites and stands elsewhere.
func (r *run) compositeFields(d *mesh.Document, s *sloSpec, m *metadata, composite bool) {
	if composite {
		for _, name := range []string{slo.AnnotationPercentiles, slo.AnnotationInterpolate} {
			if _, ok := m.Annotations[name]; ok {
				r.add(d.KeyProblem(annotationPath(name), name+" is about one histogram, and a composite joins several SLIs", "leave it out; the indicators can be SLOs of their own, with the annotation"))
			}
		}
		return
	}
	for _, p := range paths(s) {
		if node(d, p+".compositeWeight") != nil {
			r.add(d.KeyProblem(p+".compositeWeight", "compositeWeight belongs to a composite: two objectives or more, each with an indicator or indicatorRef of its own", "leave it out, or give each objective its indicatorRef"))
		}
	}
	for _, name := range []string{AnnotationComposite, AnnotationCompositeTarget} {
		if _, ok := m.Annotations[name]; ok {
			r.add(d.KeyProblem(annotationPath(name), name+" belongs to a composite: two objectives or more, each with an indicator or indicatorRef of its own", "leave it out"))
		}
	}
}

// compileComposite makes an SLO of each objective, which alerts nobody, and one over them all.
func (r *run) compileComposite(d *mesh.Document, o *object[sloSpec], base slo.Objective, def *mesh.Definition) ([]slo.Objective, bool) {
	s := &o.Spec
	for _, f := range []string{"spec.indicator", "spec.indicatorRef"} {
		if node(d, f) != nil {
			r.add(d.KeyProblem(f, "the SLO has an indicator, and objectives have indicators of their own", "keep those of the objectives"))
		}
	}
	if s.BudgetingMethod != slo.MethodOccurrences && stringAt(d, "spec.budgetingMethod") {
		r.add(d.Problem("spec.budgetingMethod", "the objectives of a composite count events; the composite itself counts minutes", "write budgetingMethod: Occurrences"))
	}
	joint := base
	joint.Name, joint.DisplayName = o.Metadata.Name, o.Metadata.DisplayName
	joint.OnNoData = r.noData(d, &o.Metadata, slo.MethodRatioTimeslices)
	if len(base.GroupBy) > 0 {
		r.add(d.KeyProblem(annotationPath(AnnotationGroupBy), "a composite has no series to group by", "leave it out, or group an SLO of its own"))
	}
	c := slo.Composite{Join: r.join(d, &o.Metadata)}
	var out []slo.Objective
	all := true
	for i, target := range r.targets(d, s) {
		path, of := fmt.Sprintf("spec.objectives[%d]", i), &s.Objectives[i]
		m := base
		m.Target, m.OnNoData, m.Alerting = target, "", slo.Alerting{Disabled: true}
		m.Name, m.DisplayName = objectiveName(o, i)
		m.Slice = r.slice(d, path, of, slo.MethodOccurrences)
		counts, ok := r.member(d, path, of, def)
		m.SLI, m.Unread = counts.sli, counts.unread
		all = all && ok
		if m.Unread == nil {
			m.SLI.Gauge = r.threshold(d, path, of, m.SLI.Gauge)
		}
		out = append(out, m)
		c.Members = append(c.Members, slo.Member{Service: m.Service, Name: m.Name, Target: target, Weight: r.weight(d, path+".compositeWeight", of)})
	}
	joint = slo.NewComposite(joint, c)
	joint.Target = r.jointTarget(d, &o.Metadata, &c)
	r.tiers(d, s, &joint)
	return append(out, joint), all
}

// member compiles the indicator of one objective.
func (r *run) member(d *mesh.Document, path string, o *objective, def *mesh.Definition) (measure, bool) {
	if !ownIndicator(d, path) {
		r.absent(d, path+".indicatorRef", "the objective has no indicator, and others have", "write indicatorRef with the name of an SLI, or take those of the others to spec.indicator")
		return measure{}, false
	}
	return r.indicator(d, path, o.Indicator, o.IndicatorRef, def)
}

func (r *run) join(d *mesh.Document, m *metadata) string {
	v, ok := m.Annotations[AnnotationComposite]
	known := slo.Joins()
	switch {
	case !ok:
		return slo.JoinWeightedMean
	case !slices.Contains(known, v):
		hint := "write " + strings.Join(known, ", ")
		if n := mesh.Nearest(v, known); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		}
		r.add(d.Problem(annotationPath(AnnotationComposite), fmt.Sprintf("unknown value %q", v), hint))
	}
	return v
}

// weight reads compositeWeight, 1 where there is none.
func (r *run) weight(d *mesh.Document, path string, o *objective) slo.Decimal {
	n := node(d, path)
	if n == nil {
		return slo.MustDecimal("1")
	}
	v, err := slo.ParseDecimal(n.Text)
	if n.Kind != mesh.NodeNumber || err != nil || v.Rat().Sign() <= 0 || v.Rat().Cmp(big.NewRat(1_000_000, 1)) > 0 {
		r.add(d.Problem(path, fmt.Sprintf("%s must be a number above 0 and at most a million", path), "write for example 2: it counts twice as much as one of 1"))
	}
	return v
}

// jointTarget reads the composite's target, or takes it from the members where that leaves no choice.
func (r *run) jointTarget(d *mesh.Document, m *metadata, c *slo.Composite) slo.Decimal {
	path := annotationPath(AnnotationCompositeTarget)
	if text, ok := m.Annotations[AnnotationCompositeTarget]; ok {
		if !stringAt(d, path) {
			return slo.Decimal{}
		}
		percent, isPercent := strings.CutSuffix(text, "%")
		if isPercent {
			return r.share(d, path, json.Number(percent), 100)
		}
		if v, err := slo.ParseDecimal(text); err == nil && v.Rat().Cmp(big.NewRat(1, 1)) >= 0 {
			r.add(d.Problem(path, fmt.Sprintf("%q must be a share below 1", text), fmt.Sprintf("write \"0.99\", or \"%s%%\"", text)))
			return slo.Decimal{}
		}
		return r.share(d, path, json.Number(text), 1)
	}
	sum, weights, same := new(big.Rat), new(big.Rat), true
	for i := range c.Members {
		t, w := c.Members[i].Target.Rat(), c.Members[i].Weight.Rat()
		same = same && t.Cmp(c.Members[0].Target.Rat()) == 0
		weights.Add(weights, w)
		sum.Add(sum, w.Mul(w, t))
	}
	if same {
		if len(c.Members) == 0 {
			return slo.Decimal{}
		}
		return c.Members[0].Target
	}
	if c.Join == slo.JoinWeightedMean && weights.Sign() > 0 {
		sum.Quo(sum, weights)
		if digits, exact := sum.FloatPrec(); exact && digits <= 28 {
			return slo.MustDecimal(sum.FloatString(digits))
		}
	}
	r.absent(d, path, "the objectives have different targets, and the composite none", "write the annotation "+AnnotationCompositeTarget+`: "0.99"`)
	return slo.Decimal{}
}
