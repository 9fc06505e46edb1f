package jetstream

import (
	"context"
	"errors"
	"time"

	"evenkeel.dev/bus"
)

// RoleTick is the role of members that share the duties of which there is one in the whole installation: ticks and retention.
const RoleTick = "tick"

const retainEvery = 10 * time.Second

// RunTicks appends one tick a second while this member holds that duty, until ctx ends. A tick carries nothing: its time is the
// broker's.
func (l *Log) RunTicks(ctx context.Context, m *Members) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		if !m.Owns(RoleTick, "tick", 0) {
			continue
		}
		seq, err := l.Append(ctx, bus.Message{Subject: bus.SubjectTick})
		if err != nil {
			if ctx.Err() == nil {
				l.config.Logger.Error("tick was not appended", "err", err)
			}
			continue
		}
		l.count.ticks.Add(1)
		l.keepMark(ctx, seq)
	}
}

// RunRetention purges what nobody needs any more, every 10 s while this member holds that duty, until ctx ends.
func (l *Log) RunRetention(ctx context.Context, m *Members) error {
	for {
		if err := wait(ctx, retainEvery); err != nil {
			return err
		}
		if !m.Owns(RoleTick, "retention", 0) {
			continue
		}
		if _, err := l.Retain(ctx); err != nil && !errors.Is(err, context.Canceled) {
			l.config.Logger.Error("retention", "err", err)
		}
	}
}
