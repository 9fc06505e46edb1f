package pyrra

import (
	"fmt"
	"math/big"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A burn is one of Pyrra's alerts: its factor, and by what the objective's window is divided for its long and its short window (those for
// 28 days are 1h/5m, 6h/30m, 1d/2h and 4d/6h; slo/rules.go of Pyrra).
type burn struct {
	name, severity, factor string
	long, short            bus.Time
}

// firstWaits is what the window is divided by for the "for" of the first alert; for 28 days it is 2m.
const firstWaits = 20160

func burns() []burn {
	return []burn{
		{"page-14x", slo.SeverityPage, "14", 672, 8064},
		{"page-7x", slo.SeverityPage, "7", 112, 1344},
		{"ticket-2x", slo.SeverityTicket, "2", 28, 336},
		{"ticket-1x", slo.SeverityTicket, "1", 7, 112},
	}
}

// Tiers returns the alerts that Pyrra makes for a target and a window. Notes say what had to differ: an alert whose factor can never be
// reached, or whose short window rounds to nothing, is left out.
func Tiers(target slo.Decimal, window slo.Duration) (tiers []slo.Tier, notes []string, err error) {
	for _, b := range burns() {
		p := slo.BurnPair{Long: scaled(window, b.long), Short: scaled(window, b.short), Factor: slo.MustDecimal(b.factor)}
		t := slo.Tier{Name: b.name, Severity: b.severity, Pairs: []slo.BurnPair{p}}
		if p.Short < slo.Duration(bus.Minute) {
			notes = append(notes, fmt.Sprintf("the alert with factor %s is left out: its short window rounds to nothing, as in Pyrra", b.factor))
			continue
		}
		if err := slo.ValidateTiers([]slo.Tier{t}, target, window); err != nil {
			notes = append(notes, fmt.Sprintf("the alert with factor %s is left out: %v", b.factor, err))
			continue
		}
		tiers = append(tiers, t)
	}
	if err := slo.ValidateTiers(tiers, target, window); err != nil {
		return nil, notes, err // the four have seven different windows, and 5m is one more: slo.MaxWindows
	}
	return tiers, notes, nil
}

// AbsentAfter returns how long there are no samples when Pyrra's alert on absent metrics fires: the time after which its first burn alert
// would if all requests failed, and the "for" of that (AbsentDuration in slo/slo.go of Pyrra). The engine waits a minute at least; the note
// says where that is longer.
func AbsentAfter(target slo.Decimal, window slo.Duration) (after slo.Duration, note string) {
	first := burns()[0]
	budget := new(big.Rat).Sub(big.NewRat(1, 1), target.Rat())
	burning := budget.Mul(budget, slo.MustDecimal(first.factor).Rat())
	burning.Mul(burning, big.NewRat(int64(scaled(window, first.long))/int64(bus.Second), 1))
	seconds := new(big.Int).Quo(burning.Num(), burning.Denom()).Int64() // cut, as there
	whole := bus.Time(seconds)*bus.Second + scaled(window, firstWaits).Time()
	after = slo.Duration((whole + bus.Minute/2) / bus.Minute * bus.Minute)
	if after < slo.Duration(bus.Minute) {
		return slo.Duration(bus.Minute), "the alert on absent metrics comes after 1m: with Pyrra it comes as soon as they are absent"
	}
	return after, ""
}

// scaled divides a window as Pyrra does, rounded to whole minutes, halves up.
func scaled(window slo.Duration, by bus.Time) slo.Duration {
	return slo.Duration((window.Time()/by + bus.Minute/2) / bus.Minute * bus.Minute)
}
