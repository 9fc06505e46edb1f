// Package logtest is the suite that every bus.Log must pass: the log in memory and the durable one.
//
// [Run] checks the contract call by call, and then as a whole: a small random stage is driven through random inputs while its runner
// is killed, answers are lost, writes fail, owners compete and snapshots are taken and restored; its outputs must be, byte by byte
// and exactly once, those of one uninterrupted run. Seeds are fixed; EVENKEEL_SEEDS=n runs n of them instead.
//
// [Play] and [Restart] are for the tests of stages, which need no log.
package logtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

// A Suite says how to make the log under test and how to do to it what no caller of bus.Log can.
type Suite struct {
	Fresh  func(t *testing.T) bus.Log                         // an empty log, closed by t.Cleanup
	Lose   func(t *testing.T, l bus.Log, seq uint64)          // makes one kept message disappear
	Purge  func(t *testing.T, l bus.Log, before uint64)       // drops all messages before the sequence
	Full   func(t *testing.T, l bus.Log, full bool)           // makes the log refuse telemetry, or not
	Rot    func(t *testing.T, l bus.Log, ref bus.SnapshotRef) // damages a kept snapshot
	Second func(t *testing.T, l bus.Log) bus.Log              // another process's way to the same log; nil: l itself
	Seeds  int                                                // of the property; default 6
}

// patience bounds every wait of the suite; only a failure comes near it.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	for name, f := range map[string]func(*testing.T, Suite){
		"order": order, "wait": waits, "concurrent": concurrent, "commit": commits, "fence": fences, "gap": gaps, "purge": purges,
		"full": fulls, "snapshot": snapshots, "damage": damages, "follow": follows, "end": ends, "exactly once": exactlyOnce,
	} {
		t.Run(name, func(t *testing.T) { f(t, s) })
	}
}

func message(subject, data string) bus.Message {
	return bus.Message{Subject: subject, Header: bus.Header{{Name: "Ek-To", Value: "3"}}, Data: []byte(data)}
}

func ctxOf(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func mustAppend(t *testing.T, l bus.Log, m bus.Message) uint64 {
	t.Helper()
	seq, err := l.Append(ctxOf(t), m)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return seq
}

func mustOpen(t *testing.T, l bus.Log, from uint64) bus.Reader {
	t.Helper()
	r, err := l.Open(ctxOf(t), from)
	if err != nil {
		t.Fatalf("open at %d: %v", from, err)
	}
	t.Cleanup(r.Close)
	return r
}

func mustNext(t *testing.T, r bus.Reader) *bus.Message {
	t.Helper()
	m, err := r.Next(ctxOf(t), true)
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	return m
}

// order: a reader would see telemetry out of order, changed or not at all.
func order(t *testing.T, s Suite) {
	l := s.Fresh(t)
	var seqs []uint64
	for i := range 20 {
		seqs = append(seqs, mustAppend(t, l, message("log.result.a", fmt.Sprint("m", i))))
	}
	for _, from := range []int{0, 7, 19} {
		open := seqs[from]
		if from == 0 {
			open = 0
		}
		r := mustOpen(t, l, open)
		for i := from; i < 20; i++ {
			m := mustNext(t, r)
			want := message("log.result.a", fmt.Sprint("m", i))
			if m.Seq != seqs[i] || m.Subject != want.Subject || string(m.Data) != string(want.Data) || m.Header.Get("Ek-To") != "3" || m.To() != 3 {
				t.Fatalf("message %d from %d: got %d %s %q %v", i, from, m.Seq, m.Subject, m.Data, m.Header)
			}
		}
		if m, err := r.Next(ctxOf(t), false); m != nil || err != nil {
			t.Fatalf("at the end: got %v, %v", m, err)
		}
	}
}

// waits: a stage would spin, or sleep through the message it waits for.
func waits(t *testing.T, s Suite) {
	l := s.Fresh(t)
	r := mustOpen(t, l, 0)
	got := make(chan string)
	go func() {
		m, err := r.Next(ctxOf(t), true)
		if err != nil {
			got <- err.Error()
			return
		}
		got <- string(m.Data)
	}()
	mustAppend(t, l, message("log.result.a", "one"))
	if g := <-got; g != "one" {
		t.Fatalf("waited for one, got %q", g)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx, true); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled wait gave %v", err)
	}
	mustAppend(t, l, message("log.result.a", "two"))
	if m, err := r.Next(ctxOf(t), false); err != nil || m == nil || string(m.Data) != "two" {
		t.Fatalf("what was acknowledged before must be read without waiting: %v, %v", m, err)
	}
}

// concurrent: frames of several senders at once would be lost or doubled.
func concurrent(t *testing.T, s Suite) {
	l := s.Fresh(t)
	const writers, each = 8, 25
	r := mustOpen(t, l, 0)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := l.Append(ctxOf(t), message("log.result.c", fmt.Sprintf("%d/%d", w, i))); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	last := uint64(0)
	for range writers * each {
		m := mustNext(t, r)
		if seen[string(m.Data)] || m.Seq <= last {
			t.Fatalf("message %q at %d after %d", m.Data, m.Seq, last)
		}
		seen[string(m.Data)], last = true, m.Seq
	}
}

func checkpoint(prev bus.Checkpoint, pos uint64) bus.Checkpoint {
	return bus.Checkpoint{Version: 1, Stage: "probe", Partition: 2, Number: prev.Number + 1, Previous: prev.Sum(), Position: bus.Position{Seq: pos}}
}

// commits: outputs and progress would part, and a restart would double or lose them.
func commits(t *testing.T, s Suite) {
	l := s.Fresh(t)
	ctx := ctxOf(t)
	if cp, err := l.Head(ctx, "probe", 2); err != nil || cp.Number != 0 {
		t.Fatalf("head of nothing: %v, %v", cp, err)
	}
	first := checkpoint(bus.Checkpoint{}, 5)
	drafts := []bus.Message{message("log.draft.a", "d1"), message("log.draft.a", "d2")}
	if err := l.Commit(ctx, bus.Commit{Checkpoint: first, Messages: drafts}); err != nil {
		t.Fatal(err)
	}
	second := checkpoint(first, 9)
	if err := l.Commit(ctx, bus.Commit{Checkpoint: second}); err != nil {
		t.Fatal(err)
	}
	got, err := l.Head(ctx, "probe", 2)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(second, got); d != "" {
		t.Fatalf("head (-want +got):\n%s", d)
	}
	r := mustOpen(t, l, 0)
	var seen []string
	for {
		m, err := r.Next(ctx, false)
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			break
		}
		if m.Subject == "log.draft.a" {
			seen = append(seen, string(m.Data))
		}
	}
	if d := cmp.Diff([]string{"d1", "d2"}, seen); d != "" {
		t.Fatalf("drafts (-want +got):\n%s", d)
	}
	if err := l.Commit(ctx, bus.Commit{Checkpoint: checkpoint(second, 10), Messages: make([]bus.Message, bus.MaxCommit+1)}); err == nil {
		t.Fatal("a commit over MaxCommit was taken")
	}
}

// fences: a process that was away would overwrite what its successor did.
func fences(t *testing.T, s Suite) {
	l := s.Fresh(t)
	ctx := ctxOf(t)
	first := checkpoint(bus.Checkpoint{}, 1)
	if err := l.Commit(ctx, bus.Commit{Checkpoint: first}); err != nil {
		t.Fatal(err)
	}
	second := checkpoint(first, 2)
	if err := l.Commit(ctx, bus.Commit{Checkpoint: second, Messages: []bus.Message{message("log.draft.a", "right")}}); err != nil {
		t.Fatal(err)
	}
	other := checkpoint(first, 3)
	forged := checkpoint(second, 4)
	forged.Previous = bus.Digest{1}
	for name, c := range map[string]bus.Checkpoint{"stale": other, "again": second, "from nothing": checkpoint(bus.Checkpoint{}, 1), "wrong chain": forged} {
		if err := l.Commit(ctx, bus.Commit{Checkpoint: c, Messages: []bus.Message{message("log.draft.a", "wrong")}}); !errors.Is(err, bus.ErrFenced) {
			t.Fatalf("%s: got %v, want ErrFenced", name, err)
		}
	}
	r := mustOpen(t, l, 0)
	for {
		m, err := r.Next(ctx, false)
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			return
		}
		if string(m.Data) == "wrong" {
			t.Fatal("a draft of a refused commit is in the log")
		}
	}
}

// gaps: a message that the disk has lost would be passed over, and a number be silently wrong.
func gaps(t *testing.T, s Suite) {
	l := s.Fresh(t)
	var seqs []uint64
	for i := range 6 {
		seqs = append(seqs, mustAppend(t, l, message("log.result.a", fmt.Sprint(i))))
	}
	for _, i := range []int{2, 3} {
		s.Lose(t, l, seqs[i])
	}
	for _, from := range []uint64{0, seqs[1], seqs[2]} {
		r := mustOpen(t, l, from)
		for {
			m := mustNext(t, r)
			if m.Seq == seqs[2] {
				if m.Subject != bus.SubjectGap || string(m.Data) != "2" {
					t.Fatalf("from %d: got %s %q, want a gap of 2", from, m.Subject, m.Data)
				}
				break
			}
			if m.Seq > seqs[2] {
				t.Fatalf("from %d: the gap was passed over", from)
			}
		}
		if m := mustNext(t, r); m.Seq != seqs[4] || string(m.Data) != "4" {
			t.Fatalf("from %d: after the gap got %d %q", from, m.Seq, m.Data)
		}
	}
}

// purges: a stage whose history is gone would go on as if nothing were.
func purges(t *testing.T, s Suite) {
	l := s.Fresh(t)
	var seqs []uint64
	for i := range 5 {
		seqs = append(seqs, mustAppend(t, l, message("log.result.a", fmt.Sprint(i))))
	}
	s.Purge(t, l, seqs[3])
	if m := mustNext(t, mustOpen(t, l, 0)); m.Seq != seqs[3] || m.Subject != "log.result.a" {
		t.Fatalf("the purged front is no gap: got %d %s", m.Seq, m.Subject)
	}
	_, err := l.Open(ctxOf(t), seqs[1])
	var d *bus.DamageError
	if !errors.As(err, &d) || d.Reason != bus.DamageHistoryMissing {
		t.Fatalf("open before the first: got %v, want %s", err, bus.DamageHistoryMissing)
	}
}

// fulls: a full log would take telemetry that it cannot keep, or stop the stages that must drain it.
func fulls(t *testing.T, s Suite) {
	l := s.Fresh(t)
	s.Full(t, l, true)
	_, err := l.Append(ctxOf(t), bus.Message{Subject: "log.frame.x", Data: make([]byte, 1000)})
	if !errors.Is(err, bus.ErrFull) {
		t.Fatalf("append to a full log: %v", err)
	}
	if err := l.Commit(ctxOf(t), bus.Commit{Checkpoint: checkpoint(bus.Checkpoint{}, 1)}); err != nil {
		t.Fatalf("a commit must find room when telemetry does not: %v", err)
	}
	s.Full(t, l, false)
	if _, err := l.Append(ctxOf(t), bus.Message{Subject: "log.frame.x", Data: make([]byte, 1000)}); err != nil {
		t.Fatalf("append after the log has room again: %v", err)
	}
}

// snapshots: a stage would start from another state than it kept.
func snapshots(t *testing.T, s Suite) {
	l := s.Fresh(t)
	ctx := ctxOf(t)
	for _, size := range []int{0, 1, 1 << 20, 2<<20 + 17} {
		state := bytes.Repeat([]byte{byte(size), 7, 9}, size/3+1)[:size]
		name, err := l.PutSnapshot(ctx, "probe", 2, uint64(size), state)
		if err != nil {
			t.Fatal(err)
		}
		ref := bus.SnapshotRef{Name: name, Size: size, Sum: sha256.Sum256(state)}
		got, err := l.GetSnapshot(ctx, ref)
		if err != nil || !bytes.Equal(got, state) {
			t.Fatalf("snapshot of %d bytes: got %d, %v", size, len(got), err)
		}
	}
}

// damages: a rotten snapshot would be restored as if it were good.
func damages(t *testing.T, s Suite) {
	l := s.Fresh(t)
	ctx := ctxOf(t)
	state := []byte("a state worth keeping")
	name, err := l.PutSnapshot(ctx, "probe", 2, 1, state)
	if err != nil {
		t.Fatal(err)
	}
	ref := bus.SnapshotRef{Name: name, Size: len(state), Sum: sha256.Sum256(state)}
	wrong := ref
	wrong.Sum[0]++
	var d *bus.DamageError
	if _, err := l.GetSnapshot(ctx, wrong); !errors.As(err, &d) || d.Reason != bus.DamageSnapshotRotten {
		t.Fatalf("another digest: got %v", err)
	}
	s.Rot(t, l, ref)
	if _, err := l.GetSnapshot(ctx, ref); !errors.As(err, &d) {
		t.Fatalf("a damaged snapshot: got %v", err)
	}
	ref.Name = "probe.2.99"
	if _, err := l.GetSnapshot(ctx, ref); !errors.As(err, &d) || d.Reason != bus.DamageSnapshotMissing {
		t.Fatalf("no snapshot: got %v", err)
	}
}

// changed is the machine of another version: it makes other outputs of the same input.
type changed struct{ machine }

func (c *changed) Step(r *bus.Record) ([]bus.Draft, error) {
	ds, err := c.machine.Step(r)
	for i := range ds {
		ds[i].Data = append(ds[i].Data, " changed"...)
	}
	return ds, err
}

// ends: an upgrade after an orderly stop would take its own new outputs for damage.
func ends(t *testing.T, s Suite) {
	l := s.Fresh(t)
	old := spec()
	other := spec()
	other.New = func(int) bus.Stage { return &changed{} }
	for n, sp := range []bus.Spec{old, other, old} {
		mustAppend(t, l, input(3, uint64(n)))
		ctx, stop := context.WithCancel(ctxOf(t))
		err := bus.Run(ctx, bus.RunConfig{
			Log: l, Spec: sp,
			OnCommit: func(cp bus.Checkpoint, _ []bus.Message) {
				if cp.Outputs == uint64(3*(n+1)) {
					stop()
				}
			},
			Last: func() context.Context { return ctxOf(t) },
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("run %d: %v", n, err)
		}
		head, err := l.Head(ctxOf(t), stageName, 0)
		if err != nil {
			t.Fatal(err)
		}
		if head.Outputs != uint64(3*(n+1)) || head.Snapshot.Position != head.Position {
			t.Fatalf("run %d ended at %+v with %d outputs, its snapshot stands at %+v", n, head.Position, head.Outputs, head.Snapshot.Position)
		}
	}
}
