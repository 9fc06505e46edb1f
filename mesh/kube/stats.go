package kube

import "time"

// Stats says how an observer is doing.
type Stats struct {
	Phase   string         // of the last observation; "" before the first
	Reason  string         // what cannot be read now
	Objects map[string]int // that are known, by kind
	Left    int            // objects that bounds keep out
	Pending int            // objects that may have to be told

	Observations uint64 // taken by the sink
	SinkErrors   uint64
	Relists      uint64 // lives after the first
	Events       uint64 // listings and changes that the API server told
	Unchanged    uint64 // objects that were found to be as they were told
	WatchErrors  uint64 // listings and watches that failed
}

type counts struct {
	told, sinkErrors, relists, changes, same, watchErrors uint64
}

// Stats returns how the observer is doing now.
func (o *Observer) Stats() Stats {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Stats{
		Phase: o.life.phase, Reason: o.blind(now), Objects: map[string]int{}, Left: o.book.left(), Pending: len(o.book.queue),
		Observations: o.counts.told, SinkErrors: o.counts.sinkErrors, Relists: o.counts.relists, Events: o.counts.changes, Unchanged: o.counts.same,
		WatchErrors: o.counts.watchErrors,
	}
	if s.Reason == "" {
		s.Reason = o.missing(now)
	}
	for kind, t := range o.book.tables {
		s.Objects[kind] = t.count
	}
	return s
}
