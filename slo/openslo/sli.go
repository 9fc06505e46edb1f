package openslo

import (
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// A sliResult is a compiled SLI with what it refers to.
type sliResult struct {
	sli  slo.SLI
	ok   bool
	refs []mesh.Ref
}

func (r *run) compileSLI(e *entry, def *mesh.Definition) {
	d := r.document(e)
	var o object[sliSpec]
	r.decode(d, &o, &o.Metadata, def)
	r.description(d, o.Spec.Description)
	def.References = append(def.References, r.storedSLI(e).refs...)
}

// storedSLI compiles an SLI object once.
func (r *run) storedSLI(e *entry) *sliResult {
	if e.sli == nil {
		d := r.document(e)
		var o object[sliSpec]
		var scratch mesh.Definition
		e.sli = &sliResult{}
		bad := d.Decode("", &o)
		r.add(bad...) // told again when its turn comes; SortProblems drops that
		e.sli.sli, e.sli.ok = r.sli(d, "spec", &o.Spec, &scratch)
		e.sli.ok = e.sli.ok && len(bad) == 0
		e.sli.refs = scratch.References
	}
	return e.sli
}

// sli checks and compiles the spec of an SLI at path.
func (r *run) sli(d *mesh.Document, path string, s *sliSpec, def *mesh.Definition) (slo.SLI, bool) {
	before := len(r.problems)
	m := s.RatioMetric
	switch {
	case s.ThresholdMetric != nil && m != nil:
		r.add(d.KeyProblem(path+".thresholdMetric", "thresholdMetric and ratioMetric exclude each other", "keep ratioMetric"))
		return slo.SLI{}, false
	case s.ThresholdMetric != nil:
		g := r.values(d, path+".thresholdMetric", s.ThresholdMetric, false, def)
		return slo.SLI{Gauge: g}, g != nil
	case m == nil:
		if n := node(d, path); n == nil || n.Kind == mesh.NodeMap {
			r.absent(d, path+".ratioMetric", "the SLI has no ratioMetric", "write ratioMetric with good (or bad) and total")
		}
		return slo.SLI{}, false
	}
	path += ".ratioMetric"
	switch {
	case m.Raw != nil || node(d, path+".rawType") != nil:
		out := r.raw(d, path, m, def)
		return out, len(r.problems) == before
	case m.Good != nil && m.Bad != nil:
		r.add(d.KeyProblem(path+".bad", "good and bad exclude each other", "keep one of them beside total"))
	case m.Good == nil && m.Bad == nil:
		r.absent(d, path+".good", "ratioMetric has neither good nor bad", "write good (or bad) beside total")
	}
	if m.Total == nil {
		r.absent(d, path+".total", "ratioMetric has no total", "write total beside good (or bad)")
	}
	out := r.ratio(d, path, m, def)
	return out, len(r.problems) == before
}

func (r *run) ratio(d *mesh.Document, path string, m *ratioMetric, def *mesh.Definition) slo.SLI {
	var out slo.SLI
	var good, bad, total query
	if m.Good != nil {
		good = r.metric(d, path+".good", m.Good, def)
		out.Good = good.expr
	}
	if m.Bad != nil {
		bad = r.metric(d, path+".bad", m.Bad, def)
		out.Bad = bad.expr
	}
	if m.Total != nil {
		total = r.metric(d, path+".total", m.Total, def)
		if total.expr != nil {
			out.Total = *total.expr
		}
	}
	for _, q := range []query{good, bad, total} {
		if m.Counter == nil && node(d, path+".counter") != nil {
			break // no boolean, which is told already
		}
		if q.form == "counter" && (m.Counter == nil || !*m.Counter) {
			r.add(d.Problem(path+".counter", "the query names a counter as it stands, but counter is not true", "write counter: true, or rate(…[5m]) in the query; gauges are not supported"))
			break
		}
	}
	for _, q := range []query{good, bad} {
		if q.form != "" && total.form != "" && q.form != total.form {
			r.add(d.Problem(q.path, fmt.Sprintf("this is %s and total is %s: they have different scales", q.form, total.form), "use the same function and range in both, for example rate(…[5m])"))
		}
	}
	return out
}

// raw compiles a ratio that is measured as it stands.
func (r *run) raw(d *mesh.Document, path string, m *ratioMetric, def *mesh.Definition) slo.SLI {
	for _, other := range []string{"good", "bad", "total"} {
		if node(d, path+"."+other) != nil {
			r.add(d.KeyProblem(path+"."+other, fmt.Sprintf("%s and raw exclude each other", other), "keep good (or bad) and total: they count each event alike"))
		}
	}
	known := []string{slo.RawSuccess, slo.RawFailure}
	switch n := node(d, path+".rawType"); {
	case n == nil:
		r.absent(d, path+".rawType", "raw needs a rawType", "write rawType: success, or failure where the samples are shares of bad events")
	case n.Kind == mesh.NodeString && !slices.Contains(known, m.RawType):
		r.add(d.Problem(path+".rawType", fmt.Sprintf("unknown rawType %q", m.RawType), "it is success or failure"))
	}
	if m.Raw == nil {
		r.absent(d, path+".raw", "rawType needs raw", "write raw: {metricSource: {type: Prometheus, spec: {query: …}}}")
		return slo.SLI{}
	}
	g := r.values(d, path+".raw", m.Raw, true, def)
	if g != nil {
		g.Raw = m.RawType
	}
	return slo.SLI{Gauge: g}
}

// values compiles a metric whose samples are looked at as they come; nil where there is a problem.
func (r *run) values(d *mesh.Document, path string, m *metric, mean bool, def *mesh.Definition) *slo.Gauge {
	text, at, ok := r.queryText(d, path, m, def)
	if !ok {
		return nil
	}
	s, err := r.cfg.Select(text, mean)
	if err != nil {
		r.add(d.QueryProblem(at, err))
		return nil
	}
	return &slo.Gauge{Selector: s}
}

// A query is one side of a ratio.
type query struct {
	path string
	form string
	expr *slo.Expr // nil where there is a problem
}

func (r *run) metric(d *mesh.Document, path string, m *metric, def *mesh.Definition) query {
	text, path, ok := r.queryText(d, path, m, def)
	if !ok {
		return query{}
	}
	e, err := r.cfg.Compile(text)
	if err != nil {
		r.add(d.QueryProblem(path, err))
		return query{}
	}
	return query{path: path, form: r.cfg.Form(text), expr: &e}
}

// queryText returns the query of a metric and where it stands.
func (r *run) queryText(d *mesh.Document, path string, m *metric, def *mesh.Definition) (text, at string, ok bool) {
	s := m.MetricSource
	if s == nil {
		r.absent(d, path+".metricSource", path+".metricSource is missing", "write metricSource: {type: Prometheus, spec: {query: …}}")
		return "", "", false
	}
	path += ".metricSource"
	if !r.prometheus(d, path, s, def) {
		return "", "", false
	}
	if n := node(d, path+".spec"); n == nil {
		r.absent(d, path+".spec", path+".spec is missing", "write spec: {query: …}")
		return "", "", false
	}
	var q querySpec
	ps := d.Decode(path+".spec", &q)
	r.add(ps...)
	path += ".spec.query"
	if n := node(d, path); n == nil {
		if len(ps) == 0 {
			r.absent(d, path, path+" is missing", "it holds the PromQL query")
		}
		return "", "", false
	} else if n.Kind != mesh.NodeString {
		return "", "", false
	}
	return q.Query, path, true
}

// prometheus finds out whether a metric source is one of Prometheus, by its type or by the DataSource it names.
func (r *run) prometheus(d *mesh.Document, path string, s *metricSource, def *mesh.Definition) bool {
	kind, at := s.Type, path+".type"
	if s.MetricSourceRef != "" {
		ref := mesh.Ref{APIVersion: APIVersion, Kind: KindSource, Namespace: d.Namespace, Name: s.MetricSourceRef}
		e := r.objects[ref]
		if e == nil && kind == "" {
			r.lookup(d, path+".metricSourceRef", KindSource, s.MetricSourceRef)
			return false
		}
		if e != nil {
			def.References = append(def.References, ref)
			if n := node(r.document(e), "spec.type"); kind == "" && n != nil {
				kind, at = n.Text, path+".metricSourceRef"
			}
		}
	}
	switch {
	case kind == "" && (s.MetricSourceRef != "" || node(d, at) != nil):
		return true // the DataSource, or the type of the field, has a problem of its own
	case kind == "":
		r.absent(d, at, "the metricSource has neither type nor metricSourceRef", "write type: Prometheus")
		return false
	case !strings.EqualFold(kind, "prometheus"):
		r.add(d.Problem(at, fmt.Sprintf("data sources of type %s are not supported", kind), "use type: Prometheus with a PromQL query"))
		return false
	}
	return true
}
