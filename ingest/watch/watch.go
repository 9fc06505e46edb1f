// Package watch counts calls between services out of the series that pass the ingest gate, for the picture that mesh/calls keeps.
//
// It knows a short list of families: Istio's istio_requests_total and istio_request_duration_milliseconds_bucket, and the service graph that
// OpenTelemetry's connector (or Tempo) makes of spans: traces_service_graph_request_total, _failed_total and _server_seconds_bucket. Readings of their
// counters become increments: the first reading of a series is its start; a value that falls, or a start timestamp after the last reading, is a new
// counter. A series that several senders or replicas of a pair report under the same labels is followed at one of them, and at another once that one has
// been silent for a minute.
//
// [Calls.Report] appends what each edge had since the last report as observations (mesh/calls). One whose append ended without an answer is sent again as
// it was, with its number, so that it counts once; meanwhile counts go on to add up.
//
// # What it refuses
//
// Series over a bound, and those whose names are longer than 256 bytes: they are not counted, which the observations say. Readings that are more than
// five minutes behind the clock, and what lies between two readings that are further than ten minutes apart, are no picture of now: they move the
// counter and count nothing.
//
// # Trust
//
// A sender that is bound to a cluster or a global namespace is there, whatever labels say (SAFETY 14): the end that reports is in its cluster. The other
// end is what labels say it is.
//
// The package is pure: the log is passed in, and time comes with readings.
package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/mesh/calls"
)

// Limits are the bounds of [Calls]. A zero field means its default.
type Limits struct {
	Edges        int // pairs of services, each pair of versions, identity of the caller and reporting side by itself; default 20,000
	Series       int // in all, each about 300 bytes; default 1,000,000
	SenderSeries int // of one sender; default 250,000. Buckets of latency get three quarters of it, so that requests are counted first
}

func (l Limits) withDefaults() Limits {
	or := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	or(&l.Edges, 20_000)
	or(&l.Series, 1_000_000)
	or(&l.SenderSeries, 250_000)
	return l
}

// A Config says what [Calls] stand on.
type Config struct {
	Log    ingest.Log
	Writer uint64 // incarnation: random, never 0
	Limits Limits
}

// Calls implement [ingest.Watcher].
type Calls struct {
	config Config
	writer string

	mu       sync.Mutex
	slots    []slot                     // by number; the first is none
	free     []uint32                   // numbers that may be used again
	resting  [2][]uint32                // numbers that requests under way may still know, by age in reports
	counters map[bus.SeriesID]*counter  // by labels and bound of the sender
	edges    map[edgeKey]*edge          // that have counters
	changed  []*edge                    // with counts since the last report
	senders  map[ingest.Sender]*tenancy // with series
	from     bus.Time                   // of the counts
	now      bus.Time                   // of the last readings
	stats    Stats

	reporting sync.Mutex // guards what follows
	number    uint64     // of the last observation
	pending   []bus.Message
}

// Stats count what was watched since the process started.
type Stats struct {
	Readings uint64 // that were taken
	Over     uint64 // series that a bound kept out
	Reports  uint64 // observations that were appended
	Failed   uint64 // appends that failed; what they held is sent later
	Series   int    // watched now
	Edges    int
}

// A slot is a series as one sender encodes it.
type slot struct {
	counter *counter // nil: not in use
	sender  *tenancy
}

// A tenancy is how many series a sender has.
type tenancy struct {
	sender ingest.Sender
	series int
}

// New returns Calls that know nothing yet.
func New(c Config) *Calls {
	c.Limits = c.Limits.withDefaults()
	return &Calls{
		config: c, writer: fmt.Sprintf("%016x", c.Writer), slots: make([]slot, 1),
		counters: map[bus.SeriesID]*counter{}, edges: map[edgeKey]*edge{}, senders: map[ingest.Sender]*tenancy{},
	}
}

// Watch implements [ingest.Watcher].
func (c *Calls) Watch(s ingest.Sender, ls bus.Labels, flags uint64) uint32 {
	k, what, ok := classify(&s, ls)
	if !ok {
		return 0
	}
	id := bus.IdentifySeries(s.GlobalNamespace+"\x00"+s.Cluster, ls)
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.senders[s]
	if t == nil {
		t = &tenancy{sender: s}
	}
	l := &c.config.Limits
	most := l.SenderSeries
	if what.bucket() {
		most = most / 4 * 3
	}
	n := c.counters[id]
	if k.oversized() || t.series >= most || c.stats.Series >= l.Series || n == nil && c.edges[k] == nil && len(c.edges) >= l.Edges {
		c.stats.Over++
		return 0
	}
	if n == nil {
		n = &counter{edge: c.edge(k), what: what, delta: flags&bus.SeriesDelta != 0, id: id}
		n.edge.counters++
		c.counters[id] = n
	}
	n.slots++
	t.series++
	c.senders[t.sender] = t
	c.stats.Series++
	return c.take(slot{n, t})
}

// take gives a slot a number.
func (c *Calls) take(s slot) uint32 {
	if last := len(c.free) - 1; last >= 0 {
		n := c.free[last]
		c.free = c.free[:last]
		c.slots[n] = s
		return n
	}
	c.slots = append(c.slots, s)
	return uint32(len(c.slots) - 1)
}

// edge returns the edge of a key, which is made if it must.
func (c *Calls) edge(k edgeKey) *edge {
	e := c.edges[k]
	if e == nil {
		k = k.clone()
		e = &edge{key: k}
		c.edges[k] = e
	}
	return e
}

// Forget implements [ingest.Watcher].
func (c *Calls) Forget(watch uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slots[watch]
	if s.counter == nil {
		return
	}
	c.slots[watch] = slot{}
	c.resting[0] = append(c.resting[0], watch)
	c.stats.Series--
	if s.sender.series--; s.sender.series == 0 {
		delete(c.senders, s.sender.sender)
	}
	n := s.counter
	if n.holder == watch {
		n.holder = 0
	}
	if n.slots--; n.slots > 0 {
		return
	}
	delete(c.counters, n.id)
	if n.edge.counters--; n.edge.counters == 0 {
		delete(c.edges, n.edge.key) // what it has counted is reported all the same
	}
}

// Take implements [ingest.Watcher].
func (c *Calls) Take(now bus.Time, rs []ingest.Reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = max(c.now, now)
	if c.from == 0 {
		c.from = now
	}
	c.stats.Readings += uint64(len(rs))
	for i := range rs {
		n := c.slots[rs[i].Watch].counter
		if n == nil {
			continue
		}
		grown := n.read(now, &rs[i])
		if grown <= 0 {
			continue
		}
		if e := n.edge; e.add(n.what, grown) {
			c.changed = append(c.changed, e)
		}
	}
}

// Stats returns what was counted.
func (c *Calls) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Edges = len(c.edges)
	return s
}

// Report appends what was counted since the last report. After an error the same is offered again by the next call, before anything new.
func (c *Calls) Report(ctx context.Context, now bus.Time) error {
	c.reporting.Lock()
	defer c.reporting.Unlock()
	if len(c.pending) == 0 {
		if err := c.collect(now); err != nil {
			return err
		}
	}
	for len(c.pending) > 0 {
		_, err := c.config.Log.Append(ctx, c.pending[0])
		c.mu.Lock()
		if err != nil {
			c.stats.Failed++
		} else {
			c.stats.Reports++
		}
		c.mu.Unlock()
		if err != nil {
			return fmt.Errorf("observation of calls: %w", err)
		}
		c.pending = c.pending[1:]
	}
	return nil
}

// collect turns counts into observations that wait to be appended.
func (c *Calls) collect(now bus.Time) error {
	c.mu.Lock()
	counts := make([]calls.Count, 0, len(c.changed))
	for _, e := range c.changed {
		if n, some := e.report(); some {
			counts = append(counts, n)
		}
	}
	clear(c.changed)
	c.changed = c.changed[:0]
	head := calls.Observation{Writer: c.writer, Number: c.number + 1, From: min(c.from, now), To: now, Over: c.stats.Over}
	c.from = now
	c.free = append(c.free, c.resting[1]...)
	c.resting[0], c.resting[1] = c.resting[1][:0], c.resting[0]
	c.mu.Unlock()
	slices.SortFunc(counts, func(a, b calls.Count) int { return compareCounts(&a, &b) })
	for _, o := range calls.Split(head, counts) {
		b, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("observation of calls: %w", err)
		}
		c.number = o.Number
		c.pending = append(c.pending, bus.Message{Subject: calls.Subject(c.writer), Data: b})
	}
	return nil
}
