// Package bus is the log that everything in Evenkeel goes through, and the loop that turns its records.
//
// A [Message] is one entry of the stream LOG. A [Stage] is a deterministic machine that reads messages in the log's order, as a
// [Record] seen from its own partition, and answers with [Draft]s. [Run] is the loop that carries records from a [Log] to a stage
// and its drafts back, exactly once: drafts and progress are committed together in one atomic, fenced write, so that a crash, a
// lost answer or a second owner can neither lose nor repeat an output.
//
// The package is pure: it imports the standard library only, reads no clock, starts no goroutine and does no I/O. Time stands in
// the records. [Memory] is the log in memory; bus/jetstream is the durable one.
package bus

import (
	"strconv"
	"strings"
	"time"
)

// Time is a moment in milliseconds since the Unix epoch, the resolution of every telemetry protocol that comes in.
type Time int64

// Second and Minute are durations in the unit of [Time].
const (
	Millisecond Time = 1
	Second           = 1000 * Millisecond
	Minute           = 60 * Second
	Hour             = 60 * Minute
	Day              = 24 * Hour
)

// TimeOf converts t, cutting what is finer than a millisecond.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// Std returns t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMilli(int64(t)).UTC() }

// String returns t in RFC 3339 with milliseconds, in UTC.
func (t Time) String() string { return t.Std().Format("2006-01-02T15:04:05.000Z") }

// Subject prefixes of LOG. A message's kind is the prefix of its subject; nothing else tells it.
const (
	SubjectFrame       = "log.frame."        // telemetry: log.frame.<writer>
	SubjectTick        = "log.tick"          // one a second, from a lease holder
	SubjectProposal    = "log.proposal."     // wishes to change definitions: log.proposal.<kind>
	SubjectResult      = "log.result."       // what shells did: log.result.<area>.<…>
	SubjectObservation = "log.observation."  // what shells saw: log.observation.<area>.<cluster>
	SubjectCommit      = "log.commit."       // checkpoints: log.commit.<stage>.<partition>
	SubjectDraft       = "log.draft."        // outputs of stages for other stages: log.draft.<area>.<type>
	SubjectEvent       = "log.event."        // public outputs, which EVENTS publishes as evenkeel.<area>.<type>.<gns>.<…>
	SubjectStatus      = "log.status."       // packed status frames: log.status.<area>.<partition>
	SubjectLedger      = "log.ledger."       // packed minutes, kept 400 days: log.ledger.<area>.<partition>
	SubjectDetail      = "log.detail."       // decisions in full: log.detail.<area>.<…>
	SubjectRepair      = "log.result.repair" // what a person chose to mend damage
	SubjectGap         = "log.gap"           // made by a Reader, never stored: messages are missing before this one
)

// Header names of messages in LOG. Those that begin with "ce-" are CloudEvents attributes in NATS binary mode.
const (
	HeaderTo   = "Ek-To"   // destination partition, or "*"
	HeaderFrom = "Ek-From" // "<stage>.<partition>" that committed the message
	HeaderN    = "Ek-N"    // number of the output within that stage and partition, from 1
)

// A Message is one entry of the log.
type Message struct {
	Seq     uint64 // position in LOG; 0 until appended
	Time    Time   // the broker's time of the append
	Subject string
	Header  Header
	Data    []byte

	frame *Frame // decoded once, shared by all partitions
}

// A Header is a small ordered set of names and values; it has few entries, so that a search beats a map.
type Header []Field

// A Field is one entry of a Header.
type Field struct{ Name, Value string }

// Get returns the value of name, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value
		}
	}
	return ""
}

// To returns the partition that the message is addressed to, or [All].
func (m *Message) To() int {
	v := m.Header.Get(HeaderTo)
	if v == "" || v == "*" {
		return All
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return All
	}
	return n
}

// All as the destination of a draft means every partition.
const All = -1

// A Record is a message as one partition of a stage sees it.
type Record struct {
	Seq     uint64
	Time    Time // never falls from record to record
	Subject string
	Header  Header
	Data    []byte

	// Frame is set for telemetry; Section is then the partition's part of it, empty when the frame holds nothing for it.
	// A frame that cannot be trusted has Frame.Err set and no sections.
	Frame   *Frame
	Section Section

	// Missing is, for SubjectGap, how many messages are missing.
	Missing uint64
}

// Is reports whether the record's subject is, or begins with, the prefix (one of the Subject constants).
func (r *Record) Is(prefix string) bool { return strings.HasPrefix(r.Subject, prefix) }

// A Draft is an output of a stage before the log has taken it.
type Draft struct {
	// Subject begins with SubjectDraft, SubjectEvent, SubjectStatus, SubjectLedger or SubjectDetail.
	Subject string
	// To is the partition that shall read it, or All. Whom nothing reads may leave it All.
	To int
	// Event carries the CloudEvents attributes; it must be set when, and only when, Subject begins with SubjectEvent.
	Event *Event
	Data  []byte
}

// An Event is what a public draft says of itself beside its data, in the terms of CloudEvents 1.0.
type Event struct {
	Type    string // for example "dev.evenkeel.slo.alert.v1"
	Subject string // what it is about, for example "shop/checkout/availability"
	Time    Time   // when it happened, in event time; 0 means the record's time
}
