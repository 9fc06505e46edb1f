package ingest

import "evenkeel.dev/bus"

// A Watcher looks at series for something else than objectives. What it wants costs the quotas of nobody and is not written to the log.
// Its methods are called by many goroutines.
type Watcher interface {
	// Watch says whether readings of a series are wanted, by a number from 1 to 2^24-1; 0: they are not. It is asked at the first sight of a series, and
	// when definitions have changed; each number that it gives is given back to Forget. The labels are canonical and not to be kept.
	Watch(s Sender, ls bus.Labels, flags uint64) uint32
	// Forget says that the number is in use no more. A request under way may still bring readings of it.
	Forget(watch uint32)
	// Take gives the readings of an arrival at a time of the gate's clock. They are not to be kept, and may come again.
	Take(now bus.Time, rs []Reading)
}

// A Reading is one finite sample of a watched series.
type Reading struct {
	Watch       uint32
	Time, Start bus.Time // Start is that of the counter, 0 where it is not known
	Value       float64
}

func (g *Gate) watch(s *sender, ls bus.Labels, flags uint64) uint32 {
	if g.config.Watcher == nil {
		return 0
	}
	n := g.config.Watcher.Watch(s.Sender, ls, flags)
	if n > watchMax {
		g.config.Watcher.Forget(n)
		return 0
	}
	return n
}

func (g *Gate) unwatch(n uint32) {
	if n != 0 {
		g.config.Watcher.Forget(n)
	}
}

// see remembers a series that is only watched. It has no labels, and counts against no bound of what is needed.
func (a *Arrival) see(h Hash, watch uint32, flags uint64) Ref {
	s := &series{source: a.sources[0].src, marks: watch<<watchShift | uint32(flags)&flagBits}
	kept, mine := a.view.table.add(h, a.view.gen, a.minute, s)
	if !mine {
		a.gate.forget(s, kept.watch())
	}
	return Ref{series: kept}
}

// forget gives back what a series took, but for a number that another series has now.
func (g *Gate) forget(s *series, stays uint32) {
	if s.space != nil {
		g.bounds.release(s)
	}
	if s.watch() != stays {
		g.unwatch(s.watch())
	}
}

// rewatch takes a series out of the table that definitions have made another one, and returns the number under which it was or is now watched.
func (g *Gate) rewatch(a *Arrival, h Hash, ls bus.Labels, flags uint64) uint32 {
	if s := a.view.table.remove(h, a.view.gen); s != nil && s.watch() != 0 {
		g.forget(s, s.watch())
		return s.watch()
	} else if s != nil {
		g.forget(s, 0)
	}
	return g.watch(a.sender, ls, flags)
}
