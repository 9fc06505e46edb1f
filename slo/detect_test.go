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
		lateness := 5.0
		got := firstPage(t, c.failing, int(c.floor)+60)
		t.Logf("%v%% failures: paged after %d s, the arithmetic floor is %.0f s", 100*c.failing, got, c.floor)
		if d := float64(got) - c.floor; d > lateness+2 || float64(got) < math.Floor(c.floor) {
			t.Errorf("%v%% failures: paged after %d s; the floor is %.1f s, and %.0f s later is too late", 100*c.failing, got, c.floor, lateness+2)
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

// An incident is a time in which a share of requests fails.
type incident struct {
	from, until int // samples
	failing     float64
}

// incidents draws a fortnight's troubles: outages, brown-outs, blips and leaks, apart from each other.
func incidents(rnd *rand.Rand, samples int) []incident {
	var out []incident
	for at := 2880 + rnd.IntN(1440); at < samples-2880; at += 2880 + rnd.IntN(2880) { // one a day or two, a sample every 30 s
		kinds := []incident{
			{until: 10 + rnd.IntN(40), failing: 1},      // an outage of 5 to 25 minutes
			{until: 60 + rnd.IntN(120), failing: 0.1},   // a tenth for half an hour and more
			{until: 240 + rnd.IntN(360), failing: 0.03}, // 3 % for hours
			{until: 1, failing: 1},                      // a blip
			{until: 60, failing: 0.002},                 // twice the budget's rate for half an hour
			{until: 1440, failing: 0.0015},              // a leak for half a day
		}
		in := kinds[rnd.IntN(len(kinds))]
		in.from, in.until = at, at+in.until
		out = append(out, in)
	}
	return out
}

// spends returns the share of the 30-day budget at 99.9 % that an incident spends in its first so many samples, with steady traffic.
func (in incident) spends(samples int) float64 {
	return in.failing * float64(min(samples, in.until-in.from)) / (0.001 * 30 * 2880)
}

// On-call would be woken for nothing, or not at all: of modelled incidents those page, and only those, that spend 2 % of the budget within
// an hour or 5 % within six, as the SRE workbook's table means it. What lies within a fifth of these lines may go either way.
func TestPrecisionAndRecall(t *testing.T) {
	var right, missed, wrong, either int
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		const samples = 14 * 2880
		all := incidents(rnd, samples)
		s := newSim(t)
		s.define(simObjective(t, "0.999", "30d"))
		paged := map[int]bool{} // by the sample at which somebody was paged
		known := 0
		for i := range samples {
			n, failing := 2000*(0.8+0.4*rnd.Float64()), 0.0002
			for _, in := range all {
				if i >= in.from && i < in.until {
					failing += in.failing
				}
			}
			bad := math.Floor(n*min(1, failing) + rnd.Float64())
			s.bad, s.good = s.bad+bad, s.good+math.Floor(n)-min(bad, math.Floor(n))
			s.send(prom, point{series: "200", t: s.now, v: s.good}, point{series: "500", t: s.now, v: s.bad})
			s.flush()
			s.now += 30 * bus.Second
			s.tick()
			for ; known < len(s.drafts); known++ {
				if d := &s.drafts[known]; d.Event != nil && d.Event.Type == AlertEventType && strings.Contains(string(d.Data), `"tier":"page"`) && strings.Contains(string(d.Data), `"state":"firing"`) {
					paged[i] = true
				}
			}
		}
		for _, in := range all {
			heavy := max(in.spends(120)/0.02, in.spends(720)/0.05)
			hit := false
			for at := range paged {
				if at >= in.from && at <= in.until+20 {
					hit = true
					delete(paged, at)
				}
			}
			switch {
			case heavy > 1.2 && hit:
				right++
			case heavy > 1.2:
				missed++
			case heavy < 0.8 && hit:
				wrong++
			default:
				either++
			}
		}
		wrong += len(paged)
	}
	t.Logf("%d incidents that page did, %d did not, %d pages were for nothing; %d lie near the line or rightly paged nobody", right, missed, wrong, either)
	if right < 20 || missed > 0 || wrong > 0 {
		t.Errorf("%d right, %d missed, %d false", right, missed, wrong)
	}
}
