package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"evenkeel.dev/bus"
)

// A Finding is one damage in plain words, with what can be done about it.
type Finding struct {
	Stage     string   `json:"stage"`
	Partition int      `json:"partition"`
	Reason    string   `json:"reason"` // one of bus.Damage…
	Text      string   `json:"text"`
	Choices   []Choice `json:"choices,omitempty"` // none: it heals by itself at the next start of the partition
}

// A Choice is one way to mend a damage, with what it costs.
type Choice struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// The choices.
const (
	// MendRewrite writes the newest checkpoint that is known elsewhere into LOG again.
	MendRewrite = "rewrite"
	// MendRerun goes on from the last good snapshot and accepts what the stage makes of its input now.
	MendRerun = "accept-rerun"
	// MendReset goes on from an empty state.
	MendReset = "reset"
)

var errNoChoice = errors.New("there is no such choice")

// Explain says what a damage means and what can be done.
func Explain(d *bus.DamageError) Finding {
	f := Finding{Stage: d.Stage, Partition: d.Partition, Reason: d.Reason}
	rewrite := Choice{MendRewrite, "Write the newest checkpoint that is known elsewhere again and go on from it. If the lost one was newer (by 10 s at most), what the partition emitted after that may be emitted a second time, under the same ids."}
	rerun := Choice{MendRerun, "Go on from the last good snapshot and accept what comes out now. What was emitted since that snapshot is emitted again, under new ids: subscribers may see alerts of that time twice, and numbers may differ from those shown before."}
	reset := Choice{MendReset, "Throw the partition's state away and start empty from the first message that LOG still has. Budgets and alerts of this partition begin anew; definitions older than LOG must be applied again."}
	what := map[string]string{
		bus.DamageCheckpointMissing:  "The newest checkpoint is gone from LOG, though it is known to have been there: its bytes on the disk have changed or were cut off.",
		bus.DamageCheckpointOld:      "The newest checkpoint in LOG is older than one that is known to have been there: later ones have been lost on the disk.",
		bus.DamageCheckpointRotten:   "The newest checkpoint in LOG cannot be trusted: it does not fit its checksum or does not follow from the one before.",
		bus.DamageSnapshotMissing:    "The snapshot that the checkpoint refers to is not there, and there is no older one to fall back to.",
		bus.DamageSnapshotRotten:     "The bytes of the snapshot have changed on the disk, and there is no older one to fall back to.",
		bus.DamageSnapshotUnreadable: "The stage refuses the snapshot: it was written by a version that this program does not know, or is wrong inside.",
		bus.DamageOutputsDiffer:      "Run again from its snapshot, the stage makes other outputs than it committed: its input has been damaged since, or the program was changed in a way that changes results.",
		bus.DamageHistoryMissing:     "Messages that the snapshot needs to go on from are gone from the front of LOG.",
	}[d.Reason]
	f.Text = fmt.Sprintf("%s/%d: %s (%s)", d.Stage, d.Partition, what, d.Detail)
	switch d.Reason {
	case bus.DamageCheckpointMissing, bus.DamageCheckpointOld, bus.DamageCheckpointRotten:
		f.Choices = []Choice{rewrite, rerun, reset}
	case bus.DamageOutputsDiffer, bus.DamageHistoryMissing:
		f.Choices = []Choice{rerun, reset}
	default:
		f.Choices = []Choice{reset}
	}
	return f
}

// Diagnose looks at the checkpoints and snapshots of every partition that is enabled or known to HEADS, and at what running
// partitions have noted. It changes nothing.
func (l *Log) Diagnose(ctx context.Context) ([]Finding, error) {
	stages, err := l.knownPartitions(ctx)
	if err != nil {
		return nil, err
	}
	info, err := l.info(ctx, streamLog)
	if err != nil {
		return nil, err
	}
	var out []Finding
	for _, s := range stages {
		for n := range max(1, s.Partitions) {
			f, err := l.diagnose(ctx, s.Name, n, info.State.FirstSeq)
			if err != nil {
				return nil, err
			}
			if f != nil {
				out = append(out, *f)
			}
		}
	}
	return out, nil
}

func (l *Log) diagnose(ctx context.Context, stage string, partition int, first uint64) (*Finding, error) {
	var d *bus.DamageError
	cp, err := l.Head(ctx, stage, partition)
	if errors.As(err, &d) {
		f := Explain(d)
		return &f, nil
	}
	if err != nil || cp.Number == 0 {
		return nil, err
	}
	if note, err := l.notedDamage(ctx, stage, partition, cp.Number); err != nil {
		return nil, err
	} else if note != nil {
		f := Explain(note)
		return &f, nil
	}
	if cp.Snapshot.Name == "" {
		return nil, nil
	}
	if from := cp.Snapshot.Position.Seq; from < first && !l.acceptedGap(first) {
		f := Explain(&bus.DamageError{Stage: stage, Partition: partition, Reason: bus.DamageHistoryMissing, Detail: historyMissing(from, first).(*bus.DamageError).Detail})
		return &f, nil
	}
	_, err = l.GetSnapshot(ctx, cp.Snapshot)
	if !errors.As(err, &d) {
		return nil, err
	}
	f := Explain(d)
	if cp.Fallback.Name != "" {
		if _, err := l.GetSnapshot(ctx, cp.Fallback); err == nil {
			f.Text = fmt.Sprintf("%s/%d: the newest snapshot is damaged (%s); the one before is good, and the partition will start from it by itself.", stage, partition, d.Detail)
			f.Choices = nil
		}
	}
	return &f, nil
}

// A damageNote is what a running partition leaves for Diagnose: some damage shows only when the stage runs.
type damageNote struct {
	Version int             `json:"v"`
	Number  uint64          `json:"number"` // of the checkpoint that the partition stood at
	Damage  bus.DamageError `json:"damage"`
}

func noteSubject(stage string, partition int) string {
	return "meta.damage." + partitionKey(stage, partition)
}

func (l *Log) noteDamage(ctx context.Context, d *bus.DamageError) {
	cp, err := l.Head(ctx, d.Stage, d.Partition)
	if err != nil {
		return // Diagnose will see the same
	}
	b := encode(damageNote{Version: 1, Number: cp.Number, Damage: *d})
	if _, err := l.js.PublishMsg(ctx, wire(bus.Message{Subject: noteSubject(d.Stage, d.Partition), Data: b})); err != nil {
		l.config.Logger.Warn("damage could not be noted", "stage", d.Stage, "partition", d.Partition, "err", err)
	}
}

func (l *Log) notedDamage(ctx context.Context, stage string, partition int, number uint64) (*bus.DamageError, error) {
	raw, err := l.lastMsg(ctx, streamMeta, noteSubject(stage, partition))
	if err != nil {
		return nil, nilIfMissing(err)
	}
	var n damageNote
	if !checked(raw.Subject, raw.Header, raw.Data) || json.Unmarshal(raw.Data, &n) != nil || n.Number != number {
		return nil, nil
	}
	return &n.Damage, nil
}

// SubjectRepair carries a record of each mend.
const SubjectRepair = bus.SubjectRepair

// A Mended record says in LOG what was mended.
type Mended struct {
	Version   int      `json:"v"`
	Stage     string   `json:"stage"`
	Partition int      `json:"partition"`
	Reason    string   `json:"reason"`
	Choice    string   `json:"choice"`
	Number    uint64   `json:"number"` // of the checkpoint that was written
	Time      bus.Time `json:"time"`
}

// Mend does what a person has chosen. The partition picks it up within 10 s by itself. It is for one person at a time.
func (l *Log) Mend(ctx context.Context, f Finding, choice string) error {
	e, err := l.evidence(ctx, f.Stage, f.Partition)
	if err != nil {
		return fmt.Errorf("mend %s/%d: %w", f.Stage, f.Partition, err)
	}
	best := e.best()
	cp := best.Checkpoint
	switch choice {
	case MendRewrite:
		if cp.Number == 0 {
			err = errors.New("no checkpoint is known anywhere; choose reset")
		}
	case MendRerun:
		cp, err = l.rerunFrom(ctx, cp)
	case MendReset:
		cp = reset(f.Stage, f.Partition, cp)
	default:
		err = errNoChoice
	}
	if err == nil {
		err = l.force(ctx, cp)
	}
	if err != nil {
		return fmt.Errorf("mend %s/%d by %q: %w", f.Stage, f.Partition, choice, err)
	}
	b := encode(Mended{Version: 1, Stage: f.Stage, Partition: f.Partition, Reason: f.Reason, Choice: choice, Number: cp.Number, Time: bus.TimeOf(time.Now())})
	if _, err := l.Append(ctx, bus.Message{Subject: SubjectRepair, Data: b}); err != nil {
		return fmt.Errorf("mended %s/%d, but not recorded: %w", f.Stage, f.Partition, err)
	}
	return nil
}

// best is the newest checkpoint that can be read anywhere.
func (e *evidence) best() head {
	best := e.heads
	if e.copy.Checkpoint.Number > best.Checkpoint.Number {
		best = e.copy
	}
	if e.rotten == "" && e.log.Checkpoint.Number > best.Checkpoint.Number {
		best = e.log
	}
	return best
}

// rerunFrom makes the checkpoint that goes on from the last good snapshot. Outputs keep counting, so that ids stay unique.
func (l *Log) rerunFrom(ctx context.Context, cp bus.Checkpoint) (bus.Checkpoint, error) {
	if cp.Number == 0 {
		return cp, errors.New("no checkpoint is known anywhere; choose reset")
	}
	from := cp.Snapshot
	if from.Name != "" {
		if _, err := l.GetSnapshot(ctx, from); err != nil {
			if from = cp.Fallback; from.Name == "" {
				return cp, err
			}
			if _, err := l.GetSnapshot(ctx, from); err != nil {
				return cp, err
			}
		}
	}
	if err := l.acceptHistory(ctx, from.Position.Seq); err != nil {
		return cp, err
	}
	from.Outputs, from.Digest = cp.Outputs, cp.Digest
	next := cp
	next.Number, next.Previous = cp.Number+1, cp.Sum()
	next.Position, next.Snapshot, next.Fallback = from.Position, from, bus.SnapshotRef{}
	return next, nil
}

// acceptHistory notes that what lies before the first message of LOG may be missing, if the sequence is one of those.
func (l *Log) acceptHistory(ctx context.Context, from uint64) error {
	info, err := l.info(ctx, streamLog)
	if err != nil || from == 0 || from >= info.State.FirstSeq {
		return err
	}
	m, seq, err := l.loadMeta(ctx)
	if err != nil {
		return err
	}
	m.Accepted = info.State.FirstSeq
	if err := l.storeMeta(ctx, m, seq); err != nil {
		return err
	}
	l.accepted.Store(m.Accepted)
	return nil
}

// reset makes the checkpoint of an empty state at the front of LOG.
func reset(stage string, partition int, cp bus.Checkpoint) bus.Checkpoint {
	next := bus.Checkpoint{Version: bus.CheckpointVersion, Stage: stage, Partition: partition, Number: cp.Number + 1, Previous: cp.Sum(), Outputs: cp.Outputs, Digest: cp.Digest}
	next.Snapshot = bus.SnapshotRef{Outputs: cp.Outputs, Digest: cp.Digest}
	return next
}

// force writes a checkpoint whatever stands in LOG, and into HEADS.
func (l *Log) force(ctx context.Context, cp bus.Checkpoint) error {
	key := partitionKey(cp.Stage, cp.Partition)
	ack, err := l.js.PublishMsg(ctx, wire(bus.Message{Subject: bus.SubjectCommit + key, Data: encode(cp)}))
	if err != nil {
		return err
	}
	l.forget(cp.Stage, cp.Partition)
	return l.keepHead(ctx, ack.Sequence, &cp)
}
