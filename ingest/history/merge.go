package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"evenkeel.dev/bus"
)

// Bounds of what is decoded at once: a part of a slice shall have about partSamples and never more than maxPartSamples, 24 bytes each.
const (
	partSamples    = 256 << 10
	maxPartSamples = 4 << 20
)

var errDense = errors.New("too many samples at once")

// A merger turns the series of a slice into moments: it decodes all series up to the end of a part, each sample into the moment of
// its time, and then gives the moments in order. That is a few operations per sample, whatever the number of series.
type merger struct {
	slice   *slice
	cursors []cursor
	width   bus.Time // of a part

	moments []*Moment // of the part
	index   map[bus.Time]int
	free    []*Moment
}

// merge gives all moments of a sealed slice.
func (s *slice) merge(ctx context.Context, take func(*Moment) error) error {
	m := &merger{slice: s, width: max(1, s.to-s.from), index: map[bus.Time]int{}}
	if s.samples > partSamples {
		m.width = max(1, bus.Time(float64(s.to-s.from)*partSamples/float64(s.samples)))
	}
	if err := m.rewind(s.from); err != nil {
		return err
	}
	for at := s.from; at < s.to && m.more(); {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		end := min(at+m.width, s.to)
		switch err := m.collect(end); {
		case errors.Is(err, errDense) && m.width > 1:
			m.width = max(1, m.width/8)
			if err := m.rewind(at); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if err := m.give(take); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// rewind puts all cursors on their first samples at or after a time.
func (m *merger) rewind(at bus.Time) error {
	m.cursors = make([]cursor, len(m.slice.columns))
	for i, c := range m.slice.columns {
		m.cursors[i] = cursor{chunks: c.chunks, from: int64(at), to: int64(m.slice.to)}
		if err := m.cursors[i].next(); err != nil {
			return fmt.Errorf("series %s: %w", c.series.Labels, err)
		}
	}
	m.recycle()
	return nil
}

func (m *merger) more() bool {
	for i := range m.cursors {
		if m.cursors[i].ok {
			return true
		}
	}
	return false
}

// collect puts the samples before end into their moments.
func (m *merger) collect(end bus.Time) error {
	n := 0
	for i := range m.cursors {
		c := &m.cursors[i]
		hint := 0 // series of one target share their timestamps, so that the next moment is nearly always the one after
		for c.ok && c.t < int64(end) {
			var mo *Moment
			if hint < len(m.moments) && m.moments[hint].Time == bus.Time(c.t) {
				mo = m.moments[hint]
				hint++
			} else {
				mo, hint = m.moment(bus.Time(c.t))
			}
			mo.add(m.slice.columns[i].series, c.v, bus.Time(c.start))
			if n++; n > maxPartSamples {
				return fmt.Errorf("%w: over %d within %d ms", errDense, maxPartSamples, m.width)
			}
			if err := c.next(); err != nil {
				return fmt.Errorf("series %s: %w", m.slice.columns[i].series.Labels, err)
			}
		}
	}
	return nil
}

// moment returns the moment of a time, and the place of the one after.
func (m *merger) moment(t bus.Time) (*Moment, int) {
	if i, ok := m.index[t]; ok {
		return m.moments[i], i + 1
	}
	var mo *Moment
	if n := len(m.free); n > 0 {
		mo, m.free = m.free[n-1], m.free[:n-1]
	} else {
		mo = &Moment{}
	}
	mo.Time = t
	m.index[t] = len(m.moments)
	m.moments = append(m.moments, mo)
	return mo, len(m.moments)
}

func (mo *Moment) add(s *Series, v float64, start bus.Time) {
	if start != 0 && len(mo.Starts) == 0 {
		mo.Starts = append(mo.Starts, make([]bus.Time, len(mo.Series))...)
	}
	if start != 0 || len(mo.Starts) > 0 {
		mo.Starts = append(mo.Starts, start)
	}
	mo.Series = append(mo.Series, s)
	mo.Values = append(mo.Values, v)
}

// give hands the moments out in order.
func (m *merger) give(take func(*Moment) error) error {
	slices.SortFunc(m.moments, func(a, b *Moment) int { return cmp.Compare(a.Time, b.Time) })
	for _, mo := range m.moments {
		if err := take(mo); err != nil {
			return err
		}
	}
	m.recycle()
	return nil
}

func (m *merger) recycle() {
	for _, mo := range m.moments {
		mo.Series, mo.Values, mo.Starts = mo.Series[:0], mo.Values[:0], mo.Starts[:0]
	}
	m.free = append(m.free, m.moments...)
	m.moments = m.moments[:0]
	clear(m.index)
}
