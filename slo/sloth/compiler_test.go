package sloth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// rateOnly compiles rate(METRIC[5m]), which is all that these tests need; test/convert has the real one.
func rateOnly(query string) (slo.Expr, error) {
	name, ok := strings.CutPrefix(strings.TrimSpace(query), "rate(")
	name, ok2 := strings.CutSuffix(strings.ReplaceAll(name, " ", ""), "[5m])")
	if !ok || !ok2 || strings.ContainsAny(name, "{}()[]") {
		return slo.Expr{}, errors.New("not a rate: " + query)
	}
	s, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: name}})
	return slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: s}}}, err
}

func compiler(t testing.TB) *Compiler {
	c, err := New(Config{Compile: rateOnly, Form: func(string) string { return "rate" }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	plainText = `{"version":"prometheus/v1","service":"shop","labels":{"tier":2},"slos":[{"name":"a","objective":99.95,"description":"d",` +
		`"sli":{"events":{"error_query":"rate(bad[{{.window}}])","total_query":"rate(all[{{ .window }}])"}},` +
		`"alerting":{"name":"A","annotations":{"summary":"s","runbook_url":"https://r.example.com"},"page_alert":{"disable":false},"ticket_alert":{"labels":{"x":"y"}}}}]}`
	kubeHead = `{"apiVersion":"sloth.slok.dev/v1","kind":"PrometheusServiceLevel","metadata":{"name":"k"},"spec":`
)

// kubeText is the Kubernetes form of a plain text.
func kubeText(plain string) string {
	return kubeHead + strings.NewReplacer(`"version":"prometheus/v1",`, "", "error_query", "errorQuery", "total_query", "totalQuery", "page_alert", "pageAlert", "ticket_alert", "ticketAlert").Replace(plain) + "}"
}

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
	if _, err := New(Config{Compile: rateOnly}); err == nil {
		t.Error("Form is missing and nobody says so")
	}
}

// Both forms of the same file would mean different things, or something else than Sloth makes of them.
func TestBothForms(t *testing.T) {
	const want = `[{"globalNamespace":"default","service":"shop","name":"a","target":"0.9995","window":{"type":"rolling","duration":"30d"},"method":"Occurrences",` +
		`"sli":{"bad":{"terms":[{"factor":"1","selector":[{"name":"__name__","type":"=","value":"bad"}]}]},"total":{"terms":[{"factor":"1","selector":[{"name":"__name__","type":"=","value":"all"}]}]}},` +
		`"alerting":{"runbook":"https://r.example.com","annotations":{"description":"d","summary":"s"}},"definition":%s}]`
	for text, ref := range map[string]string{
		plainText:           `{"apiVersion":"prometheus/v1","kind":"PrometheusServiceLevel","namespace":"default","name":"shop--a"}`,
		kubeText(plainText): `{"apiVersion":"sloth.slok.dev/v1","kind":"PrometheusServiceLevel","namespace":"default","name":"k"}`,
	} {
		ds, ps := compiler(t).Compile([]mesh.Document{document(t, text)}, nil)
		if len(ps) > 0 {
			t.Errorf("%s: %v", text, ps)
			continue
		}
		if d := cmp.Diff(fmt.Sprintf(want, ref), string(ds[0].Compiled)); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(map[string]string{"tier": "2"}, ds[0].Labels); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"slo/default/shop/a"}, ds[0].Claims); d != "" {
			t.Error(d)
		}
	}
}

// A disabled alert would be sent, or one that is wanted would not.
func TestAlerts(t *testing.T) {
	for off, want := range map[string]string{"": "default", "page": "ticket", "ticket": "page", "page ticket": "none"} {
		text := plainText
		if strings.Contains(off, "page") {
			text = strings.Replace(text, `"disable":false`, `"disable":true`, 1)
		}
		if strings.Contains(off, "ticket") {
			text = strings.Replace(text, `"labels":{"x":"y"}`, `"disable":true`, 1)
		}
		ds, _ := compiler(t).Compile([]mesh.Document{document(t, text)}, nil)
		var os []slo.Objective
		if err := json.Unmarshal(ds[0].Compiled, &os); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tier := range os[0].Alerting.Tiers {
			got = append(got, tier.Name)
		}
		if len(got) == 0 {
			got = []string{map[bool]string{true: "none", false: "default"}[os[0].Alerting.Disabled]}
		}
		if strings.Join(got, " ") != want || len(os[0].Tiers()) != map[string]int{"default": 2, "none": 0}[want]+map[bool]int{true: 1}[want == "page" || want == "ticket"] {
			t.Errorf("without %q: %s with %d tiers, want %s", off, got, len(os[0].Tiers()), want)
		}
	}
}

// A mistake would be told at another place, in other words, or not at all.
func TestMistakes(t *testing.T) {
	for change, want := range map[string]string{
		`"service":"shop" -> "service":"shop","servce":"x"`:      `servce: unknown field "servce" in the document (did you mean "service"?)`,
		`"error_query" -> "errorQuery"`:                          `slos[0].sli.events.errorQuery: unknown field "errorQuery" in slos[0].sli.events (did you mean "error_query"?)`,
		`99.95 -> 100`:                                           "slos[0].objective: the objective must be above 0 and below 100, found 100; 100 % leaves no budget at all",
		`99.95 -> 0`:                                             "slos[0].objective: the objective must be above 0 and below 100, found 0",
		`99.95 -> "99.95"`:                                       `slos[0].objective: slos[0].objective must be a number, found the string "99.95" (write 99.95 without quotes)`,
		`"objective":99.95, -> `:                                 "slos[0].objective: the SLO has no objective",
		`99.95 -> 99.9999999999`:                                 "slos[0]: the target 0.999999999999 leaves a budget below 1 in 1,000,000,000",
		`"name":"a", -> `:                                        "slos[0].name: the SLO has no name",
		`rate(bad -> sum(bad`:                                    "slos[0].sli.events.error_query: not a rate: sum(bad[5m         ])",
		`"error_query":"rate(bad[{{.window}}])", -> `:            "slos[0].sli.events.error_query: slos[0].sli.events.error_query is missing",
		`"events" -> "raw"`:                                      "slos[0].sli.raw: a raw error ratio cannot be counted",
		`"events":{ -> "plugin":{"id":"x"},"events":{`:           "slos[0].sli.plugin: SLI plugins are not run",
		`"objective" -> "plugins":{},"objective"`:                "slos[0].plugins: SLO plugins are not run",
		`"labels":{"tier":2} -> "slo_plugins":{"chain":[]}`:      "slo_plugins: SLO plugins are not run",
		`"tier":2 -> "tier":[2]`:                                 "labels.tier: labels.tier must be a text, found a list",
		`"tier":2 -> "evenkeel.dev/global-namspace":"x"`:         `labels[evenkeel.dev/global-namspace]: unknown annotation "evenkeel.dev/global-namspace"`,
		`"tier":2 -> "evenkeel.dev/global-namespace":"X"`:        `labels[evenkeel.dev/global-namespace]: the global namespace "X" is not a DNS label`,
		`"name":"a" -> "name":"` + strings.Repeat("a", 64) + `"`: "slos[0].name: the name",
		`}}}]} -> }}},{"name":"a","objective":9,"sli":{"events":{"error_query":"rate(x[5m])","total_query":"rate(y[5m])"}}}]}`: `slos[1].name: the SLO "a" of service "shop" in global namespace "default" is defined twice in this file`,
	} {
		from, to, _ := strings.Cut(change, " -> ")
		_, ps := compiler(t).Compile([]mesh.Document{document(t, strings.Replace(plainText, from, to, 1))}, nil)
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
	for text, want := range map[string]string{
		`{"version":"prometheus/v1","service":"shop"}`:                                                                            "the file has no slos",
		`{"version":"prometheus/v1","service":"shop","slos":[]}`:                                                                  "the file has no slos",
		`{"version":"prometheus/v1","service":"shop","slos":[` + strings.TrimSuffix(strings.Repeat("{},", maxSLOs+1), ",") + "]}": "the file has 101 slos",
		`{"apiVersion":"sloth.slok.dev/v1","kind":"PrometheusServiceLevel","metadata":{"name":"k"}}`:                              "the service has no name",
		strings.Replace(kubeText(plainText), `"slos":`, `"sloPlugins":{},"slos":`, 1):                                             "SLO plugins are not run",
	} {
		_, ps := compiler(t).Compile([]mesh.Document{document(t, text)}, nil)
		found := false
		for _, p := range ps {
			found = found || strings.Contains(p.Message, want)
		}
		if !found {
			t.Errorf("%.100s: %v, want %s", text, ps, want)
		}
	}
}

// A form without a range, or two scales in one ratio, would be counted although Sloth's rules would say something else.
func TestForms(t *testing.T) {
	for forms, want := range map[[2]string]string{
		{"rate", "increase[5m]"}: "this is rate and the total query is increase[5m]: they have different scales",
		{"counter", "counter"}:   "the query has no range, which Sloth asks for too",
		{"rate", "counter"}:      "the query has no range, which Sloth asks for too",
	} {
		c, err := New(Config{Compile: rateOnly, Form: func(q string) string {
			if strings.Contains(q, "bad") {
				return forms[0]
			}
			return forms[1]
		}})
		if err != nil {
			t.Fatal(err)
		}
		_, ps := c.Compile([]mesh.Document{document(t, plainText)}, nil)
		if len(ps) != 1 || ps[0].Message != want {
			t.Errorf("%v: %v, want %s", forms, ps, want)
		}
	}
}

// Two names of Sloth would become one name here, or a name could not be told back to who wrote it.
func TestLabels(t *testing.T) {
	for name, want := range map[string]string{
		"requests-availability": "requests-availability", "a": "a", "9": "9", "http_errors": "http--5ferrors", "A": "x--x--41", "x--x--41": "x--2d--2dx--2d--2d41",
		"-a": "x--x--2da", "a-": "a--2d", "a--b": "a--2d--2db", "a-B": "a--2d--42", "é": "x--x--c3--a9", "": "",
	} {
		if got := Label(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for _, label := range []string{"a--", "a--4", "a--zz", "a--61", "x--x--61", "A"} {
		if name, err := Name(label); err == nil {
			t.Errorf("%q is read as %q", label, name)
		}
	}
}

// Two names of Sloth would become one name here.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"", "a", "A", "-", "--", "a--41", "x--x--41", "x--x", "é", "a-b-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		label := Label(name)
		if hint := mesh.LabelHint(label); hint != "" && len(label) <= labelMax && name != "" {
			t.Fatalf("%q: %q is no DNS label: %s", name, label, hint)
		}
		if got, err := Name(label); err != nil || got != name {
			t.Fatalf("%q is %q and read back as %q: %v", name, label, got, err)
		}
	})
}

// A file from anywhere would crash the engine, or reach the stage although it would refuse it.
func FuzzCompile(f *testing.F) {
	f.Add(plainText)
	f.Add(kubeText(plainText))
	f.Add(`{"version":"prometheus/v1","service":"s","slos":[null,1,{"name":null,"sli":{"events":null},"alerting":null,"labels":{"a":null}}]}`)
	f.Add(kubeHead + `{"service":"s","slos":[{"sli":{"events":{"errorQuery":1}},"alerting":{"pageAlert":{"disable":"x"}}}]}}`)
	c := compiler(f)
	f.Fuzz(func(t *testing.T, text string) {
		root, err := mesh.ReadJSON([]byte(text))
		if err != nil {
			return
		}
		d, ps := mesh.NewDocument("f.json", text, root)
		if len(ps) > 0 || d.Kind != kind {
			return
		}
		ds, ps := c.Compile([]mesh.Document{d}, nil)
		ws, left, _ := c.Convert(&d)
		for _, p := range append(ps, left...) {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("a problem without its place: %+v", p)
			}
		}
		if len(ps) > 0 {
			return
		}
		if len(ds[0].Compiled) == 0 || len(ws) == 0 || len(left) > 0 {
			t.Fatalf("a file without a problem and without an objective: %s\n%v", text, left)
		}
		again, ps := c.Compile([]mesh.Document{d}, ds)
		if diff := cmp.Diff(ds, again); diff != "" || len(ps) > 0 {
			t.Fatalf("compiling again gives something else: %v\n%s", ps, diff)
		}
	})
}
