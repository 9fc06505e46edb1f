package promql

import (
	"math"
	"math/big"

	"github.com/prometheus/prometheus/promql/parser"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

const histogramHint = "a fraction is a ratio; write the count of good events: histogram_fraction(0, 0.3, sum(rate(x[5m]))) * histogram_count(sum(rate(x[5m])))"

func unwrap(e parser.Expr) parser.Expr {
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			return e
		}
		e = p.Expr
	}
}

// isCall reports whether e is a call of the function, maybe in parentheses.
func isCall(e parser.Expr, name string) bool {
	call, ok := unwrap(e).(*parser.Call)
	return ok && call.Func.Name == name
}

// histogramCount adds the number of observations of a native histogram.
func (c *compiler) histogramCount(e *parser.Call, factor *big.Rat) error {
	return c.histogram(e.Args[0], "_count", nil, factor)
}

// atMost adds the number of observations up to a threshold: the fraction of a histogram times its count, in whatever order.
func (c *compiler) atMost(e *parser.BinaryExpr, factor *big.Rat) error {
	if m := e.VectorMatching; m != nil && (m.On || len(m.MatchingLabels) > 0 || m.Card != parser.CardOneToOne) {
		return c.refuse(e.RHS.PositionRange(), "leave it out and put sum(…) into both", "on, ignoring and group_left join series one by one; here sums are added as a whole")
	}
	first, second := unwrap(e.LHS), unwrap(e.RHS)
	if !isCall(first, "histogram_fraction") {
		first, second = second, first
	}
	if !isCall(second, "histogram_count") {
		return c.refuse(second.PositionRange(), histogramHint, "histogram_fraction is multiplied with something else than the histogram_count of the same histogram")
	}
	fraction, count := first.(*parser.Call), second.(*parser.Call)
	if of, other := unwrap(fraction.Args[2]), unwrap(count.Args[0]); of.String() != other.String() {
		return c.refuse(other.PositionRange(), "write the same in both", "histogram_count is of another histogram than histogram_fraction")
	}
	if err := c.lowest(fraction.Args[0]); err != nil {
		return err
	}
	at := fraction.Args[1].PositionRange()
	r, ok := c.constant(fraction.Args[1])
	if !ok || r.Sign() <= 0 {
		return c.refuse(at, "write a number, for example 0.3 for 300 ms of a histogram in seconds", "the threshold is no number above 0")
	}
	threshold, err := exact(r)
	if err != nil {
		return c.refuse(at, "write a number, for example 0.3", "the threshold %s has no exact decimal", r.RatString())
	}
	return c.histogram(fraction.Args[2], slo.NativeSuffix, &threshold, factor)
}

// lowest holds the lower end of a fraction to 0 or -Inf.
func (c *compiler) lowest(e parser.Expr) error {
	if r, ok := c.constant(e); ok && r.Sign() == 0 {
		return nil
	}
	if u, ok := unwrap(e).(*parser.UnaryExpr); ok && u.Op == parser.SUB {
		if n, ok := unwrap(u.Expr).(*parser.NumberLiteral); ok && math.IsInf(n.Val, 1) {
			return nil
		}
	}
	if n, ok := unwrap(e).(*parser.NumberLiteral); ok && math.IsInf(n.Val, -1) {
		return nil
	}
	return c.refuse(e.PositionRange(), "write histogram_fraction(0, …); for a range take the difference of two such products", "a fraction begins at 0 or -Inf")
}

// histogram adds what stands in a function of histograms: the rate of one, or sums of such.
func (c *compiler) histogram(e parser.Expr, suffix string, cut *slo.Decimal, factor *big.Rat) error {
	if c.suffix != "" {
		return c.refuse(e.PositionRange(), "leave the inner one out", "a function of histograms stands in another one")
	}
	c.suffix, c.cut = suffix, cut
	defer func() { c.suffix, c.cut = "", nil }()
	return c.expr(e, factor)
}

// suffixName appends a suffix to the name that the conditions ask for, and reports whether they ask for one.
func suffixName(ms []bus.Matcher, suffix string) bool {
	for i := range ms {
		if ms[i].Name == "__name__" && ms[i].Type == bus.MatchEqual && ms[i].Value != "" {
			ms[i].Value += suffix
			return true
		}
	}
	return false
}
