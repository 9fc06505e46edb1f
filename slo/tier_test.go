package slo

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

// A user would be paged too early or never: the factors keep the budget share for every window, and pairs that can never fire are
// left out with a note.
func TestDefaultTiers(t *testing.T) {
	for _, c := range []struct {
		target, window, want string
		notes                int
	}{
		{"0.999", "30d", "page 1h/5m 14.4, page 6h/30m 6, ticket 1d/2h 3, ticket 3d/6h 1", 0},
		{"0.999", "28d", "page 1h/5m 13.44, page 6h/30m 5.6, ticket 1d/2h 2.8, ticket 3d/6h 0.933333", 0},
		{"0.999", "7d", "page 1h/5m 3.36, page 6h/30m 1.4, ticket 1d/2h 1, ticket 3d/6h 1", 2},
		{"0.99", "90d", "page 1h/5m 43.2, page 6h/30m 18, ticket 1d/2h 9, ticket 3d/6h 3", 0},
		{"0.9", "30d", "page 6h/30m 6, ticket 1d/2h 3, ticket 3d/6h 1", 1},
		{"0.5", "30d", "ticket 3d/6h 1", 3},
		{"0.99", "1d", "page 1h/5m 1, page 6h/30m 1", 6},
	} {
		window, err := ParseDuration(c.window)
		if err != nil {
			t.Fatal(err)
		}
		tiers, notes := DefaultTiers(MustDecimal(c.target), window)
		var got []string
		for _, tier := range tiers {
			for _, p := range tier.Pairs {
				got = append(got, tier.Name+" "+p.Long.String()+"/"+p.Short.String()+" "+p.Factor.String())
			}
		}
		if d := cmp.Diff(c.want, strings.Join(got, ", ")); d != "" || len(notes) != c.notes {
			t.Errorf("%s over %s, notes %q (-want +got):\n%s", c.target, c.window, notes, d)
		}
	}
}

// A user would write an alert that can never fire and believe to be safe.
func TestValidateTiersRefuses(t *testing.T) {
	pair := func(long, short bus.Time, factor string) BurnPair {
		return BurnPair{Long: Duration(long), Short: Duration(short), Factor: MustDecimal(factor)}
	}
	tier := func(name, severity string, ps ...BurnPair) []Tier {
		return []Tier{{Name: name, Severity: severity, Pairs: ps}}
	}
	for want, tiers := range map[string][]Tier{
		"":                                     tier("page", "page", pair(bus.Hour, 5*bus.Minute, "14.4")),
		"can never be exceeded":                tier("page", "page", pair(bus.Hour, 5*bus.Minute, "1000")),
		"not above 0":                          tier("page", "page", pair(bus.Hour, 5*bus.Minute, "0")),
		"not shorter":                          tier("page", "page", pair(bus.Hour, bus.Hour, "2")),
		"below 30s":                            tier("page", "page", pair(bus.Hour, bus.Second, "2")),
		"longer than half":                     tier("page", "page", pair(20*bus.Day, bus.Hour, "2")),
		"is neither":                           tier("page", "urgent", pair(bus.Hour, 5*bus.Minute, "2")),
		"has 0 window pairs":                   tier("page", "page"),
		"has no name":                          tier("", "page", pair(bus.Hour, 5*bus.Minute, "2")),
		"stands twice":                         append(tier("a", "page", pair(bus.Hour, 5*bus.Minute, "2")), tier("a", "page", pair(bus.Hour, 5*bus.Minute, "2"))...),
		"different windows (5m included); at ": append(tier("a", "page", pair(3*bus.Hour, 1*bus.Minute, "2"), pair(4*bus.Hour, 2*bus.Minute, "2")), tier("b", "page", pair(5*bus.Hour, 3*bus.Minute, "2"), pair(6*bus.Hour, 4*bus.Minute, "2"))...),
	} {
		err := ValidateTiers(tiers, MustDecimal("0.999"), Duration(30*bus.Day))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// A user would get counts of a definition that means nothing: objectives are checked before they are taken.
func TestObjectiveValidate(t *testing.T) {
	for want, change := range map[string]func(*Objective){
		"":                 func(*Objective) {},
		"needs a global":   func(o *Objective) { o.Service = "" },
		"not above 0":      func(o *Objective) { o.Target = MustDecimal("1") },
		"leaves a budget":  func(o *Objective) { o.Target = MustDecimal("0.99999999999") },
		"window's type":    func(o *Objective) { o.Window.Type = "lunar" },
		"needs a calendar": func(o *Objective) { o.Window.Type = WindowCalendar },
		"has no calendar":  func(o *Objective) { o.Window.Calendar = &Calendar{} },
		"is spoken of as": func(o *Objective) {
			o.Window = NewCalendarWindow(Calendar{Unit: UnitMonth, Count: 1, Start: "2026-01-01 00:00:00", Zone: Zone{Offsets: []Offset{{}}}})
			o.Window.Duration = Duration(31 * bus.Day)
		},
		"needs the length": func(o *Objective) { o.Method = MethodTimeslices },
		"whole seconds": func(o *Objective) {
			o.Method, o.Slice = MethodTimeslices, &Slice{Length: 1500, Target: MustDecimal("1")}
		},
		"slices' target": func(o *Objective) { o.Method, o.Slice = MethodTimeslices, &Slice{Length: Duration(bus.Minute)} },
		"counts events":  func(o *Objective) { o.Slice = &Slice{} },
		"needs slices":   func(o *Objective) { o.OnNoData = NoDataBad },
		"onNoData":       func(o *Objective) { o.OnNoData = "Panic" },
		"shorter than a slice": func(o *Objective) {
			o.Method, o.Slice = MethodRatioTimeslices, &Slice{Length: Duration(10 * bus.Minute)}
			o.Alerting.Tiers = []Tier{{Name: "page", Severity: "page", Pairs: []BurnPair{{Long: Duration(bus.Hour), Short: Duration(5 * bus.Minute), Factor: MustDecimal("2")}}}}
		},
		"is not between 1h":  func(o *Objective) { o.Window.Duration = Duration(bus.Minute) },
		"budgeting method":   func(o *Objective) { o.Method = "Guesses" },
		"exactly one":        func(o *Objective) { o.SLI.Bad = o.SLI.Good },
		"has 0 terms":        func(o *Objective) { o.SLI.Total.Terms = nil },
		"an empty selector":  func(o *Objective) { o.SLI.Total.Terms = []Term{{Factor: MustDecimal("1")}} },
		"the factor 0 of a":  func(o *Objective) { o.SLI.Good.Terms[0].Factor = Decimal{} },
		"has 0 window pairs": func(o *Objective) { o.Alerting.Tiers = []Tier{{Name: "page", Severity: "page"}} },
		"beyond a million":   func(o *Objective) { o.SLI.Good.Terms[0].Factor = MustDecimal("1e9") },
	} {
		o := simObjective(t, "0.999", "30d")
		change(&o)
		err := o.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
