package openslo

import (
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// What OpenSLO has no words for would be written as something else, without a word: another SLO than the one that people had.
func TestWriteRefuses(t *testing.T) {
	minutes := slo.Duration(10 * bus.Minute)
	for want, change := range map[string]func(w *slo.Written){
		"":                              func(*slo.Written) {},
		"a composite cannot be written": func(w *slo.Written) { w.Composite = &slo.Composite{} },
		"that compares values cannot":   func(w *slo.Written) { w.SLI.Gauge = &slo.Gauge{Op: slo.OpLess} },
		"the method Timeslices over":    func(w *slo.Written) { w.Method = slo.MethodTimeslices },
		"the label \"a,b\" cannot":      func(w *slo.Written) { w.GroupBy = []string{"a,b"} },
		"the label \" a\" cannot":       func(w *slo.Written) { w.GroupBy = []string{" a"} },
		"the alert exhaustion cannot":   func(w *slo.Written) { w.Alerting.Extra = []slo.Tier{{Name: "exhaustion", Exhaustion: minutes}} },
		"the alert no-data cannot":      func(w *slo.Written) { w.Alerting.Extra = []slo.Tier{{Name: "no-data", Absent: minutes}} },
		"the alert absent cannot": func(w *slo.Written) {
			w.Alerting.Extra = []slo.Tier{{Name: "absent", Absent: minutes, Notify: []string{"a"}}}
		},
		"the alert page cannot be written": func(w *slo.Written) { w.Alerting.Tiers = []slo.Tier{{Name: "page", Severity: slo.SeverityPage}} },
	} {
		w := slo.Written{Objective: slo.Objective{Service: "s", Name: "a", Method: slo.MethodOccurrences, Target: slo.MustDecimal("0.99"), Window: slo.Window{Type: slo.WindowRolling, Duration: slo.Duration(28 * bus.Day)}}, Bad: "a", Total: "b"}
		change(&w)
		_, err := Write(&w)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
