package app

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"evenkeel.dev/bus"
)

// waiters ask something of a stage by a record, and wait for the answer that the log brings.
type waiters[T any] struct {
	log  bus.Log
	what string // that is asked, for errors
	busy error  // answered where [waitersMax] wait already

	mu sync.Mutex
	by map[string]chan T // by the id of what was asked
}

const waitersMax = 1024 // under way at once; each is somebody's request

func newWaiters[T any](log bus.Log, what string, busy error) *waiters[T] {
	return &waiters[T]{log: log, what: what, busy: busy, by: map[string]chan T{}}
}

// ask appends a request and waits for its answer. When ctx ends its cause is returned; the request stays in the log.
func (w *waiters[T]) ask(ctx context.Context, subject, id string, request any) (answer T, err error) {
	b, err := json.Marshal(request)
	if err != nil {
		return answer, fmt.Errorf("encode %s: %w", w.what, err)
	}
	mine := make(chan T, 1)
	w.mu.Lock()
	if len(w.by) >= waitersMax {
		w.mu.Unlock()
		return answer, w.busy
	}
	w.by[id] = mine
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.by, id)
		w.mu.Unlock()
	}()
	if _, err := w.log.Append(ctx, bus.Message{Subject: subject, Data: b}); err != nil {
		return answer, fmt.Errorf("append %s: %w", w.what, err)
	}
	select {
	case <-ctx.Done():
		return answer, context.Cause(ctx)
	case answer = <-mine:
		return answer, nil
	}
}

// answered passes an answer to who waits for it.
func (w *waiters[T]) answered(id string, answer T) {
	w.mu.Lock()
	mine := w.by[id]
	delete(w.by, id)
	w.mu.Unlock()
	if mine != nil {
		mine <- answer // has room for one
	}
}

func (w *waiters[T]) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.by)
}
