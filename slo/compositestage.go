package slo

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// CompositeStageName is the name of the stage of composites in checkpoints and headers.
const CompositeStageName = "composite"

// Rules of time.
const (
	// joinWait is how long after its end, in seconds, a minute waits for members' partitions: less than behindAfter, so that alerts still fire.
	joinWait = 28
	// silentMinutes is how many minutes a partition tells nothing of before it is not waited for.
	silentMinutes = 2
)

// Composites is the stage that counts composite objectives. It reads what the partitions of [Stage] write into the ledger, one frame for
// each minute and partition, and lives in one global partition, since members may be of any service.
//
// A minute is joined when each partition with a member has told of it, or 28 s after its end. What a partition tells later, since its
// senders or itself were behind, and events that come late in a member correct the minute in every window, for an hour.
type Composites struct {
	stage   *Stage
	members map[StatusKey]*memberMinutes
	heard   []int64 // newest minute that each partition has told of
	needed  []bool  // partitions with members
}

// NewComposites returns an empty stage over the ledger of a number of partitions (0: the default).
func NewComposites(partitions int, cfg Config) (*Composites, error) {
	cfg.Partitions, cfg.Partition = partitions, 0
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	cfg.Partition, cfg.joint = cfg.Partitions, true // its status frames are those of one partition more
	s := &Stage{Config: cfg}
	c := &Composites{stage: s}
	c.reset()
	return c, nil
}

func (c *Composites) reset() {
	c.stage.reset()
	c.heard = make([]int64, c.stage.Partitions)
	c.enlist()
}

// CompositeSpec describes the stage to [bus.Run].
func CompositeSpec(partitions int, cfg Config) (bus.Spec, error) {
	if _, err := NewComposites(partitions, cfg); err != nil {
		return bus.Spec{}, err
	}
	return bus.Spec{
		Name:       CompositeStageName,
		Partitions: 1,
		Reads:      []string{SubjectLedgerFrame, bus.SubjectTick, mesh.SubjectChange},
		New: func(int) bus.Stage {
			c, err := NewComposites(partitions, cfg)
			if err != nil {
				panic(err) // the same bounds were accepted above
			}
			return c
		},
	}, nil
}

// Step implements [bus.Stage].
func (c *Composites) Step(r *bus.Record) ([]bus.Draft, error) {
	s := c.stage
	s.now, s.out = r.Time, nil
	if s.closed == 0 {
		s.closed = max(60, floorDiv(secondOf(s.now), 60)*60)
	}
	switch {
	case r.Is(SubjectLedgerFrame):
		c.take(r.Data)
	case r.Is(bus.SubjectTick):
		s.noteTick()
		c.minutes()
		s.tick()
	case r.Subject == bus.SubjectGap:
		s.Stats.MessagesMissing.Add(r.Missing)
		s.markAll(ReasonGap)
	case r.Is(mesh.SubjectChange):
		s.redefine(r.Data)
		c.enlist()
	}
	s.tally.publish(s.Stats)
	return s.out, nil
}

// enlist keeps minutes of the members that there are, and of no others.
func (c *Composites) enlist() {
	before := c.members
	c.members, c.needed = map[StatusKey]*memberMinutes{}, make([]bool, c.stage.Partitions)
	for _, t := range c.stage.order {
		for i := range t.o.Composite.Members {
			key := t.o.Composite.Members[i].key(t.o.GlobalNamespace)
			c.needed[bus.Partition(key.GlobalNamespace, key.Service, c.stage.Partitions)] = true
			if m := before[key]; m != nil {
				c.members[key] = m
			} else if c.members[key] == nil {
				c.members[key] = &memberMinutes{}
			}
		}
	}
}

// take keeps what a frame of the ledger says of members. Where the minute is over already, it is corrected.
func (c *Composites) take(data []byte) {
	s := c.stage
	f, err := DecodeLedgerFrame(data)
	if err != nil {
		s.Stats.FramesDamaged.Add(1)
		s.markAll(ReasonDamagedFrame)
		return
	}
	minute := int64(f.Minute / bus.Minute)
	if f.Partition >= s.Partitions || minute <= 0 || minute > secondOf(s.now+maxAhead)/60 {
		return // our own, or no minute that there can be
	}
	c.heard[f.Partition] = max(c.heard[f.Partition], minute)
	told := []int64{minute}
	for i := range f.Entries {
		e := &f.Entries[i]
		m := c.members[e.StatusKey]
		if m == nil {
			continue
		}
		// What covers time in a minute that has late events alone is those.
		if covered := e.Covered > 0 && (e.Total > 0 || len(e.Late) == 0); !m.take(minute, e.Good, e.Total, covered) {
			s.tally.late++
		}
		for _, l := range e.Late {
			if was := int64(l.Minute / bus.Minute); was > 0 && was <= minute && m.take(was, l.Good, l.Total, true) {
				told = append(told, was)
			}
		}
	}
	slices.Sort(told)
	for _, was := range slices.Compact(told) {
		if was >= s.closed/60 {
			break
		}
		for _, t := range s.order {
			if c.reads(t, f.Partition) {
				c.join(t, was)
			}
		}
	}
}

// reads reports whether a member of a composite is in a partition.
func (c *Composites) reads(t *tracker, partition int) bool {
	return slices.ContainsFunc(t.o.Composite.Members, func(m Member) bool {
		return bus.Partition(t.o.GlobalNamespace, m.Service, c.stage.Partitions) == partition
	})
}

// minutes joins all minutes that are complete, or waited for long enough.
func (c *Composites) minutes() {
	s := c.stage
	now := secondOf(s.now)
	if old := now - keptMinutes*60; s.closed < old { // of what is older no member's minutes are kept
		s.closeMinute(floorDiv(old, 60) * 60)
	}
	for s.closed+60 <= now && (now-s.closed-60 >= joinWait || c.complete(s.closed/60)) {
		for _, t := range s.order {
			c.join(t, s.closed/60)
		}
		s.closeMinute(s.closed + 60)
	}
}

// complete reports whether every partition with members that has told anything lately has told of a minute.
func (c *Composites) complete(minute int64) bool {
	for p, heard := range c.heard {
		if c.needed[p] && heard < minute && heard >= minute-silentMinutes {
			return false
		}
	}
	return true
}

// closeMinute closes the time before a second, which a minute begins with.
func (s *Stage) closeMinute(next int64) {
	at := bus.Time(next) * bus.Second
	behind := s.now-at > behindAfter || at < s.hold
	for _, t := range s.order {
		t.close(s.closed, next)
		t.endGap(next)
		s.watch(t, at, behind)
	}
	minute := next/60 - 1
	s.closed = next
	s.emitLedger(minute)
}

// join counts a minute of a composite, or counts it anew. A minute without data of any member is left to the slices of time: they do with
// it what the objective says.
func (c *Composites) join(t *tracker, minute int64) {
	s := c.stage
	if (minute+1)*60 <= secondOf(t.defined) {
		return
	}
	parts := make([]part, 0, len(t.o.Composite.Members))
	some := false
	for i := range t.o.Composite.Members {
		m := &t.o.Composite.Members[i]
		p := part{m, c.members[m.key(t.o.GlobalNamespace)].share(minute)}
		some = some || p.share != nil
		switch none := t.o.noData(); {
		case p.share != nil:
		case none == NoDataGood:
			p.share = big.NewRat(1, 1)
		case none == NoDataBad:
			p.share = new(big.Rat)
		case none == NoDataExclude:
			continue
		default:
			return
		}
		parts = append(parts, p)
	}
	if !some {
		return
	}
	v := join(t.o.Composite.Join, parts)
	if r := t.slicer.at(minute); r.number == minute && r.data {
		if r.good != v {
			r.good = v
			t.reslice(r)
			t.dirty = true
			s.tally.late++
		}
		return
	}
	s.put(t, minute*60+59, cell{v, 1}, 0)
}

// keys returns the members in order.
func (c *Composites) keys() []StatusKey {
	return slices.SortedFunc(maps.Keys(c.members), compareStatusKeys)
}

// Snapshot implements [bus.Stage].
func (c *Composites) Snapshot() ([]byte, error) {
	inner, err := c.stage.Snapshot()
	if err != nil {
		return nil, err
	}
	e := &encoder{}
	e.str("EKC")
	e.byte(1)
	e.str(string(inner))
	for _, h := range c.heard {
		e.int(h)
	}
	for _, k := range c.keys() { // who they are follows from the objectives
		m := c.members[k]
		for i := range m {
			e.int(m[i].number)
			if m[i].number != 0 {
				e.cell(cell{m[i].good, m[i].total})
				e.bool(m[i].covered)
			}
		}
	}
	return e.b, nil
}

// Restore implements [bus.Stage].
func (c *Composites) Restore(state []byte) error {
	c.reset()
	if err := c.restore(&reader{b: state}); err != nil {
		c.reset()
		return fmt.Errorf("composites: %w", err)
	}
	return nil
}

func (c *Composites) restore(d *reader) error {
	if magic, v := d.str(), d.byte(); magic != "EKC" || v != 1 {
		return fmt.Errorf("state of version %d is not known here; 1 is", v)
	}
	if err := c.stage.Restore(bytes.Clone(d.bytes(d.uint()))); err != nil {
		return err
	}
	for _, t := range c.stage.order {
		if t.o.Composite == nil {
			return fmt.Errorf("objective %q has no members", t.key)
		}
	}
	for i := range c.heard {
		if c.heard[i] = d.int(); c.heard[i] < 0 || c.heard[i] > math.MaxInt64/100_000 {
			d.fail()
		}
	}
	c.enlist()
	for _, k := range c.keys() {
		c.members[k].restore(d)
	}
	return d.end()
}

func (m *memberMinutes) restore(d *reader) {
	for i := range m {
		if m[i].number = d.int(); m[i].number != 0 {
			c := d.cell()
			m[i].good, m[i].total, m[i].covered = c.good, c.total, d.bool()
		}
		if m[i].number < 0 || m[i].number != 0 && mod(m[i].number, keptMinutes) != int64(i) {
			d.fail()
		}
	}
}
