package ingest

import (
	"context"
	"math"

	"evenkeel.dev/bus"
)

// A Sender is who sends telemetry, as its credentials say. Labels never override it (SAFETY 14).
type Sender struct {
	Name            string // identity, for example the name of its token; part of the source of event time
	GlobalNamespace string // "" for a sender that may speak for all
	Cluster         string // "" for a sender that is bound to no cluster
}

// A Ref is a series as a [Gate] knows it: wanted, not needed, or refused. It is valid until the [Arrival] that gave it is committed
// or dropped. The zero Ref is a series that no definition needs.
type Ref struct {
	series *series
	why    Reason
}

// Kept reports whether samples of the series are wanted, by a definition or by a [Watcher]. A shell may skip the work of decoding those that are not, but must still
// call [Arrival.Add] for each of them with its time, so that they count and move the time of their source.
func (r Ref) Kept() bool { return r.series != nil }

// An Outcome says what became of the samples of an arrival. Kept, Filtered, NotFinite and the refused ones add up to all that
// were given.
type Outcome struct {
	Seq       uint64 // sequence in the log of the last frame that holds a part of the arrival; 0 where nothing had to be written
	Kept      int    // samples that some definition needs; they are durable
	Filtered  int    // samples that no definition needs, watched or not: not kept on purpose, and no error
	NotFinite int    // NaN and infinite values: dropped, and no error (SAFETY 15); the stale marker of Prometheus is kept
	Refused   Refused
}

// Refused counts refused samples by [Reason].
type Refused [reasonEnd]int

// Total returns the number of refused samples, whatever the reason.
func (r *Refused) Total() int {
	n := 0
	for _, k := range r {
		n += k
	}
	return n
}

// An Arrival is what one request, export or scrape brought. It belongs to one goroutine and ends with [Arrival.Commit] or
// [Arrival.Drop], after which it must not be used. The way of a series through it:
//
//	a := gate.Begin(sender)
//	a.Source(cluster, replica)       // optional, once per arrival
//	ref, known := a.Ref(key)         // key: the bytes the sender encodes the series with
//	if !known {
//		ref, err = a.Learn(key, labels, flags) // first sight; err explains a refusal
//	}
//	a.Add(ref, t, start, v)          // also with a refused or a filtered ref: it is counted
//	outcome, err := a.Commit(ctx)
type Arrival struct {
	gate    *Gate
	view    *view
	sender  *sender
	now     bus.Time
	minute  uint32 // of now
	samples []sample
	seen    []Reading // of watched series
	outcome Outcome

	sources []arrivalSource
	current int // index into sources of the source that samples without a series move
	last    int // index into sources of the last sample's source

	size  int // bytes that the samples take in a frame at most
	dict  int // bytes that announcing every sample's series would take at most
	bytes int // bytes that count against Limits.WaitingBytes

	warmed   uint64    // keeps the compiler from leaving out what Warm reads
	hits     []*rule   // scratch of learn
	scratch  []byte    // scratch of learn
	refusals []refusal // series that are needed and were not taken

	// group commit, guarded by Gate.mu
	state arrivalState
	err   error
	wake  chan struct{} // capacity 1
}

type sample struct {
	series   *series
	t, start bus.Time
	v        float64
}

type arrivalSource struct {
	src    *source
	newest bus.Time
}

// noTime stands for the newest event time of a source that has brought no valid sample.
const noTime = bus.Time(math.MinInt64)

// Begin returns an empty arrival of s. It never fails: when s is one sender too many, each of its series is refused
// ([SenderLimit]) and Commit says so.
func (g *Gate) Begin(s Sender) *Arrival {
	a, ok := g.arrivals.Get().(*Arrival)
	if !ok {
		a = &Arrival{gate: g, wake: make(chan struct{}, 1)}
	}
	a.view = g.view.Load()
	a.now = g.config.Now()
	a.minute = uint32(a.now / bus.Minute)
	a.sender = g.sender(s, a.now)
	a.sources = append(a.sources[:0], arrivalSource{src: a.sender.origin, newest: noTime})
	return a
}

// Source says which cluster and replica the arrival speaks for; without a call both are empty. It holds for the samples that no
// definition needs and for series without the labels "cluster" and "__replica__"; a series that has one of them brings its own
// source, which is remembered with it. So the key of a series must hold whatever makes its source another. Names that are over 256
// bytes or no UTF-8 are ignored.
func (a *Arrival) Source(cluster, replica string) {
	if !namesSource(cluster) || !namesSource(replica) {
		return
	}
	if a.sender.Cluster != "" {
		cluster = a.sender.Cluster
	}
	a.current = a.sourceIndex(a.gate.source(a.sender, cluster, replica))
}

// Ref looks up a series by the bytes that its sender encodes it with; equal bytes from one sender must mean equal labels and
// flags. It returns false for a series that has not been seen since the last change of definitions, or not for a long time: then
// decode the labels and call [Arrival.Learn]. It allocates nothing and takes no lock. The key is not kept.
func (a *Arrival) Ref(key []byte) (Ref, bool) {
	return a.view.find(a.gate.hash(a.sender, key), a)
}

// RefHash is [Arrival.Ref] for a shell that hashes keys itself: 128 bits that must come from a hash with a random seed
// ([Gate.Hash] is one). Use one of both for all series of a protocol.
func (a *Arrival) RefHash(h Hash) (Ref, bool) { return a.view.find(h.with(a.sender.salt), a) }

// Warm fetches what [Arrival.RefHash] will look at for these hashes into the processor's cache, all at once instead of one after
// the other. It changes nothing; with a million series it makes look-ups about twice as fast. A dozen or two are a good number.
func (a *Arrival) Warm(hs []Hash) {
	sum := uint64(0)
	for _, h := range hs {
		sum += a.view.touch(h.with(a.sender.salt))
	}
	for _, h := range hs {
		sum += a.view.table.touchSeries(h.with(a.sender.salt))
	}
	a.warmed = sum
}

// Learn takes a series at first sight and remembers what it is: kept, with its labels and source, or not needed. It strips
// "__replica__", stamps the sender's global namespace, and checks bounds. Flags are [bus.SeriesDelta] and [bus.SeriesGauge].
//
// A *[SeriesError] says why the series is refused; the ref that comes with it is still good for [Arrival.Add], which then counts
// the sample as refused for that reason. The order of ls is changed; neither key nor ls is kept, so that both may refer to a
// buffer that is used again.
func (a *Arrival) Learn(key []byte, ls bus.Labels, flags uint64) (Ref, error) {
	return a.learn(a.gate.hash(a.sender, key), ls, flags)
}

// LearnHash is [Arrival.Learn] for the keys of [Arrival.RefHash].
func (a *Arrival) LearnHash(h Hash, ls bus.Labels, flags uint64) (Ref, error) {
	return a.learn(h.with(a.sender.salt), ls, flags)
}

// Add takes one sample. start is the start timestamp of its counter, 0 where there is none. The sample is judged here: too far
// ahead, too old, not finite; what is refused is counted and does not touch the rest. It allocates nothing in the long run.
func (a *Arrival) Add(r Ref, t, start bus.Time, v float64) {
	valid := t <= a.now+a.gate.limits.Ahead && t >= a.now-a.gate.limits.Horizon
	if r.series == nil || r.series.space == nil {
		if r.why != 0 {
			a.outcome.Refused[r.why]++
			return
		}
		a.outcome.Filtered++
		if valid {
			a.move(a.current, t)
			if r.series != nil && v-v == 0 {
				a.seen = append(a.seen, Reading{Watch: r.series.watch(), Time: t, Start: max(start, 0), Value: v})
			}
		}
		return
	}
	switch {
	case !valid && t > a.now:
		a.outcome.Refused[TooFarAhead]++
		return
	case !valid:
		a.outcome.Refused[TooOld]++
		return
	case v-v != 0 && math.Float64bits(v) != StaleMarker: // NaN or infinite
		a.outcome.NotFinite++
		return
	}
	s := r.series
	if s.marks > flagBits && v-v == 0 {
		a.seen = append(a.seen, Reading{Watch: s.watch(), Time: t, Start: max(start, 0), Value: v})
	}
	if a.sources[a.last].src != s.source {
		a.last = a.sourceIndex(s.source)
	}
	a.move(a.last, t)
	a.samples = append(a.samples, sample{series: s, t: t, start: max(start, 0), v: v})
	n := s.copies()
	a.size += n * sampleBytes
	a.dict += n * s.announceBytes()
}

// StaleMarker is the bit pattern of the NaN with which Prometheus says that a series has ended.
const StaleMarker uint64 = 0x7ff0000000000002

func (a *Arrival) move(source int, t bus.Time) {
	if s := &a.sources[source]; t > s.newest {
		s.newest = t
	}
}

func (a *Arrival) sourceIndex(src *source) int {
	for i := range a.sources {
		if a.sources[i].src == src {
			return i
		}
	}
	a.sources = append(a.sources, arrivalSource{src: src, newest: noTime})
	return len(a.sources) - 1
}

// Refuse counts samples that the shell could not even offer, for example because their labels cannot be decoded.
func (a *Arrival) Refuse(why Reason, samples int) { a.outcome.Refused[why] += samples }

// Outcome returns the counts so far.
func (a *Arrival) Outcome() Outcome { return a.outcome }

// Commit makes the arrival durable and ends it. It returns nil only after the log has acknowledged all that was kept. Errors:
//
//   - [ErrBusy], [ErrQuota], [ErrSenders]: refused before anything was taken.
//   - one that wraps [bus.ErrFull]: the log has no room; nothing was taken, unless the arrival was larger than a frame.
//   - any other: whether it was stored is unknown. Sending the same again does no harm.
//
// The counts of the outcome are right with every error but for Kept, which then is how many samples would have been.
func (a *Arrival) Commit(ctx context.Context) (Outcome, error) { return a.gate.commit(ctx, a) }

// Drop ends the arrival without a trace, for a request that turned out to be no request.
func (a *Arrival) Drop() { a.gate.release(a) }

// Refused returns how many samples were refused so far.
func (a *Arrival) Refused() int { return a.outcome.Refused.Total() }
