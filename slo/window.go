package slo

import (
	"math"
	"slices"

	"evenkeel.dev/bus"
)

// Resolution: a burn window of length L is kept in slices of ceil(L/60), the budget window in slices of ceil(L/320), both in whole
// seconds and aligned to the Unix epoch. A window holds the slice that is being filled and as many whole slices before it as L needs,
// so that it counts the last L and never more than one slice beyond: its error is the events of the one slice at its old end, at
// most 1/60 (burn) or 1/320 (budget) of the window's time. Nothing is lost or counted twice at any edge. Of a burn window the share by
// time of that slice is left out where it is looked at (tracker.burn).
const (
	burnSlices   = 60
	budgetSlices = 320
)

// pendingBins is how many seconds from the watermark on are kept apart: less than 30 s by which it may be behind the log's time, and
// 60 s by which samples may be ahead of that.
const pendingBins = 96

// A cell counts the events of one slice.
type cell struct{ good, total float64 }

// A ring is a window over slices with a running sum. Its cells lie in the memory of its [rings].
type ring struct {
	length     Duration
	width      int64 // seconds of a slice
	n          int32 // cells: the whole slices of the length, and the one being filled
	off        int32 // of its first cell
	head       int64 // number of the newest slice: seconds since the epoch / width
	good       float64
	total      float64
	fractional bool // a count was no integer, so that the sum can drift between rebuilds
}

// rings are the windows of one SLO: the burn windows ascending, then the budget window. Its cells and coverage are one block of
// memory each.
type rings struct {
	rings   []ring
	cells   []cell
	bins    []cell   // the last cells: seconds that are not closed, by second modulo their number
	covered []uint16 // of the budget window: seconds of each slice for which there is data, in units of unit seconds
	unit    int64

	// A budget window of a calendar has one cell, which begins empty with each of its periods.
	calendar    *Calendar
	from, until int64 // the period: its first second and the first one behind it
	seen        int64 // seconds of the period for which there is data
}

// newRings lays out windows that begin empty and have the second now in their newest slices.
func newRings(burn []Duration, budget Window, now int64) rings {
	rs := rings{rings: make([]ring, 0, len(burn)+1), calendar: budget.Calendar}
	off := int32(0)
	add := func(l Duration, slices int64) {
		seconds := (int64(l) + 999) / 1000
		width := max(1, (seconds+slices-1)/slices)
		n := int32((seconds+width-1)/width) + 1
		rs.rings = append(rs.rings, ring{length: l, width: width, n: n, off: off, head: floorDiv(now, width)})
		off += n
	}
	for _, l := range burn {
		add(l, burnSlices)
	}
	if budget.Calendar != nil {
		rs.rings = append(rs.rings, ring{width: 1, n: 1, off: off})
		off++
		rs.period(now)
	} else {
		add(budget.Duration, budgetSlices)
	}
	rs.cells = make([]cell, off+pendingBins)
	rs.bins = rs.cells[off:]
	b := rs.budget()
	rs.covered = make([]uint16, b.n)
	rs.unit = b.width/60_000 + 1
	return rs
}

func (rs *rings) budget() *ring { return &rs.rings[len(rs.rings)-1] }

// isCalendar reports whether a ring is the budget window of a calendar. Its head is the second with which the period begins, so that
// what is older falls out of its one cell.
func (rs *rings) isCalendar(i int) bool { return rs.calendar != nil && i == len(rs.rings)-1 }

// period takes the budget window of a calendar to the period that holds a second. The counts are the caller's.
func (rs *rings) period(second int64) {
	rs.from, rs.until = rs.calendar.around(second)
	b := rs.budget()
	b.head, b.length = rs.from, Duration((rs.until-rs.from)*1000)
}

// window returns the ring of a length; nil where there is none.
func (rs *rings) window(l Duration) *ring {
	for i := range rs.rings[:len(rs.rings)-1] {
		if rs.rings[i].length == l {
			return &rs.rings[i]
		}
	}
	return nil
}

func (rs *rings) cell(r *ring, slice int64) *cell {
	return &rs.cells[int64(r.off)+mod(slice, int64(r.n))]
}

// advance moves all windows so that the second last is in their newest slice. Each slice that ends is constant work.
func (rs *rings) advance(last int64) {
	for i := range rs.rings {
		r := &rs.rings[i]
		to := floorDiv(last, r.width)
		switch {
		case rs.isCalendar(i):
			if last >= rs.until {
				rs.period(last)
				rs.cells[r.off], rs.seen = cell{}, 0
				r.good, r.total, r.fractional = 0, 0, false
			}
		case to > r.head:
			rs.roll(r, to, i == len(rs.rings)-1)
		}
	}
}

func (rs *rings) roll(r *ring, to int64, budget bool) {
	if to-r.head >= int64(r.n) {
		clear(rs.cells[r.off : r.off+r.n])
		if budget {
			clear(rs.covered)
		}
		r.head, r.good, r.total, r.fractional = to, 0, 0, false
		return
	}
	for r.head < to {
		r.head++
		c := rs.cell(r, r.head)
		r.good -= c.good
		r.total -= c.total
		*c = cell{}
		if budget {
			rs.covered[mod(r.head, int64(r.n))] = 0
		}
		if r.fractional && mod(r.head, int64(r.n)) == 0 {
			rs.sum(r)
		}
	}
}

// sum adds up a ring anew, once a revolution, so that what rounding left of fractional counts cannot grow.
func (rs *rings) sum(r *ring) {
	r.good, r.total, r.fractional = 0, 0, false
	for _, c := range rs.cells[r.off : r.off+r.n] {
		r.good += c.good
		r.total += c.total
		r.fractional = r.fractional || !isWhole(c)
	}
}

// add counts events in the slices of a second, in every window that is at least as long as least and still holds it. A second past
// the newest slice is counted in the newest.
func (rs *rings) add(second int64, c cell, least Duration) {
	whole := isWhole(c)
	for i := range rs.rings {
		r := &rs.rings[i]
		slice := min(floorDiv(second, r.width), r.head)
		if slice <= r.head-int64(r.n) || r.length < least && i < len(rs.rings)-1 {
			continue
		}
		to := rs.cell(r, slice)
		to.good += c.good
		to.total += c.total
		r.good += c.good
		r.total += c.total
		r.fractional = r.fractional || !whole
	}
}

// cover marks the seconds from and including first up to last as having data.
func (rs *rings) cover(first, last int64) {
	b := rs.budget()
	if rs.calendar != nil {
		rs.seen += max(0, min(last, rs.until-1)-max(first, rs.from)+1)
		return
	}
	for first <= last {
		slice := floorDiv(first, b.width)
		end := min(last, (slice+1)*b.width-1)
		if slice > b.head-int64(b.n) && slice <= b.head {
			c := &rs.covered[mod(slice, int64(b.n))]
			units := (end - first + rs.unit) / rs.unit
			*c = uint16(min(int64(*c)+units, (b.width+rs.unit-1)/rs.unit))
		}
		first = end + 1
	}
}

// coverage returns the share of the seconds from began to last, as far as the budget window reaches and less those that are excluded,
// for which there is data.
func (rs *rings) coverage(began, last, excluded int64) float64 {
	first := max(began, rs.first())
	counted := float64(last - first + 1 - excluded)
	switch {
	case last < first:
		return 0
	case counted <= 0:
		return 1 // nothing of it counts, and so nothing is missing
	case rs.calendar != nil:
		return min(1, float64(rs.seen)/counted)
	}
	var units int64
	for _, c := range rs.covered {
		units += int64(c)
	}
	return min(1, float64(units*rs.unit)/counted)
}

// rebuild lays out other windows over the same counts. A window that stays is taken as it is. A new one is filled from the finest
// window that still holds a time, the coarser ones giving only what is older; what is older than the longest old window is not
// there, and the coverage says so.
func (rs *rings) rebuild(burn []Duration, budget Window, closed int64) rings {
	next := newRings(burn, budget, max(0, closed-1))
	copy(next.bins, rs.bins)
	counts := rs.unfold()
	for i := range next.rings {
		r := &next.rings[i]
		isBudget := i == len(next.rings)-1
		if old := rs.same(&next, i); old != nil {
			copy(next.cells[r.off:r.off+r.n], rs.cells[old.off:old.off+old.n])
			r.head, r.good, r.total, r.fractional = old.head, old.good, old.total, old.fractional
			continue // the same length has the same slices
		}
		for _, u := range counts {
			slice := min(floorDiv(u.last, r.width), r.head)
			if slice > r.head-int64(r.n) && (isBudget || !u.lump) {
				c := next.cell(r, slice)
				c.good += u.good
				c.total += u.total
			}
		}
		next.sum(r)
	}
	next.recover(rs)
	return next
}

// same returns the ring that is laid out as the i-th one of next, nil where there is none.
func (rs *rings) same(next *rings, i int) *ring {
	if i < len(next.rings)-1 {
		return rs.window(next.rings[i].length)
	}
	if rs.sameBudget(next) {
		return rs.budget()
	}
	return nil
}

func (rs *rings) sameBudget(next *rings) bool {
	if rs.calendar != nil || next.calendar != nil {
		return rs.calendar != nil && next.calendar != nil && rs.from == next.from && rs.until == next.until
	}
	return rs.budget().length == next.budget().length
}

// recover takes over the coverage of old windows.
func (rs *rings) recover(old *rings) {
	ob := old.budget()
	if old.sameBudget(rs) {
		copy(rs.covered, old.covered)
		rs.seen = old.seen
		return
	}
	if old.calendar != nil { // when it was is not known: the newest part is as good a guess as any
		last := min(old.until-1, old.newest())
		rs.cover(max(old.from, last-old.seen+1), last)
		return
	}
	for slice := ob.head - int64(ob.n) + 1; slice <= ob.head; slice++ {
		if units := int64(old.covered[mod(slice, int64(ob.n))]); units > 0 {
			rs.cover(slice*ob.width, slice*ob.width+units*old.unit-1)
		}
	}
}

// A span is a count with the last second it may belong to.
type span struct {
	last int64
	cell
	lump bool // finer windows that reach there do not hold it
}

// unfold returns all counts once, each from the finest window that holds it; a coarser one gives what is left.
func (rs *rings) unfold() []span {
	order := make([]*ring, 0, len(rs.rings))
	for i := range rs.rings {
		order = append(order, &rs.rings[i])
	}
	budget := rs.budget()
	slices.SortStableFunc(order, func(a, b *ring) int {
		if rs.calendar != nil && (a == budget || b == budget) { // one cell for all of a period is the coarsest
			return bToInt(a == budget) - bToInt(b == budget)
		}
		return int(a.width - b.width)
	})
	var out []span
	known := int64(1) << 62 // finer windows reach from here on
	for _, r := range order {
		oldest := r.head - int64(r.n) + 1
		finer := len(out)
		for slice := oldest; slice <= r.head; slice++ {
			first, last := slice*r.width, (slice+1)*r.width-1
			if rs.calendar != nil && r == budget {
				last = rs.until - 1
			}
			c := *rs.cell(r, slice)
			for _, u := range out[:finer] {
				if u.last >= first && u.last <= last {
					c.good -= u.good
					c.total -= u.total
				}
			}
			if c != (cell{}) {
				out = append(out, span{last: min(last, max(first, known-1)), cell: c, lump: first >= known})
			}
		}
		known = min(known, oldest*r.width)
	}
	return out
}

// newest returns the last second of the newest slice of the finest window.
func (rs *rings) newest() int64 {
	r := &rs.rings[0]
	return (r.head+1)*r.width - 1
}

func bToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func isWhole(c cell) bool { return c.good == math.Trunc(c.good) && c.total == math.Trunc(c.total) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func mod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}

func secondOf(t bus.Time) int64 { return floorDiv(int64(t), int64(bus.Second)) }
