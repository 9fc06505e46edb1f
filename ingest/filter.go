package ingest

import "sync/atomic"

// A filter remembers, in fixed memory, series that no definition needs. It is a set-associative table of fingerprints: eight in a
// cache line and eight more in its neighbour, of 64 bits, beside at least 13 bits of another hash that choose the line. So the
// chance that a series which is needed is taken for one that is not is below 2^-60 at its first sight, and 0 after. What it
// forgets is merely matched again.
type filter struct {
	lines []filterLine
}

type filterLine [8]atomic.Uint64

func newFilter(bytes int) *filter {
	n := 2
	for n*2*64 <= bytes {
		n *= 2
	}
	return &filter{lines: make([]filterLine, n)}
}

func (f *filter) has(h Hash) bool {
	fp := h.A | 1 // 0 is an empty place
	i := h.B & uint64(len(f.lines)-1)
	for range 2 {
		l := &f.lines[i]
		for k := range l {
			if l[k].Load() == fp {
				return true
			}
		}
		if l[7].Load() == 0 { // places are filled in order, and the neighbour only after the line
			return false
		}
		i ^= 1
	}
	return false
}

// add remembers h and reports whether another had to give way.
func (f *filter) add(h Hash) bool {
	fp := h.A | 1
	i := h.B & uint64(len(f.lines)-1)
	for range 2 {
		l := &f.lines[i]
		for k := range l {
			if l[k].CompareAndSwap(0, fp) || l[k].Load() == fp {
				return false
			}
		}
		i ^= 1
	}
	f.lines[i][h.B>>61].Store(fp)
	return true
}
