package bus

import (
	"context"
	"errors"
	"fmt"
)

// A Log keeps messages in one order and the progress of stages in the same order. Its implementations pass one suite of tests
// (bus/logtest).
type Log interface {
	// Open returns a reader from the sequence (0: from the first message that is kept). A sequence before the first that is kept is
	// a *DamageError with DamageHistoryMissing: who needs what is gone must not go on as if nothing were.
	Open(ctx context.Context, from uint64) (Reader, error)
	// Append adds a message that no fence guards (telemetry, ticks, proposals, results) and returns its sequence once it is
	// durable. ErrFull says that the log has no room now.
	Append(ctx context.Context, m Message) (uint64, error)
	// Commit makes a checkpoint and its drafts durable, all or nothing. ErrFenced says that another owner has committed since.
	Commit(ctx context.Context, c Commit) error
	// Head returns the newest checkpoint of a stage's partition; a zero Checkpoint (Number 0) where there is none yet. An error
	// that is a *DamageError says that what is kept cannot be trusted.
	Head(ctx context.Context, stage string, partition int) (Checkpoint, error)
	// PutSnapshot keeps a state and returns its name. The name becomes durable by a checkpoint that refers to it; the log drops
	// what no kept checkpoint refers to.
	PutSnapshot(ctx context.Context, stage string, partition int, number uint64, state []byte) (string, error)
	// GetSnapshot returns a state as it was kept, or a *DamageError.
	GetSnapshot(ctx context.Context, ref SnapshotRef) ([]byte, error)
}

// A Reader delivers messages in the log's order. Where messages are missing it delivers a message with SubjectGap first, its Seq
// being that of the first that is missing and its Data their number in decimal.
type Reader interface {
	// Next returns the next message. With wait it blocks until there is one; without, nil means that the end is reached. The
	// message is shared: do not change it.
	Next(ctx context.Context, wait bool) (*Message, error)
	Close()
}

// A Position is how far a stage has come: all messages before Seq are done, and of the drafts that the message at Seq made, the
// first Index are committed.
type Position struct {
	Seq   uint64 `json:"seq"`
	Index int    `json:"index"`
}

// A Digest is a SHA-256.
type Digest [32]byte

// A Checkpoint is the progress of one partition of a stage. It is written in one atomic batch with the drafts it covers.
type Checkpoint struct {
	Version   int         `json:"v"`
	Stage     string      `json:"stage"`
	Partition int         `json:"partition"`
	Number    uint64      `json:"number"` // from 1, by one
	Previous  Digest      `json:"previous"`
	Position  Position    `json:"position"`
	Now       Time        `json:"now"`     // the stage's time, which never falls
	Outputs   uint64      `json:"outputs"` // how many drafts were ever committed
	Digest    Digest      `json:"digest"`  // rolling digest of those drafts
	Snapshot  SnapshotRef `json:"snapshot"`
	// Fallback is the snapshot before; the log keeps what is needed to start from it.
	Fallback SnapshotRef `json:"fallback"`
}

// CheckpointVersion is the version that this code writes; it reads the one before too.
const CheckpointVersion = 1

// A SnapshotRef names a state and says where in the log it stands. Name is "" where there is none: then the state is the empty
// one at the log's beginning.
type SnapshotRef struct {
	Name     string   `json:"name,omitempty"`
	Sum      Digest   `json:"sum"`
	Size     int      `json:"size"`
	Position Position `json:"position"`
	Now      Time     `json:"now"`
	Outputs  uint64   `json:"outputs"`
	Digest   Digest   `json:"digest"`
}

// A Commit is a checkpoint with the drafts that it covers.
type Commit struct {
	Checkpoint Checkpoint
	Messages   []Message // drafts made ready by the loop, in order; at most MaxCommit
}

// MaxCommit bounds the messages of one commit; JetStream takes 1,000 in one batch, one of which is the checkpoint.
const MaxCommit = 900

var (
	// ErrFenced says that another owner has committed: drop the state and start from the head.
	ErrFenced = errors.New("bus: fenced: another owner has committed since")
	// ErrFull says that the log has no room for telemetry now; ask again later.
	ErrFull = errors.New("bus: the log is full")
	// ErrTooLarge says that one message is over the log's bound.
	ErrTooLarge = errors.New("bus: message is too large for the log")
)

// A DamageError says that what the log keeps cannot be trusted. The partition stops until evenkeel repair has been asked.
type DamageError struct {
	Stage     string
	Partition int
	Reason    string // named constant, see the Damage constants
	Detail    string
}

// Reasons of a DamageError.
const (
	DamageCheckpointMissing  = "CheckpointMissing"  // HEADS knows a checkpoint that LOG has not
	DamageCheckpointOld      = "CheckpointOld"      // LOG's newest checkpoint is older than HEADS
	DamageCheckpointRotten   = "CheckpointRotten"   // it cannot be decoded or its digest is another
	DamageSnapshotMissing    = "SnapshotMissing"    // a checkpoint refers to it and it is not there
	DamageSnapshotRotten     = "SnapshotRotten"     // its digest is another
	DamageOutputsDiffer      = "OutputsDiffer"      // running again gave other outputs than were committed
	DamageHistoryMissing     = "HistoryMissing"     // messages that the newest good snapshot needs are gone
	DamageSnapshotUnreadable = "SnapshotUnreadable" // the stage refuses the state
)

// Error says what is damaged and what to do.
func (e *DamageError) Error() string {
	return fmt.Sprintf("bus: %s/%d is damaged (%s): %s; it stands still until 'evenkeel repair' is run", e.Stage, e.Partition, e.Reason, e.Detail)
}
