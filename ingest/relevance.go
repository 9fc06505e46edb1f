package ingest

import (
	"encoding/binary"
	"hash"
	"hash/fnv"
	"sync/atomic"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// An index answers which partitions need a series: those of the objectives one of whose selectors matches it. A series stamped
// with a global namespace counts for objectives of that one only; one that is not stamped counts for all.
type index struct {
	spaces map[string]*rules // by global namespace
	all    *rules
	digest uint64 // of everything that a match depends on
	cuts   bool   // some objective looks into native histograms
	beside map[string][]*bound
}

// rules are selectors, found by the labels they ask for.
type rules = bus.SelectorIndex[*rule]

type rule struct {
	selector  bus.Selector
	partition int
	cut       *slo.Cut     // of native histograms: where they are cut; nil for series as they stand
	told      atomic.Int64 // bus.Time when it was last told that series of it are refused
}

func newIndex(objectives []slo.Objective, partitions int) *index {
	x := &index{spaces: map[string]*rules{}, beside: map[string][]*bound{}}
	sum := fnv.New64a()
	bySpace := map[string][]*rule{}
	var every []*rule
	for i := range objectives {
		o := &objectives[i]
		p := bus.Partition(o.GlobalNamespace, o.Service, partitions)
		seen := map[string]bool{}
		add := func(t slo.Term, grid bool) {
			r, text := newRule(t, p, grid)
			if seen[text] {
				return
			}
			seen[text] = true
			digest(sum, p, o.GlobalNamespace, text)
			x.cuts = x.cuts || r.cut != nil
			if !o.SLI.Interpolate { // else its neighbours will do
				x.addBound(o.GlobalNamespace, p, t)
			}
			bySpace[o.GlobalNamespace] = append(bySpace[o.GlobalNamespace], r)
			every = append(every, r)
		}
		for _, t := range o.Terms() {
			add(t, false)
		}
		for _, t := range o.BucketTerms() {
			add(t, true)
		}
	}
	for ns, rs := range bySpace {
		x.spaces[ns] = bus.NewSelectorIndex(rs, selectorOf)
	}
	x.all = bus.NewSelectorIndex(every, selectorOf)
	x.digest = sum.Sum64()
	return x
}

// newRule returns the rule of a term, with a text that tells it from others; grid: of a native histogram, for percentiles too.
func newRule(t slo.Term, partition int, grid bool) (*rule, string) {
	r := &rule{selector: t.Selector, partition: partition}
	text := t.Selector.String()
	if t.AtMost != nil {
		r.cut = slo.NewCut(*t.AtMost)
		r.cut.Grid = grid
		text += r.cut.Text
		if grid {
			text += " grid"
		}
	}
	return r, text
}

func selectorOf(r **rule) bus.Selector { return (*r).selector }

func digest(h hash.Hash, partition int, texts ...string) {
	var n [8]byte
	put := func(v int) {
		binary.LittleEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	put(partition)
	for _, s := range texts {
		put(len(s))
		h.Write([]byte(s))
	}
}

// match returns the set of partitions that need the series, and appends the rules that say so to hits.
func (x *index) match(space string, ls bus.Labels, hits []*rule) (uint64, []*rule) {
	rs := x.all
	if space != "" {
		rs = x.spaces[space]
	}
	if rs == nil {
		return 0, hits
	}
	before := len(hits)
	atMost := ls.Get(slo.LabelAtMost)
	rs.Candidates(ls, func(r **rule) {
		if (*r).cutBy(atMost) && (*r).selector.Matches(ls) {
			hits = append(hits, *r)
		}
	})
	var mask uint64
	for _, r := range hits[before:] {
		mask |= 1 << r.partition
	}
	return mask, hits
}

// cutBy reports whether the rule is about parts of histograms that were cut there; "" stands for series that are none, and for a
// histogram itself.
func (r *rule) cutBy(atMost string) bool {
	return atMost == "" || r.cut != nil && r.cut.Text == atMost
}
