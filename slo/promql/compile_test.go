package promql

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/slo"
)

// text writes an expression so that it can be compared: factor times selector.
func text(e slo.Expr) string {
	var parts []string
	for _, t := range e.Terms {
		part := t.Factor.String() + "*" + t.Selector.String()
		if t.AtMost != nil {
			part += "<=" + t.AtMost.String()
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " + ")
}

// A query that people have would be refused, or would count something else.
func TestAdditive(t *testing.T) {
	for query, want := range map[string]struct{ expr, form string }{
		`http_requests_total`:                              {`1*http_requests_total{}`, "counter"},
		`http_requests_total{job="a",code=~"5.."}`:         {`1*http_requests_total{code=~"5..",job="a"}`, "counter"},
		`http_requests_total{code=~"5..",job="a",job="a"}`: {`1*http_requests_total{code=~"5..",job="a"}`, "counter"},
		`rate(x[5m])`:                          {`1*x{}`, "rate"},
		`increase(x[1h])`:                      {`1*x{}`, "increase[1h]"},
		`sum(rate(x[5m]))`:                     {`1*x{}`, "rate"},
		`sum by (code) (rate(x[5m]))`:          {`1*x{}`, "rate"},
		`sum(rate(x[5m])) without (pod)`:       {`1*x{}`, "rate"},
		`sum(rate(x[5m])) + sum(rate(y[10m]))`: {`1*x{} + 1*y{}`, "rate"},
		`sum(x) - sum(x{code=~"5.."})`:         {`1*x{} + -1*x{code=~"5.."}`, "counter"},
		`-(x - -y)`:                            {`-1*x{} + -1*y{}`, "counter"},
		`2 * x`:                                {`2*x{}`, "counter"},
		`x * 0.1 / 4`:                          {`0.025*x{}`, "counter"},
		`(1 / 4 + 1) * (x - 2 * y)`:            {`1.25*x{} + -2.5*y{}`, "counter"},
		`x * 1e-3`:                             {`0.001*x{}`, "counter"},
		`sum(rate(x[5m])) or vector(0)`:        {`1*x{}`, "rate"},
		`(sum(rate(x[5m])) or on() vector(0)) + (y[5m] or y)`:                              {"", ""},
		`(sum(rate(x[5m])) or (vector(0))) + sum(rate(y[5m]))`:                             {`1*x{} + 1*y{}`, "rate"},
		`{__name__="x",a!="b"}`:                                                            {`1*x{a!="b"}`, "counter"},
		`{__name__=~"x|y"}`:                                                                {`1*{__name__=~"x|y"}`, "counter"},
		`{"http.requests",a!~"b"}`:                                                         {`1*http.requests{a!~"b"}`, "counter"},
		"sum(rate(x[5m])) # a comment\n  + sum(rate(y[5m]))":                               {`1*x{} + 1*y{}`, "rate"},
		`sum(rate(d_bucket{le="0.3"}[5m]))`:                                                {`1*d_bucket{le="0.3"}`, "rate"},
		`histogram_count(sum(rate(x[5m])))`:                                                {`1*x_count{}`, "rate"},
		`sum(histogram_count(rate(x{a="b"}[5m])))`:                                         {`1*x_count{a="b"}`, "rate"},
		`histogram_fraction(0, 0.3, sum(rate(x[5m]))) * histogram_count(sum(rate(x[5m])))`: {`1*x_native_bucket{}<=0.3`, "rate"},
		`(histogram_count(sum(rate(x{a="b"}[5m])))) * histogram_fraction(-Inf, .3, sum(rate(x{a="b"}[5m])))`: {`1*x_native_bucket{a="b"}<=0.3`, "rate"},
		`histogram_fraction(0, 3e-1, sum(increase(x[1h]))) * histogram_count((sum(increase(x[1h]))))`:        {`1*x_native_bucket{}<=0.3`, "increase[1h]"},
		`histogram_count(sum(rate(x[5m]))) - histogram_count(sum(rate(x[5m]))) * histogram_fraction(0, 1/2, sum(rate(x[5m])))`: {
			`1*x_count{} + -1*x_native_bucket{}<=0.5`, "rate"},
		`sum(histogram_fraction(0, 1, rate(x[5m])) * histogram_count(rate(x[5m])))`: {`1*x_native_bucket{}<=1`, "rate"},
		`sum(rate(x{a="quote \" and \\"}[5m]))`:                                     {`1*x{a="quote \" and \\"}`, "rate"},
	} {
		if want.expr == "" {
			if _, err := Compile(query); err == nil {
				t.Errorf("%s: is not refused", query)
			}
			continue
		}
		e, err := Compile(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := text(e); got != want.expr || Form(query) != want.form {
			t.Errorf("%s: %s (%s), want %s (%s)", query, got, Form(query), want.expr, want.form)
		}
	}
}

// A query that cannot be counted would be counted wrongly, or refused without a word that helps.
func TestRefused(t *testing.T) {
	for query, want := range map[string]string{
		``:                   `1:1: the query is empty (write for example sum(rate(http_requests_total{job="shop"}[5m])))`,
		`sum(rate(x[5m])`:    `1:16: this is not PromQL: unclosed left parenthesis`,
		`rate(x)`:            `1:6: this is not PromQL: expected type range vector in call to function "rate", got instant vector (write for example rate(http_requests_total[5m]))`,
		`5`:                  `1:1: a constant is no count of events (constants may stand as factors only)`,
		`x + 1`:              `1:5: a constant is no count of events, it cannot be added (constants may stand as factors only, as in 2 * sum(…))`,
		`1 - x`:              `1:1: a constant is no count of events, it cannot be added (constants may stand as factors only, as in 2 * sum(…))`,
		"sum(x)\n  + avg(y)": `2:5: avg is not additive: what it says of two spans or two groups does not add up (use sum)`,
		`max(x)`:             `1:1: max is not additive: what it says of two spans or two groups does not add up (use sum)`,
		`count(x)`:           `1:1: count is not additive: what it says of two spans or two groups does not add up (it counts series and not events; use sum of a counter)`,
		`topk(3, x)`:         `1:1: topk is not additive: what it says of two spans or two groups does not add up (use sum)`,
		`irate(x[5m])`:       `1:1: irate() is not additive (use rate: irate looks at two samples only and misses what happened between)`,
		`delta(x[5m])`:       `1:1: delta() is not additive (it is meant for gauges; use increase of a counter)`,
		`clamp_min(x, 0)`:    `1:1: clamp_min() is not additive (leave it out: counts of events never fall below zero here)`,
		`histogram_fraction(0, 0.3, sum(rate(x[5m])))`:                                     `1:1: histogram_fraction() is not additive (` + histogramHint + `)`,
		`histogram_fraction(0, 0.3, sum(rate(x[5m]))) * sum(rate(x_count[5m]))`:            `1:48: histogram_fraction is multiplied with something else than the histogram_count of the same histogram (` + histogramHint + `)`,
		`histogram_fraction(0, 0.3, sum(rate(x[5m]))) * histogram_count(sum(rate(y[5m])))`: `1:64: histogram_count is of another histogram than histogram_fraction (write the same in both)`,
		`histogram_fraction(0.1, 0.3, rate(x[5m])) * histogram_count(rate(x[5m]))`:         `1:20: a fraction begins at 0 or -Inf (write histogram_fraction(0, …); for a range take the difference of two such products)`,
		`histogram_fraction(0, +Inf, rate(x[5m])) * histogram_count(rate(x[5m]))`:          `1:23: the threshold is no number above 0 (write a number, for example 0.3 for 300 ms of a histogram in seconds)`,
		`histogram_count(rate({__name__=~"x|y"}[5m]))`:                                     `1:22: the selector does not name the histogram, so that its count is not known (name the histogram: http_request_duration_seconds{…})`,
		`histogram_count(histogram_count(rate(x[5m])))`:                                    `1:33: a function of histograms stands in another one (leave the inner one out)`,
		`histogram_sum(rate(x[5m]))`:                                                       `1:1: histogram_sum() is not additive (a sum of values is no count of events; use histogram_count)`,
		`x or y`:                                                                           `1:6: "or" chooses between series, which is not additive (to add two queries write +; only "or vector(0)" may stand here, around it parentheses if more follows)`,
		`x or vector(0) + y`:                                                               `1:6: "or" chooses between series, which is not additive (to add two queries write +; only "or vector(0)" may stand here, around it parentheses if more follows)`,
		`x or vector(1)`:                                                                   `1:6: "or" chooses between series, which is not additive (to add two queries write +; only "or vector(0)" may stand here, around it parentheses if more follows)`,
		`vector(0) + x`:                                                                    `1:1: vector() is not additive (only "or vector(0)" behind a query may stand, and numbers as factors)`,
		`x unless y`:                                                                       `1:10: "unless" chooses between series, which is not additive (select with labels: {code!~"5.."})`,
		`x > 0`:                                                                            `1:5: a comparison (>) is not additive (select with labels, or count a counter of what you compare)`,
		`x % 2`:                                                                            `1:5: "%" is not additive`,
		`x ^ 2`:                                                                            `1:5: "^" is not additive`,
		`x * y`:                                                                            `1:5: a product of two queries is not additive (* takes a constant on one side)`,
		`x / y`:                                                                            `1:5: a ratio is not additive: the mean of ratios is not the ratio of sums (give both sides as ratioMetric: good (or bad) and total)`,
		`1 / x`:                                                                            `1:5: a ratio is not additive: the mean of ratios is not the ratio of sums (give both sides as ratioMetric: good (or bad) and total)`,
		`x / 0`:                                                                            `1:5: division by zero`,
		`x / 3`:                                                                            `1:1: the factor 1/3 cannot be counted exactly (use factors that have an exact decimal, other than zero)`,
		`0 * x`:                                                                            `1:5: the factor 0 cannot be counted exactly (use factors that have an exact decimal, other than zero)`,
		`x * Inf`:                                                                          `1:5: a product of two queries is not additive (* takes a constant on one side)`,
		`x offset 5m`:                                                                      `1:1: an offset would count events at another time than they happened (leave the offset out)`,
		`x @ 12`:                                                                           `1:1: @ would count one moment again and again (leave @ out)`,
		`rate(x[5m] @ end())`:                                                              `1:6: @ would count one moment again and again (leave @ out)`,
		`rate(sum(x)[5m:1m])`:                                                              `1:6: rate() of a subquery loses the resets of counters (take the rate of the counter first, then the sum: sum(rate(x[5m])))`,
		`rate(x[5m]) + y`:                                                                  `1:15: the query mixes rate and counter, which have different scales (use the same function and range everywhere, for example rate(…[5m]))`,
		`increase(x[5m]) + increase(y[1h])`:                                                `1:28: the query mixes increase[5m] and increase[1h], which have different scales (use the same function and range everywhere, for example rate(…[5m]))`,
		`x + on(a) y`:                                                                      `1:11: on, ignoring and group_left join series one by one; here sums are added as a whole (leave it out and put sum(…) around each side)`,
		`x + ignoring(a) group_left() y`:                                                   `1:30: on, ignoring and group_left join series one by one; here sums are added as a whole (leave it out and put sum(…) around each side)`,
		`{job="a"}`:                                                                        `1:1: the selector names no metric, all series would have to be looked at (name the metric: http_requests_total{…})`,
		`{__name__=~".+"}`:                                                                 `1:1: the selector names no metric, all series would have to be looked at (name the metric: http_requests_total{…})`,
		`sum(rate(x[{{.window}}]))`:                                                        `1:12: templates are not filled in (write a range, for example [5m]; which one does not matter, increments are counted exactly)`,
		`sum(rate(x[$__rate_interval]))`:                                                   `1:12: templates are not filled in (write a range, for example [5m]; which one does not matter, increments are counted exactly)`,
		`x[5m]`:                                                                            `1:1: a range stands without a function (write rate(…[5m]) around it)`,
		`"é" + x`:                                                                          `1:1: this is not PromQL: binary expression must contain only scalar and instant vector types`,
		`x{a="é"} + avg(y)`:                                                                `1:12: avg is not additive: what it says of two spans or two groups does not add up (use sum)`,
		"\xff":                                                                             `1:1: the query is not UTF-8 text`,
		strings.Repeat("x+", maxQuery/2) + "xx":                                            `1:1: the query has 8194 bytes; at most 8192 are read`,
		strings.Repeat("x+", 64) + "x":                                                     "",
		strings.Repeat("(", 100) + "x" + strings.Repeat(")", 100): `1:65: the query nests deeper than 64`,
		`sum(histogram_quantile(0.9, x))`:                         `1:5: histogram_quantile() is not additive (count what is fast enough: good sum(rate(x_bucket{le="0.3"}[5m])), total sum(rate(x_count[5m])))`,
		`{__name__="x",a=~"("}`:                                   "",
	} {
		_, err := Compile(query)
		var e *Error
		if !errors.As(err, &e) || Form(query) != "" {
			t.Errorf("%.60s: error %v, form %q", query, err, Form(query))
			continue
		}
		if d := cmp.Diff(want, err.Error()); want != "" && d != "" {
			t.Errorf("%.60s:\n%s", query, d)
		}
	}
}

// A query from anywhere would crash the engine, or count with factors or selectors that the stage refuses.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`sum(rate(x{a=~"b|c"}[5m])) - 2 * sum by (a) (rate(y[5m])) or vector(0)`, `-x / 4`, `increase(x[1h:5m])`, `x @ start() offset -5m`,
		`histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))`, `{"a.b"}`, `1e99*1e99*x`, `x * 5m`, "a+on(b)group_left c", `0x1p-2*x`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		e, err := Compile(query)
		if err != nil {
			var p *Error
			if !errors.As(err, &p) || p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("%q: an error without its place: %v", query, err)
			}
			return
		}
		if len(e.Terms) == 0 || len(e.Terms) > slo.MaxTerms || Form(query) == "" {
			t.Fatalf("%q: %d terms, form %q", query, len(e.Terms), Form(query))
		}
		for _, term := range e.Terms {
			if term.Factor.Rat().Sign() == 0 || len(term.Selector.Matchers()) == 0 {
				t.Fatalf("%q: term %s %s", query, term.Factor, term.Selector)
			}
		}
	})
}
