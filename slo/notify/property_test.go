package notify

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// play runs random inputs of a seed; the sender's answers are part of them. Cut is called between any two steps.
func play(t testing.TB, seed uint64, steps int, cut func(*world)) *world {
	w := newWorld(t, Config{AlertsMax: 12, DeadMax: 6, MaxAttempts: 4, TargetsMax: 5, PerTickMax: 4, PairsMax: 20, EventBytesMax: 4 << 10, SilencesMax: 4, SilencesNamespaceMax: 3, CoolMax: 6, GroupMax: 3, TrialsMax: 4})
	rnd := rand.New(rand.NewPCG(seed, 1))
	var open []Delivery
	firing := map[int]string{}
	for i := range steps {
		cut(w)
		switch n := rnd.IntN(100); {
		case n < 40:
			w.seconds(1)
		case n < 45:
			w.now += bus.Time(rnd.IntN(200)) * bus.Second
			w.seconds(1)
		case n < 60:
			k := rnd.IntN(6)
			state := slo.AlertFiring
			if id := firing[k]; id != "" && rnd.IntN(5) > 0 {
				state = slo.AlertResolved
			} else {
				firing[k] = fmt.Sprint("alert", i)
			}
			e := testAlert(firing[k], state, w.now, []string{"a", "b", "c", "d"}[:rnd.IntN(4)]...)
			e.SLO = fmt.Sprint("slo", k/2) // two tiers of each
			if k%2 == 1 {
				e.Tier, e.Severity = "ticket", "ticket"
			}
			w.event(e)
			if state == slo.AlertResolved {
				delete(firing, k)
			}
		case n < 90 && len(open) > 0:
			at := rnd.IntN(len(open))
			outcomes := []string{OutcomeDelivered, OutcomeDelivered, OutcomeRetry, OutcomeRetry, OutcomeRejected, OutcomeExpired, OutcomeLate, "nonsense"}
			w.result(open[at], outcomes[rnd.IntN(len(outcomes))], func(r *Result) { r.RetryAfter = bus.Time(rnd.IntN(3)) * bus.Minute })
			open = append(open[:at], open[at+1:]...)
		case n < 92:
			w.randomTarget(rnd)
		case n < 93:
			w.randomWish(rnd, i)
		case n < 95:
			w.removeTarget("shop", string(rune('a'+rnd.IntN(6))))
		case n < 98 && len(w.s.dead.list) > 0:
			w.step(SubjectResend, nil, Resend{IDs: []string{w.s.dead.list[rnd.IntN(len(w.s.dead.list))].ID}})
		default:
			w.step(SubjectResult, nil, "{")
		}
		open = append(append(open, w.take()...), w.dogs...)
		w.dogs, w.other = nil, nil
	}
	return w
}

func (w *world) randomTarget(rnd *rand.Rand) {
	typ := Types()[rnd.IntN(len(Types()))]
	w.target("shop", string(rune('a'+rnd.IntN(6))), typ, func(t *Target) {
		t.NoInhibit = rnd.IntN(4) == 0
		t.CoolDown = slo.Duration(rnd.IntN(3)) * slo.Duration(bus.Minute)
		if rnd.IntN(2) == 0 && (typ == TypeSlack || typ == TypeEmail || typ == TypeAlertmanagerWebhook) {
			t.GroupBy, t.GroupWait = []string{GroupByService, GroupBySeverity}[:1+rnd.IntN(2)], slo.Duration(1+rnd.IntN(20))*slo.Duration(bus.Second)
		}
	})
}

// randomWish is one of a person: a silence, its end, a test.
func (w *world) randomWish(rnd *rand.Rand, i int) {
	switch rnd.IntN(4) {
	case 0, 1:
		w.silence(fmt.Sprint("sil", i), bus.Time(1+rnd.IntN(300))*bus.Second, func(r *SilenceRequest) {
			r.SLO, r.Tier = []string{"", "slo0", "slo1"}[rnd.IntN(3)], []string{"", "page", "ticket"}[rnd.IntN(3)]
		})
	case 2:
		if list := w.s.silenceList(); len(list) > 0 {
			w.expire(list[rnd.IntN(len(list))].ID)
		}
	case 3:
		if len(w.s.order) > 0 {
			w.step(SubjectTrialRequest, nil, TrialRequest{ID: NewTrialID(fmt.Sprint(i)), Target: w.s.order[rnd.IntN(len(w.s.order))], Author: "alice"})
		}
	}
}

func cutAndCompare(t testing.TB, seed uint64, steps int) {
	plain := play(t, seed, steps, func(*world) {})
	rnd := rand.New(rand.NewPCG(seed, 2))
	cuts := play(t, seed, steps, func(w *world) {
		if rnd.IntN(7) > 0 {
			return
		}
		state, err := w.s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		c := w.s.c
		w.s = New(c)
		if err := w.s.Restore(state); err != nil {
			t.Fatal(err)
		}
		if again, err := w.s.Snapshot(); err != nil || !bytes.Equal(state, again) {
			t.Fatalf("seed %d: the restored state is another: %v\n%s\n%s", seed, err, state, again)
		}
	})
	if !bytes.Equal(plain.log.Bytes(), cuts.log.Bytes()) {
		t.Fatalf("seed %d: a restored stage answers otherwise", seed)
	}
	if len(plain.s.alerts) > 12 || len(plain.s.dead.list) > 6 || len(plain.s.targets) > 5 || len(plain.s.silences) > 3 || len(plain.s.cool) > 6 || len(plain.s.trials) > 4 {
		t.Fatalf("seed %d: a bound is passed", seed)
	}
	checkIndexes(t, plain.s)
}

// checkIndexes looks whether what is derived from the alerts fits them.
func checkIndexes(t testing.TB, s *Stage) {
	pairs, bytes, keys, slos, batches := 0, 0, 0, 0, 0
	for id, a := range s.alerts {
		bytes += a.Size
		pairs += len(a.Pairs)
		for _, p := range a.Pairs {
			if p.Batch != "" {
				batches++
			}
			if (p.Group != "") && (s.groups[p.Group] == nil || p.Open || p.Held != "" || p.Due != 0) {
				t.Fatalf("alert %s waits in a group and somewhere else: %+v", id, p)
			}
			if p.Held != "" && (p.Open || p.Told || p.State != slo.AlertFiring) {
				t.Fatalf("alert %s is held and told: %+v", id, p)
			}
		}
		if a.Ended && len(a.Pairs) == 0 {
			t.Fatalf("alert %s is over and kept", id)
		}
	}
	for _, ids := range s.byKey {
		keys += len(ids)
	}
	for _, ids := range s.bySLO {
		slos += len(ids)
	}
	for _, refs := range s.byBatch {
		batches -= len(refs)
	}
	if slos != len(s.alerts) || batches != 0 {
		t.Fatalf("%d alerts by SLO of %d; %d pairs by batch are missing", slos, len(s.alerts), batches)
	}
	if bytes != s.bytes || 2*pairs != len(s.byDelivery) || keys != len(s.alerts) {
		t.Fatalf("%d bytes, %d pairs, %d alerts; kept as %d, %d, %d", bytes, pairs, len(s.alerts), s.bytes, len(s.byDelivery), keys)
	}
}

func TestCutAnywhere(t *testing.T) {
	// After a restart the stage would page again, forget a page, or stop because its outputs differ.
	for seed := range uint64(40) {
		cutAndCompare(t, seed, 300)
	}
}

func FuzzCutAnywhere(f *testing.F) {
	// As TestCutAnywhere, with seeds nobody thought of.
	f.Add(uint64(1))
	f.Add(uint64(201)) // a late result for what is held meanwhile
	f.Fuzz(func(t *testing.T, seed uint64) { cutAndCompare(t, seed, 200) })
}

func TestSnapshotsOfVersions(t *testing.T) {
	// A new version could not read the state that the version before has left, and would stand still.
	// Each file was written by its version and stays as it is: a later version gets another beside it.
	for file, rich := range map[string]func(*Stage) bool{
		"snapshot.v1.json": func(s *Stage) bool { return true },
		"snapshot.v2.json": func(s *Stage) bool {
			return len(s.silences) > 0 && len(s.cool) > 0 && len(s.groups) > 0 && len(s.trials) > 0
		},
	} {
		golden, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		s := New(Config{})
		if err := s.Restore(golden); err != nil {
			t.Fatal(err)
		}
		if len(s.alerts) == 0 || len(s.dead.list) == 0 || len(s.targets) == 0 || !rich(s) {
			t.Errorf("%s shows too little", file)
		}
		now := bytes.Replace(golden, []byte(`{"version":1,`), []byte(`{"version":2,`), 1)
		if again, err := s.Snapshot(); err != nil || !bytes.Equal(now, again) {
			t.Errorf("%s changes by being read: %v", file, err)
		}
		checkIndexes(t, s)
	}
}

func TestRestoreRefusesWhatItDoesNotKnow(t *testing.T) {
	// A state of a later version, or a rotten one, would be taken for an empty one.
	for _, bad := range []string{"", "{}", `{"version":3}`, `{"version":2,"targets":[{"key":"x"}],"alerts":[{"event":{"id":"a"},"pairs":[{"target":"x","group":"g"}]}]}`, `{"version":1,"alerts":[{"event":{"id":"a"},"pairs":[{"target":"x"}]}]}`} {
		if err := New(Config{}).Restore([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
