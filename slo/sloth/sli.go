package sloth

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// share turns a percentage into a share without losing a digit.
func share(percent string) (slo.Decimal, error) {
	v, err := slo.ParseDecimal(percent)
	if err != nil {
		return slo.Decimal{}, fmt.Errorf("%s is no decimal number of at most 30 digits", percent)
	}
	if v.Rat().Sign() <= 0 || v.Rat().Cmp(big.NewRat(100, 1)) >= 0 {
		return slo.Decimal{}, fmt.Errorf("the objective must be above 0 and below 100, found %s; 100 %% leaves no budget at all", percent)
	}
	return v.Hundredth()
}

// sli compiles what is counted: bad events and all events.
func (r *reading) sli(l *level) slo.SLI {
	path := l.path + ".sli"
	const instead = "write sli: {events: …} with a query of bad events and one of all events"
	switch {
	case l.plugin:
		r.refuse(path+".plugin", instead+"; 'sloth generate' shows which the plugin makes", "SLI plugins are not run: they are Go code that Sloth loads")
		return slo.SLI{}
	case l.raw:
		r.refuse(path+".raw", instead, "a raw error ratio cannot be counted: a mean of ratios is not the ratio of sums")
		return slo.SLI{}
	case !l.events:
		if n := r.d.Node(path + ".events"); n == nil || n.Kind == mesh.NodeNull {
			r.absent(path+".events", instead, "the SLO has no sli.events")
		}
		return slo.SLI{}
	}
	bad, badForm := r.query(l.errorPath, l.errorQuery)
	total, totalForm := r.query(l.totalPath, l.totalQuery)
	if bad == nil || total == nil {
		return slo.SLI{}
	}
	switch {
	case badForm == "counter" || totalForm == "counter":
		at := l.errorPath
		if badForm != "counter" {
			at = l.totalPath
		}
		r.wrong(at, "write rate(…[{{.window}}]) around the counter", "the query has no range, which Sloth asks for too")
	case badForm != totalForm:
		r.wrong(l.errorPath, "use the same function in both, for example rate(…[{{.window}}])", "this is %s and the total query is %s: they have different scales", badForm, totalForm)
	}
	return slo.SLI{Bad: bad, Total: *total}
}

// windowTemplate is the only template variable that Sloth has in queries.
var windowTemplate = regexp.MustCompile(`\{\{-?\s*\.window\s*-?\}\}`)

// fill writes 5m for the template. With pad the text keeps its length, so that places in it stay those of the file.
func fill(query string, pad bool) string {
	return windowTemplate.ReplaceAllStringFunc(query, func(s string) string {
		if !pad || strings.Contains(s, "\n") {
			return "5m"
		}
		return "5m" + strings.Repeat(" ", len(s)-len("5m"))
	})
}

// query compiles the query at a path; nil means that a problem has been told.
func (r *reading) query(path, text string) (*slo.Expr, string) {
	switch n := r.d.Node(path); {
	case n == nil || n.Kind == mesh.NodeNull:
		r.absent(path, "it holds a PromQL query", "%s is missing", path)
		return nil, ""
	case n.Kind != mesh.NodeString:
		return nil, "" // told by Decode
	}
	filled := fill(text, true)
	e, err := r.cfg.Compile(filled)
	if err != nil {
		r.add(r.d.QueryProblem(path, err))
		return nil, ""
	}
	return &e, r.cfg.Form(filled)
}
