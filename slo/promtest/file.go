// Package promtest reads unit tests of SLOs in the notation of `promtool test rules`, judges what came of them, and writes it as text, JSON
// and JUnit XML. It runs nothing: cmd/evenkeel/app drives the engine's own gate and stage with the input series, and slo/rules
// Prometheus' rules.
//
// A file is promtool's, with slo_files beside rule_files, slo_test beside alert_rule_test and promql_expr_test, and compare, which asks
// whether rules and SLOs alert at the same times. docs/testing.md tells all keys. What is not known is refused with its place and the
// nearest known name; so are native histograms, since histories in memory hold floats.
//
// Time begins at start_timestamp. Its default is [DefaultStart] where there are SLOs, the beginning of a week, a month, a quarter and a
// year, so that calendar windows begin with the test; in a file of rules alone it is promtool's, the epoch.
package promtest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// DefaultStart is Monday, 1 January 2024, 00:00 UTC.
const DefaultStart = bus.Time(1_704_067_200_000)

// Bounds of a file and of one of its tests.
const (
	maxTests   = 1000
	maxSeries  = 5000
	maxSamples = 4_000_000 // of all tests
	maxEvals   = 100_000   // of all rules
	maxLength  = 400 * bus.Day
	earliest   = bus.Time(1_577_836_800_000) // 2020, from which on the rules of time zones are known
	latest     = bus.Time(2_493_072_000_000) // 2049, until which they are
	usualEvery = bus.Minute
)

// Usual tolerances of a comparison: rules are evaluated once a minute; the engine waits two minutes before it resolves, and its windows
// end with a slice, which is up to six minutes of the six hours that a ticket's short window has.
const (
	usualTolerance = 2 * bus.Minute
	usualResolved  = 10 * bus.Minute
)

// A File is one file of tests.
type File struct {
	Name                string
	SLOFiles, RuleFiles []string // as written: relative to the file
	Interval            bus.Time // of evaluations
	GroupOrder          []string
	Fuzzy               bool // floats of queries may differ in their last bit
	Tests               []Test
}

// A Test is one input and what is expected of it. Times of day are offsets from its start.
type Test struct {
	Place
	Name           string
	Start          bus.Time
	End            bus.Time // offset of the last thing that is asked for
	Series         []slo.Recording
	SLOs           []Expectation
	Alerts         []AlertCase
	Exprs          []ExprCase
	Compare        *Comparison
	ExternalLabels map[string]string
	ExternalURL    string
}

// A Place is where in the file something stands.
type Place struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String returns "file:line:column".
func (p Place) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// An Expectation says what an SLO shall be at a time. What is not named is not compared.
type Expectation struct {
	Place
	At            bus.Time
	SLO           string // service/name or namespace/service/name
	State, Reason string
	Numbers       []Number
	Firing        []string // tiers; nil where it is not asked for
	Pending       []string
	Tolerance     slo.Decimal
}

// A Number is one figure that is expected.
type Number struct {
	Field string // as in the file
	Want  slo.Decimal
}

// An AlertCase says which alerts of a name fire at a time.
type AlertCase struct {
	Place
	At     bus.Time
	Name   string
	Expect []Alert
}

// An Alert is one that fires.
type Alert struct{ Labels, Annotations map[string]string }

// An ExprCase says what a query gives at a time.
type ExprCase struct {
	Place
	At     bus.Time
	Expr   string
	Expect []Sample
}

// A Sample is one result of a query; Labels are as Prometheus writes them.
type Sample struct {
	Labels string
	Value  float64
}

// A Comparison asks whether rules and SLOs alert at the same times.
type Comparison struct {
	Place
	Until     bus.Time
	Tolerance bus.Time // between the times at which both sides fire
	Resolved  bus.Time // and at which both resolve
	Accept    []Accepted
}

// An Accepted difference has a reason.
type Accepted struct {
	Place
	SLO, Severity, Difference, Reason string
}

type rawFile struct {
	SLOFiles   []string   `json:"slo_files"`
	RuleFiles  []string   `json:"rule_files"`
	Interval   *mesh.Node `json:"evaluation_interval"`
	GroupOrder []string   `json:"group_eval_order"`
	Fuzzy      bool       `json:"fuzzy_compare"`
	Tests      []rawTest  `json:"tests"`
}

type rawTest struct {
	Name           string                `json:"name"`
	Interval       *mesh.Node            `json:"interval"`
	Start          *mesh.Node            `json:"start_timestamp"`
	Series         []rawSeries           `json:"input_series"`
	SLOs           []rawExpectation      `json:"slo_test"`
	Alerts         []rawAlertCase        `json:"alert_rule_test"`
	Exprs          []rawExprCase         `json:"promql_expr_test"`
	Compare        *rawComparison        `json:"compare"`
	ExternalLabels map[string]*mesh.Node `json:"external_labels"`
	ExternalURL    string                `json:"external_url"`
}

type rawSeries struct {
	Series string     `json:"series"`
	Values *mesh.Node `json:"values"`
}

type rawExpectation struct {
	At        *mesh.Node  `json:"eval_time"`
	SLO       string      `json:"slo"`
	Tolerance json.Number `json:"tolerance"`
	Exp       rawExpected `json:"exp"`
}

type rawExpected struct {
	State     string                 `json:"state"`
	Reason    string                 `json:"reason"`
	SLI       json.Number            `json:"sli"`
	Good      json.Number            `json:"good"`
	Total     json.Number            `json:"total"`
	Budget    json.Number            `json:"budget_total"`
	Consumed  json.Number            `json:"budget_consumed"`
	Remaining json.Number            `json:"budget_remaining"`
	Ratio     json.Number            `json:"budget_remaining_ratio"`
	Coverage  json.Number            `json:"coverage"`
	Burn      map[string]json.Number `json:"burn_rates"`
	Firing    []string               `json:"alerts"`
	Pending   []string               `json:"pending"`
}

type rawAlertCase struct {
	At     *mesh.Node `json:"eval_time"`
	Name   string     `json:"alertname"`
	Expect []rawAlert `json:"exp_alerts"`
}

type rawAlert struct {
	Labels      map[string]*mesh.Node `json:"exp_labels"`
	Annotations map[string]*mesh.Node `json:"exp_annotations"`
}

type rawExprCase struct {
	Expr   string      `json:"expr"`
	At     *mesh.Node  `json:"eval_time"`
	Expect []rawSample `json:"exp_samples"`
}

type rawSample struct {
	Labels    string     `json:"labels"`
	Value     *mesh.Node `json:"value"`
	Histogram *mesh.Node `json:"histogram"`
}

type rawComparison struct {
	Until     *mesh.Node    `json:"until"`
	Tolerance *mesh.Node    `json:"tolerance"`
	Resolved  *mesh.Node    `json:"resolve_tolerance"`
	Accept    []rawAccepted `json:"accept"`
}

type rawAccepted struct {
	SLO        string `json:"slo"`
	Severity   string `json:"severity"`
	Difference string `json:"difference"`
	Reason     string `json:"reason"`
}

// A reading is the work on one file.
type reading struct {
	d        *mesh.Document
	problems []mesh.Problem
	left     float64 // samples that may still come
}

// Parse reads a file of tests.
func Parse(d *mesh.Document) (*File, []mesh.Problem) {
	r := &reading{d: d, left: maxSamples}
	var raw rawFile
	r.problems = d.Decode("", &raw)
	f := &File{Name: d.File, SLOFiles: raw.SLOFiles, RuleFiles: raw.RuleFiles, GroupOrder: raw.GroupOrder, Fuzzy: raw.Fuzzy}
	f.Interval = r.duration("evaluation_interval", raw.Interval, usualEvery)
	switch {
	case len(f.SLOFiles)+len(f.RuleFiles) == 0:
		r.absent("slo_files", "write slo_files: [slos.yaml]", "there is nothing to test: no slo_files and no rule_files")
	case len(raw.Tests) == 0:
		r.absent("tests", "", "there are no tests")
	case len(raw.Tests) > maxTests:
		r.wrong("tests", "split the file", "there are %d tests; at most %d", len(raw.Tests), maxTests)
		return f, r.problems
	}
	if f.Interval <= 0 {
		r.wrong("evaluation_interval", "", "evaluation_interval must be above 0")
		return f, r.problems
	}
	for i := range raw.Tests {
		f.Tests = append(f.Tests, r.test(fmt.Sprintf("tests[%d]", i), i, &raw.Tests[i], f))
	}
	return f, mesh.SortProblems(r.problems)
}

func (r *reading) wrong(path, hint, format string, args ...any) {
	r.problems = append(r.problems, r.d.Problem(path, fmt.Sprintf(format, args...), hint))
}

// absent tells that something is missing, unless a misspelled name of it stands there, which is told already.
func (r *reading) absent(path, hint, format string, args ...any) {
	if !r.d.Misspelled(path, r.problems) {
		r.wrong(path, hint, format, args...)
	}
}

func (r *reading) place(path string) Place {
	line, column := r.d.At(path)
	return Place{r.d.File, line, column}
}

// duration reads a duration as promtool does: 0, 90s, 1h30m.
func (r *reading) duration(path string, n *mesh.Node, usual bus.Time) bus.Time {
	if n == nil {
		return usual
	}
	d, err := model.ParseDuration(n.Text)
	t := bus.Time(time.Duration(d).Milliseconds())
	if err != nil || t > maxLength || t%bus.Second != 0 {
		r.wrong(path, "write whole seconds, for example 90s or 1h30m, at most 400d", "%q is no duration for a test", n.Text)
		return usual
	}
	return t
}

// at reads an eval_time, which must be there.
func (r *reading) at(path string, n *mesh.Node) bus.Time {
	if n == nil {
		r.absent(path+".eval_time", "for example eval_time: 1h", "eval_time is missing")
	}
	return r.duration(path+".eval_time", n, 0)
}

// start reads a start_timestamp.
func (r *reading) start(path string, n *mesh.Node, slos bool) bus.Time {
	switch {
	case n == nil && slos:
		return DefaultStart
	case n == nil:
		return 0
	}
	start := bus.Time(-1)
	if s, err := strconv.ParseInt(n.Text, 10, 40); err == nil {
		start = bus.Time(s) * bus.Second
	} else if t, err := time.Parse(time.RFC3339, n.Text); err == nil {
		start = bus.TimeOf(t)
	}
	switch {
	case start < 0 || start > latest || start%bus.Second != 0:
		r.wrong(path, "write seconds since 1970, or a time like 2024-01-01T00:00:00Z", "%q is no time at which a test may begin", n.Text)
	case slos && start < earliest:
		r.wrong(path, "begin in 2020 or later, or leave it out", "a test of SLOs cannot begin before 2020, from which on the rules of time zones are known")
	}
	return start
}

// texts returns the values of a map; as in promtool a number is a text.
func (r *reading) texts(path string, m map[string]*mesh.Node) map[string]string {
	out := make(map[string]string, len(m))
	for name, n := range m { // problems are sorted afterwards
		if n == nil || n.Kind == mesh.NodeMap || n.Kind == mesh.NodeList {
			r.wrong(mesh.JoinPath(path, name), "", "%s must be a text", name)
			continue
		}
		out[name] = n.Text
	}
	return out
}
