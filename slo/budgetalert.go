package slo

import (
	"fmt"
	"math"
	"math/big"
	"strings"

	"evenkeel.dev/bus"
)

// Reasons of alerts that are not about burn rates.
const (
	ReasonBudgetShareSpent = "BudgetShareSpent" // firing: the share of the budget is spent
	ReasonBudgetShareLeft  = "BudgetShareLeft"  // resolved: less is spent again, in a rolling window or a new period
	ReasonExhaustionNear   = "ExhaustionNear"   // firing: as it burns, the budget ends within the time
	ReasonExhaustionFar    = "ExhaustionFar"    // resolved
	ReasonDataAbsent       = "DataAbsent"       // firing: no samples came for the time
	ReasonDataBack         = "DataBack"         // resolved: samples come again
)

// minAbsent is the least time without data that an alert can be about: less is how scrapes are.
const minAbsent = Duration(bus.Minute)

// forecastMax is the longest window by which the end of the budget is foretold.
const forecastMax = Duration(6 * bus.Hour)

// z90 is the standard normal quantile of a two-sided interval of 90 %.
const z90 = 1.645

// A Forecast says when the budget ends if things go on as in a recent window. Early and Late are the ends of a 90 % interval for the
// chance in the window's bad events (a normal approximation of a Poisson count); Late is absent where it may never end.
type Forecast struct {
	Window Duration `json:"window"`         // by which it is foretold
	In     Duration `json:"in"`             // from AsOf on
	Early  Duration `json:"early"`          // at the earliest
	Late   Duration `json:"late,omitempty"` // at the latest
}

// MaxSpentTiers bounds the shares of the budget at which one objective alerts.
const MaxSpentTiers = 4

// SpentTier returns the alert for a share of the budget that is written as "50%": budget-50, severity ticket.
func SpentTier(text string) (Tier, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := ParseDecimal(number)
	if !percent || err != nil || v.Rat().Sign() <= 0 || v.Rat().Cmp(big.NewRat(1000, 1)) > 0 {
		return Tier{}, fmt.Errorf("%q is no share of the budget", text)
	}
	spent, err := v.Hundredth()
	if err != nil {
		return Tier{}, fmt.Errorf("the share %q of the budget has too many digits", text)
	}
	return Tier{Name: "budget-" + strings.ReplaceAll(number, ".", "-"), Severity: SeverityTicket, Spent: &spent}, nil
}

// validateOther checks tiers that are not about burn rates; of the three exactly one is set.
func (t *Tier) validateOther() error {
	kinds := bToInt(t.Spent != nil) + bToInt(t.Exhaustion != 0) + bToInt(t.Absent != 0)
	switch {
	case kinds != 1 || len(t.Pairs) > 0:
		return fmt.Errorf("tier %s: an alert is about burn rates, or one of a share of the budget, its end, or absent data", t.Name)
	case t.Spent != nil && (t.Spent.Rat().Sign() <= 0 || t.Spent.Rat().Cmp(big.NewRat(10, 1)) > 0):
		return fmt.Errorf("tier %s: the share %s of the budget is not above 0 and at most 10", t.Name, t.Spent)
	case t.Exhaustion < 0 || t.Exhaustion != 0 && t.Exhaustion < Duration(bus.Hour):
		return fmt.Errorf("tier %s: the end of the budget is foretold in hours, not in %s", t.Name, t.Exhaustion)
	case t.Absent < 0 || t.Absent != 0 && t.Absent < minAbsent:
		return fmt.Errorf("tier %s: data are absent after %s at the least, not after %s", t.Name, minAbsent, t.Absent)
	}
	return nil
}

// isBurn reports whether the tier is about burn rates.
func (t *Tier) isBurn() bool { return t.Spent == nil && t.Exhaustion == 0 && t.Absent == 0 }

// budgetTotal returns the whole budget and what of it is spent.
func (t *tracker) budgetTotal(closed int64) (total, spent float64) {
	b := t.rings.budget()
	whole := b.total
	if t.slicer != nil {
		whole = t.expected(closed)
	}
	return whole * t.budget.num / t.budget.den, b.total - b.good
}

// forecast foretells the end of the budget; nil where it is not burning, or not to an end within the window.
//
// With steady traffic a burn rate of 1 spends the budget of a window of length P in P. So what is left lasts
// (P - spent/budget × elapsed) / burn, where elapsed is the time that the counts cover (SRE workbook, chapter 5, with the part of the
// window that is over in place of the whole).
func (t *tracker) forecast(closed int64) *Forecast {
	k := t.forecastWindow()
	r := t.burn(k, closed)
	total, spent := t.budgetTotal(closed)
	b := t.rings.budget()
	bad := r.total - r.good
	if total <= 0 || spent >= total || bad <= 0 || r.total <= 0 {
		return nil
	}
	out := t.excludedSeconds(closed)
	length, elapsed := float64(int64(b.length)-out*1000), float64(max(1, t.elapsed(closed)-out))*1000
	if t.slicer != nil {
		elapsed = length // their budget is that of the whole window from the first day
	}
	left := length - spent/total*elapsed
	in := func(bad float64) Duration { // in whole seconds: it is an estimate
		return Duration(math.Floor(left*t.budget.num/t.budget.den*r.total/bad/1000)) * 1000
	}
	f := &Forecast{Window: t.windows[k], In: in(bad)}
	if f.In > b.length {
		return nil // by then the budget of today is another
	}
	spread := z90 * math.Sqrt(bad)
	f.Early = in(bad + spread)
	if bad > spread {
		f.Late = in(bad - spread)
	}
	return f
}

// forecastWindow is the number of the longest burn window of at most forecastMax.
func (t *tracker) forecastWindow() (longest int) {
	for i, w := range t.windows {
		if w <= forecastMax {
			longest = i
		}
	}
	return longest
}

// windowFrom returns the second with which the budget window begins: of its period, or its length ago.
func (t *tracker) windowFrom(closed int64) int64 {
	if t.rings.calendar != nil {
		return t.rings.from
	}
	return closed - int64(t.rings.budget().length)/1000
}

// elapsed returns the seconds of the budget window that lie between the SLO's definition, or the window's beginning, and now.
func (t *tracker) elapsed(closed int64) int64 {
	return max(1, closed-max(t.windowFrom(closed), t.began()))
}

// watchBudget decides about an alert that is about the budget.
func (s *Stage) watchBudget(t *tracker, i int, at bus.Time, behind bool) {
	a, tier := &t.alerts[i], &t.tiers[i]
	total, spent := t.budgetTotal(secondOf(at))
	over, high, low := false, ReasonBudgetShareSpent, ReasonBudgetShareLeft
	if tier.Spent != nil {
		over = total > 0 && spent > 0 && spent >= total*tier.Spent.Float()
	} else {
		high, low = ReasonExhaustionNear, ReasonExhaustionFar
		f := t.forecast(secondOf(at))
		over = total > 0 && spent >= total || f != nil && f.In <= tier.Exhaustion && t.sure(t.burn(t.forecastWindow(), secondOf(at)))
	}
	a.on = uint8(bToInt(over))
	switch {
	case a.state == AlertFiring && a.settled(at):
		s.change(t, i, AlertResolved, low, at, behind)
	case a.state == AlertInactive && over && !behind:
		a.begin(t, i, at)
		s.change(t, i, AlertFiring, high, at, behind)
	}
}

// absentLookback bounds what patience adds; it is as long as a query of Prometheus goes on seeing a last sample.
const absentLookback = 5 * bus.Minute

// patience is the least silence that an alert on absent data takes for one: four of the SLO's own intervals, so that a shorter time in the
// definition does not tell of single scrapes that fail. Until two samples have told the interval it is the whole lookback.
func (t *tracker) patience() bus.Time {
	if t.interval == 0 {
		return absentLookback
	}
	return min(bus.Time(4*t.interval)*bus.Second, absentLookback)
}

// watchAbsence decides, at each tick, about alerts that samples do not come. An engine that was away begins to wait anew.
func (s *Stage) watchAbsence(t *tracker) {
	for i := range t.tiers {
		after := t.tiers[i].Absent
		if after == 0 {
			continue
		}
		a := &t.alerts[i]
		if t.cut.holds(secondOf(s.now)) {
			continue
		}
		silent := s.now - max(t.fed, t.defined, s.hold, bus.Time(t.cut.at+lagAllowed+1)*bus.Second)
		switch {
		case a.state == AlertInactive && silent >= max(after.Time(), t.patience()):
			a.begin(t, i, s.now)
			s.change(t, i, AlertFiring, ReasonDataAbsent, s.now, false)
		case a.state == AlertFiring && t.fed > a.since:
			s.change(t, i, AlertResolved, ReasonDataBack, s.now, false)
		}
	}
}
