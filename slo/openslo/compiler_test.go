package openslo

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

// metricOnly compiles a query that is the name of a metric, which is all that these tests need; test/check has the real one.
func metricOnly(query string) (slo.Expr, error) {
	if strings.ContainsAny(query, " ()") {
		return slo.Expr{}, errors.New("not a metric")
	}
	s, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: query}})
	return slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: s}}}, err
}

func selectOnly(query string, _ bool) (slo.Gauge, error) {
	e, err := metricOnly(query)
	if err != nil {
		return slo.Gauge{}, err
	}
	return slo.Gauge{Selector: e.Terms[0].Selector}, nil
}

func utc(name string) (slo.Zone, error) {
	if name != "UTC" {
		return slo.Zone{}, fmt.Errorf("there is no time zone %q", name)
	}
	return slo.Zone{Name: name, Offsets: []slo.Offset{{}}}, nil
}

func compiler(t testing.TB) *Compiler {
	c, err := New(Config{Compile: metricOnly, Form: func(string) string { return "counter" }, Select: selectOnly, Zone: utc})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const sloText = `{"apiVersion":"openslo/v1","kind":"SLO","metadata":{"name":"a"},"spec":{"service":"s","budgetingMethod":"Occurrences",` +
	`"indicator":{"spec":{"ratioMetric":{"counter":true,` +
	`"good":{"metricSource":{"type":"prometheus","spec":{"query":"good_total"}}},"total":{"metricSource":{"type":"prometheus","spec":{"query":"all_total"}}}}}},` +
	`"objectives":[{"targetPercent":99.95}]}}`

func documents(t testing.TB, texts ...string) []mesh.Document {
	var out []mesh.Document
	for i, text := range texts {
		root, err := mesh.ReadJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		d, ps := mesh.NewDocument(fmt.Sprintf("%d.json", i), text, root)
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		out = append(out, d)
	}
	return out
}

// A compiler without its functions would crash on the first file instead of at the start.
func TestNewNeedsFunctions(t *testing.T) {
	if _, err := New(Config{Compile: metricOnly}); err == nil {
		t.Error("Form is missing and nobody says so")
	}
	if _, err := New(Config{Form: func(string) string { return "" }}); err == nil {
		t.Error("Compile is missing and nobody says so")
	}
}

// A percentage would lose digits on its way to a share.
func TestTargetsAreExact(t *testing.T) {
	for text, want := range map[string]string{
		`"targetPercent":99.95`:                        "0.9995",
		`"targetPercent":99.999999`:                    "0.99999999",
		`"targetPercent":90`:                           "0.9",
		`"targetPercent":33.3`:                         "0.333",
		`"target":0.9990`:                              "0.9990",
		`"target":9e-1`:                                "9e-1",
		`"target":0`:                                   "spec.objectives[0].target must be above 0",
		`"target":1.0`:                                 "spec.objectives[0].target must be above 0 and below 1",
		`"target":-0.5`:                                "spec.objectives[0].target must be above 0",
		`"targetPercent":100.0`:                        "below 100",
		`"target":0.9999999999`:                        "leaves a budget below 1 in 1,000,000,000",
		`"target":0.` + strings.Repeat("9", 31):        "is no decimal number of at most 30 digits",
		`"targetPercent":9.` + strings.Repeat("9", 29): "has too many digits",
	} {
		ds, ps := compiler(t).Compile(documents(t, strings.Replace(sloText, `"targetPercent":99.95`, text, 1)), nil)
		got := string(ds[0].Compiled)
		if len(ps) > 0 {
			got = ps[0].Message
		} else {
			want = `"target":"` + want + `"`
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// An objective that two files define would be counted by one of them, by chance.
func TestSameObjective(t *testing.T) {
	other := strings.Replace(sloText, `"name":"a"`, `"name":"a","namespace":"n"`, 1)
	ds, ps := compiler(t).Compile(documents(t, sloText), nil)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	_, ps = compiler(t).Compile(documents(t, other), ds)
	if len(ps) != 1 || !strings.Contains(ps[0].Message, `the objective "a" of service "s" in global namespace "default" is defined by SLO default/a already`) {
		t.Errorf("problems: %v", ps)
	}
	// The same SLO again, or one of another global namespace, is none.
	apart := strings.Replace(other, `"namespace":"n"`, `"namespace":"n","annotations":{"evenkeel.dev/global-namespace":"shop"}`, 1)
	if _, ps = compiler(t).Compile(documents(t, sloText, apart), ds); len(ps) > 0 {
		t.Errorf("problems: %v", ps)
	}
}

// A policy would send alerts to a target of another team's global namespace, which the notifier never finds.
func TestTargetOfAnotherNamespace(t *testing.T) {
	const (
		target = `{"apiVersion":"openslo/v1","kind":"AlertNotificationTarget","metadata":{"name":"t","annotations":{` +
			`"evenkeel.dev/global-namespace":"web","evenkeel.dev/url":"https://a.example.com"}},"spec":{"target":"cloudevents"}}`
		policy = `{"apiVersion":"openslo/v1","kind":"AlertPolicy","metadata":{"name":"p"},"spec":{"notificationTargets":[{"targetRef":"t"}],` +
			`"conditions":[{"kind":"AlertCondition","spec":{"severity":"page","condition":{"op":"gt","threshold":2,"lookbackWindow":"2m"}}}]}}`
	)
	text := strings.Replace(sloText, `"objectives"`, `"alertPolicies":[{"alertPolicyRef":"p"}],"objectives"`, 1)
	_, ps := compiler(t).Compile(documents(t, text, policy, target), nil)
	if len(ps) != 1 || !strings.Contains(ps[0].Message, `the target "t" belongs to global namespace "web", the SLO to "default"`) {
		t.Errorf("problems: %v", ps)
	}
	text = strings.Replace(text, `"name":"a"`, `"name":"a","labels":{"evenkeel.dev/global-namespace":"web"}`, 1)
	ds, ps := compiler(t).Compile(documents(t, text, policy, target), nil)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	const want = `"tiers":[{"name":"p","severity":"page","pairs":[{"long":"2m","short":"1m","factor":"2"}],"notify":["t"]}]`
	if !strings.Contains(string(ds[0].Compiled), want) {
		t.Errorf("compiled: %s", ds[0].Compiled)
	}
}

// A secret that stands in a file would be repeated in a message, and so in a log.
func TestSecretsAreNotRepeated(t *testing.T) {
	const secret = "s3cr3t-value"
	for _, a := range []string{
		`"evenkeel.dev/secret-from":"` + secret + `","evenkeel.dev/url":"https://a.example.com"`,
		`"evenkeel.dev/url-from":"` + secret + `"`, `"evenkeel.dev/url":"https://user:` + secret + `@a.example.com"`,
		`"evenkeel.dev/url":"https://hooks.slack.com/services/` + secret + `"`, `"evenkeel.dev/url":"` + secret + `"`,
	} {
		text := `{"apiVersion":"openslo/v1","kind":"AlertNotificationTarget","metadata":{"name":"t","annotations":{` + a + `}},"spec":{"target":"alertmanager-webhook"}}`
		ds, ps := compiler(t).Compile(documents(t, text), nil)
		if len(ps) != 1 || strings.Contains(ps[0].String(), secret) || len(ds[0].Compiled) > 0 {
			t.Errorf("%s: problems %v, compiled %s", a, ps, ds[0].Compiled)
		}
	}
}

// One wrong value would be told in several ways, or stop the search for others.
func TestEachMistakeOnce(t *testing.T) {
	text := strings.NewReplacer(`"service":"s"`, `"service":null`, `"counter":true`, `"counter":"yes"`, `"good_total"`, `"a b"`, `"type":"prometheus"`, `"type":1`).Replace(sloText)
	_, ps := compiler(t).Compile(documents(t, text), nil)
	var got []string
	for _, p := range ps {
		got = append(got, p.Path+": "+p.Message)
	}
	const ratio = "spec.indicator.spec.ratioMetric"
	want := []string{
		`spec.service: spec.service is missing`,
		ratio + `.counter: ` + ratio + `.counter must be true or false, found the string "yes"`,
		ratio + `.good.metricSource.type: ` + ratio + `.good.metricSource.type must be a string, found a number (1)`,
		ratio + `.good.metricSource.spec.query: not a metric`,
		ratio + `.total.metricSource.type: ` + ratio + `.total.metricSource.type must be a string, found a number (1)`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A document from anywhere would crash the engine, or reach the stage although it would refuse it.
func FuzzCompile(f *testing.F) {
	f.Add(sloText)
	f.Add(strings.Replace(sloText, `"objectives"`, `"alertPolicies":[{"alertPolicyRef":"p"},{"spec":{"conditions":[{"spec":{}}],"notificationTargets":[null,1,{"targetRef":2}]}}],"objectives"`, 1))
	f.Add(`{"apiVersion":"openslo/v1","kind":"SLI","metadata":{"name":"a","labels":{"a":null,"b":[1]},"annotations":null},"spec":{"ratioMetric":{"good":{},"bad":null}}}`)
	f.Add(`{"apiVersion":"openslo/v1","kind":"DataSource","metadata":{"name":"a"},"spec":{"connectionDetails":[{"token":"x"},"https://a@b"]}}`)
	f.Add(`{"apiVersion":"openslo/v1","kind":"AlertNotificationTarget","metadata":{"name":"a","annotations":{"evenkeel.dev/url":"::"}},"spec":{"target":null}}`)
	f.Add(`{"apiVersion":"openslo/v1","kind":"AlertCondition","metadata":{"name":"a"},"spec":{"condition":{"threshold":1e99,"lookbackWindow":"0m","alertAfter":"1Y"}}}`)
	c := compiler(f)
	f.Fuzz(func(t *testing.T, text string) {
		root, err := mesh.ReadJSON([]byte(text))
		if err != nil {
			return
		}
		d, ps := mesh.NewDocument("f.json", text, root)
		if len(ps) > 0 {
			return
		}
		ds, ps := c.Compile([]mesh.Document{d}, nil)
		if len(ps) > 0 {
			return
		}
		if ds[0].Kind == KindSLO && len(ds[0].Compiled) == 0 {
			t.Fatalf("an SLO without a problem and without an objective: %s", text)
		}
		again, ps := c.Compile([]mesh.Document{d}, ds)
		if diff := cmp.Diff(ds, again); diff != "" || len(ps) > 0 {
			t.Fatalf("compiling again gives something else: %v\n%s", ps, diff)
		}
	})
}

// A user's journey would be counted with other members, weights or targets than the file says, or page for each member beside the whole.
func TestComposite(t *testing.T) {
	indicator := func(name string) string {
		return `"indicator":{"spec":{"ratioMetric":{"counter":true,"good":{"metricSource":{"type":"prometheus","spec":{"query":"` + name + `_good"}}},"total":{"metricSource":{"type":"prometheus","spec":{"query":"` + name + `_all"}}}}}}`
	}
	text := func(annotations string) string {
		return `{"apiVersion":"openslo/v1","kind":"SLO","metadata":{"name":"journey","annotations":{` + annotations + `}},"spec":{"service":"s","budgetingMethod":"Occurrences","objectives":[` +
			`{"displayName":"Cart","target":0.99,` + indicator("cart") + `},{"displayName":"Pay","targetPercent":99.5,"compositeWeight":3,` + indicator("pay") + `}]}}`
	}
	for annotations, want := range map[string]struct{ join, target string }{
		``:                                      {slo.JoinWeightedMean, "0.99375"}, // (0.99 + 3 x 0.995) / 4
		`"evenkeel.dev/composite-target":"98%"`: {slo.JoinWeightedMean, "0.98"},
		`"evenkeel.dev/composite":"Worst","evenkeel.dev/composite-target":"0.9","evenkeel.dev/on-no-data":"Bad"`: {slo.JoinWorst, "0.9"},
	} {
		defs, ps := compiler(t).Compile(documents(t, text(annotations)), nil)
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		var os []slo.Objective
		if err := json.Unmarshal(defs[0].Compiled, &os); err != nil {
			t.Fatal(err)
		}
		if len(os) != 3 || os[0].Name != "journey-cart" || os[1].Name != "journey-pay" || os[2].Name != "journey" {
			t.Fatalf("%d objectives: %+v", len(os), os)
		}
		joint := os[2]
		members := []slo.Member{
			{Service: "s", Name: "journey-cart", Target: slo.MustDecimal("0.99"), Weight: slo.MustDecimal("1")},
			{Service: "s", Name: "journey-pay", Target: slo.MustDecimal("0.995"), Weight: slo.MustDecimal("3")},
		}
		if d := cmp.Diff(&slo.Composite{Join: want.join, Members: members}, joint.Composite, cmp.AllowUnexported(slo.Decimal{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", annotations, d)
		}
		if joint.Target.String() != want.target || joint.Method != slo.MethodRatioTimeslices || len(joint.Tiers()) == 0 || len(os[0].Tiers())+len(os[1].Tiers()) > 0 {
			t.Errorf("%s: target %s, %s, %d tiers", annotations, joint.Target, joint.Method, len(joint.Tiers()))
		}
		if want.join == slo.JoinWorst && (joint.OnNoData != slo.NoDataBad || os[0].OnNoData != "") {
			t.Errorf("on no data %q and %q", joint.OnNoData, os[0].OnNoData)
		}
	}
}

// An SLO that is right by the specification would be refused since its data are elsewhere, or be taken without a word that it counts nothing.
func TestSourcesThatCannotBeRead(t *testing.T) {
	const datadog = `{"metricSource":{"type":"Datadog","spec":{"query":"sum:hits{*}","any":["thing"]}}}`
	with := func(sli string) string {
		from := sloText[strings.Index(sloText, `{"ratioMetric"`) : strings.Index(sloText, `}}}}}},`)+5]
		return strings.Replace(sloText, from, sli, 1)
	}
	const sli = `{"apiVersion":"openslo/v1","kind":"SLI","metadata":{"name":"hits"},"spec":{"ratioMetric":{"counter":true,"good":` + datadog + `,"total":` + datadog + `}}}`
	for name, texts := range map[string][]string{
		"ratio":     {with(`{"ratioMetric":{"counter":true,"good":` + datadog + `,"total":` + datadog + `}}`)},
		"raw":       {with(`{"ratioMetric":{"rawType":"success","raw":` + datadog + `}}`)},
		"threshold": {strings.Replace(with(`{"thresholdMetric":`+datadog+`}`), `"targetPercent"`, `"op":"lt","value":5,"targetPercent"`, 1)},
		"reference": {sli, strings.Replace(sloText, sloText[strings.Index(sloText, `"indicator":`):strings.Index(sloText, `"objectives"`)], `"indicatorRef":"hits",`, 1)},
	} {
		ds, ps := compiler(t).Compile(documents(t, texts...), nil)
		mistakes, warnings := mesh.Mistakes(ps)
		if len(mistakes) > 0 || len(warnings) == 0 || !strings.Contains(warnings[0].String(), "warning: data sources of type Datadog cannot be read") || warnings[0].Line == 0 {
			t.Errorf("%s: %v %v", name, mistakes, warnings)
			continue
		}
		var got []slo.Objective
		if err := json.Unmarshal(ds[len(ds)-1].Compiled, &got); err != nil || len(got) != 1 || got[0].Unread == nil {
			t.Errorf("%s: %v %s", name, err, ds[len(ds)-1].Compiled)
			continue
		}
		if u := got[0].Unread; u.Reason != slo.ReasonSourceUnsupported || !strings.Contains(u.Message, `metricSource type "Datadog" cannot be read here`) || got[0].Validate() != nil {
			t.Errorf("%s: %+v %v", name, u, got[0].Validate())
		}
	}
	typo := strings.Replace(sloText, `"type":"prometheus"`, `"type":"Promethues"`, 1)
	if _, ps := compiler(t).Compile(documents(t, typo), nil); len(ps) != 1 || ps[0].Warning || !strings.Contains(ps[0].Hint, `did you mean "Prometheus"?`) {
		t.Errorf("a wrong spelling: %v", ps)
	}
}

// An SLI object that nobody uses would be refused, or an SLO be taken that refers to one that cannot be counted.
func TestSLIsThatCannotBeCounted(t *testing.T) {
	const sli = `{"apiVersion":"openslo/v1","kind":"SLI","metadata":{"name":"odd"},"spec":{"ratioMetric":{"rawType":"success","raw":{"metricSource":{"type":"Prometheus","spec":{"query":"a b"}}}}}}`
	_, ps := compiler(t).Compile(documents(t, sli), nil)
	if len(ps) != 1 || !ps[0].Warning || !strings.Contains(ps[0].Message, "an SLO that refers to this SLI will be refused") {
		t.Errorf("alone: %v", ps)
	}
	from := sloText[strings.Index(sloText, `"indicator":`):strings.Index(sloText, `"objectives"`)]
	_, ps = compiler(t).Compile(documents(t, strings.Replace(sloText, from, `"indicatorRef":"odd",`, 1), sli), nil)
	if mistakes, _ := mesh.Mistakes(ps); len(mistakes) != 1 || !strings.HasPrefix(mistakes[0].Message, "the SLI odd has a query that cannot be counted: not a metric") {
		t.Errorf("referred to: %v", ps)
	}
}
