package calls

import (
	"encoding/binary"
	"errors"
	"math"

	"evenkeel.dev/bus"
)

// Kept is how far back the picture goes.
const Kept = bus.Hour

// A cell is what one minute had. Counts stop at the largest number of 32 bits.
type cell struct {
	minute uint32
	n      [4 + latencies]uint32
}

// A ring holds the minutes of the last hour in which there was something, in order.
type ring []cell

func minuteOf(t bus.Time) uint32 { return uint32(t / bus.Minute) }

func saturated(a uint32, b uint64) uint32 {
	return uint32(min(uint64(a)+min(b, math.MaxUint32), math.MaxUint32))
}

// add adds fields to a minute.
func (r *ring) add(minute uint32, f *[4 + latencies]uint64) {
	i := len(*r)
	for i > 0 && (*r)[i-1].minute > minute {
		i--
	}
	if i == 0 || (*r)[i-1].minute != minute {
		*r = append(*r, cell{})
		copy((*r)[i+1:], (*r)[i:])
		(*r)[i] = cell{minute: minute}
		i++
	}
	c := &(*r)[i-1]
	for k, v := range f {
		c.n[k] = saturated(c.n[k], v)
	}
}

// expire drops the minutes before first.
func (r *ring) expire(first uint32) {
	n := 0
	for n < len(*r) && (*r)[n].minute < first {
		n++
	}
	if n > 0 {
		*r = append((*r)[:0], (*r)[n:]...)
	}
}

// sum adds up the minutes from first on, and reports whether there are any.
func (r ring) sum(first uint32, into *Counts) bool {
	var f [4 + latencies]uint64
	some := false
	for i := range r {
		if r[i].minute < first {
			continue
		}
		some = true
		for k, v := range r[i].n {
			f[k] += uint64(v)
		}
	}
	var c Counts
	c.set(f[:])
	into.Add(&c)
	return some
}

// spread shares counts out over the minutes of a span, evenly; what does not divide goes to the last.
func spread(from, to bus.Time, c *Counts, put func(minute uint32, f *[4 + latencies]uint64)) {
	f := c.fields()
	first, last := minuteOf(from), minuteOf(to)
	if to > from && to%bus.Minute == 0 {
		last--
	}
	span, rest := uint64(to-from), f
	for m := first; m < last; m++ {
		part := uint64(min(bus.Time(m+1)*bus.Minute, to) - max(bus.Time(m)*bus.Minute, from))
		var share [4 + latencies]uint64
		for k := range f {
			share[k] = uint64(float64(f[k]) * float64(part) / float64(span))
			rest[k] -= min(share[k], rest[k])
		}
		put(m, &share)
	}
	put(last, &rest)
}

// append writes the ring in a compact form: its length, then of each minute its distance from the one before, how many numbers follow, and those.
func (r ring) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(r)))
	last := uint32(0)
	for i := range r {
		b = binary.AppendUvarint(b, uint64(r[i].minute-last))
		last = r[i].minute
		n := len(r[i].n)
		for n > 0 && r[i].n[n-1] == 0 {
			n--
		}
		b = append(b, byte(n))
		for _, v := range r[i].n[:n] {
			b = binary.AppendUvarint(b, uint64(v))
		}
	}
	return b
}

var errRing = errors.New("a ring of minutes is cut short")

// readRing reads what append wrote and returns what follows it.
func readRing(b []byte) (ring, []byte, error) {
	bad := false
	next := func() uint64 {
		v, k := binary.Uvarint(b)
		if k <= 0 {
			bad = true
			return 0
		}
		b = b[k:]
		return v
	}
	n := next()
	if n > 1<<12 {
		return nil, nil, errRing
	}
	var r ring
	last := uint32(0)
	for range n {
		c := cell{minute: last + uint32(next())}
		last = c.minute
		k := next() // a byte below 128 is itself
		if k > uint64(len(c.n)) {
			return nil, nil, errRing
		}
		for i := range k {
			c.n[i] = uint32(next())
		}
		r = append(r, c)
	}
	if bad {
		return nil, nil, errRing
	}
	return r, b, nil
}
