package slo

import (
	"bytes"
	"slices"

	"evenkeel.dev/bus"
)

// families writes the families by identity and returns the number that each got, from 1, by its index plus one.
func (e *encoder) families(s *Stage) []uint64 {
	sources := map[*source]uint64{}
	for i, c := range s.sortedSources() {
		sources[c] = uint64(i + 1)
	}
	order := make([]uint32, 0, len(s.byFamily))
	for i := range s.families {
		if s.families[i].series > 0 {
			order = append(order, uint32(i))
		}
	}
	slices.SortFunc(order, func(a, b uint32) int { return bytes.Compare(s.families[a].id[:], s.families[b].id[:]) })
	numbers := make([]uint64, len(s.families)+1)
	e.uint(uint64(len(order)))
	for n, i := range order {
		numbers[i+1] = uint64(n + 1)
		f := &s.families[i]
		e.b = append(e.b, f.id[:]...)
		e.uint(sources[f.source]) // 0 for one that is forgotten
		e.int(int64(f.seen[0]))
		for i := range f.seen[1:] {
			e.int(int64(f.seen[i] - f.seen[i+1]))
		}
	}
	return numbers
}

func (s *Stage) restoreFamilies(d *reader) {
	sources := s.sortedSources()
	n := d.count(len(bus.SeriesID{}) + 5)
	if n > maxFamilies {
		d.fail()
	}
	for ; n > 0 && !d.bad; n-- {
		id := bus.SeriesID(padded(d.bytes(16)))
		if _, twice := s.byFamily[id]; twice {
			d.fail()
			return
		}
		f := &s.families[s.newFamily(id)]
		switch c := d.uint(); {
		case c > uint64(len(sources)):
			d.fail()
			return
		case c > 0:
			f.source = sources[c-1]
		}
		f.seen[0] = bus.Time(d.int())
		for i := range f.seen[1:] {
			f.seen[i+1] = f.seen[i] - bus.Time(d.int())
		}
	}
}
