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

// rules are selectors, found by the metric's name and then by one more equality that tells them apart best.
type rules struct {
	byName map[string]*group
}

type group struct {
	byPair map[bus.Label][]*rule
	rest   []*rule // without an equality on another label than the name
}

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
	var all []*rule
	for i := range objectives {
		o := &objectives[i]
		p := bus.Partition(o.GlobalNamespace, o.Service, partitions)
		seen := map[string]bool{}
		for _, t := range o.Terms() {
			r := &rule{selector: t.Selector, partition: p}
			text := t.Selector.String()
			if t.AtMost != nil {
				r.cut = slo.NewCut(*t.AtMost)
				text += r.cut.Text
				x.cuts = true
			}
			if seen[text] {
				continue
			}
			seen[text] = true
			digest(sum, p, o.GlobalNamespace, text)
			x.addBound(o.GlobalNamespace, p, t)
			bySpace[o.GlobalNamespace] = append(bySpace[o.GlobalNamespace], r)
			all = append(all, r)
		}
	}
	for ns, rs := range bySpace {
		x.spaces[ns] = newRules(rs)
	}
	x.all = newRules(all)
	x.digest = sum.Sum64()
	return x
}

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

func newRules(rs []*rule) *rules {
	byName := map[string][]*rule{}
	for _, r := range rs {
		n := r.selector.MetricName() // "": none or an expression
		byName[n] = append(byName[n], r)
	}
	out := &rules{byName: make(map[string]*group, len(byName))}
	for n, rs := range byName {
		out.byName[n] = newGroup(rs)
	}
	return out
}

func newGroup(rs []*rule) *group {
	count := map[bus.Label]int{}
	for _, r := range rs {
		for _, m := range r.selector.Matchers() {
			if pairs(m) {
				count[bus.Label{Name: m.Name, Value: m.Value}]++
			}
		}
	}
	g := &group{byPair: map[bus.Label][]*rule{}}
	for _, r := range rs {
		var best bus.Label
		for _, m := range r.selector.Matchers() {
			l := bus.Label{Name: m.Name, Value: m.Value}
			if pairs(m) && (best.Name == "" || count[l] < count[best]) {
				best = l
			}
		}
		if best.Name == "" {
			g.rest = append(g.rest, r)
		} else {
			g.byPair[best] = append(g.byPair[best], r)
		}
	}
	return g
}

// pairs reports whether a series that the matcher selects must have that very label.
func pairs(m bus.Matcher) bool {
	return m.Type == bus.MatchEqual && m.Value != "" && m.Name != "__name__"
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
	hits = rs.byName[ls.Get("__name__")].match(ls, hits)
	hits = rs.byName[""].match(ls, hits)
	var mask uint64
	for _, r := range hits[before:] {
		mask |= 1 << r.partition
	}
	return mask, hits
}

func (g *group) match(ls bus.Labels, hits []*rule) []*rule {
	if g == nil {
		return hits
	}
	atMost := ls.Get(slo.LabelAtMost)
	for _, r := range g.rest {
		if r.cutBy(atMost) && r.selector.Matches(ls) {
			hits = append(hits, r)
		}
	}
	for _, l := range ls {
		for _, r := range g.byPair[l] {
			if r.cutBy(atMost) && r.selector.Matches(ls) {
				hits = append(hits, r)
			}
		}
	}
	return hits
}

// cutBy reports whether the rule is about parts of histograms that were cut there; "" stands for series that are none, and for a
// histogram itself.
func (r *rule) cutBy(atMost string) bool {
	return atMost == "" || r.cut != nil && r.cut.Text == atMost
}
