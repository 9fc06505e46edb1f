package ingest

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"evenkeel.dev/bus"
)

// A sender is what the gate keeps of a [Sender].
type sender struct {
	Sender
	over   bool // one too many: everything is refused
	salt   Hash
	origin *source // without cluster and replica of labels

	used  usage  // guarded by bounds.mu
	fresh bucket // new series; guarded by bounds.mu

	mu        sync.Mutex
	sources   map[[2]string]*source // by cluster and replica
	filtered  bucket                // additions to the filter
	filterGen uint32                // view that the bucket is for
	quota     bucket

	seen    atomic.Int64 // bus.Time of the last arrival
	newest  atomic.Int64 // newest event time of all
	kept    atomic.Uint64
	dropped atomic.Uint64 // filtered
	refused atomic.Uint64
}

// A source is one stream of event time, as bus.Source.
type source struct {
	owner            *sender
	cluster, replica string
	used             atomic.Int64 // bus.Time of the last arrival
	logged           atomic.Int64 // newest event time that the log has

	frame uint64 // guarded by the flush: frame that index belongs to
	index int
}

// sender returns what is kept of s, making it at the first arrival.
func (g *Gate) sender(s Sender, now bus.Time) *sender {
	g.sendersMu.RLock()
	k := g.senders[s]
	g.sendersMu.RUnlock()
	if k == nil {
		k = g.addSender(s, now)
	}
	if int64(now) != k.seen.Load() {
		k.seen.Store(int64(now))
	}
	return k
}

func (g *Gate) addSender(s Sender, now bus.Time) *sender {
	g.sendersMu.Lock()
	defer g.sendersMu.Unlock()
	if k := g.senders[s]; k != nil {
		return k
	}
	if len(g.senders) >= g.limits.Senders {
		for name, k := range g.senders {
			if now-bus.Time(k.seen.Load()) > g.limits.ForgetAfter && g.bounds.usage(k).series == 0 {
				delete(g.senders, name)
			}
		}
		if len(g.senders) >= g.limits.Senders {
			return g.excess
		}
	}
	k := g.newSender(s)
	g.senders[k.Sender] = k
	return k
}

func (g *Gate) newSender(s Sender) *sender {
	s = Sender{strings.Clone(s.Name), strings.Clone(s.GlobalNamespace), strings.Clone(s.Cluster)}
	key := s.Name + "\x00" + s.GlobalNamespace + "\x00" + s.Cluster
	k := &sender{Sender: s, salt: g.Hash([]byte(key)), sources: map[[2]string]*source{}}
	k.newest.Store(int64(noTime))
	k.origin = k.newSource(s.Cluster, "")
	return k
}

func (s *sender) newSource(cluster, replica string) *source {
	src := &source{owner: s, cluster: strings.Clone(cluster), replica: strings.Clone(replica)}
	src.logged.Store(int64(noTime))
	s.sources[[2]string{src.cluster, src.replica}] = src
	return src
}

// source returns the sender's source, or its origin when there is one too many.
func (g *Gate) source(s *sender, cluster, replica string) *source {
	if src := g.findSource(s, cluster, replica); src != nil {
		return src
	}
	return s.origin
}

// findSource returns the sender's source, or nil when there is one too many. Sources that are long unused make room.
func (g *Gate) findSource(s *sender, cluster, replica string) *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.seen.Load()
	src := s.sources[[2]string{cluster, replica}]
	if src == nil {
		if len(s.sources) >= g.limits.Sources {
			for k, old := range s.sources {
				if now-old.used.Load() > int64(g.limits.ForgetAfter) && old != s.origin {
					delete(s.sources, k)
				}
			}
		}
		if len(s.sources) >= g.limits.Sources {
			return nil
		}
		src = s.newSource(cluster, replica)
	}
	src.used.Store(now)
	return src
}

// mayFilter reports whether the sender may add one more series to the filter.
func (s *sender) mayFilter(l *Limits, gen uint32, now bus.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filterGen != gen {
		s.filterGen, s.filtered = gen, bucket{}
	}
	return s.filtered.take(1, now, l.FilterPerMinute, l.FilterBytes/8/2)
}

// mayPass reports whether n more samples are within the sender's quota; its burst is one minute's worth, or one arrival.
func (s *sender) mayPass(l *Limits, n int, now bus.Time) bool {
	if l.SamplesPerMinute == 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quota.take(min(n, l.SamplesPerMinute), now, l.SamplesPerMinute, l.SamplesPerMinute)
}

// SenderStats says how one sender is doing.
type SenderStats struct {
	Sender
	Series   int      // kept
	Bytes    int      // of their labels
	Samples  uint64   // kept
	Filtered uint64   // samples that nobody needs
	Refused  uint64   // samples
	Seen     bus.Time // clock at the last arrival
	// Skew is how far the newest event time is ahead of the clock of its arrival; below zero for one that lags. It is 0 until
	// there was a valid sample.
	Skew bus.Time
}

// Senders returns all senders, sorted by name, global namespace and cluster; at most Limits.Senders.
func (g *Gate) Senders() []SenderStats {
	g.sendersMu.RLock()
	ks := make([]*sender, 0, len(g.senders))
	for _, k := range g.senders {
		ks = append(ks, k)
	}
	g.sendersMu.RUnlock()
	slices.SortFunc(ks, func(a, b *sender) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		if c := strings.Compare(a.GlobalNamespace, b.GlobalNamespace); c != 0 {
			return c
		}
		return strings.Compare(a.Cluster, b.Cluster)
	})
	out := make([]SenderStats, len(ks))
	for i, k := range ks {
		u := g.bounds.usage(k)
		out[i] = SenderStats{Sender: k.Sender, Series: u.series, Bytes: u.bytes, Samples: k.kept.Load(), Filtered: k.dropped.Load(),
			Refused: k.refused.Load(), Seen: bus.Time(k.seen.Load())}
		if n := bus.Time(k.newest.Load()); n != noTime {
			out[i].Skew = n - out[i].Seen
		}
	}
	return out
}
