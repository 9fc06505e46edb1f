package peererrors

import (
	"slices"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A restart of one pod of three would look like a million failed requests. Rules that sum counters first and take the rate of the sum
// read any fall as a reset of the sum, and count what the other pods ever had. Here each counter is watched by itself. Source:
// pyrra-dev/pyrra #968, #981, #1235 (open).
func TestRestartOfOnePod(t *testing.T) {
	w := newWorld(t, objective(t, "0.999", "30d"))
	pods := []string{"a", "b", "c"}
	bad := map[string]float64{"a": 500_000, "b": 300_000, "c": 200_000}
	good := map[string]float64{"a": 5e9, "b": 3e9, "c": 2e9}
	summed, before, exact := 0.0, 0.0, 0.0
	for minute := range 180 {
		sum := 0.0
		for _, p := range pods {
			if minute == 90 && p == "a" {
				bad[p], good[p] = 0, 0
			}
			good[p] += 1000
			if minute%10 == 5 {
				bad[p]++
				exact++
			}
			w.add(w.now, good[p], "requests", "code", "200", "pod", p)
			w.add(w.now, bad[p], "requests", "code", "500", "pod", p)
			sum += bad[p]
		}
		w.flush()
		w.pass(bus.Minute)
		switch {
		case minute == 0:
		case sum < before: // a reset, as rate() takes it
			summed += sum
		default:
			summed += sum - before
		}
		before = sum
	}
	st := w.status()
	t.Logf("failed requests: %v; the rise of the sum says %v, Evenkeel %v", exact, summed, st.Events.Total-st.Events.Good)
	if summed < 500_000 || st.Events.Total-st.Events.Good != exact {
		t.Errorf("summed %v, Evenkeel %v, exact %v", summed, st.Events.Total-st.Events.Good, exact)
	}
	if slices.Contains(w.alerts, "page firing") {
		t.Errorf("alerts: %v", w.alerts)
	}
}

// A budget would stay spent for most of an hour after the failures have left its window. OpenObserve documents that its running totals
// only ever add between hourly rebuilds; here each slice takes out what leaves, within a 320th of the window. Source: OpenObserve's
// documentation of SLOs (2026-08).
func TestWindowRolls(t *testing.T) {
	w := newWorld(t, objective(t, "0.999", "1d"))
	const burst, day = 10, 24 * 60 // the burst is in the eleventh minute
	h := w.traffic(nil, bus.Minute, day+burst+1+5, func(minute int) (float64, float64) {
		if minute == burst {
			return 0, 100_000
		}
		return 10_000, 0
	})
	// What running totals hold: everything since the last rebuild, which kept one day.
	running := 0.0
	rebuilt := (len(h) / 60) * 60
	for i := max(1, rebuilt-day); i < len(h); i++ {
		running += h[i].total - h[i-1].total - (h[i].good - h[i-1].good)
	}
	st := w.status()
	bad := st.Events.Total - st.Events.Good
	t.Logf("five minutes after the failures have left the window: running totals hold %v of them, Evenkeel %v", running, bad)
	if running != 100_000 {
		t.Errorf("running totals hold %v", running)
	}
	if bad != 0 || st.State != slo.StateHealthy {
		t.Errorf("%v bad events, state %s", bad, st.State)
	}
}
