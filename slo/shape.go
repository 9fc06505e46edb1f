package slo

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"evenkeel.dev/bus"
)

// An objective over latency counts what is below one threshold. Where it asks for percentiles, or for interpolation, all buckets of its
// histogram are counted beside that: how many observations were at or below each bound. Sums of such counts over series and time are
// exact and do not hang on their order, so that a percentile is known to lie between two bounds, whatever was merged.
//
// Histograms may differ in their bounds: two versions of a service run, or a native one became coarser. A count at a bound is then
// too low by what came in histograms without it. From below that is right whatever happens: at least so many were at most the bound. From
// above a bound is trusted only where, for the whole window, as many series had it as have the one that counts all.

// Bounds of what is counted beside an objective.
const (
	maxShapeBounds = 32 // of which one is +Inf; what else comes is not looked at, and percentiles are known less closely
	recentWidth    = 30 // seconds of a slice
	recentSlices   = 10 // of the last five minutes; beside them there is the one being filled, and time ahead of the watermark
	recentCells    = recentSlices + 5
	shapeSlices    = 30 // of a rolling budget window
	// differHold is how long series may differ in their bounds before that is believed of what was counted, too: they are announced
	// one by one, and forgotten in sweeps.
	differHold = limitHold
	// lateHold is how long it takes until all series of an objective are matched with what it asks for since.
	lateHold = 6 * bus.Minute
)

// A shapeBucket counts the observations at or below a bound.
type shapeBucket struct {
	at     float64
	series int
	short  bus.Time  // record time since when not all histograms have it; 0: all do
	broken int64     // second up to which they did not, for long; 0: always did
	recent []float64 // by slice modulo their number
	budget []float64
}

// A shape is what is counted of a histogram beside the objective.
type shape struct {
	buckets []*shapeBucket // ascending
	seen    bus.Time       // record time of the first bucket; 0: none yet
	first   int64          // second of the first increase; 0: none yet
	late    bool           // it was asked for later than the objective: first samples may be older than it
	limitAt bus.Time       // record time when one of its series was refused
	series  int            // of all bounds

	recentHead int64 // newest slice
	budgetHead int64 // the same; of a calendar window the second its period begins with
	width      int64 // seconds of a slice of a rolling budget window
	calendar   *Calendar
	until      int64 // end of the calendar's period

	unit   string
	native bool // its buckets are those of a native histogram, so that interpolation is by logarithms

	threshold float64 // between whose neighbours is interpolated; 0: that is not asked for
	between   between
}

// A between is the pair of bounds around a threshold, with the share that counts of what lies between them.
type between struct {
	chosen       bool
	lower, upper float64 // lower is 0 where no bound is below; both are the threshold where it is one
}

// shaped reports whether buckets are counted beside the objective.
func (o *Objective) shaped() bool { return o.Percentiles || o.SLI.Interpolate }

// BucketTerms returns the terms of an objective that look into a histogram, less their bounds: what they select are all its buckets.
// It is empty where neither percentiles nor interpolation are asked for.
func (o *Objective) BucketTerms() []Term {
	var out []Term
	if !o.shaped() {
		return nil
	}
	for _, t := range o.SLI.judged() {
		if t.AtMost != nil {
			out = append(out, t)
		} else if s, ok := withoutBound(t.Selector); ok {
			out = append(out, Term{Factor: t.Factor, Selector: s})
		}
	}
	return out
}

// judged returns the terms of Good and Bad.
func (s *SLI) judged() []Term {
	var out []Term
	for _, e := range []*Expr{s.Good, s.Bad} {
		if e != nil {
			out = append(out, e.Terms...)
		}
	}
	return out
}

// thresholds returns those that an SLI is interpolated at, ascending.
func (s *SLI) thresholds() []float64 {
	var out []float64
	for _, t := range s.judged() {
		if v, ok := s.interpolated(&t); ok {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// withoutBound leaves out the conditions on a bucket's bound; false where there is none.
func withoutBound(s bus.Selector) (bus.Selector, bool) {
	isBound := func(m bus.Matcher) bool { return m.Name == LabelBound }
	if !slices.ContainsFunc(s.Matchers(), isBound) || s.MetricName() == "" {
		return s, false
	}
	out, err := bus.NewSelector(slices.DeleteFunc(slices.Clone(s.Matchers()), isBound))
	return out, err == nil
}

// interpolated returns the threshold that a term is interpolated at; false where it counts a bucket as it stands.
func (s *SLI) interpolated(t *Term) (float64, bool) {
	if !s.Interpolate || t.AtMost != nil {
		return 0, false
	}
	b, ok := BoundOf(t)
	return b.Value, ok && !math.IsInf(b.Value, 0)
}

// validateShape checks what percentiles and interpolation need.
func (o *Objective) validateShape() error {
	if !o.shaped() {
		return nil
	}
	classic, native := 0, 0
	for _, t := range o.BucketTerms() {
		if t.AtMost != nil {
			native++
		} else {
			classic++
		}
	}
	thresholds := o.SLI.thresholds()
	switch {
	case classic+native == 0:
		return fmt.Errorf(`percentiles and interpolation need an SLI over latency: good (or bad) selects a bucket, as in x_bucket{le="0.3"}, or is a fraction of a native histogram`)
	case classic > 0 && native > 0:
		return fmt.Errorf("percentiles need one kind of histogram: the SLI has a classic and a native one")
	case o.SLI.Interpolate && len(thresholds) != 1:
		return fmt.Errorf(`interpolation needs one threshold, as le="0.3" of a classic histogram; found %d`, len(thresholds))
	case o.SLI.Interpolate && thresholds[0] <= 0:
		return fmt.Errorf("interpolation needs a threshold above 0, found %g", thresholds[0])
	}
	return nil
}

// newShape returns the empty shape of an objective, nil where it has none.
func newShape(o *Objective) *shape {
	if !o.shaped() {
		return nil
	}
	sh := &shape{}
	for _, term := range o.BucketTerms() {
		sh.unit, sh.native = unitOf(term.Selector.MetricName()), term.AtMost != nil
	}
	for _, v := range o.SLI.thresholds() {
		sh.threshold = v
	}
	sh.span(o.Window)
	return sh
}

// span lays out the budget window anew; what it held is not known at another resolution.
func (sh *shape) span(w Window) {
	sh.calendar, sh.until, sh.budgetHead = w.Calendar, 0, 0
	sh.width = max(1, (int64(w.Duration)/1000+shapeSlices-1)/shapeSlices)
	for _, b := range sh.buckets {
		b.budget = make([]float64, sh.budgetCells())
	}
}

func (sh *shape) budgetCells() int {
	if sh.calendar != nil {
		return 1
	}
	return shapeSlices + 2
}

func (sh *shape) find(at float64) (int, bool) {
	return slices.BinarySearchFunc(sh.buckets, at, func(b *shapeBucket, at float64) int {
		switch {
		case b.at < at:
			return -1
		case b.at > at:
			return 1
		}
		return 0
	})
}

// count notes that so many more series have a bound.
func (sh *shape) count(at float64, n int, now bus.Time, closed int64) {
	sh.series += n
	i, ok := sh.find(at)
	if !ok {
		if len(sh.buckets) == maxShapeBounds || n < 0 {
			return
		}
		b := sh.insert(i, at)
		if sh.first > 0 && now-sh.seen > differHold {
			b.broken = closed // of what was before nothing is known
		}
		if sh.seen == 0 {
			sh.seen = max(now, 1)
		}
	}
	sh.buckets[i].series += n
}

func (sh *shape) insert(i int, at float64) *shapeBucket {
	b := &shapeBucket{at: at, recent: make([]float64, recentCells), budget: make([]float64, sh.budgetCells())}
	sh.buckets = slices.Insert(sh.buckets, i, b)
	return b
}

// add counts observations at or below a bound, in a second. What took long to come (least is above 0) is no evidence about now.
func (sh *shape) add(at float64, second int64, d float64, least Duration) {
	i, ok := sh.find(at)
	if !ok || d == 0 {
		return
	}
	b := sh.buckets[i]
	if sh.first == 0 || second < sh.first {
		sh.first = second
	}
	if n := floorDiv(second, recentWidth); least == 0 && sh.roll(&sh.recentHead, n, recentCells, func(b *shapeBucket) []float64 { return b.recent }) {
		b.recent[mod(n, recentCells)] += d
	}
	cells := int64(len(b.budget))
	if n := sh.budgetSlice(second); sh.roll(&sh.budgetHead, n, cells, func(b *shapeBucket) []float64 { return b.budget }) {
		b.budget[mod(n, cells)] += d
	}
}

// budgetSlice returns the number of the budget window's slice that a second is in.
func (sh *shape) budgetSlice(second int64) int64 {
	if sh.calendar == nil {
		return floorDiv(second, sh.width)
	}
	if second >= sh.until {
		from, until := sh.calendar.around(second)
		sh.until = until
		return from
	}
	return min(second, sh.budgetHead) // before its period, or in it
}

// roll moves the newest slice on and reports whether slice n is one that is kept.
func (sh *shape) roll(head *int64, n, cells int64, of func(*shapeBucket) []float64) bool {
	for k := max(*head+1, n-cells+1); k <= n; k++ {
		for _, b := range sh.buckets {
			of(b)[mod(k, cells)] = 0
		}
	}
	*head = max(*head, n)
	return n > *head-cells
}

// watch looks at which bounds all histograms have, and chooses those that are interpolated between. It reports whether it chose others.
func (sh *shape) watch(now bus.Time, closed int64) bool {
	n := len(sh.buckets)
	if n == 0 {
		return false
	}
	all := sh.buckets[n-1]
	for _, b := range sh.buckets {
		switch {
		case b.series == all.series:
			b.short = 0
		case b.short == 0:
			b.short = now
		case b.differs(now, differHold):
			b.broken = closed
		}
	}
	if sh.threshold == 0 || now-sh.seen < besideHold || all.series == 0 || sh.between.chosen && sh.stands(now) {
		return false
	}
	before := sh.between
	sh.between = sh.around()
	return sh.between != before
}

func (b *shapeBucket) differs(now, hold bus.Time) bool { return b.short > 0 && now-b.short >= hold }

// trusted reports whether all histograms have the bound and have had it since a second.
func (b *shapeBucket) trusted(from int64) bool { return b.short == 0 && b.broken < from }

// stands reports whether both bounds that were chosen are still those of all histograms: the requests in others would count as bad.
func (sh *shape) stands(now bus.Time) bool {
	for _, at := range []float64{sh.between.lower, sh.between.upper} {
		if i, ok := sh.find(at); at > 0 && (!ok || sh.buckets[i].differs(now, besideHold)) {
			return false
		}
	}
	return true
}

// around returns the bounds around the threshold of those that all histograms have.
func (sh *shape) around() between {
	var p between
	for _, b := range sh.buckets {
		switch {
		case b.short > 0 || math.IsInf(b.at, 1):
		case b.at <= sh.threshold && b.at > 0:
			p.lower = b.at
		}
		if b.short == 0 && !math.IsInf(b.at, 1) && b.at >= sh.threshold {
			p.upper, p.chosen = b.at, true
			break
		}
	}
	return p
}

// weight returns which part of an increase at a bound counts as at or below the threshold: what lies between the two bounds is taken to
// be spread evenly, as Prometheus' histogram_quantile does.
func (sh *shape) weight(at float64) float64 {
	p := sh.between
	switch {
	case at == p.upper && p.lower == p.upper:
		return 1
	case at == p.upper:
		return (sh.threshold - p.lower) / (p.upper - p.lower)
	case at == p.lower:
		return (p.upper - sh.threshold) / (p.upper - p.lower)
	}
	return 0
}

// waits reports whether nothing can be counted yet, since the bounds around the threshold are not known.
func (t *tracker) waits() bool {
	return t.o.SLI.Interpolate && (t.shape == nil || !t.shape.between.chosen)
}

// noBounds reports whether buckets are there and none of them hold the threshold.
func (t *tracker) noBounds(now bus.Time) bool {
	return t.waits() && t.shape != nil && t.shape.seen > 0 && now-t.shape.seen > besideHold
}

// boundsMessage says between which bounds is interpolated, or why that is not possible.
func (t *tracker) boundsMessage() string {
	sh := t.shape
	if p := sh.between; p.chosen && p.lower == p.upper {
		return fmt.Sprintf("a bucket ends at %s", number(sh.threshold))
	} else if p.chosen {
		return fmt.Sprintf("at most %s is counted between the buckets that end at %s and %s, their requests taken to be spread evenly", number(sh.threshold), number(p.lower), number(p.upper))
	}
	var seen []string
	for _, b := range sh.buckets {
		seen = append(seen, number(b.at))
	}
	return fmt.Sprintf("no bucket that all histograms have ends at or above %s; there are %s", number(sh.threshold), strings.Join(seen, ", "))
}

// learn chooses the bounds of an objective that is interpolated, and tells of it.
func (s *Stage) learn(t *tracker) {
	if t.shape == nil || !t.shape.watch(s.now, s.closed) {
		return
	}
	t.dirty = true
	if t.shape.between.chosen {
		s.defineDetail(t, DefinitionBounds, t.boundsMessage())
	}
}

// bucket counts an increase of a bucket: as itself, and what it adds to an SLI that is interpolated. It returns what counts, false
// where nothing does.
func (t *tracker) bucket(tg target, since, second int64, d float64, least Duration, excluded bool, now bus.Time) (cell, bool) {
	if t.shape == nil {
		return cell{}, false
	}
	if old := t.shape.late && (since <= 0 || now-t.shape.seen < lateHold); !old && !excluded {
		t.shape.add(tg.at, second, d, least)
	}
	if tg.good == 0 {
		return cell{}, false
	}
	return cell{good: tg.good * t.shape.weight(tg.at) * d}, true
}
