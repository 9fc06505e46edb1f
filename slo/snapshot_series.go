package slo

import (
	"encoding/binary"
	"math"
	"slices"

	"evenkeel.dev/bus"
)

func (e *encoder) sources(s *Stage) {
	all := s.sortedSources()
	e.uint(uint64(len(all)))
	for _, c := range all {
		e.key(c.key)
		for _, v := range []bus.Time{c.newest, c.rose, c.seen, c.fed, c.since, c.interval, c.lag, c.lagSince, c.skew} {
			e.int(int64(v))
		}
	}
}

func (e *encoder) key(k sourceKey) {
	e.str(k.sender)
	e.str(k.cluster)
	e.str(k.replica)
	e.str(k.gns)
}

func (d *reader) key() sourceKey { return sourceKey{d.str(), d.str(), d.str(), d.str()} }

func (s *Stage) restoreSources(d *reader) {
	for n := d.count(13); n > 0 && !d.bad; n-- {
		c := &source{key: d.key()}
		for _, v := range []*bus.Time{&c.newest, &c.rose, &c.seen, &c.fed, &c.since, &c.interval, &c.lag, &c.lagSince, &c.skew} {
			*v = bus.Time(d.int())
		}
		s.sources[c.key] = c
	}
}

// groups writes the groups by key and returns the number that each got, from 1, by the one it has.
func (e *encoder) groups(s *Stage) []uint64 {
	order := make([]int, len(s.groups))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareKeys(s.groups[a].key, s.groups[b].key) })
	numbers := make([]uint64, len(s.groups)+1)
	e.uint(uint64(len(order)))
	for n, i := range order {
		numbers[i+1] = uint64(n + 1)
		g := s.groups[i]
		e.key(g.key)
		e.str(g.elected)
		e.str(g.standby)
		e.int(int64(g.electAt))
		e.int(int64(g.standbyA))
	}
	return numbers
}

func (s *Stage) restoreGroups(d *reader) {
	n := d.count(8)
	if n > maxSources {
		d.fail()
	}
	for ; n > 0 && !d.bad; n-- {
		g := &group{key: d.key(), elected: d.str(), standby: d.str(), electAt: bus.Time(d.int()), standbyA: bus.Time(d.int())}
		s.groups = append(s.groups, g)
		s.groupIndex[g.key] = uint16(len(s.groups))
	}
}

// series writes the series by identity, with the target lists they share in the order of first use, and returns the place of each.
func (e *encoder) series(s *Stage, rank, groups, families []uint64) []uint64 {
	ids := s.sortedIDs()
	places := make([]uint64, len(s.series))
	e.uint(uint64(len(ids)))
	lists, byKey := map[uint32]uint64{}, map[string]uint64{} // lists that became equal when an SLO was removed are written as one
	for n, i := range ids {
		places[i] = uint64(n)
		se := &s.series[i]
		e.b = append(e.b, s.ids[i][:]...)
		number, known := lists[se.list]
		if !known {
			key := listKey(s.lists[se.list].targets)
			if number, known = byKey[key]; !known {
				number = uint64(len(byKey))
				byKey[key] = number
			}
			lists[se.list] = number
		}
		e.uint(number)
		if !known {
			e.targets(s.lists[se.list].targets, rank)
		}
		e.float(se.last)
		e.int(int64(se.t))
		e.uint(uint64(se.matched))
		e.uint(uint64(se.seen))
		e.uint(groups[se.group])
		e.uint(families[se.family])
		e.byte(se.flags)
		e.bool(se.shadow > 0)
		if se.shadow > 0 {
			e.shadow(&s.shadows[se.shadow-1])
		}
		if se.flags&seriesDebt != 0 {
			h := s.handovers[i]
			e.float(h.debt)
			e.byte(byte(h.skip))
			e.int(int64(h.until))
		}
	}
	return places
}

func (e *encoder) shadow(sh *shadow) {
	e.byte(byte(sh.ahead))
	e.float(sh.v)
	e.int(int64(sh.t))
	e.float(sh.extra)
	e.int(int64(sh.at))
}

func (e *encoder) targets(ts []target, rank []uint64) {
	type ranked struct {
		rank uint64
		target
	}
	sorted := make([]ranked, 0, len(ts))
	for _, t := range ts {
		sorted = append(sorted, ranked{rank[t.slot], t})
	}
	slices.SortStableFunc(sorted, func(a, b ranked) int { return int(a.rank) - int(b.rank) })
	e.uint(uint64(len(sorted)))
	for _, t := range sorted {
		e.uint(t.rank)
		e.float(t.good)
		e.float(t.total)
		e.bool(t.bucket)
		if t.bucket {
			e.float(t.at)
		}
	}
}

func (s *Stage) restoreSeries(d *reader) {
	n := d.count(len(bus.SeriesID{}) + 8)
	var lists []uint32
	for i := 0; i < n && !d.bad; i++ {
		id := bus.SeriesID(append(make([]byte, 0, 16), padded(d.bytes(16))...))
		if _, twice := s.byID[id]; twice {
			d.fail()
			return
		}
		number := d.uint()
		if number == uint64(len(lists)) {
			lists = append(lists, s.intern(s.restoreTargets(d)))
		} else if number > uint64(len(lists)) {
			d.fail()
			return
		}
		at := s.newSeries(id)
		se := &s.series[at]
		se.list = lists[number]
		se.last, se.t, se.matched, se.seen = d.float(), bus.Time(d.int()), uint32(d.uint()), uint32(d.uint())
		group := d.uint()
		if group > uint64(len(s.groups)) {
			d.fail()
			return
		}
		family := uint64(0)
		if d.version > 1 {
			family = d.uint()
		}
		if family > uint64(len(s.families)) {
			d.fail()
			return
		}
		if family > 0 {
			s.families[family-1].series++
		}
		se.group, se.family, se.flags = uint16(group), uint32(family), d.byte()
		if d.bool() {
			s.shadows = append(s.shadows, shadow{series: at + 1, ahead: int8(d.byte()), v: d.float(), t: bus.Time(d.int()), extra: d.float(), at: bus.Time(d.int())})
			se.shadow = uint32(len(s.shadows))
		}
		if se.flags&seriesDebt != 0 {
			s.handovers[at] = handover{debt: d.float(), skip: int8(d.byte()), until: bus.Time(d.int())}
		}
		s.countSeries(se.list, 1)
	}
}

func padded(b []byte) []byte {
	if b == nil {
		return make([]byte, 16)
	}
	return b
}

func (s *Stage) restoreTargets(d *reader) []target {
	var ts []target
	for n := d.count(3); n > 0 && !d.bad; n-- {
		rank := d.uint()
		if rank >= uint64(len(s.order)) {
			d.fail()
			return nil
		}
		tg := target{slot: s.order[rank].slot, good: d.float(), total: d.float()}
		if d.version > 3 && d.bool() {
			if tg.bucket, tg.at = true, d.float(); math.IsNaN(tg.at) {
				d.fail()
			}
		}
		ts = append(ts, tg)
	}
	return ts
}

// writers writes, for each writer, its pages of refs as runs of unknown and known ones.
func (e *encoder) writers(s *Stage, places []uint64) {
	ws := s.sortedWriters()
	e.uint(uint64(len(ws)))
	for _, w := range ws {
		e.b = binary.LittleEndian.AppendUint64(e.b, w.id)
		e.uint(w.number)
		e.int(int64(w.seen))
		e.uint(w.catalogue)
		var pages []int
		for p := range w.pages {
			if w.pages[p] != nil {
				pages = append(pages, p)
			}
		}
		e.uint(uint64(len(pages)))
		for _, p := range pages {
			e.uint(uint64(p))
			before := uint64(0)
			for _, v := range w.pages[p] {
				if v >= refSeries {
					place := places[v-refSeries]
					e.uint(zigzag(int64(place-before)) + refSeries)
					before = place
				} else {
					e.uint(uint64(v))
				}
			}
		}
	}
}

func (s *Stage) restoreWriters(d *reader) {
	n := d.count(11)
	if n > maxWriters {
		d.fail()
	}
	for ; n > 0 && !d.bad; n-- {
		id := d.bytes(8)
		if id == nil {
			return
		}
		w := &writer{id: binary.LittleEndian.Uint64(id), number: d.uint(), seen: bus.Time(d.int())}
		if d.version > 1 {
			w.catalogue = d.uint()
		}
		for pages := d.count(1 + pageRefs); pages > 0 && !d.bad; pages-- {
			s.restorePage(d, w)
		}
		s.writers[w.id] = w
	}
}

func (s *Stage) restorePage(d *reader, w *writer) {
	p := d.uint()
	if p >= maxRef/pageRefs || s.pages >= maxPages {
		d.fail()
		return
	}
	for p >= uint64(len(w.pages)) {
		w.pages = append(w.pages, make([]*[pageRefs]uint32, 1+len(w.pages)/4)...)
	}
	page := new([pageRefs]uint32)
	s.pages++
	before := uint64(0)
	for i := range page {
		v := d.uint()
		if v < refSeries {
			page[i] = uint32(v)
			continue
		}
		v -= refSeries
		before += uint64(int64(v>>1) ^ -int64(v&1))
		if before >= uint64(len(s.series)) || before > math.MaxUint32-refSeries {
			d.fail()
			return
		}
		page[i] = uint32(before) + refSeries
	}
	w.pages[p] = page
}
