package slo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"evenkeel.dev/bus"
)

// watch sends the sibling, every 15 seconds.
func (s *sim) watch(scrapes int) {
	for range scrapes {
		s.send(prom, point{series: "200@a", t: s.now, v: 7})
		s.flush()
		s.run(15)
	}
}

// child sends the first two scrapes of a series beside its sibling.
func (s *sim) child(src bus.Source, series string) {
	for _, v := range []float64{104, 110} {
		s.send(src, point{series: "200@a", t: s.now, v: 7}, point{series: series, t: s.now, v: v})
		s.flush()
		s.run(15)
	}
}

// A user of a sender without start timestamps would lose the first errors, which bring their own series into being, or would see all
// that a counter ever counted as errors of now, when it merely was not seen before.
func TestChildIsBorn(t *testing.T) {
	const full, part = 110, 6
	other := bus.Source{Sender: "other"}
	for name, c := range map[string]struct {
		want float64
		play func(s *sim)
	}{
		"while its target is watched": {full, func(s *sim) { s.watch(4); s.child(prom, "500@a") }},
		"in the first scrape":         {part, func(s *sim) { s.child(prom, "500@a") }},
		"on another target":           {part, func(s *sim) { s.watch(4); s.child(prom, "500@b") }},
		"without a target":            {part, func(s *sim) { s.watch(4); s.child(prom, "500") }},
		"for another sender":          {part, func(s *sim) { s.watch(4); s.child(other, "500@a") }},
		"for another sender, alone": {part, func(s *sim) {
			s.watch(4)
			s.send(other, point{series: "500@a", t: s.now, v: 104})
			s.flush()
			s.run(15)
			s.send(other, point{series: "500@a", t: s.now, v: 110})
			s.flush()
		}},
		"after a stale marker": {part, func(s *sim) {
			s.watch(4)
			s.send(prom, point{series: "500@a", t: s.now - 1, v: math.Float64frombits(staleBits)})
			s.child(prom, "500@a")
		}},
		"when its target was away for long":  {part, func(s *sim) { s.watch(4); s.run(300); s.child(prom, "500@a") }},
		"when its target was away for short": {full, func(s *sim) { s.watch(4); s.run(200); s.child(prom, "500@a") }},
		"after a gap": {part, func(s *sim) {
			s.watch(4)
			s.step(bus.Record{Subject: bus.SubjectGap, Missing: 1})
			s.child(prom, "500@a")
		}},
		"a while after a gap": {full, func(s *sim) {
			s.watch(4)
			s.step(bus.Record{Subject: bus.SubjectGap, Missing: 1})
			s.watch(6)
			s.child(prom, "500@a")
		}},
		"after a lost frame":    {part, func(s *sim) { s.watch(4); s.frames++; s.child(prom, "500@a") }},
		"after a damaged frame": {part, func(s *sim) { s.watch(4); s.damage(); s.child(prom, "500@a") }},
		"after an unknown ref": {part, func(s *sim) {
			s.watch(4)
			s.b.Add(0, s.b.Source(prom), 77, s.now, 0, 1)
			s.watch(1)
			s.child(prom, "500@a")
		}},
		"after a series was refused": {part, func(s *sim) {
			s.watch(4)
			s.announce("503", 0, bus.SeriesRefused)
			s.watch(20)
			s.child(prom, "500@a")
		}},
		"long after a series was refused": {full, func(s *sim) {
			s.watch(4)
			s.announce("503", 0, bus.SeriesRefused)
			s.watch(60)
			s.child(prom, "500@a")
		}},
		"and the stage restarts": {full, func(s *sim) {
			s.watch(4)
			state := snapshotOf(s.t, s.stage)
			s.stage = newTestStage(s.t)
			if err := s.stage.Restore(state); err != nil {
				s.t.Fatal(err)
			}
			s.child(prom, "500@a")
		}},
		"while the sibling's shard is ahead": {full, func(s *sim) {
			s.watch(20)
			for i := range bus.Time(4) {
				s.send(prom, point{series: "200@a", t: s.now + i*15*bus.Second, v: 7})
			}
			s.child(prom, "500@a")
		}},
		"a backlog": {full, func(s *sim) {
			s.watch(1)
			s.run(3600)
			s.announce("200@a", s.refs["200@a"], 0)
			for i := range bus.Time(100) {
				s.send(prom, point{series: "200@a", t: s.now - 3000*bus.Second + i*15*bus.Second, v: 7})
			}
			at := s.now - 1600*bus.Second // the sibling is 85 s ahead
			s.send(prom, point{series: "500@a", t: at, v: 104}, point{series: "500@a", t: at + 15*bus.Second, v: 110})
			s.flush()
			s.run(30)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.define(simObjective(t, "0.999", "30d"))
			s.run(5)
			c.play(s)
			s.run(60)
			if e := s.status().Events; e.Total-e.Good != c.want {
				t.Errorf("counted %v, want %v", e.Total-e.Good, c.want)
			}
		})
	}
}

func (s *sim) damage() {
	s.step(bus.Record{Subject: bus.SubjectFrame + "w", Frame: bus.DecodeFrame([]byte("EKF1 and rubbish"))})
}

// A user who defines or changes an SLO would see all that its counters ever counted: series that ingest did not need before look new.
func TestNewDefinitionProvesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *sim, o Objective)
		want   float64
	}{
		"new SLI, at once": {func(s *sim, o Objective) { s.catalogue++; s.child(prom, "500@a") }, 6},
		"new SLI, ingest does not know it yet": {func(s *sim, o Objective) {
			s.watch(10)
			s.catalogue++
			s.child(prom, "500@a")
		}, 6},
		"new SLI, one of two processes does not know it yet": {func(s *sim, o Objective) {
			s.catalogue++
			for range 4 {
				s.watch(1)
				s.old(8) // told nothing of 500@a, which it has dropped
			}
			s.child(prom, "500@a")
		}, 6},
		"new SLI, older requests may be on their way": {func(s *sim, o Objective) {
			s.run(5)
			s.catalogue++
			s.watch(1)
			s.child(prom, "500@a")
		}, 6},
		"new SLI, a while later": {func(s *sim, o Objective) { s.catalogue++; s.watch(4); s.child(prom, "500@a") }, 110},
		"another process of ingest begins": {func(s *sim, o Objective) {
			s.catalogue++
			s.watch(4)
			s.old(9)
			s.child(prom, "500@a")
		}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.define(simObjective(t, "0.999", "30d"))
			s.watch(10)
			o := simObjective(t, "0.999", "30d")
			o.SLI.Good.Terms[0].Selector = selectorOf(t, "__name__", "requests", "code", "~200|201")
			s.revise(2, o)
			s.announce("200@a", s.refs["200@a"], 0)
			c.change(s, o)
			s.run(60)
			if e := s.status().Events; e.Total-e.Good != c.want {
				t.Errorf("counted %v, want %v", e.Total-e.Good, c.want)
			}
		})
	}
}

// old steps through the frame of a writer that has moved time and knows no newer catalogue than revision 1.
func (s *sim) old(writer uint64) {
	var b bus.FrameBuilder
	b.Source(bus.Source{Sender: "prom", Newest: s.now})
	n := uint64(1)
	if w := s.stage.writers[writer]; w != nil {
		n = w.number + 1
	}
	f := bus.DecodeFrame(b.Seal(nil, writer, n, 1))
	s.step(bus.Record{Subject: bus.SubjectFrame + "w", Frame: f, Section: f.Section(0)})
}

// A user with two replicas would see what the standby knew already as new after a fail-over, or lose what is born after it.
func TestChildIsBornOnReplicas(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	s.run(5)
	a, b := bus.Source{Sender: "p", Cluster: "eu", Replica: "a"}, bus.Source{Sender: "p", Cluster: "eu", Replica: "b"}
	errors := map[string]float64{}
	scrape := func(rounds int, replicas ...bus.Source) {
		for range rounds {
			for _, r := range replicas {
				s.send(r, point{series: "200@a", t: s.now, v: 7})
				for _, code := range []string{"500@a", "501@a", "502@a"} {
					if v := errors[code]; v > 0 {
						s.send(r, point{series: code, t: s.now, v: v})
					}
				}
				s.flush()
				s.now += bus.Second
			}
			for code := range errors {
				errors[code]++
			}
			s.run(10)
		}
	}
	scrape(4, a, b)
	errors["500@a"] = 100 // born with both
	scrape(4, a, b)
	scrape(10, b) // a fails
	errors["501@a"] = 100
	scrape(4, b)
	scrape(10, a, b) // and is back as the standby
	errors["502@a"] = 100
	scrape(4, a, b)
	s.run(60)
	want := -3.0 // the last round added one to each and was not scraped
	for _, v := range errors {
		want += v
	}
	if e := s.status().Events; e.Total-e.Good != want {
		t.Errorf("counted %v, want %v", e.Total-e.Good, want)
	}
	if s.stage.Stats.Failovers.Load() != 1 {
		t.Errorf("%d fail-overs", s.stage.Stats.Failovers.Load())
	}
}

// A user would see other counts than the services': series come and go on many targets, through shards that lag by different times,
// over restarts of the stage; what was there when its target was first scraped counts its growth, what was born later all of it.
func TestBirthsAgreeWithOracle(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { birthsAgainstOracle(t, seed) })
	}
}

func birthsAgainstOracle(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	s.run(5)
	var shards [3][]point // in order, each sends what is older than its lag
	lags := [3]bus.Time{0, bus.Time(rnd.IntN(20_000)), bus.Time(rnd.IntN(45_000))}
	values, want := map[string]float64{}, 0.0
	children := map[int]int{}
	for second := range 1200 {
		s.now += bus.Second
		for target := range 5 {
			if second < 100*target || (second+target)%10 > 0 {
				continue
			}
			first := children[target] == 0
			if first {
				children[target] = 3
			} else if second > 100*target+100 && rnd.IntN(10) == 0 {
				children[target]++
			}
			for k := range children[target] {
				series := fmt.Sprintf("%d@%d", 500+k, target)
				grown := float64(rnd.IntN(50))
				if first {
					grown = 1e6 // counted before anybody looked
				} else {
					want += grown
				}
				values[series] += grown
				shard := (k + target) % 3
				shards[shard] = append(shards[shard], point{series: series, t: s.now, v: values[series]})
			}
		}
		for i, due := range shards {
			for len(due) > 0 && (s.now-due[0].t >= lags[i] || second == 1199) {
				s.send(prom, due[0])
				due = due[1:]
			}
			shards[i] = due
			if !s.b.Empty() {
				s.flush()
			}
		}
		s.tick()
		if rnd.IntN(200) == 0 {
			state := snapshotOf(t, s.stage)
			s.stage = newTestStage(t)
			if err := s.stage.Restore(state); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.run(60)
	if got := s.status().Events.Total; got != want {
		t.Errorf("counted %.0f, the counters grew by %.0f", got, want)
	}
}

// An operator would see memory grow with every pod that ever was: a family goes with its last series.
func TestFamiliesAreForgotten(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	for i := range 100 {
		s.send(prom, point{series: fmt.Sprint("200@", i), t: s.now, v: 1}, point{series: fmt.Sprint("500@", i), t: s.now, v: 1})
	}
	s.watch(1)
	if n := len(s.stage.byFamily); n != 101 {
		t.Fatalf("%d families", n)
	}
	for range 300 {
		s.now += bus.Minute
		s.watch(1)
	}
	if n, free := len(s.stage.byFamily), len(s.stage.noFamilies); n != 1 || free != 100 {
		t.Errorf("%d families are left, %d places are free", n, free)
	}
	if n := len(s.stage.byID); n != 1 {
		t.Errorf("%d series are left", n)
	}
}

// The first errors of a pod that are seen late, a minute after the pod itself, would be lost when the engine has just begun: the time of
// its first contact proves nothing, and one soon after it must be remembered.
func TestFamilyRemembersATimeAfterTheFirst(t *testing.T) {
	var f family
	c := &source{}
	for at := bus.Time(0); at <= 100; at += 10 {
		f.touch(c, 1000*bus.Second+at*bus.Second)
	}
	if got, ok := f.before(1050 * bus.Second); !ok || got != 1010*bus.Second {
		t.Errorf("before 1050 it was seen at %d, %v", got/bus.Second, ok)
	}
	if got, ok := f.before(1010 * bus.Second); !ok || got != 1000*bus.Second {
		t.Errorf("before 1010 it was seen at %d, %v", got/bus.Second, ok)
	}
}
