package oracle

import (
	"math/big"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// How an increment came about.
const (
	plain      = iota // value less the value before
	firstValue        // the first value of a series that is known to have begun under watch
	reset             // the whole value, since it fell
	quietReset        // the whole value, since the start timestamp moved although the value did not fall
)

// An increment is what one accepted sample adds to its series.
type increment struct {
	series int
	t      bus.Time
	age    bus.Time // since the sample before; 0 for a first value
	how    int
	start  bus.Time
	at     bus.Time // when it came
	v      float64  // of the sample
	add    float64
}

// Rules of docs/slo.md and of the package comment of slo, said once more and kept in another way.
const (
	witness = 5 * bus.Minute // another series of the metric and target must have been seen so shortly before a series is born
	margin  = 2 * bus.Second // after the first frame of a writer
	memory  = 4 * bus.Hour   // a start longer ago could be of a counter that was known and forgotten
	longAge = 5 * bus.Minute // an increase over more counts only in windows of twelve times its age
)

// A ledger is the exact count: the list of all increments.
type ledger struct {
	series []series
	needed []bool // by series: the definition counts it; others are not looked at and witness nothing
	list   []increment
	newest bus.Time // sample that the definition counts

	last  map[int]sample      // by series
	seen  map[string]bus.Time // the senders' first sample
	shown map[string][]bus.Time
	began bus.Time // arrival of the first frame
}

func newLedger(ss []series, first, total weighing) *ledger {
	l := &ledger{series: ss, last: map[int]sample{}, seen: map[string]bus.Time{}, shown: map[string][]bus.Time{}}
	for i := range ss {
		l.needed = append(l.needed, first[i] != nil || total[i] != nil)
	}
	return l
}

// take counts a sample; since is the newest sample of its sender in the frame that brings it.
func (l *ledger) take(s sample, since bus.Time) {
	se := &l.series[s.series]
	if l.began == 0 {
		l.began = s.at
	}
	if l.needed[s.series] {
		l.newest = max(l.newest, s.t)
	}
	if _, ok := l.seen[se.sender]; !ok {
		l.seen[se.sender] = since
	}
	before, known := l.last[s.series]
	if known && s.t <= before.t {
		return // a duplicate, or out of order
	}
	i := increment{series: s.series, t: s.t, start: s.start, at: s.at, v: s.v}
	switch {
	case !known:
		if i.how = firstValue; l.underWatch(s, se) {
			i.add = s.v
		}
	case s.v < before.v:
		i.how, i.add, i.age = reset, s.v, s.t-before.t
	case s.start > before.t:
		i.how, i.add, i.age = quietReset, s.v, s.t-before.t
	default:
		i.add, i.age = s.v-before.v, s.t-before.t
	}
	l.list = append(l.list, i)
	l.last[s.series] = s
	if l.needed[s.series] {
		family := se.metric + "/" + se.pod
		l.shown[family] = append(l.shown[family], s.t)
	}
}

// underWatch reports whether a series is known to have begun while its target was watched.
func (l *ledger) underWatch(s sample, se *series) bool {
	if s.start > 0 {
		return s.start > l.seen[se.sender] && s.start > start && s.start > s.t-memory
	}
	ts := l.shown[se.metric+"/"+se.pod]
	for k := len(ts) - 1; k >= 0 && k > len(ts)-200; k-- {
		if t := ts[k]; t < s.t && s.t-t <= witness && t > l.began+margin {
			return true
		}
	}
	return false
}

// A span is a window in seconds: both ends belong to it.
type span struct{ from, to int64 }

func (s span) holds(t bus.Time) bool { n := int64(t) / 1000; return n >= s.from && n <= s.to }

// sliced returns the window of a length that ends with a second: whole slices, one more than the length needs.
func sliced(length slo.Duration, slices, last int64) span {
	seconds := int64(length) / 1000
	width := max(1, (seconds+slices-1)/slices)
	n := (seconds + width - 1) / width
	return span{(last/width - n) * width, last}
}

// budgetWindow returns the window of the budget.
func (d *definition) budgetWindow(last int64) span {
	if d.window.Calendar == nil {
		return sliced(d.window.Duration, 320, last)
	}
	day := time.Unix(last, 0).UTC().Truncate(24 * time.Hour)
	if d.window.Calendar.Unit == slo.UnitWeek {
		day = day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
	}
	return span{day.Unix(), last}
}

// A weighing says how much each series weighs in an expression; one that no term selects has no weight, which is not the same as 0.
type weighing []*big.Rat

func weigh(ts []term, ss []series) (weighing, error) {
	out := make(weighing, len(ss))
	for _, t := range ts {
		ms, err := parser.NewParser(parser.Options{}).ParseMetricSelector(t.selector)
		if err != nil {
			return nil, err
		}
		f, _ := new(big.Rat).SetString(t.factor)
		for i := range ss {
			switch {
			case !matches(ms, ss[i].labels()):
			case out[i] == nil:
				out[i] = new(big.Rat).Set(f)
			default:
				out[i].Add(out[i], f)
			}
		}
	}
	return out, nil
}

func matches(ms []*labels.Matcher, ls bus.Labels) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// sum adds up an expression over a window: what counts in a burn window of this length, in all where it is 0.
func (l *ledger) sum(w weighing, in span, burn slo.Duration) *big.Rat {
	total := new(big.Rat)
	for _, i := range l.list {
		if w[i.series] == nil || !in.holds(i.t) || burn > 0 && i.age > longAge && slo.Duration(12*i.age) > burn {
			continue
		}
		total.Add(total, new(big.Rat).Mul(w[i.series], new(big.Rat).SetFloat64(i.add)))
	}
	return total
}

// A count is what was counted of a window.
type count struct{ good, bad, total *big.Rat }

// burn counts a burn window that ends with a second: its whole slices, less the share by time of the oldest one that is older than the
// window, in whole events where it has whole ones.
func (l *ledger) burn(d *definition, first, total weighing, length slo.Duration, last int64) count {
	in := sliced(length, 60, last)
	c := l.count(d, first, total, in, length)
	width := max(1, (int64(length)/1000+59)/60)
	over := min(width, last+1-int64(length)/1000-in.from)
	if over <= 0 {
		return c
	}
	old := l.count(d, first, total, span{in.from, in.from + width - 1}, length)
	part := func(v *big.Rat) *big.Rat {
		p := new(big.Rat).Mul(v, big.NewRat(over, width))
		if old.good.IsInt() && old.total.IsInt() {
			return rounded(p)
		}
		return p
	}
	t, b := part(old.total), part(old.bad)
	c.total, c.bad = c.total.Sub(c.total, t), c.bad.Sub(c.bad, b)
	c.good = new(big.Rat).Sub(c.total, c.bad)
	return c
}

// rounded returns the nearest whole number; a half goes away from zero.
func rounded(v *big.Rat) *big.Rat {
	half := big.NewRat(1, 2)
	if v.Sign() < 0 {
		half.Neg(half)
	}
	sum := new(big.Rat).Add(v, half)
	return new(big.Rat).SetInt(new(big.Int).Quo(sum.Num(), sum.Denom()))
}

func (l *ledger) count(d *definition, first, total weighing, in span, burn slo.Duration) count {
	c := count{total: l.sum(total, in, burn)}
	one := l.sum(first, in, burn)
	rest := new(big.Rat).Sub(c.total, one)
	if c.good, c.bad = rest, one; d.good {
		c.good, c.bad = one, rest
	}
	return c
}
