package bus

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
)

// A RunConfig says what [Run] runs and when it commits.
type RunConfig struct {
	Log       Log
	Spec      Spec
	Partition int
	// OnCommit, if set, is called after each commit with the messages that it made durable (their sequences are unknown), and
	// once with none when the partition has recovered. It must not block for long, and what it keeps of ms it must copy.
	OnCommit func(cp Checkpoint, ms []Message)
	// OnProgress, if set, is called at the end of what is there to read, and at the least with every commit.
	OnProgress func(Progress)

	// Last, if set, is asked when ctx has ended. A context that it returns is for the end in order of a whole process: Run commits what
	// is pending and keeps a snapshot, so that the next process, which may be of another version, need not run old input again.
	// It returns nil where a successor is waiting.
	Last func() context.Context

	SnapshotEvery Time // of record time; default 5 minutes
	SnapshotBytes int  // of input read since the last; default 128 MiB, about 3 s of running again
	CommitEvery   Time // of record time, while there is always more to read; default 200 ms
	IdleCommit    Time // of record time, without drafts; default 10 s
}

// Progress is how far a partition has come.
type Progress struct {
	Seq uint64 // last sequence taken
	Now Time   // the stage's time
}

// Run drives one partition of a stage until ctx ends or the partition is lost: it recovers from the newest checkpoint, then reads,
// steps and commits. It returns ErrFenced when another owner has taken over and a *DamageError when the log cannot be trusted.
func Run(ctx context.Context, c RunConfig) error {
	r := &runner{RunConfig: c}
	r.defaults()
	if err := r.recover(ctx); err != nil {
		return fmt.Errorf("recover %s/%d: %w", c.Spec.Name, c.Partition, r.name(err))
	}
	defer r.reader.Close()
	if c.OnCommit != nil {
		c.OnCommit(r.cp, nil)
	}
	for {
		if err := r.turn(ctx); err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				err = errors.Join(err, r.last())
			}
			return fmt.Errorf("run %s/%d: %w", c.Spec.Name, c.Partition, r.name(err))
		}
	}
}

// last leaves nothing to be run again.
func (r *runner) last() error {
	if r.Last == nil {
		return nil
	}
	ctx := r.Last()
	if ctx == nil {
		return nil
	}
	if err := r.commit(ctx); err != nil || r.cp.Snapshot.Position == r.cp.Position {
		return err
	}
	return r.snapshot(ctx)
}

// Follow keeps a copy of a stage's state without owning it: it starts from the newest snapshot that a checkpoint refers to, steps
// on with the log and throws the drafts away. It is how a process reads what another one's stage knows (the catalogue, for one).
// After each message, and once at the first end of the log, it calls seen; it returns when ctx ends, when the log cannot be read
// or when seen returns an error.
func Follow(ctx context.Context, log Log, spec Spec, partition int, seen func(s Stage, p Progress, atEnd bool) error) error {
	r := &runner{RunConfig: RunConfig{Log: log, Spec: spec, Partition: partition}}
	cp, err := log.Head(ctx, spec.Name, partition)
	if err != nil {
		return fmt.Errorf("follow %s/%d: %w", spec.Name, partition, err)
	}
	cp.Position, cp.Outputs = cp.Snapshot.Position, cp.Snapshot.Outputs
	if err := r.recoverFrom(ctx, cp, cp.Snapshot); err != nil {
		return fmt.Errorf("follow %s/%d: %w", spec.Name, partition, err)
	}
	defer r.reader.Close()
	for {
		m, err := r.reader.Next(ctx, false)
		if err == nil && m == nil {
			if err = seen(r.stage, Progress{Seq: r.pos.Seq - 1, Now: r.now}, true); err == nil {
				m, err = r.reader.Next(ctx, true)
			}
		}
		if err != nil {
			return err
		}
		if err := r.step(m); err != nil {
			return fmt.Errorf("follow %s/%d: %w", spec.Name, partition, err)
		}
		clear(r.pending)
		r.pending, r.ends, r.sums = r.pending[:0], r.ends[:0], r.sums[:0]
		if err := seen(r.stage, Progress{Seq: m.Seq, Now: r.now}, false); err != nil {
			return err
		}
	}
}

type runner struct {
	RunConfig
	stage  Stage
	reader Reader
	cp     Checkpoint // last one committed

	record  Record
	pos     Position // all before are stepped
	now     Time
	outputs uint64
	digest  Digest
	pending []Message // drafts not committed yet
	ends    []Position
	sums    []Digest // digest after each pending draft

	sinceSnapshot int
}

func (r *runner) defaults() {
	if r.SnapshotEvery == 0 {
		r.SnapshotEvery = 5 * Minute
	}
	if r.SnapshotBytes == 0 {
		r.SnapshotBytes = 128 << 20
	}
	if r.CommitEvery == 0 {
		r.CommitEvery = 200 * Millisecond
	}
	if r.IdleCommit == 0 {
		r.IdleCommit = 10 * Second
	}
}

// turn takes one message, or commits when there is nothing more to take or enough to write.
func (r *runner) turn(ctx context.Context) error {
	m, err := r.reader.Next(ctx, len(r.pending) == 0)
	if err != nil {
		return err
	}
	if m == nil {
		return r.commit(ctx)
	}
	if err := r.step(m); err != nil {
		return err
	}
	late := r.now-r.cp.Now >= r.CommitEvery
	switch {
	case len(r.pending) >= MaxCommit/2, len(r.pending) > 0 && late, r.now-r.cp.Now >= r.IdleCommit, r.sinceSnapshot >= r.SnapshotBytes:
		return r.commit(ctx)
	}
	if r.OnProgress != nil && m.Subject == SubjectTick {
		r.OnProgress(Progress{Seq: m.Seq, Now: r.now})
	}
	return nil
}

// step runs the stage over one message and keeps its drafts.
func (r *runner) step(m *Message) error {
	r.sinceSnapshot += len(m.Data)
	if !r.Spec.reads(m, r.Partition) {
		r.pos = Position{Seq: m.Seq + 1}
		r.now = max(r.now, m.Time)
		return nil
	}
	r.Spec.record(&r.record, m, r.Partition, r.now)
	r.now = r.record.Time
	drafts, err := r.stage.Step(&r.record)
	if err != nil {
		return fmt.Errorf("step at %d: %w", m.Seq, err)
	}
	for i := range drafts {
		r.outputs++
		r.digest = r.digest.extend(&drafts[i])
		r.pending = append(r.pending, drafts[i].message(r.Spec.Name, r.Partition, r.outputs, r.now))
		r.ends = append(r.ends, Position{Seq: m.Seq, Index: i + 1})
		r.sums = append(r.sums, r.digest)
	}
	next := m.Seq + 1
	if m.Subject == SubjectGap {
		next = m.Seq + r.record.Missing
	}
	r.pos = Position{Seq: next}
	return nil
}

// commit writes all pending drafts, in parts where there are many, and takes a snapshot when one is due.
func (r *runner) commit(ctx context.Context) error {
	for len(r.pending) > MaxCommit {
		if err := r.write(ctx, MaxCommit, r.ends[MaxCommit-1]); err != nil {
			return err
		}
	}
	if err := r.write(ctx, len(r.pending), r.pos); err != nil {
		return err
	}
	if r.OnProgress != nil {
		r.OnProgress(Progress{Seq: r.pos.Seq - 1, Now: r.now})
	}
	if r.sinceSnapshot >= r.SnapshotBytes || r.now-r.cp.Snapshot.Now >= r.SnapshotEvery {
		return r.snapshot(ctx)
	}
	return nil
}

// write commits the first n pending drafts.
func (r *runner) write(ctx context.Context, n int, pos Position) error {
	next := r.cp
	next.Version, next.Stage, next.Partition = CheckpointVersion, r.Spec.Name, r.Partition
	next.Number++
	next.Previous = r.cp.Sum()
	next.Position, next.Now = pos, r.now
	next.Outputs += uint64(n)
	if n > 0 {
		next.Digest = r.sums[n-1]
	}
	if err := r.put(ctx, Commit{Checkpoint: next, Messages: r.pending[:n]}); err != nil {
		return err
	}
	if r.OnCommit != nil {
		r.OnCommit(next, r.pending[:n])
	}
	rest := len(r.pending) - n
	copy(r.pending, r.pending[n:])
	clear(r.pending[rest:])
	r.pending, r.ends, r.sums = r.pending[:rest], append(r.ends[:0], r.ends[n:]...), append(r.sums[:0], r.sums[n:]...)
	return nil
}

// put commits, and after an answer that tells nothing looks at the newest checkpoint before it writes again.
func (r *runner) put(ctx context.Context, c Commit) error {
	const tries = 5
	var err error
	for range tries {
		if err = r.Log.Commit(ctx, c); err == nil {
			r.cp = c.Checkpoint
			return nil
		}
		if errors.Is(err, ErrFenced) || ctx.Err() != nil {
			// The write that is refused may be the second arrival of our own.
			if head, herr := r.Log.Head(ctx, r.Spec.Name, r.Partition); herr == nil && head.Sum() == c.Checkpoint.Sum() {
				r.cp = c.Checkpoint
				return nil
			}
			return err
		}
		head, herr := r.Log.Head(ctx, r.Spec.Name, r.Partition)
		switch {
		case herr != nil:
			return fmt.Errorf("commit: %w, then read the head: %w", err, herr)
		case head.Sum() == c.Checkpoint.Sum():
			r.cp = c.Checkpoint
			return nil
		case head.Number != c.Checkpoint.Number-1:
			return ErrFenced
		}
	}
	return fmt.Errorf("commit after %d tries: %w", tries, err)
}

// snapshot keeps the state at the position just committed and refers to it by a checkpoint of its own.
func (r *runner) snapshot(ctx context.Context) error {
	state, err := r.stage.Snapshot()
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	name, err := r.Log.PutSnapshot(ctx, r.Spec.Name, r.Partition, r.cp.Number, state)
	if err != nil {
		return fmt.Errorf("keep snapshot: %w", err)
	}
	next := r.cp
	next.Number++
	next.Previous = r.cp.Sum()
	next.Fallback = r.cp.Snapshot
	next.Snapshot = SnapshotRef{Name: name, Sum: sha256.Sum256(state), Size: len(state), Position: r.cp.Position, Now: r.cp.Now, Outputs: r.cp.Outputs, Digest: r.cp.Digest}
	if err := r.put(ctx, Commit{Checkpoint: next}); err != nil {
		return err
	}
	r.sinceSnapshot = 0
	return nil
}

// recover brings the stage to the newest checkpoint: its snapshot, then the input again, the outputs compared and thrown away.
func (r *runner) recover(ctx context.Context) error {
	cp, err := r.Log.Head(ctx, r.Spec.Name, r.Partition)
	if err != nil {
		return err
	}
	if err := r.recoverFrom(ctx, cp, cp.Snapshot); err != nil {
		var d *DamageError
		if !errors.As(err, &d) || cp.Fallback.Name == "" || d.Reason == DamageOutputsDiffer {
			return err
		}
		if ferr := r.recoverFrom(ctx, cp, cp.Fallback); ferr != nil {
			return errors.Join(err, ferr)
		}
		return r.snapshot(ctx)
	}
	return nil
}

func (r *runner) recoverFrom(ctx context.Context, cp Checkpoint, from SnapshotRef) error {
	r.stage = r.Spec.New(r.Partition)
	if from.Name != "" {
		state, err := r.Log.GetSnapshot(ctx, from)
		if err != nil {
			return err
		}
		if err := r.stage.Restore(state); err != nil {
			return r.damage(DamageSnapshotUnreadable, err.Error())
		}
	}
	r.cp, r.pos, r.now, r.outputs, r.digest = cp, from.Position, from.Now, from.Outputs, from.Digest
	r.pending, r.ends, r.sums, r.sinceSnapshot = nil, nil, nil, 0
	reader, err := r.Log.Open(ctx, from.Position.Seq)
	if err != nil {
		return err
	}
	if err := r.catchUp(ctx, reader, cp); err != nil {
		reader.Close()
		return err
	}
	r.reader = reader
	return nil
}

// catchUp runs the input again up to the checkpoint's position. Drafts of the last message that were not committed stay pending.
func (r *runner) catchUp(ctx context.Context, reader Reader, cp Checkpoint) error {
	for r.pos.Seq < cp.Position.Seq || r.pos.Seq == cp.Position.Seq && cp.Position.Index > 0 {
		m, err := reader.Next(ctx, true)
		if err != nil {
			return err
		}
		if err := r.step(m); err != nil {
			return err
		}
		if err := r.compare(cp); err != nil {
			return err
		}
	}
	r.now = max(r.now, cp.Now)
	if r.outputs-uint64(len(r.pending)) != cp.Outputs {
		return r.damage(DamageOutputsDiffer, fmt.Sprintf("%d outputs were committed, running again gave %d", cp.Outputs, r.outputs))
	}
	return nil
}

// compare drops the pending drafts that the checkpoint covers, after a look at their digest.
func (r *runner) compare(cp Checkpoint) error {
	before := r.outputs - uint64(len(r.pending))
	n := int(min(uint64(len(r.pending)), cp.Outputs-before))
	if n > 0 && before+uint64(n) == cp.Outputs && r.sums[n-1] != cp.Digest {
		return r.damage(DamageOutputsDiffer, fmt.Sprintf("the digest of the first %d outputs is another than was committed", cp.Outputs))
	}
	r.pending, r.ends, r.sums = r.pending[n:], r.ends[n:], r.sums[n:]
	return nil
}

// name fills in who is damaged where the log, which does not know for whom it reads, has left that open.
func (r *runner) name(err error) error {
	var d *DamageError
	if errors.As(err, &d) && d.Stage == "" {
		d.Stage, d.Partition = r.Spec.Name, r.Partition
	}
	return err
}

func (r *runner) damage(reason, detail string) error {
	return &DamageError{Stage: r.Spec.Name, Partition: r.Partition, Reason: reason, Detail: detail}
}

// Sum is the digest that the next checkpoint names as its previous one; that of no checkpoint is zero.
func (c Checkpoint) Sum() Digest {
	if c.Number == 0 {
		return Digest{}
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // a struct of numbers, strings and byte arrays always encodes
	}
	return sha256.Sum256(b)
}
