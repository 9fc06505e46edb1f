package slo

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"evenkeel.dev/bus"
)

// firstPage runs six healthy hours, so that all windows of the page are full, and then failures of a share until somebody is paged, and returns after how many seconds; with one
// sample a second of a hundred requests each, as the workbook's arithmetic assumes: steady, and clean before.
func firstPage(t *testing.T, failing float64, limit int) int {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	s.traffic(6*3600+700, func(int) (float64, float64) { return 10_000, 0 })
	for second := 1; second <= limit; second++ {
		s.traffic(1, func(int) (float64, float64) { return 10_000 * (1 - failing), 10_000 * failing })
		for _, a := range s.alerts() {
			if strings.HasPrefix(a, "page firing") {
				return second
			}
		}
	}
	t.Fatalf("nobody was paged within %d s of %v failures", limit, failing)
	return 0
}

// An outage would burn on unseen: at 99.9 % the page comes within the lateness and two seconds of what the arithmetic allows, which is
// factor × budget / failures × one hour (SRE workbook, chapter 5): 52 s of a full outage, 518 s of 10 %, 2,592 s of 2 %.
func TestDetectionTime(t *testing.T) {
	for _, c := range []struct {
		failing float64
		floor   float64 // seconds
	}{{1, 51.84}, {0.1, 518.4}, {0.02, 2592}} {
		// The one-hour window holds up to one slice of a minute more than an hour, which weighs a failure that much less.
		floor := c.floor * 61 / 60
		lateness := 5.0
		got := firstPage(t, c.failing, int(floor)+60)
		t.Logf("%v%% failures: paged after %d s, the arithmetic floor is %.0f s (%.0f s with the window's resolution)", 100*c.failing, got, c.floor, floor)
		if d := float64(got) - floor; d > lateness+2 || float64(got) < math.Floor(c.floor) {
			t.Errorf("%v%% failures: paged after %d s; the floor is %.1f s, and %.0f s later is too late", 100*c.failing, got, floor, lateness+2)
		}
	}
}

// On-call would stop to look: thirty days of a healthy, noisy service with a daily cycle page nobody.
func TestHealthyMonthPagesNobody(t *testing.T) {
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		s := newSim(t)
		s.define(simObjective(t, "0.999", "30d"))
		for i := range 30 * 24 * 60 * 2 { // a sample every 30 s, as Prometheus scrapes
			load := 60 + 50*math.Sin(2*math.Pi*float64(i)/2880)
			n := math.Floor(load * (0.5 + rnd.Float64()))
			bad, mean := 0.0, n*0.0005 // half of what is allowed; a Poisson count, drawn by its distribution function
			for u, p := rnd.Float64(), math.Exp(-mean); u > p && bad < n; p *= mean / bad {
				u -= p
				bad++
			}
			s.bad, s.good = s.bad+bad, s.good+n-bad
			s.send(prom, point{series: "200", t: s.now, v: s.good}, point{series: "500", t: s.now, v: s.bad})
			s.flush()
			s.now += 30 * bus.Second
			s.tick()
		}
		if got := s.alerts(); len(got) > 0 {
			t.Errorf("seed %d: %v", seed, got)
		}
	}
}
