//go:build peers

package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"evenkeel.dev/test/load"
	"evenkeel.dev/test/peer"
)

var (
	kills = flag.Int("kills", 10, "how often the chaos tests kill; make soak: 50")
	seeds = flag.Uint64("seeds", 1, "how many seeds the chaos tests run with")
)

// takeOver is how long another process may take to go on where one died.
const takeOver = 10 * time.Second

// wait pauses the test while the workload goes on: a random moment is what is wanted here.
func wait(tb testing.TB, d time.Duration) {
	tb.Helper()
	select {
	case <-time.After(d):
	case <-tb.Context().Done():
	}
}

func everySeed(t *testing.T, run func(t *testing.T, seed uint64)) {
	for seed := uint64(1); seed <= *seeds; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { run(t, seed) })
	}
}

func sender(tb testing.TB, e *peer.Evenkeel) *load.Sender {
	s := load.NewSender(e.WriteURL(), e.Token("sender"), 2)
	tb.Cleanup(s.Close)
	return s
}

// The one process of a small installation dies under load, again and again: a request would be lost or counted twice, or a pager
// would ring twice or not at all.
func TestPeersKillAlone(t *testing.T) {
	t.Parallel()
	everySeed(t, func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 2))
		names := services(6)
		e := peer.StartEvenkeel(t, peer.EvenkeelConfig{Config: definitions(t, names)})
		e.WaitReady(time.Minute)
		peer.Until(t, time.Minute, "all SLOs are there", func() error { return fresh(e, zeroes(names)) })
		d := start(t, newWorkload(names, seed, sender(t, e)))
		for k := range *kills {
			wait(t, time.Duration(200+random.IntN(2500))*time.Millisecond)
			if k < len(names)-2 {
				d.fail(names[k])
				wait(t, time.Duration(random.IntN(1500))*time.Millisecond) // around the moment when the alert fires
			}
			e.Kill()
			e.Restart()
			if random.IntN(3) > 0 { // else it dies again while it recovers
				e.WaitReady(time.Minute)
			}
		}
		e.WaitReady(time.Minute)
		wait(t, 3*time.Second)
		settled(t, e, d.end(), names[:min(*kills, len(names)-2)])
	})
}

// zeroes are counts that every SLO which is known has reached.
func zeroes(names []string) map[string]count {
	out := map[string]count{}
	for _, s := range names {
		out[s] = count{}
	}
	return out
}

// A trio is a bus in a process of its own and two processes with all other roles, which share the partitions.
type trio struct {
	bus     *peer.Evenkeel
	workers [2]*peer.Evenkeel
}

const workerRoles = "ingest,catalogue,slo,notify,api,tick"

func startTrio(t *testing.T, names []string) *trio {
	t.Helper()
	config := definitions(t, names)
	tr := &trio{bus: peer.StartEvenkeel(t, peer.EvenkeelConfig{Name: "bus", Roles: "bus"})}
	tr.bus.WaitReady(time.Minute)
	for i := range tr.workers {
		tr.workers[i] = peer.StartEvenkeel(t, peer.EvenkeelConfig{Name: fmt.Sprintf("worker-%d", i+1), Roles: workerRoles, Bus: tr.bus, Config: config})
	}
	for _, w := range tr.workers {
		w.WaitReady(time.Minute)
		peer.Until(t, time.Minute, "all SLOs are there", func() error { return fresh(w, zeroes(names)) })
	}
	return tr
}

// survives demands that a process which lives runs everything within the time of a take-over, and then knows what was sent after
// the other one had gone. (Statuses are told every ten seconds, so that they are no measure of a take-over.)
func survives(t *testing.T, e *peer.Evenkeel, d *drive) {
	t.Helper()
	began := time.Now()
	wait(t, 300*time.Millisecond)
	after := d.counts()
	if err := peer.Poll(t.Context(), takeOver-time.Since(began), func() error { return runsAll(e) }); err != nil {
		t.Errorf("%s had not taken over within %v: %v", e.Name, takeOver, err)
	} else {
		t.Logf("%s had taken over after %v", e.Name, time.Since(began).Round(10*time.Millisecond))
	}
	peer.Until(t, 30*time.Second, e.Name+" knows what was sent after the other one had gone", func() error { return fresh(e, after) })
}

// Of two processes one dies under load and the other takes over: for longer than ten seconds nobody would watch its services, or
// what it had half done would be done twice.
func TestPeersKillTakeOver(t *testing.T) {
	t.Parallel()
	everySeed(t, func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 3))
		names := services(6)
		tr := startTrio(t, names)
		d := start(t, newWorkload(names, seed, sender(t, tr.workers[0]), sender(t, tr.workers[1])))
		for k := range *kills {
			wait(t, time.Duration(200+random.IntN(1500))*time.Millisecond)
			if k < len(names)-2 {
				d.fail(names[k])
				wait(t, time.Duration(random.IntN(1500))*time.Millisecond)
			}
			if k%4 == 1 {
				tr.bus.Kill()
				tr.bus.Restart()
				tr.bus.WaitReady(time.Minute)
			} else {
				i := random.IntN(2)
				tr.workers[i].Kill()
				survives(t, tr.workers[1-i], d)
				tr.workers[i].Restart()
			}
			for _, w := range tr.workers {
				w.WaitReady(time.Minute)
			}
		}
		wait(t, 3*time.Second)
		truth := d.end()
		for _, w := range tr.workers {
			settled(t, w, truth, names[:min(*kills, len(names)-2)])
		}
	})
}

// An owner that hangs and wakes up again (a paused machine) believes it still owns its partitions: its late writes would undo or
// repeat what its successor has done.
func TestPeersZombie(t *testing.T) {
	t.Parallel()
	everySeed(t, func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 4))
		names := services(6)
		tr := startTrio(t, names)
		d := start(t, newWorkload(names, seed, sender(t, tr.workers[0]), sender(t, tr.workers[1])))
		const freezes = 2
		for k := range freezes {
			wait(t, time.Duration(500+random.IntN(1500))*time.Millisecond)
			d.fail(names[k])
			wait(t, time.Duration(random.IntN(1500))*time.Millisecond)
			i := k % 2
			tr.workers[i].Signal(syscall.SIGSTOP)
			// A request may hang in the frozen process until the sender gives up on it; only the other one is asked meanwhile.
			d.only(1 - i)
			survives(t, tr.workers[1-i], d)
			tr.workers[i].Signal(syscall.SIGCONT)
			d.only(-1)
			tr.workers[i].WaitReady(time.Minute)
		}
		wait(t, 3*time.Second)
		truth := d.end()
		for _, w := range tr.workers {
			settled(t, w, truth, names[:freezes])
		}
	})
}
