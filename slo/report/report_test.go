package report

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

const begin = bus.Time(1_800_000_000_000)

func at(d bus.Time) slo.Moment { return slo.Moment(begin + d) }

func ptr[T any](v T) *T { return &v }

// some is an SLO with everything that a report can show.
func some(name, target string) SLO {
	sli := slo.MustDecimal("0.999123456789")
	s := SLO{
		DisplayName: "answered", Tiers: tiers(), Step: slo.Duration(bus.Hour),
		Status: slo.Status{GlobalNamespace: "default", Service: "shop", Name: name, Objective: slo.MustDecimal(target), Window: slo.Window{Type: slo.WindowRolling, Duration: slo.Duration(30 * bus.Day)},
			State: slo.StateViolation, Reason: slo.ReasonMissesObjective, SLI: &sli, Events: slo.Events{Good: 999123, Total: 1000000},
			Budget: slo.Budget{Total: 500.5, Consumed: 877, Remaining: -376.5, RemainingRatio: ptr(-0.7522477)}, BurnRates: []slo.BurnRate{}, Alerts: []slo.AlertStatus{}, Coverage: 0.98765, AsOf: at(bus.Day)},
		Breached: true, Breaches: []Breach{{From: at(bus.Hour), To: at(2 * bus.Hour), Early: true}, {From: at(20 * bus.Hour)}},
		Alerts: []Alert{
			{ID: "1", Tier: "page", Severity: slo.SeverityPage, State: slo.AlertResolved, StartsAt: at(3 * bus.Hour), EndsAt: at(4 * bus.Hour),
				Pair: &slo.AlertPair{Long: slo.Duration(bus.Hour), Short: slo.Duration(5 * bus.Minute), Factor: slo.MustDecimal("14.4"), LongRate: 20.123, ShortRate: 1000}, Budget: slo.Budget{RemainingRatio: ptr(0.5)}},
			{ID: "2", Tier: "ticket", Severity: slo.SeverityTicket, State: slo.AlertFiring, StartsAt: at(19 * bus.Hour)},
		},
		Changes: []Change{{At: at(0), State: slo.StateHealthy, Reason: slo.ReasonMeetsObjective}},
	}
	s.FirstBreach = &s.Breaches[1].From
	for i := range bus.Time(25) {
		p := Point{At: at(i * bus.Hour), SLI: &sli, RemainingRatio: ptr(1 - 0.07*float64(i)), Coverage: 1, BurnRates: []slo.BurnRate{{Window: slo.Duration(bus.Hour), Rate: ptr(float64(i))}, {Window: slo.Duration(6 * bus.Hour), Rate: ptr(0.0)}}}
		if i == 10 || i == 12 {
			p.RemainingRatio, p.BurnRates = nil, []slo.BurnRate{}
		}
		s.Points = append(s.Points, p)
	}
	return s
}

func sample(runs ...Run) *Report {
	return &Report{Version: Version, Source: Source{Kind: "prometheus", Place: "http://prometheus:9090", Protocol: "RemoteReadStreamed"}, From: at(0), Until: at(bus.Day), Samples: 86400, Timestamps: 2880,
		Runs: runs, NotReproduced: []Note{{"ArrivalDelays", strings.Repeat("Samples arrive at their own timestamps. ", 5)}}}
}

func tiers() []slo.Tier {
	ts, _ := slo.DefaultTiers(slo.MustDecimal("0.999"), slo.Duration(30*bus.Day))
	return ts
}

func write(t *testing.T, f func(*strings.Builder) error) []byte {
	t.Helper()
	var b strings.Builder
	if err := f(&b); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

// A program or a person that reads reports would find them in another form.
func TestForms(t *testing.T) {
	one := sample(Run{Name: "shop.yaml", SLOs: []SLO{some("availability", "0.9995")}})
	two := sample(Run{Name: "shop.yaml", SLOs: []SLO{some("availability", "0.9995"), some("latency", "0.99")}}, Run{Name: "other.yaml", SLOs: []SLO{some("availability", "0.999")}, Notes: []Note{{"Refused", "one was refused"}}})
	for name, r := range map[string]*Report{"one": one, "two": two} {
		golden(t, name+".txt", write(t, func(b *strings.Builder) error { return r.Table(b) }))
		golden(t, name+".html", write(t, func(b *strings.Builder) error { return r.HTML(b) }))
	}
	golden(t, "one.json", write(t, func(b *strings.Builder) error { return one.JSON(b) }))
	var back Report
	if err := json.Unmarshal(write(t, func(b *strings.Builder) error { return one.JSON(b) }), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(one, &back, cmp.AllowUnexported(slo.Decimal{})); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// A name in a file or a label would run as a script in the reader's browser, move the cursor of a terminal or break its lines.
func TestHostileNames(t *testing.T) {
	evil := `"><script>alert(1)</script><svg onload=x>` + "\x1b[2J\n\u202e" + strings.Repeat("wide", 100)
	s := some(evil, "0.999")
	s.Status.Service, s.Alerts[0].Tier, s.Tiers[0].Name = evil, evil, evil
	s.Status.BurnRates = nil
	r := sample(Run{Name: evil, SLOs: []SLO{s}, Notes: []Note{{evil, evil}}}, Run{Name: evil + "2", SLOs: []SLO{s}})
	r.Source.Place, r.NotReproduced[0].Message = evil, evil
	page := string(write(t, func(b *strings.Builder) error { return r.HTML(b) }))
	for _, bad := range []string{"<script", "<svg onload", "http-equiv=\"refresh", "src=", "href=", "url(", "@import"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	text := string(write(t, func(b *strings.Builder) error { return r.Table(b) }))
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > Columns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if strings.ContainsAny(text, "\x1b\u202e") {
		t.Error("the table holds control signs")
	}
}

// The page would have holes: every number that is drawn is one.
func TestChartsAreNumbers(t *testing.T) {
	s := some("a", "0.999")
	s.Points[3].RemainingRatio, s.Points[4].RemainingRatio = ptr(-1e12), ptr(math.MaxFloat64/1e6)
	s.Points[5].BurnRates[0].Rate = ptr(1e30)
	empty := some("b", "0.999")
	empty.Points = nil
	page := string(write(t, func(b *strings.Builder) error { return sample(Run{Name: "f", SLOs: []SLO{s, empty}}).HTML(b) }))
	if m := regexp.MustCompile(`NaN|Inf|e\+\d\d,|ZgotmplZ`).FindString(page); m != "" {
		t.Errorf("the page holds %s", m)
	}
	for _, m := range regexp.MustCompile(`points="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		for p := range strings.FieldsSeq(m[1]) {
			var x, y float64
			if n, err := fmt.Sscanf(p, "%f,%f", &x, &y); n != 2 || err != nil || x < plotLeft || x > plotRight || y < plotTop || y > plotBottom {
				t.Fatalf("point %s is outside", p)
			}
		}
	}
}

// A handful of errors in the first hour would be told as a breach of the month, or a real breach not at all.
func TestBreaches(t *testing.T) {
	o := slo.Objective{GlobalNamespace: "g", Service: "s", Name: "n", Target: slo.MustDecimal("0.99"), Window: slo.Window{Type: slo.WindowRolling, Duration: slo.Duration(10 * bus.Day)}}
	for _, c := range []struct {
		name   string
		states []string // "hours state"
		first  string
		want   string
	}{
		{"never", []string{"1 HEALTHY", "2 WARNING"}, "never", ""},
		{"early", []string{"1 VIOLATION", "2 EXHAUSTED", "3 HEALTHY"}, "never (1 early)", "1-3e"},
		{"early, then real", []string{"1 VIOLATION", "3 HEALTHY", "50 EXHAUSTED", "60 WARNING"}, "2027-01-17 10:00:00 (1 early)", "1-3e 50-60"},
		{"begins early and goes on", []string{"1 VIOLATION", "30 HEALTHY"}, "2027-01-15 09:00:00", "1-30"},
		{"not known in between", []string{"50 VIOLATION", "51 UNKNOWN", "52 VIOLATION"}, "2027-01-17 10:00:00", "50-"},
	} {
		k := NewCollector([]slo.Objective{o}, begin, bus.Minute)
		for _, s := range c.states {
			h, state, _ := strings.Cut(s, " ")
			var hours bus.Time
			if _, err := fmt.Sscan(h, &hours); err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(slo.StatusEvent{Status: slo.Status{GlobalNamespace: "g", Service: "s", Name: "n", Objective: o.Target, Window: o.Window, State: state, AsOf: at(hours * bus.Hour)}})
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Take(0, begin, &bus.Draft{Event: &bus.Event{Type: slo.StatusEventType}, Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		s := k.Run("f").SLOs[0]
		var got []string
		for _, b := range s.Breaches {
			text := fmt.Sprintf("%d-", (b.From.Time()-begin)/bus.Hour)
			if b.To != 0 {
				text += fmt.Sprint(int64((b.To.Time() - begin) / bus.Hour))
			}
			if b.Early {
				text += "e"
			}
			got = append(got, text)
		}
		if g := strings.Join(got, " "); g != c.want || breachText(&s) != c.first || s.Breached != (s.FirstBreach != nil) {
			t.Errorf("%s: breaches %q, first %q; want %q, %q", c.name, g, breachText(&s), c.want, c.first)
		}
	}
}

// A comparison would set an SLO beside another one.
func TestPairs(t *testing.T) {
	names := func(r *Report) []string {
		var out []string
		for _, p := range r.Pairs() {
			text := p.Name
			for _, s := range p.Sides {
				text += fmt.Sprint(" ", s != nil)
			}
			out = append(out, text)
		}
		return out
	}
	a, b, c := some("a", "0.9"), some("b", "0.9"), some("c", "0.9")
	if diff := cmp.Diff([]string{"default/shop/a true false", "default/shop/b true true", "default/shop/c false true"}, names(sample(Run{SLOs: []SLO{a, b}}, Run{SLOs: []SLO{b, c}}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"default/shop/a | default/shop/b true true"}, names(sample(Run{SLOs: []SLO{a}}, Run{SLOs: []SLO{b}}))); diff != "" {
		t.Errorf("single ones (-want +got):\n%s", diff)
	}
}
