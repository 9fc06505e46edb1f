package peererrors

import (
	"slices"
	"testing"

	"evenkeel.dev/bus"
)

// Somebody would be woken by a burst of requests that all went well: senders split one scrape over several requests, so that the total of
// a moment arrives before the good ones. A rule that is evaluated in between sees a failure that never was; here a second is closed when
// both can have come (the lateness of 5 s), and good and total meet at the time they were read. Sources:
// prometheus/prometheus #12275 (rules of one group see different moments), #13591; ARO's fixture svc-delay, in which a bucket that lags
// fires a fast burn.
func TestSkewedRequest(t *testing.T) {
	const scrape, skew = 15 * bus.Second, 3 * bus.Second
	o := objective(t, "0.999", "30d")
	good300ms := expr(t, is("__name__", "request_seconds_bucket"), is("le", "0.3"))
	o.SLI.Good, o.SLI.Total = &good300ms, expr(t, is("__name__", "request_seconds_count"))
	w := newWorld(t, o)
	good, total := 0.0, 0.0
	type seen struct{ good, total float64 }
	var between []seen // what a rule sees that is evaluated after the total and before the good ones
	for i := range 8 * 60 * 4 {
		step := 10.0
		if i == 7*60*4 {
			step = 50_000 // a flash crowd, all served well
		}
		total += step
		read := w.now
		w.add(read, total, "request_seconds_count")
		w.flush()
		between = append(between, seen{good, total})
		w.pass(skew)
		good += step
		w.add(read, good, "request_seconds_bucket", "le", "0.3")
		w.flush()
		w.pass(scrape - skew)
	}
	worst := [2]float64{}
	for k, steps := range [2]int{20, 240} { // 5m and 1h
		for i := 240; i < len(between); i++ {
			a, b := between[i-steps], between[i]
			worst[k] = max(worst[k], 1-(b.good-a.good)/(b.total-a.total))
		}
	}
	t.Logf("error ratio that a rule sees in between: %.1f %% in 5m, %.1f %% in 1h; it fires above %.2f %%", 100*worst[0], 100*worst[1], 100*14.4*0.001)
	if worst[0] < 14.4*0.001 || worst[1] < 14.4*0.001 {
		t.Errorf("the rule would not fire: %v", worst)
	}
	if slices.Contains(w.alerts, "page firing") || slices.Contains(w.alerts, "ticket firing") {
		t.Errorf("alerts %v of a service that never failed", w.alerts)
	}
	if st := w.status(); st.Events.Good != st.Events.Total || st.Events.Total != total-10 {
		t.Errorf("%v of %v good", st.Events.Good, st.Events.Total)
	}
}
