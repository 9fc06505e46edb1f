package history

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"evenkeel.dev/bus"
)

// errTooLarge says that a slice is over a bound, here or at the server: a shorter one may not be.
var errTooLarge = errors.New("too much for one slice of time")

// A slice holds what a source has for a part of the history, as it came: chunks per series.
type slice struct {
	from, to bus.Time
	limit    int // of bytes; over it errTooLarge

	byKey      map[string]*column
	columns    []*column
	bytes      int
	samples    int
	starts     bool // some chunk has start timestamps
	histograms int  // chunks and series of native histograms, which are left out
	key        []byte
}

// A column is one series of a slice.
type column struct {
	series *Series
	query  int // that gave it; several may select the same series
	chunks []chunk
}

// A chunk is encoded as Prometheus does it, or plain.
type chunk struct {
	min, max int64 // milliseconds, as the source says
	encoding chunkenc.Encoding
	data     []byte
	times    []int64 // of a plain one
	values   []float64
	starts   []int64 // as long, or empty
}

func newSlice(from, to bus.Time, limit int) *slice {
	return &slice{from: from, to: to, limit: limit, byKey: map[string]*column{}}
}

// empty forgets all, for another try.
func (s *slice) empty() { *s = *newSlice(s.from, s.to, s.limit) }

// take counts bytes that the slice holds on to.
func (s *slice) take(n int) error {
	if s.bytes += n; s.bytes > s.limit {
		return fmt.Errorf("%w: over %d bytes", errTooLarge, s.limit)
	}
	return nil
}

// columnOf returns the place for a series' samples, nil when another query has given them already. It keeps ls.
func (s *slice) columnOf(query int, ls bus.Labels, flags uint64) (*column, error) {
	s.key = ls.Append(s.key[:0])
	if c := s.byKey[string(s.key)]; c != nil {
		if c.query != query {
			return nil, nil
		}
		return c, nil
	}
	c := &column{series: newSeries(ls, flags), query: query}
	s.byKey[string(s.key)] = c
	s.columns = append(s.columns, c)
	return c, s.take(2*len(s.key) + 256)
}

// Lengths of the heads of chunks; iterators rely on them.
const (
	headXOR  = 2
	headXOR2 = 3
)

// addChunk keeps an encoded chunk, whose bytes it holds on to without counting them.
func (s *slice) addChunk(c *column, k chunk) error {
	head := headXOR
	switch k.encoding {
	case chunkenc.EncXOR:
	case chunkenc.EncXOR2:
		head, s.starts = headXOR2, true
	case chunkenc.EncHistogram, chunkenc.EncFloatHistogram, chunkenc.EncHistogramST, chunkenc.EncFloatHistogramST:
		s.histograms++
		return nil
	default:
		return fmt.Errorf("a chunk has encoding %d, which is not known here", k.encoding)
	}
	if len(k.data) < head {
		return fmt.Errorf("a chunk of %d bytes is too short", len(k.data))
	}
	s.samples += int(k.data[0])<<8 | int(k.data[1])
	c.chunks = append(c.chunks, k)
	return s.take(96)
}

// addPlain keeps samples in ascending order.
func (s *slice) addPlain(c *column, times []int64, values []float64) error {
	if len(times) == 0 {
		return nil
	}
	c.chunks = append(c.chunks, chunk{min: times[0], max: times[len(times)-1], times: times, values: values})
	s.samples += len(times)
	return s.take(16*cap(times) + 96)
}

// seal brings the columns into the order of their labels and their chunks into that of time.
func (s *slice) seal() error {
	s.byKey = nil
	slices.SortFunc(s.columns, func(a, b *column) int { return compareLabels(a.series.Labels, b.series.Labels) })
	for _, c := range s.columns {
		slices.SortStableFunc(c.chunks, func(a, b chunk) int { return cmp.Compare(a.min, b.min) })
		for i := 1; i < len(c.chunks); i++ {
			if c.chunks[i].min <= c.chunks[i-1].max {
				if err := s.untangle(c); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// untangle decodes chunks that overlap in time into one. Of samples with equal times the first stays.
func (s *slice) untangle(c *column) error {
	type sample struct {
		t     int64
		v     float64
		start int64
	}
	var all []sample
	for i := range c.chunks {
		cur := cursor{chunks: c.chunks[i : i+1], from: int64(s.from), to: int64(s.to)}
		for {
			if err := cur.next(); err != nil {
				return fmt.Errorf("series %s: %w", c.series.Labels, err)
			}
			if !cur.ok {
				break
			}
			all = append(all, sample{cur.t, cur.v, cur.start})
		}
	}
	slices.SortStableFunc(all, func(a, b sample) int { return cmp.Compare(a.t, b.t) })
	all = slices.CompactFunc(all, func(a, b sample) bool { return a.t == b.t })
	k := chunk{}
	for _, p := range all {
		k.times, k.values, k.starts = append(k.times, p.t), append(k.values, p.v), append(k.starts, p.start)
	}
	if len(all) > 0 {
		k.min, k.max = all[0].t, all[len(all)-1].t
	}
	c.chunks = []chunk{k}
	return s.take(24 * len(all))
}

// A cursor walks the samples of a column within [from, to).
type cursor struct {
	chunks   []chunk
	from, to int64

	at    int // next chunk
	it    chunkenc.Iterator
	reuse chunkenc.Iterator
	plain *chunk
	i     int // next sample of plain

	ok    bool
	begun bool
	t     int64
	v     float64
	start int64
}

// next moves to the next sample; ok is false after the last.
func (c *cursor) next() error {
	for {
		t, v, start, ok, err := c.step()
		if err != nil || !ok {
			c.ok = false
			return err
		}
		if t < c.from || c.begun && t <= c.t {
			continue
		}
		if t >= c.to {
			c.ok, c.at, c.it, c.plain = false, len(c.chunks), nil, nil
			return nil
		}
		c.t, c.v, c.start, c.ok, c.begun = t, v, start, true, true
		return nil
	}
}

func (c *cursor) step() (t int64, v float64, start int64, ok bool, err error) {
	for {
		switch {
		case c.plain != nil:
			if c.i < len(c.plain.times) {
				i := c.i
				c.i++
				if len(c.plain.starts) > 0 {
					start = c.plain.starts[i]
				}
				return c.plain.times[i], c.plain.values[i], start, true, nil
			}
			c.plain = nil
		case c.it != nil:
			if c.it.Next() == chunkenc.ValFloat {
				t, v = c.it.At()
				return t, v, c.it.AtST(), true, nil
			}
			if err := c.it.Err(); err != nil {
				return 0, 0, 0, false, fmt.Errorf("a chunk is damaged: %w", err)
			}
			c.it = nil
		case c.at == len(c.chunks):
			return 0, 0, 0, false, nil
		default:
			if err := c.open(&c.chunks[c.at]); err != nil {
				return 0, 0, 0, false, err
			}
			c.at++
		}
	}
}

func (c *cursor) open(k *chunk) error {
	if k.data == nil {
		c.plain, c.i = k, 0
		return nil
	}
	ch, err := chunkenc.FromData(k.encoding, k.data)
	if err != nil {
		return err
	}
	c.it = ch.Iterator(c.reuse)
	c.reuse = c.it
	return nil
}
