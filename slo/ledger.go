package slo

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"evenkeel.dev/bus"
)

// ledgerVersion is the version of frames that this code writes; it reads the one before too, which does not say when late events were
// and knows no exclusions.
const ledgerVersion = 2

// lateMinutes is how far back, in minutes, the ledger says of late events when they were: as long as slices of time are corrected.
const lateMinutes = keptMinutes

// A LedgerFrame holds one minute of event time of a partition. Adding up all frames gives every counted event exactly once.
type LedgerFrame struct {
	Partition int
	Minute    bus.Time // its beginning
	Entries   []LedgerEntry
}

// A LedgerEntry is one SLO's minute. SLOs without data in a minute are not in its frame.
type LedgerEntry struct {
	StatusKey
	Generation  uint32  // of the SLI
	Good, Total float64 // events of the minute
	Covered     int     // seconds of time, ending in this minute, for which data came; at most 60 are of the minute itself
	Excluded    int     // seconds of the minute that do not count; those that are excluded later are not among them
	// LateGood and LateTotal are events of earlier minutes that came after those were closed, less those that were excluded afterwards.
	LateGood, LateTotal float64
	Late                []LateMinute // when those of the last hour were, each minute once; empty where slices of time are counted
}

// A LateMinute are late events of one minute.
type LateMinute struct {
	Minute      bus.Time // its beginning
	Good, Total float64
}

// An entry is a minute being filled.
type entry struct {
	good, total, lateGood, lateTotal float64
	covered, excluded                int64
	cutGood, cutTotal                float64 // of lateGood and lateTotal, what was excluded after it was counted
}

// EncodeLedgerFrame packs a frame.
func EncodeLedgerFrame(f *LedgerFrame) []byte {
	e := encoder{b: make([]byte, 0, 32+48*len(f.Entries))}
	e.str("EKL")
	e.byte(ledgerVersion)
	e.uint(uint64(f.Partition))
	e.int(int64(f.Minute / bus.Minute))
	e.uint(uint64(len(f.Entries)))
	for i := range f.Entries {
		n := &f.Entries[i]
		e.str(n.GlobalNamespace)
		e.str(n.Service)
		e.str(n.Name)
		e.uint(uint64(n.Generation))
		e.float(n.Good)
		e.float(n.Total)
		e.uint(uint64(n.Covered))
		e.float(n.LateGood)
		e.float(n.LateTotal)
		e.uint(uint64(len(n.Late)))
		for _, l := range n.Late {
			e.int(int64((f.Minute - l.Minute) / bus.Minute))
			e.float(l.Good)
			e.float(l.Total)
		}
		e.uint(uint64(n.Excluded))
	}
	return e.b
}

// DecodeLedgerFrame reads a frame; it never panics.
func DecodeLedgerFrame(b []byte) (*LedgerFrame, error) {
	d := reader{b: b}
	if magic, v := d.str(), d.byte(); magic != "EKL" || v < 1 || v > ledgerVersion {
		return nil, fmt.Errorf("slo: ledger frame of version %d is not known here; 1 to %d are", v, ledgerVersion)
	} else {
		d.version = v
	}
	f := &LedgerFrame{Partition: int(d.uint() & math.MaxInt32), Minute: bus.Time(d.int()) * bus.Minute}
	for n := d.count(9); n > 0 && !d.bad; n-- {
		n := LedgerEntry{
			StatusKey: StatusKey{d.str(), d.str(), d.str()}, Generation: uint32(d.uint()),
			Good: d.float(), Total: d.float(), Covered: int(d.uint() & math.MaxInt32), LateGood: d.float(), LateTotal: d.float(),
		}
		if d.version > 1 {
			for k := d.count(3); k > 0 && !d.bad; k-- {
				n.Late = append(n.Late, LateMinute{Minute: f.Minute - bus.Time(d.int())*bus.Minute, Good: d.float(), Total: d.float()})
			}
			n.Excluded = int(d.uint() & math.MaxInt32)
		}
		f.Entries = append(f.Entries, n)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("ledger frame: %w", err)
	}
	return f, nil
}

// emitLedger drafts a minute that is closed.
func (s *Stage) emitLedger(minute int64) {
	f := LedgerFrame{Partition: s.Partition, Minute: bus.Time(minute) * bus.Minute}
	for _, t := range s.order {
		m := t.minute
		if m == (entry{}) && len(t.late) == 0 {
			continue
		}
		s.correctLate(t, minute)
		late := t.late
		t.minute, t.late = entry{}, nil
		f.Entries = append(f.Entries, LedgerEntry{
			StatusKey: StatusKey{t.o.GlobalNamespace, t.o.Service, t.o.Name}, Generation: t.generation,
			Good: m.good, Total: m.total, Covered: int(m.covered), Excluded: int(m.excluded), LateGood: m.lateGood, LateTotal: m.lateTotal, Late: late,
		})
	}
	for len(f.Entries) > 0 {
		part := f
		n := min(len(f.Entries), statusChunk*4)
		part.Entries, f.Entries = f.Entries[:n], f.Entries[n:]
		s.out = append(s.out, bus.Draft{Subject: SubjectLedgerFrame + strconv.Itoa(s.Partition), To: bus.All, Data: EncodeLedgerFrame(&part)})
	}
}

// lateAt notes in which minute late events were.
func (t *tracker) lateAt(second int64, c cell) {
	minute := bus.Time(floorDiv(second, 60)) * bus.Minute
	if minute < bus.Time(t.data)*bus.Second-lateMinutes*bus.Minute {
		return
	}
	i, found := slices.BinarySearchFunc(t.late, minute, func(l LateMinute, m bus.Time) int { return cmp.Compare(l.Minute, m) })
	if !found {
		t.late = slices.Insert(t.late, i, LateMinute{Minute: minute})
	}
	t.late[i].Good += c.good
	t.late[i].Total += c.total
}
