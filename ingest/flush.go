package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strconv"

	"evenkeel.dev/bus"
)

// A flusher writes batches of arrivals as frames. One leader at a time uses it.
type flusher struct {
	writer  uint64
	subject string
	number  uint64 // of the last frame that was written
	refs    uint32 // of the writer that are given out, from 1
	// round rises with the writer and with the catalogue's revision; what was announced in another round is announced again.
	round    uint32
	born     uint32 // round in which the writer began
	revision uint64 // newest

	batch   []*Arrival
	builder bus.FrameBuilder
	buf     []byte
	now     uint32    // seconds
	frame   uint64    // counts frames that were begun; 0 belongs to none
	matched uint64    // catalogue revision that the frame's arrivals were matched with
	used    int       // bytes that the frame takes at most
	told    []*series // announced in the frame
	sources []*source // in the frame, by index
	newest  []bus.Time
}

const (
	// appendTries is how often the same frame is offered before its number is given up with its writer.
	appendTries = 3
	// announceEvery is how long readers of the log may have to wait for the labels of a ref that is in use.
	announceEvery = 5 * bus.Minute
	// headBytes is what a frame's head and the heads of its sections and blocks take at most, but for its sources.
	headBytes = 16 << 10
	// maxRefs is how many refs a writer gives out, or twice as many as there are series: readers keep them in dense tables, and
	// refs of forgotten series are not used again. Then the gate goes on as a new writer.
	maxRefs = 1 << 22
)

func (f *flusher) init(writer uint64) {
	f.writer, f.number, f.refs = writer, 0, 0
	f.subject = bus.SubjectFrame + fmt.Sprintf("%016x", writer)
	f.round++
	f.born = f.round
}

// run writes the batch, frame by frame, and finishes each arrival when its last frame is acknowledged.
func (f *flusher) run(ctx context.Context, g *Gate, now bus.Time) {
	f.now = uint32(now / bus.Second)
	f.renew(g)
	f.begin()
	first := 0
	var err error
	for i, a := range f.batch {
		if f.used > headBytes && f.closes(g, a) {
			if err = f.send(ctx, g, f.batch[first:i]); err != nil {
				break
			}
			g.finish(f.batch[first:i], nil)
			first = i
		}
		f.matched = a.view.revision
		if f.matched > f.revision {
			f.revision = f.matched
			f.round++
		}
		if err = f.put(ctx, g, a); err != nil {
			break
		}
	}
	if err == nil {
		err = f.send(ctx, g, f.batch[first:])
	}
	g.finish(f.batch[first:], err)
	f.begin()
}

// renew begins a new writer when the old one has given out too many refs.
func (f *flusher) renew(g *Gate) {
	if f.refs < maxRefs {
		return
	}
	g.bounds.mu.Lock()
	live := g.bounds.all.series
	g.bounds.mu.Unlock()
	if int(f.refs) >= 2*live {
		f.init(g.config.NewWriter())
		g.stats.writers.Add(1)
	}
}

// closes reports whether the frame must be written before a goes into the next: it is full, a does not fit, or a was matched with
// another revision of the catalogue.
func (f *flusher) closes(g *Gate, a *Arrival) bool {
	if f.builder.Len() >= g.limits.FrameBytes || a.view.revision != f.matched {
		return true
	}
	room := g.limits.FrameMax - f.used
	if a.size+a.dict+a.sourceBytes() <= room {
		return false
	}
	need := a.size + a.sourceBytes()
	for i := range a.samples {
		if s := a.samples[i].series; f.untold(s, s.mask.Load()) {
			need += s.copies() * s.announceBytes()
		}
	}
	return need > room
}

func (a *Arrival) sourceBytes() int {
	n := 0
	for _, s := range a.sources {
		n += s.src.bytes()
	}
	for i := range a.refusals {
		n += a.refusals[i].bytes()
	}
	return n
}

func (s *source) bytes() int {
	return 32 + len(s.owner.Name) + len(s.owner.GlobalNamespace) + len(s.cluster) + len(s.replica)
}

func (r *refusal) bytes() int {
	return bits.OnesCount64(r.mask) * (len(r.labels) + len(r.space) + 16)
}

// begin starts an empty frame.
func (f *flusher) begin() {
	f.builder.Reset()
	f.frame++
	f.used = headBytes
	clear(f.told)
	clear(f.sources)
	f.told, f.sources, f.newest = f.told[:0], f.sources[:0], f.newest[:0]
}

// put adds an arrival to the frame. One that does not fit into a frame by itself is cut into several.
func (f *flusher) put(ctx context.Context, g *Gate, a *Arrival) error {
	f.addSources(a)
	for i := range a.refusals {
		if r := &a.refusals[i]; f.used+r.bytes() <= g.limits.FrameMax { // else it is told another minute
			f.addRefusal(r)
		}
	}
	for i := range a.samples {
		p := &a.samples[i]
		s := p.series
		mask := s.mask.Load()
		need := bits.OnesCount64(mask) * sampleBytes
		tell := f.untold(s, mask)
		if tell {
			need += bits.OnesCount64(mask) * s.announceBytes()
		}
		if f.used+need > g.limits.FrameMax {
			if err := f.send(ctx, g, nil); err != nil {
				return err
			}
			f.addSources(a)
		}
		f.used += need
		if tell {
			f.tell(s, mask)
		}
		src := s.source.index
		for m := mask; m != 0; m &= m - 1 {
			f.builder.Add(bits.TrailingZeros64(m), src, s.ref, p.t, p.start, p.v)
		}
	}
	return nil
}

// addSources makes the arrival's sources known in the frame and moves their event time. A source that has no valid sample of its
// own has no time and is left out.
func (f *flusher) addSources(a *Arrival) {
	for _, as := range a.sources {
		if as.newest == noTime {
			continue
		}
		s := as.src
		known := s.frame == f.frame
		s.index = f.builder.Source(bus.Source{Sender: s.owner.Name, Cluster: s.cluster, Replica: s.replica, GlobalNamespace: s.owner.GlobalNamespace, Newest: as.newest})
		if known {
			f.newest[s.index] = max(f.newest[s.index], as.newest)
			continue
		}
		s.frame = f.frame
		f.used += s.bytes()
		if s.index < len(f.sources) { // another object for the same source: the sender was forgotten meanwhile
			f.newest[s.index] = max(f.newest[s.index], as.newest)
			continue
		}
		f.sources = append(f.sources, s)
		f.newest = append(f.newest, as.newest)
	}
}

func (f *flusher) addRefusal(r *refusal) {
	for m := r.mask; m != 0; m &= m - 1 {
		f.builder.Announce(bits.TrailingZeros64(m), 0, r.flags|bus.SeriesRefused, r.space, []byte(r.labels))
	}
	f.used += r.bytes()
}

// untold reports whether the labels of s must stand in this frame.
func (f *flusher) untold(s *series, mask uint64) bool {
	return s.toldRound != f.round || mask&^s.toldMask != 0 || f.now >= s.tellAgain
}

// tell announces s in all its partitions. Each ref has its own moment within the five minutes, so that they are spread evenly.
func (f *flusher) tell(s *series, mask uint64) {
	if s.toldRound < f.born {
		f.refs++
		s.ref = f.refs
	}
	f.buf = append(f.buf[:0], s.labels...)
	for m := mask; m != 0; m &= m - 1 {
		f.builder.Announce(bits.TrailingZeros64(m), s.ref, s.flags(), s.space.name, f.buf)
	}
	const golden = 2654435761 // Knuth, The Art of Computer Programming, volume 3, section 6.4
	const every = uint32(announceEvery / bus.Second)
	phase := s.ref * golden % every
	s.toldRound, s.toldMask = f.round, mask
	s.tellAgain = ((f.now+phase)/every+1)*every - phase
	f.told = append(f.told, s)
}

// send writes the frame and begins the next. On success the arrivals given learn its sequence; those that are cut learn the last.
func (f *flusher) send(ctx context.Context, g *Gate, as []*Arrival) error {
	f.buf = f.builder.Seal(f.buf[:0], f.writer, f.number+1, f.matched)
	seq, err := f.append(ctx, g)
	if err != nil {
		for _, s := range f.told {
			s.tellAgain = 0 // the log has not heard of it
		}
		f.begin()
		return err
	}
	f.number++
	for i, s := range f.sources {
		if int64(f.newest[i]) > s.logged.Load() {
			s.logged.Store(int64(f.newest[i]))
		}
	}
	for _, a := range as {
		a.outcome.Seq = seq
	}
	g.stats.frames.Add(1)
	g.stats.frameBytes.Add(uint64(len(f.buf)))
	g.stats.announced.Add(uint64(len(f.told)))
	f.begin()
	return nil
}

// append offers the frame to the log, again and again with the same number while nobody knows whether it was stored. When it
// gives up, the number may be taken, and so the writer ends here and another begins.
func (f *flusher) append(ctx context.Context, g *Gate) (uint64, error) {
	unknown := false
	var err error
	for range appendTries {
		var seq uint64
		seq, err = g.config.Log.Append(ctx, bus.Message{Subject: f.subject, Data: f.buf})
		if err == nil {
			return seq, nil
		}
		if errors.Is(err, bus.ErrFull) || errors.Is(err, bus.ErrTooLarge) {
			break
		}
		unknown = true
		g.stats.retries.Add(1)
	}
	err = fmt.Errorf("ingest: append frame %s of writer %016x: %w", strconv.FormatUint(f.number+1, 10), f.writer, err)
	if unknown {
		f.init(g.config.NewWriter())
		g.stats.writers.Add(1)
		// Not wrapped: bus.ErrFull would say that nothing is stored.
		err = fmt.Errorf("ingest: whether it was stored is unknown: %s", err.Error())
	}
	return 0, err
}
