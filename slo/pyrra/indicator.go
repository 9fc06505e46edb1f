package pyrra

import (
	"errors"
	"fmt"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// kinds names the indicators that stand in the file, in order.
func (in *indicator) kinds() []string {
	var out []string
	for _, k := range []struct {
		name  string
		there bool
	}{{"ratio", in.Ratio != nil}, {"latency", in.Latency != nil}, {"latencyNative", in.LatencyNative != nil}, {"bool_gauge", in.BoolGauge != nil}} {
		if k.there {
			out = append(out, k.name)
		}
	}
	return out
}

// indicator compiles what is counted.
func (r *reading) indicator(in *indicator) slo.SLI {
	const path = "spec.indicator"
	kinds := in.kinds()
	switch {
	case len(kinds) > 1:
		r.refuse(path+"."+kinds[1], "keep one of them", "%s and %s exclude each other", kinds[0], kinds[1])
	case in.Ratio != nil:
		bad, total := r.metric(path+".ratio.errors", in.Ratio.Errors.Metric), r.metric(path+".ratio.total", in.Ratio.Total.Metric)
		if bad != nil && total != nil {
			return slo.SLI{Bad: bad, Total: *total}
		}
	case in.Latency != nil:
		good, total := r.metric(path+".latency.success", in.Latency.Success.Metric), r.metric(path+".latency.total", in.Latency.Total.Metric)
		r.bucket(path+".latency.success.metric", good)
		if good != nil && total != nil {
			return slo.SLI{Good: good, Total: *total}
		}
	case in.LatencyNative != nil:
		return r.latencyNative(in.LatencyNative)
	case in.BoolGauge != nil:
		return r.boolGauge(in.BoolGauge)
	default:
		if n := node(r.d, path); n == nil || n.Kind == mesh.NodeMap && len(r.problems) == 0 {
			r.wrong(path, "write ratio: {errors: {metric: …}, total: {metric: …}}, or latency", "the SLO has no indicator")
		}
	}
	return slo.SLI{}
}

// grouping returns the labels that the indicator groups by, and where they stand.
func (in *indicator) grouping() (labels []string, path string) {
	path = "spec.indicator."
	switch {
	case in.Ratio != nil:
		return in.Ratio.Grouping, path + "ratio.grouping"
	case in.Latency != nil:
		return in.Latency.Grouping, path + "latency.grouping"
	case in.LatencyNative != nil:
		return in.LatencyNative.Grouping, path + "latencyNative.grouping"
	case in.BoolGauge != nil:
		return in.BoolGauge.Grouping, path + "bool_gauge.grouping"
	}
	return nil, path
}

// group makes one more SLO for each value of the labels, as many as there may be: Pyrra has no bound.
func (r *reading) group(o *slo.Objective) {
	labels, path := r.file.Spec.Indicator.grouping()
	if len(labels) == 0 || len(r.problems) > 0 {
		return
	}
	o.GroupBy, o.MaxGroups = labels, slo.MaxGroups
	err := slo.CheckGroupBy(labels)
	if err == nil {
		err = o.CheckGroupSplit()
	}
	if err == nil {
		return
	}
	var of *slo.GroupByError
	if errors.As(err, &of) && of.Label >= 0 {
		path = fmt.Sprintf("%s[%d]", path, of.Label)
	}
	message, hint := mesh.Advice(err)
	r.wrong(path, hint, "%s", message)
}

// metric compiles a selector of a counter; nil means that a problem has been told.
func (r *reading) metric(path, text string) *slo.Expr {
	path += ".metric"
	switch n := node(r.d, path); {
	case n == nil:
		r.absent(path, "it holds the selector of a counter", "%s is missing", path)
		return nil
	case n.Kind != mesh.NodeString:
		return nil // told by Decode
	}
	e, err := r.cfg.Compile(text)
	if err != nil {
		r.problems = append(r.problems, r.d.QueryProblem(path, err))
		return nil
	}
	if t := e.Terms; r.cfg.Form(text) != "counter" || len(t) != 1 || t[0].Factor.String() != "1" {
		r.wrong(path, "write for example http_requests_total{job=\"shop\"}; Pyrra takes nothing else either", "the metric must be the selector of one counter")
		return nil
	}
	return &e
}

// bucket checks that what is fast enough is a bucket of a histogram.
func (r *reading) bucket(path string, e *slo.Expr) {
	if e == nil {
		return
	}
	for _, m := range e.Terms[0].Selector.Matchers() {
		if m.Name == "le" && m.Type == bus.MatchEqual {
			return
		}
	}
	r.wrong(path, `write for example http_request_duration_seconds_bucket{le="0.3"}`, "the metric names no bucket: it has no label le")
}
