package promql

import (
	"github.com/prometheus/prometheus/promql/parser"

	"evenkeel.dev/bus"
)

// Select returns the series whose samples a query over values looks at. It is a selector as it stands, or, where mean allows that, the
// avg of one: the mean of all samples is that of their means when all series have as many. The error is an *Error.
func Select(query string, mean bool) (bus.Selector, error) {
	c, e, err := parse(query)
	if err != nil {
		return bus.Selector{}, err
	}
	for {
		if p, ok := e.(*parser.ParenExpr); ok {
			e = p.Expr
			continue
		}
		a, ok := e.(*parser.AggregateExpr)
		if !ok {
			break
		}
		if a.Op != parser.AVG || !mean {
			return bus.Selector{}, c.refuse(a.PosRange, "name the series themselves: each sample of each series is judged", "%s of several series is not looked at", a.Op)
		}
		e = a.Expr
	}
	v, ok := e.(*parser.VectorSelector)
	if !ok {
		return bus.Selector{}, c.refuse(e.PositionRange(), "name the series, for example queue_length{job=\"shop\"}; or count events with ratioMetric", "values are looked at as they come; an expression is not computed")
	}
	if err := c.selector(v, "value", one()); err != nil {
		return bus.Selector{}, err
	}
	return c.terms[0].Selector, nil
}
