package slo

import (
	"math"
	"slices"
)

// ReasonExcluded belongs to UNKNOWN: an exclusion holds; alerts hold too.
const ReasonExcluded = "Excluded"

// maxCuts bounds the spans that do not count in the windows of one SLO, 16 bytes each. Of more the oldest are forgotten: what was in
// them stays out, and their time is then time without data.
const maxCuts = 1000

// Excluded says how much of an SLO's window does not count.
type Excluded struct {
	Seconds int64  `json:"seconds"`          // of the window so far, from the SLO's definition on
	Now     bool   `json:"now"`              // the present does not count either; the fields below say why
	Until   Moment `json:"until,omitempty"`  // end of the exclusion at hand
	Name    string `json:"name,omitempty"`   // its definition, namespace/name
	Reason  string `json:"reason,omitempty"` // what it says itself
}

// A cut is the time of one SLO that does not count. What is closed stands in spans and stays so whatever becomes of the exclusions: their
// events are gone. From to on the exclusions themselves are asked.
type cut struct {
	exclusions []*exclusion // of the stage, those that match
	spans      []Span       // ascending, none touching another
	to         int64        // seconds before it are closed
	at         int64        // newest second at which the SLO was judged and excluded
	quiet      int64        // from to on, no exclusion begins before it; it follows from the others
}

// holds reports whether a second does not count.
func (c *cut) holds(second int64) bool {
	if len(c.spans)+len(c.exclusions) == 0 {
		return false
	}
	if second < c.to {
		i, _ := slices.BinarySearchFunc(c.spans, second, spanBehind)
		return i < len(c.spans) && c.spans[i].From <= second
	}
	return c.present(second) != nil
}

// touches reports whether some of the time after one second and up to another does not count: an increase over it is, in part, of time
// that is excluded. From since = 0 on nothing is known.
func (c *cut) touches(since, second int64) bool {
	if len(c.spans)+len(c.exclusions) == 0 || since <= 0 {
		return false
	}
	if i, _ := slices.BinarySearchFunc(c.spans, since+1, spanBehind); i < len(c.spans) && c.spans[i].From <= second {
		return true
	}
	first := max(since+1, c.to)
	return slices.ContainsFunc(c.exclusions, func(e *exclusion) bool { return e.around(first).From <= second })
}

// present returns the exclusion that holds a second, nil where there is none.
func (c *cut) present(second int64) *exclusion {
	for _, e := range c.exclusions {
		if e.around(second).From <= second {
			return e
		}
	}
	return nil
}

// spanBehind finds the first span that ends after a second.
func spanBehind(s Span, second int64) int { return bToInt(s.Until > second)*2 - 1 }

// close notes which seconds from first up to before end do not count, and returns how many.
func (c *cut) close(first, end int64) (n int64) {
	c.to = end
	if len(c.exclusions) == 0 || end <= c.quiet {
		return 0
	}
	for first < end {
		s, ok := c.next(first, end)
		if !ok {
			break
		}
		c.insert(s)
		n += s.Until - s.From
		first = s.Until
	}
	return n
}

// next returns the first time from first up to before end that exclusions hold.
func (c *cut) next(first, end int64) (Span, bool) {
	least := int64(math.MaxInt64)
	for _, e := range c.exclusions {
		least = min(least, e.around(first).From)
	}
	if least >= end {
		c.quiet = least
		return Span{}, false
	}
	s := Span{max(first, least), max(first, least)}
	for before := int64(-1); before < s.Until && s.Until < end; {
		before = s.Until
		for _, e := range c.exclusions {
			if o := e.around(s.Until); o.From <= s.Until {
				s.Until = max(s.Until, min(o.Until, end))
			}
		}
	}
	return s, true
}

// insert adds time to the spans.
func (c *cut) insert(s Span) {
	if n := len(c.spans); n > 0 && c.spans[n-1].Until == s.From {
		c.spans[n-1].Until = s.Until
		return
	} else if n > 0 && c.spans[n-1].Until > s.From {
		c.spans = union(append(c.spans, s))
	} else {
		c.spans = append(c.spans, s)
	}
	if n := len(c.spans); n > maxCuts {
		c.spans = slices.Clone(c.spans[n-maxCuts:])
	}
}

// forget drops the spans that ended before a second.
func (c *cut) forget(second int64) {
	i, _ := slices.BinarySearchFunc(c.spans, second, spanBehind)
	c.spans = slices.Clone(c.spans[i:])
}

// wholly counts the slices of time of a length that lie in one span each and end in the time from first up to before end.
func wholly(spans []Span, length, first, end int64) int64 {
	n := int64(0)
	for _, s := range spans {
		from := max(floorDiv(s.From+length-1, length), floorDiv(first, length))
		n += max(0, min(floorDiv(s.Until, length), floorDiv(end, length))-from)
	}
	return n
}

// run returns how many slices of time from first up to before end are like the first one: none of it counts, or some does.
func (c *cut) run(first, end, length int64) (n int64, out bool) {
	i, _ := slices.BinarySearchFunc(c.spans, first*length, spanBehind)
	for _, s := range c.spans[i:] {
		from, until := floorDiv(s.From+length-1, length), floorDiv(s.Until, length)
		switch {
		case from >= end:
			return end - first, false
		case until <= max(from, first):
			continue // no whole slice
		case from <= first:
			return min(until, end) - first, true
		}
		return from - first, false
	}
	return end - first, false
}

// exclude closes the time before end: what exclusions hold of it does not count.
func (t *tracker) exclude(first, end int64) {
	n := len(t.cut.spans)
	if t.minute.excluded += t.cut.close(first, end); len(t.cut.spans) > n {
		t.cut.forget(t.rings.first())
	}
}

// first returns the oldest second that the budget window counts.
func (rs *rings) first() int64 {
	b := rs.budget()
	return (b.head - int64(b.n) + 1) * b.width // of a calendar: its one cell begins with the period
}

// put puts a run of equal slices of time into the windows, but for those of which nothing counts.
func (t *tracker) put(first, n int64, r rawSlice) {
	for end := first + n; first < end; {
		k, out := t.cut.run(first, end, t.slicer.length)
		t.putRun(first, k, r, out)
		first += k
	}
}

// cover notes the time from and including first up to last as having data, as far as it counts.
func (t *tracker) cover(first, last int64) {
	s := Span{first, last + 1}
	if n := len(t.cut.spans); n == 0 || t.cut.spans[n-1].Until <= first {
		t.rings.cover(first, last)
		t.minute.covered += last + 1 - first
		return
	}
	for _, p := range s.minus(t.cut.spans) {
		t.rings.cover(p.From, p.Until-1)
		t.minute.covered += p.Until - p.From
	}
}

// window returns the time that the budget window counts, from the SLO's definition on.
func (t *tracker) window(closed int64) Span {
	from := max(t.rings.first(), t.began())
	return Span{from, max(from, closed)}
}

// excludedSeconds returns how much of the window does not count.
func (t *tracker) excludedSeconds(closed int64) int64 {
	if len(t.cut.spans) == 0 {
		return 0
	}
	return t.window(closed).overlap(t.cut.spans)
}

// excludedSlices returns how many whole slices of time of the window do not count.
func (t *tracker) excludedSlices(from, closed int64) float64 {
	return float64(wholly(t.cut.spans, t.slicer.length, from, closed))
}

// excluded renders what does not count; nil where there is nothing of it.
func (t *tracker) excluded(closed int64) *Excluded {
	x := Excluded{Seconds: t.excludedSeconds(closed), Now: t.reason == ReasonExcluded}
	if x == (Excluded{}) {
		return nil
	}
	if e := t.cut.present(t.cut.at); x.Now && e != nil {
		x.Until, x.Reason = Moment(e.around(t.cut.at).Until*1000), e.Reason
		x.Name = e.Definition.Namespace + "/" + e.Definition.Name
	}
	return &x
}

// cut writes what does not count.
func (e *encoder) cut(c *cut) {
	e.int(c.to)
	e.int(c.at)
	e.uint(uint64(len(c.spans)))
	before := int64(0)
	for _, s := range c.spans {
		e.uint(uint64(s.From - before))
		e.uint(uint64(s.Until - s.From))
		before = s.Until
	}
}

func (d *reader) cut(c *cut) {
	c.to, c.at = d.int(), d.int()
	before := int64(0)
	n := d.count(2)
	if n > maxCuts || c.to < 0 || c.to > lastSecond || c.at < 0 || c.at > lastSecond {
		d.fail()
	}
	for ; n > 0 && !d.bad; n-- {
		from, length := d.uint(), d.uint()
		if from > lastSecond || length == 0 || length > lastSecond || before > 0 && from == 0 || before+int64(from+length) > lastSecond {
			d.fail()
			return
		}
		s := Span{before + int64(from), before + int64(from+length)}
		c.spans = append(c.spans, s)
		before = s.Until
	}
}

// excluded writes what a status tells of it.
func (e *encoder) excluded(x *Excluded) {
	e.bool(x != nil)
	if x != nil {
		e.uint(uint64(x.Seconds))
		e.bool(x.Now)
		e.int(int64(x.Until))
		e.str(x.Name)
		e.str(x.Reason)
	}
}

func (d *reader) excluded() *Excluded {
	if !d.bool() {
		return nil
	}
	x := &Excluded{Seconds: int64(d.uint() & math.MaxInt64), Now: d.bool(), Until: Moment(d.int()), Name: d.str(), Reason: d.str()}
	if x.Until < 0 || x.Until > lastSecond*1000 {
		d.fail()
	}
	return x
}
