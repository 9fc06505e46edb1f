// Package slo counts good and total events of service level objectives and says what is left of their error budgets.
package slo

import (
	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// An Objective is one SLO in the canonical form that stages read. The packages slo/openslo and others make it from files.
type Objective struct {
	GlobalNamespace string   `json:"globalNamespace"`
	Service         string   `json:"service"`
	Name            string   `json:"name"`
	DisplayName     string   `json:"displayName,omitempty"`
	Target          Decimal  `json:"target"` // share of good events, above 0 and below 1, for example "0.999"
	Window          Window   `json:"window"`
	Method          string   `json:"method"` // "Occurrences"
	SLI             SLI      `json:"sli"`
	Alerting        Alerting `json:"alerting"`
	Definition      mesh.Ref `json:"definition"`
}

// A Window is the time over which the budget counts.
type Window struct {
	Type     string   `json:"type"`     // "rolling"
	Duration Duration `json:"duration"` // for example "30d"
}

// An SLI is two additive expressions over counters: of Good and Bad exactly one is set.
type SLI struct {
	Good  *Expr `json:"good,omitempty"`
	Bad   *Expr `json:"bad,omitempty"`
	Total Expr  `json:"total"`
}

// An Expr is a sum of terms: what an additive PromQL expression counts. Its value over a span is the sum, over all terms, of
// Factor times the increases of all series that Selector matches.
type Expr struct {
	Terms []Term `json:"terms"`
}

// A Term is one selector with its constant factor.
type Term struct {
	Factor   Decimal      `json:"factor"` // "1", "-1", "0.5"
	Selector bus.Selector `json:"selector"`
}

// Alerting says which alerts an objective has and who hears of them. Tiers without a policy in the file are Page and Ticket, unless
// Disabled.
type Alerting struct {
	Disabled    bool              `json:"disabled,omitempty"`
	Tiers       []Tier            `json:"tiers,omitempty"`
	Notify      []string          `json:"notify,omitempty"` // names of AlertNotificationTarget definitions; empty: the default targets
	Runbook     string            `json:"runbook,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// A Tier is one alert of an objective: it fires when, for any of its pairs, both burn rates are above the factor.
type Tier struct {
	Name     string     `json:"name"`     // "page" or "ticket", or the name of the AlertPolicy's condition
	Severity string     `json:"severity"` // "page" or "ticket"
	Pairs    []BurnPair `json:"pairs"`
	Notify   []string   `json:"notify,omitempty"`
}

// A BurnPair is a long and a short window with the burn rate that both must be above.
type BurnPair struct {
	Long   Duration `json:"long"`
	Short  Duration `json:"short"`
	Factor Decimal  `json:"factor"`
}
