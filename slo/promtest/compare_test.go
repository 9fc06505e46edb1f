package promtest

import (
	"fmt"
	"strings"
	"testing"

	"evenkeel.dev/bus"
)

// Alerts of Sloth's or Pyrra's rules would be compared with those of another SLO, or with none.
func TestSubject(t *testing.T) {
	known := []Known{{"default", "checkout", "availability", ""}, {"shop", "cart", "availability", ""}, {"default", "x", "my-slo---1", "My SLO"}}
	for _, c := range []struct {
		labels string
		want   string
	}{
		{"sloth_service=checkout sloth_slo=availability sloth_severity=page severity=info", "checkout/availability page"},
		{"sloth_service=cart sloth_slo=availability sloth_severity=ticket", "shop/cart/availability ticket"},
		{"sloth_service=X sloth_slo=My_SLO sloth_severity=ticket", "x/my-slo---1 ticket"},
		{"slo=availability service=checkout severity=critical", "checkout/availability page"},
		{"slo=availability severity=warning", "/availability ticket"}, // of two, which?
		{"slo=other service=checkout severity=critical", "checkout/other page"},
		{"slo=availability severity=info", " "},
		{"severity=page", " "},
	} {
		ls := map[string]string{}
		for _, p := range strings.Fields(c.labels) {
			k, v, _ := strings.Cut(p, "=")
			ls[k] = strings.ReplaceAll(v, "_", " ")
			if k == "severity" || k == "sloth_severity" {
				ls[k] = v
			}
		}
		name, severity, ok := Subject(ls, known)
		if got := name + " " + severity; got != c.want || ok != (c.want != " ") {
			t.Errorf("%s: %q, want %q", c.labels, got, c.want)
		}
	}
}

// Two tools that alert at the same times would be said to differ, or such that do not would pass as the same.
func TestMatch(t *testing.T) {
	for _, c := range []struct{ prometheus, evenkeel, want string }{
		{"", "", ""},
		{"10-20", "11-25", ""},
		{"10-20", "13-20", "Fired"},
		{"10-20", "10-31", "Resolved"},
		{"10-20", "5-60", "Fired+Resolved"},
		{"10-20", "", "OnlyPrometheus"},
		{"", "10-20", "OnlyEvenkeel"},
		{"10-20", "30-40", "OnlyPrometheus OnlyEvenkeel"},
		{"10-20", "22-40", "Fired+Resolved"}, // the one that begins within the tolerance of the other's end
		{"10-20 21-30", "10-32", ""},         // flapping
		{"10-20 40-50", "40-51", "OnlyPrometheus"},
		{"10-20 40-50", "10-22 41-55", ""},
		{"10-", "10-", ""},
		{"10-", "10-20", "Resolved"},
		{"10-", "10-95", ""}, // within the tolerance of the end
		{"10- 20-30", "10-", ""},
	} {
		cmp := &Comparison{Until: 100 * bus.Minute, Tolerance: 2 * bus.Minute, Resolved: 10 * bus.Minute}
		pairs, failures := cmp.Match(&Outcome{Prometheus: episodes(c.prometheus), Evenkeel: episodes(c.evenkeel)})
		var got []string
		for i := range pairs {
			if pairs[i].Difference != "" {
				got = append(got, pairs[i].Difference)
			}
		}
		if s := strings.Join(got, " "); s != c.want || len(failures) != len(got) {
			t.Errorf("%q and %q differ by %q, want %q; %d failures", c.prometheus, c.evenkeel, s, c.want, len(failures))
		}
	}
}

// episodes reads minutes: "10-20 30-".
func episodes(text string) []Episode {
	var out []Episode
	for _, f := range strings.Fields(text) {
		e := Episode{SLO: "a/b", Severity: "page", To: lasts}
		var from, to int
		if n, _ := fmt.Sscanf(f, "%d-%d", &from, &to); n == 2 {
			e.To = bus.Time(to) * bus.Minute
		}
		e.From = bus.Time(from) * bus.Minute
		out = append(out, e)
	}
	return out
}

// A difference that somebody has accepted would fail, or one that nobody has would pass with it.
func TestAccept(t *testing.T) {
	cmp := &Comparison{Until: bus.Hour, Accept: []Accepted{{SLO: "a/b", Severity: "page", Difference: DifferenceOnlyPrometheus, Reason: "known"}}}
	if _, failures := cmp.Match(&Outcome{Prometheus: episodes("10-20")}); len(failures) != 0 {
		t.Errorf("%v", failures)
	}
	if _, failures := cmp.Match(&Outcome{Evenkeel: episodes("10-20")}); len(failures) != 2 {
		t.Errorf("another difference, and an acceptance of nothing: %v", failures)
	}
}
