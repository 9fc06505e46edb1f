package slo

import (
	"math"
	"slices"
)

// within returns the spans of an exclusion in a window, ascending.
func (e *exclusion) within(w Span) []Span {
	var out []Span
	for at := w.From; at < w.Until; {
		s := e.around(at)
		if s.From >= w.Until {
			break
		}
		at = s.Until
		out = append(out, Span{max(s.From, w.From), min(s.Until, w.Until)})
	}
	return union(out)
}

// in returns what of a span is in others.
func (s Span) in(others []Span) []Span {
	var out []Span
	for _, o := range others {
		if from, until := max(s.From, o.From), min(s.Until, o.Until); from < until {
			out = append(out, Span{from, until})
		}
	}
	return out
}

// A removal is what is taken out of a cell.
type removal struct {
	r  *ring
	to *cell
	cell
}

func (x *removal) apply() {
	x.to.good -= x.good
	x.to.total -= x.total
	x.r.good -= x.good
	x.r.total -= x.total
	x.r.fractional = x.r.fractional || !isWhole(x.cell)
}

// retract takes closed time out of all windows. It is exact for whole slices of a window, and where the time begins and ends with a
// slice of the finest window that still holds it; else the share by time is taken. Of slices of time the newest, which the slicer keeps,
// are exact. It returns how many events of the budget window may be wrong at most.
func (t *tracker) retract(spans []Span, closed int64) (errorMax float64) {
	before := *t.rings.budget()
	var out []removal
	if t.slicer != nil {
		out, errorMax = t.retractSlices(spans, closed)
	} else {
		out, errorMax = t.retractEvents(spans, closed)
	}
	t.uncover(spans, closed)
	for i := range out {
		out[i].apply()
	}
	for _, s := range spans {
		t.cut.insert(s)
	}
	b := t.rings.budget()
	d := cell{b.good - before.good, b.total - before.total}
	t.minute.lateGood += d.good // so that the ledger adds up to what is counted
	t.minute.lateTotal += d.total
	t.minute.cutGood += d.good
	t.minute.cutTotal += d.total
	return errorMax
}

// retractEvents finds what to take out where events are counted.
func (t *tracker) retractEvents(spans []Span, closed int64) (out []removal, errorMax float64) {
	for i := range t.rings.rings {
		t.rings.each(i, closed, func(s Span, c *cell) {
			n := s.overlap(spans)
			if n == 0 || *c == (cell{}) {
				return
			}
			take, most := *c, 0.0
			if n < t.live(s) {
				take, most = t.estimate(s.in(spans), closed)
				take = take.atMost(*c)
			}
			if i == len(t.rings.rings)-1 {
				errorMax += min(most, c.total)
			}
			out = append(out, removal{&t.rings.rings[i], c, take})
		})
	}
	return out, errorMax
}

// each calls f with the time and the cell of all closed slices of a window.
func (rs *rings) each(i int, closed int64, f func(s Span, c *cell)) {
	r := &rs.rings[i]
	if rs.isCalendar(i) {
		f(Span{rs.from, max(rs.from, min(rs.until, closed))}, &rs.cells[r.off])
		return
	}
	for slice := r.head - int64(r.n) + 1; slice <= r.head; slice++ {
		from := slice * r.width
		f(Span{from, max(from, min(from+r.width, closed))}, rs.cell(r, slice))
	}
}

// live returns how many seconds of a slice can have been counted.
func (t *tracker) live(s Span) int64 {
	s.From = max(s.From, min(s.Until, t.began()))
	return s.Until - s.From - s.overlap(t.cut.spans)
}

// estimate returns what was counted in spans, by the finest slices that hold them, and how many events of it may be wrong at most.
func (t *tracker) estimate(spans []Span, closed int64) (c cell, errorMax float64) {
	for _, s := range spans {
		for at := s.From; at < s.Until; {
			slice, counted := t.finest(at, closed)
			part := Span{at, min(s.Until, slice.Until)}
			at = part.Until
			n, live := part.Until-part.From, t.live(slice)
			if n >= live {
				c.good += counted.good
				c.total += counted.total
				continue
			}
			share := counted.share(n, live)
			c.good += share.good
			c.total += share.total
			errorMax += max(share.total, counted.total-share.total)
		}
	}
	return c, errorMax
}

// finest returns the smallest slice that holds a second, and its count.
func (t *tracker) finest(second, closed int64) (Span, cell) {
	best, found := t.rings.budget(), t.rings.calendar == nil
	for i := range t.rings.rings {
		r := &t.rings.rings[i]
		if !t.rings.isCalendar(i) && floorDiv(second, r.width) > r.head-int64(r.n) && (!found || r.width < best.width) {
			best, found = r, true
		}
	}
	if !found {
		return t.beginOfPeriod()
	}
	slice := floorDiv(second, best.width)
	return Span{slice * best.width, max(second+1, min((slice+1)*best.width, closed))}, *t.rings.cell(best, slice)
}

// beginOfPeriod returns the part of a calendar's period that no burn window holds any more, and its count.
func (t *tracker) beginOfPeriod() (Span, cell) {
	c := t.rings.cells[t.rings.budget().off]
	r := &t.rings.rings[len(t.rings.rings)-2] // the longest
	return Span{t.rings.from, (r.head - int64(r.n) + 1) * r.width}, cell{c.good - r.good, c.total - r.total}.atMost(c)
}

// share returns n / of of a count, in whole events where it has whole ones.
func (c cell) share(n, of int64) cell {
	part := func(v float64) float64 { return v * float64(n) / float64(of) }
	total, bad := part(c.total), part(c.total-c.good)
	if isWhole(c) {
		total, bad = math.Round(total), math.Round(bad)
	}
	return cell{total - bad, total}
}

// atMost bounds a count by another one.
func (c cell) atMost(most cell) cell {
	bad := min(max(0, c.total-c.good), max(0, most.total-most.good))
	good := min(max(0, c.good), max(0, most.good))
	return cell{good, good + bad}
}

// retractSlices finds what to take out where slices of time are counted: those of which nothing counts any more. Those that the slicer
// keeps it takes out itself.
func (t *tracker) retractSlices(spans []Span, closed int64) (out []removal, errorMax float64) {
	s := t.slicer
	after := union(slices.Concat(t.cut.spans, spans))
	for i := range s.raw {
		r := &s.raw[i]
		if r.counts && r.number < s.done && wholly(after, s.length, r.number*s.length, (r.number+1)*s.length) > 0 {
			t.rings.add((r.number+1)*s.length-1, cell{-r.v, -1}, 0)
			r.counts = false
		}
	}
	kept := (max(s.head, s.done) - int64(len(s.raw)) + 1) * s.length
	for i := range t.rings.rings {
		t.rings.each(i, closed, func(sp Span, c *cell) {
			end := min(sp.Until, kept)
			n := float64(wholly(after, s.length, sp.From, end) - wholly(t.cut.spans, s.length, sp.From, end))
			older := s.older(sp, *c)
			if n <= 0 || older.total <= 0 {
				return
			}
			if n < older.total {
				if i == len(t.rings.rings)-1 {
					errorMax += min(n, older.total-n)
				}
				older = cell{older.good * n / older.total, n}
			}
			out = append(out, removal{&t.rings.rings[i], c, older})
		})
	}
	return out, errorMax
}

// older returns what a cell counts of slices of time that are not kept any more.
func (s *slicer) older(sp Span, c cell) cell {
	for i := range s.raw {
		r := &s.raw[i]
		if last := (r.number+1)*s.length - 1; r.counts && r.number < s.done && last >= sp.From && last < sp.Until {
			c.good -= r.v
			c.total--
		}
	}
	return c
}

// uncover takes closed time out of the coverage, by its share of each slice.
func (t *tracker) uncover(spans []Span, closed int64) {
	rs := &t.rings
	i := len(rs.rings) - 1
	rs.each(i, closed, func(s Span, _ *cell) {
		n, live := s.overlap(spans), t.live(s)
		switch {
		case n == 0 || live <= 0:
		case rs.calendar != nil:
			rs.seen -= min(rs.seen, rs.seen*n/live)
		default:
			c := &rs.covered[mod(floorDiv(s.From, rs.budget().width), int64(len(rs.covered)))]
			*c -= uint16(min(int64(*c), int64(*c)*n/live))
		}
	})
}
