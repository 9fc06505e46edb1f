// Package tanzu turns service level objectives of Tanzu Service Mesh, as its REST API shows them, into YAML of Evenkeel's own kind, with
// notes on what is not the same.
//
// Tanzu judged samples of 10 to 15 seconds: one was bad when any of the SLIs of an objective was over its threshold, and bad time was
// taken from the budget of a calendar month in UTC. So each SLI becomes an SLO with the method Timeslices and slices of a minute, over
// the calendar month, in which time without data is good:
//
//   - an error rate of at most E %: a slice is good when at least 100-E % of its requests are no errors; errors are 4xx and 5xx;
//   - p50, p90 or p99 latency of at most L: a slice is good when at least 50, 90 or 99 % of its requests took at most L, which says the
//     same. It can be counted only where a bucket of the source ends at L. Where none does, the SLO is written as a comment.
//
// What cannot be kept is in the notes, among them: SLIs no longer share one budget, and a service is judged as a whole and not each of
// its instances. Targets that the API had stored as float32 (99.9990005493164) are written as they were meant (99.999).
package tanzu

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// Options say what the API's answer does not.
type Options struct {
	ID              string // of the SLO, where the document has no id: the last part of its address
	GlobalNamespace string // whose SLO it is; "" is the default one
	Namespace       string // metadata.namespace; "" writes none
	Source          string // of telemetry; "" is istio, which Tanzu's proxies are
	// Bounds are the upper bounds of the source's latency buckets; nil where they are not known, and every threshold is taken.
	Bounds []slo.Duration
}

// A Result is what a conversion gives: YAML documents, and what is to be known about them, in order.
type Result struct {
	YAML  string
	Notes []string
}

// Bounds of what is converted.
const (
	maxPolicies = 1000
	maxServices = 100
	maxLabels   = 64
	maxOptions  = 4 // there are four metrics
)

type policy struct {
	ID           string      `json:"id"`
	Type         string      `json:"type"`
	Description  string      `json:"description"`
	Labels       []label     `json:"labels"`
	BasicOptions []option    `json:"basic_options"`
	Target       json.Number `json:"slo_target_value"`
	Period       *period     `json:"slo_period"`
	Actions      *mesh.Node  `json:"slo_actions"`
	Services     []service   `json:"services"`
	CreationTime *mesh.Node  `json:"creationTime"`
}

type label struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type option struct {
	MetricName string      `json:"metricName"`
	Value      json.Number `json:"value"`
}

type period struct {
	Frequency string `json:"slo_period_frequency"`
}

type service struct {
	Name string `json:"name"`
}

// Convert converts a document: one SLO, or the list of them that the API answers with. Of the document only File and Root are looked
// at. With problems the result is not to be used.
func Convert(d *mesh.Document, o Options) (Result, []mesh.Problem) {
	if o.Source == "" {
		o.Source = "istio"
	}
	c := &converter{d: d, o: o, names: map[string]bool{}}
	c.gns = c.globalNamespace()
	switch {
	case d.Root == nil || d.Root.Kind != mesh.NodeList:
		c.policy("")
	case len(d.Root.Items) > maxPolicies:
		c.add("", fmt.Sprintf("the list has %d SLOs; at most %d are taken", len(d.Root.Items), maxPolicies), "split it")
	default:
		c.o.ID = ""
		for i := range d.Root.Items {
			c.policy(fmt.Sprintf("[%d]", i))
		}
	}
	return Result{YAML: c.out.String(), Notes: c.notes}, mesh.SortProblems(c.problems)
}

type converter struct {
	d        *mesh.Document
	o        Options
	gns      string
	names    map[string]bool // of what was written
	out      strings.Builder
	notes    []string
	problems []mesh.Problem
}

func (c *converter) add(path, message, hint string) {
	c.problems = append(c.problems, c.d.Problem(path, message, hint))
}

func (c *converter) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(c.notes, n) {
		c.notes = append(c.notes, n)
	}
}

func (c *converter) globalNamespace() string {
	name := c.o.GlobalNamespace
	if name == "" || mesh.LabelHint(name) == "" {
		return name
	}
	slug := mesh.Slug(name)
	if slug == "" {
		c.add("", fmt.Sprintf("the global namespace %q has no letter or digit", name), "name it otherwise")
		return ""
	}
	c.note("global namespace %s is called %s, since names are DNS labels", name, slug)
	return slug
}

// policy converts the SLO at a path.
func (c *converter) policy(path string) {
	before := len(c.problems)
	var p policy
	if n := c.d.Node(path); n == nil || n.Kind != mesh.NodeMap {
		c.add(path, "this is no SLO of Tanzu Service Mesh", `it has the fields type, basic_options, slo_target_value, slo_period and services`)
		return
	}
	c.problems = append(c.problems, c.d.Decode(path, &p)...)
	if len(c.problems) > before {
		return
	}
	b := c.common(path, &p)
	slis := c.slis(path, &p)
	services := c.services(path, &p)
	if len(c.problems) > before {
		return
	}
	c.remarks(&p, b, slis)
	for i, s := range services {
		for j, sli := range slis {
			w := *b
			w.service, w.sli, w.name = s, sli, b.slug
			if len(services) > 1 {
				w.name += "-" + s
			}
			if len(slis) > 1 {
				w.name += "-" + sli.suffix
			}
			w.actionable = b.actionable && j == c.leading(slis)
			c.write(at(path, fmt.Sprintf("services[%d].name", i)), &w)
		}
	}
}

// leading returns the index of the SLI that an actionable SLO keeps: the first that can be counted.
func (c *converter) leading(slis []indicator) int {
	return max(0, slices.IndexFunc(slis, c.bucketed))
}

// at joins a path and a field.
func at(path, field string) string { return strings.TrimPrefix(path+"."+field, ".") }

// common reads what all SLOs of a policy share.
func (c *converter) common(path string, p *policy) *written {
	b := &written{id: p.ID, description: p.Description}
	if b.id == "" {
		b.id = c.o.ID
	}
	if b.slug = mesh.Slug(b.id); b.slug == "" {
		c.add(at(path, "id"), "the SLO has no id", "give it: the last part of its address in the API")
	}
	switch p.Type {
	case "MONITORED":
	case "ACTIONABLE":
		b.actionable = true
	default:
		c.add(at(path, "type"), fmt.Sprintf("unknown type %q", p.Type), "MONITORED or ACTIONABLE")
	}
	if p.Period == nil || p.Period.Frequency != "MONTHLY" {
		c.add(at(path, "slo_period.slo_period_frequency"), "the period is not MONTHLY, which is the only one that is known", "write {\"slo_period_frequency\": \"MONTHLY\"}")
	}
	b.objective = c.target(path, p)
	if len(p.Labels) > maxLabels {
		c.add(at(path, "labels"), fmt.Sprintf("there are %d labels; at most %d are taken", len(p.Labels), maxLabels), "")
		return b
	}
	for i, l := range p.Labels {
		if slices.ContainsFunc(p.Labels[:i], func(o label) bool { return o.Key == l.Key }) {
			c.add(at(path, fmt.Sprintf("labels[%d].key", i)), fmt.Sprintf("the label %q stands twice", l.Key), "keep one of them")
		}
	}
	b.labels = p.Labels
	return b
}

// target returns the objective in per cent.
func (c *converter) target(path string, p *policy) string {
	path = at(path, "slo_target_value")
	v, ok := c.number(path, p.Target)
	if !ok {
		return ""
	}
	if v.Sign() <= 0 || v.Cmp(big.NewRat(100, 1)) >= 0 {
		c.add(path, fmt.Sprintf("the target %s is not above 0 and below 100", p.Target), "at 100 there is no budget, and Tanzu showed Unknown")
		return ""
	}
	if short := meant(p.Target.String()); short != "" {
		c.note("the target %s is %s, which Tanzu had stored as float32", p.Target, short)
		return short
	}
	return decimal(v)
}

// meant returns the short decimal that a number was before it went through a float32, or "" where it did not.
func meant(text string) string {
	v, err := strconv.ParseFloat(text, 64)
	short := strconv.FormatFloat(float64(float32(v)), 'f', -1, 32)
	if err != nil || len(short) >= len(text) {
		return ""
	}
	// As JavaScript prints it, or with all digits of the binary number.
	for _, digits := range []int{15, 16, 17} {
		if text == strconv.FormatFloat(float64(float32(v)), 'g', digits, 64) {
			return short
		}
	}
	exact, ok := new(big.Rat).SetString(text)
	if ok && exact.Cmp(new(big.Rat).SetFloat64(float64(float32(v)))) == 0 {
		return short
	}
	return ""
}

// number reads a number exactly; one that is missing is a problem.
func (c *converter) number(path string, n json.Number) (*big.Rat, bool) {
	if n == "" {
		c.add(path, path+" is missing", "it is a number")
		return nil, false
	}
	v, err := slo.ParseDecimal(n.String())
	if err == nil {
		if digits, exact := v.Rat().FloatPrec(); exact && digits <= 26 {
			return v.Rat(), true
		}
	}
	c.add(path, fmt.Sprintf("%.40s is no decimal number of at most 26 digits after the point", n), "")
	return nil, false
}

// decimal writes a decimal number in full.
func decimal(v *big.Rat) string {
	digits, _ := v.FloatPrec()
	return v.FloatString(digits)
}

func (c *converter) services(path string, p *policy) []string {
	path = at(path, "services")
	if len(p.Services) == 0 || len(p.Services) > maxServices {
		c.add(path, fmt.Sprintf("the SLO has %d services; from 1 to %d are taken", len(p.Services), maxServices), "service groups are not known here: name the services")
		return nil
	}
	if p.Type == "ACTIONABLE" && len(p.Services) > 1 {
		c.add(path, fmt.Sprintf("an ACTIONABLE SLO has one service, this one has %d", len(p.Services)), "")
	}
	var out []string
	for i, s := range p.Services {
		if hint := mesh.LabelHint(s.Name); hint != "" {
			c.add(fmt.Sprintf("%s[%d].name", path, i), fmt.Sprintf("the service %q is not a DNS label", s.Name), hint)
		}
		if slices.Contains(out, s.Name) {
			c.add(fmt.Sprintf("%s[%d].name", path, i), fmt.Sprintf("the service %q stands twice", s.Name), "leave it out")
		}
		out = append(out, s.Name)
	}
	return out
}

// An indicator is one SLI: the share of good requests from which on a slice is good, and what is good.
type indicator struct {
	metric, suffix string
	threshold      slo.Duration // of a latency; 0 for errors
	target         string       // per cent
}

var (
	latencyName = regexp.MustCompile(`(?i)^p(50|90|99)_?latency$`)
	errorName   = regexp.MustCompile(`(?i)^error_?(rate|s|percent|percentage)?$`) // the API's spelling is not public
)

const latencyMax = 3_600_000 // ms

// slis reads the SLIs, that of errors first.
func (c *converter) slis(path string, p *policy) []indicator {
	path = at(path, "basic_options")
	if len(p.BasicOptions) == 0 || len(p.BasicOptions) > maxOptions {
		c.add(path, fmt.Sprintf("the SLO has %d SLIs; from 1 to %d are taken", len(p.BasicOptions), maxOptions), "p50LATENCY, p90LATENCY, p99LATENCY, errorRate")
		return nil
	}
	var out []indicator
	for i, o := range p.BasicOptions {
		item := fmt.Sprintf("%s[%d]", path, i)
		sli, ok := c.indicator(item, o)
		if !ok {
			continue
		}
		if slices.ContainsFunc(out, func(s indicator) bool { return s.suffix == sli.suffix }) {
			c.add(item+".metricName", fmt.Sprintf("the metric %s stands twice", o.MetricName), "keep one of them")
			continue
		}
		out = append(out, sli)
	}
	slices.SortStableFunc(out, func(a, b indicator) int { return strings.Compare(a.suffix, b.suffix) }) // errors, p50, p90, p99
	return out
}

func (c *converter) indicator(path string, o option) (indicator, bool) {
	v, ok := c.number(path+".value", o.Value)
	if !ok {
		return indicator{}, false
	}
	m := latencyName.FindStringSubmatch(o.MetricName)
	switch {
	case m != nil:
		if !v.IsInt() || v.Sign() <= 0 || v.Cmp(big.NewRat(latencyMax, 1)) > 0 {
			c.add(path+".value", fmt.Sprintf("the latency %s is no whole number of milliseconds up to an hour", o.Value), "")
			return indicator{}, false
		}
		return indicator{metric: o.MetricName, suffix: "p" + m[1], threshold: slo.Duration(bus.Time(v.Num().Int64()) * bus.Millisecond), target: m[1]}, true
	case errorName.MatchString(o.MetricName):
		if v.Sign() <= 0 || v.Cmp(big.NewRat(100, 1)) >= 0 {
			c.add(path+".value", fmt.Sprintf("the error rate %s is not above 0 and below 100 per cent", o.Value), "")
			return indicator{}, false
		}
		return indicator{metric: o.MetricName, suffix: "errors", target: decimal(new(big.Rat).Sub(big.NewRat(100, 1), v))}, true
	}
	c.add(path+".metricName", fmt.Sprintf("unknown metric %q", o.MetricName), "p50LATENCY, p90LATENCY, p99LATENCY or errorRate")
	return indicator{}, false
}
