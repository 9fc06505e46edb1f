package promtest

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// An Outcome is what came of running a test. Its maps are by what was asked at which offset.
type Outcome struct {
	Statuses    map[bus.Time][]slo.Status
	FiringSLO   map[bus.Time][]Alert // of SLOs
	FiringRules map[bus.Time][]Alert // of rules
	Samples     map[int][]Sample     // by the number of the query
	Evenkeel    []Episode
	Prometheus  []Episode
}

// NewOutcome returns one of which nothing is known.
func NewOutcome() *Outcome {
	return &Outcome{Statuses: map[bus.Time][]slo.Status{}, FiringSLO: map[bus.Time][]Alert{}, FiringRules: map[bus.Time][]Alert{}, Samples: map[int][]Sample{}}
}

// A Failure is one expectation that did not hold.
type Failure struct {
	Place
	At      string   `json:"at"`      // offset from the start
	Subject string   `json:"subject"` // what was looked at
	Want    []string `json:"want"`
	Got     []string `json:"got"`
}

// Names refuses alert names that neither rules nor SLOs have: an expectation that nothing fires would hold for each misspelled one. It
// refuses what is expected of composites, too, which are not run.
func (f *File) Names(rules, slos, composites []string) []mesh.Problem {
	var out []mesh.Problem
	known := slices.Concat(rules, slos)
	for i := range f.Tests {
		for _, e := range f.Tests[i].SLOs {
			if slices.Contains(composites, e.SLO) {
				out = append(out, mesh.Problem{File: e.File, Line: e.Line, Column: e.Column, Message: fmt.Sprintf("%s is a composite, which tests cannot count", e.SLO), Hint: "test its members"})
			}
		}
		for _, c := range f.Tests[i].Alerts {
			if slices.Contains(known, c.Name) {
				continue
			}
			hint := "known: " + strings.Join(known, ", ")
			if n := mesh.Nearest(c.Name, known); n != "" {
				hint = fmt.Sprintf("did you mean %q?", n)
			}
			out = append(out, mesh.Problem{File: c.File, Line: c.Line, Column: c.Column, Message: fmt.Sprintf("no rule and no SLO has an alert %q", c.Name), Hint: hint})
		}
	}
	return out
}

// Broken is the failure of a test that could not be carried out.
func (t *Test) Broken(subject string, err error) Failure {
	return Failure{t.Place, offset(t.End), subject, []string{}, []string{err.Error()}}
}

// Check says which expectations of a test did not hold. Alerts of the names in rules are those of Prometheus' rules.
func (t *Test) Check(o *Outcome, rules []string, fuzzy bool) []Failure {
	var out []Failure
	for i := range t.SLOs {
		out = append(out, t.SLOs[i].check(o.Statuses[t.SLOs[i].At])...)
	}
	for i := range t.Alerts {
		c, firing, exact := &t.Alerts[i], o.FiringSLO, false
		if slices.Contains(rules, c.Name) {
			firing, exact = o.FiringRules, true
		}
		out = append(out, c.check(firing[c.At], exact)...)
	}
	for i := range t.Exprs {
		out = append(out, t.Exprs[i].check(o.Samples[i], fuzzy)...)
	}
	return out
}

// SLOName writes the name of an SLO as tests do.
func SLOName(namespace, service, name string) string {
	if namespace == "default" || namespace == "" {
		return service + "/" + name
	}
	return namespace + "/" + service + "/" + name
}

// check compares what is named with the status of the SLO.
func (e *Expectation) check(statuses []slo.Status) []Failure {
	fail := func(want, got string) Failure {
		return Failure{e.Place, offset(e.At), e.SLO, []string{want}, []string{got}}
	}
	var names []string
	i := slices.IndexFunc(statuses, func(s slo.Status) bool {
		names = append(names, SLOName(s.GlobalNamespace, s.Service, s.Name))
		return e.SLO == names[len(names)-1] || e.SLO == s.GlobalNamespace+"/"+s.Service+"/"+s.Name
	})
	if i < 0 {
		got := "there is none; there are " + strings.Join(names, ", ")
		if n := mesh.Nearest(e.SLO, names); n != "" {
			got = fmt.Sprintf("there is none; did you mean %q?", n)
		}
		return []Failure{fail("an SLO of this name", got)}
	}
	s := &statuses[i]
	var out []Failure
	if e.State != "" && e.State != s.State {
		out = append(out, fail("state: "+e.State, "state: "+s.State+" # "+s.Reason))
	}
	if e.Reason != "" && e.Reason != s.Reason {
		out = append(out, fail("reason: "+e.Reason, "reason: "+s.Reason))
	}
	for _, n := range e.Numbers {
		got, ok := figure(s, n.Field)
		if !ok || new(big.Rat).Abs(new(big.Rat).Sub(got.Rat(), n.Want.Rat())).Cmp(e.Tolerance.Rat()) > 0 {
			text := got.String()
			if !ok {
				text = "there is none"
			}
			out = append(out, fail(n.Field+": "+n.Want.String(), n.Field+": "+text))
		}
	}
	for _, l := range []struct {
		field, state string
		want         []string
	}{{"alerts", slo.AlertFiring, e.Firing}, {"pending", slo.AlertPending, e.Pending}} {
		if got := tiersIn(s, l.state); l.want != nil && !slices.Equal(slices.Sorted(slices.Values(l.want)), got) {
			out = append(out, fail(l.field+": ["+strings.Join(l.want, ", ")+"]", l.field+": ["+strings.Join(got, ", ")+"]"))
		}
	}
	return out
}

// burnField begins the field of a burn rate; its window follows.
const burnField = "burn_rates."

// figure returns a number of a status; not ok where there is none.
func figure(s *slo.Status, field string) (slo.Decimal, bool) {
	switch field {
	case "sli":
		if s.SLI == nil {
			return slo.Decimal{}, false
		}
		return *s.SLI, true
	case "good":
		return decimal(s.Events.Good), true
	case "total":
		return decimal(s.Events.Total), true
	case "budget_total":
		return decimal(s.Budget.Total), true
	case "budget_consumed":
		return decimal(s.Budget.Consumed), true
	case "budget_remaining":
		return decimal(s.Budget.Remaining), true
	case "coverage":
		return decimal(s.Coverage), true
	case "budget_remaining_ratio":
		return optional(s.Budget.RemainingRatio)
	}
	for _, b := range s.BurnRates {
		if field == burnField+b.Window.String() {
			return optional(b.Rate)
		}
	}
	return slo.Decimal{}, false
}

func optional(v *float64) (slo.Decimal, bool) {
	if v == nil {
		return slo.Decimal{}, false
	}
	return decimal(*v), true
}

// decimal writes a float in the fewest digits that tell it from all others.
func decimal(v float64) slo.Decimal {
	d, err := slo.ParseDecimal(strconv.FormatFloat(v, 'f', -1, 64))
	if err != nil {
		d, _ = slo.ParseDecimal(strconv.FormatFloat(v, 'e', -1, 64)) // over 30 digits on a side
	}
	return d
}

func tiersIn(s *slo.Status, state string) []string {
	var out []string
	for _, a := range s.Alerts {
		if a.State == state {
			out = append(out, a.Tier)
		}
	}
	slices.Sort(out)
	return out
}

// check compares all alerts of a name. Exact ones have no annotation that is not expected, as in promtool; of an SLO's, what is not named is
// not compared.
func (c *AlertCase) check(firing []Alert, exact bool) []Failure {
	var want, got []string
	for _, a := range firing {
		if a.Labels[labels.AlertName] != c.Name {
			continue
		}
		if !exact { // show no more annotations than some expectation names
			as := map[string]string{}
			for _, e := range c.Expect {
				for name := range e.Annotations {
					if v, ok := a.Annotations[name]; ok && maps.Equal(e.Labels, a.Labels) {
						as[name] = v
					}
				}
			}
			a.Annotations = as
		}
		got = append(got, a.String())
	}
	for _, a := range c.Expect {
		want = append(want, a.String())
	}
	return differ(c.Place, c.At, "alert "+c.Name, want, got)
}

// String writes labels and annotations as Prometheus does.
func (a Alert) String() string {
	s := labels.FromMap(a.Labels).String()
	if len(a.Annotations) > 0 {
		s += " annotations " + labels.FromMap(a.Annotations).String()
	}
	return s
}

func (c *ExprCase) check(found []Sample, fuzzy bool) []Failure {
	slices.SortFunc(found, func(a, b Sample) int { return strings.Compare(a.Labels, b.Labels) })
	if slices.EqualFunc(c.Expect, found, func(a, b Sample) bool { return a.Labels == b.Labels && near(a.Value, b.Value, fuzzy) }) {
		return nil
	}
	text := func(ss []Sample) (out []string) {
		for _, s := range ss {
			out = append(out, s.Labels+" "+strconv.FormatFloat(s.Value, 'g', -1, 64))
		}
		return out
	}
	return differ(c.Place, c.At, c.Expr, text(c.Expect), text(found))
}

// differ tells which lines of two sets are not in the other.
func differ(p Place, at bus.Time, subject string, want, got []string) []Failure {
	missing, extra := without(want, got), without(got, want)
	if len(missing)+len(extra) == 0 {
		return nil
	}
	return []Failure{{p, offset(at), subject, missing, extra}}
}

// without returns what is in a and not in b, as often as it is more often there.
func without(a, b []string) []string {
	out, rest := []string{}, slices.Clone(b)
	for _, s := range a {
		if i := slices.Index(rest, s); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// offset writes how long after the start something was.
func offset(t bus.Time) string { return slo.Duration(t).String() }

// near reports whether two floats are the same, or but for their last bit.
func near(x, y float64, fuzzy bool) bool {
	return x == y || math.IsNaN(x) && math.IsNaN(y) || fuzzy && (math.Nextafter(x, math.Inf(-1)) == y || math.Nextafter(x, math.Inf(1)) == y)
}
