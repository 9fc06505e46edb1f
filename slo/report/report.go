// Package report turns what a replay of definitions over history gave, and what the minutes of the ledger add up to, into answers: a table
// for people, JSON and CSV for programs, and one HTML page that needs nothing but itself.
//
// [Minutes] adds frames of the ledger and public events up to a [Period], the report about a month. The rest is about a replay.
//
// A [Collector] reads the drafts of the slo stage as they come: status frames at every step, changes of state, alerts. It looks at
// nothing else, so that whatever the stage learns to count is in the report without a change here. What it makes is a [Run]; one or two
// of them, two being a comparison, are a [Report].
//
// # Breaches
//
// A breach is a time during which the stage called the budget spent (VIOLATION or EXHAUSTED). A rolling window begins empty, so that in the
// first hours a handful of errors spends a budget of few events. A breach that began and ended while a rolling window held less
// than a tenth of its length is therefore told as early, and does not count for Breached and FirstBreach.
//
// # Bounds
//
// At most 10,000 points, changes of state, alerts and breaches per SLO are kept; of what is over it the number is told.
package report

import (
	"encoding/json"
	"io"
	"slices"
	"strings"

	"evenkeel.dev/slo"
)

// Version is the version of the JSON form.
const Version = 1

// MaxPoints bounds the points of a curve, and the lists of an SLO.
const MaxPoints = 10_000

// A Report is what a replay found.
type Report struct {
	Version    int        `json:"version"`
	Source     Source     `json:"source"`
	From       slo.Moment `json:"from"`
	Until      slo.Moment `json:"until"`
	Samples    uint64     `json:"samples"`    // read
	Timestamps uint64     `json:"timestamps"` // different ones, each of which became a frame
	Runs       []Run      `json:"runs"`       // two of them are a comparison
	// NotReproduced says what was there live and is not in the history.
	NotReproduced []Note `json:"notReproduced"`
}

// A Source says where the history came from.
type Source struct {
	Kind     string `json:"kind"`     // "prometheus", "openmetrics"
	Place    string `json:"place"`    // URL or file
	Protocol string `json:"protocol"` // named constant
}

// A Note is a named reason with its explanation.
type Note struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// A Run is what one set of definitions gave.
type Run struct {
	Name  string `json:"name"` // of the file
	SLOs  []SLO  `json:"slos"` // sorted by global namespace, service and name
	Notes []Note `json:"notes,omitempty"`
	// Counts say what became of the samples that these definitions need.
	Counts Counts `json:"counts"`
}

// Counts are numbers of samples, or of what was seen in them.
type Counts struct {
	Samples   uint64 `json:"samples"`
	Duplicate uint64 `json:"duplicate"` // same series and time as before
	Disorder  uint64 `json:"disorder"`  // older than their series' last
	Bad       uint64 `json:"bad"`       // no value that a counter can have
	Stale     uint64 `json:"stale"`     // staleness markers
	Resets    uint64 `json:"resets"`    // of counters
	Born      uint64 `json:"born"`      // series whose first value counted in full
	Lumps     uint64 `json:"lumps"`     // increases over more than five minutes, which no short window counts
}

// An SLO is what one objective gave.
type SLO struct {
	DisplayName string       `json:"displayName,omitempty"`
	Status      slo.Status   `json:"status"` // at the end, in the form of the HTTP API
	Breached    bool         `json:"breached"`
	FirstBreach *slo.Moment  `json:"firstBreach"` // when the budget reached 0; null: never
	Breaches    []Breach     `json:"breaches"`
	Alerts      []Alert      `json:"alerts"` // that fired, by the time they did
	Changes     []Change     `json:"changes"`
	Tiers       []slo.Tier   `json:"tiers"`
	Step        slo.Duration `json:"step"` // between points, about
	Points      []Point      `json:"points"`
	Left        int          `json:"left,omitempty"` // out of the lists, since they were full
}

// A Breach is a time without budget.
type Breach struct {
	From  slo.Moment `json:"from"`
	To    slo.Moment `json:"to"` // "": it lasts
	Early bool       `json:"early,omitempty"`
}

// An Alert fired.
type Alert struct {
	ID       string         `json:"id"`
	Tier     string         `json:"tier"`
	Severity string         `json:"severity"`
	State    string         `json:"state"` // firing, resolved, late
	StartsAt slo.Moment     `json:"startsAt"`
	EndsAt   slo.Moment     `json:"endsAt"` // "": it lasts
	Pair     *slo.AlertPair `json:"pair,omitempty"`
	Budget   slo.Budget     `json:"budget"` // when it fired
}

// A Change is a change of state.
type Change struct {
	At     slo.Moment `json:"at"`
	State  string     `json:"state"`
	Reason string     `json:"reason"`
}

// A Point is a status on the way.
type Point struct {
	At             slo.Moment     `json:"at"`
	SLI            *slo.Decimal   `json:"sli"`
	RemainingRatio *float64       `json:"remainingRatio"`
	Coverage       float64        `json:"coverage"`
	BurnRates      []slo.BurnRate `json:"burnRates"`
}

// Breached reports whether the budget of an SLO of the first run was spent.
func (r *Report) Breached() bool {
	return len(r.Runs) > 0 && slices.ContainsFunc(r.Runs[0].SLOs, func(s SLO) bool { return s.Breached })
}

// Counted reports whether any SLO of the first run has counted anything.
func (r *Report) Counted() bool {
	return len(r.Runs) > 0 && slices.ContainsFunc(r.Runs[0].SLOs, func(s SLO) bool { return s.Status.Reason != slo.ReasonNoDataYet })
}

// Name returns how the SLO is called in full.
func (s *SLO) Name() string {
	return s.Status.GlobalNamespace + "/" + s.Status.Service + "/" + s.Status.Name
}

// Fired returns how many alerts of a severity fired.
func (s *SLO) Fired(severity string) int {
	n := 0
	for i := range s.Alerts {
		if s.Alerts[i].Severity == severity && s.Alerts[i].State != slo.AlertLate {
			n++
		}
	}
	return n
}

// A Pair is an SLO in one or both of two runs.
type Pair struct {
	Name  string
	Sides []*SLO
}

// Pairs puts the SLOs of all runs side by side: by their names, or, where each run has just one, those. A side without the SLO is nil.
func (r *Report) Pairs() []Pair {
	single := len(r.Runs) == 2 && len(r.Runs[0].SLOs) == 1 && len(r.Runs[1].SLOs) == 1
	var out []Pair
	for side := range r.Runs {
		for i := range r.Runs[side].SLOs {
			s := &r.Runs[side].SLOs[i]
			k := slices.IndexFunc(out, func(p Pair) bool { return p.Name == s.Name() || single })
			if k < 0 {
				k = len(out)
				out = append(out, Pair{Name: s.Name(), Sides: make([]*SLO, len(r.Runs))})
			}
			if other := s.Name(); single && side == 1 && other != out[k].Name {
				out[k].Name += " | " + other
			}
			out[k].Sides[side] = s
		}
	}
	slices.SortStableFunc(out, func(a, b Pair) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// JSON writes the report, indented. Equal reports give equal bytes.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
