package slo

import "sync/atomic"

// Stats are counters since the process began, for its metrics; they are no part of the state.
type Stats struct {
	Samples           atomic.Uint64 // taken from sections
	SamplesDuplicate  atomic.Uint64 // same series and time as before: change nothing
	SamplesDisorder   atomic.Uint64 // older than the series' last: dropped
	SamplesBad        atomic.Uint64 // NaN, infinite, negative, too large, or a gauge
	SamplesStale      atomic.Uint64 // stale markers
	SamplesAhead      atomic.Uint64 // more than a minute ahead of the log: refused
	SamplesLate       atomic.Uint64 // runs of samples behind the watermark, which corrected their slice
	SamplesUnknown    atomic.Uint64 // of series whose announcement is missing
	Resets            atomic.Uint64 // of counters
	SeriesBorn        atomic.Uint64 // first samples without a start timestamp that were counted in full
	Lumps             atomic.Uint64 // increases over more than five minutes
	SeriesOverLimit   atomic.Uint64 // announcements refused
	SeriesUngrouped   atomic.Uint64 // announcements that found no group, and count in a roll-up alone
	FramesRepeated    atomic.Uint64 // frames that came a second time
	FramesMissing     atomic.Uint64 // by the jump in their writer's numbers
	FramesDamaged     atomic.Uint64
	MessagesMissing   atomic.Uint64 // of the log
	Failovers         atomic.Uint64 // between replicas of senders
	BackfillsRefused  atomic.Uint64 // parts of history that were wrong, came again or do not fit what is counted
	GroupsRefused     atomic.Uint64 // frames of replica groups over the bound
	Away              atomic.Uint64 // times that ticks had stopped for more than 30 s
	AlertEvents       atomic.Uint64
	DefinitionsDenied atomic.Uint64 // objectives that the stage could not take
}

// A tally counts within one step, since the shared counters cost more than the counting.
type tally struct {
	samples, duplicate, disorder, bad, stale, ahead, late, resets, lumps, born uint64
}

func (t *tally) publish(s *Stats) {
	add := func(c *atomic.Uint64, n uint64) {
		if n > 0 {
			c.Add(n)
		}
	}
	add(&s.Samples, t.samples)
	add(&s.SamplesDuplicate, t.duplicate)
	add(&s.SamplesDisorder, t.disorder)
	add(&s.SamplesBad, t.bad)
	add(&s.SamplesStale, t.stale)
	add(&s.SamplesAhead, t.ahead)
	add(&s.SamplesLate, t.late)
	add(&s.Resets, t.resets)
	add(&s.Lumps, t.lumps)
	add(&s.SeriesBorn, t.born)
	*t = tally{}
}
