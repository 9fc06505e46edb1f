package slo

import "evenkeel.dev/bus"

// CloudEvents types of this package, beside CorrectionEventType; the subjects are evenkeel.slo.<alert|status|correction>.<gns>.<service>.<slo>.
const (
	AlertEventType  = "dev.evenkeel.slo.alert.v1"
	StatusEventType = "dev.evenkeel.slo.status.v1"
)

// SubjectAlert, SubjectStatusChange and SubjectCorrection are the prefixes of this package's public events in LOG.
const (
	SubjectAlert        = bus.SubjectEvent + "slo.alert."
	SubjectStatusChange = bus.SubjectEvent + "slo.status."
	SubjectCorrection   = bus.SubjectEvent + "slo.correction."
	// SubjectStatusFrame carries the packed status of one partition: log.status.slo.<partition>.
	SubjectStatusFrame = bus.SubjectStatus + "slo."
	// SubjectLedgerFrame carries the packed minutes of one partition: log.ledger.slo.<partition>.
	SubjectLedgerFrame = bus.SubjectLedger + "slo."
)

// An AlertEvent is the data of a public alert event: one is emitted for each change of state of an alert, exactly once. There is one
// alert per SLO and tier.
type AlertEvent struct {
	// ID is the same from firing to resolved, and another at the next firing.
	ID              string            `json:"id"`
	GlobalNamespace string            `json:"globalNamespace"`
	Service         string            `json:"service"`
	SLO             string            `json:"slo"`
	DisplayName     string            `json:"displayName,omitempty"`
	Tier            string            `json:"tier"`
	Severity        string            `json:"severity"` // "page" or "ticket"
	State           string            `json:"state"`    // pending, inactive (pending ended), firing, resolved, late
	Reason          string            `json:"reason"`   // named constant, for example BurnRateHigh, BurnRateLow, Deleted
	StartsAt        string            `json:"startsAt"` // RFC 3339, event time, of firing (or pending)
	EndsAt          string            `json:"endsAt,omitempty"`
	Objective       Decimal           `json:"objective"`
	Window          Window            `json:"window"`
	Pair            *AlertPair        `json:"pair,omitempty"` // the pair that decided, with the rates it saw
	Budget          Budget            `json:"budget"`
	Excluded        *Excluded         `json:"excluded,omitempty"`
	Notify          []string          `json:"notify,omitempty"`
	Runbook         string            `json:"runbook,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
}

// An AlertPair holds the numbers that a decision stood on.
type AlertPair struct {
	Long      Duration `json:"long"`
	Short     Duration `json:"short"`
	Factor    Decimal  `json:"factor"`
	LongRate  float64  `json:"longRate"`
	ShortRate float64  `json:"shortRate"`
}

// A StatusEvent is the data of a public status event, emitted when State or Reason changes.
type StatusEvent struct {
	Previous string `json:"previous"` // state before, "" for the first
	Status
}
