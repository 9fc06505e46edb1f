package logtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

// A fault is what the flaky log does instead of what it is asked.
var errFault = errors.New("logtest: made to fail")

// flaky is a log whose writes fail before or after they are applied, and whose readers die; each owner has one of its own.
type flaky struct {
	bus.Log
	mu   sync.Mutex
	rng  *rand.Rand
	rate float64 // of faults per call
}

// calmer is what each fault leaves of the rate. A way of n messages that must be read at one go is taken with (1-rate)^n: where inputs
// come slowly and owners fill the log with their checkpoints, n grows beyond what any number of deaths at the first rate gets through.
const calmer = 0.998

func (f *flaky) fault() (before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, after = f.rng.Float64() < f.rate, f.rng.Float64() < f.rate
	if before || after {
		f.rate *= calmer
	}
	return before, after
}

func (f *flaky) Commit(ctx context.Context, c bus.Commit) error {
	before, after := f.fault()
	if before {
		return errFault
	}
	if err := f.Log.Commit(ctx, c); err != nil || !after {
		return err
	}
	return errFault // it was applied, and the answer is lost
}

func (f *flaky) PutSnapshot(ctx context.Context, stage string, partition int, number uint64, state []byte) (string, error) {
	before, after := f.fault()
	if before {
		return "", errFault
	}
	name, err := f.Log.PutSnapshot(ctx, stage, partition, number, state)
	if err == nil && after {
		return "", errFault
	}
	return name, err
}

func (f *flaky) Open(ctx context.Context, from uint64) (bus.Reader, error) {
	r, err := f.Log.Open(ctx, from)
	if err != nil {
		return nil, err
	}
	return &flakyReader{Reader: r, f: f}, nil
}

type flakyReader struct {
	bus.Reader
	f *flaky
}

// Next dies now and then: that is the kill of a runner, with all it had in memory.
func (r *flakyReader) Next(ctx context.Context, wait bool) (*bus.Message, error) {
	if before, _ := r.f.fault(); before {
		return nil, errFault
	}
	return r.Reader.Next(ctx, wait)
}

// seeds returns the seeds to run.
func seeds(t *testing.T, n int) []uint64 {
	if v := os.Getenv("EVENKEEL_SEEDS"); v != "" {
		m, err := strconv.Atoi(v)
		if err != nil || m < 1 {
			t.Fatalf("EVENKEEL_SEEDS=%q is no number above 0", v)
		}
		n = m
	}
	if n == 0 {
		n = 6
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = uint64(i + 1)
	}
	return out
}

// exactlyOnce: after a crash an alert would be lost, sent twice or stand on another number.
func exactlyOnce(t *testing.T, s Suite) {
	for _, seed := range seeds(t, s.Seeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { trial(t, s, seed) })
	}
}

// A plan is what one seed decides before the run.
type plan struct {
	inputs []bus.Message
	wanted []string
	rate   float64 // of faults
	owners int     // that compete
}

func newPlan(t *testing.T, rng *rand.Rand) plan {
	p := plan{rate: []float64{0.005, 0.02, 0.08}[rng.IntN(3)], owners: 1 + rng.IntN(3)}
	for i := range 30 + rng.IntN(50) {
		n := uint16(rng.IntN(4))
		if i%23 == 7 {
			n = uint16(bus.MaxCommit/2 + rng.IntN(2*bus.MaxCommit)) // one step that commits in parts
		}
		p.inputs = append(p.inputs, input(n, rng.Uint64()))
	}
	p.inputs = append(p.inputs, input(1, rng.Uint64()))
	var err error
	if p.wanted, err = want(p.inputs); err != nil {
		t.Fatal(err)
	}
	return p
}

func trial(t *testing.T, s Suite, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 11))
	p := newPlan(t, rng)
	l := s.Fresh(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	run, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for owner := range p.owners {
		at := l
		if owner%2 == 1 && s.Second != nil {
			at = s.Second(t, l)
		}
		f := &flaky{Log: at, rng: rand.New(rand.NewPCG(seed, uint64(100+owner))), rate: p.rate}
		wg.Go(func() { own(run, t, f, len(p.wanted), stop) })
	}
	for _, m := range p.inputs {
		if _, err := l.Append(ctx, m); err != nil {
			t.Errorf("append: %v", err)
		}
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Fatalf("seed %d: the owners did not finish in %s", seed, 2*patience)
	}
	got, err := outputs(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p.wanted, got); d != "" {
		t.Fatalf("seed %d: outputs (-want +got):\n%s", seed, d)
	}
}

// own runs the machine again and again, as a supervisor does, until all outputs are committed.
func own(ctx context.Context, t *testing.T, l bus.Log, outputs int, stop func()) {
	for ctx.Err() == nil {
		err := bus.Run(ctx, bus.RunConfig{Log: l, Spec: spec(), SnapshotBytes: 200, OnCommit: func(cp bus.Checkpoint, _ []bus.Message) {
			if cp.Outputs >= uint64(outputs) {
				stop()
			}
		}})
		var d *bus.DamageError
		if errors.As(err, &d) {
			t.Errorf("nothing was damaged: %v", err)
			stop()
		}
	}
}

// outputs reads what stands in the log, and checks that it is numbered without a break.
func outputs(ctx context.Context, l bus.Log) ([]string, error) {
	r, err := l.Open(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []string
	for {
		m, err := r.Next(ctx, false)
		if err != nil || m == nil {
			return out, err
		}
		if m.Subject != "log.draft.machine.out" {
			continue
		}
		out = append(out, string(m.Data))
		if n := m.Header.Get(bus.HeaderN); n != strconv.Itoa(len(out)) {
			return nil, fmt.Errorf("output %d at %d has number %s", len(out), m.Seq, n)
		}
	}
}

// follows: the API would show what a stage has forgotten, or lag behind for good.
func follows(t *testing.T, s Suite) {
	l := s.Fresh(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last bus.Message
	for i := range 10 {
		last = input(1, uint64(i))
		mustAppend(t, l, last)
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { own(run, t, l, 10, stop) })
	wg.Wait()
	mustAppend(t, l, last)
	wanted := &machine{}
	for i := range 10 {
		if _, err := wanted.Step(&bus.Record{Subject: inputSubject, Data: input(1, uint64(i)).Data}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := wanted.Step(&bus.Record{Subject: inputSubject, Data: last.Data}); err != nil {
		t.Fatal(err)
	}
	done := errors.New("seen")
	err := bus.Follow(ctx, l, spec(), 0, func(s bus.Stage, _ bus.Progress, atEnd bool) error {
		if m := s.(*machine); atEnd && *m == *wanted {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatalf("follow ended with %v", err)
	}
}
