package promql

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

func one() *big.Rat { return big.NewRat(1, 1) }

// expr adds the terms of e, each times factor.
func (c *compiler) expr(e parser.Expr, factor *big.Rat) error {
	if c.depth++; c.depth > maxDepth {
		return c.refuse(e.PositionRange(), "", "the query nests deeper than %d", maxDepth)
	}
	defer func() { c.depth-- }()
	switch e := e.(type) {
	case *parser.ParenExpr:
		return c.expr(e.Expr, factor)
	case *parser.UnaryExpr:
		if e.Op == parser.SUB {
			factor = new(big.Rat).Neg(factor)
		}
		return c.expr(e.Expr, factor)
	case *parser.AggregateExpr:
		if e.Op != parser.SUM {
			return c.refuse(e.PosRange, aggregateHint(e.Op), "%s is not additive: what it says of two spans or two groups does not add up", e.Op)
		}
		return c.expr(e.Expr, factor)
	case *parser.BinaryExpr:
		return c.binary(e, factor)
	case *parser.Call:
		return c.call(e, factor)
	case *parser.VectorSelector:
		return c.selector(e, "counter", factor)
	case *parser.MatrixSelector:
		return c.refuse(e.PositionRange(), "write rate(…[5m]) around it", "a range stands without a function")
	case *parser.SubqueryExpr:
		return c.refuse(e.PositionRange(), "take the rate of the counter first, then the sum: sum(rate(x[5m]))", "a subquery is not additive")
	case *parser.NumberLiteral:
		return c.refuse(e.PosRange, "constants may stand as factors only", "a constant is no count of events")
	}
	return c.refuse(e.PositionRange(), "", "%T is not understood", e)
}

func aggregateHint(op parser.ItemType) string {
	switch op {
	case parser.COUNT:
		return "it counts series and not events; use sum of a counter"
	case parser.QUANTILE:
		return `count what is fast enough: good sum(rate(x_bucket{le="0.3"}[5m])), total sum(rate(x_count[5m]))`
	}
	return "use sum"
}

func (c *compiler) binary(e *parser.BinaryExpr, factor *big.Rat) error {
	at := e.RHS.PositionRange()
	switch e.Op {
	case parser.ADD, parser.SUB:
		return c.addition(e, factor)
	case parser.MUL, parser.DIV:
		return c.scaling(e, factor)
	case parser.LOR:
		if m := e.VectorMatching; !isVectorZero(e.RHS) || m != nil && len(m.MatchingLabels) > 0 {
			return c.refuse(at, "to add two queries write +; only \"or vector(0)\" may stand here, around it parentheses if more follows", "\"or\" chooses between series, which is not additive")
		}
		return c.expr(e.LHS, factor)
	case parser.LAND, parser.LUNLESS:
		return c.refuse(at, "select with labels: {code!~\"5..\"}", "%q chooses between series, which is not additive", e.Op)
	}
	if e.Op.IsComparisonOperator() {
		return c.refuse(at, "select with labels, or count a counter of what you compare", "a comparison (%s) is not additive", e.Op)
	}
	return c.refuse(at, "", "%q is not additive", e.Op)
}

func (c *compiler) addition(e *parser.BinaryExpr, factor *big.Rat) error {
	for _, side := range []parser.Expr{e.LHS, e.RHS} {
		if _, ok := c.constant(side); ok || side.Type() == parser.ValueTypeScalar {
			return c.refuse(side.PositionRange(), "constants may stand as factors only, as in 2 * sum(…)", "a constant is no count of events, it cannot be added")
		}
	}
	if m := e.VectorMatching; m != nil && (m.On || len(m.MatchingLabels) > 0 || m.Card != parser.CardOneToOne) {
		return c.refuse(e.RHS.PositionRange(), "leave it out and put sum(…) around each side", "on, ignoring and group_left join series one by one; here sums are added as a whole")
	}
	if err := c.expr(e.LHS, factor); err != nil {
		return err
	}
	if e.Op == parser.SUB {
		factor = new(big.Rat).Neg(factor)
	}
	return c.expr(e.RHS, factor)
}

func (c *compiler) scaling(e *parser.BinaryExpr, factor *big.Rat) error {
	left, leftConstant := c.constant(e.LHS)
	right, rightConstant := c.constant(e.RHS)
	switch {
	case rightConstant && e.Op == parser.DIV && right.Sign() == 0:
		return c.refuse(e.RHS.PositionRange(), "", "division by zero")
	case rightConstant && !leftConstant && e.Op == parser.DIV:
		return c.expr(e.LHS, new(big.Rat).Quo(factor, right))
	case rightConstant && !leftConstant:
		return c.expr(e.LHS, new(big.Rat).Mul(factor, right))
	case leftConstant && !rightConstant && e.Op == parser.MUL:
		return c.expr(e.RHS, new(big.Rat).Mul(factor, left))
	case leftConstant && rightConstant:
		return c.refuse(e.LHS.PositionRange(), "", "a constant is no count of events")
	case e.Op == parser.MUL && (isCall(e.LHS, "histogram_fraction") || isCall(e.RHS, "histogram_fraction")):
		return c.atMost(e, factor)
	case e.Op == parser.DIV:
		return c.refuse(e.RHS.PositionRange(), "give both sides as ratioMetric: good (or bad) and total", "a ratio is not additive: the mean of ratios is not the ratio of sums")
	}
	return c.refuse(e.RHS.PositionRange(), "* takes a constant on one side", "a product of two queries is not additive")
}

// constant returns the exact value of an expression of numbers.
func (c *compiler) constant(e parser.Expr) (*big.Rat, bool) {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return c.constant(e.Expr)
	case *parser.UnaryExpr:
		v, ok := c.constant(e.Expr)
		if ok && e.Op == parser.SUB {
			v = new(big.Rat).Neg(v)
		}
		return v, ok
	case *parser.NumberLiteral:
		text := c.query[e.PosRange.Start:min(int(e.PosRange.End), len(c.query))]
		if strings.HasPrefix(text, ".") {
			text = "0" + text
		}
		d, err := slo.ParseDecimal(text)
		if err != nil {
			return nil, false
		}
		return d.Rat(), true
	case *parser.BinaryExpr:
		l, ok := c.constant(e.LHS)
		r, ok2 := c.constant(e.RHS)
		if !ok || !ok2 {
			return nil, false
		}
		switch e.Op {
		case parser.ADD:
			return new(big.Rat).Add(l, r), true
		case parser.SUB:
			return new(big.Rat).Sub(l, r), true
		case parser.MUL:
			return new(big.Rat).Mul(l, r), true
		case parser.DIV:
			if r.Sign() != 0 {
				return new(big.Rat).Quo(l, r), true
			}
		}
	}
	return nil, false
}

func isVectorZero(e parser.Expr) bool {
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			break
		}
		e = p.Expr
	}
	call, ok := e.(*parser.Call)
	if !ok || call.Func.Name != "vector" || len(call.Args) != 1 {
		return false
	}
	n, ok := call.Args[0].(*parser.NumberLiteral)
	return ok && n.Val == 0
}

func (c *compiler) call(e *parser.Call, factor *big.Rat) error {
	name := e.Func.Name
	if name == "histogram_count" {
		return c.histogramCount(e, factor)
	}
	if name != "rate" && name != "increase" {
		return c.refuse(e.PosRange, functionHint(name), "%s() is not additive", name)
	}
	m, ok := e.Args[0].(*parser.MatrixSelector)
	if !ok {
		return c.refuse(e.Args[0].PositionRange(), "take the rate of the counter first, then the sum: sum(rate(x[5m]))", "%s() of a subquery loses the resets of counters", name)
	}
	v, ok := m.VectorSelector.(*parser.VectorSelector)
	if !ok || m.RangeExpr != nil {
		return c.refuse(m.PositionRange(), "write for example [5m]", "the range is not understood")
	}
	form := "rate"
	if name == "increase" {
		form = "increase[" + model.Duration(m.Range).String() + "]"
	}
	return c.selector(v, form, factor)
}

func functionHint(name string) string {
	switch name {
	case "irate":
		return "use rate: irate looks at two samples only and misses what happened between"
	case "histogram_fraction":
		return histogramHint
	case "histogram_quantile", "histogram_avg", "histogram_stddev", "histogram_stdvar":
		return `count what is fast enough: good sum(rate(x_bucket{le="0.3"}[5m])), total sum(rate(x_count[5m]))`
	case "histogram_sum":
		return "a sum of values is no count of events; use histogram_count"
	case "delta", "idelta", "deriv", "predict_linear":
		return "it is meant for gauges; use increase of a counter"
	case "clamp_min", "clamp_max", "clamp", "abs":
		return "leave it out: counts of events never fall below zero here"
	case "vector", "scalar", "time":
		return "only \"or vector(0)\" behind a query may stand, and numbers as factors"
	case "absent", "absent_over_time":
		return "that no data comes is told as UNKNOWN, without a query"
	case "label_replace", "label_join":
		return "leave it out: labels do not matter for the total"
	case "avg_over_time", "sum_over_time", "count_over_time", "min_over_time", "max_over_time", "quantile_over_time", "last_over_time":
		return "it looks at gauges; use increase of a counter of events"
	}
	return "use rate or increase of counters, sum, +, - and constant factors"
}

// selector adds one term.
func (c *compiler) selector(v *parser.VectorSelector, form string, factor *big.Rat) error {
	at := v.PosRange
	switch {
	case v.OriginalOffset != 0 || v.OriginalOffsetExpr != nil:
		return c.refuse(at, "leave the offset out", "an offset would count events at another time than they happened")
	case v.Timestamp != nil || v.StartOrEnd != 0:
		return c.refuse(at, "leave @ out", "@ would count one moment again and again")
	case v.Anchored || v.Smoothed:
		return c.refuse(at, "leave it out: increments are counted exactly", "anchored and smoothed change how a range is cut")
	case c.form != "" && c.form != form:
		return c.refuse(at, "use the same function and range everywhere, for example rate(…[5m])", "the query mixes %s and %s, which have different scales", c.form, form)
	case len(c.terms) == slo.MaxTerms:
		return c.refuse(at, "use a selector with an expression: {code=~\"5..\"}", "the query has over %d selectors", slo.MaxTerms)
	}
	c.form = form
	f, err := exact(factor)
	if err != nil {
		return c.refuse(at, "use factors that have an exact decimal, other than zero", "the factor %s cannot be counted exactly", factor.RatString())
	}
	ms, named := matchers(v)
	if c.suffix != "" && !suffixName(ms, c.suffix) {
		return c.refuse(at, "name the histogram: http_request_duration_seconds{…}", "the selector does not name the histogram, so that its count is not known")
	}
	if !named {
		return c.refuse(at, "name the metric: http_requests_total{…}", "the selector names no metric, all series would have to be looked at")
	}
	s, err := bus.NewSelector(ms)
	if err != nil {
		return c.refuse(at, "", "%v", err)
	}
	c.terms = append(c.terms, slo.Term{Factor: f, Selector: s, AtMost: c.cut})
	return nil
}

// matchers returns the conditions in one order, whatever order they are written in, without duplicates, and whether they name a metric.
func matchers(v *parser.VectorSelector) (ms []bus.Matcher, named bool) {
	for _, m := range v.LabelMatchers {
		ms = append(ms, bus.Matcher{Name: m.Name, Type: bus.MatchType(m.Type.String()), Value: m.Value})
		if m.Name == "__name__" {
			named = named || m.Type == labels.MatchEqual && m.Value != "" || m.Type == labels.MatchRegexp && !m.Matches("") && !m.Matches("evenkeel_names_no_metric")
		}
	}
	slices.SortFunc(ms, func(a, b bus.Matcher) int {
		for _, c := range [...]int{strings.Compare(a.Name, b.Name), strings.Compare(string(a.Type), string(b.Type))} {
			if c != 0 {
				return c
			}
		}
		return strings.Compare(a.Value, b.Value)
	})
	return slices.Compact(ms), named
}

// exact writes a factor as a decimal, if it has one that is not too long.
func exact(r *big.Rat) (slo.Decimal, error) {
	digits, finite := r.FloatPrec()
	if !finite || digits > 30 || r.Sign() == 0 {
		return slo.Decimal{}, fmt.Errorf("%s has no short decimal", r.RatString())
	}
	return slo.ParseDecimal(r.FloatString(digits))
}
