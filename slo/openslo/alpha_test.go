package openslo

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

const alphaText = `{"apiVersion":"openslo/v1alpha","kind":"SLO","metadata":{"name":"a","displayName":"A"},"spec":{"service":"s",` +
	`"timeWindows":[{"unit":"Week","count":4}],"objectives":[` +
	`{"displayName":"High","value":1,"target":0.999,"ratioMetrics":{"incremental":true,"good":{"source":"prometheus","queryType":"promql","query":"good_total"},"total":{"source":"prometheus","queryType":"promql","query":"all_total"}}},` +
	`{"displayName":"Low","op":"gte","target":0.9,"ratioMetrics":{"incremental":true,"good":{"source":"prometheus","queryType":"promql","query":"good_total"},"total":{"source":"prometheus","queryType":"promql","query":"all_total"}}}]}}`

func objectivesOf(t *testing.T, ds []mesh.Definition) []slo.Objective {
	t.Helper()
	var out []slo.Objective
	for _, d := range ds {
		var os []slo.Objective
		if err := json.Unmarshal(d.Compiled, &os); err != nil {
			t.Fatal(err)
		}
		for _, o := range os {
			o.Definition = mesh.Ref{}
			out = append(out, o)
		}
	}
	return out
}

func indented(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// converted compiles what a document is converted to.
func converted(t *testing.T, c *Compiler, d *mesh.Document) []slo.Objective {
	t.Helper()
	nodes, left, _ := c.Convert(d)
	if len(left) > 0 {
		t.Fatal(left)
	}
	var texts []string
	for _, n := range nodes {
		texts = append(texts, string(n.AppendJSON(nil)))
	}
	ds, ps := c.Compile(documents(t, texts...), nil)
	if len(ps) > 0 {
		t.Fatalf("the converted documents do not compile: %v\n%s", ps, strings.Join(texts, "\n"))
	}
	return objectivesOf(t, ds)
}

// A file of the first version would count something else than it says, or something else once it is converted.
func TestAlpha(t *testing.T) {
	c := compiler(t)
	for name, text := range map[string]string{
		"same queries":  alphaText,
		"other queries": strings.Replace(alphaText, "all_total", "every_total", 1),
		"one objective": alphaText[:strings.Index(alphaText, `,{"displayName":"Low"`)] + "]}}",
	} {
		docs := documents(t, text)
		ds, ps := c.Compile(docs, nil)
		if len(ps) > 0 {
			t.Errorf("%s: %v", name, ps)
			continue
		}
		if ds[0].APIVersion != APIVersionAlpha || ds[0].Digest != mesh.Digest(docs[0].JSON) || string(ds[0].Spec) != string(docs[0].JSON) {
			t.Errorf("%s: the definition is not the one that was written: %+v", name, ds[0])
		}
		got := objectivesOf(t, ds)
		if d := cmp.Diff(indented(t, got), indented(t, converted(t, c, &docs[0]))); d != "" {
			t.Errorf("%s: converted (-as it is +converted):\n%s", name, d)
		}
		o := got[0]
		want := map[string]string{"same queries": "a-high", "other queries": "a-high", "one objective": "a"}[name]
		if o.Name != want || o.Target.String() != "0.999" || o.Window.Duration.String() != "28d" {
			t.Errorf("%s: objective %+v", name, o)
		}
		if total := got[len(got)-1].SLI.Total.Terms[0].Selector.MetricName(); total != "all_total" {
			t.Errorf("%s: the last objective counts %s", name, total)
		}
		again, ps := c.Compile(docs, ds)
		if d := cmp.Diff(indented(t, ds), indented(t, again)); d != "" || len(ps) > 0 {
			t.Errorf("%s: compiled again: %v %s", name, ps, d)
		}
	}
	_, _, notes := c.Convert(&documents(t, alphaText)[0])
	if len(notes) != 2 || !strings.Contains(notes[0].Message, "value is left out") || !strings.Contains(notes[1].Message, "op is left out") {
		t.Errorf("notes: %v", notes)
	}
}

// A mistake in a file of the first version would be told in words of another, at no place, or not at all.
func TestAlphaMistakes(t *testing.T) {
	for change, want := range map[string]string{
		`"count":4 -> "count":0`:                             "spec.timeWindows[0].count: count must be a whole number above 0, found 0",
		`"count":4 -> "count":1.5`:                           "spec.timeWindows[0].count: count must be a whole number above 0, found 1.5",
		`"count":4 -> "cout":4`:                              `spec.timeWindows[0].cout: unknown field "cout" in spec.timeWindows[0]`,
		`"Week" -> "week"`:                                   `spec.timeWindows[0].unit: unknown unit "week"`,
		`"Week" -> "Second"`:                                 "spec.timeWindows[0].count: a window of 4 seconds is no whole number of minutes",
		`"Week" -> "Month"`:                                  `spec.timeWindow[0].duration: "4M" has no fixed length, which a rolling window needs`,
		`[{"unit":"Week","count":4}] -> [{"duration":"1d"}]`: `spec.timeWindows[0].duration: unknown field "duration" in spec.timeWindows[0]`,
		`"source":"prometheus","queryType":"promql","query":"good_total" -> "source":"datadog","query":"good_total"`: "spec.indicator.spec.ratioMetric.good.metricSource.type: data sources of type datadog cannot be read",
		`"source":"prometheus" -> "metadata":{},"source":"prometheus"`:                                               "spec.objectives[0].ratioMetrics.good.metadata: metadata of a query is not understood",
		`"source":"prometheus",  -> `:                             "spec.objectives[0].ratioMetrics.good.source: spec.objectives[0].ratioMetrics.good.source is missing",
		`"incremental":true -> "incremental":true,"counter":true`: "spec.objectives[0].ratioMetrics.incremental: incremental is the older name of counter, which stands there too",
		`"incremental":true, -> `:                                 "spec.indicator.spec.ratioMetric.counter: the query names a counter as it stands, but counter is not true",
		`"timeWindows":[{"unit":"Week","count":4}] -> "timeWindow":[{"duration":"4w","isRolling":true}]`: "apiVersion: the document says openslo/v1alpha, but its field timeWindow is one of openslo/v1",
		`"good_total" -> "a b"`: "spec.indicator.spec.ratioMetric.good.metricSource.spec.query: not a metric",
		`"service":"s", -> `:    "spec.service: spec.service is missing",
	} {
		from, to, _ := strings.Cut(change, " -> ")
		_, ps := compiler(t).Compile(documents(t, strings.Replace(alphaText, strings.TrimSpace(from), to, 1)), nil)
		if len(ps) == 0 {
			t.Errorf("%s: no mistake is found", change)
			continue
		}
		found := false
		for _, p := range ps {
			found = found || p.Line > 0 && strings.HasPrefix(p.Path+": "+p.Message, want)
		}
		if !found {
			t.Errorf("%s: %+v, want %s", change, ps, want)
		}
	}
}

// An SLO that wants one of the default alerts, or an annotation on each, would have others.
func TestAlertAnnotations(t *testing.T) {
	with := func(annotations string) string {
		return strings.Replace(sloText, `"name":"a"`, `"name":"a","annotations":{`+annotations+`}`, 1)
	}
	ds, ps := compiler(t).Compile(documents(t, with(`"evenkeel.dev/alerts":"ticket","evenkeel.dev/alert.summary":"slow","evenkeel.dev/alert.runbook_url":"x"`)), nil)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	a := objectivesOf(t, ds)[0].Alerting
	if len(a.Tiers) != 1 || a.Tiers[0].Name != "ticket" || len(a.Tiers[0].Pairs) != 2 {
		t.Errorf("tiers: %+v", a.Tiers)
	}
	if d := cmp.Diff(map[string]string{"summary": "slow", "runbook_url": "x"}, a.Annotations); d != "" {
		t.Error(d)
	}
	for text, want := range map[string]string{
		with(`"evenkeel.dev/alerts":"Page"`): "must be page or ticket",
		strings.Replace(with(`"evenkeel.dev/alerts":"page"`), `"objectives"`, `"alertPolicies":[],"objectives"`, 1): "exclude each other",
	} {
		if _, ps := compiler(t).Compile(documents(t, text), nil); len(ps) != 1 || !strings.Contains(ps[0].Message, want) {
			t.Errorf("%s: %v", text, ps)
		}
	}
}

// A file of the first version would crash the engine, or mean something else once it is converted.
func FuzzAlpha(f *testing.F) {
	f.Add(alphaText)
	f.Add(strings.Replace(alphaText, "all_total", "every_total", 1))
	f.Add(`{"apiVersion":"openslo/v1alpha","kind":"SLO","metadata":{"name":"a"},"spec":{"service":"s","indicator":{"thresholdMetric":{"source":"prometheus","query":"x"}},"timeWindows":[],"objectives":[{"target":0.9,"op":"lt","value":1}]}}`)
	f.Add(`{"apiVersion":"openslo/v1alpha","kind":"Service","metadata":{"name":"a"},"spec":{"description":null}}`)
	f.Add(`{"apiVersion":"openslo/v1alpha","kind":"SLO","metadata":{"name":"a"},"spec":{"objectives":[null,1,{"ratioMetrics":{"good":null}}],"timeWindows":[null,{}],"indicator":{}}}`)
	c := compiler(f)
	f.Fuzz(func(t *testing.T, text string) {
		root, err := mesh.ReadJSON([]byte(text))
		if err != nil {
			return
		}
		d, ps := mesh.NewDocument("f.json", text, root)
		if len(ps) > 0 || d.APIVersion != APIVersionAlpha || d.Kind != KindSLO {
			return
		}
		ds, ps := c.Compile([]mesh.Document{d}, nil)
		if len(ps) > 0 {
			for _, p := range ps {
				if p.Line < 1 || p.Column < 1 {
					t.Fatalf("a problem without its place: %+v", p)
				}
			}
			return
		}
		if d := cmp.Diff(indented(t, objectivesOf(t, ds)), indented(t, converted(t, c, &d))); d != "" {
			t.Fatalf("converted (-as it is +converted):\n%s", d)
		}
	})
}
