package watch

import (
	"cmp"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/mesh/calls"
)

const (
	silentAfter = bus.Minute      // a holder that is silent for so long gives way to another
	behindMax   = 5 * bus.Minute  // older readings are no picture of now
	gapMax      = 10 * bus.Minute // nor is what lies between readings further apart
)

// A counter is one series, whoever sends it.
type counter struct {
	edge   *edge
	what   what
	delta  bool // values are increments
	holder uint32
	slots  int32
	last   float64
	at     bus.Time // of last; 0: never
	id     bus.SeriesID
}

// read takes a reading and returns by how much the counter has grown.
func (c *counter) read(now bus.Time, r *ingest.Reading) float64 {
	first := c.at == 0
	if !first && r.Time <= c.at {
		return 0
	}
	change := c.holder != r.Watch
	if change && c.holder != 0 && r.Time < c.at+silentAfter {
		return 0
	}
	grown := r.Value - c.last
	switch {
	case c.delta:
		grown = r.Value
	case first:
		grown = 0
	case change && grown < 0:
		grown = 0 // perhaps they only differ
	case !change && (grown < 0 || r.Start > c.at):
		grown = r.Value
	}
	gap := !first && r.Time-c.at > gapMax
	c.holder, c.last, c.at = r.Watch, r.Value, r.Time
	if gap || now-r.Time > behindMax {
		return 0
	}
	return grown
}

// An edgeKey is what [calls.Count] tells edges by.
type edgeKey struct {
	source, destination calls.End
	caller, version     string // versions
	stamp, principal    string
	side                calls.Side
}

func (k *edgeKey) names() [10]*string {
	return [10]*string{&k.source.Cluster, &k.source.Namespace, &k.source.Service, &k.destination.Cluster, &k.destination.Namespace, &k.destination.Service, &k.caller, &k.version, &k.stamp, &k.principal}
}

const nameMax = 256 // bytes

func (k *edgeKey) oversized() bool {
	for _, s := range k.names() {
		if len(*s) > nameMax {
			return true
		}
	}
	return false
}

// clone returns the key with strings of its own, to be kept.
func (k edgeKey) clone() edgeKey {
	for _, s := range k.names() {
		*s = strings.Clone(*s)
	}
	return k
}

// An edge is what was counted of one since the last report. Parts of one are carried over.
type edge struct {
	key      edgeKey
	counters int
	changed  bool
	n        [whats]float64 // by a bit of what, or a bucket; the places between are not used
}

// add adds to what was counted, and reports whether it is the first since the last report.
func (e *edge) add(w what, grown float64) bool {
	const most = 1 << 52 // whole numbers are exact below it
	switch {
	case w.bucket():
		e.n[w] = min(e.n[w]+grown, most)
	default:
		for _, bit := range [...]what{requests, failed, mutual, plain} {
			if w&bit != 0 {
				e.n[bit] = min(e.n[bit]+grown, most)
			}
		}
	}
	was := e.changed
	e.changed = true
	return !was
}

// report returns the whole numbers that were counted, and reports whether there are any.
func (e *edge) report() (calls.Count, bool) {
	k := &e.key
	out := calls.Count{Source: k.source, Destination: k.destination, Caller: k.caller, Version: k.version, Side: k.side, Stamp: k.stamp, Principal: k.principal}
	some := false
	take := func(i what) uint64 {
		n := uint64(e.n[i])
		e.n[i] -= float64(n)
		some = some || n > 0
		return n
	}
	out.Requests, out.Failed, out.Mutual, out.Plain = take(requests), take(failed), take(mutual), take(plain)
	for i := range out.Latency {
		out.Latency[i] = take(firstBucket + what(i))
	}
	e.changed = false
	return out, some
}

func compareCounts(a, b *calls.Count) int {
	end := func(x, y *calls.End) int {
		return cmp.Or(strings.Compare(x.Cluster, y.Cluster), strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Service, y.Service))
	}
	return cmp.Or(end(&a.Destination, &b.Destination), end(&a.Source, &b.Source), strings.Compare(a.Version, b.Version), strings.Compare(a.Caller, b.Caller), cmp.Compare(a.Side, b.Side),
		strings.Compare(a.Stamp, b.Stamp), strings.Compare(a.Principal, b.Principal))
}
