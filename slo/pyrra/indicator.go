package pyrra

import (
	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// indicator compiles what is counted.
func (r *reading) indicator(in *indicator) slo.SLI {
	const path = "spec.indicator"
	ratio, latency := in.Ratio != nil, in.Latency != nil
	switch {
	case in.LatencyNative != nil:
		r.refuse(path+".latencyNative", "use latency with a bucket of a classic histogram: success x_bucket{le=\"0.3\"}, total x_count", "latencyNative is not supported yet")
	case in.BoolGauge != nil:
		r.refuse(path+".bool_gauge", "use ratio with counters of failed and of all probes", "bool_gauge is not supported yet: it is a gauge, and only counters are counted")
	case ratio && latency:
		r.refuse(path+".latency", "keep one of them", "ratio and latency exclude each other")
	case ratio:
		r.grouping(path+".ratio", in.Ratio.Grouping)
		bad, total := r.metric(path+".ratio.errors", in.Ratio.Errors.Metric), r.metric(path+".ratio.total", in.Ratio.Total.Metric)
		if bad != nil && total != nil {
			return slo.SLI{Bad: bad, Total: *total}
		}
	case latency:
		r.grouping(path+".latency", in.Latency.Grouping)
		good, total := r.metric(path+".latency.success", in.Latency.Success.Metric), r.metric(path+".latency.total", in.Latency.Total.Metric)
		r.bucket(path+".latency.success.metric", good)
		if good != nil && total != nil {
			return slo.SLI{Good: good, Total: *total}
		}
	default:
		if n := node(r.d, path); n == nil || n.Kind == mesh.NodeMap && len(r.problems) == 0 {
			r.wrong(path, "write ratio: {errors: {metric: …}, total: {metric: …}}, or latency", "the SLO has no indicator")
		}
	}
	return slo.SLI{}
}

// grouping refuses one definition for many objectives.
func (r *reading) grouping(path string, labels []string) {
	if len(labels) > 0 {
		r.refuse(path+".grouping", "write one ServiceLevelObjective for each group that matters, with its labels in the metrics; or leave grouping out to have one objective for all", "grouping is not supported yet")
	}
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
		r.problems = append(r.problems, queryProblem(r.d, path, err))
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
