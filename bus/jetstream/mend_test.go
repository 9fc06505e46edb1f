package jetstream

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

// damaged prepares a log whose partition has a snapshot after the first of four inputs, and an open stream LOG to damage.
func damaged(t *testing.T) (*Log, jetstream.Stream, []uint64) {
	t.Helper()
	l := openTestLog(t, Config{Server: startTestServer(t, t.TempDir()), Stages: []StageInfo{{"add", 1}}})
	var seqs []uint64
	for n := range 4 {
		seqs = append(seqs, mustAppend(t, l, number(uint64(n)+1)))
		if n == 0 {
			runToSnapshot(t, l)
		}
	}
	if err := tryRun(t, l, 4); err != nil {
		t.Fatal(err)
	}
	st, err := l.js.Stream(t.Context(), streamLog)
	if err != nil {
		t.Fatal(err)
	}
	return l, st, seqs
}

// runToSnapshot runs the adder until its checkpoint refers to a snapshot.
func runToSnapshot(t *testing.T, l *Log) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { bus.Run(ctx, bus.RunConfig{Log: l, Spec: adderSpec(1, false)}) })
	eventually(t, 10*time.Second, "there is a snapshot", func() bool {
		cp, err := l.Head(t.Context(), "add", 0)
		return err == nil && cp.Snapshot.Name != ""
	})
	cancel()
	wg.Wait()
}

func mend(t *testing.T, l *Log, reason string) {
	t.Helper()
	fs, err := l.Diagnose(t.Context())
	if err != nil || len(fs) != 1 || fs[0].Reason != reason {
		t.Fatalf("diagnosis: %+v, %v; want %s", fs, err, reason)
	}
	if err := l.Mend(t.Context(), fs[0], MendRerun); err != nil {
		t.Fatal(err)
	}
	if fs, err := l.Diagnose(t.Context()); err != nil || len(fs) != 0 {
		t.Errorf("diagnosis after mending: %+v, %v", fs, err)
	}
}

// TestMendOutputs: a partition whose input has been damaged since it was counted would stand still for good.
func TestMendOutputs(t *testing.T) {
	l, st, seqs := damaged(t)
	if err := st.SecureDeleteMsg(t.Context(), seqs[2]); err != nil {
		t.Fatal(err)
	}
	l = openTestLog(t, l.config) // a process that has not the message in its cache
	err := tryRun(t, l, 5)
	if !isDamage(err, bus.DamageOutputsDiffer) {
		t.Fatalf("run over damaged input: %v", err)
	}
	l.noteDamage(t.Context(), &bus.DamageError{Stage: "add", Reason: bus.DamageOutputsDiffer, Detail: "told by the worker"})
	mend(t, l, bus.DamageOutputsDiffer)
	if err := tryRun(t, l, 6); err != nil {
		t.Fatal(err)
	}
	if got := lastOutput(t, l); got != "7" {
		t.Errorf("without the lost 3 the sum is %s, want 7", got)
	}
	m, err := l.lastMsg(t.Context(), streamLog, "log.event.add.sum")
	if err != nil || m.Header.Get(bus.HeaderN) != "6" {
		t.Errorf("outputs go on counting: %v, %v", m.Header, err)
	}
}

// TestMendHistory: a partition whose history was purged would go on without a word, or never again.
func TestMendHistory(t *testing.T) {
	l, st, seqs := damaged(t)
	if err := st.Purge(t.Context(), jetstream.WithPurgeSequence(seqs[3])); err != nil {
		t.Fatal(err)
	}
	l = openTestLog(t, l.config) // a process that has not the messages in its cache
	if err := tryRun(t, l, 5); !isDamage(err, bus.DamageHistoryMissing) {
		t.Fatalf("run without history: %v", err)
	}
	mend(t, l, bus.DamageHistoryMissing)
	if err := tryRun(t, l, 5); err != nil {
		t.Fatal(err)
	}
	if l.Stats().Gaps == 0 {
		t.Error("the stage was not told of the gap")
	}
	if got := lastOutput(t, l); got != "5" {
		t.Errorf("with 1 from the snapshot and 4 from LOG the sum is %s, want 5", got)
	}
}
