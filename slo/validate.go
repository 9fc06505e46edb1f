package slo

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"evenkeel.dev/bus"
)

// Budgeting methods.
const (
	MethodOccurrences     = "Occurrences"     // counts events: the SLI is good / total
	MethodTimeslices      = "Timeslices"      // counts slices of time that are good
	MethodRatioTimeslices = "RatioTimeslices" // the mean over slices of their shares of good events
)

// Types of a window.
const (
	WindowRolling  = "rolling"  // it moves with time
	WindowCalendar = "calendar" // it begins anew with each day, week, month, quarter or year
)

// Units of a [Calendar].
const (
	UnitDay     = "Day"
	UnitWeek    = "Week"
	UnitMonth   = "Month"
	UnitQuarter = "Quarter"
	UnitYear    = "Year"
)

// What a slice of time without data counts as. With Occurrences only NoDataHold and NoDataExclude have a meaning.
const (
	NoDataHold    = "Hold"    // as the slice before it; alerts hold their state
	NoDataGood    = "Good"    // as a good one
	NoDataBad     = "Bad"     // as a bad one
	NoDataExclude = "Exclude" // as if it were no part of the window
)

// MaxTerms bounds the terms of one expression.
const MaxTerms = 64

const maxFactor = 1e6

// Selectors returns the selectors of all terms, those of Total first: a series that one of them matches matters to the objective.
func (o *Objective) Selectors() []bus.Selector {
	var out []bus.Selector
	for _, t := range o.Terms() {
		out = append(out, t.Selector)
	}
	return out
}

// Terms returns all terms, those of Total first; of an SLI over values the one that selects them.
func (o *Objective) Terms() []Term {
	var out []Term
	for _, e := range o.SLI.expressions() {
		out = append(out, e.Terms...)
	}
	return out
}

func (s *SLI) expressions() []*Expr {
	if s.Gauge == nil && s.Good == nil && s.Bad == nil && len(s.Total.Terms) == 0 {
		return nil // a composite's
	}
	if s.Gauge != nil {
		return []*Expr{{Terms: []Term{{Factor: MustDecimal("1"), Selector: s.Gauge.Selector}}}}
	}
	es := []*Expr{&s.Total}
	if s.Good != nil {
		es = append(es, s.Good)
	}
	if s.Bad != nil {
		es = append(es, s.Bad)
	}
	return es
}

// Tiers returns the tiers that the objective alerts on: those it names, else the default ones, none when disabled.
func (o *Objective) Tiers() []Tier { return o.tiersFor(o.Window.Duration) }

// tiersFor returns the tiers with the factors of a window of this length. Which tiers and windows there are follows from the usual
// length alone, so that a short month does not lose an alert.
func (o *Objective) tiersFor(length Duration) []Tier {
	tiers := o.tiersOf(length)
	if len(o.GroupBy) == 0 && o.RollUp == "" {
		return tiers
	}
	var out []Tier
	for _, t := range tiers {
		if t.RollUp && o.RollUp == "" || !t.RollUp && !o.silent() {
			out = append(out, t)
		}
	}
	return out
}

// tiersOf returns the tiers whether the objective alerts itself or leaves that to its groups or roll-up.
func (o *Objective) tiersOf(length Duration) []Tier {
	switch {
	case o.Alerting.Disabled:
		return o.Alerting.Extra
	case len(o.Alerting.Tiers) > 0:
		return slices.Concat(o.Alerting.Tiers, o.Alerting.Extra)
	}
	tiers, _ := DefaultTiers(o.Target, o.Window.Duration)
	if o.Slice != nil {
		tiers = wholeSlices(tiers, o.Slice.Length)
	}
	if length != o.Window.Duration {
		scaleTiers(tiers, o.Target, o.Window.Duration, length)
	}
	return append(tiers, o.Alerting.Extra...)
}

// Validate checks everything that the stage relies on; the error says what is wrong and what would be right.
func (o *Objective) Validate() error {
	one := big.NewRat(1, 1)
	switch t := o.Target.Rat(); {
	case o.GlobalNamespace == "" || o.Service == "" || o.Name == "":
		return fmt.Errorf("an objective needs a global namespace, a service and a name")
	case t.Sign() <= 0 || t.Cmp(one) >= 0:
		return fmt.Errorf("the target %s is not above 0 and below 1; write for example 0.999", o.Target)
	case new(big.Rat).Sub(one, t).Cmp(big.NewRat(1, 1_000_000_000)) < 0:
		return fmt.Errorf("the target %s leaves a budget below 1 in 1,000,000,000, which counts of events cannot measure", o.Target)
	case o.Window.Duration < Duration(bus.Hour) || o.Window.Duration > Duration(366*bus.Day):
		return fmt.Errorf("the window of %s is not between 1h and 366d", o.Window.Duration)
	case o.SLI.Gauge != nil && (o.SLI.Good != nil || o.SLI.Bad != nil || len(o.SLI.Total.Terms) > 0):
		return fmt.Errorf("an SLI counts events or looks at values, not both")
	case o.Composite != nil:
		if err := o.validateComposite(); err != nil {
			return err
		}
	case o.Unread != nil:
		if o.SLI.expressions() != nil || o.Unread.Reason == "" {
			return fmt.Errorf("an objective that cannot be counted has a reason and no SLI")
		}
	case o.SLI.Gauge == nil && (o.SLI.Good == nil) == (o.SLI.Bad == nil):
		return fmt.Errorf("exactly one of good and bad must be set")
	}
	if err := o.validateWindow(); err != nil {
		return err
	}
	if err := o.validateMethod(); err != nil {
		return err
	}
	if err := o.validateGroups(); err != nil {
		return err
	}
	if g := o.SLI.Gauge; g != nil {
		if err := g.validate(o); err != nil {
			return err
		}
	}
	for _, e := range o.SLI.expressions() {
		if n := len(e.Terms); n == 0 || n > MaxTerms {
			return fmt.Errorf("an expression has %d terms; from 1 to %d are allowed", n, MaxTerms)
		}
		for i := range e.Terms {
			if f := e.Terms[i].Factor.Float(); f == 0 || f > maxFactor || f < -maxFactor {
				return fmt.Errorf("the factor %s of a term is 0 or beyond a million", e.Terms[i].Factor)
			}
			if len(e.Terms[i].Selector.Matchers()) == 0 {
				return fmt.Errorf("a term has an empty selector, which would match every series")
			}
			if err := e.Terms[i].validateAtMost(); err != nil {
				return err
			}
		}
	}
	if err := o.validateShape(); err != nil {
		return err
	}
	return ValidateTiers(o.tiersOf(o.Window.Duration), o.Target, o.Window.Duration)
}

func (t *Term) validateAtMost() error {
	if t.AtMost == nil {
		return nil
	}
	if at := t.AtMost.Float(); !(at >= 1/maxValue && at <= maxValue) {
		return fmt.Errorf("the threshold %s of a histogram is not between %g and %g", t.AtMost, 1/maxValue, maxValue)
	}
	if name := t.Selector.MetricName(); !strings.HasSuffix(name, NativeSuffix) {
		return fmt.Errorf("a term with a threshold selects %q, which does not name a native histogram with the suffix %s", name, NativeSuffix)
	}
	return nil
}

func (o *Objective) validateWindow() error {
	switch o.Window.Type {
	case WindowRolling:
		if o.Window.Calendar != nil {
			return fmt.Errorf("a rolling window has no calendar")
		}
		return nil
	case WindowCalendar:
		if err := o.Window.Calendar.validate(); err != nil {
			return err
		}
		if usual := o.Window.Calendar.usual(); usual != o.Window.Duration {
			return fmt.Errorf("a calendar window of %d %s is spoken of as %s, not %s", o.Window.Calendar.Count, o.Window.Calendar.Unit, usual, o.Window.Duration)
		}
		return nil
	}
	return fmt.Errorf("the window's type %q is not known; it is %q or %q", o.Window.Type, WindowRolling, WindowCalendar)
}

// validateMethod checks how the budget is counted.
func (o *Objective) validateMethod() error {
	none := o.noData()
	switch {
	case none != NoDataHold && none != NoDataExclude && none != NoDataGood && none != NoDataBad:
		return fmt.Errorf("onNoData %q is not known; it is Hold, Good, Bad or Exclude", none)
	case o.Method == MethodOccurrences && o.Slice != nil:
		return fmt.Errorf("the method %s counts events and has no slices of time", o.Method)
	case o.Method == MethodOccurrences && (none == NoDataGood || none == NoDataBad):
		return fmt.Errorf("onNoData %s needs slices of time: where there are no events %s has nothing to count; use Hold or Exclude, or the method %s", none, o.Method, MethodTimeslices)
	case o.Method == MethodOccurrences:
		return nil
	case o.Method != MethodTimeslices && o.Method != MethodRatioTimeslices:
		return fmt.Errorf("the budgeting method %q is not known; it is %s, %s or %s", o.Method, MethodOccurrences, MethodTimeslices, MethodRatioTimeslices)
	case o.Slice == nil:
		return fmt.Errorf("the method %s needs the length of its slices", o.Method)
	case o.Slice.Length < minSlice || o.Slice.Length > maxSlice || o.Slice.Length%1000 != 0:
		return fmt.Errorf("slices of %s: they must be whole seconds, from %s to %s", o.Slice.Length, minSlice, maxSlice)
	}
	one := big.NewRat(1, 1)
	whole := o.SLI.Gauge != nil && o.SLI.Gauge.over() != ""
	if t := o.Slice.Target.Rat(); o.Method == MethodTimeslices && !whole && (t.Sign() <= 0 || t.Cmp(one) > 0) {
		return fmt.Errorf("the slices' target %s is not above 0 and at most 1", o.Slice.Target)
	}
	for _, t := range o.tiersOf(o.Window.Duration) {
		for _, p := range t.Pairs {
			if p.Short < o.Slice.Length {
				return fmt.Errorf("tier %s: the short window of %s is shorter than a slice of time of %s", t.Name, p.Short, o.Slice.Length)
			}
		}
	}
	return nil
}
