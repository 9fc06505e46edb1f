package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"evenkeel.dev/bus"
)

// A WorkConfig says which stages this process takes part in.
type WorkConfig struct {
	Log     *Log
	Members *Members
	Stages  []StageWork
	Logger  *slog.Logger
}

// A StageWork is a stage with what hangs on its partitions in this process. The functions may be nil.
type StageWork struct {
	Spec       bus.Spec
	Role       string // that a member must have to own partitions of it; default the stage's name
	OnCommit   func(partition int, cp bus.Checkpoint, ms []bus.Message)
	OnProgress func(partition int, p bus.Progress)
	// Beside runs while the partition is owned and has recovered, for example the sender beside the notify stage. When it returns
	// an error it is started again after a pause.
	Beside func(ctx context.Context, partition int) error
}

// States of a partition, as Health tells them.
const (
	StateElsewhere  = "elsewhere"  // another member should run it
	StateRecovering = "recovering" // it comes up
	StateRunning    = "running"
	StateFenced     = "fenced"  // another owner has committed; it starts again from the head
	StateFailed     = "failed"  // an error or a panic; it starts again after a pause
	StateDamaged    = "damaged" // it stands still until 'evenkeel repair'; it looks again every 10 s
)

// Health is how one partition does in this process.
type Health struct {
	Stage       string
	Partition   int
	State       string
	Since       time.Time     // of the state
	LagMessages uint64        // behind the end of LOG
	LagTime     time.Duration // age of the record that it has come to; 0 at the end of LOG
	Restarts    int           // after errors, since the start of this process
	Err         string        // the last error, "" since it recovered
}

const (
	pauseMin    = 200 * time.Millisecond
	pauseMax    = 10 * time.Second // also how often a damaged partition looks again
	steadyAfter = time.Minute      // a run of this length forgets earlier failures
	besideAgain = time.Second
	lastTimeout = 5 * time.Second // for the commit and the snapshot of a partition when the process ends in order
	stackMax    = 4096            // bytes of a panic's stack in the log
)

// A Worker keeps the partitions running that this process should run.
type Worker struct {
	config WorkConfig
	parts  []*part
}

// part is one partition of one stage.
type part struct {
	w    *Worker
	work StageWork
	n    int

	mu     sync.Mutex
	health Health
	at     bus.Progress
}

// NewWorker returns a worker; Run starts it.
func NewWorker(c WorkConfig) (*Worker, error) {
	if c.Log == nil || c.Members == nil {
		return nil, errors.New("worker: it needs a log and the members")
	}
	c.Logger = logger(c.Logger)
	w := &Worker{config: c}
	for _, s := range c.Stages {
		if s.Spec.Name == "" || s.Spec.New == nil {
			return nil, errors.New("worker: a stage has no name or no New")
		}
		if s.Role == "" {
			s.Role = s.Spec.Name
		}
		for n := range max(1, s.Spec.Partitions) {
			h := Health{Stage: s.Spec.Name, Partition: n, State: StateElsewhere, Since: time.Now()}
			w.parts = append(w.parts, &part{w: w, work: s, n: n, health: h})
		}
	}
	return w, nil
}

// Run runs what the members say is this process's own, until ctx ends; then it waits for all partitions to stop.
func (w *Worker) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range w.parts {
		wg.Go(func() { p.supervise(ctx) })
	}
	wg.Wait()
	return ctx.Err()
}

// Health returns one entry for each partition of each stage, by stage and partition.
func (w *Worker) Health() []Health {
	last, now := w.config.Log.Last(), time.Now()
	out := make([]Health, 0, len(w.parts))
	for _, p := range w.parts {
		out = append(out, p.report(last, now))
	}
	slices.SortFunc(out, func(a, b Health) int {
		if c := strings.Compare(a.Stage, b.Stage); c != 0 {
			return c
		}
		return a.Partition - b.Partition
	})
	return out
}

func (p *part) report(last uint64, now time.Time) Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.health
	if h.State != StateElsewhere && p.at.Seq < last {
		h.LagMessages = last - p.at.Seq
		if p.at.Now > 0 {
			h.LagTime = max(0, now.Sub(p.at.Now.Std()))
		}
	}
	return h
}

// supervise runs the partition whenever it is this process's own.
func (p *part) supervise(ctx context.Context) {
	pause := pauseMin
	for ctx.Err() == nil {
		if !p.await(ctx) {
			return
		}
		start := time.Now()
		err := p.own(ctx)
		if ctx.Err() != nil {
			return
		}
		if !p.owned() {
			p.state(StateElsewhere, nil)
			continue
		}
		if time.Since(start) > steadyAfter {
			pause = pauseMin
		}
		p.failed(err)
		var d *bus.DamageError
		if errors.As(err, &d) {
			pause = pauseMax
			p.w.config.Log.noteDamage(ctx, d)
		}
		if wait(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, pauseMax)
	}
}

func (p *part) owned() bool {
	return p.w.config.Members.Owns(p.work.Role, p.work.Spec.Name, p.n)
}

// await waits until the partition is this process's own.
func (p *part) await(ctx context.Context) bool {
	for {
		changed := p.w.config.Members.Changed()
		if p.owned() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// own runs the partition until it fails or another member should have it.
func (p *part) own(ctx context.Context) error {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for run.Err() == nil {
			changed := p.w.config.Members.Changed()
			if !p.owned() {
				cancel()
				return
			}
			select {
			case <-run.Done():
			case <-changed:
			}
		}
	})
	p.state(StateRecovering, nil)
	end := func() {}
	defer func() { end() }()
	err := p.run(run, &wg, func() context.Context {
		if ctx.Err() == nil {
			return nil // another member has the partition now
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
		end = cancel
		return last
	})
	cancel()
	wg.Wait()
	return err
}

// run is bus.Run with this process's hooks; a panic in the stage is an error of this partition alone.
func (p *part) run(ctx context.Context, wg *sync.WaitGroup, last func() context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			stack := debug.Stack()
			p.w.config.Log.count.panics.Add(1)
			p.w.config.Logger.Error("stage panicked", "stage", p.work.Spec.Name, "partition", p.n, "panic", v, "stack", string(stack[:min(len(stack), stackMax)]))
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	recovered := false
	return bus.Run(ctx, bus.RunConfig{
		Log: p.w.config.Log, Spec: p.work.Spec, Partition: p.n, Last: last,
		OnCommit: func(cp bus.Checkpoint, ms []bus.Message) {
			if !recovered {
				recovered = true
				p.state(StateRunning, nil)
				if p.work.Beside != nil {
					wg.Go(func() { p.beside(ctx) })
				}
			}
			if p.work.OnCommit != nil {
				p.work.OnCommit(p.n, cp, ms)
			}
		},
		OnProgress: func(at bus.Progress) {
			p.mu.Lock()
			p.at = at
			p.mu.Unlock()
			if p.work.OnProgress != nil {
				p.work.OnProgress(p.n, at)
			}
		},
	})
}

func (p *part) beside(ctx context.Context) {
	for ctx.Err() == nil {
		if err := p.work.Beside(ctx, p.n); err != nil && ctx.Err() == nil {
			p.w.config.Logger.Error("what runs beside a partition has ended", "stage", p.work.Spec.Name, "partition", p.n, "err", err)
		}
		if wait(ctx, besideAgain) != nil {
			return
		}
	}
}

func (p *part) state(state string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.health.State != state {
		p.health.State, p.health.Since = state, time.Now()
	}
	switch {
	case err != nil:
		p.health.Err = err.Error()
	case state == StateRunning, state == StateElsewhere:
		p.health.Err = ""
	}
}

func (p *part) failed(err error) {
	if err == nil {
		err = errors.New("the run has ended without an error")
	}
	var d *bus.DamageError
	state := StateFailed
	switch {
	case errors.As(err, &d):
		state = StateDamaged
	case errors.Is(err, bus.ErrFenced):
		state = StateFenced
	}
	p.state(state, err)
	p.mu.Lock()
	p.health.Restarts++
	p.mu.Unlock()
	p.w.config.Logger.Error("partition stopped", "stage", p.work.Spec.Name, "partition", p.n, "state", state, "err", err)
}
