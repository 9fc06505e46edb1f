package export

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

var update = flag.Bool("update", false, "write the golden files anew")

func ptr[T any](v T) *T { return &v }

// someItems show everything that an export can hold.
func someItems() []slo.Item {
	rate := func(w bus.Time, v float64) slo.BurnRate { return slo.BurnRate{Window: slo.Duration(w), Rate: &v} }
	healthy := slo.Item{Status: slo.Status{
		GlobalNamespace: "default", Service: "checkout", Name: "availability", Objective: slo.MustDecimal("0.999"), Method: slo.MethodOccurrences,
		Window: slo.Window{Type: slo.WindowRolling, Duration: slo.Duration(30 * bus.Day)}, State: slo.StateWarning, Reason: slo.ReasonMissesObjective,
		SLI: ptr(slo.MustDecimal("0.9995")), Events: slo.Events{Good: 1999, Total: 2000}, Budget: slo.Budget{Total: 2, Consumed: 1, Remaining: 1, RemainingRatio: ptr(0.5)},
		BurnRates: []slo.BurnRate{rate(5*bus.Minute, 14.5), rate(bus.Hour, 2), rate(bus.Day, 0.5), {Window: slo.Duration(3 * bus.Day)}},
		Alerts:    []slo.AlertStatus{{Tier: "page", State: slo.AlertFiring}, {Tier: "ticket", State: slo.AlertInactive}, {Tier: "slow", State: slo.AlertPending}},
		Coverage:  0.98, Excluded: &slo.Excluded{Seconds: 90}, AsOf: 1_800_000_000_000,
	}, Lag: 1500, Age: 300, Counted: slo.Events{Good: 41, Total: 43}}
	calendar := slo.Item{Status: slo.Status{
		GlobalNamespace: "shop", Service: "search", Name: "minutes_eu-1", RollUp: "minutes", Objective: slo.MustDecimal("0.99"), Method: slo.MethodTimeslices, Slice: slo.Duration(bus.Minute), Slices: 44640,
		Window: slo.NewCalendarWindow(slo.Calendar{Unit: slo.UnitMonth, Count: 1, Start: "2026-01-01 00:00:00"}), Period: &slo.Period{From: 1_790_812_800_000, Until: 1_793_491_200_000},
		State: slo.StateHealthy, Reason: slo.ReasonMeetsObjective, SLI: ptr(slo.MustDecimal("1")), Events: slo.Events{Good: 60, Total: 60},
		Budget: slo.Budget{Total: 446.4, Remaining: 446.4, RemainingRatio: ptr(1.0)}, BurnRates: []slo.BurnRate{rate(5*bus.Minute, 0)}, Coverage: 1, AsOf: 1_800_000_000_000,
	}}
	empty := slo.Item{Status: slo.Status{
		GlobalNamespace: "default", Service: `a"b\c`, Name: "line\nbreak\xff", Objective: slo.MustDecimal("0.5"), Method: slo.MethodOccurrences,
		Window: slo.Window{Type: slo.WindowRolling, Duration: slo.Duration(28 * bus.Day)}, State: slo.StateUnknown, Reason: slo.ReasonNoDataYet,
	}}
	return []slo.Item{empty, healthy, calendar}
}

func render(t *testing.T, items []slo.Item, names ...string) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, items, names); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A dashboard, an alert rule or a script that reads the export would find other names or labels.
func TestText(t *testing.T) {
	got := render(t, someItems(), SetEvenkeel, SetSloth, SetPyrra)
	path := filepath.Join("testdata", "export.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// parse reads an export as Prometheus does; a series that comes twice, a family in two places or a sample without a type is a mistake.
func parse(t *testing.T, text string) map[string]float64 {
	t.Helper()
	p := textparse.NewPromParser([]byte(text), labels.NewSymbolTable(), false)
	out, family, kinds := map[string]float64{}, "", map[string]string{}
	for {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e {
		case textparse.EntryType:
			name, kind := p.Type()
			if family = string(name); kinds[family] != "" {
				t.Errorf("%s begins twice", family)
			}
			kinds[family] = string(kind)
		case textparse.EntrySeries:
			var ls labels.Labels
			p.Labels(&ls)
			_, at, v := p.Series()
			if _, twice := out[ls.String()]; twice || at != nil || ls.Get("__name__") != family || math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s = %g in the family %s, twice: %t", ls, v, family, twice)
			}
			if strings.HasSuffix(family, "_total") != (kinds[family] == "counter") {
				t.Errorf("%s is a %s", family, kinds[family])
			}
			out[ls.String()] = v
		}
	}
}

// Prometheus would refuse the whole export, or store other numbers than the API says.
func TestPrometheusReadsIt(t *testing.T) {
	items := someItems()
	got := parse(t, render(t, items, SetEvenkeel, SetSloth, SetPyrra))
	st := items[1].Status
	own, sloth, pyrra := `global_namespace="default", service="checkout", slo="availability"`, `global_namespace="default", sloth_id="checkout-availability", sloth_service="checkout", sloth_slo="availability"`, `slo="checkout/availability"`
	for series, want := range map[string]float64{
		`{__name__="evenkeel_slo_sli_ratio", ` + own + `}`:                                                                                      st.SLI.Float(),
		`{__name__="evenkeel_slo_objective_ratio", ` + own + `}`:                                                                                st.Objective.Float(),
		`{__name__="evenkeel_slo_budget_remaining_ratio", ` + own + `}`:                                                                         *st.Budget.RemainingRatio,
		`{__name__="evenkeel_slo_burn_rate", ` + own + `, window="5m"}`:                                                                         *st.BurnRates[0].Rate,
		`{__name__="evenkeel_slo_events_total", ` + own + `}`:                                                                                   43,
		`{__name__="evenkeel_slo_coverage_ratio", ` + own + `}`:                                                                                 st.Coverage,
		`{__name__="evenkeel_slo_lag_seconds", ` + own + `}`:                                                                                    1.5,
		`{__name__="slo:sli_error:ratio_rate5m", ` + sloth + `, sloth_window="5m"}`:                                                             14.5 * 0.001,
		`{__name__="slo:sli_error:ratio_rate30d", ` + sloth + `, sloth_window="30d"}`:                                                           0.0005,
		`{__name__="slo:objective:ratio", ` + sloth + `}`:                                                                                       0.999,
		`{__name__="slo:error_budget:ratio", ` + sloth + `}`:                                                                                    0.001,
		`{__name__="slo:time_period:days", ` + sloth + `}`:                                                                                      30,
		`{__name__="slo:current_burn_rate:ratio", ` + sloth + `}`:                                                                               14.5,
		`{__name__="slo:period_burn_rate:ratio", ` + sloth + `}`:                                                                                0.5,
		`{__name__="slo:period_error_budget_remaining:ratio", ` + sloth + `}`:                                                                   0.5,
		`{__name__="pyrra_objective", ` + pyrra + `}`:                                                                                           0.999,
		`{__name__="pyrra_window", ` + pyrra + `}`:                                                                                              2592000,
		`{__name__="pyrra_availability", ` + pyrra + `}`:                                                                                        0.9995,
		`{__name__="pyrra_requests_total", ` + pyrra + `}`:                                                                                      43,
		`{__name__="pyrra_errors_total", ` + pyrra + `}`:                                                                                        2,
		`{__name__="pyrra_window", slo="shop/search/minutes_eu-1"}`:                                                                             2678400, // October
		`{__name__="pyrra_objective", slo="a\"b\\c/line\nbreak` + "\ufffd" + `"}`:                                                               0.5,
		`{__name__="evenkeel_slo_alert", ` + `global_namespace="default", service="checkout", slo="availability", state="firing", tier="page"}`: 1,
	} {
		if v, ok := got[series]; !ok || math.Abs(v-want) > 1e-15 {
			t.Errorf("%s is %g (there: %t), want %g", series, v, ok, want)
		}
	}
	for series := range got {
		if strings.Contains(series, `service="a`) && (strings.Contains(series, "burn") || strings.Contains(series, "sli_")) {
			t.Errorf("nothing is known, and yet there is %s", series)
		}
	}
}

// A metric of the engine itself would be taken for one of an SLO: what /metrics counts of the slo stage begins alike.
func TestSets(t *testing.T) {
	if got, err := ParseSets("pyrra, sloth"); err != nil || fmt.Sprint(got) != "[pyrra sloth]" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseSets(""); err != nil || fmt.Sprint(got) != "[evenkeel]" {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	if _, err := ParseSets("slot"); err == nil || !strings.Contains(err.Error(), "they are evenkeel, sloth or pyrra") {
		t.Errorf("what is not known: %v", err)
	}
	if text := render(t, someItems(), SetPyrra); strings.Contains(text, "slo:") || strings.Contains(text, "evenkeel") {
		t.Errorf("names of others: %s", text)
	}
	if text := render(t, nil, SetEvenkeel, SetSloth, SetPyrra); text != "" {
		t.Errorf("without SLOs: %s", text)
	}
	for d, want := range map[bus.Time]string{28 * bus.Day: "4w", 30 * bus.Day: "30d", 7 * bus.Day: "1w", 365 * bus.Day: "1y", bus.Day: "1d", 90 * bus.Minute: "1h30m"} {
		if got := promDuration(slo.Duration(d)); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("gone") }

// A server would go on writing to who is gone.
func TestWriterGone(t *testing.T) {
	if err := Write(broken{}, someItems(), []string{SetSloth}); err == nil {
		t.Error("it is not told")
	}
}

// written counts what is written to it.
type written int

func (w *written) Write(p []byte) (int, error) {
	*w += written(len(p))
	return len(p), nil
}

// An engine with very many SLOs would need seconds and gigabytes for each scrape. The time is that of 10,000 SLOs.
func BenchmarkWrite(b *testing.B) {
	var items []slo.Item
	for i := range 10_000 {
		it := someItems()[1]
		it.Name = fmt.Sprint("slo-", i)
		items = append(items, it)
	}
	for _, sets := range [][]string{{SetEvenkeel}, {SetSloth}, {SetPyrra}, {SetEvenkeel, SetSloth, SetPyrra}} {
		b.Run(strings.Join(sets, "+"), func(b *testing.B) {
			b.ReportAllocs()
			var size written
			for b.Loop() {
				size = 0
				if err := Write(&size, items, sets); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size)/float64(len(items)), "B/SLO")
		})
	}
}
