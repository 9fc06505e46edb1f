package jetstream

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

// snapshotChunk is the size of one message of a snapshot; under "sync always" larger ones gain little.
const snapshotChunk = 1 << 20

// PutSnapshot implements [bus.Log]. The name is <stage>.<partition>.<number>.<random>: two owners that compete never mix theirs.
func (l *Log) PutSnapshot(ctx context.Context, stage string, partition int, number uint64, state []byte) (string, error) {
	name := fmt.Sprintf("%s.%d.%s", partitionKey(stage, partition), number, randomName(6))
	for i, rest := 0, state; i == 0 || len(rest) > 0; i++ {
		n := min(len(rest), snapshotChunk)
		m := wire(bus.Message{Subject: subjectSnap + name + "." + strconv.Itoa(i), Data: rest[:n]})
		if _, err := l.js.PublishMsg(ctx, m); err != nil {
			return "", fmt.Errorf("snapshot of %s/%d, part %d: %w", stage, partition, i, l.explain(err))
		}
		rest = rest[n:]
	}
	return name, nil
}

// GetSnapshot implements [bus.Log].
func (l *Log) GetSnapshot(ctx context.Context, ref bus.SnapshotRef) ([]byte, error) {
	damage := func(reason, f string, args ...any) error {
		stage, rest, _ := strings.Cut(ref.Name, ".")
		p, _, _ := strings.Cut(rest, ".")
		partition, _ := strconv.Atoi(p)
		return &bus.DamageError{Stage: stage, Partition: partition, Reason: reason, Detail: "snapshot " + ref.Name + ": " + fmt.Sprintf(f, args...)}
	}
	state := make([]byte, 0, ref.Size)
	for i := 0; i == 0 || len(state) < ref.Size; i++ {
		raw, err := l.lastMsg(ctx, streamSnap, subjectSnap+ref.Name+"."+strconv.Itoa(i))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound) && i == 0:
			return nil, damage(bus.DamageSnapshotMissing, "it is not there, or its first part has rotted")
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, damage(bus.DamageSnapshotRotten, "part %d is missing", i)
		case err != nil:
			return nil, fmt.Errorf("snapshot %s, part %d: %w", ref.Name, i, err)
		case !checked(raw.Subject, raw.Header, raw.Data), len(raw.Data) == 0 && ref.Size > 0:
			return nil, damage(bus.DamageSnapshotRotten, "part %d has another checksum", i)
		}
		state = append(state, raw.Data...)
	}
	if len(state) != ref.Size || sha256.Sum256(state) != ref.Sum {
		return nil, damage(bus.DamageSnapshotRotten, "its digest is another")
	}
	return state, nil
}
