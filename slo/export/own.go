package export

import (
	"strings"

	"evenkeel.dev/slo"
)

func ownLabels(it *slo.Item) string {
	return strings.Join([]string{label("global_namespace", it.GlobalNamespace), label("service", it.Service), label("slo", it.Name)}, ",")
}

func ownFamilies([]slo.Item) []family {
	return []family{
		{"evenkeel_slo_info", "gauge", "1; what the SLO is.", info},
		gauge("evenkeel_slo_objective_ratio", "Share of good events that is promised.", func(it *slo.Item) string { return it.Objective.String() }),
		gauge("evenkeel_slo_window_seconds", "Length of the window; of a calendar's, that of the period at hand.", func(it *slo.Item) string { return seconds(period(it)) }),
		gauge("evenkeel_slo_sli_ratio", "Share of good events in the window.", sli),
		gauge("evenkeel_slo_window_good", "Good events, or slices of time, in the window.", func(it *slo.Item) string { return float(it.Events.Good) }),
		gauge("evenkeel_slo_window_events", "All events, or slices of time, in the window.", func(it *slo.Item) string { return float(it.Events.Total) }),
		gauge("evenkeel_slo_budget_events", "The error budget, in events or slices of time.", func(it *slo.Item) string { return float(it.Budget.Total) }),
		gauge("evenkeel_slo_budget_consumed_events", "What is spent of it.", func(it *slo.Item) string { return float(it.Budget.Consumed) }),
		gauge("evenkeel_slo_budget_remaining_ratio", "Share of the error budget that is left; below 0 where it is overspent.", remaining),
		{"evenkeel_slo_burn_rate", "gauge", "How many times faster than allowed the budget is spent.", func(it *slo.Item, emit emitter) {
			for _, r := range it.BurnRates {
				if r.Rate != nil {
					emit(label("window", r.Window.String()), float(*r.Rate))
				}
			}
		}},
		{"evenkeel_slo_state", "gauge", "1 for the state that the SLO is in.", func(it *slo.Item, emit emitter) {
			emit(label("state", it.State)+","+label("reason", it.Reason), "1")
		}},
		{"evenkeel_slo_alert", "gauge", "1 for each alert that is pending or firing.", func(it *slo.Item, emit emitter) {
			for _, a := range it.Alerts {
				if a.State == slo.AlertFiring || a.State == slo.AlertPending {
					emit(label("tier", a.Tier)+","+label("state", a.State), "1")
				}
			}
		}},
		gauge("evenkeel_slo_coverage_ratio", "Share of the window so far for which there are data.", func(it *slo.Item) string { return float(it.Coverage) }),
		gauge("evenkeel_slo_excluded_seconds", "Time of the window that does not count.", func(it *slo.Item) string {
			if it.Excluded == nil {
				return "0"
			}
			return float(float64(it.Excluded.Seconds))
		}),
		gauge("evenkeel_slo_lag_seconds", "How far the newest event that is counted is behind the log.", func(it *slo.Item) string {
			if it.AsOf == 0 {
				return ""
			}
			return seconds(it.Lag)
		}),
		gauge("evenkeel_slo_age_seconds", "Since when nothing was told of the SLO; 10 s are usual.", func(it *slo.Item) string { return seconds(it.Age) }),
		single("evenkeel_slo_good_total", "counter", "Good events, or slices of time, since this process began.", func(it *slo.Item) string { return float(it.Counted.Good) }),
		single("evenkeel_slo_events_total", "counter", "All events, or slices of time, since this process began.", func(it *slo.Item) string { return float(it.Counted.Total) }),
	}
}

func info(it *slo.Item, emit emitter) {
	counts := "events"
	if it.Slice > 0 {
		counts = "slices of " + it.Slice.String()
	}
	emit(strings.Join([]string{label("window", it.Window.Type+" "+it.Window.Duration.String()), label("method", it.Method), label("counts", counts), label("roll_up", it.RollUp)}, ","), "1")
}
