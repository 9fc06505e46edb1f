package check

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/notify"
)

// shop is one of everything, as a user would write it.
const shop = `apiVersion: openslo/v1
kind: DataSource
metadata: {name: prometheus}
spec: {type: Prometheus, connectionDetails: {url: "https://prometheus.example.com"}}
---
apiVersion: openslo/v1
kind: Service
metadata: {name: checkout, displayName: Checkout}
spec: {description: takes orders}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: good-requests}
spec:
  ratioMetric:
    counter: true
    good:
      metricSource:
        metricSourceRef: prometheus
        spec: {query: 'sum(http_requests_total{code!~"5.."})'}
    total:
      metricSource:
        metricSourceRef: prometheus
        spec: {query: sum(http_requests_total)}
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: availability
  displayName: Checkout answers
  labels: {team: [shop, web], evenkeel.dev/global-namespace: shop}
  annotations: {evenkeel.dev/runbook: "https://runbooks.example.com/checkout"}
spec:
  description: Orders are taken.
  service: checkout
  indicatorRef: good-requests
  timeWindow:
    - {duration: 4w, isRolling: true}
  budgetingMethod: Occurrences
  objectives:
    - {displayName: Gold, targetPercent: 99.95}
    - {displayName: Silver, target: 0.990}
  alertPolicies:
    - alertPolicyRef: burning
    - kind: AlertPolicy
      metadata: {name: slow}
      spec:
        alertWhenBreaching: true
        conditions:
          - kind: AlertCondition
            metadata: {name: slow-burn}
            spec:
              severity: warning
              condition: {kind: burnrate, op: gte, threshold: 1.5, lookbackWindow: 3d}
        notificationTargets:
          - targetRef: chat
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: burning}
spec:
  conditions:
    - conditionRef: fast-burn
  notificationTargets:
    - targetRef: on-call
    - targetRef: chat
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast-burn}
spec:
  severity: page
  condition: {kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h, alertAfter: 10m}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata:
  name: on-call
  annotations: {evenkeel.dev/secret-from: "env:EVENKEEL_SECRET_PAGERDUTY", evenkeel.dev/global-namespace: shop}
spec: {target: PagerDuty}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata:
  name: chat
  annotations:
    evenkeel.dev/url-from: file:/run/secrets/slack
    evenkeel.dev/allow-private: "true"
    evenkeel.dev/default: "true"
    evenkeel.dev/watchdog: "false"
    evenkeel.dev/watchdog-every: 30s
spec: {target: slack}
`

func compile(t *testing.T, text string, existing []mesh.Definition) []mesh.Definition {
	t.Helper()
	ds, ps := tryCompile(t, text, existing)
	for _, p := range ps {
		t.Error(p)
	}
	return ds
}

func tryCompile(t *testing.T, text string, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	t.Helper()
	docs, ps := yaml.Parse("shop.yaml", []byte(text))
	ds, more := kinds(t).Compile(docs, existing)
	return ds, append(ps, more...)
}

// apply brings definitions into a catalogue as a source does, and returns the changes.
func apply(t *testing.T, c *mesh.Catalogue, set []mesh.Definition) []mesh.Change {
	t.Helper()
	var out []mesh.Change
	for i := range 10 {
		p, more, err := mesh.Propose(mesh.Wish{ID: fmt.Sprintf("%d-%d", c.Revision(), i), Author: "ann", ManagedBy: "api", Set: set}, c.List(), mesh.Bounds{})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Set) == 0 {
			return out
		}
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		drafts, err := c.Step(&bus.Record{Seq: 1, Time: 1, Subject: mesh.SubjectProposal, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		var ch mesh.Change
		if err := json.Unmarshal(drafts[0].Data, &ch); err != nil {
			t.Fatal(err)
		}
		if !ch.Accepted {
			t.Fatalf("refused: %s %s", ch.Reason, ch.Message)
		}
		if out = append(out, ch); !more {
			return out
		}
	}
	t.Fatal("it never ends")
	return nil
}

func find(t *testing.T, ds []mesh.Definition, name string) mesh.Definition {
	t.Helper()
	for _, d := range ds {
		if d.Kind+"/"+d.Name == name {
			return d
		}
	}
	t.Fatalf("there is no %s", name)
	return mesh.Definition{}
}

func objectives(t *testing.T, d mesh.Definition) []slo.Objective {
	t.Helper()
	var out []slo.Objective
	if err := json.Unmarshal(d.Compiled, &out); err != nil {
		t.Fatalf("%s: %v", d.Ref, err)
	}
	for i := range out {
		if err := out[i].Validate(); err != nil {
			t.Errorf("%s: the stage would refuse it: %v", out[i].Name, err)
		}
	}
	return out
}

// What a user writes would reach the stages as something else.
func TestCompiled(t *testing.T) {
	ds := compile(t, shop, nil)
	def := find(t, ds, "SLO/availability")
	os := objectives(t, def)
	if len(os) != 2 {
		t.Fatalf("%d objectives", len(os))
	}
	a := os[0]
	got := []string{a.GlobalNamespace, a.Service, a.Name, a.DisplayName, a.Target.String(), a.Window.Duration.String(), a.Alerting.Runbook, a.Alerting.Annotations["description"], os[1].Name, os[1].Target.String()}
	want := []string{"shop", "checkout", "availability-gold", "Gold", "0.9995", "28d", "https://runbooks.example.com/checkout", "Orders are taken.", "availability-silver", "0.990"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	tiers, err := json.Marshal(a.Alerting.Tiers)
	if err != nil {
		t.Fatal(err)
	}
	const wantTiers = `[{"name":"fast-burn","severity":"page","pairs":[{"long":"1h","short":"10m","factor":"14.4"}],"notify":["on-call","chat"]},` +
		`{"name":"slow-burn","severity":"ticket","pairs":[{"long":"3d","short":"6h","factor":"1.5"}],"notify":["chat"]}]`
	if d := cmp.Diff(wantTiers, string(tiers)); d != "" {
		t.Error(d)
	}
	if got := a.SLI.Good.Terms[0].Selector.String(); got != `http_requests_total{code!~"5.."}` {
		t.Errorf("good: %s", got)
	}
	var refs []string
	for _, r := range def.References {
		refs = append(refs, r.Kind+"/"+r.Name)
	}
	if d := cmp.Diff([]string{"AlertNotificationTarget/chat", "AlertPolicy/burning", "SLI/good-requests"}, refs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"slo/shop/checkout/availability-gold", "slo/shop/checkout/availability-silver"}, def.Claims); d != "" {
		t.Error(d)
	}
	if def.Labels["team"] != "shop,web" || def.GlobalNamespace != "shop" || !strings.HasPrefix(def.Source, "apiVersion: openslo/v1\nkind: SLO\n") {
		t.Errorf("definition: %+v", def)
	}
}

// A target would reach the notifier in a shape that it does not read, or with another meaning.
func TestCompiledTargets(t *testing.T) {
	ds := compile(t, shop, nil)
	for name, want := range map[string]string{
		"on-call": `{"name":"on-call","type":"pagerduty","secretFrom":"env:EVENKEEL_SECRET_PAGERDUTY","globalNamespace":"shop"}`,
		"chat":    `{"name":"chat","type":"slack","urlFrom":"file:/run/secrets/slack","allowPrivate":true,"globalNamespace":"default","default":true,"noWatchdog":true,"watchdogEvery":"30s"}`,
	} {
		d := find(t, ds, "AlertNotificationTarget/"+name)
		if diff := cmp.Diff(want, string(d.Compiled)); diff != "" {
			t.Error(diff)
		}
		dec := json.NewDecoder(strings.NewReader(string(d.Compiled)))
		dec.DisallowUnknownFields()
		var target notify.Target
		if err := dec.Decode(&target); err != nil {
			t.Errorf("%s: the notifier cannot read it: %v", name, err)
		}
		if err := target.Validate(); err != nil {
			t.Errorf("%s: the notifier would refuse it: %v", name, err)
		}
	}
}

// Loading the same folder again would change definitions, and so restart counts or send events for nothing.
func TestLoadTwice(t *testing.T) {
	c := mesh.NewCatalogue(mesh.Bounds{})
	if n := len(apply(t, c, compile(t, shop, nil))); n != 1 {
		t.Fatalf("loaded in %d parts", n)
	}
	if chs := apply(t, c, compile(t, shop, c.List())); len(chs) != 0 {
		t.Errorf("loading again changes %d definitions", len(chs[0].Set))
	}
	// From what the catalogue keeps, as 'get -o yaml | apply' does.
	var kept strings.Builder
	for _, d := range c.List() {
		kept.WriteString("---\n" + d.Source)
	}
	if chs := apply(t, c, compile(t, kept.String(), c.List())); len(chs) != 0 {
		t.Errorf("applying what was read changes %d definitions", len(chs[0].Set))
	}
}

// A change of an SLI or of an alert condition would not reach the SLOs that use it.
func TestDependents(t *testing.T) {
	c := mesh.NewCatalogue(mesh.Bounds{})
	apply(t, c, compile(t, shop, nil))
	before := find(t, c.List(), "SLO/availability")

	part := func(kind string) string {
		for _, d := range strings.Split(shop, "---\n") {
			if strings.HasPrefix(d, "apiVersion: openslo/v1\nkind: "+kind+"\n") {
				return d
			}
		}
		t.Fatalf("no %s", kind)
		return ""
	}
	apply(t, c, compile(t, strings.Replace(part("SLI"), "5..", "4..", 1), c.List()))
	d := find(t, c.List(), "SLO/availability")
	if got := objectives(t, d)[0].SLI.Good.Terms[0].Selector.String(); got != `http_requests_total{code!~"4.."}` || d.Generation != 2 || d.Source != before.Source {
		t.Errorf("good: %s at generation %d", got, d.Generation)
	}

	apply(t, c, compile(t, strings.Replace(part("AlertCondition"), "14.4", "10", 1), c.List()))
	d = find(t, c.List(), "SLO/availability")
	if got := objectives(t, d)[0].Alerting.Tiers[0].Pairs[0].Factor.String(); got != "10" {
		t.Errorf("factor %s", got)
	}
	if chs := apply(t, c, compile(t, part("Service"), c.List())); len(chs) != 0 {
		t.Errorf("an unchanged service changes %+v", chs)
	}

	_, ps := tryCompile(t, strings.Replace(part("AlertCondition"), "14.4", "200", 1), c.List())
	if len(ps) != 1 || ps[0].String() != "SLO default/availability (in the catalogue): tier fast-burn: pair 1h/10m: the factor 200 can never be exceeded: with target 0.990 the burn rate is at most 100" {
		t.Errorf("a change that breaks an SLO of the catalogue: %v", ps)
	}
	_, ps = tryCompile(t, strings.Replace(strings.Replace(part("SLO"), "name: availability", "name: other", 1), "Gold", "Bronze", 1), c.List())
	if len(ps) > 0 {
		t.Errorf("an SLO that refers to the catalogue: %v", ps)
	}
	_, ps = tryCompile(t, strings.Replace(part("SLO"), "good-requests", "god-requests", 1), c.List())
	if len(ps) != 1 || !strings.Contains(ps[0].String(), `shop.yaml:11:17: there is no SLI named "god-requests" (did you mean "good-requests"?)`) {
		t.Errorf("an unresolved reference: %v", ps)
	}
}

// Files in the shape of the OpenSLO specification's own examples would be refused although they fit, or for a wrong reason.
func TestSpecification(t *testing.T) {
	raw, err := os.ReadFile("testdata/specification.txtar")
	if err != nil {
		t.Fatal(err)
	}
	k := kinds(t)
	for _, f := range txtar.Parse(raw).Files {
		reason, text, _ := strings.Cut(string(f.Data), "\n")
		reason = strings.TrimPrefix(strings.TrimPrefix(reason, "#"), " ")
		got := check(k, f.Name, []byte("#\n"+text))
		switch {
		case reason == "fits" && got != "":
			t.Errorf("%s does not fit: %s", f.Name, got)
		case reason != "fits" && !strings.Contains(got, reason):
			t.Errorf("%s: %q, want %q", f.Name, got, reason)
		}
	}
}

// No alerts would be sent where some are meant, or some where none are.
func TestWhichAlerts(t *testing.T) {
	base := shop[:strings.Index(shop, "  alertPolicies:")]
	for text, want := range map[string]struct {
		disabled bool
		tiers    int
	}{
		"":                      {false, 2},
		"  alertPolicies:\n":    {false, 2},
		"  alertPolicies: []\n": {true, 0},
	} {
		o := objectives(t, find(t, compile(t, base+text, nil), "SLO/availability"))[1]
		if o.Alerting.Disabled != want.disabled || len(o.Tiers()) != want.tiers {
			t.Errorf("%q: disabled %t, %d tiers", text, o.Alerting.Disabled, len(o.Tiers()))
		}
	}
}

// Objectives would get names that change when another is added, or that two of them share.
func TestObjectiveNames(t *testing.T) {
	base := shop[:strings.Index(shop, "  objectives:")]
	for text, want := range map[string]string{
		"[{target: 0.9}]": "availability",
		"[{target: 0.9}, {displayName: Two, target: 0.8}]":                                                    "availability-1 availability-two",
		"[{displayName: A b, target: 0.9}, {displayName: a-B, target: 0.8}, {displayName: '1', target: 0.7}]": "availability-1 availability-2 availability-3",
	} {
		var names []string
		for _, o := range objectives(t, find(t, compile(t, base+"  objectives: "+text+"\n  alertPolicies: []\n", nil), "SLO/availability")) {
			names = append(names, o.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
