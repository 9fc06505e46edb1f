package slo

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
)

// statusVersion is the version of status frames that this code writes; it reads the one before too: version 1 knows rolling windows and
// counts of events alone, version 2 no figures of latency and no messages.
const statusVersion = 3

// Bounds of status frames: one entry has about 150 bytes, a message of the log at most some MiB.
const (
	statusChunk = 4096
	fullEvery   = 10 // seconds between full frames
)

// A StatusFrame is what one partition tells of its SLOs. A full picture has Parts frames, in order; a frame with Parts 0 holds what
// changed since.
type StatusFrame struct {
	Partition int
	At        bus.Time // record time
	AsOf      Moment   // event time up to which the partition has counted
	Part      int      // from 0
	Parts     int
	Statuses  []Status
	Removed   []StatusKey
}

// A StatusKey names an SLO.
type StatusKey struct{ GlobalNamespace, Service, Name string }

func compareStatusKeys(a, b StatusKey) int {
	x, y := [3]string{a.GlobalNamespace, a.Service, a.Name}, [3]string{b.GlobalNamespace, b.Service, b.Name}
	return slices.Compare(x[:], y[:])
}

// names are the constants that stand as one byte in a frame; new ones are added at the end.
func names() []string {
	return []string{
		"", StateHealthy, StateWarning, StateViolation, StateExhausted, StateUnknown, ReasonMeetsObjective, ReasonMissesObjective,
		ReasonBudgetSpent, ReasonNoTraffic, ReasonNoDataYet, ReasonNoData, ReasonBadData, ReasonGap, ReasonDamagedFrame,
		ReasonUnknownSeries, ReasonSeriesLimit, ReasonBehind, AlertInactive, AlertPending, AlertFiring, AlertLate, WindowRolling,
		SeverityPage, SeverityTicket, MethodOccurrences, MethodTimeslices, MethodRatioTimeslices, WindowCalendar, UnitDay, UnitWeek,
		UnitMonth, UnitQuarter, UnitYear, ReasonGroupLimit, ReasonGroupValue, ReasonExcluded,
	}
}

// name writes a constant as its number, anything else as 255 and the text.
func (e *encoder) name(v string) {
	if i := slices.Index(names(), v); i >= 0 {
		e.byte(byte(i))
		return
	}
	e.byte(255)
	e.str(v)
}

func (d *reader) name() string {
	i := d.byte()
	if i == 255 {
		return d.str()
	}
	if ns := names(); int(i) < len(ns) {
		return ns[i]
	}
	d.fail()
	return ""
}

// EncodeStatusFrame packs a frame, about 150 bytes for an SLO. SLI and budget are not in it: they follow from counts and objective.
func EncodeStatusFrame(f *StatusFrame) []byte {
	e := encoder{b: make([]byte, 0, 64+160*len(f.Statuses))}
	e.str("EKS")
	e.byte(statusVersion)
	e.uint(uint64(f.Partition))
	e.int(int64(f.At))
	e.int(int64(f.AsOf))
	e.uint(uint64(f.Part))
	e.uint(uint64(f.Parts))
	e.uint(uint64(len(f.Statuses)))
	for i := range f.Statuses {
		e.status(&f.Statuses[i], f.AsOf)
	}
	e.uint(uint64(len(f.Removed)))
	for _, k := range f.Removed {
		e.str(k.GlobalNamespace)
		e.str(k.Service)
		e.str(k.Name)
	}
	return e.b
}

func (e *encoder) status(st *Status, asOf Moment) {
	e.str(st.GlobalNamespace)
	e.str(st.Service)
	e.str(st.Name)
	e.str(st.Objective.String())
	e.name(st.Window.Type)
	e.uint(uint64(st.Window.Duration))
	if c := st.Window.Calendar; c != nil {
		e.name(c.Unit)
		e.uint(uint64(c.Count))
		e.str(c.Start)
		e.str(c.Zone.Name)
		e.int(int64(st.Period.From))
		e.int(int64(st.Period.Until))
	}
	e.name(st.Method)
	e.uint(uint64(st.Slice))
	if st.Slice > 0 {
		e.float(st.Slices)
	}
	e.int(int64(st.CountedFrom))
	e.bool(st.Forecast != nil)
	if f := st.Forecast; f != nil {
		e.uint(uint64(f.Window))
		e.uint(uint64(f.In))
		e.uint(uint64(f.Early))
		e.uint(uint64(f.Late))
	}
	e.groupsStatus(st)
	e.excluded(st.Excluded)
	e.name(st.State)
	e.name(st.Reason)
	e.bool(st.SLIBad)
	e.float(st.Events.Good)
	e.float(st.Events.Total)
	e.float(math.Round(st.Coverage * 1e6)) // in millionths
	e.int(int64(asOf - st.AsOf))
	e.uint(uint64(len(st.BurnRates)))
	for _, b := range st.BurnRates {
		e.uint(uint64(b.Window))
		e.bool(b.Rate != nil)
		if b.Rate != nil {
			e.float(*b.Rate)
		}
	}
	e.uint(uint64(len(st.Alerts)))
	for _, a := range st.Alerts {
		e.name(a.Tier)
		e.name(a.State)
		e.int(int64(asOf - a.Since))
	}
	e.str(st.Message)
	e.latency(st, asOf)
}

// DecodeStatusFrame reads a frame. It never panics and allocates no more than a small multiple of the input.
func DecodeStatusFrame(b []byte) (*StatusFrame, error) {
	d := reader{b: b}
	if magic, v := d.str(), d.byte(); magic != "EKS" || v < 1 || v > statusVersion {
		return nil, fmt.Errorf("slo: status frame of version %d is not known here; 1 to %d are", v, statusVersion)
	} else {
		d.version = v
	}
	f := &StatusFrame{Partition: int(d.uint() & math.MaxInt32), At: bus.Time(d.int()), AsOf: Moment(d.int()), Part: int(d.uint() & math.MaxInt32), Parts: int(d.uint() & math.MaxInt32)}
	for n := d.count(16); n > 0 && !d.bad; n-- {
		f.Statuses = append(f.Statuses, d.status(f.AsOf))
	}
	for n := d.count(3); n > 0 && !d.bad; n-- {
		f.Removed = append(f.Removed, StatusKey{d.str(), d.str(), d.str()})
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("status frame: %w", err)
	}
	return f, nil
}

func (d *reader) status(asOf Moment) Status {
	st := Status{GlobalNamespace: d.str(), Service: d.str(), Name: d.str()}
	objective, err := ParseDecimal(d.str())
	if err != nil {
		d.fail()
	}
	st.Objective = objective
	d.window(&st)
	st.State, st.Reason, st.SLIBad = d.name(), d.name(), d.bool()
	st.Events = Events{Good: d.float(), Total: d.float()}
	st.Coverage = d.float() / 1e6
	st.AsOf = asOf - Moment(d.int())
	for n := d.count(2); n > 0 && !d.bad; n-- {
		br := BurnRate{Window: Duration(d.uint())}
		if d.bool() {
			rate := d.float()
			br.Rate = &rate
		}
		st.BurnRates = append(st.BurnRates, br)
	}
	for n := d.count(3); n > 0 && !d.bad; n-- {
		st.Alerts = append(st.Alerts, AlertStatus{Tier: d.name(), State: d.name(), Since: asOf - Moment(d.int())})
	}
	if d.version > 2 {
		st.Message = d.str()
		d.latency(&st, asOf)
	}
	if !d.bad && !st.finite() {
		d.fail()
	}
	if !d.bad {
		st.derive()
	}
	return st
}

// window reads what version 1 did not have: it knew rolling windows and counts of events.
func (d *reader) window(st *Status) {
	st.Window, st.Method = Window{Type: d.name(), Duration: Duration(d.uint())}, MethodOccurrences
	if d.version < 2 {
		return
	}
	if st.Window.Type == WindowCalendar {
		st.Window.Calendar = &Calendar{Unit: d.name(), Count: int(d.uint() & math.MaxInt32), Start: d.str(), Zone: Zone{Name: d.str()}}
		st.Period = &Period{From: Moment(d.int()), Until: Moment(d.int())}
	}
	st.Method, st.Slice = d.name(), Duration(d.uint())
	if st.Slice > 0 {
		st.Slices = d.float()
	}
	st.CountedFrom = Moment(d.int())
	if d.bool() {
		st.Forecast = &Forecast{Window: Duration(d.uint()), In: Duration(d.uint()), Early: Duration(d.uint()), Late: Duration(d.uint())}
		if f := st.Forecast; f.Window <= 0 || f.In < 0 || f.Early < 0 || f.Late < 0 {
			d.fail()
		}
	}
	d.groupsStatus(st)
	st.Excluded = d.excluded()
}

// finite reports whether all numbers can be written as JSON.
func (st *Status) finite() bool {
	ok := func(v float64) bool { return v-v == 0 && math.Abs(v) < 1e200 }
	all := ok(st.Events.Good) && ok(st.Events.Total) && ok(st.Coverage) && ok(st.Slices) && st.Slice >= 0
	for _, b := range st.BurnRates {
		all = all && (b.Rate == nil || ok(*b.Rate))
	}
	return all && st.Objective.Rat().Sign() > 0 && st.Objective.Float() < 1
}

// Statuses returns what is known now of each SLO, in order, and the event time up to which the partition has counted. Status frames hold
// the same, every ten seconds.
func (s *Stage) Statuses() ([]Status, Moment) {
	out := make([]Status, 0, len(s.order))
	for _, t := range s.order {
		out = append(out, t.status(s.closed))
	}
	return out, Moment(s.closed * int64(bus.Second))
}

// emitStatus drafts the full picture every ten seconds, and what changed in between.
func (s *Stage) emitStatus() {
	subject := SubjectStatusFrame + strconv.Itoa(s.Partition)
	slot := floorDiv(int64(s.now/bus.Second)+int64(s.Partition), fullEvery)
	full := slot != s.lastFull
	f := StatusFrame{Partition: s.Partition, At: s.now, AsOf: Moment(s.closed * int64(bus.Second))}
	for _, key := range s.removed {
		k := strings.Split(key, "\x00")
		f.Removed = append(f.Removed, StatusKey{k[0], k[1], k[2]})
	}
	s.removed = nil
	var told []*tracker
	for _, t := range s.order {
		if full || t.dirty {
			told = append(told, t)
			t.dirty = false
		}
	}
	if full {
		s.lastFull = slot
		f.Parts = max(1, (len(told)+statusChunk-1)/statusChunk)
	}
	for first := true; first || len(told) > 0; first = false {
		if !full && len(told) == 0 && len(f.Removed) == 0 {
			return
		}
		n := min(len(told), statusChunk)
		f.Statuses = nil
		for _, t := range told[:n] {
			f.Statuses = append(f.Statuses, t.figures(s.closed, s.now))
		}
		told = told[n:]
		s.out = append(s.out, bus.Draft{Subject: subject, To: bus.All, Data: EncodeStatusFrame(&f)})
		f.Removed = nil
		f.Part++
	}
}
