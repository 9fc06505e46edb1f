package slo

import (
	"fmt"
	"slices"
	"sync"

	"evenkeel.dev/bus"
)

// DefaultViewSize is how many SLOs a [View] holds unless told otherwise.
const DefaultViewSize = 200_000

// maxPartitions bounds the partitions that a view hears of; a log has 16 by default.
const maxPartitions = 4096

// A View is the picture of all SLOs that a process without their stages has, from status frames. It is safe for several goroutines
// and holds at most the number of SLOs it was made for.
type View struct {
	mu      sync.RWMutex
	max     int
	now     bus.Time
	items   map[StatusKey]*viewItem
	rounds  map[int]*round // by partition
	refused uint64
}

type viewItem struct {
	status    Status
	counted   Events
	at        bus.Time
	partition int
	round     uint64
}

// A round is the full picture of a partition that is being told.
type round struct {
	number uint64
	next   int // part that is expected
	whole  bool
}

// An Item is one SLO of a [View].
type Item struct {
	Status
	// Lag is how far AsOf is behind the newest time that the view has seen of the log, in milliseconds. A partition that stands
	// still tells nothing new, and its lag grows.
	Lag bus.Time `json:"-"`
	// Age is how long ago, in the log's time, the SLO was last told; frames come every ten seconds.
	Age bus.Time `json:"-"`
	// Counted is what the ledger has told of the SLO since the view first knew of it; it never falls: what is taken out later stays.
	Counted Events `json:"-"`
}

// NewView returns an empty view of at most max SLOs (0: DefaultViewSize).
func NewView(max int) *View {
	if max <= 0 {
		max = DefaultViewSize
	}
	return &View{max: max, items: map[StatusKey]*viewItem{}, rounds: map[int]*round{}}
}

// Apply takes a status frame (see [SubjectStatusFrame]) or one of the ledger; any other record moves the view's time and nothing else. It
// needs Time, Subject and Data of the record only. A frame that cannot be read is an error and changes nothing.
func (v *View) Apply(r *bus.Record) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = max(v.now, r.Time)
	switch {
	case r.Is(SubjectLedgerFrame):
		return v.count(r)
	case !r.Is(SubjectStatusFrame):
		return nil
	}
	f, err := DecodeStatusFrame(r.Data)
	if err != nil {
		return fmt.Errorf("view: record %d: %w", r.Seq, err)
	}
	if f.Partition >= maxPartitions {
		return fmt.Errorf("view: record %d: partition %d is beyond %d", r.Seq, f.Partition, maxPartitions)
	}
	rd := v.rounds[f.Partition]
	if rd == nil {
		rd = &round{}
		v.rounds[f.Partition] = rd
	}
	if f.Parts > 0 && f.Part == 0 {
		rd.number++
		rd.next, rd.whole = 0, true
	}
	for i := range f.Statuses {
		v.put(f, &f.Statuses[i], rd)
	}
	for _, k := range f.Removed {
		if it := v.items[k]; it != nil && it.partition == f.Partition {
			delete(v.items, k)
		}
	}
	if f.Parts > 0 {
		rd.whole = rd.whole && f.Part == rd.next
		rd.next++
		if rd.whole && rd.next == f.Parts {
			v.dropOld(f.Partition, rd.number)
		}
	}
	return nil
}

// count adds a minute of the ledger to the SLOs that are known.
func (v *View) count(r *bus.Record) error {
	f, err := DecodeLedgerFrame(r.Data)
	if err != nil {
		return fmt.Errorf("view: record %d: %w", r.Seq, err)
	}
	for i := range f.Entries {
		e := &f.Entries[i]
		if it := v.items[e.StatusKey]; it != nil {
			good, total := e.Good+e.LateGood, e.Total+e.LateTotal
			it.counted.Good += max(0, good)
			it.counted.Total += max(0, good) + max(0, total-good)
		}
	}
	return nil
}

func (v *View) put(f *StatusFrame, st *Status, rd *round) {
	k := st.Key()
	it := v.items[k]
	if it == nil {
		if len(v.items) >= v.max {
			v.refused++
			return
		}
		it = &viewItem{}
		v.items[k] = it
	}
	*it = viewItem{status: *st, counted: it.counted, at: f.At, partition: f.Partition, round: rd.number}
}

// dropOld drops what a full picture no longer holds.
func (v *View) dropOld(partition int, number uint64) {
	for k, it := range v.items { // each is judged alone
		if it.partition == partition && it.round != number {
			delete(v.items, k)
		}
	}
}

// List returns all SLOs, sorted by global namespace, service and name.
func (v *View) List() []Item {
	v.mu.RLock()
	defer v.mu.RUnlock()
	out := make([]Item, 0, len(v.items))
	for _, it := range v.items {
		out = append(out, v.item(it))
	}
	slices.SortFunc(out, func(a, b Item) int {
		return compareStatusKeys(a.Key(), b.Key())
	})
	return out
}

// Get returns one SLO.
func (v *View) Get(globalNamespace, service, name string) (Item, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	it := v.items[StatusKey{globalNamespace, service, name}]
	if it == nil {
		return Item{}, false
	}
	return v.item(it), true
}

// Refused returns how often an SLO was not taken since the view was full.
func (v *View) Refused() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.refused
}

func (v *View) item(it *viewItem) Item {
	return Item{Status: it.status, Lag: max(0, v.now-it.status.AsOf.Time()), Age: max(0, v.now-it.at), Counted: it.counted}
}
