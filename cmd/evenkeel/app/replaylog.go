package app

import (
	"context"
	"fmt"
	"strings"

	"evenkeel.dev/bus"
)

// announced is how long before the beginning a log is read: in that time each writer has announced all of its series twice.
const announced = 11 * bus.Minute

// readLog takes the records of an engine through the stages, at the times at which they came: with its delays, its outages and its gaps.
// Of the time before From only what series there are is taken.
func (r *replay) readLog(ctx context.Context) error {
	c := &r.config
	return c.Log.Records(ctx, c.From-announced, c.Until, func(m *bus.Message) error {
		if m.Time > r.now {
			r.progress(m.Time)
		}
		r.now = max(r.now, m.Time)
		for _, l := range r.lanes {
			l.now = r.now
		}
		if !strings.HasPrefix(m.Subject, bus.SubjectFrame) {
			return r.each(func(l *lane) error { return l.step(bus.Record{Time: r.now, Subject: m.Subject, Data: m.Data}, nil) })
		}
		return r.frame(m)
	})
}

func (r *replay) each(f func(*lane) error) error {
	for _, l := range r.lanes {
		if err := f(l); err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) progress(at bus.Time) {
	if r.config.Progress != nil && at/bus.Minute != r.now/bus.Minute {
		r.config.Progress(at, r.samples)
	}
}

// frame gives a frame to all partitions that have SLOs, each the whole of it: it was cut for the definitions of its time. What several
// partitions got comes several times, and counts once.
func (r *replay) frame(m *bus.Message) error {
	f := bus.DecodeFrame(m.Data)
	if f.Err != nil {
		return r.each(func(l *lane) error { return l.step(bus.Record{Time: r.now, Subject: m.Subject, Data: m.Data}, f) })
	}
	w := &r.rewriter
	w.b.Reset()
	n, err := w.rewrite(f, r.partitions(), r.now >= r.config.From)
	if err != nil {
		f = &bus.Frame{Err: err}
		return r.each(func(l *lane) error { return l.step(bus.Record{Time: r.now, Subject: m.Subject, Data: m.Data}, f) })
	}
	if n > 0 {
		r.samples, r.timestamps, r.last = r.samples+uint64(n), r.timestamps+1, max(r.last, w.newest)
	}
	w.out = w.b.Seal(w.out[:0], f.Writer, f.Number, f.Catalogue)
	f = bus.DecodeFrame(w.out)
	return r.each(func(l *lane) error { return l.step(bus.Record{Time: r.now, Subject: m.Subject, Data: w.out}, f) })
}

// partitions are those of all lanes.
func (r *replay) partitions() []int {
	if r.used == nil {
		seen := map[int]bool{}
		for _, l := range r.lanes {
			for i := range l.stages {
				if n := l.stages[i].number; !seen[n] {
					seen[n] = true
					r.used = append(r.used, n)
				}
			}
		}
	}
	return r.used
}

// A rewriter cuts frames anew.
type rewriter struct {
	b      bus.FrameBuilder
	out    []byte
	reader bus.SectionReader
	block  bus.Block
	labels []byte
	newest bus.Time // of the last frame's samples
}

// rewrite puts all sections of a frame into each of some partitions, with or without their samples, and returns how many there are.
func (w *rewriter) rewrite(f *bus.Frame, partitions []int, samples bool) (n int, err error) {
	w.newest = 0
	for _, s := range f.Sources {
		w.b.Source(s)
	}
	for _, section := range f.Sections() {
		as, err := w.reader.Reset(section)
		if err != nil {
			return 0, fmt.Errorf("frame %d of writer %d: %w", f.Number, f.Writer, err)
		}
		for _, a := range as {
			w.labels = a.Labels.Append(w.labels[:0])
			for _, p := range partitions {
				w.b.Announce(p, a.Ref, a.Flags, a.GlobalNamespace, w.labels)
			}
		}
		for samples && w.reader.Next(&w.block) {
			w.add(partitions)
			n += len(w.block.Refs)
		}
		if err := w.reader.Err(); err != nil {
			return 0, fmt.Errorf("frame %d of writer %d: %w", f.Number, f.Writer, err)
		}
	}
	return n, nil
}

func (w *rewriter) add(partitions []int) {
	b := &w.block
	for i, ref := range b.Refs {
		var start bus.Time
		if len(b.Starts) > 0 {
			start = b.Starts[i]
		}
		w.newest = max(w.newest, b.Times[i])
		for _, p := range partitions {
			w.b.Add(p, b.Source, ref, b.Times[i], start, b.Values[i])
		}
	}
}
