package slo

import "evenkeel.dev/bus"

// maxFired bounds the firings of one SLO that are remembered; the oldest are forgotten.
const maxFired = 8

// A fired is a time in which a tier fired, and the counts that decided: when the past is corrected, it can be told whether it would have.
type fired struct {
	tier, pair  uint8
	at, until   bus.Time // until is 0 while it fires
	long, short cell     // of the pair; of a share of the budget, long is what the budget window counted
}

// Differed is an alert that a correction shows in another light.
type Differed struct {
	Tier      string `json:"tier"`
	Severity  string `json:"severity"`
	At        Moment `json:"at"`        // when it fired, or would have: then at the latest
	Fired     bool   `json:"fired"`     // it did
	WouldFire bool   `json:"wouldFire"` // by what is known now, at that moment
	// Pair has the burn rates by what is known now, Was by what was known; of a share of the budget both are absent.
	Pair *AlertPair `json:"pair,omitempty"`
	Was  *AlertPair `json:"was,omitempty"`
}

// remember notes a firing with its counts.
func (t *tracker) remember(i int, at bus.Time) {
	f := fired{tier: uint8(i), at: at}
	switch tier := &t.tiers[i]; {
	case tier.isBurn():
		f.pair = t.alerts[i].pair
		p, closed := t.pairs[i][f.pair], secondOf(at)
		f.long, f.short = t.burn(p.long, closed), t.burn(p.short, closed)
	case tier.Spent != nil:
		b := t.rings.budget()
		f.long = cell{b.good, b.total}
	default:
		return
	}
	if len(t.fired) == maxFired {
		t.fired = append(t.fired[:0], t.fired[1:]...)
	}
	t.fired = append(t.fired, f)
}

// settle notes that a tier fires no more.
func (t *tracker) settle(i int, at bus.Time) {
	for k := range t.fired {
		if f := &t.fired[k]; int(f.tier) == i && f.until == 0 {
			f.until = at
		}
	}
}

// An amendment is a correction of the past, seen from the alerts.
type amendment struct {
	spans    []Span          // of time that is corrected, ascending
	closed   int64           // the windows are as they were when this second began
	change   func(Span) cell // what the correction adds to a part of time
	excluded bool            // spans do not count: nothing fires in them
	counted  bool            // the windows have it already
	until    int64           // what fired later knew of it; 0: nothing did
}

// differed returns the alerts that are others by what is known now.
func (t *tracker) differed(a *amendment) []Differed {
	var out []Differed
	for k := range t.fired {
		f := &t.fired[k]
		if a.until > 0 && secondOf(f.at) > a.until {
			continue
		}
		d, next := t.again(f, a)
		if !d.WouldFire {
			out = append(out, d)
		}
		*f = next // another correction builds on this one
	}
	for i := range t.tiers {
		for _, s := range a.spans {
			if at := min(s.Until, a.closed); t.tiers[i].isBurn() && !a.excluded && !t.firedAt(i, at) {
				if d, would := t.missed(i, at, a); would {
					out = append(out, d)
					break
				}
			}
		}
	}
	return out
}

func (c cell) plus(d cell) cell {
	total := max(0, c.total+d.total)
	return cell{min(max(0, c.good+d.good), total), total}
}

// before is the time of a window of that length before a second.
func before(second int64, length Duration) Span { return Span{second - int64(length)/1000, second} }

// again decides anew about a firing, and returns it with the counts as they are known now.
func (t *tracker) again(f *fired, a *amendment) (Differed, fired) {
	next, at, tier := *f, secondOf(f.at), &t.tiers[f.tier]
	d := Differed{Tier: tier.Name, Severity: tier.Severity, At: Moment(f.at), Fired: true}
	if tier.isBurn() {
		p := tier.Pairs[f.pair]
		next.long, next.short = f.long.plus(a.change(before(at, p.Long))), f.short.plus(a.change(before(at, p.Short)))
		d.WouldFire = t.fires(t.pairs[f.tier][f.pair], next.long, next.short)
		d.Was, d.Pair = t.rates(int(f.tier), int(f.pair), f.long, f.short), t.rates(int(f.tier), int(f.pair), next.long, next.short)
	} else {
		next.long = f.long.plus(a.change(t.windowBefore(at)))
		d.WouldFire = t.spends(next.long, at, tier)
	}
	if a.excluded && len(Span{at - 1, at}.in(a.spans)) > 0 {
		d.WouldFire = false
	}
	return d, next
}

// spends reports whether a count spends the share of the budget that a tier is about.
func (t *tracker) spends(c cell, closed int64, tier *Tier) bool {
	whole := c.total
	if t.slicer != nil {
		whole = t.expected(closed)
	}
	return c.total > c.good && (c.total-c.good)*t.budget.den >= whole*t.budget.num*tier.Spent.Float()
}

// windowBefore is the part of the budget window that lies before a second.
func (t *tracker) windowBefore(second int64) Span {
	if t.rings.calendar != nil {
		from, _ := t.rings.calendar.around(second)
		return Span{from, second}
	}
	return before(second, t.rings.budget().length)
}

// fires reports whether a pair is over in both of its windows.
func (t *tracker) fires(p pair, long, short cell) bool {
	return t.budget.over(long.good, long.total, p.factor) && t.sure(long) && t.budget.over(short.good, short.total, p.factor)
}

// rates are what a pair of a tier sees in two counts; a window without events has rate 0.
func (t *tracker) rates(i, k int, long, short cell) *AlertPair {
	p := t.tiers[i].Pairs[k]
	lr, _ := t.budget.rate(long.good, long.total)
	sr, _ := t.budget.rate(short.good, short.total)
	return &AlertPair{Long: p.Long, Short: p.Short, Factor: p.Factor, LongRate: lr, ShortRate: sr}
}

// firedAt reports whether a tier was firing at a second.
func (t *tracker) firedAt(i int, second int64) bool {
	for _, f := range t.fired {
		if int(f.tier) == i && secondOf(f.at) <= second && (f.until == 0 || secondOf(f.until) >= second) {
			return true
		}
	}
	return t.alerts[i].state == AlertFiring && secondOf(t.alerts[i].starts) <= second
}

// missed decides about an alert that did not fire at a second, by the finest slices that still hold its windows.
func (t *tracker) missed(i int, second int64, a *amendment) (Differed, bool) {
	for k, p := range t.pairs[i] {
		tier := &t.tiers[i]
		var was, now [2]cell
		for j, w := range [...]Duration{tier.Pairs[k].Long, tier.Pairs[k].Short} {
			s := before(second, w)
			c, _ := t.estimate([]Span{{max(s.From, t.began()), s.Until}}, a.closed)
			change := a.change(s)
			if was[j], now[j] = c, c.plus(change); a.counted {
				was[j], now[j] = c.plus(cell{-change.good, -change.total}), c
			}
		}
		if !t.fires(p, was[0], was[1]) && t.fires(p, now[0], now[1]) {
			return Differed{Tier: tier.Name, Severity: tier.Severity, At: Moment(second * int64(bus.Second)), WouldFire: true,
				Was: t.rates(i, k, was[0], was[1]), Pair: t.rates(i, k, now[0], now[1])}, true
		}
	}
	return Differed{}, false
}

// without is the amendment of an exclusion of time that is closed.
func (t *tracker) without(spans []Span, closed int64) *amendment {
	return &amendment{spans: spans, closed: closed, excluded: true, change: func(s Span) cell {
		c, _ := t.estimate(s.in(spans), closed)
		return cell{-c.good, -c.total}
	}}
}

// lately is the amendment of what came late within a minute of event time. Each minute in which late events lay is a span of its own, so
// that a backlog that goes on for long after its errors does not hide that an alert would have fired at theirs.
func (t *tracker) lately(minute int64) *amendment {
	a := &amendment{closed: (minute + 1) * 60, counted: true, until: minute * 60, change: t.lateIn}
	for _, l := range t.late {
		at := secondOf(l.Minute)
		a.spans = append(a.spans, Span{at, at + 60})
	}
	return a
}

// lateIn returns what came late of a part of time.
func (t *tracker) lateIn(s Span) (c cell) {
	for _, l := range t.late {
		if at := secondOf(l.Minute); at >= s.From && at < s.Until {
			c.good += l.Good
			c.total += l.Total
		}
	}
	return c
}
