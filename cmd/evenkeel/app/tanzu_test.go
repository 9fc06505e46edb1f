package app

import (
	"strings"
	"testing"

	"evenkeel.dev/console"
)

// Who leaves Tanzu would be handed files that do not load.
func TestConvertTanzu(t *testing.T) {
	const answer = `[{"id":"checkout","type":"ACTIONABLE","basic_options":[{"metricName":"p99LATENCY","value":250}],"slo_target_value":99.9990005493164,` +
		`"slo_period":{"slo_period_frequency":"MONTHLY"},"slo_actions":[],"services":[{"name":"shopping"}]}]`
	got, err := ConvertTanzu([]console.File{{Name: "tsm.json", Text: answer}}, "shop", "")
	if err != nil || len(got.Left) > 0 || len(got.Notes) == 0 {
		t.Fatalf("%v, left %v, %d notes", err, got.Left, len(got.Notes))
	}
	ds, ps, err := Check([]console.File{{Name: "out.yaml", Text: string(got.Text)}})
	if err != nil || len(ps) > 0 || len(ds) != 1 || ds[0].GlobalNamespace != "shop" {
		t.Errorf("%v, %v, %d definitions of\n%s", err, ps, len(ds), got.Text)
	}
	got, err = ConvertTanzu([]console.File{{Name: "tsm.json", Text: "slo: yaml"}}, "", "")
	if err != nil || len(got.Left) != 1 || !strings.Contains(got.Left[0].String(), "this is not JSON") {
		t.Errorf("%v, %v", err, got.Left)
	}
}
