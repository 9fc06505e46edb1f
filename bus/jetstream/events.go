package jetstream

import (
	"context"
	"fmt"
	"time"

	"evenkeel.dev/bus"
)

// EventsFrom says where a tail of events begins. The zero value is: from now on.
type EventsFrom struct {
	Seq  uint64   // in EVENTS, from 1
	Time bus.Time // events that happened (ce-time) at this moment or later
	Stop bool     // end with the last event that is there now, instead of waiting for more
}

// An Event is a public event as EVENTS keeps it.
type Event struct {
	Seq     uint64     // in EVENTS
	Stored  bus.Time   // when LOG took it; it happened earlier, see ce-time
	Subject string     // evenkeel.<area>.<type>.<gns>.<…>
	Header  bus.Header // the CloudEvents attributes (ce-…) and where it comes from (Ek-…)
	Data    []byte     // JSON
}

// eventLateness is by how much the storage time of an event may be earlier than its ce-time plus the clocks' difference; a search by
// time begins that much earlier in EVENTS.
const eventLateness = 10 * time.Minute

// Events calls fn with each public event whose subject fits the filter ("" is all; wildcards as in NATS), in order, until ctx ends, fn
// returns an error, or with Stop the end is reached.
func (l *Log) Events(ctx context.Context, from EventsFrom, filter string, fn func(Event) error) error {
	info, err := l.info(ctx, streamEvents)
	if err != nil {
		return err
	}
	last, next := info.State.LastSeq, from.Seq
	var at *time.Time
	switch {
	case from.Seq == 0 && from.Time == 0:
		next = last + 1
	case from.Seq == 0:
		t := from.Time.Std().Add(-eventLateness)
		at = &t
	}
	if filter == "" {
		filter = subjectPublic + ">"
	}
	e := &streamTail{l: l, stream: streamEvents, filter: filter, next: next, at: at}
	defer e.drop()
	if from.Stop {
		if last, err = e.end(ctx); err != nil || last == 0 {
			return err
		}
	}
	for {
		got, err := e.take(ctx)
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
		ev := Event{Seq: got.seq, Stored: bus.TimeOf(got.at), Subject: got.msg.Subject, Header: headers(got.msg.Header), Data: got.msg.Data}
		if from.Time == 0 || happened(ev) >= from.Time {
			if err := fn(ev); err != nil {
				return err
			}
		}
		if from.Stop && ev.Seq >= last {
			return nil
		}
	}
}

// happened returns an event's ce-time, or where it has none when it was stored.
func happened(e Event) bus.Time {
	t, err := time.Parse(time.RFC3339Nano, e.Header.Get("ce-time"))
	if err != nil {
		return e.Stored
	}
	return bus.TimeOf(t)
}
