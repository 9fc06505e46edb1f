package slo

import (
	"fmt"
	"math"
	"slices"

	"evenkeel.dev/bus"
)

// A Gauge is an SLI over values instead of counts: each sample of each series is one event. With slices of time a slice is good when
// enough of its samples are, or, with Over, when the mean, the least or the greatest of all its samples is.
type Gauge struct {
	Selector bus.Selector `json:"selector"`
	Op       string       `json:"op,omitempty"` // a sample is good when it is Op Value, Op being one of the Op constants
	Value    Decimal      `json:"value,omitzero"`
	Raw      string       `json:"raw,omitempty"`   // instead of Op: samples are shares of good (RawSuccess) or bad (RawFailure) events, from 0 to 1
	Over     string       `json:"over,omitempty"`  // with Timeslices: what of a slice's samples is compared, one of the Over constants; "": each sample
	Range    Duration     `json:"range,omitempty"` // over which Over looks: the length of a slice; 0: the same
	Mean     bool         `json:"mean,omitempty"`  // as Over: OverMean, which it was written as before
}

// What of the samples of a slice, of all its series together, a [Gauge] compares.
const (
	OverMean  = "avg"
	OverLeast = "min"
	OverMost  = "max"
)

func (g *Gauge) over() string {
	if g.Mean {
		return OverMean
	}
	return g.Over
}

// Comparisons of a [Gauge].
const (
	OpLess         = "lt"
	OpLessEqual    = "lte"
	OpGreater      = "gt"
	OpGreaterEqual = "gte"
)

// What the samples of a raw ratio are shares of.
const (
	RawSuccess = "success"
	RawFailure = "failure"
)

func (g *Gauge) validate(o *Objective) error {
	raw, op, over := g.Raw != "", g.Op != "", g.over()
	switch {
	case len(g.Selector.Matchers()) == 0:
		return fmt.Errorf("the selector is empty, which would match every series")
	case raw == op:
		return fmt.Errorf("values need either a comparison or to be shares of good or bad events")
	case raw && g.Raw != RawSuccess && g.Raw != RawFailure:
		return fmt.Errorf("the kind of shares %q is not known; it is %q or %q", g.Raw, RawSuccess, RawFailure)
	case op && !slices.Contains([]string{OpLess, OpLessEqual, OpGreater, OpGreaterEqual}, g.Op):
		return fmt.Errorf("the comparison %q is not known; it is lt, lte, gt or gte", g.Op)
	case over != "" && !slices.Contains([]string{OverMean, OverLeast, OverMost}, over):
		return fmt.Errorf("over %q is not known; it is avg, min or max", over)
	case over != "" && (raw || o.Method != MethodTimeslices):
		return fmt.Errorf("%s of values is that of a slice of time: it needs a threshold and the method %s", over, MethodTimeslices)
	case g.Range != 0 && over == "":
		return fmt.Errorf("values that are looked at one by one have no range")
	case g.Range != 0 && g.Range != o.Slice.Length:
		return fmt.Errorf("%s_over_time looks back %s, and a slice of time is %s long: both must be the same, so that each sample is looked at once", over, g.Range, o.Slice.Length)
	}
	return nil
}

// holds reports whether a value is good by the comparison.
func (g *Gauge) holds(v, than float64) bool {
	switch g.Op {
	case OpLess:
		return v < than
	case OpLessEqual:
		return v <= than
	case OpGreater:
		return v > than
	}
	return v >= than
}

// cell returns what a sample counts as; false where it is no valid value.
func (t *tracker) cell(v float64) (cell, bool) {
	g := t.o.SLI.Gauge
	switch {
	case math.IsNaN(v) || math.Abs(v) > maxValue || g.Raw != "" && (v < 0 || v > 1):
		return cell{}, false
	case g.Raw == RawSuccess:
		return cell{v, 1}, true
	case g.Raw == RawFailure:
		return cell{1 - v, 1}, true
	case g.over() != "":
		return cell{v, 1}, true // the slicer compares
	case g.holds(v, t.than):
		return cell{1, 1}, true
	}
	return cell{0, 1}, true
}

// values counts a sample for the objectives over values that its series feeds.
func (s *Stage) values(se *series, t bus.Time, v float64) {
	if math.Float64bits(v) == staleBits || se.flags&seriesHas != 0 && t <= se.t {
		return // the counter's way tells and counts it
	}
	for _, tg := range s.lists[se.list].targets {
		tr := s.trackers[tg.slot]
		if tr.o.SLI.Gauge == nil {
			continue
		}
		c, ok := tr.cell(v)
		if !ok {
			s.tally.bad++
			tr.badAt = max(tr.badAt, secondOf(t))
			continue
		}
		s.put(tr, s.roomFor(secondOf(t)), c, 0)
	}
}

// onlyValue takes a sample of a series that feeds no objective over counts.
func (s *Stage) onlyValue(se *series, id uint16, t bus.Time, v float64) {
	switch {
	case math.Float64bits(v) == staleBits:
		s.tally.stale++
	case se.flags&seriesHas != 0 && t == se.t:
		s.tally.duplicate++
	case se.flags&seriesHas != 0 && t < se.t:
		s.tally.disorder++
	default:
		s.values(se, t, v)
		se.last, se.t, se.group = v, t, id
		se.flags |= seriesHas
	}
}

// valueFlags says whether a target list has objectives over values, and whether it has no others.
func (s *Stage) valueFlags(list uint32) uint8 {
	values, counts := uint8(0), false
	for _, tg := range s.lists[list].targets {
		if s.trackers[tg.slot].o.SLI.Gauge != nil {
			values = seriesValue
		} else {
			counts = true
		}
	}
	if values != 0 && !counts {
		values |= seriesOnlyValue
	}
	return values
}
