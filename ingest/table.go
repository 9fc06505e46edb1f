package ingest

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"evenkeel.dev/bus"
)

// A series is one that some definition needs or that is watched, as one sender encodes it. It fills one cache line.
type series struct {
	mask   atomic.Uint64 // partitions that need it; 0 from the first to the last of one that is only watched
	labels string        // as bus.Labels.Append encodes them
	source *source
	space  *usage // of its global namespace, whose name it bears; nil of one that is only watched
	marks  uint32 // flags of the series, and above them the number under which a Watcher has it

	// guarded by the flush
	ref       uint32 // of the writer of round toldRound
	toldRound uint32 // round (writer and catalogue revision) in which it was announced; 0: never
	tellAgain uint32 // when it is to be announced again, in seconds
	toldMask  uint64 // partitions that were told
}

// flags are the flags that the series was learned with.
func (s *series) flags() uint64 { return uint64(s.marks & flagBits) }

// watch is the number under which a [Watcher] has the series; 0: it is not watched.
func (s *series) watch() uint32 { return s.marks >> watchShift }

const (
	watchShift = 8
	flagBits   = 1<<watchShift - 1
	watchMax   = 1<<(32-watchShift) - 1
)

// copies is how many partitions a sample of the series is written to.
func (s *series) copies() int { return bits.OnesCount64(s.mask.Load()) }

// announceBytes is what announcing the series in one partition takes at most.
func (s *series) announceBytes() int { return len(s.labels) + len(s.space.name) + 16 }

// sampleBytes is what one sample takes in a frame at most: value 8, ref 5, time 5 and start 6 bytes.
const sampleBytes = 24

// A table finds kept series by hash. Readers take no lock: an entry's hash stands before its series appears, and does not change
// while the series is there. Writers lock one of its shards.
type table struct {
	shards [tableShards]shard
	gone   *series // marks an entry whose series was forgotten
}

const tableShards = 256

type shard struct {
	mu      sync.Mutex
	entries atomic.Pointer[[]entry] // a power of two
	filled  int                     // entries that are not empty
	_       [40]byte                // shards do not share cache lines
}

// An entry is half a cache line.
type entry struct {
	a, b   atomic.Uint64
	series atomic.Pointer[series] // nil: empty
	gen    atomic.Uint32          // view that it was matched under
	used   atomic.Uint32          // minute
}

func newTable() *table { return &table{gone: new(series)} }

func (t *table) shard(h Hash) *shard { return &t.shards[h.A>>56] }

// find returns the series if it was matched under the view gen or a later one.
func (t *table) find(h Hash, gen, minute uint32) *series {
	p := t.shard(h).entries.Load()
	if p == nil {
		return nil
	}
	es := *p
	for i := h.B; ; i++ {
		e := &es[i&uint64(len(es)-1)]
		s := e.series.Load()
		if s == nil {
			return nil
		}
		if e.a.Load() != h.A || e.b.Load() != h.B || s == t.gone {
			continue
		}
		if int32(e.gen.Load()-gen) < 0 {
			return nil
		}
		if e.used.Load() != minute {
			e.used.Store(minute)
		}
		return s
	}
}

// touch reads the memory where h would stand, in the table or else in the filter.
func (v *view) touch(h Hash) uint64 {
	if p := v.table.shard(h).entries.Load(); p != nil {
		es := *p
		if a := es[h.B&uint64(len(es)-1)].a.Load(); a == h.A {
			return a
		}
	}
	return v.filter.lines[h.B&uint64(len(v.filter.lines)-1)][0].Load()
}

// touchSeries reads the memory of the series that probably is h.
func (t *table) touchSeries(h Hash) uint64 {
	if p := t.shard(h).entries.Load(); p != nil {
		es := *p
		if e := &es[h.B&uint64(len(es)-1)]; e.a.Load() == h.A {
			if s := e.series.Load(); s != nil {
				return s.mask.Load()
			}
		}
	}
	return 0
}

// locate returns the entry of h, or the empty one where it would stand; the shard is locked and has an empty entry.
func (sh *shard) locate(h Hash, gone *series) *entry {
	es := *sh.entries.Load()
	for i := h.B; ; i++ {
		e := &es[i&uint64(len(es)-1)]
		s := e.series.Load()
		if s == nil || s != gone && e.a.Load() == h.A && e.b.Load() == h.B {
			return e
		}
	}
}

// rematch gives a known series the partitions that need it under the view gen. It returns nil where h is not known, or where it was needed and is now only
// watched, or the other way round: then another one takes its place.
func (t *table) rematch(h Hash, gen uint32, mask uint64) *series {
	sh := t.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.entries.Load() == nil {
		return nil
	}
	e := sh.locate(h, t.gone)
	s := e.series.Load()
	if s != nil && int32(e.gen.Load()-gen) < 0 {
		if (s.mask.Load() == 0) != (mask == 0) {
			return nil
		}
		s.mask.Store(mask)
		e.gen.Store(gen)
	}
	return s
}

// add makes h known as s, unless another has done so meanwhile; it returns the one that stands and whether that is s.
func (t *table) add(h Hash, gen, minute uint32, s *series) (*series, bool) {
	sh := t.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if p := sh.entries.Load(); p == nil || sh.filled >= len(*p)/4*3 {
		t.rebuild(sh, func(*entry) bool { return true })
	}
	e := sh.locate(h, t.gone)
	if old := e.series.Load(); old != nil {
		return old, false
	}
	e.a.Store(h.A)
	e.b.Store(h.B)
	e.gen.Store(gen)
	e.used.Store(minute)
	e.series.Store(s)
	sh.filled++
	return s, true
}

// remove forgets h if it was matched under a view before gen, and returns the series that stood there, or nil.
func (t *table) remove(h Hash, gen uint32) *series {
	sh := t.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.entries.Load() == nil {
		return nil
	}
	e := sh.locate(h, t.gone)
	s := e.series.Load()
	if s == nil || int32(e.gen.Load()-gen) >= 0 {
		return nil
	}
	e.series.Store(t.gone)
	return s
}

// sweep forgets the series of one shard that were used before the minute, calling forgotten for each.
func (t *table) sweep(i int, before uint32, forgotten func(*series)) {
	sh := &t.shards[i]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.entries.Load() == nil {
		return
	}
	t.rebuild(sh, func(e *entry) bool {
		if int32(e.used.Load()-before) >= 0 {
			return true
		}
		forgotten(e.series.Load())
		return false
	})
}

// rebuild copies the entries that stay into a table of fitting size. Readers go on in the old one.
func (t *table) rebuild(sh *shard, stays func(*entry) bool) {
	var old []entry
	if p := sh.entries.Load(); p != nil {
		old = *p
	}
	kept := make([]*entry, 0, len(old))
	for i := range old {
		if s := old[i].series.Load(); s != nil && s != t.gone && stays(&old[i]) {
			kept = append(kept, &old[i])
		}
	}
	size := 16
	for size < len(kept)*2 {
		size *= 2
	}
	es := make([]entry, size)
	for _, o := range kept {
		i := o.b.Load()
		for es[i&uint64(size-1)].series.Load() != nil {
			i++
		}
		e := &es[i&uint64(size-1)]
		e.a.Store(o.a.Load())
		e.b.Store(o.b.Load())
		e.gen.Store(o.gen.Load())
		e.used.Store(o.used.Load())
		e.series.Store(o.series.Load())
	}
	sh.entries.Store(&es)
	sh.filled = len(kept)
}

// A sweeper spreads the search for unused series over time.
type sweeper struct {
	next  atomic.Int64 // bus.Time
	shard atomic.Uint32
}

// sweep forgets the unused series of the shards whose turn it is. Each has its turn four times within Limits.ForgetAfter, or at
// the next arrival.
func (g *Gate) sweep(now bus.Time) {
	every := max(g.limits.ForgetAfter/(4*tableShards), 1)
	next := g.sweeper.next.Load()
	if int64(now) < next || !g.sweeper.next.CompareAndSwap(next, int64(now+every)) {
		return
	}
	before := uint32((now - g.limits.ForgetAfter) / bus.Minute)
	for range min((int64(now)-next)/int64(every)+1, tableShards) {
		i := int(g.sweeper.shard.Add(1)) % tableShards
		g.table.sweep(i, before, func(s *series) {
			g.forget(s, 0)
			g.stats.forgotten.Add(1)
		})
		g.histograms.sweep(i%histogramShards, before)
	}
}
