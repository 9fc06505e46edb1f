package calls

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"evenkeel.dev/bus"
)

// SubjectObservation is the prefix of observations in LOG; the token after it is the writer.
const SubjectObservation = bus.SubjectObservation + "calls."

// Subject returns the subject of a writer's observations.
func Subject(writer string) string { return SubjectObservation + bus.Token(writer) }

// ObservationVersion is the version of [Observation] that this code writes and reads.
const ObservationVersion = 1

// A Side is who reports a call. A lower one is preferred.
type Side uint8

// The sides.
const (
	SideDestination Side = iota // the proxy of the called service
	SideSource                  // the proxy of the caller
	SideTraces                  // spans of both, joined by a collector
	sides
)

// String returns the side's name: destination, source or traces.
func (s Side) String() string { return [...]string{"destination", "source", "traces"}[min(s, sides-1)] }

// Unknown is the name of a caller or called service of which nothing is known, as Istio writes it.
const Unknown = "unknown"

// An End is one end of a call, as its reporter names it. What is not known is "".
type End struct {
	Cluster, Namespace, Service string
}

// A Count is what one side told of one edge in a span of time.
type Count struct {
	Source, Destination End
	Caller              string // version of the caller
	Version             string // of the called service
	Side                Side
	Stamp               string // global namespace that the sender is bound to; "" of one that may speak for all
	Principal           string // identity of the caller, "" where none was proven
	Counts
}

// Bounds are the upper bounds of the latency that is counted, in milliseconds: those that Istio, Envoy and OpenTelemetry's connector have in common with
// what people ask for. [Counts.Latency] has one more, for all.
func Bounds() [latencies - 1]float64 {
	return [latencies - 1]float64{5, 10, 25, 50, 100, 200, 250, 400, 500, 1000, 2000, 2500, 5000, 10000}
}

const latencies = 15

// Counts are calls and what became of them.
type Counts struct {
	Requests, Failed uint64
	Mutual, Plain    uint64            // requests with mutual TLS, and in plaintext; of the rest it is not known
	Latency          [latencies]uint64 // cumulative: how many took at most Bounds()[i]; the last is all. A bound that the reporter has not stays 0
}

// Add adds o.
func (c *Counts) Add(o *Counts) {
	c.Requests, c.Failed, c.Mutual, c.Plain = c.Requests+o.Requests, c.Failed+o.Failed, c.Mutual+o.Mutual, c.Plain+o.Plain
	for i := range c.Latency {
		c.Latency[i] += o.Latency[i]
	}
}

func (c *Counts) fields() [4 + latencies]uint64 {
	out := [4 + latencies]uint64{c.Requests, c.Failed, c.Mutual, c.Plain}
	copy(out[4:], c.Latency[:])
	return out
}

func (c *Counts) set(f []uint64) {
	var all [4 + latencies]uint64
	copy(all[:], f)
	c.Requests, c.Failed, c.Mutual, c.Plain = all[0], all[1], all[2], all[3]
	copy(c.Latency[:], all[4:])
}

// An Observation is what a writer saw of calls in a span of time. Observations of a writer are numbered from 1; one that comes twice is passed over. A row
// of numbers is one [Count]: its ten names as places in Names, its side, and its counts; zeros at its end are left out.
type Observation struct {
	Version int        `json:"v"`
	Writer  string     `json:"writer"`
	Number  uint64     `json:"n"`
	From    bus.Time   `json:"fromMs"`
	To      bus.Time   `json:"toMs"`
	Over    uint64     `json:"over,omitempty"` // series that bounds kept out since the writer began
	Names   []string   `json:"names"`
	Rows    [][]uint64 `json:"rows"`
}

const (
	rowNames = 10
	rowHead  = rowNames + 1
	// observationBytes is what an observation takes at most; the log takes messages of a megabyte.
	observationBytes = 600 << 10
)

func (c *Count) names() [rowNames]*string {
	return [rowNames]*string{
		&c.Source.Cluster, &c.Source.Namespace, &c.Source.Service, &c.Destination.Cluster, &c.Destination.Namespace, &c.Destination.Service, &c.Version, &c.Stamp, &c.Principal, &c.Caller,
	}
}

// Split returns the counts as observations that are not too large for the log, with the head's writer, times and Over, numbered from its number on.
func Split(head Observation, counts []Count) []Observation {
	var out []Observation
	var o *Observation
	places, size := map[string]uint64{}, 0
	for i := range counts {
		c := &counts[i]
		need := 21 * (rowHead + 4 + latencies)
		for _, name := range c.names() {
			need += 6*len(*name) + 3 // as escaped at worst
		}
		if o == nil || size+need > observationBytes {
			out = append(out, head)
			o = &out[len(out)-1]
			o.Version, o.Number = ObservationVersion, head.Number+uint64(len(out)-1)
			places, size = map[string]uint64{}, 256
		}
		row := make([]uint64, 0, rowHead+4+latencies)
		for _, name := range c.names() {
			at, ok := places[*name]
			if !ok {
				at = uint64(len(o.Names))
				places[*name] = at
				o.Names = append(o.Names, *name)
				size += 6*len(*name) + 3
			}
			row = append(row, at)
		}
		row = append(row, uint64(c.Side))
		f := c.fields()
		row = append(row, f[:]...)
		for len(row) > rowHead && row[len(row)-1] == 0 {
			row = row[:len(row)-1]
		}
		size += 21 * len(row)
		o.Rows = append(o.Rows, row)
	}
	return out
}

var errRow = errors.New("observation of calls: a row is not well-formed")

// Decode reads an observation and refuses one that it cannot trust.
func Decode(data []byte) (Observation, []Count, error) {
	var o Observation
	if err := json.Unmarshal(data, &o); err != nil {
		return o, nil, fmt.Errorf("observation of calls: %w", err)
	}
	switch {
	case o.Version != ObservationVersion:
		return o, nil, fmt.Errorf("observation of calls: it has version %d; this program reads version %d", o.Version, ObservationVersion)
	case o.Writer == "" || o.Number == 0 || o.From > o.To:
		return o, nil, errors.New("observation of calls: writer, n and a span of time must be there")
	}
	counts := make([]Count, len(o.Rows))
	for i, row := range o.Rows {
		c := &counts[i]
		if len(row) < rowHead || len(row) > rowHead+4+latencies || row[rowNames] >= uint64(sides) || slices.Max(row) > math.MaxInt64 {
			return o, nil, errRow
		}
		for k, name := range c.names() {
			if row[k] >= uint64(len(o.Names)) {
				return o, nil, errRow
			}
			*name = o.Names[row[k]]
		}
		c.Side = Side(row[rowNames])
		c.set(row[rowHead:])
		if c.Source.Service == "" || c.Destination.Service == "" {
			return o, nil, errRow
		}
	}
	return o, counts, nil
}
