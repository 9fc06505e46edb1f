package promtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// test reads one test.
func (r *reading) test(path string, i int, raw *rawTest, f *File) Test {
	t := Test{Place: r.place(path), Name: raw.Name, ExternalURL: raw.ExternalURL, ExternalLabels: r.texts(path+".external_labels", raw.ExternalLabels)}
	if t.Name == "" {
		t.Name = fmt.Sprintf("unnamed#%d", i) // as promtool calls it
	}
	t.Start = r.start(path+".start_timestamp", raw.Start, len(f.SLOFiles) > 0)
	length := r.series(path, raw, &t, r.duration(path+".interval", raw.Interval, f.Interval))
	for k := range raw.SLOs {
		t.SLOs = append(t.SLOs, r.expectation(fmt.Sprintf("%s.slo_test[%d]", path, k), &raw.SLOs[k]))
		t.End = max(t.End, t.SLOs[k].At)
	}
	for k := range raw.Alerts {
		t.Alerts = append(t.Alerts, r.alertCase(fmt.Sprintf("%s.alert_rule_test[%d]", path, k), &raw.Alerts[k]))
		t.End = max(t.End, t.Alerts[k].At)
	}
	for k := range raw.Exprs {
		t.Exprs = append(t.Exprs, r.exprCase(fmt.Sprintf("%s.promql_expr_test[%d]", path, k), &raw.Exprs[k]))
		t.End = max(t.End, t.Exprs[k].At)
	}
	if raw.Compare != nil {
		t.Compare = r.comparison(path+".compare", raw.Compare, length)
		t.End = max(t.End, t.Compare.Until)
	}
	r.sides(path, &t, f)
	return t
}

// sides refuses what has nothing to be asked of, and what would take too long.
func (r *reading) sides(path string, t *Test, f *File) {
	switch {
	case len(t.SLOs)+len(t.Alerts)+len(t.Exprs) == 0 && t.Compare == nil:
		r.absent(path+".slo_test", "write slo_test, alert_rule_test, promql_expr_test or compare", "the test %q expects nothing", t.Name)
	case len(t.SLOs) > 0 && len(f.SLOFiles) == 0:
		r.wrong(path+".slo_test", "", "slo_test needs slo_files")
	case t.Compare != nil && (len(f.SLOFiles) == 0 || len(f.RuleFiles) == 0):
		r.wrong(path+".compare", "", "compare needs both slo_files and rule_files")
	case len(f.RuleFiles) > 0 && t.End/f.Interval > maxEvals:
		r.wrong(path, "make evaluation_interval longer", "%s in steps of %s are over %d evaluations", slo.Duration(t.End), slo.Duration(f.Interval), maxEvals)
	}
}

// expectation reads what an SLO shall be.
func (r *reading) expectation(path string, raw *rawExpectation) Expectation {
	e := Expectation{Place: r.place(path + ".slo"), At: r.at(path, raw.At), SLO: raw.SLO, State: raw.Exp.State, Reason: raw.Exp.Reason, Firing: raw.Exp.Firing, Pending: raw.Exp.Pending}
	if n := strings.Count(e.SLO, "/"); n < 1 || n > 2 {
		r.absent(path+".slo", "write service/name, or namespace/service/name", "%q names no SLO", e.SLO)
	}
	if states := []string{slo.StateHealthy, slo.StateWarning, slo.StateViolation, slo.StateExhausted, slo.StateUnknown}; e.State != "" && !slices.Contains(states, e.State) {
		r.wrong(path+".exp.state", "it is one of "+strings.Join(states, ", "), "%q is no state", e.State)
	}
	for _, n := range []struct {
		field string
		text  json.Number
	}{
		{"sli", raw.Exp.SLI}, {"good", raw.Exp.Good}, {"total", raw.Exp.Total}, {"budget_total", raw.Exp.Budget}, {"budget_consumed", raw.Exp.Consumed},
		{"budget_remaining", raw.Exp.Remaining}, {"budget_remaining_ratio", raw.Exp.Ratio}, {"coverage", raw.Exp.Coverage},
	} {
		r.number(&e, path+".exp."+n.field, n.field, n.text)
	}
	for _, w := range slices.Sorted(maps.Keys(raw.Exp.Burn)) {
		d, err := slo.ParseDuration(w)
		if err != nil {
			r.wrong(path+".exp.burn_rates", "", "%s", err)
			continue
		}
		r.number(&e, mesh.JoinPath(path+".exp.burn_rates", w), burnField+d.String(), raw.Exp.Burn[w])
	}
	if e.State+e.Reason == "" && len(e.Numbers) == 0 && e.Firing == nil && e.Pending == nil {
		r.absent(path+".exp", "for example exp: {state: HEALTHY}", "nothing is expected of the SLO")
	}
	if raw.Tolerance != "" {
		e.Tolerance = r.decimal(path+".tolerance", raw.Tolerance)
	}
	return e
}

func (r *reading) number(e *Expectation, path, field string, text json.Number) {
	if text != "" {
		e.Numbers = append(e.Numbers, Number{field, r.decimal(path, text)})
	}
}

func (r *reading) decimal(path string, text json.Number) slo.Decimal {
	d, err := slo.ParseDecimal(text.String())
	if err != nil {
		r.wrong(path, "", "%s", err)
	}
	return d
}

func (r *reading) alertCase(path string, raw *rawAlertCase) AlertCase {
	c := AlertCase{Place: r.place(path + ".alertname"), At: r.at(path, raw.At), Name: raw.Name}
	if c.Name == "" {
		r.absent(path+".alertname", "", "alertname is missing")
	}
	for i, a := range raw.Expect {
		at := fmt.Sprintf("%s.exp_alerts[%d]", path, i)
		one := Alert{Labels: r.texts(at+".exp_labels", a.Labels), Annotations: r.texts(at+".exp_annotations", a.Annotations)}
		one.Labels[labels.AlertName] = c.Name
		c.Expect = append(c.Expect, one)
	}
	return c
}

func (r *reading) exprCase(path string, raw *rawExprCase) ExprCase {
	c := ExprCase{Place: r.place(path + ".expr"), At: r.at(path, raw.At), Expr: raw.Expr}
	if _, err := parser.NewParser(parser.Options{}).ParseExpr(c.Expr); err != nil {
		r.wrong(path+".expr", "", "%s", err)
	}
	for i, s := range raw.Expect {
		at := fmt.Sprintf("%s.exp_samples[%d]", path, i)
		if s.Histogram != nil {
			r.wrong(at+".histogram", "compare histogram_count() or histogram_quantile() of it", "native histograms cannot be compared: input_series hold floats")
		}
		ls, err := parser.NewParser(parser.Options{}).ParseMetric(s.Labels)
		if err != nil {
			r.wrong(at+".labels", "", "%s", err)
		}
		v := 0.0
		if s.Value != nil {
			if v, err = strconv.ParseFloat(s.Value.Text, 64); err != nil {
				r.wrong(at+".value", "", "%q is no number", s.Value.Text)
			}
		}
		c.Expect = append(c.Expect, Sample{ls.String(), v})
	}
	slices.SortFunc(c.Expect, func(a, b Sample) int { return strings.Compare(a.Labels, b.Labels) })
	return c
}

func (r *reading) comparison(path string, raw *rawComparison, length bus.Time) *Comparison {
	c := &Comparison{
		Place: r.place(path), Until: r.duration(path+".until", raw.Until, length),
		Tolerance: r.duration(path+".tolerance", raw.Tolerance, usualTolerance), Resolved: r.duration(path+".resolve_tolerance", raw.Resolved, usualResolved),
	}
	for i, a := range raw.Accept {
		at := fmt.Sprintf("%s.accept[%d]", path, i)
		switch {
		case a.SLO == "" || a.Severity == "":
			r.absent(at+".slo", "write slo, severity and reason", "an accepted difference names its SLO and severity")
		case a.Reason == "":
			r.absent(at+".reason", "", "an accepted difference has a reason")
		case a.Difference != "" && !slices.Contains(differences(), a.Difference):
			r.wrong(at+".difference", "known: "+strings.Join(differences(), ", "), "%q is no difference", a.Difference)
		}
		c.Accept = append(c.Accept, Accepted{r.place(at), a.SLO, a.Severity, a.Difference, a.Reason})
	}
	return c
}

// repeats finds how often a value is repeated, before Prometheus' parser makes them all.
var repeats = regexp.MustCompile(`x\s*(\d+)`)

// series reads the input of a test and returns the offset of its last sample.
func (r *reading) series(path string, raw *rawTest, t *Test, every bus.Time) (length bus.Time) {
	if every <= 0 || len(raw.Series) > maxSeries {
		r.wrong(path, "", "a test has an interval above 0 and at most %d series", maxSeries)
		return 0
	}
	known := map[string]bool{}
	for i := range raw.Series {
		at := fmt.Sprintf("%s.input_series[%d]", path, i)
		values := ""
		if n := raw.Series[i].Values; n != nil {
			values = n.Text
		}
		r.left -= float64(len(values))
		for _, m := range repeats.FindAllStringSubmatch(values, -1) {
			n, _ := strconv.ParseFloat(m[1], 64)
			r.left -= n
		}
		if r.left < 0 {
			r.wrong(at+".values", "make interval longer, or the tests shorter", "the series of the file have more than %d samples", maxSamples)
			return length
		}
		one, name := r.recording(at, raw.Series[i].Series, values, t.Start, every)
		if known[name] {
			r.wrong(at+".series", "", "the series %s stands twice", raw.Series[i].Series)
		}
		known[name] = true
		if n := len(one.Times); n > 0 {
			length = max(length, one.Times[n-1]-t.Start)
		}
		t.Series = append(t.Series, one)
	}
	if length > maxLength {
		r.wrong(path+".input_series", "", "the series are longer than %s", slo.Duration(maxLength))
	}
	return length
}

// recording reads one series with Prometheus' own parser.
func (r *reading) recording(path, name, values string, start, every bus.Time) (out slo.Recording, text string) {
	if strings.Contains(values, "{{") {
		r.wrong(path+".values", "write its counters, or a classic histogram", "native histograms cannot be replayed from memory: what is kept there are floats")
		return out, name
	}
	ls, vs, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(name + " " + values)
	if err != nil {
		r.wrong(path+".series", "write for example series: 'http_requests_total{code=\"200\"}', values: '0+10x60'", "%s", err)
		return out, name
	}
	ls.Range(func(l labels.Label) { out.Labels = append(out.Labels, bus.Label{Name: l.Name, Value: l.Value}) })
	out.Labels = out.Labels.Sort()
	for i, v := range vs {
		if !v.Omitted {
			out.Times, out.Values = append(out.Times, start+bus.Time(i)*every), append(out.Values, v.Value)
		}
	}
	return out, ls.String()
}
