package slo

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// ExclusionVersion and KindExclusion name the definitions whose compiled form is an [Exclusion].
const (
	ExclusionVersion = "evenkeel.dev/v1beta1"
	KindExclusion    = "Exclusion"
)

// Bounds of exclusions. Each service or SLO name, and each single span, is looked at when an exclusion is applied.
const (
	MaxExclusions     = 100  // of a global namespace
	maxExclusionsHeld = 2000 // of all, in a partition; each with the rules of a zone has 3 KiB
	MaxOnce           = 100  // single spans of an exclusion
	MaxExclusionNames = 100  // services, and SLOs
	maxExclusionText  = 200  // bytes of a reason
	maxOnce           = 366 * secondsOfDay
)

// An Exclusion is time that does not count for the SLOs that it names: maintenance. The package slo/exclude makes it from files.
type Exclusion struct {
	GlobalNamespace string      `json:"globalNamespace"`
	Services        []string    `json:"services,omitempty"` // names, or "*"; empty: any
	SLOs            []string    `json:"slos,omitempty"`     // names, or "*"; empty: any. One of both is not empty
	Once            []Span      `json:"once,omitempty"`
	Recurring       *Recurrence `json:"recurring,omitempty"`
	Reason          string      `json:"reason"` // for people
	Definition      mesh.Ref    `json:"definition"`
}

// A Span is time from a second on and before another one, in Unix seconds.
type Span struct {
	From  int64 `json:"from"`
	Until int64 `json:"until"`
}

// A Recurrence is a span that comes back. A civil time that clocks which are turned forward leave out begins as much later; of two, when
// they are turned back, it is the first. A span is as long as Duration says whatever the clocks do meanwhile.
type Recurrence struct {
	Start    string   `json:"start"`           // civil time of the first, "2026-01-04 02:00:00"
	Until    string   `json:"until,omitempty"` // civil time after which none begins
	Duration Duration `json:"duration"`
	Zone     Zone     `json:"zone"`
	Rule     string   `json:"rrule"` // RFC 5545
}

// Validate checks everything that the stage relies on; the error says what is wrong and what would be right.
func (x *Exclusion) Validate() error {
	switch {
	case x.GlobalNamespace == "":
		return fmt.Errorf("an exclusion needs a global namespace")
	case len(x.Services)+len(x.SLOs) == 0:
		return fmt.Errorf(`an exclusion needs services or slos; "*" names all`)
	case len(x.Services) > MaxExclusionNames || len(x.SLOs) > MaxExclusionNames:
		return fmt.Errorf(`at most %d services and %d slos can be named; "*" names all`, MaxExclusionNames, MaxExclusionNames)
	case len(x.Once) == 0 && x.Recurring == nil:
		return fmt.Errorf("an exclusion needs a time: once or recurring")
	case len(x.Once) > MaxOnce:
		return fmt.Errorf("%d single spans are too many; at most %d", len(x.Once), MaxOnce)
	case strings.TrimSpace(x.Reason) == "" || len(x.Reason) > maxExclusionText:
		return fmt.Errorf("an exclusion needs a reason of at most %d bytes", maxExclusionText)
	}
	for _, s := range x.Once {
		if err := s.Validate(); err != nil {
			return err
		}
	}
	if x.Recurring != nil {
		_, err := x.Recurring.occurrences()
		return err
	}
	return nil
}

// Validate returns the span's mistake.
func (s Span) Validate() error {
	switch {
	case s.From <= 0 || s.Until > lastSecond:
		return fmt.Errorf("the span is not between %d and %d", firstYear, lastYear)
	case s.Until <= s.From:
		return fmt.Errorf("the span ends at or before its beginning")
	case s.Until-s.From > maxOnce:
		return fmt.Errorf("a single span of more than 366 days takes the whole window of any SLO")
	}
	return nil
}

// Validate returns the recurrence's mistake; of the rule it is a [*RuleError].
func (r *Recurrence) Validate() error {
	_, err := r.occurrences()
	return err
}

func (r *Recurrence) occurrences() (*occurrences, error) {
	start, err := time.Parse(civilForm, r.Start)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the start %q is not understood; write for example 2026-01-04 02:00:00", r.Start)
	case start.Year() <= firstYear || start.Year() >= lastYear:
		return nil, fmt.Errorf("the start %s is not between %d and %d", r.Start, firstYear+1, lastYear)
	case r.Duration < Duration(bus.Second) || r.Duration > Duration(maxOccurrence*bus.Second) || r.Duration%1000 != 0:
		return nil, fmt.Errorf("the duration %s is not in whole seconds from 1s to 31d", r.Duration)
	}
	last := int64(math.MaxInt64)
	if r.Until != "" {
		until, err := time.Parse(civilForm, r.Until)
		if err != nil {
			return nil, fmt.Errorf("until %q is not understood; write for example 2026-12-31 23:59:59", r.Until)
		}
		if last = until.Unix(); last < start.Unix() {
			return nil, fmt.Errorf("until %s is before start", r.Until)
		}
	}
	if err := r.Zone.validate(); err != nil {
		return nil, err
	}
	rl, err := parseRule(r.Rule)
	if err != nil {
		return nil, err
	}
	o := newOccurrences(rl, &r.Zone, start.Unix(), last, int64(r.Duration)/1000)
	first := int64(-1)
	o.walk(0, func(civil int64) bool { first = civil; return false })
	switch {
	case first < 0:
		return nil, &RuleError{1, "the rule never comes true after start", ""}
	case first != start.Unix():
		return nil, &RuleError{1, fmt.Sprintf("the rule does not hold for the start %s itself", r.Start), "write start: " + time.Unix(first, 0).UTC().Format(civilForm)}
	}
	return o, nil
}

// An exclusion is one that is in force, with what follows from it.
type exclusion struct {
	Exclusion
	once []Span // ascending, none touching another
	occ  *occurrences

	// The occurrence that [Exclusion.around] found last, for all seconds from asked on up to its end.
	asked int64
	found Span
}

func newExclusion(x Exclusion) (*exclusion, error) {
	if err := x.Validate(); err != nil {
		return nil, err
	}
	e := &exclusion{Exclusion: x, once: union(x.Once)}
	if x.Recurring != nil {
		o, err := x.Recurring.occurrences()
		if err != nil {
			return nil, err
		}
		e.occ = o
	}
	return e, nil
}

// matches reports whether time of the exclusion does not count for an objective. Where both services and SLOs are named, it is for
// those SLOs of those services. Who names a roll-up means its groups too.
func (e *exclusion) matches(o *Objective) bool {
	named := func(names []string, name string) bool {
		return len(names) == 0 || slices.Contains(names, "*") || slices.Contains(names, name)
	}
	return e.GlobalNamespace == o.GlobalNamespace && named(e.Services, o.Service) && (named(e.SLOs, o.Name) || o.RollUp != "" && named(e.SLOs, o.RollUp))
}

// around returns the span that holds a second, or the next one; where there is none, one at the end of time.
func (e *exclusion) around(second int64) Span {
	out := Span{math.MaxInt64, math.MaxInt64}
	i, _ := slices.BinarySearchFunc(e.once, second, func(s Span, second int64) int { return bToInt(s.Until > second)*2 - 1 })
	if i < len(e.once) {
		out = e.once[i]
	}
	if e.occ == nil {
		return out
	}
	if e.found == (Span{}) || second < e.asked || second >= e.found.Until {
		from, until, _ := e.occ.around(second)
		e.asked, e.found = second, Span{from, until}
	}
	if e.found.From < out.From {
		return e.found
	}
	return out
}

// union joins spans that touch each other.
func union(spans []Span) []Span {
	sorted := slices.Clone(spans)
	slices.SortFunc(sorted, func(a, b Span) int { return int(min(1, max(-1, a.From-b.From))) })
	var out []Span
	for _, s := range sorted {
		if n := len(out); n > 0 && s.From <= out[n-1].Until {
			out[n-1].Until = max(out[n-1].Until, s.Until)
			continue
		}
		out = append(out, s)
	}
	return out
}

// minus returns what of a span is in none of others, which are ascending and do not touch each other.
func (s Span) minus(others []Span) []Span {
	var out []Span
	i, _ := slices.BinarySearchFunc(others, s.From, func(o Span, from int64) int { return bToInt(o.Until > from)*2 - 1 })
	for _, o := range others[i:] {
		if o.From >= s.Until {
			break
		}
		if o.From > s.From {
			out = append(out, Span{s.From, o.From})
		}
		s.From = max(s.From, o.Until)
	}
	if s.From < s.Until {
		out = append(out, s)
	}
	return out
}

// overlap returns how many seconds of a span are in others.
func (s Span) overlap(others []Span) int64 {
	n := s.Until - s.From
	for _, p := range s.minus(others) {
		n -= p.Until - p.From
	}
	return max(0, n)
}
