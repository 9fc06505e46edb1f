package ingest

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A HistogramRef is a native histogram as a [Gate] knows it. That of a histogram whose buckets nobody needs is the zero one.
type HistogramRef struct{ of *histogram }

// Wanted reports whether some definition looks into the histogram.
func (r HistogramRef) Wanted() bool { return r.of != nil }

// SamplesMax returns how many samples [Arrival.AddHistogram] makes of one sample of the histogram at most.
func (r HistogramRef) SamplesMax() int {
	if r.of == nil {
		return 0
	}
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	n := 0
	for _, c := range r.of.cuts {
		n += 2 * (slo.FinestSchema - slo.CoarsestSchema + 1)
		if c.Grid {
			n += slo.GridMax
		}
	}
	return n
}

// A histogram is one that some definition looks into, as one sender encodes it. Its last sample is kept, since a histogram begins anew as
// a whole while its parts are counted as series of their own: what has grown past its old value meanwhile could not tell. After a
// restart of the process the first sample has nothing to be compared with; then each part must tell for itself.
type histogram struct {
	used atomic.Uint32 // minute

	mu    sync.Mutex
	gen   uint32     // view for which cuts were found
	cuts  []*slo.Cut // never changed, only replaced
	last  slo.Histogram
	t     bus.Time // of last
	start bus.Time // when it began anew last; 0: not known
	other bool     // its parts are other series than before, and hold what was counted by those already
}

const (
	histogramShards = 64
	// maxCuts bounds the thresholds of one histogram; each is up to 26 series, and 32 more where percentiles are asked for.
	maxCuts = 16
	// longAgo is the start of a series of which nothing is known but that it is old: a first value of it counts nothing.
	longAgo bus.Time = 1
)

// histograms are the histograms that are looked into, by hash. A histogram takes up to 5 KiB beside its series.
type histograms struct {
	known  atomic.Int64
	shards [histogramShards]struct {
		mu sync.RWMutex
		of map[Hash]*histogram
	}
}

func (hs *histograms) find(h Hash) *histogram {
	if hs.known.Load() == 0 {
		return nil
	}
	sh := &hs.shards[h.A>>58]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.of[h]
}

// add returns the histogram, made if need be, or nil when there are as many as there may be.
func (hs *histograms) add(h Hash, most int) *histogram {
	sh := &hs.shards[h.A>>58]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if k := sh.of[h]; k != nil {
		return k
	}
	if hs.known.Add(1) > int64(most) {
		hs.known.Add(-1)
		return nil
	}
	if sh.of == nil {
		sh.of = map[Hash]*histogram{}
	}
	k := &histogram{}
	sh.of[h] = k
	return k
}

// sweep forgets the histograms of one shard that were used before the minute.
func (hs *histograms) sweep(shard int, before uint32) {
	if hs.known.Load() == 0 {
		return
	}
	sh := &hs.shards[shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for h, k := range sh.of {
		if int32(k.used.Load()-before) < 0 {
			delete(sh.of, h)
			hs.known.Add(-1)
		}
	}
}

// HistogramHash looks up a native histogram by the hash of what its sender encodes it with, and of nothing else that is hashed. It
// returns false for one that is to be shown to [Arrival.LearnHistogram].
func (a *Arrival) HistogramHash(h Hash) (HistogramRef, bool) {
	v := a.view
	if !v.index.cuts || a.sender.over {
		return HistogramRef{}, true
	}
	h = h.with(a.sender.salt)
	if k := a.gate.histograms.find(h); k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		if int32(k.gen-v.gen) >= 0 {
			k.used.Store(a.minute)
			return HistogramRef{k}, true
		}
	}
	return HistogramRef{}, v.filter.has(h)
}

// LearnHistogram takes a native histogram at first sight. Its labels have the name with [slo.NativeSuffix]; they are not kept. An
// error says why it is refused: its buckets are not counted, and what would count them is told.
func (a *Arrival) LearnHistogram(h Hash, ls bus.Labels, flags uint64) (HistogramRef, error) {
	g, v := a.gate, a.view
	h = h.with(a.sender.salt)
	ls, c, problem := a.canonical(ls[:len(ls):len(ls)])
	if problem != nil {
		return HistogramRef{}, problem
	}
	mask, hits := v.index.match(c.namespace, ls, a.hits[:0])
	a.hits = hits[:0]
	var cuts []*slo.Cut
	for _, r := range hits {
		if r.cut == nil {
			continue
		}
		if i := slices.IndexFunc(cuts, func(c *slo.Cut) bool { return c.Text == r.cut.Text }); i < 0 {
			cuts = append(cuts, r.cut)
		} else if r.cut.Grid {
			cuts[i] = r.cut
		}
	}
	if len(cuts) == 0 {
		a.ignore(h)
		return HistogramRef{}, nil
	}
	k := (*histogram)(nil)
	if len(cuts) <= maxCuts {
		k = g.histograms.add(h, g.limits.Histograms)
	}
	if k == nil {
		a.tellCuts(mask, c.namespace, flags, ls, cuts, hits)
		if len(cuts) > maxCuts {
			return HistogramRef{}, seriesError(SeriesLimit, slo.LabelAtMost, len(cuts), maxCuts)
		}
		return HistogramRef{}, seriesError(SeriesLimit, "", g.limits.Histograms+1, g.limits.Histograms)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gen == 0 || int32(k.gen-v.gen) < 0 {
		k.gen, k.cuts = v.gen, cuts
	}
	k.used.Store(a.minute)
	return HistogramRef{k}, nil
}

// tellCuts notes, for the next frame, that the buckets of a histogram are needed and refused, for each threshold.
func (a *Arrival) tellCuts(mask uint64, space string, flags uint64, ls bus.Labels, cuts []*slo.Cut, hits []*rule) {
	for _, c := range cuts {
		of := slices.DeleteFunc(slices.Clone(hits), func(r *rule) bool { return r.cut == nil || r.cut.Text != c.Text })
		part := append(slices.Clone(ls), bus.Label{Name: slo.LabelAtMost, Value: c.Text}, bus.Label{Name: slo.LabelPart, Value: slo.EveryPart()[0].Text()})
		a.scratch = part.Sort().Append(a.scratch[:0])
		a.tell(mask, space, flags, of)
	}
}

// observe compares a cumulative sample with the one before and returns the starts of the histogram and of its parts.
func (k *histogram) observe(t, start bus.Time, h *slo.Histogram) (whole, parts bus.Time, cuts []*slo.Cut) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t > k.t {
		switch {
		case k.t == 0:
		case start > k.t:
			k.start, k.other = start, false
		case h.RestartedAfter(&k.last):
			// After the last sample, whatever the sender knows of it; and not later, since another process may have taken a sample
			// of the new life already, which must not be counted again.
			k.start, k.other = k.t+1, false
		case slices.ContainsFunc(k.cuts, func(c *slo.Cut) bool { return c.Base(h) != c.Base(&k.last) || c.Regrids(h, &k.last) }):
			k.other = true
		}
		k.last.CopyFrom(h)
		k.t = t
	}
	whole = start
	if k.start <= t {
		whole = max(start, k.start)
	}
	if k.other {
		return whole, longAgo, k.cuts
	}
	return whole, whole, k.cuts
}

// AddHistogram takes the parts of one sample of a histogram that is wanted. Its series have hashes made from h; learn makes one known, as
// LearnHash does, with these labels beside those of the histogram and the suffix [slo.NativeSuffix]. It returns the start
// timestamp with which the histogram's count and sum are to be added, so that all begin anew together. A nil histogram is one that
// has ended.
func (a *Arrival) AddHistogram(r HistogramRef, h Hash, t, start bus.Time, flags uint64, of *slo.Histogram, learn func(Hash, bus.Labels) (Ref, error)) (bus.Time, error) {
	k := r.of
	k.mu.Lock()
	cuts := k.cuts
	var last *slo.Histogram
	if of == nil && k.t > 0 {
		last = &slo.Histogram{}
		last.CopyFrom(&k.last)
	}
	k.mu.Unlock()
	parts := start
	valid := t <= a.now+a.gate.limits.Ahead && t >= a.now-a.gate.limits.Horizon
	if valid && of != nil && flags&(bus.SeriesDelta|bus.SeriesGauge) == 0 {
		start, parts, cuts = k.observe(t, start, of)
	}
	var failed error
	refused := false
	for _, c := range cuts {
		at := math.Float64bits(c.At)
		base := h.Join(Hash{at, at})
		add := func(p slo.Part, v float64) {
			if refused {
				return // one of its samples counts as refused for all
			}
			x, y := p.ID()
			hash := base.Join(Hash{x, x}).Join(Hash{y, y})
			ref, known := a.RefHash(hash)
			if !known {
				var err error
				ref, err = learn(hash, bus.Labels{{Name: slo.LabelAtMost, Value: c.Text}, {Name: slo.LabelPart, Value: p.Text()}})
				if err != nil && failed == nil {
					failed = err
				}
			}
			a.Add(ref, t, parts, v)
			refused = !valid || ref.why != 0
		}
		stale := math.Float64frombits(StaleMarker)
		switch {
		case of != nil:
			c.Parts(of, add)
		case last != nil:
			c.Parts(last, func(p slo.Part, _ float64) { add(p, stale) })
		default:
			for _, p := range slo.EveryPart() {
				add(p, stale)
			}
		}
	}
	return start, failed
}
