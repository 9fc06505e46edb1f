package export

import "evenkeel.dev/slo"

// pyrraLabels has the one label of Pyrra's generic rules, which tells SLOs apart by itself: its dashboards join by it.
func pyrraLabels(it *slo.Item) string { return label("slo", qualified(it, it.Service+"/"+it.Name)) }

// pyrraFamilies are the generic rules of Pyrra.
func pyrraFamilies([]slo.Item) []family {
	return []family{
		gauge("pyrra_objective", "The objective.", func(it *slo.Item) string { return it.Objective.String() }),
		gauge("pyrra_window", "Length of the window in seconds.", func(it *slo.Item) string { return seconds(period(it)) }),
		gauge("pyrra_availability", "Share of good events in the window.", sli),
		single("pyrra_requests_total", "counter", "All events since this process began.", func(it *slo.Item) string { return float(it.Counted.Total) }),
		single("pyrra_errors_total", "counter", "Bad events since this process began.", func(it *slo.Item) string { return float(it.Counted.Total - it.Counted.Good) }),
	}
}
