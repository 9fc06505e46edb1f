package slo

import (
	"fmt"
	"time"

	"evenkeel.dev/bus"
)

// States of an SLO.
const (
	StateHealthy   = "HEALTHY"   // the SLI is good and there is budget left
	StateWarning   = "WARNING"   // the SLI is bad and there is budget left
	StateViolation = "VIOLATION" // the SLI is bad and no budget is left
	StateExhausted = "EXHAUSTED" // the SLI is good and no budget is left
	StateUnknown   = "UNKNOWN"   // it cannot be told; the reason says why
)

// Reasons of a state. The first four belong to states that are known, all others to UNKNOWN.
const (
	ReasonMeetsObjective  = "MeetsObjective"  // HEALTHY: the last five minutes meet the objective
	ReasonMissesObjective = "MissesObjective" // WARNING, VIOLATION: the last five minutes miss the objective
	ReasonBudgetSpent     = "BudgetSpent"     // EXHAUSTED
	ReasonNoTraffic       = "NoTraffic"       // HEALTHY, EXHAUSTED: there are samples, and they count no event in five minutes

	ReasonNoDataYet         = "NoDataYet"         // nothing could be counted since the SLO, or this generation of its SLI, was defined
	ReasonNoData            = "NoData"            // samples have stopped
	ReasonBadData           = "BadData"           // samples come and none of them is a valid value of a counter
	ReasonGap               = "Gap"               // messages of the log, or frames of a writer, are missing
	ReasonDamagedFrame      = "DamagedFrame"      // a frame's checksum or form is wrong
	ReasonUnknownSeries     = "UnknownSeries"     // samples came for series whose announcement is missing
	ReasonSeriesLimit       = "SeriesLimit"       // more series match than are allowed
	ReasonNoSuchBucket      = "NoSuchBucket"      // a classic histogram has no bucket with the bound that is asked for; the detail record names those beside it
	ReasonSourceUnsupported = "SourceUnsupported" // the data source of the definition is none that can be read here; the message names it
	ReasonBehind            = "Behind"            // samples come, but they are old: a sender works off its backlog
)

// Status is what is known of one SLO, in the shape of the HTTP API.
type Status struct {
	GlobalNamespace string        `json:"globalNamespace"`
	Service         string        `json:"service"`
	Name            string        `json:"name"`
	Objective       Decimal       `json:"objective"`
	Window          Window        `json:"window"`
	Period          *Period       `json:"period,omitempty"` // of a calendar window: the one at hand
	Method          string        `json:"method"`
	Slice           Duration      `json:"slice,omitempty"`  // length of the slices of time that Events and Budget count; 0: they count events
	Slices          float64       `json:"slices,omitempty"` // slices of the whole window, past and to come
	State           string        `json:"state"`
	Reason          string        `json:"reason"`
	Message         string        `json:"message,omitempty"` // what a reason does not say: which source, which bounds
	SLIBad          bool          `json:"sliBad"`
	SLI             *Decimal      `json:"sli"` // null where there were no events
	Events          Events        `json:"events"`
	Budget          Budget        `json:"budget"`
	Forecast        *Forecast     `json:"forecast,omitempty"` // of the budget's end; absent where none is in sight
	BurnRates       []BurnRate    `json:"burnRates"`
	Alerts          []AlertStatus `json:"alerts"`
	CountedFrom     Moment        `json:"countedFrom"` // event time from which on it counts: its definition, or history that was given to it
	Coverage        float64       `json:"coverage"`    // share of the window so far for which there is data, 0 to 1
	Excluded        *Excluded     `json:"excluded,omitempty"`
	AsOf            Moment        `json:"asOf"` // event time up to which everything is counted

	Percentiles   []Percentiles  `json:"percentiles,omitempty"`   // of an objective over latency that asks for them
	Interpolation *Interpolation `json:"interpolation,omitempty"` // of an SLI whose threshold lies between two buckets

	Groups *Groups           `json:"groups,omitempty"` // of an objective that groups: it is the roll-up over them
	RollUp string            `json:"rollUp,omitempty"` // of the SLO of a group: the name of the roll-up
	Group  map[string]string `json:"group,omitempty"`  // and the labels that tell the group
}

// Key names the SLO.
func (st *Status) Key() StatusKey { return StatusKey{st.GlobalNamespace, st.Service, st.Name} }

// A Period is one window of a calendar: its beginning, and that of the next one.
type Period struct {
	From  Moment `json:"from"`
	Until Moment `json:"until"`
}

// Events are counts over the window: of events, or of slices of time.
type Events struct {
	Good  float64 `json:"good"`
	Total float64 `json:"total"`
}

// Budget is an error budget in events of the window: Total is (1 - objective) times all events, Remaining may be negative. Where slices
// of time are counted, Total is (1 - objective) times all slices of the whole window, those to come too.
type Budget struct {
	Total          float64  `json:"total"`
	Consumed       float64  `json:"consumed"`
	Remaining      float64  `json:"remaining"`
	RemainingRatio *float64 `json:"remainingRatio"` // Remaining / Total; null where Total is 0
}

// BurnRate is how many times faster than allowed the budget is spent in a window; null where it had no events.
type BurnRate struct {
	Window Duration `json:"window"`
	Rate   *float64 `json:"rate"`
}

// States of an alert.
const (
	AlertInactive = "inactive"
	AlertPending  = "pending" // the long window is over the factor, the short one not yet
	AlertFiring   = "firing"
	AlertResolved = "resolved"
	AlertLate     = "late" // it began and ended while the engine was away, and paged nobody
)

// AlertStatus is one tier's alert of an SLO: inactive, pending or firing.
type AlertStatus struct {
	Tier  string `json:"tier"`
	State string `json:"state"`
	Since Moment `json:"since"` // event time of the last change of State
}

// A Moment is a [bus.Time] that is written as RFC 3339 in JSON; the zero value, "not yet", is written as "".
type Moment bus.Time

// Time returns the moment in the unit of the log.
func (m Moment) Time() bus.Time { return bus.Time(m) }

// String returns the moment in RFC 3339 with milliseconds, in UTC.
func (m Moment) String() string { return bus.Time(m).String() }

// MarshalText writes RFC 3339.
func (m Moment) MarshalText() ([]byte, error) {
	if m == 0 {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText reads RFC 3339.
func (m *Moment) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*m = 0
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return fmt.Errorf("moment: %w", err)
	}
	*m = Moment(bus.TimeOf(t))
	return nil
}
