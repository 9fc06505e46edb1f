package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// random proposals that are sometimes right and sometimes wrong in each way.
func random(r *rand.Rand, n int) []byte {
	p := mesh.Proposal{ID: fmt.Sprintf("p%d", r.IntN(n/4)), Author: "ann", ManagedBy: []string{"api", "dir:a", "dir:b"}[r.IntN(3)]}
	p.TakeOwnership, p.Confirmed = r.IntN(5) == 0, r.IntN(5) == 0
	for range r.IntN(4) {
		var refs []mesh.Ref
		if r.IntN(3) == 0 {
			refs = append(refs, ref("SLI", fmt.Sprint(r.IntN(3))))
		}
		d := define([]string{"SLO", "SLI"}[r.IntN(2)], fmt.Sprint(r.IntN(6)), fmt.Sprint(r.IntN(3)), refs...)
		d.Labels = map[string]string{"b": "1", "a": "<&>"}
		if r.IntN(3) == 0 {
			d.Claims = []string{fmt.Sprint("claim", r.IntN(3))}
		}
		p.Set = append(p.Set, d)
	}
	for range r.IntN(3) {
		p.Delete = append(p.Delete, ref([]string{"SLO", "SLI"}[r.IntN(2)], fmt.Sprint(r.IntN(6))))
	}
	if r.IntN(4) == 0 {
		p.Expect = append(p.Expect, mesh.Expectation{Ref: ref("SLO", fmt.Sprint(r.IntN(6))), Revision: uint64(r.IntN(4))})
	}
	data, _ := json.Marshal(p)
	if r.IntN(20) == 0 {
		data = data[:r.IntN(len(data))]
	}
	return data
}

// A process that starts from a snapshot would answer otherwise than the one that went on, and the partition would stop.
func TestCutAndRestore(t *testing.T) {
	const n = 400
	r := rand.New(rand.NewPCG(1, 2))
	whole, cut := newDesk(t, mesh.Bounds{Answers: 16}), newDesk(t, mesh.Bounds{Answers: 16})
	for i := range n {
		data := random(r, n)
		want, got := whole.send(data), cut.send(data)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("step %d: outputs differ (-whole +cut):\n%s", i, d)
		}
		if r.IntN(3) > 0 {
			continue
		}
		state, err := cut.c.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		cut.c = mesh.NewCatalogue(mesh.Bounds{Answers: 16})
		if err := cut.c.Restore(state); err != nil {
			t.Fatal(err)
		}
		again, err := cut.c.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if other, _ := whole.c.Snapshot(); !bytes.Equal(state, again) || !bytes.Equal(state, other) {
			t.Fatalf("step %d: equal states give different snapshots", i)
		}
	}
	s := whole.c.Stats()
	if s.Accepted < 20 || s.Refused < 20 || s.Repeated < 20 {
		t.Fatalf("the random proposals do not reach everything: %+v", s)
	}
}

// A program of the next version would not read what this one has written.
func TestGoldenSnapshot(t *testing.T) {
	const golden = "testdata/catalogue-v1.json"
	d := newDesk(t, mesh.Bounds{})
	sli := define("SLI", "good", "1")
	slo := define("SLO", "checkout", "1", sli.Ref)
	slo.Labels, slo.Claims = map[string]string{"team": "shop"}, []string{"slo/default/shop/checkout"}
	gone := define("SLI", "gone", "1")
	d.want(mesh.Proposal{ID: "p1", ManagedBy: "dir:config", Author: "dir:config", Set: []mesh.Definition{sli, slo, gone}}, mesh.ReasonAccepted, "")
	d.want(mesh.Proposal{ID: "p2", ManagedBy: "dir:config", Author: "dir:config", Delete: []mesh.Ref{gone.Ref}}, mesh.ReasonAccepted, "")
	d.want(mesh.Proposal{ID: "p3", Delete: []mesh.Ref{slo.Ref}}, mesh.ReasonOwnedByOther, "")
	state, err := d.c.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, state, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(state)); d != "" {
		t.Errorf("the snapshot has changed (-want +got): raise its version and read the old one\n%s", d)
	}
	c := mesh.NewCatalogue(mesh.Bounds{})
	if err := c.Restore(want); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.Get(slo.Ref); !ok || got.Revision != 1 || c.Revision() != 2 {
		t.Errorf("restored: %+v at %d", got, c.Revision())
	}
	if err := c.Restore([]byte(`{"v":2}`)); err == nil {
		t.Error("a snapshot of an unknown version is read")
	}
}

// A crash of the process that owns the catalogue would lose an answer, give it twice, or leave readers with another state.
func TestRunAndFollow(t *testing.T) {
	ctx := t.Context()
	log := bus.NewMemory()
	r := rand.New(rand.NewPCG(3, 4))
	whole := newDesk(t, mesh.Bounds{})
	want := 0
	for owner := range 4 {
		for range 25 {
			data := random(r, 100)
			log.SetTime(whole.now + bus.Second)
			if _, err := log.Append(ctx, bus.Message{Subject: mesh.SubjectProposal, Data: data}); err != nil {
				t.Fatal(err)
			}
			want += len(whole.send(data))
		}
		stop := errors.New("stop")
		err := follow(ctx, log, whole.c, stop)
		if !errors.Is(err, stop) {
			t.Fatalf("owner %d: follow: %v", owner, err)
		}
		ctx2, cancel := context.WithCancel(ctx)
		err = bus.Run(ctx2, bus.RunConfig{Log: log, Spec: mesh.CatalogueSpec(), SnapshotBytes: 4000, OnCommit: func(cp bus.Checkpoint, _ []bus.Message) {
			if cp.Outputs == uint64(want) {
				cancel()
			}
		}})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("owner %d: %v", owner, err)
		}
	}
	head, err := log.Head(ctx, "catalogue", 0)
	if err != nil || head.Outputs != uint64(want) {
		t.Errorf("%d outputs were committed, want %d (%v)", head.Outputs, want, err)
	}
}

// follow reads a copy of the catalogue to the log's end and compares it with want.
func follow(ctx context.Context, log bus.Log, want *mesh.Catalogue, stop error) error {
	return bus.Follow(ctx, log, mesh.CatalogueSpec(), 0, func(s bus.Stage, _ bus.Progress, atEnd bool) error {
		if !atEnd {
			return nil
		}
		c, ok := s.(*mesh.Catalogue)
		if !ok || c.Revision() != want.Revision() || cmp.Diff(want.List(), c.List()) != "" {
			return fmt.Errorf("the copy is at revision %d, the catalogue at %d", c.Revision(), want.Revision())
		}
		return stop
	})
}

// BenchmarkCatalogue changes one definition of 100,000, and takes and reads the snapshot.
func BenchmarkCatalogue(b *testing.B) {
	c := mesh.NewCatalogue(mesh.Bounds{})
	propose := func(n int, set ...mesh.Definition) {
		data, err := json.Marshal(mesh.Proposal{ID: fmt.Sprint(n), ManagedBy: "api", Set: set})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Step(&bus.Record{Time: 1, Subject: mesh.SubjectProposal, Data: data}); err != nil {
			b.Fatal(err)
		}
	}
	const n, part = 100_000, 500
	for i := 0; i < n; i += part {
		var set []mesh.Definition
		for j := i; j < i+part; j++ {
			d := define("SLO", fmt.Sprintf("s%06d", j), "1")
			d.Source = strings.Repeat("x", 700)
			set = append(set, d)
		}
		propose(i, set...)
	}
	if got := c.Stats().Definitions; got != n {
		b.Fatalf("%d definitions", got)
	}
	b.Run("step", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			propose(n+i, define("SLO", fmt.Sprintf("s%06d", i%n), fmt.Sprint(i)))
		}
	})
	b.Run("snapshot", func(b *testing.B) {
		for b.Loop() {
			state, err := c.Snapshot()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(state)), "bytes")
		}
	})
	state, err := c.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			if err := mesh.NewCatalogue(mesh.Bounds{}).Restore(state); err != nil {
				b.Fatal(err)
			}
		}
	})
}
