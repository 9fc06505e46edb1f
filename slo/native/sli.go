package native

import (
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// sli compiles spec.sli: a source with what is asked of it, or queries.
func (r *run) sli(d *mesh.Document, s *spec, service string) slo.SLI {
	const path = "spec.sli"
	if s.SLI == nil {
		if node(d, path) == nil {
			r.absent(d, path, path+" is missing", "write for example sli: {source: istio, availability: {}}")
		}
		return slo.SLI{}
	}
	var queries []string
	for _, f := range []string{"good", "bad", "total"} {
		if node(d, path+"."+f) != nil {
			queries = append(queries, f)
		}
	}
	switch source := node(d, path+".source") != nil; {
	case source && len(queries) > 0:
		r.add(d.KeyProblem(path+"."+queries[0], fmt.Sprintf("source and %s exclude each other", queries[0]), "a source knows its queries; keep one of them"))
	case source && node(d, path+".interpolate") != nil:
		r.add(d.KeyProblem(path+".interpolate", "interpolate stands beside the threshold", "write latency: {threshold: 300ms, interpolate: true}"))
	case source:
		return r.sourced(d, s.SLI, service)
	case len(queries) > 0:
		return r.queried(d, s.SLI)
	default:
		r.absent(d, path+".source", "the SLI has neither a source nor queries", "write source: with one of "+strings.Join(Sources(), ", ")+"; or good (or bad) and total in PromQL")
	}
	return slo.SLI{}
}

// sourced expands what is asked of a source.
func (r *run) sourced(d *mesh.Document, s *sli, service string) slo.SLI {
	const path = "spec.sli"
	src, ok := sourceOf(s.Source)
	if !ok {
		if kindAt(d, path+".source", mesh.NodeString) {
			r.oneOf(d, path+".source", s.Source, Sources())
		}
		return slo.SLI{}
	}
	before := len(r.problems)
	q := query{source: src, service: service, match: r.match(d, s.Match, src)}
	if node(d, "metadata.namespace") != nil {
		q.namespace = d.Namespace
	}
	available, fast := kindAt(d, path+".availability", mesh.NodeMap), kindAt(d, path+".latency", mesh.NodeMap)
	var out slo.SLI
	switch {
	case available && fast:
		r.add(d.KeyProblem(path+".latency", "availability and latency exclude each other", "write an SLO for each: an outage and slowness have different budgets"))
	case available:
		out = q.availability(r.errors(d, s.Availability, src))
	case fast:
		out = r.latency(d, s.Latency, q)
	case node(d, path+".availability") == nil && node(d, path+".latency") == nil:
		r.absent(d, path+".availability", "nothing is asked of the source", "write availability: {} or latency: {threshold: 300ms}")
	}
	if len(r.problems) > before {
		return slo.SLI{}
	}
	return out
}

// maxMatch bounds the labels of match.
const maxMatch = 16

// match returns the labels that are asked for in addition, or instead of those of the source, in order.
func (r *run) match(d *mesh.Document, labels map[string]string, src source) []bus.Matcher {
	const path = "spec.sli.match"
	if len(labels) > maxMatch {
		r.add(d.Problem(path, fmt.Sprintf("match has %d labels; at most %d are taken", len(labels), maxMatch), ""))
		return nil
	}
	var out []bus.Matcher
	for name, value := range labels { // sorted below
		at := mesh.JoinPath(path, name)
		switch {
		case !labelName(name):
			r.add(d.KeyProblem(at, fmt.Sprintf("%q is not the name of a label", shorten(name)), "use letters, digits and _, without a digit at the beginning"))
		case src.owns(name):
			r.add(d.KeyProblem(at, fmt.Sprintf("the source %s asks for the label %s itself", src.name, name), "write the SLI as good and total in PromQL where the source does not fit"))
		default:
			out = append(out, bus.Matcher{Name: name, Type: bus.MatchEqual, Value: value})
		}
	}
	slices.SortFunc(out, func(a, b bus.Matcher) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func labelName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}

// maxErrors bounds the list of errors.
const maxErrors = 32

// errors returns what counts as an error.
func (r *run) errors(d *mesh.Document, a *availability, src source) errorSet {
	const path = "spec.sli.availability.errors"
	listed := kindAt(d, path, mesh.NodeList)
	switch {
	case listed && a.TanzuErrors:
		r.add(d.KeyProblem("spec.sli.availability.tanzuErrors", "errors and tanzuErrors exclude each other", "keep one of them"))
		return errorSet{}
	case a.TanzuErrors:
		return errorSet{codes: src.codes.tanzu, beyond: true}
	case !listed:
		return errorSet{codes: src.codes.usual, beyond: true}
	case len(a.Errors) == 0 || len(a.Errors) > maxErrors:
		r.add(d.Problem(path, fmt.Sprintf("errors has %d items; from 1 to %d are taken", len(a.Errors), maxErrors), "leave it out for "+src.codes.usualText))
		return errorSet{}
	}
	var out errorSet
	for i, n := range a.Errors {
		if n == nil {
			continue // told by Decode
		}
		code, ok := src.codes.parse(n.Text)
		if !ok || n.Kind != mesh.NodeString && n.Kind != mesh.NodeNumber {
			hint := src.codes.example
			if near := mesh.Nearest(n.Text, src.codes.known); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			r.add(d.Problem(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%s is no status of the source %s", found(n), src.name), hint))
			continue
		}
		if !slices.Contains(out.codes, code) {
			out.codes = append(out.codes, code)
		}
	}
	slices.Sort(out.codes)
	return out
}

// latency counts what is fast enough.
func (r *run) latency(d *mesh.Document, l *latency, q query) slo.SLI {
	const path = "spec.sli.latency.threshold"
	if node(d, path) == nil {
		r.absent(d, path, path+" is missing", "write for example threshold: 250ms")
		return slo.SLI{}
	}
	v, ok := r.duration(d, path, l.Threshold, "250ms")
	if !ok {
		return slo.SLI{}
	}
	bounds := q.source.bounds
	switch known := len(bounds) > 0; {
	case l.Interpolate && (l.AnyBucket || !known):
		return q.learned(v)
	case l.AnyBucket || !known || slices.Contains(bounds, v):
		return q.latency(v)
	case l.Interpolate && v < bounds[len(bounds)-1]:
		return q.between(v)
	}
	r.add(d.Problem(path, fmt.Sprintf("no bucket of the source %s ends at %s, so that how many were as fast is not known", q.source.name, v),
		nearestBounds(bounds, v)+"; or interpolate: true; or, where its buckets are configured otherwise, anyBucket: true"))
	return slo.SLI{}
}

const percentilePath = "spec.sli.latency.percentile"

// percentile takes "p99 is at most the threshold" as what it says of a slice of time: at least 99 % are at most that.
func (r *run) percentile(d *mesh.Document, l *latency, o *slo.Objective) {
	if l == nil || l.Percentile == nil {
		return
	}
	n := l.Percentile
	v, err := slo.ParseDecimal(strings.TrimSuffix(strings.TrimPrefix(n.Text, "p"), "%"))
	if n.Kind != mesh.NodeNumber && n.Kind != mesh.NodeString || err != nil || v.Float() <= 0 || v.Float() >= 100 {
		r.add(d.Problem(percentilePath, fmt.Sprintf("%s must be above 0 and below 100, found %s", percentilePath, found(n)), "write for example percentile: 99"))
		return
	}
	share, err := v.Hundredth()
	switch {
	case err != nil:
		r.add(d.Problem(percentilePath, err.Error(), "at most 28 after the point"))
	case o.Method != slo.MethodTimeslices:
		r.add(d.KeyProblem(percentilePath, fmt.Sprintf("a percentile says whether a slice of time is good, and %s has none to say it of", o.Method),
			fmt.Sprintf("write budgeting: {method: Timeslices, slice: {length: 1m}}; or leave it out and promise the share itself, objective: %s%%", v)))
	case o.Slice == nil: // told
	case node(d, "spec.budgeting.slice.target") == nil:
		o.Slice.Target = share
	case o.Slice.Target.Rat().Cmp(share.Rat()) != 0:
		r.add(d.Problem(percentilePath, fmt.Sprintf("percentile %s and the slices' target %s say different things", n.Text, node(d, "spec.budgeting.slice.target").Text), "keep one of them"))
	}
}

// nearestBounds names the bounds around a threshold.
func nearestBounds(bounds []slo.Duration, v slo.Duration) string {
	i, _ := slices.BinarySearch(bounds, v)
	switch {
	case i == 0:
		return "the least is " + bounds[0].String()
	case i == len(bounds):
		return "the greatest is " + bounds[i-1].String()
	}
	return fmt.Sprintf("write %s or %s", bounds[i-1], bounds[i])
}

// queried compiles good (or bad) and total.
func (r *run) queried(d *mesh.Document, s *sli) slo.SLI {
	const path = "spec.sli"
	good, bad, total := node(d, path+".good") != nil, node(d, path+".bad") != nil, node(d, path+".total") != nil
	switch {
	case good && bad:
		r.add(d.KeyProblem(path+".bad", "good and bad exclude each other", "keep one of them beside total"))
	case !good && !bad:
		r.absent(d, path+".good", "the SLI has neither good nor bad", "write good (or bad) beside total")
	case !total:
		r.absent(d, path+".total", "the SLI has no total", "write total beside good (or bad)")
	}
	out := slo.SLI{Interpolate: s.Interpolate}
	for _, f := range []string{"availability", "latency", "match"} {
		if node(d, path+"."+f) != nil {
			r.add(d.KeyProblem(path+"."+f, f+" belongs to a source", "leave it out, or write source: instead of queries"))
		}
	}
	var forms []string
	for _, f := range []struct {
		name, query string
		into        func(*slo.Expr)
	}{
		{"total", s.Total, func(e *slo.Expr) { out.Total = *e }},
		{"good", s.Good, func(e *slo.Expr) { out.Good = e }},
		{"bad", s.Bad, func(e *slo.Expr) { out.Bad = e }},
	} {
		at := path + "." + f.name
		if !kindAt(d, at, mesh.NodeString) {
			continue
		}
		e, err := r.cfg.Compile(f.query)
		if err != nil {
			r.add(d.QueryProblem(at, err))
			continue
		}
		f.into(&e)
		form := r.cfg.Form(f.query)
		if len(forms) > 0 && total && forms[0] != form {
			r.add(d.Problem(at, fmt.Sprintf("this is %s and total is %s: they have different scales", form, forms[0]), "use the same function and range in both, for example rate(…[5m])"))
		}
		forms = append(forms, form)
	}
	return out
}
