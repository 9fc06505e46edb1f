package notify

import (
	"fmt"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// BenchmarkTick is one second of the stage with all the alerts that it keeps, each told to Alertmanager again every minute.
func BenchmarkTick(b *testing.B) {
	w := newWorld(b, Config{})
	w.target("shop", "am", TypeAlertmanager, func(t *Target) { t.NoWatchdog = true })
	for i := range 20_000 {
		e := testAlert(fmt.Sprint("a", i), slo.AlertFiring, w.now)
		e.SLO = fmt.Sprint("slo", i)
		w.event(e)
		w.now += 3 * bus.Millisecond
	}
	r := &bus.Record{Subject: bus.SubjectTick, Time: w.now}
	w.log.Reset()
	orders := 0
	for b.Loop() {
		r.Seq++
		r.Time += bus.Second
		drafts, err := w.s.Step(r)
		if err != nil {
			b.Fatal(err)
		}
		orders += len(drafts)
	}
	b.ReportMetric(float64(orders)/float64(b.N), "orders/op")
}
