package pyrra

import (
	"fmt"
	"math/big"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// nativeQueries are what is counted of a native histogram, in PromQL, as Pyrra asks for it.
type nativeQueries struct{ good, total string }

// latencyNative compiles a threshold of a native histogram.
func (r *reading) latencyNative(in *native) slo.SLI {
	const path = "spec.indicator.latencyNative"
	m := r.metric(path+".total", in.Total.Metric)
	at := r.threshold(path+".latency", in.Latency)
	if m == nil || at == "" {
		return slo.SLI{}
	}
	rate := "sum(rate(" + m.Terms[0].Selector.String() + "[5m]))"
	q := nativeQueries{good: fmt.Sprintf("histogram_fraction(0, %s, %s) * histogram_count(%s)", at, rate, rate), total: "histogram_count(" + rate + ")"}
	var sides [2]slo.Expr
	for i, text := range []string{q.good, q.total} {
		var err error
		if sides[i], err = r.cfg.Compile(text); err != nil { // it is about the metric, and its place is one of this query
			message, hint := mesh.Advice(err)
			r.wrong(path+".total.metric", hint, "%s", message)
			return slo.SLI{}
		}
	}
	good, total := sides[0], sides[1]
	r.native = &q
	return slo.SLI{Good: &good, Total: total}
}

// threshold reads a latency and returns it in seconds; "" means that a problem has been told.
func (r *reading) threshold(path, text string) string {
	switch n := node(r.d, path); {
	case n == nil:
		r.absent(path, "write for example latency: 200ms", "%s is missing", path)
		return ""
	case n.Kind != mesh.NodeString:
		return "" // told by Decode
	}
	v, err := slo.ParseDuration(text)
	if err != nil {
		r.wrong(path, "write for example latency: 200ms", "%s", err)
		return ""
	}
	seconds := big.NewRat(int64(v.Time()), int64(bus.Second))
	digits, _ := seconds.FloatPrec()
	return seconds.FloatString(digits)
}

// boolGauge compiles a gauge that is 1 where all is well and 0 else.
func (r *reading) boolGauge(in *boolGauge) slo.SLI {
	const path = "spec.indicator.bool_gauge.metric"
	switch n := node(r.d, path); {
	case n == nil:
		r.absent(path, "it holds the selector of a gauge that is 1 or 0", "%s is missing", path)
		return slo.SLI{}
	case n.Kind != mesh.NodeString:
		return slo.SLI{}
	}
	g, err := r.cfg.Select(in.Metric, false)
	if err != nil {
		r.problems = append(r.problems, r.d.QueryProblem(path, err))
		return slo.SLI{}
	}
	g.Raw = slo.RawSuccess
	return slo.SLI{Gauge: &g}
}
