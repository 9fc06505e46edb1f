package export

import (
	"math/big"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// defaultNamespace is the global namespace of who names none.
const defaultNamespace = "default"

// qualified is a name that no other global namespace has.
func qualified(it *slo.Item, name string) string {
	if it.GlobalNamespace == defaultNamespace {
		return name
	}
	return it.GlobalNamespace + "/" + name
}

func slothLabels(it *slo.Item) string {
	return strings.Join([]string{label("global_namespace", it.GlobalNamespace), label("sloth_id", qualified(it, it.Service+"-"+it.Name)), label("sloth_service", it.Service), label("sloth_slo", it.Name)}, ",")
}

// slothFamilies are the recording rules of Sloth.
func slothFamilies(items []slo.Item) []family {
	var out []family
	for _, w := range windows(items) {
		out = append(out, errorRatio(w))
	}
	return append(out,
		gauge("slo:objective:ratio", "The objective.", func(it *slo.Item) string { return it.Objective.String() }),
		gauge("slo:error_budget:ratio", "1 - objective.", func(it *slo.Item) string { return slo.DecimalOf(share(it), 30).String() }),
		gauge("slo:time_period:days", "Length of the window in days.", func(it *slo.Item) string { return float(float64(period(it)) / float64(bus.Day)) }),
		gauge("slo:current_burn_rate:ratio", "Burn rate of five minutes.", func(it *slo.Item) string {
			for _, r := range it.BurnRates {
				if r.Window == currentWindow && r.Rate != nil {
					return float(*r.Rate)
				}
			}
			return ""
		}),
		gauge("slo:period_burn_rate:ratio", "Share of the window's budget that is spent.", func(it *slo.Item) string {
			if it.Budget.RemainingRatio == nil {
				return ""
			}
			return float(it.Budget.Consumed / it.Budget.Total)
		}),
		gauge("slo:period_error_budget_remaining:ratio", "Share of the window's budget that is left.", remaining),
		family{"sloth_slo_info", "gauge", "1; what the SLO is.", func(it *slo.Item, emit emitter) {
			objective := slo.DecimalOf(new(big.Rat).Mul(it.Objective.Rat(), big.NewRat(100, 1)), 30)
			emit(strings.Join([]string{label("sloth_mode", "evenkeel"), label("sloth_objective", objective.String()), label("sloth_spec", "evenkeel"), label("sloth_version", "evenkeel")}, ","), "1")
		}},
	)
}

// currentWindow is the span of Sloth's current burn rate, which each SLO has.
const currentWindow = slo.Duration(5 * bus.Minute)

// windows returns all windows that some SLO has, its whole one too, ascending.
func windows(items []slo.Item) []slo.Duration {
	seen := map[slo.Duration]bool{}
	for i := range items {
		seen[items[i].Window.Duration] = true
		for _, r := range items[i].BurnRates {
			seen[r.Window] = true
		}
	}
	out := make([]slo.Duration, 0, len(seen))
	for w := range seen { // sorted below
		out = append(out, w)
	}
	slices.Sort(out)
	return out
}

// errorRatio is the family of one window.
func errorRatio(w slo.Duration) family {
	name := promDuration(w)
	return family{"slo:sli_error:ratio_rate" + name, "gauge", "Share of bad events in " + name + ".", func(it *slo.Item, emit emitter) {
		more := label("sloth_window", name)
		if it.Window.Duration == w {
			if it.Events.Total > 0 {
				emit(more, float((it.Events.Total-it.Events.Good)/it.Events.Total))
			}
			return
		}
		for _, r := range it.BurnRates {
			if r.Window == w && r.Rate != nil {
				budget, _ := share(it).Float64()
				emit(more, float(*r.Rate*budget))
			}
		}
	}}
}

// promDuration writes a duration as Prometheus does, and Sloth in its names: whole years and weeks in these (28 days are "4w").
func promDuration(d slo.Duration) string {
	for _, u := range []struct {
		size bus.Time
		unit string
	}{{365 * bus.Day, "y"}, {7 * bus.Day, "w"}} {
		if t := d.Time(); t >= u.size && t%u.size == 0 {
			return float(float64(t/u.size)) + u.unit
		}
	}
	return d.String()
}
