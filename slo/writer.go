package slo

import (
	"slices"

	"evenkeel.dev/bus"
)

// Bounds of writers: a process that ingests has one incarnation, and a dozen processes are many. The refs of a writer that is silent
// for ten minutes are forgotten: it announces them again before it uses them. Its number is kept for a day, so that silence is no gap.
const (
	maxWriters   = 1024
	refExpiry    = 10 * bus.Minute
	writerExpiry = bus.Day
	pageRefs     = 512
	maxRef       = 1 << 24
	// maxPages bounds the memory of refs to 64 MiB in a partition.
	maxPages = 1 << 15
)

// What a ref leads to; from refSeries on it is the index of a series.
const (
	refUnknown = iota
	refIrrelevant
	refSeries
)

// A writer is one incarnation of a process that makes frames.
type writer struct {
	id     uint64
	number uint64   // of its last frame
	seen   bus.Time // record time of it
	// catalogue is the newest revision with which it has matched arrivals.
	catalogue uint64
	pages     []*[pageRefs]uint32
}

func (w *writer) lookup(ref uint32) uint32 {
	p := ref / pageRefs
	if int(p) >= len(w.pages) || w.pages[p] == nil {
		return refUnknown
	}
	return w.pages[p][ref%pageRefs]
}

// set binds a ref. Over the bounds it stays unknown, so that what it stands for is told as unknown and not lost in silence.
func (w *writer) set(s *Stage, ref, to uint32) {
	p := int(ref / pageRefs)
	if ref >= maxRef {
		return
	}
	for p >= len(w.pages) {
		w.pages = append(w.pages, make([]*[pageRefs]uint32, 1+len(w.pages)/4)...)
	}
	if w.pages[p] == nil {
		if s.pages >= maxPages {
			return
		}
		s.pages++
		w.pages[p] = new([pageRefs]uint32)
	}
	w.pages[p][ref%pageRefs] = to
}

// writer returns the writer of a frame and how many of its frames are missing before this one. It is nil when the frame was seen
// before.
func (s *Stage) writer(f *bus.Frame) (w *writer, missing uint64) {
	w = s.writers[f.Writer]
	switch {
	case w == nil:
		w = s.newWriter(f.Writer)
		if s.started { // a stage that begins in the middle of a log has nothing that could be incomplete
			missing = f.Number - 1
		}
	case f.Number <= w.number:
		s.Stats.FramesRepeated.Add(1)
		return nil, 0
	default:
		missing = f.Number - w.number - 1
	}
	w.number, w.seen = f.Number, s.now
	s.started = true
	return w, missing
}

// missed marks what missing frames may have held: the SLOs that the writer feeds, or all when it is not known what it feeds.
func (s *Stage) missed(w *writer, missing uint64) {
	s.Stats.FramesMissing.Add(missing)
	s.blind()
	if len(w.pages) == 0 {
		s.markAll(ReasonGap)
		return
	}
	s.markWriter(w, ReasonGap)
}

func (s *Stage) newWriter(id uint64) *writer {
	if len(s.writers) >= maxWriters {
		var oldest *writer
		for _, w := range s.writers {
			if oldest == nil || w.seen < oldest.seen || w.seen == oldest.seen && w.id < oldest.id {
				oldest = w
			}
		}
		s.dropRefs(oldest)
		delete(s.writers, oldest.id)
	}
	w := &writer{id: id}
	s.writers[id] = w
	return w
}

func (s *Stage) dropRefs(w *writer) {
	for _, p := range w.pages {
		if p != nil {
			s.pages--
		}
	}
	w.pages = nil
}

func (s *Stage) sweepWriters() {
	for _, w := range s.sortedWriters() {
		if s.now-w.seen > refExpiry {
			s.dropRefs(w)
		}
		if s.now-w.seen > writerExpiry {
			delete(s.writers, w.id)
		}
	}
}

func (s *Stage) sortedWriters() []*writer {
	ws := make([]*writer, 0, len(s.writers))
	for _, w := range s.writers {
		ws = append(ws, w)
	}
	slices.SortFunc(ws, func(a, b *writer) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return ws
}

// cutRefs cuts the refs of forgotten series and frees their places.
func (s *Stage) cutRefs() {
	if len(s.dropped) == 0 {
		return
	}
	for _, w := range s.writers {
		for _, p := range w.pages {
			if p == nil {
				continue
			}
			for i, v := range p {
				if v >= refSeries && !s.series[v-refSeries].used {
					p[i] = s.series[v-refSeries].matched
				}
			}
		}
	}
	s.free = append(s.free, s.dropped...)
	s.dropped = s.dropped[:0]
}

// markWriter marks the SLOs that series of the writer feed.
func (s *Stage) markWriter(w *writer, reason string) {
	touched := make([]bool, len(s.trackers))
	for _, p := range w.pages {
		if p == nil {
			continue
		}
		for _, v := range p {
			if v < refSeries {
				continue
			}
			for _, t := range s.lists[s.series[v-refSeries].list].targets {
				touched[t.slot] = true
			}
		}
	}
	for _, t := range s.order {
		if touched[t.slot] {
			s.mark(t, reason)
		}
	}
}

func (s *Stage) markAll(reason string) {
	for _, t := range s.order {
		s.mark(t, reason)
	}
}

// mark makes an SLO unknown until a slice that begins after all that may be missing is whole.
func (s *Stage) mark(t *tracker, reason string) {
	if t.gapReason == "" {
		t.gapReason = reason
	}
	t.gapAfter = max(t.gapAfter, secondOf(s.newest()))
	t.broken = true
}
