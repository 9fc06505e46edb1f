package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/slo"
)

// watcher reads LOG from near its end and passes on what this process must hear at once: status frames, and answers to proposals.
type watcher struct {
	log       bus.Log
	last      func() uint64 // last sequence of LOG
	catalogue *catalogue
	statuses  *slo.View    // nil: not wanted
	enrolled  func([]byte) // told of answers to enrolments; nil: not wanted
	logger    *slog.Logger
	started   chan struct{} // closed once it reads
	begun     bool
	next      uint64
	damaged   atomic.Uint64 // frames that cannot be read
}

// lookBack is how many messages before the end the first look begins: with a status frame of each partition every 10 s that shows
// most SLOs at once, and it is little to read.
const lookBack = 500

func (w *watcher) run(ctx context.Context) error {
	if w.next == 0 {
		w.next = max(w.last(), lookBack) - lookBack + 1
	}
	r, err := w.log.Open(ctx, w.next)
	if err != nil {
		return err
	}
	defer r.Close()
	if !w.begun {
		w.begun = true
		close(w.started)
	}
	for {
		m, err := r.Next(ctx, true)
		if err != nil {
			return err
		}
		w.take(m)
		w.next = m.Seq + 1
	}
}

func (w *watcher) take(m *bus.Message) {
	switch {
	case m.Subject == mesh.SubjectChange:
		w.catalogue.answered(m.Data)
	case m.Subject == inventory.SubjectEnrolled:
		if w.enrolled != nil {
			w.enrolled(m.Data)
		}
	case w.statuses == nil:
	case m.Subject == bus.SubjectTick, strings.HasPrefix(m.Subject, slo.SubjectStatusFrame), strings.HasPrefix(m.Subject, slo.SubjectLedgerFrame):
		if err := w.statuses.Apply(&bus.Record{Seq: m.Seq, Time: m.Time, Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
			w.damaged.Add(1)
			w.logger.Error("frame cannot be read", "subject", m.Subject, "seq", m.Seq, "err", err)
		}
	}
}

const (
	againMin = 200 * time.Millisecond
	againMax = 10 * time.Second
)

// again runs f until ctx ends; after an error it waits, longer each time, and starts anew.
func again(logger *slog.Logger, what string, f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		pause := againMin
		for {
			began := time.Now()
			err := f(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if time.Since(began) > time.Minute {
				pause = againMin
			}
			if err == nil {
				err = errors.New("it has ended without an error")
			}
			logger.Error("part stopped and is started again", "part", what, "err", err, "pause", pause)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			pause = min(2*pause, againMax)
		}
	}
}
