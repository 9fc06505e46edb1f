package native

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/promql"
	"evenkeel.dev/slo/zone"
)

var update = flag.Bool("update", false, "write what is compiled now into the golden files and the table of the docs")

// oneYear keeps the golden files short: the rules of one year.
func oneYear(name string) (slo.Zone, error) {
	return zone.Load(name, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
}

func compiler(t testing.TB) *Compiler {
	t.Helper()
	c, err := New(Config{Compile: promql.Compile, Form: promql.Form, Zone: oneYear})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func documents(t testing.TB, text string) []mesh.Document {
	t.Helper()
	docs, ps := yaml.Parse("slo.yaml", []byte(text))
	if len(ps) > 0 || len(docs) == 0 {
		t.Fatalf("%d documents, problems %v", len(docs), ps)
	}
	return docs
}

// compiled returns the objective of a document as it is before the engine judges whether it can count it.
func compiled(t testing.TB, text string) (slo.Objective, mesh.Definition, []mesh.Problem) {
	t.Helper()
	c := compiler(t)
	r := &run{cfg: c.cfg, claims: map[string]mesh.Ref{}, targets: map[mesh.Ref]*mesh.Definition{}}
	d := documents(t, text)[0]
	def := mesh.Definition{Ref: d.Ref()}
	o, ok := r.objective(&d, &def)
	if ok != (len(r.problems) == 0) {
		t.Errorf("ok is %t with problems %v", ok, r.problems)
	}
	return o, def, mesh.SortProblems(r.problems)
}

// slospec makes a document of the lines of its spec.
func slospec(lines ...string) string {
	return "apiVersion: evenkeel.dev/v1beta1\nkind: SLO\nmetadata: {name: a, namespace: n}\nspec:\n  " + strings.Join(lines, "\n  ") + "\n"
}

// base is a whole spec, with some of its lines replaced by those that have the same key, and more added.
func base(lines ...string) string {
	spec := []string{"targetRef: {kind: Service, name: s}", "objective: 99.9%", "sli: {source: istio, availability: {}}"}
	for _, l := range lines {
		key, _, _ := strings.Cut(l, ":")
		replaced := false
		for i := range spec {
			if strings.HasPrefix(spec[i], key+":") {
				spec[i], replaced = l, true
			}
		}
		if !replaced {
			spec = append(spec, l)
		}
	}
	return slospec(spec...)
}

// A compiler without its functions would crash on the first file instead of at the start.
func TestNewNeedsFunctions(t *testing.T) {
	for _, c := range []Config{
		{Form: promql.Form, Zone: oneYear}, {Compile: promql.Compile, Zone: oneYear}, {Compile: promql.Compile, Form: promql.Form},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v: something is missing and nobody says so", c)
		}
	}
}

// An objective would lose digits, or be taken for another one.
func TestObjectivesAreExact(t *testing.T) {
	for text, want := range map[string]string{
		"99.9%": "0.999", "99.999%": "0.99999", "90%": "0.9", "33.3%": "0.333", "99.9990005493164%": "0.999990005493164", `"99.90%"`: "0.999",
		"99.9":                                "spec.objective must be a percentage, found a number (99.9) (write 99.9%)",
		"0.999":                               "spec.objective must be a percentage, found a number (0.999) (write 99.9%)",
		`"99.9"`:                              `found the string "99.9" (write 99.9%)`,
		`"99.9 %"`:                            `found the string "99.9 %" (write 99.9%)`,
		"true":                                "found a boolean (true) (write for example 99.9%)",
		"[]":                                  "found a list (write for example 99.9%)",
		"100%":                                "an objective of 100% leaves no budget at all",
		"101%":                                "must be above 0% and at most 100%",
		"0%":                                  "must be above 0% and at most 100%",
		"-5%":                                 "must be a percentage",
		"1e1%":                                "must be a percentage",
		"99." + strings.Repeat("9", 27) + "%": "must be a percentage",
		"null":                                "spec.objective is missing",
	} {
		o, _, ps := compiled(t, base("objective: "+text))
		got := o.Target.String()
		if len(ps) > 0 {
			got = ps[0].String()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// A window, a method or a rule for missing data would count something else than was written.
func TestWindowsAndMethods(t *testing.T) {
	berlin, err := oneYear("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	utc, err := oneYear("UTC")
	if err != nil {
		t.Fatal(err)
	}
	duration := func(text string) slo.Duration {
		d, err := slo.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	calendar := func(unit, usual, start string, z slo.Zone) slo.Window {
		return slo.Window{Type: slo.WindowCalendar, Duration: duration(usual), Calendar: &slo.Calendar{Unit: unit, Count: 1, Start: start, Zone: z}}
	}
	rolling := slo.Window{Type: slo.WindowRolling, Duration: duration("30d")}
	type want struct {
		Window slo.Window
		Method string
		Slice  *slo.Slice
		NoData string
		Type   string
	}
	for _, c := range []struct {
		lines []string
		want  want
	}{
		{nil, want{rolling, slo.MethodOccurrences, nil, "", ""}},
		{[]string{"type: Monitored", "onNoData: Hold"}, want{rolling, slo.MethodOccurrences, nil, "", ""}},
		{[]string{"type: Actionable", "onNoData: Exclude", "window: {rolling: 7d}"}, want{slo.Window{Type: slo.WindowRolling, Duration: duration("7d")}, slo.MethodOccurrences, nil, slo.NoDataExclude, slo.TypeActionable}},
		{[]string{"window: {calendar: Day, timeZone: Europe/Berlin}"}, want{calendar(slo.UnitDay, "1d", "2020-01-01 00:00:00", berlin), slo.MethodOccurrences, nil, "", ""}},
		{[]string{"window: {calendar: Week, timeZone: Europe/Berlin}"}, want{calendar(slo.UnitWeek, "7d", "2020-01-06 00:00:00", berlin), slo.MethodOccurrences, nil, "", ""}},
		{[]string{"window: {calendar: Month}"}, want{calendar(slo.UnitMonth, "30d", "2020-01-01 00:00:00", utc), slo.MethodOccurrences, nil, "", ""}},
		{[]string{"window: {calendar: Quarter}"}, want{calendar(slo.UnitQuarter, "91d", "2020-01-01 00:00:00", utc), slo.MethodOccurrences, nil, "", ""}},
		{[]string{"window: {calendar: Year}"}, want{calendar(slo.UnitYear, "365d", "2020-01-01 00:00:00", utc), slo.MethodOccurrences, nil, "", ""}},
		{[]string{"budgeting: {method: Timeslices, slice: {length: 1m, target: 95%}}", "onNoData: Good"},
			want{rolling, slo.MethodTimeslices, &slo.Slice{Length: duration("1m"), Target: slo.MustDecimal("0.95")}, slo.NoDataGood, ""}},
		{[]string{"budgeting: {method: Timeslices, slice: {length: 10s, target: 100%}}", "onNoData: Bad"},
			want{rolling, slo.MethodTimeslices, &slo.Slice{Length: duration("10s"), Target: slo.MustDecimal("1")}, slo.NoDataBad, ""}},
		{[]string{"budgeting: {method: RatioTimeslices, slice: {length: 1h}}"}, want{rolling, slo.MethodRatioTimeslices, &slo.Slice{Length: duration("1h")}, "", ""}},
	} {
		o, _, ps := compiled(t, base(c.lines...))
		if len(ps) > 0 {
			t.Errorf("%v: %v", c.lines, ps)
			continue
		}
		got := want{o.Window, o.Method, o.Slice, o.OnNoData, o.Type}
		if d := cmp.Diff(c.want, got, cmp.Comparer(func(a, b slo.Decimal) bool { return a.Rat().Cmp(b.Rat()) == 0 })); d != "" {
			t.Errorf("%v (-want +got):\n%s", c.lines, d)
		}
	}
}

// A mistake would be told at another place, or not at all.
func TestMistakes(t *testing.T) {
	for line, want := range map[string]string{
		"objectve: 1":                                           `8:3: unknown field "objectve" in spec (did you mean "objective"?)`,
		"globalNamespace: Shop":                                 `8:20: the global namespace "Shop" is not a DNS label`,
		"targetRef: {name: s}":                                  "spec.targetRef.kind is missing (write kind: Service)",
		"targetRef: {kind: Service}":                            "spec.targetRef.name is missing",
		"targetRef: null":                                       "spec.targetRef is missing",
		"type: actionable":                                      `unknown type "actionable" (did you mean "Actionable"?)`,
		"window: {}":                                            "the window is neither rolling nor calendar",
		"window: {rolling: 30 d}":                               `"30 d" is not a duration (write 30d)`,
		"window: {rolling: 1M}":                                 `"1M" is not a duration`,
		"window: {calendar: month}":                             `unknown calendar "month" (did you mean "Month"?)`,
		"window: {rolling: 7d, calendar: Day}":                  "rolling and calendar exclude each other",
		"window: {rolling: 7d, timeZone: UTC}":                  "timeZone belongs to calendar windows",
		"window: {calendar: Day, timeZone: Europe/Berlim}":      `is no time zone of IANA's data 2025c (did you mean "Europe/Berlin"?)`,
		"onNoData: hold":                                        `unknown onNoData "hold" (did you mean "Hold"?)`,
		"onNoData: Good":                                        "onNoData Good has no meaning with the method Occurrences",
		"budgeting: {method: timeslices}":                       `unknown method "timeslices" (did you mean "Timeslices"?)`,
		"budgeting: {method: Timeslices}":                       "the method Timeslices needs a slice (write slice: {length: 1m, target: 95%})",
		"budgeting: {slice: {length: 1m}}":                      "a slice belongs to the methods Timeslices and RatioTimeslices",
		"budgeting: {method: Timeslices, slice: {length: 1m}}":  "spec.budgeting.slice.target is missing",
		"budgeting: {method: Timeslices, slice: {target: 95%}}": "spec.budgeting.slice.length is missing",
		"budgeting: {method: Timeslices, slice: {length: 5s, target: 95%}}":      "a slice of 5s is not possible",
		"budgeting: {method: Timeslices, slice: {length: 1500ms, target: 95%}}":  "a slice of 1s500ms is not possible",
		"budgeting: {method: RatioTimeslices, slice: {length: 1m, target: 95%}}": "a slice's target belongs to the method Timeslices",
		"budgeting: {method: Timeslices, slice: {length: 1m, target: 0.95}}":     "spec.budgeting.slice.target must be a percentage, found a number (0.95) (write 95%)",
		"sli: null":            "spec.sli is missing",
		"sli: {}":              "the SLI has neither a source nor queries",
		"sli: {source: istio}": "nothing is asked of the source (write availability: {} or latency: {threshold: 300ms})",
		"sli: {source: nginx-ingress, availability: {}}":                               `unknown source "nginx-ingress" (one of istio, envoy,`,
		"sli: {source: istio, availability: {}, good: a}":                              "source and good exclude each other",
		"sli: {source: istio, availability: {}, latency: {threshold: 1s}}":             "availability and latency exclude each other",
		"sli: {source: istio, latency: {}}":                                            "spec.sli.latency.threshold is missing",
		"sli: {source: istio, latency: {threshold: 300}}":                              "threshold must be a string, found a number (300)",
		"sli: {source: istio, latency: {threshold: 300ms}}":                            "no bucket of the source istio ends at 300ms, so that how many were as fast is not known (write 250ms or 500ms; or interpolate: true; or",
		"sli: {source: otel-http, latency: {threshold: 1ms}}":                          "(the least is 5ms; or",
		"sli: {source: linkerd, latency: {threshold: 2m}}":                             "(the greatest is 50s; or",
		"sli: {source: istio, availability: {errors: []}}":                             "errors has 0 items",
		"sli: {source: istio, availability: {errors: [600]}}":                          "a number (600) is no status of the source istio (write a status as 429",
		"sli: {source: istio, availability: {errors: [5x]}}":                           `(did you mean "5xx"?)`,
		"sli: {source: istio, availability: {errors: [null]}}":                         "item 1 of spec.sli.availability.errors is empty",
		"sli: {source: grpc, availability: {errors: [Unavailible]}}":                   `(did you mean "Unavailable"?)`,
		"sli: {source: istio, availability: {errors: [5xx], tanzuErrors: true}}":       "errors and tanzuErrors exclude each other",
		"sli: {source: istio, availability: {}, match: {response_code: '200'}}":        "the source istio asks for the label response_code itself",
		"sli: {source: ingress-nginx, availability: {}, match: {exported_service: a}}": "asks for the label exported_service itself",
		"sli: {source: istio, availability: {}, match: {a-b: c}}":                      `"a-b" is not the name of a label`,
		"sli: {source: istio, availability: {}, match: {a: 1}}":                        "must be a string",
		"sli: {good: a_total}":                                                         "the SLI has no total",
		"sli: {total: a_total}":                                                        "the SLI has neither good nor bad",
		"sli: {good: a_total, bad: b_total, total: c_total}":                           "good and bad exclude each other",
		"sli: {good: a_total, total: c_total, match: {a: b}}":                          "match belongs to a source",
		"sli: {good: 'avg(a_total)', total: c_total}":                                  "7:16: ",
		"sli: {good: 'rate(a_total[5m])', total: c_total}":                             "they have different scales",
		"composite: {members: [{service: a, slo: b}]}":                                 "sli and composite exclude each other",
		"groupBy: {max: 5}":                         "spec.groupBy.labels is missing (write for example labels: [region])",
		"groupBy: {label: [a]}":                     `did you mean "labels"?`,
		"groupBy: {labels: []}":                     "there are no labels to group by",
		"groupBy: {labels: region}":                 "spec.groupBy.labels must be a list",
		"groupBy: {labels: [null]}":                 "an empty name of a label",
		"groupBy: {labels: [a, '']}":                "8:25: an empty name of a label",
		"groupBy: {labels: [a, __name__]}":          `8:25: "__name__" cannot tell groups`,
		"groupBy: {labels: [a, a]}":                 `8:25: the label "a" stands twice`,
		"groupBy: {labels: [a, b, c, d]}":           "4 labels; at most 3 are allowed",
		"groupBy: {labels: [response_code]}":        `8:22: the label "response_code" tells good events from bad ones`,
		"groupBy: {labels: [a], max: 0}":            "0 is no number of groups from 1 to 1000 (it is 100 where none is written)",
		"groupBy: {labels: [a], max: 1001}":         "1001 is no number of groups",
		"groupBy: {labels: [a], max: 1.5}":          "spec.groupBy.max must be a whole number",
		"groupBy: {labels: [a], alerts: Rollup}":    `unknown alerts "Rollup" (did you mean "RollUp"?)`,
		"alerts: {budgetSpent: [half]}":             `"half" is no share of the budget`,
		"alerts: {budgetSpent: [50%, 50%]}":         "50% stands twice",
		"alerts: {exhaustion: 3}":                   "spec.alerts.exhaustion",
		"alerts: {burnRate: {tiers: [page]}}":       `unknown tier "page" (did you mean "Page"?)`,
		"alerts: {burnRate: {tiers: [Page, Page]}}": "the tier Page stands twice",
		"alerts: {notifyRefs: [{}]}":                "notifyRefs[0].name is missing",
		"alerts: {notifyRefs: [{name: A}]}":         "is not a DNS label",
		"alerts: {runbook: wiki}":                   "the runbook is not an http or https URL",
	} {
		_, _, ps := compiled(t, base(line))
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

// Two SLOs would both decide over a service, or count under one name.
func TestClaims(t *testing.T) {
	c := compiler(t)
	first, ps := c.Compile(documents(t, base("type: Actionable")), nil)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if d := cmp.Diff([]string{"actionable/default/s", "slo/default/s/a"}, first[0].Claims); d != "" {
		t.Error(d)
	}
	for _, e := range []struct{ text, want string }{
		{strings.Replace(base("type: Actionable"), "name: a,", "name: b,", 1), `the one Actionable SLO of service "s" in global namespace "default" is defined by SLO n/a already`},
		{strings.Replace(base(), "namespace: n", "namespace: m", 1), `the objective "a" of service "s" in global namespace "default" is defined by SLO n/a already`},
		{strings.Replace(base(), "name: a,", "name: b,", 1), ""},
		{base("type: Actionable", "objective: 99%"), ""}, // the same one, changed
		{strings.Replace(base("type: Actionable", "globalNamespace: other"), "namespace: n", "namespace: m", 1), ""},
	} {
		_, ps := c.Compile(documents(t, e.text), first)
		if got := fmt.Sprint(ps); e.want == "" && len(ps) > 0 || !strings.Contains(got, e.want) {
			t.Errorf("%s: want %q", got, e.want)
		}
	}
	other := strings.Replace(base("type: Actionable"), "name: a,", "name: b,", 1)
	if _, ps := c.Compile(documents(t, base("type: Actionable")+"---\n"+other), nil); len(ps) != 1 {
		t.Errorf("two actionable SLOs in one file: %v", ps)
	}
}

// An alert would go to nobody, to another team, or carry less than was written.
func TestAlerts(t *testing.T) {
	o, def, ps := compiled(t, base("description: Hello", "alerts: {burnRate: {tiers: [Page]}, notifyRefs: [{name: t}, {name: u, namespace: m}], runbook: 'https://a.example.com/x'}"))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	all, _ := slo.DefaultTiers(o.Target, o.Window.Duration)
	want := slo.Alerting{Tiers: all[:1], Notify: []string{"t", "u"}, Runbook: "https://a.example.com/x", Annotations: map[string]string{"description": "Hello"}}
	decimals := cmp.Comparer(func(a, b slo.Decimal) bool { return a.String() == b.String() })
	if d := cmp.Diff(want, o.Alerting, decimals); d != "" {
		t.Error(d)
	}
	target := func(namespace, name string) mesh.Ref {
		return mesh.Ref{APIVersion: kindTarget.APIVersion, Kind: kindTarget.Kind, Namespace: namespace, Name: name}
	}
	if d := cmp.Diff([]mesh.Ref{target("n", "t"), target("m", "u")}, def.References); d != "" {
		t.Error(d)
	}
	for line, want := range map[string]slo.Alerting{
		"alerts: {}": {}, "alerts: {burnRate: {tiers: [Ticket, Page]}}": {}, "alerts: {burnRate: {}}": {}, "alerts: {burnRate: {tiers: []}}": {Disabled: true},
	} {
		if o, _, ps := compiled(t, base(line)); len(ps) > 0 || !cmp.Equal(want, o.Alerting, decimals) {
			t.Errorf("%s: %v %s", line, ps, cmp.Diff(want, o.Alerting, decimals))
		}
	}
	if _, _, ps := compiled(t, base("window: {rolling: 1h}", "alerts: {burnRate: {tiers: [Ticket]}}")); len(ps) != 1 || !strings.Contains(ps[0].String(), "could never fire (tier ticket: pair 1d/2h is left out: the long window") {
		t.Errorf("a tier that cannot fire: %v", ps)
	}
	elsewhere := []mesh.Definition{{Ref: target("n", "t"), GlobalNamespace: "web"}}
	_, ps = compiler(t).Compile(documents(t, base("globalNamespace: shop", "alerts: {notifyRefs: [{name: t}]}")), elsewhere)
	if len(ps) != 1 || !strings.Contains(ps[0].Message, `the target "t" belongs to global namespace "web", the SLO to "shop"`) {
		t.Errorf("a target of another team: %v", ps)
	}
}

// A document from anywhere would crash the engine, or reach the stage although it would refuse it.
func FuzzCompile(f *testing.F) {
	raw, err := os.ReadFile("../../docs/kinds-slo.md")
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range blocks(string(raw)) {
		f.Add(b)
	}
	f.Add(base("sli: {source: otel-http, availability: {errors: [null, 1, {}]}, match: {job: '('}}", "targetRef: {kind: 1, name: '((('}"))
	f.Add(base("window: {calendar: Month, timeZone: ''}", "alerts: {notifyRefs: [null, 1, {name: 1}], burnRate: {tiers: [null, 1]}}"))
	f.Add(base("sli: {source: envoy, latency: {threshold: 1234567s, anyBucket: true}}"))
	c := compiler(f)
	f.Fuzz(func(t *testing.T, text string) {
		docs, _ := yaml.Parse("f.yaml", []byte(text))
		for i := range docs {
			docs[i].APIVersion, docs[i].Kind = APIVersion, KindSLO
			ds, ps := c.Compile(docs[i:i+1], nil)
			if len(ps) > 0 {
				continue
			}
			if len(ds) != 1 || len(ds[0].Compiled) == 0 {
				t.Fatalf("no problem and no objective: %s", text)
			}
			again, ps := c.Compile(docs[i:i+1], ds)
			if diff := cmp.Diff(ds, again); diff != "" || len(ps) > 0 {
				t.Fatalf("compiling again gives something else: %v\n%s", ps, diff)
			}
		}
	})
}

// Alerts on the budget would be taken and never fire, or fire at nonsense: they compile to what the engine decides by, and are checked.
func TestBudgetAlerts(t *testing.T) {
	o, _, ps := compiled(t, base("alerts: {budgetSpent: [50%, 99.5%], exhaustion: 3d, absent: 10m, lowTrafficGuard: false}"))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	var got []string
	for _, tier := range o.Tiers() {
		got = append(got, tier.Name+" "+tier.Severity)
	}
	want := []string{"page page", "ticket ticket", "budget-50 ticket", "budget-99-5 ticket", "exhaustion ticket", "absent ticket"}
	if d := cmp.Diff(want, got); d != "" || !o.Alerting.Unguarded {
		t.Errorf("unguarded %t; tiers (-want +got):\n%s", o.Alerting.Unguarded, d)
	}
	_, ps = compiler(t).Compile(documents(t, base("alerts: {absent: 5s}")), nil)
	if len(ps) != 1 || !strings.Contains(ps[0].Message, "data are absent after 1m at the least") {
		t.Errorf("absent after 5s: %v", ps)
	}
}

// One definition would not become one SLO for each region, or with another bound, or others would be paged.
func TestGroups(t *testing.T) {
	for line, want := range map[string]slo.Objective{
		"groupBy: {labels: [region]}":                                {GroupBy: []string{"region"}},
		"groupBy: {labels: [region, zone], max: 50, alerts: RollUp}": {GroupBy: []string{"region", "zone"}, MaxGroups: 50, GroupAlerts: slo.GroupAlertsRollUp},
		"groupBy: {labels: [region], alerts: Groups}":                {GroupBy: []string{"region"}, GroupAlerts: slo.GroupAlertsGroups},
		"groupBy: {labels: [region], alerts: Both}":                  {GroupBy: []string{"region"}, GroupAlerts: slo.GroupAlertsBoth},
		"groupBy: null": {},
	} {
		ds, ps := compiler(t).Compile(documents(t, base(line)), nil)
		if len(ps) > 0 {
			t.Errorf("%s: %v", line, ps)
			continue
		}
		var os []slo.Objective
		if err := json.Unmarshal(ds[0].Compiled, &os); err != nil || len(os) != 1 {
			t.Fatal(err, len(os))
		}
		got := slo.Objective{GroupBy: os[0].GroupBy, MaxGroups: os[0].MaxGroups, GroupAlerts: os[0].GroupAlerts}
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b slo.Decimal) bool { return a.String() == b.String() })); d != "" {
			t.Errorf("%s (-want +got):\n%s", line, d)
		}
	}
}

// A promise of 300 ms could not be kept for a source that has buckets of 250 and 500 ms: with interpolate the requests of that bucket are
// taken to be spread evenly, which one can read off the terms.
func TestInterpolate(t *testing.T) {
	for threshold, want := range map[string]string{
		"300ms": "0.800000 le=250 0.200000 le=500",
		"120ms": "0.866667 le=100 0.133333 le=250",
		"250ms": "1 le=250",
	} {
		o, _, ps := compiled(t, base("sli: {source: istio, latency: {threshold: "+threshold+", interpolate: true}}"))
		if len(ps) > 0 {
			t.Errorf("%s: %v", threshold, ps)
			continue
		}
		var got []string
		for _, term := range o.SLI.Good.Terms {
			for _, m := range term.Selector.Matchers() {
				if m.Name == "le" {
					le, _, _ := strings.Cut(m.Value, "(")
					got = append(got, term.Factor.String()+" le="+strings.TrimSuffix(le, `\.?0*`))
				}
			}
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s: %s, want %s", threshold, g, want)
		}
	}
	for line, want := range map[string]string{
		"sli: {source: istio, latency: {threshold: 2h, interpolate: true}}":    "the greatest is 1h",
		"sli: {source: istio, interpolate: true, latency: {threshold: 300ms}}": "interpolate stands beside the threshold",
		"sli: {source: istio, latency: {threshold: 250ms, percentile: 99}}":    "a percentile says whether a slice of time is good, and Occurrences has none",
	} {
		if _, _, ps := compiled(t, base(line)); len(ps) != 1 || !strings.Contains(ps[0].String(), want) {
			t.Errorf("%s: %v", line, ps)
		}
	}
}
