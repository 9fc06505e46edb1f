// Package history reads telemetry that somebody else has recorded and gives it back in the order of its time: one [Moment] holds all
// samples of one timestamp, whatever series they are of. It is what a replay drives the stages with.
//
// There are three sources. [Prometheus] asks a server over remote read (streamed XOR chunks, or whole answers where a server cannot
// stream), or over its HTTP API where remote read is not offered. [OpenMetrics] reads a text file with timestamps, and [Memory]
// has what a test made up. A [Log], the records of a running engine, is history of another kind: it has the arrivals themselves.
//
// # Bounds
//
// Servers answer series by series, and moments go across all series, so that history is read in slices of time: from two hours on,
// twice as long while they are small, half as long where one would be over [Config.SliceBytes] (128 MiB of labels and compressed samples) or over
// a limit of the server. One slice is merged while the next is read, so that the memory is at most two slices, and the moments
// of a part of one, at most 4,194,304 samples of 24 bytes; whatever the length of the history. A slice of one minute that is still
// too large is an error. An OpenMetrics file is read once, in blocks; its compressed samples are kept, at most 512 MiB.
//
// # What it refuses
//
// A damaged or cut answer is asked for again, and is an error after six tries; nothing of it is used. So is, after two tries, a server that
// sends nothing for 130 s. Credentials are read from files, stand in no error and are never sent to another host by a redirect.
package history

import (
	"context"
	"slices"
	"strings"

	"evenkeel.dev/bus"
)

// A Query says what is wanted: all series that one of the selectors matches, from and including From to before To.
type Query struct {
	Selectors []bus.Selector
	From, To  bus.Time
}

// wants reports whether a selector matches the labels.
func (q *Query) wants(ls bus.Labels) bool {
	return slices.ContainsFunc(q.Selectors, func(s bus.Selector) bool { return s.Matches(ls) })
}

// A Series is whose a sample is. Equal labels and flags give equal identities, in every slice and every process.
type Series struct {
	Labels bus.Labels // sorted
	Flags  uint64     // of bus: SeriesGauge where the source says so
	ID     bus.SeriesID
}

// A Moment holds the samples of one timestamp in columns, in the order of their series' labels. Its memory is used again.
type Moment struct {
	Time   bus.Time
	Series []*Series
	Values []float64
	Starts []bus.Time // start timestamps, 0 where there is none; empty where no sample has one
}

// A Source gives history back.
type Source interface {
	// Read calls take for each moment, in order. It ends with the first error, of its own or of take.
	Read(ctx context.Context, q Query, take func(*Moment) error) error
	// Origin says where the history came from; the protocol is known after Read.
	Origin() Origin
}

// An Origin says where history came from and what it does not hold.
type Origin struct {
	Kind     string // "prometheus", "openmetrics", "memory" or "log"
	Place    string // the URL, without credentials, or the file's name
	Protocol string // one of the Protocol constants
	Lacks    []Lack
}

// Protocols of an [Origin].
const (
	ProtocolStreamed = "RemoteReadStreamed" // remote read, chunk by chunk
	ProtocolSamples  = "RemoteReadSamples"  // remote read, a whole answer at once
	ProtocolAPI      = "QueryAPI"           // the HTTP API
	ProtocolFile     = "File"
	ProtocolLog      = "Log" // the engine's own records
	ProtocolMemory   = "Memory"
)

// A Lack is something that was there when it happened and that a source does not give back.
type Lack struct {
	Reason  string `json:"reason"` // a named constant
	Message string `json:"message"`
}

// Reasons of a [Lack].
const (
	LackStartTimestamps  = "StartTimestamps"
	LackStalenessMarkers = "StalenessMarkers"
	LackNativeHistograms = "NativeHistograms"
	LackExternalLabels   = "ExternalLabels"
	LackUnneeded         = "Unneeded"
	LackRetention        = "Retention"
)

// reduce drops selectors that say no more than another one: what has all matchers of another selects a part of what that one does. A
// good query is usually such a part of its total.
func reduce(ss []bus.Selector) []bus.Selector {
	var out []bus.Selector
	for i, s := range ss {
		part := false
		for k, o := range ss {
			if k != i && contains(s, o) && (!contains(o, s) || k < i) {
				part = true
			}
		}
		if !part {
			out = append(out, s)
		}
	}
	return out
}

// contains reports whether s has all matchers of o.
func contains(s, o bus.Selector) bool {
	for _, m := range o.Matchers() {
		if !slices.Contains(s.Matchers(), m) {
			return false
		}
	}
	return true
}

func newSeries(ls bus.Labels, flags uint64) *Series {
	id := bus.IdentifySeries("", ls)
	for i := range 8 {
		id[i] ^= byte(flags >> (8 * i)) // the same labels with other flags are told apart
	}
	return &Series{Labels: ls, Flags: flags, ID: id}
}

func compareLabels(a, b bus.Labels) int {
	return slices.CompareFunc(a, b, func(x, y bus.Label) int {
		if c := strings.Compare(x.Name, y.Name); c != 0 {
			return c
		}
		return strings.Compare(x.Value, y.Value)
	})
}
