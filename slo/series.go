package slo

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"evenkeel.dev/bus"
)

// seriesExpiry is how long a series is remembered after its last sample and announcement: longer than a sender keeps a backlog. A
// first sample with a start timestamp within it is known not to have been counted before.
const seriesExpiry = standstill + bus.Hour

// Flags of a series, beside those of its announcement.
const (
	seriesDelta = 1 << iota
	seriesGauge
	seriesHas       // a value is known
	seriesDebt      // its stage.handovers says how to count
	seriesMet       // before its first value it has shown something that is none: nothing is known of when it began
	seriesValue     // it feeds objectives over values
	seriesOnlyValue // and no others
)

// A series is the state of one counter: 40 bytes, and its identity. No label is kept.
type series struct {
	last    float64
	t       bus.Time // of last
	list    uint32   // which target list it feeds
	matched uint32   // Stage.defined when it was matched
	seen    uint32   // record time of the last announcement, minutes
	shadow  uint32   // index into Stage.shadows plus one
	family  uint32   // index into Stage.families plus one
	group   uint16   // index into Stage.groups plus one
	flags   uint8
	used    bool
}

// A target says what an increase of a series adds to an SLO: factor times increase.
type target struct {
	slot        int32 // of the tracker
	bucket      bool  // the series is a bucket that the tracker's shape counts; it is good as much as the shape says
	good, total float64
	at          float64 // the bucket's bound
}

func compareTargets(a, b target) int {
	if a.slot != b.slot || a.bucket != b.bucket {
		return cmp.Or(cmp.Compare(a.slot, b.slot), bToInt(a.bucket)-bToInt(b.bucket))
	}
	return cmp.Compare(a.at, b.at)
}

// A targetList is shared by all series that the same terms match. The first list of a stage is empty.
type targetList struct {
	targets []target
}

// A term points at a selector of an objective, with what an increase adds.
type term struct {
	slot        int32
	good, total float64
	selector    *bus.Selector
	cut         *Cut // nil: it counts whole series
	buckets     bool // it selects all buckets of a histogram
}

// index builds the matcher's index anew.
func (s *Stage) index() {
	var terms []term
	for _, t := range s.order {
		if t.rollUp != nil || t.o.Composite != nil || t.o.Unread != nil {
			continue // what matches the roll-up counts in its groups; a composite has members
		}
		terms = append(terms, t.terms()...)
	}
	s.terms = bus.NewSelectorIndex(terms, func(t *term) bus.Selector { return *t.selector })
}

// terms returns what the objective's selectors count.
func (t *tracker) terms() []term {
	var out []term
	sli := &t.o.SLI
	add := func(of *Term, good, total float64, buckets bool) {
		tm := term{slot: t.slot, good: good, total: total, selector: &of.Selector, buckets: buckets}
		if of.AtMost != nil {
			tm.cut = NewCut(*of.AtMost)
		}
		if _, ok := sli.interpolated(of); ok && total == 0 {
			all, _ := withoutBound(of.Selector) // it was valid with the condition, too
			tm.selector, tm.buckets = &all, true
		}
		out = append(out, tm)
	}
	sum := func(e *Expr, good, total float64) {
		for i := range e.Terms {
			f := e.Terms[i].Factor.Float()
			add(&e.Terms[i], good*f, total*f, false)
		}
	}
	for _, of := range t.o.BucketTerms() {
		add(&of, 0, 0, true)
	}
	switch {
	case sli.Gauge != nil:
		add(&Term{Selector: sli.Gauge.Selector}, 0, 0, false)
	case sli.Bad != nil:
		sum(&sli.Total, 1, 1)
		sum(sli.Bad, -1, 0)
	default:
		sum(&sli.Total, 0, 1)
		sum(sli.Good, 1, 0)
	}
	return out
}

// announce binds a ref of a writer to its series, which it makes or matches again when definitions have changed since.
func (s *Stage) announce(w *writer, a *bus.Announcement) {
	id, labels := a.ID, a.Labels
	if labels.Get("__replica__") != "" {
		kept := slices.DeleteFunc(slices.Clone(labels), func(l bus.Label) bool { return l.Name == "__replica__" })
		id, labels = bus.IdentifySeries(a.GlobalNamespace, kept), kept
	}
	minute := uint32(s.now / bus.Minute)
	i, known := s.byID[id]
	if known && s.series[i].matched == s.defined && a.Flags&bus.SeriesRefused == 0 {
		s.series[i].seen = minute
		s.join(&s.series[i], a, labels)
		w.set(s, a.Ref, i+refSeries)
		return
	}
	if a.Flags&bus.SeriesBeside != 0 {
		s.beside(a.GlobalNamespace, labels)
		return
	}
	if a.Flags&bus.SeriesRefused != 0 {
		s.refused(a.GlobalNamespace, labels)
		return
	}
	targets := s.match(a.GlobalNamespace, labels, known, i)
	switch {
	case len(targets) == 0 && !known:
		w.set(s, a.Ref, refIrrelevant)
		return
	case !known:
		i = s.newSeries(id)
	}
	se := &s.series[i]
	if known {
		s.countSeries(se.list, -1)
	}
	se.list = s.intern(targets)
	s.countSeries(se.list, 1)
	se.matched, se.seen = s.defined, minute
	se.flags = se.flags&^(seriesDelta|seriesGauge|seriesValue|seriesOnlyValue) | uint8(a.Flags)&(seriesDelta|seriesGauge) | s.valueFlags(se.list)
	s.join(se, a, labels)
	w.set(s, a.Ref, i+refSeries)
}

// refused marks the SLOs that would count a series which ingest has refused.
func (s *Stage) refused(gns string, labels bus.Labels) {
	for _, t := range s.find(gns, labels) {
		s.full(t, labels)
	}
}

// match returns what the series feeds, by slot. SLOs that are full are left out and marked.
func (s *Stage) match(gns string, labels bus.Labels, known bool, i uint32) []target {
	found := s.find(gns, labels)
	full := !known && len(s.byID) >= s.MaxSeries
	found = slices.DeleteFunc(found, func(t target) bool {
		tr := s.trackers[t.slot]
		if known && s.feeds(s.series[i].list, t) || !full && tr.matched(t) < s.MaxSeriesPerSLO {
			return false
		}
		s.full(t, labels)
		return true
	})
	return s.withGroups(found, labels)
}

// matched returns how many series feed a tracker in the way of the target.
func (t *tracker) matched(tg target) int {
	if tg.bucket && t.shape != nil {
		return t.shape.series
	}
	return t.series
}

// full marks what has to do without a series that was refused: figures that decide nothing, or an SLO.
func (s *Stage) full(tg target, labels bus.Labels) {
	if t := s.trackers[tg.slot]; tg.bucket && tg.good == 0 && t.shape != nil {
		t.shape.limitAt = s.now
	} else {
		s.limit(t, labels)
	}
}

// find returns what terms count a series with these labels, by slot.
func (s *Stage) find(gns string, labels bus.Labels) []target {
	s.found = s.found[:0]
	atMost := labels.Get(LabelAtMost)
	s.terms.Candidates(labels, func(tm *term) {
		tr := s.trackers[tm.slot]
		if gns != "" && gns != tr.o.GlobalNamespace || !tm.selector.Matches(labels) {
			return
		}
		if len(tr.bounds) > 0 {
			tr.meet(labels)
		}
		if tg, ok := tm.target(atMost, labels); ok {
			s.found = addTarget(s.found, tg)
		}
	})
	slices.SortFunc(s.found, compareTargets)
	return s.found
}

// target returns what a series that the term selects adds; false where it is another part of a histogram.
func (tm *term) target(atMost string, labels bus.Labels) (target, bool) {
	tg := target{slot: tm.slot, bucket: tm.buckets, good: tm.good, total: tm.total}
	if (tm.cut != nil || atMost != "") && (tm.cut == nil || tm.cut.Text != atMost) {
		return tg, false
	}
	var ok bool
	switch {
	case tm.buckets && tm.cut != nil:
		tg.at, ok = gridBound(labels.Get(LabelPart))
	case tm.buckets:
		v, err := strconv.ParseFloat(labels.Get(LabelBound), 64)
		tg.at, ok = v, err == nil && !math.IsNaN(v)
	case tm.cut != nil:
		var f float64
		f, ok = tm.cut.factor(labels.Get(LabelPart))
		tg.good, tg.total = tg.good*f, tg.total*f
		ok = ok && (f != 0 || tm.total != 0)
	default:
		ok = true
	}
	return tg, ok
}

func addTarget(ts []target, tg target) []target {
	for i := range ts {
		if compareTargets(ts[i], tg) == 0 {
			ts[i].good += tg.good
			ts[i].total += tg.total
			return ts
		}
	}
	return append(ts, tg)
}

func (s *Stage) feeds(list uint32, tg target) bool {
	return slices.ContainsFunc(s.lists[list].targets, func(t target) bool { return compareTargets(t, tg) == 0 })
}

func (s *Stage) countSeries(list uint32, n int) {
	for _, t := range s.lists[list].targets {
		tr := s.trackers[t.slot]
		if t.bucket {
			if tr.shape != nil {
				tr.shape.count(t.at, n, s.now, s.closed)
			}
			continue
		}
		tr.series += n
		if tr.rollUp != nil {
			tr.rollUp.grouped += n
		}
	}
}

func listKey(ts []target) string {
	var b []byte
	for _, t := range ts {
		b = binary.LittleEndian.AppendUint32(b, uint32(t.slot))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(t.good))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(t.total))
		if t.bucket {
			b = append(binary.LittleEndian.AppendUint64(b, math.Float64bits(t.at)), 'b')
		}
	}
	return string(b)
}

// intern returns the list with these targets.
func (s *Stage) intern(ts []target) uint32 {
	key := listKey(ts)
	if i, ok := s.listIndex[key]; ok {
		return i
	}
	i := uint32(len(s.lists))
	s.lists = append(s.lists, targetList{targets: slices.Clone(ts)})
	s.listIndex[key] = i
	return i
}

// dropSlots takes SLOs out of all target lists.
func (s *Stage) dropSlots(slots ...int32) {
	gone := make([]bool, len(s.trackers))
	for _, slot := range slots {
		gone[slot] = true
	}
	s.dropTargets(func(t target) bool { return gone[t.slot] })
}

// reshape begins or ends the counts beside an objective. Its series are matched again at their next announcement.
func (s *Stage) reshape(t *tracker) {
	s.dropTargets(func(tg target) bool { return tg.slot == t.slot && tg.bucket })
	if t.shape = newShape(&t.o); t.shape != nil {
		t.shape.late = true
	}
	s.defined++
}

func (s *Stage) dropTargets(isGone func(target) bool) {
	if !slices.ContainsFunc(s.lists, func(l targetList) bool { return slices.ContainsFunc(l.targets, isGone) }) {
		return
	}
	clear(s.listIndex)
	s.listIndex[""] = 0
	for i := range s.lists {
		l := &s.lists[i]
		l.targets = slices.DeleteFunc(l.targets, isGone)
		key := listKey(l.targets)
		if _, ok := s.listIndex[key]; !ok {
			s.listIndex[key] = uint32(i)
		}
	}
}

func (s *Stage) newSeries(id bus.SeriesID) uint32 {
	var i uint32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		i = uint32(len(s.series))
		s.series = append(s.series, series{})
		s.ids = append(s.ids, bus.SeriesID{})
	}
	s.series[i] = series{used: true}
	s.ids[i] = id
	s.byID[id] = i
	return i
}

// forget drops a series; [Stage.cutRefs] then binds refs that lead to it to the given value.
func (s *Stage) forget(i, ref uint32) {
	se := &s.series[i]
	s.countSeries(se.list, -1)
	if se.shadow > 0 {
		s.shadows[se.shadow-1] = shadow{}
		s.freeShadows = append(s.freeShadows, se.shadow-1)
	}
	s.leave(se)
	delete(s.handovers, i)
	delete(s.byID, s.ids[i])
	*se = series{matched: ref}
	s.dropped = append(s.dropped, i)
}

// sweep forgets series, writers and sources that were silent for long, and lists that nothing feeds.
func (s *Stage) sweep() {
	for i := range s.series {
		se := &s.series[i]
		if !se.used {
			continue
		}
		switch {
		case s.now-se.t > seriesExpiry && s.now-bus.Time(se.seen)*bus.Minute > seriesExpiry:
			s.forget(uint32(i), refUnknown)
		case len(s.lists[se.list].targets) == 0:
			s.forget(uint32(i), refIrrelevant)
		}
	}
	s.sweepGroups()
	s.sweepWriters()
	s.sweepSources()
	s.cutRefs()
	s.compactLists()
}

// compactLists renumbers the target lists once most of them feed nothing.
func (s *Stage) compactLists() {
	if len(s.lists) < 64 || len(s.lists) < 4*len(s.listIndex) {
		return
	}
	lists, renumbered := s.lists, map[uint32]uint32{}
	s.lists = []targetList{{}}
	clear(s.listIndex)
	s.listIndex[""] = 0
	for i := range s.series {
		se := &s.series[i]
		if !se.used {
			continue
		}
		n, ok := renumbered[se.list]
		if !ok {
			n = s.intern(lists[se.list].targets)
			renumbered[se.list] = n
		}
		se.list = n
	}
}
