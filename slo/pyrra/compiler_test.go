package pyrra

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/promql"
)

// nameOnly compiles METRIC or METRIC{le}, which is all that these tests need; test/convert has the real one.
func nameOnly(query string) (slo.Expr, error) {
	name, bucket := strings.CutSuffix(query, "{le}")
	if name == "" || strings.ContainsAny(name, " {}()[]") {
		return slo.Expr{}, errors.New("not a metric")
	}
	ms := []bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: name}}
	if bucket {
		ms = append(ms, bus.Matcher{Name: "le", Type: bus.MatchEqual, Value: "0.3"})
	}
	s, err := bus.NewSelector(ms)
	return slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: s}}}, err
}

func compiler(t testing.TB) *Compiler {
	c, err := New(Config{Compile: nameOnly, Select: promql.Select, Form: func(q string) string {
		if strings.HasPrefix(q, "rate") {
			return "rate"
		}
		return "counter"
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const text = `{"apiVersion":"pyrra.dev/v1alpha1","kind":"ServiceLevelObjective","metadata":{"name":"a","labels":{"team":"web"},"annotations":{"pyrra.dev/summary":"s","other":"x"}},` +
	`"spec":{"target":"99.95","window":"4w","description":"d","indicator":{"ratio":{"errors":{"metric":"bad"},"total":{"metric":"all"}}}}}`

func document(t testing.TB, text string) mesh.Document {
	t.Helper()
	root, err := mesh.ReadJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	d, ps := mesh.NewDocument("f.json", text, root)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	return d
}

// A compiler without its functions would crash on the first file instead of at the start.
func TestNewNeedsFunctions(t *testing.T) {
	for _, c := range []Config{{Compile: nameOnly, Form: promql.Form}, {Compile: nameOnly, Select: promql.Select}, {Form: promql.Form, Select: promql.Select}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v: something is missing and nobody says so", c)
		}
	}
}

// A file would count something else than Pyrra does.
func TestCompiled(t *testing.T) {
	const want = `[{"globalNamespace":"default","service":"a","name":"a","target":"0.9995","window":{"type":"rolling","duration":"28d"},"method":"Occurrences",` +
		`"sli":{"bad":{"terms":[{"factor":"1","selector":[{"name":"__name__","type":"=","value":"bad"}]}]},"total":{"terms":[{"factor":"1","selector":[{"name":"__name__","type":"=","value":"all"}]}]}},` +
		`"alerting":{"tiers":[{"name":"page-14x","severity":"page","pairs":[{"long":"1h","short":"5m","factor":"14"}]},{"name":"page-7x","severity":"page","pairs":[{"long":"6h","short":"30m","factor":"7"}]},` +
		`{"name":"ticket-2x","severity":"ticket","pairs":[{"long":"1d","short":"2h","factor":"2"}]},{"name":"ticket-1x","severity":"ticket","pairs":[{"long":"4d","short":"6h","factor":"1"}]}],"extra":[{"name":"absent","severity":"page","absent":"2m"}],` +
		`"annotations":{"description":"d","summary":"s"}},"definition":{"apiVersion":"pyrra.dev/v1alpha1","kind":"ServiceLevelObjective","namespace":"default","name":"a"}}]`
	ds, ps := compiler(t).Compile([]mesh.Document{document(t, text)}, nil)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if d := cmp.Diff(want, string(ds[0].Compiled)); d != "" {
		t.Error(d)
	}
	for change, want := range map[string]string{
		`"team":"web" -> "service":"shop"`:                                                 `"service":"shop"`,
		`"team":"web" -> "service":"shop","pyrra.dev/service":"search"`:                    `"service":"search"`,
		`"description":"d" -> "alerting":{"disabled":true}`:                                `"alerting":{"disabled":true`,
		`"description":"d" -> "alerting":{"burnrates":false}`:                              `"alerting":{"disabled":true,"extra":[{"name":"absent","severity":"page","absent":"2m"}]`,
		`"description":"d" -> "alerting":{"absent":false}`:                                 `"factor":"1"}]}],"annotations"`,
		`"ratio":{ -> "ratio":{"grouping":["handler"],`:                                    `"absent":"2m","rollUp":true}],`,
		`"ratio":{ -> "ratio":{"grouping":["handler","job"],`:                              `"groupBy":["handler","job"],"maxGroups":1000`,
		`"ratio":{"errors":{"metric":"bad"} -> "latency":{"success":{"metric":"fast{le}"}`: `"sli":{"good":`,
		`"other":"x" -> "pyrra.dev/runbook_url":"https://r.example.com"`:                   `"runbook":"https://r.example.com"`,
		`"other":"x" -> "evenkeel.dev/global-namespace":"core"`:                            `"globalNamespace":"core"`,
		`"team":"web" -> "evenkeel.dev/global-namespace":"core"`:                           `"globalNamespace":"core"`,
	} {
		from, to, _ := strings.Cut(change, " -> ")
		ds, ps := compiler(t).Compile([]mesh.Document{document(t, strings.Replace(text, from, to, 1))}, nil)
		if len(ps) > 0 || !strings.Contains(string(ds[0].Compiled), want) {
			t.Errorf("%s: %v %s", change, ps, ds[0].Compiled)
		}
	}
}

// Alerts would come at other times than with Pyrra, and nobody would know.
func TestTiers(t *testing.T) {
	for _, c := range []struct{ target, window, want string }{
		{"0.99", "28d", "14 1h/5m, 7 6h/30m, 2 1d/2h, 1 4d/6h"},
		{"0.99", "30d", "14 1h4m/5m, 7 6h26m/32m, 2 1d1h43m/2h9m, 1 4d6h51m/6h26m"},
		{"0.99", "14d", "14 30m/3m, 7 3h/15m, 2 12h/1h, 1 2d/3h"},
		{"0.99", "7d", "14 15m/1m, 7 1h30m/8m, 2 6h/30m, 1 1d/1h30m"},
		{"0.99", "84d", "14 3h/15m, 7 18h/1h30m, 2 3d/6h, 1 12d/18h"},
		{"0.9", "28d", "7 6h/30m, 2 1d/2h, 1 4d/6h; the alert with factor 14 is left out"},
		{"0.99", "1d", "7 13m/1m, 2 51m/4m, 1 3h26m/13m; the alert with factor 14 is left out"},
		{"0.4", "1h", "1 9m/1m; the alert with factor 14 is left out; the alert with factor 7 is left out; the alert with factor 2 is left out"},
		{"0.00001", "28d", "; the alert with factor 14 is left out; the alert with factor 7 is left out; the alert with factor 2 is left out"},
	} {
		window, err := slo.ParseDuration(c.window)
		if err != nil {
			t.Fatal(err)
		}
		target := slo.MustDecimal(c.target)
		tiers, notes, err := Tiers(target, window)
		if err != nil {
			t.Errorf("%s over %s: %v", c.target, c.window, err)
			continue
		}
		var parts []string
		for _, tier := range tiers {
			parts = append(parts, fmt.Sprintf("%s %s/%s", tier.Pairs[0].Factor, tier.Pairs[0].Long, tier.Pairs[0].Short))
		}
		got := strings.Join(parts, ", ")
		for _, n := range notes {
			short, _, _ := strings.Cut(n, ": ")
			got += "; " + short
		}
		if c.target == "0.00001" { // its fourth factor is below the most that can be
			got = strings.TrimPrefix(got, "1 4d/6h")
		}
		if got != c.want {
			t.Errorf("%s over %s: %s, want %s", c.target, c.window, got, c.want)
		}
		if err := slo.ValidateTiers(tiers, target, window); err != nil {
			t.Errorf("%s over %s: %v", c.target, c.window, err)
		}
	}
}

// An objective of any window that the engine takes would be refused for its alerts, or never stop compiling.
func FuzzTiers(f *testing.F) {
	f.Add(int64(28*bus.Day), "0.99")
	f.Add(int64(bus.Hour), "0.5")
	f.Fuzz(func(t *testing.T, window int64, text string) {
		target, err := slo.ParseDecimal(text)
		if err != nil || window < int64(bus.Hour) || window > int64(366*bus.Day) {
			return
		}
		tiers, _, err := Tiers(target, slo.Duration(window))
		if err != nil {
			t.Fatal(err)
		}
		if err := slo.ValidateTiers(tiers, target, slo.Duration(window)); err != nil {
			t.Fatal(err)
		}
	})
}

// A mistake would be told at another place, in other words, or not at all.
func TestMistakes(t *testing.T) {
	for change, want := range map[string]string{
		`"window":"4w" -> "window":"4w","latency":"1"`: `spec.latency: unknown field "latency" in spec`,
		`"99.95" -> 99.95`:      `spec.target: spec.target must be a string, found a number (99.95) (put it in quotes: "99.95")`,
		`"99.95" -> "0.9995"`:   "spec.target: a target of 0.9995 % is hardly meant",
		`"99.95" -> "100"`:      "spec.target: the target must be above 0 and below 100, found 100",
		`"99.95" -> "x"`:        `spec.target: "x" is no decimal number`,
		`"target":"99.95", -> `: "spec.target: spec.target is missing",
		`"window":"4w", -> `:    "spec.window: spec.window is missing",
		`"4w" -> "1y"`:          `spec.window: "1y" is not a duration`,
		`"4w" -> "1m"`:          "spec: the window of 1m is not between 1h and 366d",
		`"ratio":{"errors":{"metric":"bad"},"total":{"metric":"all"}} -> `:                                   "spec.indicator: the SLO has no indicator",
		`"ratio":{ -> "latency":{"success":{"metric":"x{le}"},"total":{"metric":"y"}},"ratio":{`:             "spec.indicator.latency: ratio and latency exclude each other",
		`"metric":"bad" -> "metric":"a b"`:                                                                   "spec.indicator.ratio.errors.metric: not a metric",
		`"metric":"bad" -> "metric":"rate"`:                                                                  "spec.indicator.ratio.errors.metric: the metric must be the selector of one counter",
		`{"metric":"bad"} -> {}`:                                                                             "spec.indicator.ratio.errors.metric: spec.indicator.ratio.errors.metric is missing",
		`"ratio":{ -> "ratio":{"grouping":["a","__b"],`:                                                      `spec.indicator.ratio.grouping[1]: "__b" cannot tell groups`,
		`"ratio":{ -> "ratio":{"grouping":["a","a"],`:                                                        `spec.indicator.ratio.grouping[1]: the label "a" stands twice`,
		`"ratio":{ -> "ratio":{"grouping":["a","b","c","d"],`:                                                `spec.indicator.ratio.grouping: 4 labels; at most 3 are allowed`,
		`"ratio":{ -> "ratio":{"grouping":"a",`:                                                              `spec.indicator.ratio.grouping: spec.indicator.ratio.grouping must be a list`,
		`"ratio":{"errors":{"metric":"bad"} -> "latency":{"grouping":["le"],"success":{"metric":"fast{le}"}`: `spec.indicator.latency.grouping[0]: the label "le" tells good events from bad ones`,
		`"ratio":{"errors":{"metric":"bad"} -> "latency":{"success":{"metric":"fast"}`:                       "spec.indicator.latency.success.metric: the metric names no bucket",
		`"ratio":{ -> "latencyNative":{},"ratio":{`:                                                          "spec.indicator.latencyNative: ratio and latencyNative exclude each other",
		`"ratio":{ -> "bool_gauge":{"metric":"up"},"ratio":{`:                                                "spec.indicator.bool_gauge: ratio and bool_gauge exclude each other",
		`"team":"web" -> "service":"My Shop"`:                                                                `metadata.labels.service: the service "My Shop" is not a DNS label`,
		`"other":"x" -> "evenkeel.dev/other":"x"`:                                                            `metadata.annotations[evenkeel.dev/other]: unknown annotation`,
		`"other":"x" -> "evenkeel.dev/global-namespace":"X"`:                                                 `metadata.annotations[evenkeel.dev/global-namespace]: the global namespace "X" is not a DNS label`,
	} {
		from, to, _ := strings.Cut(change, " -> ")
		_, ps := compiler(t).Compile([]mesh.Document{document(t, strings.Replace(text, from, to, 1))}, nil)
		if len(ps) == 0 {
			t.Errorf("%s: no mistake is found", change)
			continue
		}
		got := ps[0].Path + ": " + ps[0].Message
		if ps[0].Hint != "" {
			got += " (" + ps[0].Hint + ")"
		}
		if !strings.HasPrefix(got, want) || ps[0].Line < 1 {
			t.Errorf("%s: %s, want %s", change, got, want)
		}
	}
	twice := strings.Replace(text, `"name":"a"`, `"name":"a","namespace":"n"`, 1)
	_, ps := compiler(t).Compile([]mesh.Document{document(t, text), document(t, twice)}, nil)
	if len(ps) != 1 || !strings.Contains(ps[0].Message, "default/a/a is defined by ServiceLevelObjective default/a already") {
		t.Errorf("one objective twice: %v", ps)
	}
}

// withIndicator replaces the ratio of the text.
func withIndicator(in string) string {
	return strings.Replace(text, `"ratio":{"errors":{"metric":"bad"},"total":{"metric":"all"}}`, in, 1)
}

// real is a compiler with the real PromQL.
func real(t testing.TB) *Compiler {
	c, err := New(Config{Compile: promql.Compile, Form: promql.Form, Select: promql.Select})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A native histogram or a gauge would be counted otherwise than Pyrra does, or a mistake in it be told at another place.
func TestOtherIndicators(t *testing.T) {
	const one, name = `{"factor":"1","selector":[{"name":"__name__","type":"=","value":"`, `"},{"name":"job","type":"=","value":"a"}]`
	for in, want := range map[string]string{
		`"latencyNative":{"latency":"200ms","total":{"metric":"x_seconds{job='a'}"}}`: `"sli":{"good":{"terms":[` + one + `x_seconds_native_bucket` + name + `,"atMost":"0.2"}]},"total":{"terms":[` + one + `x_seconds_count` + name + `}]}}`,
		`"latencyNative":{"latency":"1s500ms","total":{"metric":"x"}}`:                `"atMost":"1.5"`,
		`"latencyNative":{"latency":"1m","total":{"metric":"x"},"grouping":["pod"]}`:  `"groupBy":["pod"],"maxGroups":1000`,
		`"bool_gauge":{"metric":"up{job='a'}"}`:                                       `"sli":{"total":{"terms":null},"gauge":{"selector":[{"name":"__name__","type":"=","value":"up` + name + `,"raw":"success"}}`,
		`"bool_gauge":{"metric":"up","grouping":["instance"]}`:                        `"groupBy":["instance"],"maxGroups":1000`,
		`"latencyNative":{"total":{"metric":"x"}}`:                                    "spec.indicator.latencyNative.latency: spec.indicator.latencyNative.latency is missing",
		`"latencyNative":{"latency":"fast","total":{"metric":"x"}}`:                   `spec.indicator.latencyNative.latency: "fast" is not a duration`,
		`"latencyNative":{"latency":"1s"}`:                                            "spec.indicator.latencyNative.total.metric: spec.indicator.latencyNative.total.metric is missing",
		`"latencyNative":{"latency":"1s","total":{"metric":"{job='a'}"}}`:             "spec.indicator.latencyNative.total.metric: ",
		`"latencyNative":{"latency":"1s","total":{"metric":"rate(x[5m])"}}`:           "spec.indicator.latencyNative.total.metric: the metric must be the selector of one counter",
		`"bool_gauge":{}`:                   "spec.indicator.bool_gauge.metric: spec.indicator.bool_gauge.metric is missing",
		`"bool_gauge":{"metric":"avg(up)"}`: "spec.indicator.bool_gauge.metric: avg of several series is not looked at",
		`"bool_gauge":{"metric":"up > 0"}`:  "spec.indicator.bool_gauge.metric: values are looked at as they come",
	} {
		ds, ps := real(t).Compile([]mesh.Document{document(t, withIndicator(in))}, nil)
		got := string(ds[0].Compiled)
		if len(ps) > 0 {
			got = ps[0].Path + ": " + ps[0].Message
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nwant %s", in, got, want)
		}
	}
}

// The alert on absent metrics would come at another time than with Pyrra. The times are those of the formula, by hand: 14 × (1 - T) × P/672,
// cut to seconds, and P/20160, in whole minutes.
func TestAbsentAfter(t *testing.T) {
	for _, c := range []struct{ target, window, want string }{
		{"0.999", "28d", "3m"},          // 50.4 s and 2 m
		{"0.9995", "28d", "2m"},         // 25.2 s and 2 m
		{"0.99", "28d", "10m"},          // 8.4 m and 2 m
		{"0.9", "28d", "1h26m"},         // 84 m and 2 m
		{"0.99", "30d", "11m"},          // 0.14 × 64 m = 8.96 m and 2 m
		{"0.999", "7d", "1m"},           // 12.6 s and 30 s, of which Pyrra makes 1 m
		{"0.999", "1d", "1m"},           // nothing; Pyrra fires at once
		{"0.00001", "366d", "7d15h22m"}, // 14 × 0.99999 × 784 m and 26 m
	} {
		window, err := slo.ParseDuration(c.window)
		if err != nil {
			t.Fatal(err)
		}
		got, note := AbsentAfter(slo.MustDecimal(c.target), window)
		if got.String() != c.want || (note != "") != (c.window == "1d") {
			t.Errorf("%s over %s: %s (%s), want %s", c.target, c.window, got, note, c.want)
		}
	}
}

// A file from anywhere would crash the engine, or reach the stage although it would refuse it.
func FuzzCompile(f *testing.F) {
	f.Add(text)
	f.Add(strings.Replace(text, `"ratio":{"errors":{"metric":"bad"}`, `"latency":{"success":{"metric":"fast{le}"}`, 1))
	f.Add(`{"apiVersion":"pyrra.dev/v1alpha1","kind":"ServiceLevelObjective","metadata":{"name":"a","labels":null},"spec":{"indicator":{"ratio":null,"latency":{"success":null,"grouping":[1]}},"alerting":null}}`)
	f.Add(`{"apiVersion":"pyrra.dev/v1alpha1","kind":"ServiceLevelObjective","metadata":{"name":"a"}}`)
	f.Add(withIndicator(`"latencyNative":{"latency":"200ms","total":{"metric":"x{a='b'}"},"grouping":["a"]}`))
	f.Add(withIndicator(`"bool_gauge":{"metric":"up","grouping":[null,1]}`))
	c := real(f)
	f.Fuzz(func(t *testing.T, text string) {
		root, err := mesh.ReadJSON([]byte(text))
		if err != nil {
			return
		}
		d, ps := mesh.NewDocument("f.json", text, root)
		if len(ps) > 0 || d.APIVersion != APIVersion || d.Kind != Kind {
			return
		}
		ds, ps := c.Compile([]mesh.Document{d}, nil)
		ws, left, notes := c.Convert(&d)
		for _, p := range append(append(ps, left...), notes...) {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("a problem without its place: %+v", p)
			}
		}
		if len(ps) > 0 {
			return
		}
		if len(ds[0].Compiled) == 0 || len(ws) != 1 {
			t.Fatalf("a file without a problem and without an objective: %s", text)
		}
		again, ps := c.Compile([]mesh.Document{d}, ds)
		if diff := cmp.Diff(ds, again); diff != "" || len(ps) > 0 {
			t.Fatalf("compiling again gives something else: %v\n%s", ps, diff)
		}
	})
}
