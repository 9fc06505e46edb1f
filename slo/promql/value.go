package promql

import (
	"github.com/prometheus/prometheus/promql/parser"

	"evenkeel.dev/slo"
)

// Select returns the series whose samples a query over values looks at. It is a selector as it stands, or, where mean allows that, the
// avg of one: the mean of all samples is that of their means when all series have as many; or, where it does not, the least, the greatest
// or the mean of one over a range: min_over_time, max_over_time, avg_over_time. The error is an *Error.
func Select(query string, mean bool) (slo.Gauge, error) {
	var g slo.Gauge
	c, e, err := parse(query)
	if err != nil {
		return g, err
	}
	for {
		e = unwrap(e)
		a, ok := e.(*parser.AggregateExpr)
		if !ok || sameOver(a) {
			break
		}
		if a.Op != parser.AVG || !mean {
			return g, c.refuse(a.PosRange, "name the series themselves: each sample of each series is judged", "%s of several series is not looked at", a.Op)
		}
		e = a.Expr
	}
	v, ok := e.(*parser.VectorSelector)
	if a, nested := e.(*parser.AggregateExpr); nested {
		e = unwrap(a.Expr)
	}
	if !ok && !mean {
		v, g.Over, g.Range, ok = overTime(e)
	}
	if !ok {
		return g, c.refuse(e.PositionRange(), "name the series, for example queue_length{job=\"shop\"}; or the least, greatest or mean of each slice of time as min_over_time(queue_length[1m]); or count events with ratioMetric", "values are looked at as they come; an expression is not computed")
	}
	if err := c.selector(v, "value", one()); err != nil {
		return g, err
	}
	g.Selector = c.terms[0].Selector
	return g, nil
}

// sameOver reports whether the least of all series is taken of their least values, or the greatest of their greatest.
func sameOver(a *parser.AggregateExpr) bool {
	_, over, _, ok := overTime(unwrap(a.Expr))
	return ok && (a.Op == parser.MIN && over == slo.OverLeast || a.Op == parser.MAX && over == slo.OverMost)
}

// overTime returns what of the samples of a selector a function over a range is about.
func overTime(e parser.Expr) (v *parser.VectorSelector, over string, length slo.Duration, ok bool) {
	call, ok := e.(*parser.Call)
	if !ok {
		return nil, "", 0, false
	}
	over, ok = map[string]string{"min_over_time": slo.OverLeast, "max_over_time": slo.OverMost, "avg_over_time": slo.OverMean}[call.Func.Name]
	if !ok {
		return nil, "", 0, false
	}
	m, ok := unwrap(call.Args[0]).(*parser.MatrixSelector)
	if !ok || m.RangeExpr != nil {
		return nil, "", 0, false
	}
	v, ok = m.VectorSelector.(*parser.VectorSelector)
	return v, over, slo.Duration(m.Range.Milliseconds()), ok
}
