package slo

import (
	"math"
	"strings"

	"evenkeel.dev/bus"
)

// Percentiles are figures of how long requests took, over one window. They decide nothing: a percentile has no budget.
type Percentiles struct {
	Window Duration  `json:"window"`         // the last five minutes, or the budget window
	From   Moment    `json:"from"`           // event time from which on they count
	Unit   string    `json:"unit,omitempty"` // of the histogram: s, ms; "" where its name does not say
	Count  float64   `json:"count"`          // observations
	P50    *Quantile `json:"p50"`            // null where there were none
	P90    *Quantile `json:"p90"`
	P99    *Quantile `json:"p99"`
}

// A Quantile is a value with the bounds of buckets between which it surely lies; Value is what it is when observations between them are
// spread evenly, of native histograms by their logarithms.
type Quantile struct {
	Value *float64 `json:"value"` // null where Upper is
	Lower float64  `json:"lower"`
	Upper *float64 `json:"upper"` // null where it lies above the last bound
}

// Interpolation says between which bounds an SLI is interpolated, and what it would be when all that lies between them were on one side.
type Interpolation struct {
	Threshold float64  `json:"threshold"`
	Lower     float64  `json:"lower"`
	Upper     float64  `json:"upper"`
	SLIMin    *float64 `json:"sliMin"` // all of them slow; null where there were no observations
	SLIMax    *float64 `json:"sliMax"` // all of them fast; null where it is not known
}

// quantiles are those that are told, in the order of the fields of [Percentiles].
func (p *Percentiles) quantiles() [3]**Quantile { return [3]**Quantile{&p.P50, &p.P90, &p.P99} }

var quantileRanks = [3]float64{0.5, 0.9, 0.99}

// A distribution is a shape over one window: observations at or below each bound, and from which second on.
type distribution struct {
	buckets []*shapeBucket
	counts  []float64
	from    int64
}

func (d *distribution) total() float64 {
	if n := len(d.buckets); n > 0 && math.IsInf(d.buckets[n-1].at, 1) {
		return d.counts[n-1]
	}
	return 0
}

// recentCounts are those of the last five minutes before a second, and at most one slice more.
func (sh *shape) recentCounts(closed int64) distribution {
	d := distribution{buckets: sh.buckets, from: closed - recentSlices*recentWidth}
	oldest := floorDiv(d.from, recentWidth)
	for _, b := range sh.buckets {
		sum := 0.0
		for n := max(oldest, sh.recentHead-recentCells+1); n <= sh.recentHead; n++ {
			sum += b.recent[mod(n, recentCells)]
		}
		d.counts = append(d.counts, sum)
	}
	return d
}

// budgetCounts are those of the budget window, and at most one slice more.
func (sh *shape) budgetCounts(closed int64) distribution {
	d := distribution{buckets: sh.buckets, from: sh.budgetHead}
	oldest := sh.budgetHead
	switch {
	case sh.calendar == nil:
		d.from = closed - shapeSlices*sh.width
		oldest = max(floorDiv(d.from, sh.width), sh.budgetHead-shapeSlices-1)
	case closed > sh.until:
		oldest++ // of the period at hand nothing has come
	}
	for _, b := range sh.buckets {
		sum := 0.0
		for n := oldest; n <= sh.budgetHead; n++ {
			sum += b.budget[mod(n, int64(len(b.budget)))]
		}
		d.counts = append(d.counts, sum)
	}
	return d
}

// quantile returns between which bounds a quantile lies. That at most a bound there were at least so many is known of each bound; that
// there were no more only of those that all histograms have had.
func (d *distribution) quantile(q float64, logarithmic bool) *Quantile {
	total := d.total()
	if total <= 0 {
		return nil
	}
	rank := q * total
	out := &Quantile{}
	below := 0.0 // observations at or below Lower
	for i, b := range d.buckets {
		n := d.counts[i]
		if n < rank && !math.IsInf(b.at, 1) {
			if b.trusted(d.from) && b.at > 0 {
				out.Lower, below = b.at, n
			}
			continue
		}
		if math.IsInf(b.at, 1) {
			return out
		}
		at := b.at
		part := min(1, max(0, (rank-below)/(n-below)))
		v := out.Lower + (at-out.Lower)*part
		if logarithmic && out.Lower > 0 {
			v = out.Lower * math.Pow(at/out.Lower, part)
		}
		out.Upper, out.Value = &at, &v
		return out
	}
	return out
}

// percentiles returns the figures of the last five minutes and of the budget window; none where the objective does not ask for them, or
// a series was refused lately.
func (t *tracker) percentiles(closed int64, now bus.Time) []Percentiles {
	sh := t.shape
	if sh == nil || sh.limitAt > 0 && now-sh.limitAt <= limitHold || sh.first == 0 {
		return nil
	}
	var out []Percentiles
	for _, w := range []struct {
		length Duration
		distribution
	}{{sliWindow, sh.recentCounts(closed)}, {t.o.Window.Duration, sh.budgetCounts(closed)}} {
		p := Percentiles{Window: w.length, Unit: sh.unit, Count: w.total(), From: Moment(max(w.from, sh.first) * int64(bus.Second))}
		for i, q := range p.quantiles() {
			*q = w.quantile(quantileRanks[i], sh.native)
		}
		out = append(out, p)
	}
	return out
}

// unitOf returns the unit that a metric's name ends with, before its suffixes.
func unitOf(name string) string {
	name = strings.TrimSuffix(strings.TrimSuffix(name, NativeSuffix), "_bucket")
	switch {
	case strings.HasSuffix(name, "_milliseconds"), strings.HasSuffix(name, "_ms"):
		return "ms"
	case strings.HasSuffix(name, "_seconds"):
		return "s"
	}
	return ""
}

// interpolation returns how wrong an SLI that is interpolated may be; nil where none is.
func (t *tracker) interpolation(closed int64) *Interpolation {
	if t.shape == nil || !t.o.SLI.Interpolate || t.waits() {
		return nil
	}
	p := t.shape.between
	out := &Interpolation{Threshold: t.shape.threshold, Lower: p.lower, Upper: p.upper}
	d := t.shape.budgetCounts(closed)
	total := d.total()
	if total <= 0 {
		return out
	}
	share := func(at float64) (*float64, bool) {
		i, ok := t.shape.find(at)
		if !ok {
			return new(float64), false // no bound is below the threshold
		}
		v := min(1, d.counts[i]/total)
		return &v, d.buckets[i].trusted(d.from)
	}
	out.SLIMin, _ = share(p.lower)
	if v, known := share(p.upper); known {
		out.SLIMax = v
	}
	return out
}

// latency writes the figures of an objective over latency.
func (e *encoder) latency(st *Status, asOf Moment) {
	e.uint(uint64(len(st.Percentiles)))
	for i := range st.Percentiles {
		p := &st.Percentiles[i]
		e.uint(uint64(p.Window))
		e.int(int64(asOf - p.From))
		e.str(p.Unit)
		e.float(p.Count)
		for _, q := range p.quantiles() {
			e.bool(*q != nil)
			if *q != nil {
				e.float((*q).Lower)
				e.maybe((*q).Upper)
				e.maybe((*q).Value)
			}
		}
	}
	e.bool(st.Interpolation != nil)
	if n := st.Interpolation; n != nil {
		e.float(n.Threshold)
		e.float(n.Lower)
		e.float(n.Upper)
		e.maybe(n.SLIMin)
		e.maybe(n.SLIMax)
	}
}

func (e *encoder) maybe(v *float64) {
	e.bool(v != nil)
	if v != nil {
		e.float(*v)
	}
}

func (d *reader) latency(st *Status, asOf Moment) {
	for n := d.count(8); n > 0 && !d.bad; n-- {
		p := Percentiles{Window: Duration(d.uint()), From: asOf - Moment(d.int()), Unit: d.str(), Count: d.finite()}
		for _, q := range p.quantiles() {
			if d.bool() {
				*q = &Quantile{Lower: d.finite(), Upper: d.maybe(), Value: d.maybe()}
			}
		}
		st.Percentiles = append(st.Percentiles, p)
	}
	if d.bool() {
		st.Interpolation = &Interpolation{Threshold: d.finite(), Lower: d.finite(), Upper: d.finite(), SLIMin: d.maybe(), SLIMax: d.maybe()}
	}
}

func (d *reader) maybe() *float64 {
	if !d.bool() {
		return nil
	}
	v := d.finite()
	return &v
}

// finite reads a number that can be written as JSON.
func (d *reader) finite() float64 {
	v := d.float()
	if v-v != 0 {
		d.fail()
	}
	return v
}
