package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// Subjects of this package in LOG.
const (
	SubjectDelivery = bus.SubjectDraft + "notify.delivery"  // a [Delivery]: an order to send once
	SubjectLate     = bus.SubjectDraft + "notify.late"      // a [Result] with OutcomeLate: nothing was sent, since it was over
	SubjectResult   = bus.SubjectResult + "notify"          // a [Result], from the process that sends
	SubjectResend   = bus.SubjectResult + "notify-resend"   // a [Resend], from a person
	SubjectDead     = bus.SubjectEvent + "notify.dead."     // public: a [DeadEvent]
	SubjectWatchdog = bus.SubjectEvent + "notify.watchdog." // public: a [WatchdogEvent]
	SubjectSilence  = bus.SubjectEvent + "notify.silence."  // public: a [SilenceEvent]
	SubjectHeld     = bus.SubjectDetail + "notify.held"     // a [Hold]: why an alert is not told for now

	SubjectSilenceRequest = bus.SubjectResult + "notify-silence" // a [SilenceRequest], from a person
	SubjectTrialRequest   = bus.SubjectResult + "notify-test"    // a [TrialRequest], from a person
)

// CloudEvents types of this package.
const (
	DeadEventType     = "dev.evenkeel.notify.dead.v1"
	WatchdogEventType = "dev.evenkeel.notify.watchdog.v1"
	SilenceEventType  = "dev.evenkeel.notify.silence.v1"
)

// Kinds of a [Delivery].
const (
	KindAlert    = "alert"
	KindWatchdog = "watchdog"
	KindGroup    = "group" // several alerts in one message
	KindTest     = "test"  // a person asks whether a target can be reached
)

// A Delivery is the order to send one message to one target, once. What follows from its [Result] the stage decides.
type Delivery struct {
	Version int    `json:"v"`
	Kind    string `json:"kind"`
	// ID is the same for all attempts to tell one target that one alert fires, or that it is resolved; receivers recognise a
	// repetition by it. Attempt counts from 1 and rises with each order under the ID.
	ID      string `json:"id"`
	Attempt int    `json:"attempt"`
	Target  Target `json:"target"`
	// TargetKey tells targets of one name apart: API version, namespace and name of the definition.
	TargetKey string `json:"targetKey"`
	// NotAfter is when the order lapses: a process that comes to it later sends nothing and answers OutcomeExpired.
	NotAfter bus.Time `json:"notAfter"`
	At       bus.Time `json:"at"` // when the stage decided
	// Follows is, for a resolved alert, the ID of the delivery that said it fires. A process that has let that one lapse lets this
	// one lapse too: nobody hears the end of what they never heard of.
	Follows string         `json:"follows,omitempty"`
	Event   Attributes     `json:"event"` // of the public event that it renders
	Alert   slo.AlertEvent `json:"alert"` // State is firing or resolved; for a Watchdog most fields are empty and Window is its interval
	// Watchdog is set for, and only for, KindWatchdog.
	Watchdog *WatchdogEvent `json:"watchdog,omitempty"`
	// Group is set for, and only for, KindGroup. Alert is then its first alert.
	Group *Group `json:"group,omitempty"`
	// Author is, for KindTest, who asked for it.
	Author string `json:"author,omitempty"`
	// Replies are the IDs of the deliveries that told the beginnings of what this one tells the end of, where that was not
	// the one that follows from the alert.
	Replies []string `json:"replies,omitempty"`
}

// A Group is several alerts that are told in one message. Those that fire stand first, the oldest before the others.
type Group struct {
	Key       string            `json:"key"`
	Labels    map[string]string `json:"labels"` // what they have in common, by the target's GroupBy
	Alerts    []slo.AlertEvent  `json:"alerts"` // State of each is firing or resolved
	Truncated int               `json:"truncated,omitempty"`
}

// Attributes are those of a CloudEvent.
type Attributes struct {
	ID      string `json:"id"`
	Source  string `json:"source"`
	Type    string `json:"type"`
	Subject string `json:"subject,omitempty"`
	Time    string `json:"time,omitempty"`
}

// Versions of a [Delivery]: kinds that version 1 does not know have version 2, so that an older process leaves them alone.
const (
	DeliveryVersion  = 1
	deliveryVersion2 = 2
)

// DecodeDelivery reads a message of the notify stage; ok is false for one that is no delivery.
func DecodeDelivery(m bus.Message) (d Delivery, ok bool, err error) {
	if m.Subject != SubjectDelivery {
		return Delivery{}, false, nil
	}
	if err := json.Unmarshal(m.Data, &d); err != nil {
		return Delivery{}, false, fmt.Errorf("notify: decode delivery: %w", err)
	}
	if d.Version != DeliveryVersion && d.Version != deliveryVersion2 {
		return Delivery{}, false, fmt.Errorf("notify: delivery of version %d, known are %d and %d", d.Version, DeliveryVersion, deliveryVersion2)
	}
	if d.Kind == KindGroup && (d.Group == nil || len(d.Group.Alerts) == 0) {
		return Delivery{}, false, fmt.Errorf("notify: delivery %s is a group without alerts", d.ID)
	}
	return d, true, nil
}

// Key names the alert's SLO and tier, or the group: deliveries of one key to one target are sent in order.
func (d *Delivery) Key() string {
	if d.Group != nil {
		return d.Group.Key
	}
	return alertKey(&d.Alert)
}

// Outcomes of an attempt.
const (
	OutcomeDelivered = "delivered" // the receiver took it
	OutcomeRetry     = "retry"     // it may not have got there: no connection, no answer in time, 408, 429 or 5xx
	OutcomeRejected  = "rejected"  // the receiver, or our own rules about addresses, will refuse it again
	OutcomeExpired   = "expired"   // NotAfter had passed; nothing was sent
	OutcomeLate      = "late"      // the stage's word: the alert was over before anybody could be told
)

// A Result says what came of one attempt. It never holds a secret: no URL, no header, no body.
type Result struct {
	ID         string   `json:"id"`
	Attempt    int      `json:"attempt"`
	Outcome    string   `json:"outcome"`
	Status     int      `json:"status,omitempty"`       // HTTP status, 0 where there was no answer
	RetryAfter bus.Time `json:"retryAfterMs,omitempty"` // the receiver's wish, in milliseconds
	Message    string   `json:"message,omitempty"`
}

// A Resend asks to try dead letters again.
type Resend struct {
	IDs    []string `json:"ids"` // IDs of deliveries; at most 1,000
	Author string   `json:"author"`
}

// A DeadEvent is the data of the public event for a delivery that was given up.
type DeadEvent struct {
	ID              string `json:"id"`
	Target          string `json:"target"` // name; "" where the alert has no target at all
	Type            string `json:"type,omitempty"`
	Reason          string `json:"reason"` // one of the Dead constants
	Message         string `json:"message,omitempty"`
	Status          int    `json:"status,omitempty"`
	Attempts        int    `json:"attempts"`
	State           string `json:"state"` // firing or resolved
	Alert           string `json:"alert"` // ID of the alert
	GlobalNamespace string `json:"globalNamespace"`
	Service         string `json:"service"`
	SLO             string `json:"slo"`
	Tier            string `json:"tier"`
	Severity        string `json:"severity"`
}

// Reasons of a dead letter.
const (
	DeadRejected  = "Rejected"  // the receiver refuses it
	DeadExhausted = "Exhausted" // too many attempts, or too long
	DeadNoTarget  = "NoTarget"  // a target that is named does not exist, or none is named and there is no default
	DeadOverload  = "Overload"  // more alerts at once than the stage keeps
)

// A WatchdogEvent is the data of the public event that comes each minute while the notify stage works.
type WatchdogEvent struct {
	Alert       string `json:"alert"`    // "Watchdog"
	Severity    string `json:"severity"` // "none"
	Targets     int    `json:"targets"`
	Firing      int    `json:"firing"`      // alerts that fire
	Pending     int    `json:"pending"`     // deliveries on their way
	DeadLetters int    `json:"deadLetters"` // that are kept
}

// deliveryID returns the stable ID of telling a target that an alert has come into a state.
func deliveryID(alert, state, target string) string {
	sum := sha256.Sum256([]byte(alert + "\x00" + state + "\x00" + target))
	return "ntf-" + hex.EncodeToString(sum[:16])
}

func alertKey(a *slo.AlertEvent) string { return sloKey(a) + "/" + a.Tier }

func sloKey(a *slo.AlertEvent) string { return a.GlobalNamespace + "/" + a.Service + "/" + a.SLO }
