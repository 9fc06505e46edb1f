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
	measure
	ok   bool
	refs []mesh.Ref
}

// A measure is what an indicator counts, or why that cannot be counted here although it is right.
type measure struct {
	sli    slo.SLI
	unread *slo.Unread
	query  *mesh.Problem // a query of an SLI object that cannot be counted: an SLO that refers to it is a mistake
}

// unreadBy notes why what is being compiled cannot be counted.
func (m *measure) unreadBy(text string) {
	if m.unread == nil {
		m.unread = &slo.Unread{Reason: slo.ReasonSourceUnsupported, Message: text}
	}
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
		r.stored = true
		e.sli.measure, e.sli.ok = r.sli(d, "spec", &o.Spec, &scratch)
		r.stored = false
		e.sli.ok = e.sli.ok && len(bad) == 0
		e.sli.refs = scratch.References
	}
	return e.sli
}

// sli checks and compiles the spec of an SLI at path.
func (r *run) sli(d *mesh.Document, path string, s *sliSpec, def *mesh.Definition) (measure, bool) {
	outer := r.measure
	r.measure = measure{}
	sli, ok := r.counted(d, path, s, def)
	m := r.measure
	if r.measure = outer; m.unread == nil && m.query == nil {
		m.sli = sli
	}
	return m, ok
}

func (r *run) counted(d *mesh.Document, path string, s *sliSpec, def *mesh.Definition) (slo.SLI, bool) {
	before := len(r.problems)
	m := s.RatioMetric
	switch {
	case s.ThresholdMetric != nil && m != nil:
		r.add(d.KeyProblem(path+".thresholdMetric", "thresholdMetric and ratioMetric exclude each other", "keep ratioMetric"))
		return slo.SLI{}, false
	case s.ThresholdMetric != nil:
		g := r.values(d, path+".thresholdMetric", s.ThresholdMetric, false, def)
		return slo.SLI{Gauge: g}, len(r.problems) == before
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
	g, err := r.cfg.Select(text, mean)
	if err != nil {
		r.uncountable(d.QueryProblem(at, err))
		return nil
	}
	return &g
}

// uncountable tells of a query that cannot be counted: in an SLO a mistake; in an SLI object, which alone counts nothing, a warning.
func (r *run) uncountable(p mesh.Problem) {
	if !r.stored {
		r.add(p)
		return
	}
	if r.measure.query == nil {
		r.measure.query = &p
	}
	p.Message += "; an SLO that refers to this SLI will be refused"
	r.warn(p)
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
		r.uncountable(d.QueryProblem(path, err))
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
	if !r.readable(d, path, s, def) {
		return "", "", false
	}
	if n := node(d, path+".spec"); n == nil {
		r.absent(d, path+".spec", path+".spec is missing", "write spec: {query: …}")
		return "", "", false
	}
	var q querySpec
	ps := d.Decode(path+".spec", &q)
	ps = slices.DeleteFunc(ps, func(p mesh.Problem) bool {
		other := strings.HasPrefix(p.Message, "unknown field") && !strings.Contains(p.Hint, "did you mean")
		if other { // the specification leaves open what a source has
			p.Message += ", which is not looked at"
			r.warn(p)
		}
		return other
	})
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

const prometheus = "Prometheus"

// readable finds out whether a metric source is one of Prometheus, by its type or by the DataSource it names.
func (r *run) readable(d *mesh.Document, path string, s *metricSource, def *mesh.Definition) bool {
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
	case strings.EqualFold(kind, prometheus):
	case mesh.Nearest(kind, []string{prometheus}) != "":
		r.add(d.Problem(at, fmt.Sprintf("data sources of type %s are not supported", kind), fmt.Sprintf("did you mean %q?", prometheus)))
		return false
	default:
		r.measure.unreadBy(fmt.Sprintf("metricSource type %q cannot be read here; %s with PromQL can", kind, prometheus))
		r.warn(d.Problem(at, fmt.Sprintf("data sources of type %s cannot be read: an SLO over it counts nothing and stays UNKNOWN, reason %s", kind, slo.ReasonSourceUnsupported), "use type: Prometheus with a PromQL query"))
		return false
	}
	return true
}
