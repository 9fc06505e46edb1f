package openslo

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"strconv"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// maxObjectives bounds the objectives of one SLO document.
const maxObjectives = 20

func (r *run) compileSLO(d *mesh.Document, def *mesh.Definition) {
	before := len(r.problems)
	var o object[sloSpec]
	r.decode(d, &o, &o.Metadata, def)
	s := &o.Spec
	r.description(d, s.Description)
	base := slo.Objective{GlobalNamespace: def.GlobalNamespace, Service: s.Service, Method: r.method(d, s), Definition: def.Ref}
	r.service(d, s)
	base.Window = r.window(d, s)
	base.Alerting = r.alerting(d, s, &o.Metadata, def)
	r.groups(d, &o.Metadata, &base)
	composite := isComposite(d, s)
	r.compositeFields(d, s, &o.Metadata, composite)
	compile := r.compileObjectives
	if composite {
		compile = r.compileComposite
	}
	out, ok := compile(d, &o, base, def)
	if !ok || len(r.problems) > before {
		return
	}
	for i := range out {
		b := &out[i]
		path := fmt.Sprintf("spec.objectives[%d]", min(i, len(s.Objectives)-1))
		if err := b.Validate(); err != nil {
			r.add(d.Problem(path, err.Error(), ""))
			continue
		}
		r.claim(d, def, "metadata.name", "slo/"+b.GlobalNamespace+"/"+b.Service+"/"+b.Name, fmt.Sprintf("the objective %q of service %q in global namespace %q", b.Name, b.Service, b.GlobalNamespace))
	}
	encode(def, out)
}

// compileObjectives compiles an SLO whose objectives have the same indicator; false where there is a problem, which may have been told before.
func (r *run) compileObjectives(d *mesh.Document, o *object[sloSpec], base slo.Objective, def *mesh.Definition) ([]slo.Objective, bool) {
	s := &o.Spec
	base.OnNoData = r.noData(d, &o.Metadata, base.Method)
	path, in, ref := "spec", s.Indicator, s.IndicatorRef
	if len(s.Objectives) == 1 && ownIndicator(d, "spec.objectives[0]") {
		own := &s.Objectives[0]
		for _, f := range []string{"spec.indicator", "spec.indicatorRef"} {
			if node(d, f) != nil {
				r.add(d.KeyProblem(f, "the SLO has an indicator, and its objective one of its own", "keep one of them"))
			}
		}
		path, in, ref = "spec.objectives[0]", own.Indicator, own.IndicatorRef
	}
	m, ok := r.indicator(d, path, in, ref, def)
	base.SLI, base.Unread = m.sli, m.unread
	if name, err := base.Annotate(o.Metadata.Annotations); err != nil {
		r.add(d.Problem(annotationPath(name), err.Error(), ""))
	}
	if m.unread != nil {
		base.Percentiles, base.SLI.Interpolate = false, false
	}
	r.splits(d, &base)
	var out []slo.Objective
	for i, target := range r.targets(d, s) {
		b := base
		b.Target = target
		b.Name, b.DisplayName = objectiveName(o, i)
		b.Slice = r.slice(d, fmt.Sprintf("spec.objectives[%d]", i), &s.Objectives[i], b.Method)
		if ok && m.unread == nil {
			b.SLI.Gauge = r.threshold(d, fmt.Sprintf("spec.objectives[%d]", i), &s.Objectives[i], m.sli.Gauge)
		}
		r.tiers(d, s, &b)
		out = append(out, b)
	}
	return out, ok
}

func (r *run) service(d *mesh.Document, s *sloSpec) {
	if node(d, "spec.service") == nil {
		r.absent(d, "spec.service", "spec.service is missing", "name the service that the objective is about")
		return
	}
	if hint := mesh.LabelHint(s.Service); hint != "" && stringAt(d, "spec.service") {
		r.add(d.Problem("spec.service", fmt.Sprintf("the service %q is not a DNS label", s.Service), hint))
	}
}

// stringAt reports whether there is a string; another type has been told already.
func stringAt(d *mesh.Document, path string) bool {
	n := node(d, path)
	return n != nil && n.Kind == mesh.NodeString
}

// indicator returns the SLI of an SLO or of one of its objectives, its own or one that it refers to.
func (r *run) indicator(d *mesh.Document, path string, own *indicator, name string, def *mesh.Definition) (measure, bool) {
	inline, ref := own != nil, node(d, path+".indicatorRef") != nil
	switch {
	case inline && ref:
		r.add(d.KeyProblem(path+".indicatorRef", "indicator and indicatorRef exclude each other", "keep one of them"))
	case inline:
		if k := own.Kind; k != "" && k != KindSLI {
			r.add(d.Problem(path+".indicator.kind", fmt.Sprintf("the kind of an indicator is SLI, found %q", k), "write kind: SLI or leave it out"))
		}
		if own.Spec == nil {
			r.absent(d, path+".indicator.spec", path+".indicator.spec is missing", "it holds ratioMetric")
			return measure{}, false
		}
		return r.sli(d, path+".indicator.spec", own.Spec, def)
	case ref && stringAt(d, path+".indicatorRef"):
		e := r.lookup(d, path+".indicatorRef", KindSLI, name)
		if e == nil {
			return measure{}, false
		}
		refer(def, e, r.document(e))
		res := r.storedSLI(e)
		if q := res.query; q != nil {
			r.add(d.Problem(path+".indicatorRef", fmt.Sprintf("the SLI %s has a query that cannot be counted: %s", name, q.Message), q.Hint))
			return measure{}, false
		}
		return res.measure, res.ok
	case !ref && node(d, path) != nil:
		r.absent(d, path+".indicator", "the SLO has neither indicator nor indicatorRef", "write indicator with a ratioMetric, or indicatorRef with the name of an SLI")
	}
	return measure{}, false
}

// targets returns the target of each objective.
func (r *run) targets(d *mesh.Document, s *sloSpec) []slo.Decimal {
	const path = "spec.objectives"
	switch n := node(d, path); {
	case n != nil && n.Kind != mesh.NodeList:
		return nil
	case len(s.Objectives) == 0:
		r.absent(d, path, "the SLO has no objectives", "write for example - target: 0.999")
	case len(s.Objectives) > maxObjectives:
		r.add(d.Problem(path, fmt.Sprintf("the SLO has %d objectives; at most %d are taken", len(s.Objectives), maxObjectives), "split it"))
		return nil
	}
	var out []slo.Decimal
	for i := range s.Objectives {
		out = append(out, r.target(d, fmt.Sprintf("%s[%d]", path, i), &s.Objectives[i]))
	}
	return out
}

// target reads target or targetPercent exactly, as a share.
func (r *run) target(d *mesh.Document, path string, o *objective) slo.Decimal {
	share, percent := node(d, path+".target"), node(d, path+".targetPercent")
	switch {
	case share != nil && percent != nil:
		r.add(d.KeyProblem(path+".targetPercent", "target and targetPercent exclude each other", "keep one of them"))
	case share == nil && percent == nil:
		r.absent(d, path+".target", "the objective has no target", "write target: 0.999 or targetPercent: 99.9")
	case o.Target != "":
		return r.share(d, path+".target", o.Target, 1)
	case o.TargetPercent != "":
		return r.share(d, path+".targetPercent", o.TargetPercent, 100)
	}
	return slo.Decimal{}
}

func (r *run) share(d *mesh.Document, path string, n json.Number, whole int64) slo.Decimal {
	v, err := slo.ParseDecimal(n.String())
	if err != nil {
		r.add(d.Problem(path, fmt.Sprintf("%s is no decimal number of at most 30 digits", n), ""))
		return slo.Decimal{}
	}
	top := new(big.Rat).SetInt64(whole)
	if v.Rat().Sign() <= 0 || v.Rat().Cmp(top) >= 0 {
		hint := "100 % leaves no budget at all; write for example 0.999"
		if whole == 1 && v.Rat().Cmp(top) > 0 && v.Rat().Cmp(big.NewRat(100, 1)) < 0 {
			hint = fmt.Sprintf("write targetPercent: %s", n)
		} else if whole == 100 {
			hint = "100 % leaves no budget at all; write for example 99.9"
		}
		r.add(d.Problem(path, fmt.Sprintf("%s must be above 0 and below %d, found %s", path, whole, n), hint))
		return slo.Decimal{}
	}
	if whole == 1 {
		return v
	}
	exact, err := v.Hundredth()
	if err != nil {
		r.add(d.Problem(path, fmt.Sprintf("%s has too many digits", n), "at most 28 after the point"))
	}
	return exact
}

// objectiveName names the objective with index i of an SLO.
func objectiveName(o *object[sloSpec], i int) (name, display string) {
	name, display = o.Metadata.Name, o.Metadata.DisplayName
	of := o.Spec.Objectives
	if len(of) == 1 {
		if display == "" {
			display = of[0].DisplayName
		}
		return name, display
	}
	if of[i].DisplayName != "" {
		display = of[i].DisplayName
	}
	slug := mesh.Slug(of[i].DisplayName)
	unique := slug != ""
	if _, err := strconv.Atoi(slug); err == nil {
		unique = false // it could be taken for a number
	}
	for j := range of {
		unique = unique && (j == i || mesh.Slug(of[j].DisplayName) != slug)
	}
	if !unique {
		slug = strconv.Itoa(i + 1)
	}
	return name + "-" + slug, display
}

// runbook checks the URL that alerts carry.
func (r *run) runbook(d *mesh.Document, m *metadata) string {
	text := m.Annotations[AnnotationRunbook]
	if text == "" {
		return ""
	}
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		r.add(d.Problem(annotationPath(AnnotationRunbook), "the runbook is not an http or https URL", ""))
	}
	return text
}
