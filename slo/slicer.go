package slo

import "evenkeel.dev/bus"

// Bounds of slices of time. Raw counts of the newest are kept, so that what comes late corrects the slice that it belongs to; what
// comes later than that is counted as late and changes no slice.
const (
	minSlice   = Duration(10 * bus.Second)
	maxSlice   = Duration(bus.Hour)
	keptTime   = 3600 // seconds
	keptSlices = 8    // at the least
)

// A slicer counts slices of time instead of events. Each slice becomes one event of the windows when it ends: a good one or a bad one
// (Timeslices), or as much of a good one as its share of good events (RatioTimeslices).
type slicer struct {
	length int64 // seconds
	ratio  bool
	target odds                 // Timeslices: good / total at which a slice is good
	over   string               // Timeslices of values: what of a slice's samples is compared; else ""
	holds  func(v float64) bool // and whether that is good
	onNone string

	raw  []rawSlice // by slice modulo their number
	done int64      // slices before it are in the windows; 0: nothing ever came
	head int64      // newest slice that has data
	last float64    // value of the newest slice in the windows
	bad  bool       // that one misses the objective
}

// A rawSlice is what came in one slice of time, and what it counted as when it was put into the windows.
type rawSlice struct {
	number int64
	cell
	v      float64
	data   bool
	counts bool
}

// newSlicer returns the slicer of an objective, nil for one that counts events.
func newSlicer(o *Objective) *slicer {
	if o.Method == MethodOccurrences || o.Slice == nil {
		return nil
	}
	n := int64(o.Slice.Length) / 1000
	s := &slicer{length: n, ratio: o.Method == MethodRatioTimeslices, onNone: o.noData(), target: oddsOf(o.Slice.Target.Rat())}
	if g := o.SLI.Gauge; g != nil {
		than := g.Value.Float()
		s.over, s.holds = g.over(), func(v float64) bool { return g.holds(v, than) }
	}
	s.raw = make([]rawSlice, max(keptSlices, keptTime/n+2))
	return s
}

func (o *Objective) noData() string {
	if o.OnNoData == "" {
		return NoDataHold
	}
	return o.OnNoData
}

// value returns what a slice counts as, and whether it counts at all. Samples without an event are no trouble: a good slice.
func (s *slicer) value(r rawSlice) (v float64, counts bool) {
	switch {
	case !r.data:
		switch s.onNone {
		case NoDataGood:
			return 1, true
		case NoDataBad:
			return 0, true
		case NoDataExclude:
			return 0, false
		}
		return s.last, true
	case r.total <= 0:
		return 1, true
	case s.over == OverMean:
		return float64(bToInt(s.holds(r.good / r.total))), true
	case s.over != "":
		return float64(bToInt(s.holds(r.good))), true
	case s.ratio:
		return min(1, max(0, r.good/r.total)), true
	case r.good*s.target.den >= r.total*s.target.num:
		return 1, true
	}
	return 0, true
}

// join adds events to a cell. Where the least or the greatest value of a slice counts, that is what a cell holds.
func (t *tracker) join(to *cell, c cell) {
	over := ""
	if t.slicer != nil {
		over = t.slicer.over
	}
	switch empty := to.total == 0; {
	case over == OverLeast && !empty:
		to.good = min(to.good, c.good)
	case over == OverMost && !empty:
		to.good = max(to.good, c.good)
	default:
		to.good += c.good
	}
	to.total += c.total
}

func (s *slicer) at(number int64) *rawSlice {
	return &s.raw[mod(number, int64(len(s.raw)))]
}

// slice adds events to the slice of a second. One that is in the windows already is corrected there.
func (t *tracker) slice(second int64, c cell) {
	s := t.slicer
	n := floorDiv(second, s.length)
	if s.done == 0 {
		s.done = n
	}
	if n <= max(s.head, s.done)-int64(len(s.raw)) {
		return // too late
	}
	r := s.at(n)
	if r.number != n {
		*r = rawSlice{number: n}
	}
	t.join(&r.cell, c)
	r.data = true
	s.head = max(s.head, n)
	if n < s.done {
		t.reslice(r)
	}
}

// reslice corrects a slice that is in the windows.
func (t *tracker) reslice(r *rawSlice) {
	s := t.slicer
	v, counts := s.value(*r)
	d := cell{good: v - r.v}
	if !r.counts {
		d = cell{good: v, total: 1}
	}
	r.v, r.counts = v, counts
	if d == (cell{}) {
		return
	}
	t.rings.add((r.number+1)*s.length-1, d, 0)
	t.minute.lateGood += d.good
	t.minute.lateTotal += d.total
	if r.number == s.done-1 {
		s.last, s.bad = v, t.misses(v)
	}
}

// finish puts the slices that end at or before a second into the windows.
func (t *tracker) finish(second int64) {
	s := t.slicer
	to := floorDiv(second, s.length)
	if s.done == 0 {
		return
	}
	for ; s.done < to && s.done <= s.head; s.done++ {
		r := *s.at(s.done)
		if r.number != s.done {
			r = rawSlice{}
		}
		t.put(s.done, 1, r)
	}
	if s.done < to {
		t.put(s.done, to-s.done, rawSlice{})
		s.done = to
	}
}

// putRun puts a run of equal slices into the windows, unless they are excluded. Of time in which the engine itself has lost data nothing
// is said.
func (t *tracker) putRun(first, n int64, r rawSlice, out bool) {
	s := t.slicer
	r.v, r.counts = s.value(r)
	r.counts = r.counts && !out && (r.data || !t.broken)
	for k := max(first, first+n-int64(len(s.raw))); k < first+n; k++ {
		r.number = k
		*s.at(k) = r
	}
	t.rings.advance((first+n)*s.length - 1)
	if !r.counts {
		return
	}
	t.rings.fill(first, n, s.length, r.v)
	t.minute.good += r.v * float64(n)
	t.minute.total += float64(n)
	s.last, s.bad = r.v, t.misses(r.v)
}

// misses reports whether one slice alone misses the objective.
func (t *tracker) misses(v float64) bool { return t.budget.over(v, 1, odds{1, 1}) }

// fill adds n slices of time, each as one event of the value v at its last second, to every window that still holds them. It is
// constant work whatever n is.
func (rs *rings) fill(first, n, length int64, v float64) {
	whole := isWhole(cell{v, 1})
	for i := range rs.rings {
		r := &rs.rings[i]
		if rs.isCalendar(i) {
			r.put(&rs.cells[r.off], v, max(0, first+n-max(first, floorDiv(rs.from, length))), whole) // those that end in the window
			continue
		}
		from := max(floorDiv((first+1)*length-1, r.width), r.head-int64(r.n)+1)
		for slice := from; slice <= r.head; slice++ {
			low := max(first, floorDiv(slice*r.width, length))
			high := min(first+n, floorDiv((slice+1)*r.width, length))
			if high > low {
				r.put(rs.cell(r, slice), v, high-low, whole)
			}
		}
	}
}

func (r *ring) put(c *cell, v float64, n int64, whole bool) {
	c.good += v * float64(n)
	c.total += float64(n)
	r.good += v * float64(n)
	r.total += float64(n)
	r.fractional = r.fractional || !whole
}

// expected returns how many slices the objective's window has when it is whole, less those that are excluded.
func (t *tracker) expected(closed int64) float64 {
	s, b := t.slicer, t.rings.budget()
	from, whole := t.windowFrom(closed), float64(int64(b.length)/1000/s.length)
	if s.onNone != NoDataExclude || s.done == 0 {
		return max(0, whole-t.excludedSlices(from, closed))
	}
	elapsed := float64(s.done - floorDiv(max(from, t.began()), s.length))
	return whole - max(0, elapsed-b.total)
}
