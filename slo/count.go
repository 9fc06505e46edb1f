package slo

import (
	"math"

	"evenkeel.dev/bus"
)

// staleBits are the bits of Prometheus' stale marker: the series has ended, or its target cannot be reached. It is no value. A
// counter that comes back with a value that has not fallen is taken to have gone on: had it begun anew, its value or its start
// timestamp would nearly always show it.
const staleBits = 0x7ff0000000000002

// maxValue is the largest value that a counter may have: beyond it sums could overflow. Whole numbers are exact up to 2^53.
const maxValue = 1e18

// maxAge is how old the sample before may be for an increase to be evidence about now. An older increase (a target or a sender was
// away) counts in the budget and in the windows of which it is at most a twelfth, the share of a short window in its long one. So
// the events of two hours that arrive as one number cannot fire what five minutes decide.
const (
	maxAge   = 5 * bus.Minute
	ageShare = 12
)

// A run collects increases of one target list in one second, since series of one kind stand together in a block.
type run struct {
	list   uint32
	second int64
	since  int64 // second of the samples before
	sum    float64
	any    bool
}

// block counts the samples of one block.
func (s *Stage) block(w *writer, c *source, b *bus.Block) {
	role, id := s.role(c)
	if role == roleIgnored {
		return
	}
	hasStarts := len(b.Starts) > 0
	latest := s.now + maxAhead
	var r run
	var start bus.Time
	for i, ref := range b.Refs {
		n := w.lookup(ref)
		if n < refSeries {
			if n == refUnknown {
				s.unknown++
			}
			continue
		}
		n -= refSeries
		se := &s.series[n]
		t, v := b.Times[i], b.Values[i]
		if t > latest || t <= 0 {
			s.tally.ahead++
			continue
		}
		if hasStarts {
			start = b.Starts[i]
		}
		c.fed = s.now
		if role == roleStandby && se.flags&seriesOnlyValue != 0 {
			continue // values of the elected one are enough: nothing is handed over
		}
		if role == roleStandby {
			s.shade(n, id, c, t, start, v)
			continue
		}
		var d float64
		before := se.t
		if se.flags == seriesHas && se.shadow == 0 && t > before && t-before <= maxAge && v >= se.last && v <= maxValue && start <= before {
			d = v - se.last
			se.last, se.t = v, t
			if se.family > 0 {
				if f := &s.families[se.family-1]; f.seen[0] != t || f.source != c {
					f.touch(c, t)
				}
			}
		} else if d = s.odd(n, id, c, t, start, v); d < 0 {
			continue
		}
		second, since := int64(t)/1000, int64(before)/1000
		if !r.any || se.list != r.list || second != r.second || since != r.since {
			s.flush(&r)
			r = run{list: se.list, second: second, since: since, any: true}
		}
		r.sum += d
	}
	s.flush(&r)
}

// odd counts a sample that is not a plain increase. It returns -1 when there is nothing to add.
func (s *Stage) odd(n uint32, id uint16, c *source, t, start bus.Time, v float64) float64 {
	se := &s.series[n]
	if se.flags&seriesOnlyValue != 0 {
		s.onlyValue(se, id, t, v)
		return -1
	}
	if se.flags&seriesValue != 0 {
		s.values(se, t, v)
	}
	switch {
	case math.Float64bits(v) == staleBits:
		s.tally.stale++
		se.meet()
		return -1
	case !(v >= 0 && v <= maxValue) || se.flags&seriesGauge != 0:
		s.bad(se, t)
		se.meet()
		return -1
	case se.flags&seriesHas != 0 && t == se.t:
		s.tally.duplicate++
		return -1
	case se.flags&seriesHas != 0 && t < se.t:
		s.tally.disorder++
		return -1
	}
	d, known, reset := s.increase(n, c, t, start, v)
	if se.shadow > 0 {
		s.follow(se, t, se.flags&seriesHas == 0, reset)
	}
	before := se.t
	se.last, se.t, se.group = v, t, id
	se.flags = se.flags&^seriesMet | seriesHas
	if se.family > 0 {
		s.families[se.family-1].touch(c, t)
	}
	switch {
	case !known:
		return -1
	case before > 0 && t-before > maxAge && se.flags&seriesDelta == 0:
		s.lump(se.list, secondOf(t), d, t-before)
		return -1
	}
	return d
}

// increase returns what a valid sample adds, and whether that is known at all.
func (s *Stage) increase(n uint32, c *source, t, start bus.Time, v float64) (d float64, known, reset bool) {
	se := &s.series[n]
	switch {
	case se.flags&seriesDelta != 0:
		return v, true, false
	case se.flags&seriesHas == 0:
		d = s.first(se, c, t, start, v)
		return d, d > 0, false
	}
	reset = v < se.last || start > se.t
	switch {
	case se.flags&seriesDebt != 0:
		return s.settleDebt(n, se, t, v, reset), true, reset
	case reset:
		s.tally.resets++
		return v, true, true
	}
	return v - se.last, true, false
}

// first returns what the first sample of a series counts: its value, when its start timestamp shows that it began while its source
// was observed and its SLOs were defined, and lately enough that it cannot have been known and forgotten, or when, without a start
// timestamp, its family shows that (see [Stage.born]); otherwise nothing.
func (s *Stage) first(se *series, c *source, t, start bus.Time, v float64) float64 {
	switch {
	case se.flags&seriesDelta != 0:
		return v
	case start <= 0:
		if s.born(se, c, t) {
			s.tally.born++
			return v
		}
		return 0
	}
	if start <= c.since || start <= t-seriesExpiry {
		return 0
	}
	for _, tg := range s.lists[se.list].targets {
		if start <= s.trackers[tg.slot].watchedSince() {
			return 0
		}
	}
	return v
}

// bad counts a value that no counter can have.
func (s *Stage) bad(se *series, t bus.Time) {
	s.tally.bad++
	for _, tg := range s.lists[se.list].targets {
		tr := s.trackers[tg.slot]
		tr.badAt = max(tr.badAt, secondOf(t))
	}
}

// flush adds a run to its SLOs.
func (s *Stage) flush(r *run) {
	if r.any {
		s.addSince(r.list, r.since, r.second, r.sum, 0)
	}
}

// lump adds an increase over a long time.
func (s *Stage) lump(list uint32, second int64, d float64, age bus.Time) {
	s.tally.lumps++
	s.addSince(list, second-int64(age/bus.Second), second, d, Duration(age*ageShare))
}

// count adds an increase between two samples, by its age.
func (s *Stage) count(list uint32, before, t bus.Time, d float64) {
	if before > 0 && t-before > maxAge {
		s.lump(list, secondOf(t), d, t-before)
		return
	}
	s.addSince(list, secondOf(before), secondOf(t), d, 0)
}

// addSince puts an increase since an earlier second (0: not known) into its second.
func (s *Stage) addSince(list uint32, since, second int64, d float64, least Duration) {
	second = s.roomFor(second)
	for _, tg := range s.lists[list].targets {
		t, c := s.trackers[tg.slot], cell{good: tg.good * d, total: tg.total * d}
		excluded := t.cut.touches(since, second)
		if tg.bucket {
			var counts bool
			if c, counts = t.bucket(tg, since, second, d, least, excluded, s.now); !counts {
				continue
			}
		}
		if excluded {
			c = cell{} // samples came, and what they count is of excluded time
		}
		if t.waits() {
			t.fed = s.now
			continue
		}
		s.put(t, second, c, least)
	}
}

// roomFor makes room in the bins for a second; the one that it returns has room.
func (s *Stage) roomFor(second int64) int64 {
	if second >= s.closed+pendingBins {
		s.catchUp(second)
		second = min(second, s.closed+pendingBins-1)
	}
	s.pendingTo = max(s.pendingTo, second)
	return second
}

// put puts events into a bin where their second is not closed yet, else into the windows, as a correction.
func (s *Stage) put(t *tracker, second int64, c cell, least Duration) {
	t.fed = s.now
	switch {
	case second < s.closed:
		s.tally.late++
		t.correct(second, c, least)
	case least > 0:
		t.pendLump(second, c, least)
	default:
		t.join(&t.rings.bins[second%pendingBins], c)
		t.marks[second%pendingBins] = markData
	}
}
