package native

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// journey makes a document of a composite, with more lines of its spec.
func journey(lines ...string) string {
	return slospec(append([]string{"targetRef: {kind: Service, name: shop}", "objective: 99%"}, lines...)...)
}

// A journey would be joined otherwise than written, over other members, or begin anew by a change that means nothing.
func TestComposites(t *testing.T) {
	const members = "members: [{service: cart, slo: requests, weight: 2, objective: 99.9%}, {service: pay, slo: requests_eu-1, objective: 100%}]"
	decimal := slo.MustDecimal
	for method, want := range map[string][]slo.Member{
		"":                       {{Weight: decimal("2"), Target: decimal("1")}, {Weight: decimal("1"), Target: decimal("1")}},
		"method: WeightedMean, ": {{Weight: decimal("2"), Target: decimal("1")}, {Weight: decimal("1"), Target: decimal("1")}},
		"method: Worst, ":        {{Weight: decimal("1"), Target: decimal("1")}, {Weight: decimal("1"), Target: decimal("1")}},
		"method: AllMustHold, ":  {{Weight: decimal("1"), Target: decimal("0.999")}, {Weight: decimal("1"), Target: decimal("1")}},
	} {
		want[0].Service, want[0].Name, want[1].Service, want[1].Name = "cart", "requests", "pay", "requests_eu-1"
		o, _, ps := compiled(t, journey("composite: {"+method+members+"}", "onNoData: Bad", "alerts: {burnRate: {tiers: [Page]}}"))
		if len(ps) > 0 {
			t.Errorf("%q: %v", method, ps)
			continue
		}
		if err := o.Validate(); err != nil {
			t.Error(err)
		}
		join := strings.TrimSuffix(strings.TrimPrefix(method, "method: "), ", ")
		if join == "" {
			join = slo.JoinWeightedMean
		}
		if o.Composite.Join != join || o.Method != slo.MethodRatioTimeslices || o.OnNoData != slo.NoDataBad || len(o.Tiers()) != 1 {
			t.Errorf("%q: %+v", method, o)
		}
		if d := cmp.Diff(want, o.Composite.Members, cmp.Comparer(func(a, b slo.Decimal) bool { return a.String() == b.String() })); d != "" {
			t.Errorf("%q (-want +got):\n%s", method, d)
		}
	}
}

// A mistake would be told at another place, in other words, or not at all.
func TestMistakesOfComposites(t *testing.T) {
	const one = "{service: a, slo: b}"
	for line, want := range map[string]string{
		"composite: {}":                     "spec.composite.members is missing",
		"composite: {members: []}":          "the composite has no members",
		"composite: {members: [null]}":      "member 1 is empty",
		"composite: {members: " + one + "}": "spec.composite.members must be a list",
		"composite: {members: [" + strings.Repeat(one+", ", 50) + one + "]}": "the composite has 51 members; at most 50 are taken",
		"composite: {method: worst, members: [" + one + "]}":                 `unknown method "worst" (did you mean "Worst"?)`,
		"composite: {members: [{slo: b}]}":                                   "spec.composite.members[0].service is missing",
		"composite: {members: [{service: a}]}":                               "spec.composite.members[0].slo is missing",
		"composite: {members: [{service: a, name: b}]}":                      `unknown field "name"`,
		"composite: {members: [{service: A, slo: b}]}":                       `the service "A" is not a DNS label`,
		"composite: {members: [{service: a, slo: B_x}]}":                     `the slo "B_x" is not a DNS label`,
		"composite: {members: [" + one + ", " + one + "]}":                   "a/b is a member twice",
		"composite: {members: [{service: shop, slo: a}]}":                    "the composite is a member of itself",
		"composite: {members: [{service: a, slo: b, weight: 0}]}":            "must be a number above 0 and at most a million, found a number (0)",
		"composite: {members: [{service: a, slo: b, weight: '2'}]}":          `found the string "2"`,
		"composite: {members: [{service: a, slo: b, objective: 99}]}":        "must be a percentage, found a number (99) (write 99%)",
		"composite: {method: AllMustHold, members: [" + one + "]}":           "spec.composite.members[0].objective is missing",
		"composite: {members: [" + one + "]}\n  budgeting: {}":               "a composite counts minutes",
		"composite: {members: [" + one + "]}\n  groupBy: {labels: [a]}":      "a composite has no series to group by",
		"composite: {members: [" + one + "]}\n  sli: {source: istio}":        "sli and composite exclude each other",
		"composite: 1": "spec.composite must be a map",
	} {
		_, _, ps := compiled(t, journey(line))
		var said strings.Builder
		for _, p := range ps {
			said.WriteString(p.String() + "\n")
			if p.Line == 0 {
				t.Errorf("%s: no place: %s", line, p)
			}
		}
		if !strings.Contains(said.String(), want) {
			t.Errorf("%s:\n%swant %s", line, said.String(), want)
		}
	}
}

// A journey over one that cannot be a member would be UNKNOWN for ever, and nobody would know why.
func TestMembersThatCannotBe(t *testing.T) {
	const slices = "budgeting: {method: Timeslices, slice: {length: 1m, target: 95%}}"
	joint := strings.Replace(journey("composite: {members: [{service: s, slo: a}, {service: s, slo: later}]}"), "name: a,", "name: joint,", 1)
	over := strings.Replace(journey("composite: {members: [{service: shop, slo: joint}]}"), "name: a,", "name: over,", 1)
	c := compiler(t)
	for _, e := range []struct{ before, text, want string }{
		{base(), joint, ""},
		{"", base() + "---\n" + joint, ""},
		{base(slices), joint, "s/a counts slices of time; members count events"},
		{"", joint + "---\n" + base(slices), "s/a counts slices of time; members count events"},
		{base(slices), joint + "---\n" + base(), ""}, // it counts events from now on
		{joint, over, "shop/joint is a composite itself"},
		{base(slices, "globalNamespace: other"), joint, ""},
	} {
		var existing []mesh.Definition
		if e.before != "" {
			var ps []mesh.Problem
			if existing, ps = c.Compile(documents(t, e.before), nil); len(ps) > 0 {
				t.Fatal(ps)
			}
		}
		_, ps := c.Compile(documents(t, e.text), existing)
		if e.want == "" && len(ps) > 0 || e.want != "" && (len(ps) != 1 || ps[0].Message != e.want || ps[0].Line == 0) {
			t.Errorf("%s\nbefore %s\n%v, want %q", e.text, e.before, ps, e.want)
		}
	}
}
