package notify

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// renderCases are deliveries that a stage has ordered.
func renderCases(t *testing.T, typ string) map[string]Delivery {
	w := newWorld(t, Config{})
	w.target("shop", "oncall", typ, nil)
	e := testAlert("a1", slo.AlertFiring, w.now)
	e.DisplayName = "Checkout <availability> & more"
	e.Annotations = map[string]string{"team-name": "payments", "description": "Call *payments* & <ops>."}
	w.event(e)
	cases := map[string]Delivery{"firing": w.one(slo.AlertFiring, 1)}
	w.result(cases["firing"], OutcomeDelivered, nil)
	w.seconds(10)
	e.State, e.Reason, e.EndsAt = slo.AlertResolved, "BurnRateLow", w.now.String()
	e.Pair.LongRate, e.Pair.ShortRate = 3.2, 0.1
	w.event(e)
	cases["resolved"] = w.one(slo.AlertResolved, 1)
	if len(w.dogs) > 0 {
		cases["watchdog"] = w.dogs[0]
	}
	w.step(SubjectTrialRequest, nil, TrialRequest{ID: "test-1", Target: w.s.order[0], Author: "alice"})
	cases["test"] = w.take()[0]
	if (&Target{Type: typ, GroupBy: []string{GroupByService}}).validateTiming() == nil {
		cases["group"] = groupCase(t, typ)
	}
	return cases
}

// groupCase is a group with one alert that fires, one that is over, and one that is only counted.
func groupCase(t *testing.T, typ string) Delivery {
	w := newWorld(t, Config{GroupMax: 2})
	w.target("shop", "oncall", typ, func(t *Target) { t.GroupBy = []string{GroupByService, GroupByNamespace} })
	for i, name := range []string{"availability", "latency", "freshness"} {
		e := testAlert("a"+name, slo.AlertFiring, w.now)
		e.SLO = name
		w.event(e)
		if i == 0 {
			w.seconds(30)
			w.result(w.take()[0], OutcomeDelivered, nil)
			e.State, e.Reason, e.EndsAt = slo.AlertResolved, "BurnRateLow", w.now.String()
			w.event(e)
		}
	}
	w.seconds(30)
	ds := w.take()
	if brief(ds) != "[oncall afreshness:firing alatency:firing +1 1]" {
		t.Fatal(brief(ds))
	}
	ds[0].Group.Alerts[1] = w.s.alerts["aavailability"].Event // so that both states are seen
	ds[0].Replies = []string{"grp-1"}
	return ds[0]
}

func TestRenderGolden(t *testing.T) {
	// A receiver would no longer understand what it gets.
	r := Renderer{ExternalURL: "https://evenkeel.example.com/", Timeline: "evenkeel why"}
	for _, typ := range Types() {
		for name, d := range renderCases(t, typ) {
			if typ == TypeEmail {
				m, err := r.Mail(d)
				if err != nil {
					t.Fatal(err)
				}
				compareGolden(t, filepath.Join("testdata", typ+"."+name+".eml"), m.Data)
				continue
			}
			c, err := r.Render(d, "ROUTINGKEY")
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			fmt.Fprintf(&b, "%s %s\n", c.Method, c.Path)
			for _, h := range c.Header {
				fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
			}
			b.WriteByte('\n')
			if err := json.Indent(&b, c.Body, "", "  "); err != nil {
				t.Fatal(err)
			}
			b.WriteByte('\n')
			compareGolden(t, filepath.Join("testdata", typ+"."+name+".http"), b.Bytes())
		}
	}
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; run with -update and look at the change:\n%s", path, got)
	}
}

func TestRoutingKeyIsNotInTheLog(t *testing.T) {
	// Whoever reads the log could send pages in our name.
	for _, d := range renderCases(t, TypePagerDuty) {
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Renderer{}.Render(d, "ROUTINGKEY")
		if err != nil || strings.Contains(string(b), "ROUTINGKEY") || !strings.Contains(string(c.Body), `"routing_key":"ROUTINGKEY"`) {
			t.Errorf("%v %s", err, c.Body)
		}
	}
}

func TestRenderBounds(t *testing.T) {
	// PagerDuty and Slack refuse what is too long, so that a page with a long name would be lost.
	for _, typ := range []string{TypePagerDuty, TypeSlack} {
		d := renderCases(t, typ)["firing"]
		d.Alert.ID = strings.Repeat("i", 400)
		d.Alert.DisplayName = strings.Repeat("<ü>", 2000)
		d.Alert.Annotations = map[string]string{"description": strings.Repeat("&", 50_000)}
		d.Alert.Runbook = "https://r.example.com/" + strings.Repeat("x", 5000)
		c, err := Renderer{}.Render(d, "k")
		if err != nil {
			t.Fatal(err)
		}
		if typ == TypePagerDuty {
			var e pagerDutyEvent
			if err := json.Unmarshal(c.Body, &e); err != nil || utf8.RuneCountInString(e.Payload.Summary) > 1024 || len(e.DedupKey) > 255 {
				t.Errorf("%v: summary of %d, key of %d", err, len(e.Payload.Summary), len(e.DedupKey))
			}
			continue
		}
		var m slackMessage
		if err := json.Unmarshal(c.Body, &m); err != nil {
			t.Fatal(err)
		}
		for _, block := range m.Blocks {
			texts := append(block.Fields, block.Elements...)
			if block.Text != nil {
				texts = append(texts, *block.Text)
			}
			for _, x := range texts {
				if n := utf8.RuneCountInString(x.Text); n > 3000 || block.Type == "section" && block.Text == nil && n > 2000 {
					t.Errorf("a %s of %d characters", block.Type, n)
				}
			}
		}
	}
}

func TestWords(t *testing.T) {
	// The page would show numbers that nobody can read, or wrong ones.
	for v, want := range map[float64]string{0: "0", 0.1: "0.1", 23.456: "23.5", 14.4: "14.4", 1234.5: "1234", 1e9: "1000000000", -12.34: "-12.3", 0.00123: "0.00123", 999.9: "1000"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
	for v, want := range map[string]string{"0.999": "99.9%", "0.99999": "99.999%", "0.5": "50%", "0.9": "90%", "0.123456789012345678901": "12.3456789012345678901%"} {
		if got := percent(slo.MustDecimal(v)); got != want {
			t.Errorf("%s is written %q, want %q", v, got, want)
		}
	}
	for tier, want := range map[string]string{"page": "SLOBurnRatePage", "fast-burn": "SLOBurnRateFastBurn", "": "SLOBurnRate", "über 2x": "SLOBurnRateBer2x"} {
		if got := alertName(&Delivery{Kind: KindAlert, Alert: slo.AlertEvent{Tier: tier}}); got != want {
			t.Errorf("tier %q gives %q, want %q", tier, got, want)
		}
	}
	if got := headerValue("a b\"%ü~"); got != "a%20b%22%25%C3%BC~" {
		t.Error(got)
	}
	if got := annotationName("9 team-näme"); got != "_9_team_n_me" {
		t.Error(got)
	}
}

func TestRenderWithoutNumbers(t *testing.T) {
	// An alert without a pair or a budget (deleted, no traffic) would break the rendering.
	for _, typ := range Types() {
		d := Delivery{Kind: KindAlert, ID: "x", At: bus.Time(1), Target: Target{Name: "t", Type: typ}, Alert: slo.AlertEvent{ID: "a", State: slo.AlertResolved, Reason: "Deleted", SLO: "s"}}
		if typ == TypeEmail {
			d.Target.Mail = &MailTarget{To: []string{"a@example.com"}, From: "b@example.com", SMTP: "localhost:25"}
			if m, err := (Renderer{}).Mail(d); err != nil || len(m.Data) == 0 {
				t.Error(err)
			}
			continue
		}
		c, err := Renderer{}.Render(d, "")
		if err != nil || len(c.Body) == 0 {
			t.Errorf("%s: %v", typ, err)
		}
	}
	if _, err := (Renderer{}).Render(Delivery{Target: Target{Type: "x"}}, ""); err == nil {
		t.Error("an unknown type was rendered")
	}
}
