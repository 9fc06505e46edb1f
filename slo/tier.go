package slo

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"evenkeel.dev/bus"
)

// Severities of a tier.
const (
	SeverityPage   = "page"
	SeverityTicket = "ticket"
)

// MaxTiers and MaxPairs bound the alerts of one objective and the window pairs of one alert. MaxWindows bounds its different burn
// windows, since each has a ring of its own, of 1 KB: those of the workbook are seven, and with slices of time longer than five minutes
// eight.
const (
	MaxTiers   = 8
	MaxPairs   = 4
	MaxWindows = 8
)

// sliWindow is the span that tells whether the SLI is good now.
const sliWindow = Duration(5 * bus.Minute)

// share is a budget share p that a long window may spend: factor = p * period / long (SRE workbook, chapter 5, table 5-8; the fourth
// row stands in its Prometheus rules).
type share struct {
	tier        string
	share       *big.Rat
	long, short bus.Time
}

func defaultShares() []share {
	return []share{
		{SeverityPage, big.NewRat(2, 100), bus.Hour, 5 * bus.Minute},
		{SeverityPage, big.NewRat(5, 100), 6 * bus.Hour, 30 * bus.Minute},
		{SeverityTicket, big.NewRat(10, 100), bus.Day, 2 * bus.Hour},
		{SeverityTicket, big.NewRat(10, 100), 3 * bus.Day, 6 * bus.Hour},
	}
}

// DefaultTiers returns the page and ticket tiers of the SRE workbook for an objective with this target and window. The factors keep
// the budget share: for 30 d they are 14.4, 6, 3 and 1, for 28 d 13.44, 5.6, 2.8 and 0.933333. A pair that makes no sense for the
// objective is left out, and a note says which and why: its factor could never be reached (above 1/(1-T)), or its long window is
// longer than half the objective's. A tier without pairs is left out too. In short windows the share would give factors at which no
// budget is ever spent; below 0.9 the factor is 1, and a note says so.
func DefaultTiers(target Decimal, window Duration) (tiers []Tier, notes []string) {
	for _, s := range defaultShares() {
		f := new(big.Rat).Mul(s.share, big.NewRat(int64(window), int64(s.long)))
		if f.Cmp(big.NewRat(9, 10)) < 0 {
			notes = append(notes, fmt.Sprintf("tier %s: the factor of %s/%s is 1 instead of %s, at which the budget would last", s.tier, Duration(s.long), Duration(s.short), DecimalOf(f, 6)))
			f.SetInt64(1)
		}
		factor := DecimalOf(f, 6)
		p := BurnPair{Long: Duration(s.long), Short: Duration(s.short), Factor: factor}
		if err := validatePair(p, target, window); err != nil {
			notes = append(notes, fmt.Sprintf("tier %s: pair %s/%s is left out: %v", s.tier, p.Long, p.Short, err))
			continue
		}
		if n := len(tiers); n == 0 || tiers[n-1].Name != s.tier {
			tiers = append(tiers, Tier{Name: s.tier, Severity: s.tier})
		}
		t := &tiers[len(tiers)-1]
		t.Pairs = append(t.Pairs, p)
	}
	return tiers, notes
}

// wholeSlices makes the short windows of tiers at least as long as a slice of time, and drops pairs in which nothing is left of the
// difference to the long one.
func wholeSlices(tiers []Tier, slice Duration) []Tier {
	var out []Tier
	for _, t := range tiers {
		var ps []BurnPair
		for _, p := range t.Pairs {
			p.Short = max(p.Short, slice)
			if 2*p.Short <= p.Long {
				ps = append(ps, p)
			}
		}
		if t.Pairs = ps; len(ps) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// scaleTiers gives default tiers of a window's usual length the factors of its real one, which spend the same share of the budget. A
// factor that could then never be exceeded stays.
func scaleTiers(tiers []Tier, target Decimal, usual, length Duration) {
	most := new(big.Rat).Inv(new(big.Rat).Sub(big.NewRat(1, 1), target.Rat()))
	one := big.NewRat(1, 1)
	for i := range tiers {
		for k := range tiers[i].Pairs {
			p := &tiers[i].Pairs[k]
			f := new(big.Rat).Mul(p.Factor.Rat(), big.NewRat(int64(length), int64(usual)))
			if p.Factor.Rat().Cmp(one) > 0 && f.Cmp(most) < 0 {
				p.Factor = DecimalOf(f, 6)
			}
		}
	}
}

// ValidateTiers checks tiers that someone wrote: names and severities, windows, and factors that can be reached. An impossible
// factor is refused, since an alert that can never fire is worse than none.
func ValidateTiers(tiers []Tier, target Decimal, window Duration) error {
	if len(tiers) > MaxTiers {
		return fmt.Errorf("%d alert tiers are too many; at most %d", len(tiers), MaxTiers)
	}
	names := map[string]bool{}
	for _, t := range tiers {
		switch {
		case t.Name == "":
			return fmt.Errorf("an alert tier has no name; name it page or ticket")
		case names[t.Name]:
			return fmt.Errorf("tier %s stands twice; one alert per tier", t.Name)
		case t.Severity != SeverityPage && t.Severity != SeverityTicket:
			return fmt.Errorf("tier %s: severity %q is neither %q nor %q", t.Name, t.Severity, SeverityPage, SeverityTicket)
		case !t.isBurn():
			if err := t.validateOther(); err != nil {
				return err
			}
		case len(t.Pairs) == 0 || len(t.Pairs) > MaxPairs:
			return fmt.Errorf("tier %s has %d window pairs; from 1 to %d are allowed", t.Name, len(t.Pairs), MaxPairs)
		}
		names[t.Name] = true
		for _, p := range t.Pairs {
			if err := validatePair(p, target, window); err != nil {
				return fmt.Errorf("tier %s: pair %s/%s: %w", t.Name, p.Long, p.Short, err)
			}
		}
	}
	if n := len(burnWindows(tiers, window)); n > MaxWindows {
		return fmt.Errorf("the alert tiers use %d different windows (5m included); at most %d", n, MaxWindows)
	}
	return nil
}

func validatePair(p BurnPair, target Decimal, window Duration) error {
	budget := new(big.Rat).Sub(big.NewRat(1, 1), target.Rat())
	if budget.Sign() <= 0 || target.Rat().Sign() <= 0 {
		return fmt.Errorf("the target %s is not between 0 and 1", target)
	}
	most := new(big.Rat).Inv(budget)
	switch {
	case p.Factor.Rat().Sign() <= 0:
		return fmt.Errorf("the factor %s is not above 0", p.Factor)
	case p.Factor.Rat().Cmp(most) >= 0:
		return fmt.Errorf("the factor %s can never be exceeded: with target %s the burn rate is at most %s", p.Factor, target, DecimalOf(most, 6))
	case p.Short >= p.Long:
		return fmt.Errorf("the short window is not shorter than the long one")
	case p.Short < Duration(30*bus.Second):
		return fmt.Errorf("the short window is below 30s")
	case 2*p.Long > window:
		return fmt.Errorf("the long window is longer than half the objective's window of %s", window)
	}
	return nil
}

// burnWindows returns the different windows of all pairs and the one that judges the SLI, ascending. An alert that foretells the end of
// the budget has one of its own, a twelfth of the objective's window, where only five minutes would tell it the pace.
func burnWindows(tiers []Tier, window Duration) []Duration {
	ws, foretold := []Duration{sliWindow}, false
	for _, t := range tiers {
		for _, p := range t.Pairs {
			ws = insertWindow(insertWindow(ws, p.Long), p.Short)
		}
		foretold = foretold || t.Exhaustion > 0
	}
	own := min(forecastMax, window/12000*1000)
	if between := func(w Duration) bool { return w > sliWindow && w <= forecastMax }; foretold && between(own) && !slices.ContainsFunc(ws, between) {
		ws = insertWindow(ws, own)
	}
	return ws
}

func insertWindow(ws []Duration, w Duration) []Duration {
	i := 0
	for i < len(ws) && ws[i] < w {
		i++
	}
	if i < len(ws) && ws[i] == w {
		return ws
	}
	ws = append(ws, 0)
	copy(ws[i+1:], ws[i:])
	ws[i] = w
	return ws
}

// DecimalOf writes r with at most the digits after the point, cut towards zero, without trailing zeros.
func DecimalOf(r *big.Rat, digits int) Decimal {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	n := new(big.Int).Mul(r.Num(), scale)
	n.Quo(n, r.Denom())
	return Decimal{text: trimZeros(new(big.Rat).SetFrac(n, scale).FloatString(digits))}
}

// trimZeros cuts the zeros that end a number with a point; one without a point stays as it is.
func trimZeros(text string) string {
	if !strings.Contains(text, ".") {
		return text
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
