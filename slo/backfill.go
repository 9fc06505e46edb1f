package slo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"evenkeel.dev/bus"
)

// SubjectBackfill carries a [Backfill]: log.result.slo-backfill.
const SubjectBackfill = bus.SubjectResult + "slo-backfill"

// ReasonBackfilled is of a correction: minutes of before the definition were counted from history.
const ReasonBackfilled = "Backfilled"

// BackfillMinutes bounds the minutes of one [Backfill]: a day.
const BackfillMinutes = 1440

// CoveredMax bounds the seconds that one minute of a [Backfill] covers.
const CoveredMax = maxSpan + 60

// A Backfill gives an SLO what it would have counted before it was defined: minutes of history, which a replay has counted. Several follow
// each other from the newest to the oldest: one is taken only where it ends at the minute at which the counts begin so far, so that
// none counts twice, however often it is sent.
type Backfill struct {
	GlobalNamespace string       `json:"globalNamespace"`
	Service         string       `json:"service"`
	SLO             string       `json:"slo"`
	Counts          string       `json:"counts"` // [Objective.Counts] of the objective that was replayed; of another one nothing is taken
	Source          string       `json:"source"` // where the history is from, for people
	Author          string       `json:"author"`
	From            int64        `json:"from"`              // first minute, since the epoch
	Until           int64        `json:"until"`             // first minute behind it
	Minutes         []PastMinute `json:"minutes,omitempty"` // those that have data, ascending
}

// A PastMinute is one minute of a [Backfill], in what the objective counts: events, or slices of time.
type PastMinute struct {
	Minute  int64   `json:"m"` // since the epoch
	Good    float64 `json:"g"`
	Total   float64 `json:"t"`
	Covered int     `json:"c"` // seconds of time, ending in this minute, for which there are data
}

// Counts names what the objective counts: a digest of its SLI, and of its slices of time.
func (o *Objective) Counts() string {
	sum := sha256.Sum256([]byte(o.counted()))
	return hex.EncodeToString(sum[:8])
}

// Validate returns the mistake of a backfill.
func (b *Backfill) Validate() error {
	last := b.From - 1
	switch {
	case b.GlobalNamespace == "" || b.Service == "" || b.SLO == "" || b.Counts == "":
		return fmt.Errorf("a backfill names its global namespace, service and SLO, and what it counts")
	case b.From <= 0 || b.Until <= b.From || b.Until-b.From > BackfillMinutes || b.Until > lastSecond/60:
		return fmt.Errorf("a backfill holds from 1 to %d minutes, not those from %d to %d", BackfillMinutes, b.From, b.Until)
	}
	for _, m := range b.Minutes {
		if m.Minute <= last || m.Minute >= b.Until {
			return fmt.Errorf("minute %d is out of order, or not between %d and %d", m.Minute, b.From, b.Until)
		}
		// Good may be more than total for a moment, where two queries do not see the same; it is never infinite.
		if bad := math.Abs(m.Good) > maxValue || math.Abs(m.Total) > maxValue || m.Good != m.Good || m.Total != m.Total; bad || m.Covered < 0 || m.Covered > CoveredMax {
			return fmt.Errorf("minute %d counts %g of %g and covers %d s, which cannot be", m.Minute, m.Good, m.Total, m.Covered)
		}
		last = m.Minute
	}
	return nil
}

// began returns the second from which on the SLO counts: of its definition, or as far back as history was given.
func (t *tracker) began() int64 {
	if t.back > 0 {
		return t.back * 60
	}
	return secondOf(t.defined)
}

// backfill takes minutes of history.
func (s *Stage) backfill(data []byte) {
	var b Backfill
	if err := json.Unmarshal(data, &b); err != nil || b.Validate() != nil {
		s.Stats.BackfillsRefused.Add(1)
		return
	}
	t := s.byKey[b.GlobalNamespace+"\x00"+b.Service+"\x00"+b.SLO]
	if t == nil {
		return // of another partition, or gone
	}
	if b.Counts != t.o.Counts() || b.Until != floorDiv(t.began(), 60) || t.o.Composite != nil {
		s.Stats.BackfillsRefused.Add(1)
		return
	}
	e := s.correction(t, ReasonBackfilled, nil, []Span{{b.From * 60, b.Until * 60}})
	t.back = b.From
	t.rings.advance(b.Until*60 - 1) // time may stand still hours before, until the first samples come
	cuts := t.cutPast(Span{b.From * 60, b.Until * 60})
	var sum cell
	for _, m := range b.Minutes {
		minute := Span{m.Minute * 60, m.Minute*60 + 60}
		if len(minute.in(cuts)) > 0 {
			continue // some of it is excluded
		}
		t.rings.add(minute.Until-1, cell{m.Good, m.Total}, 0)
		t.rings.cover(minute.Until-min(int64(m.Covered), minute.Until-b.From*60), minute.Until-1)
		sum.good += m.Good
		sum.total += m.Total
	}
	for i := range t.alerts {
		t.alerts[i].tail = t.alerts[i].state == AlertInactive // what long windows hold now is no rise
	}
	t.dirty = true
	e.Seconds, e.After = 0, t.corrected(s.closed)
	e.Message = fmt.Sprintf("%g events of history were counted, %g of them bad, from %s", sum.total, sum.total-sum.good, b.Source)
	s.emitCorrection(t, e)
}

// cutPast notes which part of a span of the past exclusions take out, and returns it.
func (t *tracker) cutPast(past Span) []Span {
	var cuts []Span
	for _, x := range t.cut.exclusions {
		cuts = append(cuts, x.within(past)...)
	}
	if len(cuts) > 0 {
		t.cut.spans = union(append(cuts, t.cut.spans...))
		if n := len(t.cut.spans); n > maxCuts {
			t.cut.spans = t.cut.spans[n-maxCuts:]
		}
	}
	return union(cuts)
}
