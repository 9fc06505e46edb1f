package ingest

import (
	"sync/atomic"

	"evenkeel.dev/bus"
)

// Stats are the counters of a gate since it began, and its sizes now.
type Stats struct {
	Arrivals  uint64 // that succeeded
	Kept      uint64 // samples
	Filtered  uint64 // samples that no definition needs
	NotFinite uint64
	Refused   [reasonEnd]uint64 // samples, by Reason

	Learned      uint64 // series decoded and matched at first sight
	Unremembered uint64 // series that nobody needs and that the filter could not take, by a sender's bound
	Displaced    uint64 // series that gave way to others in the filter
	Forgotten    uint64 // kept series that were unused for too long

	Frames     uint64
	FrameBytes uint64
	Announced  uint64 // series announced
	Retries    uint64 // appends that ended without an answer
	Writers    uint64 // incarnations after the first
	Failed     uint64 // arrivals that failed in the log; Full of them because it was full
	Full       uint64
	Busy       uint64 // arrivals refused with ErrBusy
	OverQuota  uint64 // arrivals refused with ErrQuota

	Series  int // kept now
	Bytes   int // of their labels
	Senders int
	Waiting int // bytes that wait for the log
}

type counters struct {
	arrivals, kept, filtered, notFinite             atomic.Uint64
	refused                                         [reasonEnd]atomic.Uint64
	learned, unremembered, displaced, forgotten     atomic.Uint64
	frames, frameBytes, announced, retries, writers atomic.Uint64
	failed, full, busy, overQuota                   atomic.Uint64
}

// Stats returns the gate's counters.
func (g *Gate) Stats() Stats {
	c := &g.stats
	s := Stats{
		Arrivals: c.arrivals.Load(), Kept: c.kept.Load(), Filtered: c.filtered.Load(), NotFinite: c.notFinite.Load(),
		Learned: c.learned.Load(), Unremembered: c.unremembered.Load(), Displaced: c.displaced.Load(), Forgotten: c.forgotten.Load(),
		Frames: c.frames.Load(), FrameBytes: c.frameBytes.Load(), Announced: c.announced.Load(), Retries: c.retries.Load(),
		Writers: c.writers.Load(), Failed: c.failed.Load(), Full: c.full.Load(), Busy: c.busy.Load(), OverQuota: c.overQuota.Load(),
	}
	for i := range s.Refused {
		s.Refused[i] = c.refused[i].Load()
	}
	g.bounds.mu.Lock()
	s.Series, s.Bytes = g.bounds.all.series, g.bounds.all.bytes
	g.bounds.mu.Unlock()
	g.sendersMu.RLock()
	s.Senders = len(g.senders)
	g.sendersMu.RUnlock()
	g.mu.Lock()
	s.Waiting = g.waiting
	g.mu.Unlock()
	return s
}

// count adds an arrival that ended well.
func (g *Gate) count(a *Arrival) {
	c, o := &g.stats, &a.outcome
	c.arrivals.Add(1)
	c.kept.Add(uint64(len(a.samples)))
	c.filtered.Add(uint64(o.Filtered))
	c.notFinite.Add(uint64(o.NotFinite))
	refused := 0
	for i, n := range o.Refused {
		if n > 0 {
			refused += n
			c.refused[i].Add(uint64(n))
		}
	}
	s := a.sender
	s.kept.Add(uint64(len(a.samples)))
	s.dropped.Add(uint64(o.Filtered))
	s.refused.Add(uint64(refused))
	newest := noTime
	for _, src := range a.sources {
		newest = max(newest, src.newest)
	}
	if newest != noTime {
		s.newest.Store(int64(max(newest, bus.Time(s.newest.Load()))))
	}
}
