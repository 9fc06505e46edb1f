package bus

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
)

// Memory is a log in memory, with the contract of the durable one: for tests, stories, simulation and replay. Its time is what
// Clock says; without one it stands still at the last SetTime. It is safe for use by several goroutines.
type Memory struct {
	mu        sync.Mutex
	wake      chan struct{} // closed and replaced at each append
	first     uint64        // sequence of messages[0]
	messages  []*Message
	heads     map[string]Checkpoint
	snapshots map[string][]byte
	now       Time
	full      bool
}

// NewMemory returns an empty log.
func NewMemory() *Memory {
	return &Memory{wake: make(chan struct{}), first: 1, heads: map[string]Checkpoint{}, snapshots: map[string][]byte{}}
}

// SetTime sets the time that the next appends are stamped with.
func (l *Memory) SetTime(t Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = t
}

// SetFull makes the log refuse appends (not commits), as a full disk does.
func (l *Memory) SetFull(full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = full
}

// Lose removes a kept message, as a damaged disk does: readers then meet a gap.
func (l *Memory) Lose(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq >= l.first && seq < l.first+uint64(len(l.messages)) {
		l.messages[seq-l.first] = nil
	}
}

// Rot changes a byte of a kept snapshot, as a damaged disk does.
func (l *Memory) Rot(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.snapshots[name]; len(b) > 0 {
		b[0]++
	}
}

// Append implements [Log].
func (l *Memory) Append(_ context.Context, m Message) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return 0, ErrFull
	}
	return l.append(m), nil
}

func (l *Memory) append(m Message) uint64 {
	m.Seq = l.first + uint64(len(l.messages))
	m.Time = l.now
	m.Data = slices.Clone(m.Data)
	m.Decode()
	l.messages = append(l.messages, &m)
	close(l.wake)
	l.wake = make(chan struct{})
	return m.Seq
}

// Commit implements [Log].
func (l *Memory) Commit(_ context.Context, c Commit) error {
	if len(c.Messages) > MaxCommit {
		return fmt.Errorf("bus: commit of %d messages is over %d", len(c.Messages), MaxCommit)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := commitSubject(c.Checkpoint.Stage, c.Checkpoint.Partition)
	head := l.heads[key]
	if c.Checkpoint.Number != head.Number+1 || c.Checkpoint.Previous != head.Sum() {
		return ErrFenced
	}
	l.append(Message{Subject: key})
	for _, m := range c.Messages {
		l.append(m)
	}
	l.heads[key] = c.Checkpoint
	return nil
}

func commitSubject(stage string, partition int) string {
	return fmt.Sprintf("%s%s.%d", SubjectCommit, stage, partition)
}

// Head implements [Log].
func (l *Memory) Head(_ context.Context, stage string, partition int) (Checkpoint, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heads[commitSubject(stage, partition)], nil
}

// PutSnapshot implements [Log].
func (l *Memory) PutSnapshot(_ context.Context, stage string, partition int, number uint64, state []byte) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := fmt.Sprintf("%s.%d.%d", stage, partition, number)
	l.snapshots[name] = slices.Clone(state)
	return name, nil
}

// GetSnapshot implements [Log].
func (l *Memory) GetSnapshot(_ context.Context, ref SnapshotRef) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.snapshots[ref.Name]
	if !ok {
		return nil, &DamageError{Reason: DamageSnapshotMissing, Detail: ref.Name}
	}
	if sha256.Sum256(b) != ref.Sum {
		return nil, &DamageError{Reason: DamageSnapshotRotten, Detail: ref.Name}
	}
	return slices.Clone(b), nil
}

// Open implements [Log].
func (l *Memory) Open(_ context.Context, from uint64) (Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case from == 0:
		from = l.first
	case from < l.first:
		return nil, &DamageError{Reason: DamageHistoryMissing, Detail: fmt.Sprintf("messages from %d on are needed, and the log begins at %d", from, l.first)}
	}
	return &memoryReader{log: l, next: from}, nil
}

type memoryReader struct {
	log  *Memory
	next uint64
}

// Next implements [Reader].
func (r *memoryReader) Next(ctx context.Context, wait bool) (*Message, error) {
	for {
		m, wake := r.take()
		if m != nil || !wait {
			return m, ctx.Err()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wake:
		}
	}
}

func (r *memoryReader) take() (*Message, <-chan struct{}) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	start := r.next
	end := l.first + uint64(len(l.messages))
	for r.next < end && (r.next < l.first || l.messages[r.next-l.first] == nil) {
		r.next++
	}
	if r.next >= end {
		r.next = start // a gap is told once a message stands behind it
		return nil, l.wake
	}
	m := l.messages[r.next-l.first]
	if r.next > start {
		return &Message{Seq: start, Time: m.Time, Subject: SubjectGap, Data: fmt.Appendf(nil, "%d", r.next-start)}, nil
	}
	r.next++
	return m, nil
}

// Close implements [Reader].
func (r *memoryReader) Close() {}

// Last returns the sequence of the last message, 0 when there is none.
func (l *Memory) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first + uint64(len(l.messages)) - 1
}

// Purge drops all messages before the sequence, as retention does.
func (l *Memory) Purge(before uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int(min(before, l.first+uint64(len(l.messages))) - min(before, l.first))
	l.messages = slices.Clone(l.messages[n:])
	l.first += uint64(n)
}
