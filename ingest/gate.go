// Package ingest turns telemetry, in whatever protocol it came, into frames of the log.
//
// A shell (ingest/remotewrite, ingest/otlp, ingest/scrape) decodes one request and offers its series and samples to an [Arrival].
// The [Gate] behind it knows which series some service level objective needs. What is needed is kept: matched once, from then on
// known by a small number, its ref, and written to the partitions that need it. The rest is dropped after a look-up in a filter
// of fixed size. Both look-ups go by a hash of the very bytes that the sender encodes the series with, so that labels are decoded
// and compared at first sight only.
//
// # Guarantees
//
// Success is answered only after the log has acknowledged. All that arrives while one frame is being written goes into the next
// (group commit): there is no timer, and a lone arrival does not wait. Frame numbers of a writer rise by one. A number is never
// used again with other content: when an append ends without an answer, the same bytes are sent again with the same number, so
// that the log may hold a frame twice, and who reads it skips a number that a writer has had already. When that does not help
// either, the gate goes on as a new writer, and its series are announced again.
//
// A sender that brings too much harms itself only: series, bytes of labels, new series per minute and samples per minute are
// bounded per sender, series and bytes also per global namespace and in all ([Limits]). Memory for series that nobody needs is fixed.
//
// # What it refuses
//
// Samples too far ahead of the clock or too old, series with labels out of bounds, and series that claim another global namespace
// or cluster than their sender's credentials. Each is counted by [Reason] and does not touch the rest of its arrival.
//
// The package is pure: the log, the clock and chance (the writer's incarnation) are passed in; it starts no goroutine.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A Log takes frames. Append returns once the message is durable, and must end by itself within bounded time: a sender that goes
// away does not cancel it, since others wait for the same frame. It must not keep m.Data. An error that wraps [bus.ErrFull] or
// [bus.ErrTooLarge] says that the message is surely not stored; after any other error it may be.
type Log interface {
	Append(ctx context.Context, m bus.Message) (uint64, error)
}

// A Config says what a gate stands on.
type Config struct {
	Log        Log
	Partitions int             // of the slo stage; 1 to 64; default bus.DefaultPartitions
	Writer     uint64          // incarnation: random, never 0
	NewWriter  func() uint64   // another random incarnation, for after an append whose outcome stays unknown
	Now        func() bus.Time // the clock that samples are judged by
	Limits     Limits
	Watcher    Watcher // looks at series beside the objectives; may be nil
}

var (
	// ErrBusy says that too much waits to be written already. Answer 503 with Retry-After.
	ErrBusy = errors.New("ingest: too much telemetry waits to be written; try again later")
	// ErrQuota says that the sender is over its quota of samples. Answer 429 with Retry-After.
	ErrQuota = errors.New("ingest: the sender is over its quota of samples per minute")
	// ErrSenders says that there are too many senders. Answer 503 with Retry-After.
	ErrSenders = errors.New("ingest: too many senders")
)

// A Gate is the way in for telemetry. It is safe for use by many goroutines.
type Gate struct {
	config Config
	limits Limits

	seeds    seeds
	table    *table
	view     atomic.Pointer[view]
	setting  sync.Mutex // one SetObjectives at a time
	bounds   bounds
	arrivals sync.Pool
	stats    counters
	sweeper  sweeper

	histograms histograms

	sendersMu sync.RWMutex
	senders   map[Sender]*sender
	excess    *sender // stands for every sender over the bound

	mu       sync.Mutex // guards what follows
	queue    []*Arrival
	waiting  int  // bytes of the arrivals that wait or are being written
	flushing bool // somebody leads
	flusher  flusher
}

// A view is the catalogue as arrivals see it: swapped as a whole.
type view struct {
	revision uint64
	gen      uint32 // rises when the selectors change; what was matched under another is matched again
	index    *index
	filter   *filter
	table    *table
}

// New returns a gate that needs nothing until [Gate.SetObjectives] says otherwise.
func New(c Config) (*Gate, error) {
	if c.Partitions == 0 {
		c.Partitions = bus.DefaultPartitions
	}
	switch {
	case c.Log == nil || c.Now == nil || c.NewWriter == nil:
		return nil, errors.New("ingest: Config needs Log, Now and NewWriter")
	case c.Partitions < 1 || c.Partitions > maxPartitions:
		return nil, fmt.Errorf("ingest: %d partitions; 1 to %d are possible", c.Partitions, maxPartitions)
	case c.Writer == 0:
		return nil, errors.New("ingest: Config.Writer is 0; it must be random")
	}
	limits, err := c.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Gate{config: c, limits: limits, seeds: newSeeds(), table: newTable(), senders: map[Sender]*sender{}}
	g.bounds = bounds{limits: limits, spaces: map[string]*usage{}}
	g.excess = g.newSender(Sender{})
	g.excess.over = true
	g.flusher.init(c.Writer)
	g.view.Store(&view{gen: 1, index: newIndex(nil, c.Partitions), filter: newFilter(limits.FilterBytes), table: g.table})
	return g, nil
}

// maxPartitions is the width of the set of partitions that a series is written to.
const maxPartitions = 64

// SetObjectives makes the gate keep what these objectives need, as of a revision of the catalogue. Arrivals that began before
// are finished with what was needed then. Series that were known are matched again at their next sample, and kept ones are
// announced again, so that a new definition sees the series that exist already. A revision below the last one is ignored.
func (g *Gate) SetObjectives(revision uint64, objectives []slo.Objective) {
	g.setting.Lock()
	defer g.setting.Unlock()
	old := g.view.Load()
	if revision < old.revision {
		return
	}
	next := &view{revision: revision, gen: old.gen, index: newIndex(objectives, g.config.Partitions), filter: old.filter, table: g.table}
	if next.index.digest != old.index.digest {
		next.gen++
		next.filter = newFilter(g.limits.FilterBytes)
	}
	g.view.Store(next)
}

// Reconsider forgets which series nobody needs, so that they are looked at again: a [Watcher] may have room by now.
func (g *Gate) Reconsider() {
	g.setting.Lock()
	defer g.setting.Unlock()
	next := *g.view.Load()
	next.filter = newFilter(g.limits.FilterBytes)
	g.view.Store(&next)
}

// Revision returns the catalogue revision of the last SetObjectives.
func (g *Gate) Revision() uint64 { return g.view.Load().revision }

// find looks h up among the kept series, then among those that nobody needs.
func (v *view) find(h Hash, a *Arrival) (Ref, bool) {
	if a.sender.over {
		return Ref{why: SenderLimit}, true
	}
	if s := v.table.find(h, v.gen, a.minute); s != nil {
		return Ref{series: s}, true
	}
	return Ref{}, v.filter.has(h)
}
