package slo

import "evenkeel.dev/bus"

// States of an SLO.
const (
	StateHealthy   = "HEALTHY"   // the SLI is good and there is budget left
	StateWarning   = "WARNING"   // the SLI is bad and there is budget left
	StateViolation = "VIOLATION" // the SLI is bad and no budget is left
	StateExhausted = "EXHAUSTED" // the SLI is good and no budget is left
	StateUnknown   = "UNKNOWN"   // it cannot be told; the reason says why
)

// Status is what is known of one SLO, in the shape of the HTTP API.
type Status struct {
	GlobalNamespace string         `json:"globalNamespace"`
	Service         string         `json:"service"`
	Name            string         `json:"name"`
	Objective       Decimal        `json:"objective"`
	Window          Window         `json:"window"`
	State           string         `json:"state"`
	Reason          string         `json:"reason"`
	SLIBad          bool           `json:"sliBad"`
	SLI             *Decimal       `json:"sli"` // null where there were no events
	Events          Events         `json:"events"`
	Budget          Budget         `json:"budget"`
	BurnRates       []BurnRate     `json:"burnRates"`
	Alerts          []AlertStatus  `json:"alerts"`
	Coverage        float64        `json:"coverage"` // share of the window so far for which there is data, 0 to 1
	AsOf            bus.Time       `json:"-"`
	Labels          map[string]any `json:"-"`
}

// Events are counts over the window.
type Events struct {
	Good  float64 `json:"good"`
	Total float64 `json:"total"`
}

// Budget is an error budget in events of the window: Total is (1 - objective) times all events, Remaining may be negative.
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

// AlertStatus is one tier's alert of an SLO.
type AlertStatus struct {
	Tier  string   `json:"tier"`
	State string   `json:"state"`
	Since bus.Time `json:"-"`
}
