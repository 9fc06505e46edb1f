package slo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// snapshotVersion is the version of the state that Snapshot writes. Restore reads it and those before: version 1 has no families and
// no revisions of the catalogue, version 2 no calendar windows and no slices of time, version 3 no firings and no
// shapes of histograms.
const snapshotVersion = 4

// Snapshot implements [bus.Stage]. Everything stands in an order of its own: SLOs by key, series by identity, writers and sources by
// name; so equal states give equal bytes whatever way led to them.
func (s *Stage) Snapshot() ([]byte, error) {
	e := &encoder{b: make([]byte, 0, 4096+64*len(s.byID)+16_384*len(s.order))}
	e.str("EKO")
	e.byte(snapshotVersion)
	e.uint(uint64(s.Partition))
	e.uint(uint64(s.Partitions))
	e.bool(s.started)
	for _, v := range []int64{s.closed, s.pendingTo, int64(s.lastTick), int64(s.hold), s.lastSweep, s.lastFull, int64(s.unseen)} {
		e.int(v)
	}
	e.uint(uint64(s.defined))
	e.uint(uint64(len(s.removed)))
	for _, k := range s.removed {
		e.str(k)
	}
	e.exclusions(s)
	rank := make([]uint64, len(s.trackers)) // slot -> place in order
	e.uint(uint64(len(s.order)))
	for i, t := range s.order {
		rank[t.slot] = uint64(i)
		if err := e.tracker(t); err != nil {
			return nil, err
		}
	}
	e.sources(s)
	groups := e.groups(s)
	families := e.families(s)
	places := e.series(s, rank, groups, families)
	e.writers(s, places)
	return e.b, nil
}

// Restore implements [bus.Stage]. Bytes that are no state leave the stage empty and are an error.
func (s *Stage) Restore(state []byte) error {
	s.reset()
	d := &reader{b: state}
	if err := s.restore(d); err != nil {
		s.reset()
		return fmt.Errorf("slo: restore partition %d: %w", s.Partition, err)
	}
	return nil
}

func (s *Stage) restore(d *reader) error {
	if magic, v := d.str(), d.byte(); magic != "EKO" || v < 1 || v > snapshotVersion {
		return fmt.Errorf("state of version %d is not known here; 1 to %d are", v, snapshotVersion)
	} else {
		d.version = v
	}
	if p, n := d.uint(), d.uint(); !d.bad && (p != uint64(s.Partition) || n != uint64(s.Partitions)) {
		return fmt.Errorf("the state is of partition %d of %d, this is %d of %d", p, n, s.Partition, s.Partitions)
	}
	s.started = d.bool()
	s.closed, s.pendingTo, s.lastTick, s.hold = d.int(), d.int(), bus.Time(d.int()), bus.Time(d.int())
	s.lastSweep, s.lastFull = d.int(), d.int()
	if d.version > 1 {
		s.unseen = bus.Time(d.int())
	}
	s.defined = uint32(d.uint())
	if s.closed < 0 || s.closed > math.MaxInt64/2000 || s.pendingTo < 0 || s.pendingTo > s.closed+10*pendingBins {
		d.fail()
	}
	for n := d.count(1); n > 0 && !d.bad; n-- {
		k := d.str()
		if bytes.Count([]byte(k), []byte{0}) != 2 {
			d.fail()
		}
		s.removed = append(s.removed, k)
	}
	if d.version > 2 {
		if err := s.restoreExclusions(d); err != nil {
			return err
		}
	}
	for n := d.count(32); n > 0 && !d.bad; n-- {
		if err := s.restoreTracker(d); err != nil {
			return err
		}
	}
	s.restoreSources(d)
	s.restoreGroups(d)
	if d.version > 1 {
		s.restoreFamilies(d)
	}
	s.restoreSeries(d)
	s.restoreWriters(d)
	if err := d.end(); err != nil {
		return err
	}
	s.index()
	return nil
}

// tracker writes one SLO: its definition as JSON, then its numbers.
func (e *encoder) tracker(t *tracker) error {
	o, err := json.Marshal(struct {
		Ref mesh.Ref
		O   *Objective
	}{t.ref, &t.o})
	if err != nil {
		return fmt.Errorf("objective %q: %w", t.key, err)
	}
	e.str(string(o))
	e.uint(uint64(t.generation))
	for _, v := range []int64{int64(t.defined), int64(t.fed), t.data, t.interval, t.badAt, int64(t.limitAt), t.gapAfter} {
		e.int(v)
	}
	e.uint(t.revision)
	e.int(int64(t.unproven))
	e.name(t.gapReason)
	e.bool(t.broken)
	e.name(t.state)
	e.name(t.reason)
	e.bool(t.sliBad)
	e.bool(t.dirty)
	e.name(t.ungrouped)
	e.byte(t.idle)
	for _, v := range []float64{t.minute.good, t.minute.total, t.minute.lateGood, t.minute.lateTotal} {
		e.float(v)
	}
	e.int(t.minute.covered)
	e.uint(uint64(len(t.late)))
	for _, l := range t.late {
		e.int(int64(l.Minute / bus.Minute))
		e.cell(cell{l.Good, l.Total})
	}
	for i := range t.alerts {
		a := &t.alerts[i]
		e.name(a.state)
		e.byte(a.on)
		e.byte(a.pair)
		e.bool(a.tail)
		e.bool(a.told)
		e.bool(a.old)
		e.int(int64(a.since))
		e.int(int64(a.starts))
		e.int(int64(a.under))
		e.uint(a.id)
	}
	e.uint(uint64(len(t.lumps)))
	for _, l := range t.lumps {
		e.int(l.second)
		e.uint(uint64(l.least))
		e.cell(l.c)
	}
	e.b = append(e.b, t.marks[:]...)
	e.rings(&t.rings)
	e.slicer(t.slicer)
	e.cut(&t.cut)
	e.float(t.minute.cutGood)
	e.float(t.minute.cutTotal)
	e.int(t.minute.excluded)
	e.bounds(t.bounds)
	e.int(t.back)
	e.fired(t.fired)
	e.shape(t.shape)
	return nil
}

func (e *encoder) fired(fs []fired) {
	e.uint(uint64(len(fs)))
	for i := range fs {
		f := &fs[i]
		e.byte(f.tier)
		e.byte(f.pair)
		e.int(int64(f.at))
		e.int(int64(f.until))
		e.cell(f.long)
		e.cell(f.short)
	}
}

func (e *encoder) cell(c cell) {
	e.float(c.good)
	e.float(c.total)
}

// rings writes heads and sums, then the cells that are not empty, as runs.
func (e *encoder) rings(rs *rings) {
	for i := range rs.rings {
		r := &rs.rings[i]
		e.int(r.head)
		e.cell(cell{r.good, r.total})
		e.bool(r.fractional)
	}
	for i := 0; i < len(rs.cells); {
		from := i
		for i < len(rs.cells) && rs.cells[i] == (cell{}) {
			i++
		}
		e.uint(uint64(i - from))
		from = i
		for i < len(rs.cells) && rs.cells[i] != (cell{}) {
			i++
		}
		e.uint(uint64(i - from))
		for _, c := range rs.cells[from:i] {
			e.cell(c)
		}
	}
	for _, c := range rs.covered {
		e.uint(uint64(c))
	}
	if rs.calendar != nil {
		e.int(rs.from)
		e.int(rs.seen)
	}
}

func (e *encoder) slicer(s *slicer) {
	if s == nil {
		return
	}
	e.int(s.done)
	e.int(s.head)
	e.float(s.last)
	e.bool(s.bad)
	for i := range s.raw {
		r := &s.raw[i]
		e.int(r.number)
		if r.number != 0 {
			e.cell(r.cell)
			e.float(r.v)
			e.bool(r.data)
			e.bool(r.counts)
		}
	}
}

func (s *Stage) restoreTracker(d *reader) error {
	var def struct {
		Ref mesh.Ref
		O   Objective
	}
	if err := json.Unmarshal(d.bytes(d.uint()), &def); err != nil {
		return fmt.Errorf("objective: %w", err)
	}
	if err := def.O.Validate(); err != nil {
		return fmt.Errorf("objective %s/%s/%s: %w", def.O.GlobalNamespace, def.O.Service, def.O.Name, err)
	}
	t := &tracker{ref: def.Ref, o: def.O, key: keyOf(&def.O), sli: def.O.counted(), generation: uint32(d.uint())}
	if s.byKey[t.key] != nil {
		return fmt.Errorf("objective %q stands twice", t.key)
	}
	if t.o.RollUp != "" { // it stands before its groups, since keys ascend
		roll := t.o
		roll.Name = t.o.RollUp
		if t.rollUp = s.byKey[keyOf(&roll)]; t.rollUp == nil || t.rollUp.rollUp != nil {
			return fmt.Errorf("objective %q is a group of %q, which is not there", t.key, t.o.RollUp)
		}
		t.o.SLI, t.o.Window = t.rollUp.o.SLI, t.rollUp.o.Window // one copy for all
	}
	t.configure()
	t.begin(0, 1)
	s.enter(t)
	t.restore(d)
	s.revision = max(s.revision, t.revision)
	return nil
}

func (t *tracker) restore(d *reader) {
	t.defined, t.fed, t.data, t.interval = bus.Time(d.int()), bus.Time(d.int()), d.int(), d.int()
	t.badAt, t.limitAt, t.gapAfter = d.int(), bus.Time(d.int()), d.int()
	t.revision, t.unproven = 1, t.defined // version 1 does not say; an ingest without a catalogue has revision 0
	if d.version > 1 {
		t.revision, t.unproven = d.uint(), bus.Time(d.int())
	}
	t.gapReason, t.broken, t.state, t.reason, t.sliBad, t.dirty = d.name(), d.bool(), d.name(), d.name(), d.bool(), d.bool()
	if d.version > 2 {
		t.ungrouped, t.idle = d.name(), d.byte()
	}
	t.minute = entry{good: d.float(), total: d.float(), lateGood: d.float(), lateTotal: d.float(), covered: d.int()}
	if d.version > 2 {
		for n := d.count(3); n > 0 && !d.bad; n-- {
			l := LateMinute{Minute: bus.Time(d.int()) * bus.Minute}
			c := d.cell()
			l.Good, l.Total = c.good, c.total
			t.late = append(t.late, l)
		}
	}
	for i := range t.alerts {
		t.alerts[i] = alert{
			state: d.name(), on: d.byte(), pair: d.byte(), tail: d.bool(), told: d.bool(), old: d.bool(),
			since: bus.Time(d.int()), starts: bus.Time(d.int()), under: bus.Time(d.int()), id: d.uint(),
		}
	}
	for n := d.count(4); n > 0 && !d.bad; n-- {
		t.lumps = append(t.lumps, lump{second: d.int(), least: Duration(d.uint()), c: d.cell()})
	}
	copy(t.marks[:], d.bytes(pendingBins))
	d.rings(&t.rings)
	d.slicer(t.slicer)
	if d.version > 2 {
		d.cut(&t.cut)
		t.minute.cutGood, t.minute.cutTotal, t.minute.excluded = d.float(), d.float(), d.int()
		d.bounds(t.bounds)
		if t.back = d.int(); t.back < 0 || t.back > lastSecond/60 {
			d.fail()
		}
	}
	if d.version > 3 {
		d.fired(t)
		d.shape(t.shape)
	} else {
		t.shape = nil // the objective did not ask for one
	}
	t.period = 0
	t.scale()
}

func (d *reader) fired(t *tracker) {
	n := d.uint()
	if n > maxFired {
		d.fail()
		return
	}
	for ; n > 0 && !d.bad; n-- {
		f := fired{tier: d.byte(), pair: d.byte(), at: bus.Time(d.int()), until: bus.Time(d.int()), long: d.cell(), short: d.cell()}
		if int(f.tier) >= len(t.tiers) || t.tiers[f.tier].isBurn() && int(f.pair) >= len(t.pairs[f.tier]) {
			d.fail()
			return
		}
		t.fired = append(t.fired, f)
	}
}

func (d *reader) slicer(s *slicer) {
	if s == nil {
		return
	}
	s.done, s.head, s.last, s.bad = d.int(), d.int(), d.float(), d.bool()
	for i := range s.raw {
		r := &s.raw[i]
		if r.number = d.int(); r.number != 0 {
			r.cell, r.v, r.data, r.counts = d.cell(), d.float(), d.bool(), d.bool()
		}
		if r.number < 0 || r.number != 0 && mod(r.number, int64(len(s.raw))) != int64(i) {
			d.fail()
		}
	}
	if s.done < 0 || s.head < 0 || s.done > math.MaxInt64/2000/s.length || s.head > math.MaxInt64/2000/s.length {
		d.fail()
	}
}

func (d *reader) cell() cell { return cell{d.float(), d.float()} }

func (d *reader) rings(rs *rings) {
	for i := range rs.rings {
		r := &rs.rings[i]
		r.head = d.int()
		c := d.cell()
		r.good, r.total, r.fractional = c.good, c.total, d.bool()
		if r.head < 0 || r.head > math.MaxInt64/r.width/2000 {
			d.fail()
		}
	}
	for i := uint64(0); i < uint64(len(rs.cells)) && !d.bad; {
		empty, full := d.uint(), d.uint()
		if left := uint64(len(rs.cells)) - i; empty > left || full > left-empty || empty+full == 0 {
			d.fail()
			return
		}
		i += empty
		for range full {
			rs.cells[i] = d.cell()
			i++
		}
	}
	for i := range rs.covered {
		rs.covered[i] = uint16(d.uint())
	}
	if rs.calendar != nil {
		from := d.int()
		if from < 0 || from > lastSecond {
			d.fail()
			return
		}
		rs.period(from)
		rs.seen = d.int()
	}
}

// sortedIDs returns the places of all series by identity.
func (s *Stage) sortedIDs() []uint32 {
	out := make([]uint32, 0, len(s.byID))
	for i := range s.series {
		if s.series[i].used {
			out = append(out, uint32(i))
		}
	}
	slices.SortFunc(out, func(a, b uint32) int { return bytes.Compare(s.ids[a][:], s.ids[b][:]) })
	return out
}
