package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math/big"

	"evenkeel.dev/slo"
)

// Verdicts about an SLO and a time.
const (
	VerdictMet     = "Met"     // the budget was not overspent
	VerdictMissed  = "Missed"  // it was
	VerdictNoData  = "NoData"  // nothing was counted, and no samples came
	VerdictNoEvent = "NoEvent" // samples came, and they count no event
	VerdictUnknown = "Unknown" // the SLO is not defined any more, and its objective not known
)

// A Period is the report about a month or another span: what the minutes of the ledger add up to.
type Period struct {
	Version    int         `json:"version"`
	Month      string      `json:"month,omitempty"` // "2026-10"
	TimeZone   string      `json:"timeZone"`
	From       slo.Moment  `json:"from"`
	Until      slo.Moment  `json:"until"`
	AsOf       slo.Moment  `json:"asOf"`       // up to which it is counted
	Complete   bool        `json:"complete"`   // all of the span is over
	Before     slo.Moment  `json:"before"`     // the time that it is compared with: from here up to From
	LedgerFrom slo.Moment  `json:"ledgerFrom"` // from which on minutes are kept; "": none were dropped
	EventsFrom slo.Moment  `json:"eventsFrom"` // from which on alerts and changes of state are kept; "": none were dropped
	Notes      []Note      `json:"notes"`
	Totals     []Total     `json:"totals"` // of each global namespace, and of each of its services
	SLOs       []PeriodSLO `json:"slos"`   // by global namespace and service; the SLOs of groups behind their roll-up

	rules slo.Zone // of TimeZone, see Zoned
}

// A Total says how many SLOs of a service, or of a global namespace (Service is ""), met their objectives.
type Total struct {
	GlobalNamespace string `json:"globalNamespace"`
	Service         string `json:"service,omitempty"`
	SLOs            int    `json:"slos"`
	Met             int    `json:"met"`
	Missed          int    `json:"missed"`
	NotKnown        int    `json:"notKnown"` // the other verdicts
	Gaps            int    `json:"gaps"`     // SLOs with data for less than GapShare of the time
	Pages           int    `json:"pages"`    // alerts that fired
	Tickets         int    `json:"tickets"`
	MetBefore       int    `json:"metBefore"`
	MissedBefore    int    `json:"missedBefore"`
}

// GapShare is the coverage below which an SLO is said to have gaps.
const GapShare = 0.99

// A PeriodSLO is one SLO in a Period.
type PeriodSLO struct {
	GlobalNamespace string            `json:"globalNamespace"`
	Service         string            `json:"service"`
	Name            string            `json:"name"`
	RollUp          string            `json:"rollUp,omitempty"` // of the SLO of a group
	Group           map[string]string `json:"group,omitempty"`
	Objective       *slo.Decimal      `json:"objective"` // the one of now; null: not defined any more
	Method          string            `json:"method,omitempty"`
	Slice           slo.Duration      `json:"slice,omitempty"` // 0: events are counted
	Sums
	Before     *Sums         `json:"previous"` // null: nothing was counted then
	Days       []Day         `json:"days"`     // that have begun
	Alerts     []PeriodAlert `json:"alerts"`
	StateAtEnd string        `json:"stateAtEnd"` // "": not known
	Notes      []Note        `json:"notes,omitempty"`
}

// Sums are what a span adds up to.
type Sums struct {
	Verdict         string        `json:"verdict"`
	Good            float64       `json:"good"`
	Total           float64       `json:"total"`
	SLI             *slo.Decimal  `json:"sli"`    // null where there were no events
	Budget          *PeriodBudget `json:"budget"` // null where the objective is not known, or nothing was counted
	Coverage        float64       `json:"coverage"`
	CoveredSeconds  int64         `json:"coveredSeconds"`
	ExcludedSeconds int64         `json:"excludedSeconds"`
}

// A PeriodBudget is an error budget in what the SLO counts, and in time. In time it is that of the whole span, (1 - objective) times its seconds less those that are
// excluded; events spend of it their share of bad ones, times the time so far.
type PeriodBudget struct {
	Total          slo.Decimal  `json:"total"`
	Consumed       slo.Decimal  `json:"consumed"`
	Remaining      slo.Decimal  `json:"remaining"`
	RemainingRatio *slo.Decimal `json:"remainingRatio"`
	Seconds        BudgetTime   `json:"seconds"`
}

// BudgetTime is a budget in seconds.
type BudgetTime struct {
	Total     slo.Decimal `json:"total"`
	Consumed  slo.Decimal `json:"consumed"`
	Remaining slo.Decimal `json:"remaining"`
}

// A Day is a civil day of the span's zone.
type Day struct {
	Date     string  `json:"date"`
	Good     float64 `json:"good"`
	Total    float64 `json:"total"`
	Covered  int64   `json:"coveredSeconds"`
	Excluded int64   `json:"excludedSeconds"`
}

// A PeriodAlert counts the alerts of a tier.
type PeriodAlert struct {
	Tier     string `json:"tier"`
	Severity string `json:"severity"`
	Fired    int    `json:"fired"`
	Late     int    `json:"late,omitempty"` // found when they were over: nobody was told
}

// digitsKept is how precise numbers are that no decimal can write in full.
const digitsKept = 12

// A length is the time of a span in seconds, and how much of it is over.
type length struct{ whole, elapsed int64 }

// sumsOf judges what was counted by the objective of now; st is nil where that is not known.
func sumsOf(c count, st *slo.Status, l length) Sums {
	s := Sums{Good: c.good, Total: c.total, CoveredSeconds: c.covered, ExcludedSeconds: c.excluded, Coverage: 1}
	l.whole, l.elapsed = max(0, l.whole-c.excluded), max(0, l.elapsed-c.excluded)
	if l.elapsed > 0 {
		s.Coverage = min(1, float64(c.covered)/float64(l.elapsed))
	}
	good, total := ratOf(c.good), ratOf(c.total)
	if total.Sign() > 0 {
		sli := slo.DecimalOf(new(big.Rat).Quo(good, total), digitsKept)
		s.SLI = &sli
	}
	if nothing := total.Sign() <= 0 && c.covered == 0; st != nil && !nothing {
		s.Budget = budgetOf(good, total, st, l)
	} else if nothing {
		s.Verdict = VerdictNoData
		return s
	}
	switch {
	case total.Sign() <= 0:
		s.Verdict = VerdictNoEvent
	case st == nil:
		s.Verdict = VerdictUnknown
	case s.Budget.Remaining.Rat().Sign() < 0:
		s.Verdict = VerdictMissed
	default:
		s.Verdict = VerdictMet
	}
	return s
}

func budgetOf(good, total *big.Rat, st *slo.Status, l length) *PeriodBudget {
	share := new(big.Rat).Sub(big.NewRat(1, 1), st.Objective.Rat())
	bad := new(big.Rat).Sub(total, good)
	seconds := new(big.Rat).Mul(share, big.NewRat(l.whole, 1))
	all, spent := new(big.Rat).Mul(share, total), new(big.Rat)
	switch slice := big.NewRat(int64(st.Slice), 1000); {
	case st.Slice > 0:
		all.Quo(seconds, slice)
		spent.Mul(bad, slice)
	case total.Sign() > 0:
		spent.Mul(spent.Quo(bad, total), big.NewRat(l.elapsed, 1))
	}
	b := &PeriodBudget{Total: decimal(all), Consumed: decimal(bad), Remaining: decimal(new(big.Rat).Sub(all, bad))}
	b.Seconds = BudgetTime{decimal(seconds), decimal(spent), decimal(new(big.Rat).Sub(seconds, spent))}
	if all.Sign() > 0 {
		ratio := decimal(new(big.Rat).Quo(new(big.Rat).Sub(all, bad), all))
		b.RemainingRatio = &ratio
	}
	return b
}

// decimal writes r in full where a decimal can.
func decimal(r *big.Rat) slo.Decimal {
	if n, exact := r.FloatPrec(); exact && n <= 30 {
		return slo.DecimalOf(r, n)
	}
	return slo.DecimalOf(r, 2*digitsKept)
}

func ratOf(v float64) *big.Rat {
	if r := new(big.Rat).SetFloat64(v); r != nil {
		return r
	}
	return new(big.Rat) // no count is infinite
}

// JSON writes the report, SLO by SLO, so that a large one is not held as text.
func (p *Period) JSON(w io.Writer) error {
	head := *p
	head.SLOs = []PeriodSLO{}
	b, err := json.MarshalIndent(&head, "", "  ")
	if err != nil {
		return err
	}
	const end = "[]\n}"
	if len(p.SLOs) == 0 {
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	if _, err := fmt.Fprintf(w, "%s[", b[:len(b)-len(end)]); err != nil {
		return err
	}
	for i := range p.SLOs {
		s, err := json.MarshalIndent(&p.SLOs[i], "    ", "  ")
		if err != nil {
			return err
		}
		comma := ","
		if i == 0 {
			comma = ""
		}
		if _, err := fmt.Fprintf(w, "%s\n    %s", comma, s); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, "\n  ]\n}\n")
	return err
}
