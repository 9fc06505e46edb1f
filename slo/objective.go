// Package slo counts good and total events of service level objectives and says what is left of their error budgets.
//
// It turns telemetry frames, ticks and changes of definitions into status, alerts and a ledger. [Stage] is one partition of the
// engine; it is pure, so that running the same records again gives the same alerts, byte for byte. [View] is what a process that
// only answers questions builds from the stage's status frames.
//
// # Counting
//
// An SLI is two sums of increases of counters. Of each series the last value is kept, and no label: an increase is the difference
// to it, or the whole value where the counter began anew (it fell, or its start timestamp lies after the last sample). Nothing is
// ever extrapolated, so that whole events stay whole. A first sample counts nothing, unless it is known that its
// series began while it was watched (see First samples). A sample at or before the last one of its series changes nothing. NaN, infinite, negative and
// gauge values are skipped and counted; a stale marker is no value, and the counter goes on after it. Of a pair of replicas one is
// counted, the other one followed: after 30 s of silence it takes over where the first one stopped.
//
// An increase belongs to the second of its sample. One that took more than five minutes to come is no evidence about now: it counts
// in the budget, and in burn windows at least twelve times as long as it is old.
//
// # First samples
//
// The first value of a series counts in full when its start timestamp shows that it began after its sender was first seen and its SLOs
// were defined. Without a start timestamp it counts in full when another series of the same metric and target (same global namespace,
// same values of the labels job and instance, same sender and replica) was seen within the five minutes before it, so that the series
// would have come with that one if it had existed. That earlier sample must be newer than the SLO's definition, than all that ingest
// still matched with an older catalogue, and than any gap, damaged frame, unknown ref or refused series; otherwise, and in the
// first scrape after a sender connects, a first value counts nothing.
//
// What this cannot tell: series with timestamps of their own, in one scrape, look like several scrapes; a counter that its target hid
// for four hours, or that a change of relabelling lets through beside others of the same metric, looks like a new one.
//
// # Time
//
// Seconds are closed by the watermark: the least clock of the senders that feed the partition, less the lateness of 5 s. A sender
// that is silent for two of its own intervals (10 s at least) is not waited for, and one that is behind the others holds them for
// 30 s at most. When all are silent time stands still, for up to three hours, so that a backlog is evaluated in its own order.
// What comes behind the watermark corrects its slice in every window.
//
// # Windows
//
// A window of length L counts the last L and, at its old end, at most one slice more: L/60 for a burn window, L/320 for the budget
// (2 h 15 min of 30 d). Closing a slice is constant work, and an SLO of 30 d with its seven burn windows takes less than 16 KiB.
//
// A calendar window has one cell, which begins empty with each of its periods. Where an objective counts slices of time, each slice
// becomes one event of all windows at its last second; the raw counts of the newest slices are kept, so that what comes late by up to
// an hour corrects them.
//
// # What is not known
//
// No traffic, no data and bad data are three different things. An SLO is UNKNOWN, with a reason, when nothing valid has come for two
// minutes (or four of its intervals), when messages, frames or announcements are missing, until a slice of ten seconds after them is
// whole, and when more series match than are allowed. UNKNOWN holds alerts as they are.
//
// # Alerts
//
// A tier fires when both windows of one of its pairs burn strictly faster than its factor, and is resolved when no short window of
// such a pair has been over for two minutes. Nothing fires on data more than 30 s old: what began and ended in a backlog is told once
// as late. What still burns when the engine has caught up fires then; for a page that means that the last five minutes are bad too.
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
	Method          string   `json:"method"`             // one of the Method constants
	Slice           *Slice   `json:"slice,omitempty"`    // of the methods Timeslices and RatioTimeslices
	OnNoData        string   `json:"onNoData,omitempty"` // one of the NoData constants; "" is NoDataHold
	SLI             SLI      `json:"sli"`
	Percentiles     bool     `json:"percentiles,omitempty"` // of an SLI over latency: all buckets are counted, see [Percentiles]
	Unread          *Unread  `json:"unread,omitempty"`      // it is right by its specification, and cannot be counted; it then has no SLI
	Alerting        Alerting `json:"alerting"`
	Type            string   `json:"type,omitempty"` // one of the Type constants; "" is TypeMonitored
	Definition      mesh.Ref `json:"definition"`

	// GroupBy makes of the objective a roll-up, with one more SLO for each value of these labels among its series.
	GroupBy     []string `json:"groupBy,omitempty"`     // at most MaxGroupLabels
	MaxGroups   int      `json:"maxGroups,omitempty"`   // 0 is DefaultMaxGroups
	GroupAlerts string   `json:"groupAlerts,omitempty"` // one of the GroupAlerts constants; "" is GroupAlertsGroups

	// Composite makes of the objective the joint one of other SLOs; it then has no SLI of its own.
	Composite *Composite `json:"composite,omitempty"`

	// RollUp and Group are set by the stage, in the SLO of a group: the name of the roll-up and the labels that tell the group.
	RollUp string            `json:"rollUp,omitempty"`
	Group  map[string]string `json:"group,omitempty"`
}

// Types of an objective. One of a service may be actionable: what scales and moves it looks at that one.
const (
	TypeMonitored  = "Monitored"
	TypeActionable = "Actionable"
)

// A Window is the time over which the budget counts.
type Window struct {
	Type     string    `json:"type"`     // one of the Window constants
	Duration Duration  `json:"duration"` // for example "30d"; of a calendar window its usual length (a month 30d, a quarter 91d, a year 365d)
	Calendar *Calendar `json:"calendar,omitempty"`
}

// A Calendar says where the windows of type WindowCalendar begin: at Start, and at every Count units of civil time before and after
// it. A day of a month that is too short for it begins at that month's last.
type Calendar struct {
	Unit  string `json:"unit"`  // one of the Unit constants
	Count int    `json:"count"` // from 1; every third month is Month and 3
	Start string `json:"start"` // civil time of a window's beginning, "2026-01-31 00:00:00"
	Zone  Zone   `json:"zone"`
}

// A Zone is a time zone with its rules written out, so that a stage, which may ask nobody, answers the same whatever the machine
// knows of time zones.
type Zone struct {
	Name    string   `json:"name"`              // as in IANA's data, "Europe/Berlin"
	Offsets []Offset `json:"offsets,omitempty"` // ascending; the first holds for all time before it, the last for all time after
}

// An Offset is what a zone's clocks are ahead of UTC from a moment on.
type Offset struct {
	From int64 `json:"from"` // Unix seconds
	East int64 `json:"east"` // seconds
}

// A Slice is the unit of the methods that count time and not events.
type Slice struct {
	Length Duration `json:"length"` // whole seconds, from 10 s to 1 h
	Target Decimal  `json:"target"` // Timeslices: a slice is good when its share of good events is at least this
}

// An SLI is two additive expressions over counters, of Good and Bad exactly one being set; or values, by Gauge alone.
type SLI struct {
	Good  *Expr  `json:"good,omitempty"`
	Bad   *Expr  `json:"bad,omitempty"`
	Total Expr   `json:"total"`
	Gauge *Gauge `json:"gauge,omitempty"`

	// Interpolate counts a bucket le="…" of Good or Bad whose bound the histograms do not have from the buckets around it.
	Interpolate bool `json:"interpolate,omitempty"`
}

// An Unread says why an objective is not counted: it is UNKNOWN for this reason.
type Unread struct {
	Reason  string `json:"reason"` // ReasonSourceUnsupported
	Message string `json:"message"`
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
	AtMost   *Decimal     `json:"atMost,omitempty"` // of native histograms, whose name ends in NativeSuffix here: observations up to this
}

// Alerting says which alerts an objective has and who hears of them. Tiers without a policy in the file are Page and Ticket, unless
// Disabled.
type Alerting struct {
	Disabled    bool              `json:"disabled,omitempty"`
	Tiers       []Tier            `json:"tiers,omitempty"`
	Extra       []Tier            `json:"extra,omitempty"`     // beside those, or beside the default ones
	Unguarded   bool              `json:"unguarded,omitempty"` // burn alerts fire by their ratio alone, however few events there are
	Notify      []string          `json:"notify,omitempty"`    // names of AlertNotificationTarget definitions; empty: the default targets
	Runbook     string            `json:"runbook,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// A Tier is one alert of an objective. It fires when, for any of its pairs, both burn rates are above the factor; or it is about one
// of the other things.
type Tier struct {
	Name       string     `json:"name"`     // "page" or "ticket", or the name of the AlertPolicy's condition
	Severity   string     `json:"severity"` // "page" or "ticket"
	Pairs      []BurnPair `json:"pairs,omitempty"`
	Spent      *Decimal   `json:"spent,omitempty"`      // it fires when this share of the budget is spent
	Exhaustion Duration   `json:"exhaustion,omitempty"` // it fires when the budget is foretold to end within this time
	Absent     Duration   `json:"absent,omitempty"`     // it fires when no samples have come for this time
	RollUp     bool       `json:"rollUp,omitempty"`     // of an objective that groups: it itself has this alert, whoever has the others, and no group has it
	Notify     []string   `json:"notify,omitempty"`
}

// A BurnPair is a long and a short window with the burn rate that both must be above.
type BurnPair struct {
	Long   Duration `json:"long"`
	Short  Duration `json:"short"`
	Factor Decimal  `json:"factor"`
}
