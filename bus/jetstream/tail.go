package jetstream

import (
	"context"
	"fmt"
	"sort"
	"sync"

	"evenkeel.dev/bus"
)

// A tail reads the end of LOG once per process and keeps the recent messages decoded, so that all partitions of all stages share
// one reader. What it keeps is bounded in bytes and in messages.
type tail struct {
	mu      sync.Mutex
	entries []*bus.Message
	bytes   int64
	low     uint64 // the sequence with which entries begin
	high    uint64 // the next sequence to come
	wake    chan struct{}
	err     error

	cancel context.CancelFunc
	done   chan struct{}
}

const (
	tailMessagesMax = 1 << 16
	// messageOverhead is about what a kept message costs beside its data.
	messageOverhead = 256
)

// startTail begins at the sequence behind the last message of LOG.
func (l *Log) startTail(from uint64) *tail {
	ctx, cancel := context.WithCancel(context.Background())
	t := &tail{low: from, high: from, wake: make(chan struct{}), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		f := &feed{l: l, at: from}
		defer f.drop()
		for {
			m, err := f.next(ctx)
			if err != nil {
				t.fail(err)
				return
			}
			l.saw(after(m) - 1) // first: what one reader has read, another that asks for the end must not miss
			t.add(m, l.config.Sizes.CacheBytes)
		}
	}()
	return t
}

func (t *tail) close() {
	t.cancel()
	<-t.done
}

func (t *tail) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
	close(t.wake)
}

func (t *tail) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err != nil
}

func (t *tail) add(m *bus.Message, bytesMax int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = append(t.entries, m)
	t.bytes += int64(len(m.Data)) + messageOverhead
	t.high = after(m)
	drop := 0
	for ; drop < len(t.entries)-1 && (t.bytes > bytesMax || len(t.entries)-drop > tailMessagesMax); drop++ {
		t.bytes -= int64(len(t.entries[drop].Data)) + messageOverhead
		t.low = after(t.entries[drop])
		t.entries[drop] = nil
	}
	t.entries = t.entries[drop:]
	close(t.wake)
	t.wake = make(chan struct{})
}

// take returns the message at a sequence. Behind the end it returns nil and what is closed when more comes; before the beginning
// covered is false.
func (t *tail) take(seq uint64) (m *bus.Message, more <-chan struct{}, covered bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case seq < t.low:
		return nil, nil, false, t.err
	case seq >= t.high:
		return nil, t.wake, true, t.err
	}
	i := sort.Search(len(t.entries), func(i int) bool { return after(t.entries[i]) > seq })
	m = t.entries[i]
	if m.Seq < seq { // the place is inside a gap
		m = gap(seq, after(m)-seq, m.Time)
	}
	return m, nil, true, nil
}

// A reader is one partition's way through LOG: by its own feed while it is behind the tail, then by the tail.
type reader struct {
	l    *Log
	t    *tail
	f    *feed // nil while the tail covers the place
	at   uint64
	stop uint64 // the end that was known when the reader was opened
}

// Open implements [bus.Log]. A sequence before the first that is kept is HistoryMissing: a stage that needs what is gone must not
// go on as if nothing were.
func (l *Log) Open(ctx context.Context, from uint64) (bus.Reader, error) {
	info, err := l.info(ctx, streamLog)
	if err != nil {
		return nil, err
	}
	first := info.State.FirstSeq
	switch {
	case from == 0:
		from = max(first, 1)
	case from < first && !l.acceptedGap(first):
		return nil, historyMissing(from, first)
	}
	l.saw(info.State.LastSeq)
	l.mu.Lock()
	if l.tail == nil || l.tail.failed() {
		l.tail = l.startTail(info.State.LastSeq + 1)
	}
	t := l.tail
	l.mu.Unlock()
	return &reader{l: l, t: t, at: from, stop: info.State.LastSeq}, nil
}

// SeqAt returns the sequence of the first message of LOG that was appended at a time or later; the one behind the last where there is none.
func (l *Log) SeqAt(ctx context.Context, t bus.Time) (uint64, error) {
	at := t.Std()
	e := &streamTail{l: l, stream: streamLog, filter: ">", at: &at}
	defer e.drop()
	last, err := e.end(ctx)
	if err != nil {
		return 0, fmt.Errorf("LOG at %s: %w", t, err)
	}
	if last == 0 {
		info, err := l.info(ctx, streamLog)
		if err != nil {
			return 0, err
		}
		return info.State.LastSeq + 1, nil
	}
	first, err := e.take(ctx)
	return first.seq, err
}

// Next implements [bus.Reader].
func (r *reader) Next(ctx context.Context, wait bool) (*bus.Message, error) {
	for {
		m, more, covered, err := r.t.take(r.at)
		switch {
		case err != nil:
			return nil, err
		case m != nil:
			r.drop()
			r.at = after(m)
			return m, nil
		case !covered:
			return r.behind(ctx)
		}
		r.drop()
		if !wait && r.at > max(r.stop, r.l.acked.Load()) {
			return nil, ctx.Err()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-more:
		}
	}
}

// behind reads one message with the reader's own consumer.
func (r *reader) behind(ctx context.Context) (*bus.Message, error) {
	if r.f == nil || r.f.at != r.at && len(r.f.queue) == 0 {
		r.drop()
		r.f = &feed{l: r.l, at: r.at}
	}
	m, err := r.f.next(ctx)
	if err != nil {
		return nil, err
	}
	r.at = after(m)
	return m, nil
}

func (r *reader) drop() {
	if r.f != nil {
		r.f.drop()
		r.f = nil
	}
}

// Close implements [bus.Reader].
func (r *reader) Close() { r.drop() }
