// Package promql turns the additive part of PromQL into the canonical expressions that slo counts.
//
// What Evenkeel counts over a span is, for each selected series, by how much its counter rose, exactly and without extrapolation; an
// expression is a sum of such counts with constant factors. So these are understood:
//
//   - selectors of a metric by name, and rate() or increase() of one over a range. The range is ignored: each increment is counted
//     once, in the slice of time in which it happened, whatever range is written. A selector alone is the counter itself;
//   - sum, sum by (…), sum without (…). The grouping is ignored: a service level objective has one total;
//   - + and - of such expressions, a minus sign, parentheses, * and / by constants;
//   - histogram_count() of a native histogram's rate, and histogram_fraction(0, threshold, …) * histogram_count(…) of one and the same:
//     how many observations there were, and how many at or below the threshold;
//   - "or vector(0)", which people add since in Prometheus the sum of no series is nothing. Here it is zero already.
//
// In Prometheus "a + b" without sum adds only series with the same labels and drops the others; here nothing is dropped.
//
// Everything else is refused, with the reason, the place and a hint, since it would not be the same after a sum over time or over
// series: an average of averages is no average, and a quantile of quantiles is no quantile. Queries are parsed by Prometheus' own
// parser.
package promql

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"

	"evenkeel.dev/slo"
)

const (
	maxQuery = 8 << 10 // bytes; generated queries of hundreds of alternatives stay below
	maxDepth = 64      // of nested expressions
)

// An Error says why a query cannot be counted.
type Error struct {
	Line, Column int // in the query, from 1, in characters
	Message      string
	Advice       string // what would be right, or ""
}

// Error returns the message with its place and the advice.
func (e *Error) Error() string {
	s := fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message)
	if e.Advice != "" {
		s += " (" + e.Advice + ")"
	}
	return s
}

// Position returns the place in the query, from 1, in characters.
func (e *Error) Position() (line, column int) { return e.Line, e.Column }

// Reason returns the message alone.
func (e *Error) Reason() string { return e.Message }

// Hint returns what would be right, or "".
func (e *Error) Hint() string { return e.Advice }

// Compile returns what a query counts. The error is an *Error.
func Compile(query string) (slo.Expr, error) {
	c, err := compile(query)
	if err != nil {
		return slo.Expr{}, err
	}
	return slo.Expr{Terms: c.terms}, nil
}

// Form returns the scale that the values of a query have in Prometheus: "rate" (per second), "increase[5m]" (per range) or "counter"
// (a counter as it stands). In one ratio good and total must have the same form, or the quotient means nothing there. It is "" for
// a query that Compile refuses.
func Form(query string) string {
	c, err := compile(query)
	if err != nil {
		return ""
	}
	return c.form
}

type compiler struct {
	query string
	terms []slo.Term
	form  string
	depth int

	// of the native histogram at hand
	suffix string       // to its name
	cut    *slo.Decimal // the threshold
}

func compile(query string) (*compiler, error) {
	c, e, err := parse(query)
	if err != nil {
		return nil, err
	}
	if err := c.expr(e, one()); err != nil {
		return nil, err
	}
	return c, nil
}

// parse reads a query with Prometheus' own parser.
func parse(query string) (*compiler, parser.Expr, error) {
	c := &compiler{query: query}
	switch {
	case strings.TrimSpace(query) == "":
		return nil, nil, &Error{1, 1, "the query is empty", `write for example sum(rate(http_requests_total{job="shop"}[5m]))`}
	case len(query) > maxQuery:
		return nil, nil, &Error{1, 1, fmt.Sprintf("the query has %d bytes; at most %d are read", len(query), maxQuery), ""}
	case !utf8.ValidString(query):
		return nil, nil, &Error{1, 1, "the query is not UTF-8 text", ""}
	}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return nil, nil, c.parseError(err)
	}
	return c, e, nil
}

// parseError takes over the first error of the parser, with its place.
func (c *compiler) parseError(err error) error {
	for _, mark := range []string{"{{", "$__", "${", "[$"} {
		if i := strings.Index(c.query, mark); i >= 0 {
			return c.errorAt(i, "templates are not filled in", "write a range, for example [5m]; which one does not matter, increments are counted exactly")
		}
	}
	var several parser.ParseErrors
	var single *parser.ParseErr
	switch {
	case errors.As(err, &several) && len(several) > 0:
		single = &several[0]
	case !errors.As(err, &single):
		return &Error{1, 1, "this is not PromQL: " + err.Error(), ""}
	}
	hint := ""
	if strings.Contains(single.Err.Error(), "expected type range vector") || strings.Contains(single.Err.Error(), "ranges only allowed") {
		hint = "write for example rate(http_requests_total[5m])"
	}
	return c.errorAt(int(single.PositionRange.Start), "this is not PromQL: "+single.Err.Error(), hint)
}

// errorAt makes an error at a byte of the query.
func (c *compiler) errorAt(offset int, message, advice string) error {
	before := c.query[:min(max(offset, 0), len(c.query))]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return &Error{line, column, message, advice}
}

func (c *compiler) refuse(at posrange.PositionRange, advice, format string, args ...any) error {
	return c.errorAt(int(at.Start), fmt.Sprintf(format, args...), advice)
}
