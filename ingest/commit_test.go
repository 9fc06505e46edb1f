package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

var errTimeout = errors.New("no answer")

func kept(t testing.TB, l ingest.Limits) *house {
	h := newHouse(t, l)
	h.SetObjectives(1, []slo.Objective{objective(t, "g", "s", "m")})
	return h
}

func TestArrivalsShareAFrame(t *testing.T) {
	// Broken: each request would cost a write to disk of its own, or some would wait for a timer.
	synctest.Test(t, func(t *testing.T) {
		h := kept(t, ingest.Limits{})
		h.log.block = make(chan struct{})
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				h.send(t, ingest.Sender{Name: fmt.Sprint("s", i)}, float64(i), series("m", "i", fmt.Sprint(i)))
			})
			synctest.Wait()
		}
		h.log.block <- struct{}{} // the first arrival alone
		h.log.block <- struct{}{} // the nine that came meanwhile
		wg.Wait()
		got := read(t, 16, h.log.stored)
		if len(got.Frames) != 2 || len(got.Points) != 10 {
			t.Errorf("%d frames with %d points, want 2 with 10", len(got.Frames), len(got.Points))
		}
		if w := h.Stats().Waiting; w != 0 {
			t.Errorf("%d bytes are still counted as waiting", w)
		}
	})
}

func TestSuccessOnlyAfterTheLogHasIt(t *testing.T) {
	// Broken: a crash would lose samples that their sender believes to be safe.
	synctest.Test(t, func(t *testing.T) {
		h := kept(t, ingest.Limits{})
		h.log.block = make(chan struct{})
		done := false
		go func() { h.send(t, ingest.Sender{Name: "s"}, 1, series("m")); done = true }()
		synctest.Wait()
		if done {
			t.Error("committed before the log answered")
		}
		h.log.block <- struct{}{}
		synctest.Wait()
		if !done {
			t.Error("not committed after the log answered")
		}
	})
}

func TestSenderThatGoesAwayHarmsNobody(t *testing.T) {
	// Broken: a client that hangs up would fail others' requests or leave a leader behind that never writes.
	synctest.Test(t, func(t *testing.T) {
		h := kept(t, ingest.Limits{})
		h.log.block = make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		begin := func(ctx context.Context, v float64, err *error) {
			a := h.Begin(ingest.Sender{Name: "s"})
			give(a, series("m"), t0, 0, v)
			_, *err = a.Commit(ctx)
		}
		var leads, waits, stays, leaves error
		go begin(ctx, 1, &leads)
		synctest.Wait()
		go begin(ctx, 2, &waits)
		synctest.Wait()
		go begin(context.Background(), 3, &stays)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !errors.Is(waits, context.Canceled) || !strings.Contains(waits.Error(), "nothing was taken") {
			t.Errorf("one that waited: %v", waits)
		}
		h.log.block <- struct{}{}
		synctest.Wait()
		go begin(context.Background(), 4, &leaves)
		synctest.Wait()
		h.log.block <- struct{}{}
		h.log.block <- struct{}{}
		synctest.Wait()
		if leads != nil || stays != nil || leaves != nil {
			t.Errorf("leader %v, follower %v, last %v", leads, stays, leaves)
		}
		var vs []float64
		for _, p := range read(t, 16, h.log.stored).Points {
			vs = append(vs, p.Value)
		}
		if fmt.Sprint(vs) != "[1 3 4]" || h.Stats().Waiting != 0 {
			t.Errorf("stored %v, waiting %d", vs, h.Stats().Waiting)
		}
	})
}

func TestTooMuchWaitingIsRefusedBeforeItIsTaken(t *testing.T) {
	// Broken: a log that stalls would fill the memory of the process.
	synctest.Test(t, func(t *testing.T) {
		h := kept(t, ingest.Limits{WaitingBytes: 2000})
		h.log.block = make(chan struct{})
		errs := make([]error, 10)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				a := h.Begin(ingest.Sender{Name: "s"})
				give(a, series("m"), t0, 0, 1)
				_, errs[i] = a.Commit(context.Background())
			})
			synctest.Wait()
		}
		close(h.log.block)
		wg.Wait()
		busy := 0
		for _, err := range errs {
			if errors.Is(err, ingest.ErrBusy) {
				busy++
			}
		}
		if n := len(read(t, 16, h.log.stored).Points); busy < 5 || n != len(errs)-busy {
			t.Errorf("%d refused, %d of %d stored", busy, n, len(errs))
		}
	})
}

func TestFullLogLosesNothingAndRecovers(t *testing.T) {
	// Broken: after a full disk the log would have a gap in frame numbers, or refs without labels.
	h := kept(t, ingest.Limits{})
	h.send(t, ingest.Sender{Name: "s"}, 1, series("m"))
	h.log.fail = func(int) (bool, error) { return false, bus.ErrFull }
	a := h.Begin(ingest.Sender{Name: "s"})
	give(a, series("m", "i", "2"), t0, 0, 2)
	if _, err := a.Commit(context.Background()); !errors.Is(err, bus.ErrFull) {
		t.Fatalf("commit: %v, want ErrFull", err)
	}
	if h.log.tries != 2 {
		t.Errorf("%d appends; a full log is not asked again at once", h.log.tries)
	}
	h.log.fail = nil
	h.send(t, ingest.Sender{Name: "s"}, 3, series("m", "i", "2"))
	got := read(t, 16, h.log.stored)
	if len(got.Points) != 2 || got.Frames[1].Number != 2 || got.Frames[1].Writer != got.Frames[0].Writer {
		t.Errorf("points %+v", got.Points)
	}
}

func TestAppendWithoutAnswerIsRepeatedAsItWas(t *testing.T) {
	// Broken: a lost answer would double samples under a new frame number, or tear a gap.
	h := kept(t, ingest.Limits{})
	h.log.fail = func(n int) (bool, error) {
		if n == 2 {
			return true, errTimeout // stored, but the answer is lost
		}
		return true, nil
	}
	for i := range 3 {
		h.send(t, ingest.Sender{Name: "s"}, float64(i), series("m"))
	}
	if len(h.log.stored) != 4 || !bytes.Equal(h.log.stored[1], h.log.stored[2]) {
		t.Fatalf("%d frames stored, or the repeated one differs", len(h.log.stored))
	}
	if got := read(t, 16, h.log.stored); len(got.Points) != 3 || got.Frames[2].Number != 3 {
		t.Errorf("points %+v", got.Points)
	}
}

func TestWriterWhoseFrameIsUnknownEnds(t *testing.T) {
	// Broken: a frame number would be used twice with different content, and readers would skip the second.
	for _, stored := range []bool{false, true} {
		h := kept(t, ingest.Limits{})
		h.send(t, ingest.Sender{Name: "s"}, 1, series("m"))
		h.log.fail = func(int) (bool, error) { return stored, errTimeout }
		a := h.Begin(ingest.Sender{Name: "s"})
		give(a, series("m"), t0, 0, 2)
		if _, err := a.Commit(context.Background()); err == nil || errors.Is(err, bus.ErrFull) {
			t.Fatalf("commit: %v, want an error that is not ErrFull", err)
		}
		h.log.fail = nil
		h.send(t, ingest.Sender{Name: "s"}, 2, series("m"))
		got := read(t, 16, h.log.stored)
		last := got.Frames[len(got.Frames)-1]
		if last.Writer == 100 || last.Number != 1 || h.Stats().Writers != 1 {
			t.Errorf("stored %v: last frame is number %d of writer %d", stored, last.Number, last.Writer)
		}
		if p := got.Points[len(got.Points)-1]; p.Value != 2 {
			t.Errorf("stored %v: last point %+v", stored, p)
		}
	}
}

func TestLargeArrivalsAreCut(t *testing.T) {
	// Broken: an arrival with many new series would make a message that the log refuses for ever.
	h := kept(t, ingest.Limits{FrameMax: 1 << 20, TotalBytes: 8 << 10})
	a := h.Begin(ingest.Sender{Name: "s"})
	const n = 20_000
	pad := strings.Repeat("x", 200)
	for i := range n {
		give(a, series("m", "i", fmt.Sprint(i), "pad", pad), t0, t0-bus.Time(i), float64(i))
	}
	h.commit(t, a)
	got := read(t, 16, h.log.stored)
	if len(got.Points) != n || len(got.Frames) < 5 {
		t.Fatalf("%d points in %d frames", len(got.Points), len(got.Frames))
	}
	for _, b := range h.log.stored {
		if len(b) > 1<<20 {
			t.Errorf("a frame has %d bytes", len(b))
		}
	}
	if p := got.Points[n-1]; p.Start != t0-(n-1) || p.Value != n-1 {
		t.Errorf("last point %+v", p)
	}
}

func TestFramesHoldOneRevision(t *testing.T) {
	// Broken: a frame would claim to be matched with definitions that some of its arrivals have not seen.
	synctest.Test(t, func(t *testing.T) {
		h := kept(t, ingest.Limits{})
		h.log.block = make(chan struct{})
		var wg sync.WaitGroup
		for i := range 4 {
			if i > 1 {
				h.SetObjectives(uint64(i), []slo.Objective{objective(t, "g", "s", "m")})
			}
			wg.Go(func() { h.send(t, ingest.Sender{Name: "s"}, float64(i), series("m")) })
			synctest.Wait()
		}
		close(h.log.block)
		wg.Wait()
		var revisions []uint64
		for _, f := range read(t, 16, h.log.stored).Frames {
			revisions = append(revisions, f.Catalogue)
		}
		if fmt.Sprint(revisions) != "[1 1 2 3]" {
			t.Errorf("revisions of frames: %v", revisions)
		}
	})
}

func TestEverySuccessIsInTheLogWhateverFails(t *testing.T) {
	// Broken: some mixture of lost answers, full disks, changes of definitions and parallel senders would lose acknowledged samples.
	for seed := range uint64(20) {
		h := kept(t, ingest.Limits{FrameBytes: 4 << 10})
		random := rand.New(rand.NewPCG(seed, 1))
		h.log.fail = func(int) (bool, error) {
			switch random.IntN(8) {
			case 0:
				return false, bus.ErrFull
			case 1:
				return false, errTimeout
			case 2:
				return true, errTimeout
			}
			return true, nil
		}
		var mu sync.Mutex
		want := map[string]bool{}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 60 {
					a := h.Begin(ingest.Sender{Name: fmt.Sprint("w", w)})
					ls := series("m", "w", fmt.Sprint(w), "i", fmt.Sprint(i%7))
					v := float64(w*1000 + i)
					give(a, ls, t0, 0, v)
					if i == 30 {
						h.SetObjectives(uint64(2+w), []slo.Objective{objective(t, "g", "s", "m"), objective(t, "g", fmt.Sprint(w), "m")})
					}
					if _, err := a.Commit(context.Background()); err == nil {
						mu.Lock()
						want[fmt.Sprint(v)] = true
						mu.Unlock()
					}
					h.pass(bus.Second)
				}
			})
		}
		wg.Wait()
		got := map[string]bool{}
		for _, p := range read(t, 16, h.log.stored).Points {
			got[fmt.Sprint(p.Value)] = true
		}
		for v := range want {
			if !got[v] {
				t.Fatalf("seed %d: sample %s was acknowledged and is not in the log", seed, v)
			}
		}
		if len(want) < 100 {
			t.Fatalf("seed %d: only %d of 240 succeeded", seed, len(want))
		}
	}
}
