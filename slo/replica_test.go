package slo

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"evenkeel.dev/bus"
)

// A user with two Prometheus replicas would see events twice or lose some when one of them fails, whatever their clocks say: the
// count is always what the counter has grown since it was first seen.
func TestFailoverNeitherLosesNorDoubles(t *testing.T) {
	for seed := range uint64(40) {
		for _, skew := range []bus.Time{0, -7 * bus.Second, 13 * bus.Second} {
			t.Run(fmt.Sprintf("%d/%d", seed, skew), func(t *testing.T) { failover(t, seed, skew, false) })
		}
	}
}

// With restarts of the process some events are seen by no replica, and by each other ones; nothing may be counted twice, and no more
// may be lost than what happened between two scrapes before each restart.
func TestFailoverWithRestarts(t *testing.T) {
	for seed := range uint64(60) {
		for _, skew := range []bus.Time{0, -7 * bus.Second, 13 * bus.Second} {
			t.Run(fmt.Sprintf("%d/%d", seed, skew), func(t *testing.T) { failover(t, seed, skew, true) })
		}
	}
}

func failover(t *testing.T, seed uint64, skew bus.Time, restarts bool) {
	rnd := rand.New(rand.NewPCG(seed, uint64(skew)))
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	replicas := []bus.Source{{Sender: "p", Cluster: "eu", Replica: "a"}, {Sender: "p", Cluster: "eu", Replica: "b"}}
	var value, grown, lost float64
	first := -1.0
	var downUntil [2]bus.Time
	const interval, perSecond = 5, 20
	for second := range 1800 {
		s.now += bus.Second
		n := float64(rnd.IntN(perSecond))
		value += n
		grown += n
		if restarts && second > 60 && rnd.IntN(250) == 0 {
			value = 0
			lost += 12 * perSecond
		}
		for i, src := range replicas {
			if rnd.IntN(400) == 0 && downUntil[1-i] < s.now { // never both
				downUntil[i] = s.now + bus.Time(rnd.IntN(90))*bus.Second
			}
			if second%interval != i*2 || s.now < downUntil[i] || second > 1700 {
				continue
			}
			if first < 0 {
				first = grown
			}
			s.send(src, point{series: "200", t: s.now + skew*bus.Time(i), v: value})
			s.flush()
		}
		if second > 1700 && second%interval == 0 { // the end: both show the last value
			for i, src := range replicas {
				s.send(src, point{series: "200", t: s.now + skew*bus.Time(i), v: value})
				s.flush()
			}
		}
		s.tick()
	}
	s.send(replicas[0], point{series: "200", t: s.now + bus.Second, v: value})
	s.send(replicas[1], point{series: "200", t: s.now + bus.Second + skew, v: value})
	s.flush()
	s.run(120)
	if n := s.stage.Stats.Failovers.Load(); seed == 0 && n < 1 {
		t.Errorf("%d fail-overs: this test shows nothing", n)
	}
	got, want := s.status().Events.Good, grown-first
	switch {
	case !restarts && got != want:
		t.Errorf("counted %v, the counter grew by %v; %d fail-overs", got, want, s.stage.Stats.Failovers.Load())
	case got > want:
		t.Errorf("counted %v, more than the counter grew: %v; %d fail-overs", got, want, s.stage.Stats.Failovers.Load())
	case got < want-lost:
		t.Errorf("counted %v, the counter grew by %v: more is lost than restarts can hide (%v); %d fail-overs", got, want, lost, s.stage.Stats.Failovers.Load())
	}
}
