package slo

import (
	"slices"

	"evenkeel.dev/bus"
)

// Rules of event time.
const (
	// maxAhead is how far a sample may be ahead of the log's time; ingest refuses more, and here it is refused again.
	maxAhead = bus.Minute
	// maxHold is how far behind the most advanced source a slower one may hold the watermark. What comes later from it corrects
	// its slices. With the lateness it is less than behindAfter, so that a slow sender or clock cannot silence everybody's alerts.
	maxHold = 20 * bus.Second
	// minIdle is the least time after which a silent source leaves the watermark; otherwise two of its own intervals.
	minIdle = 10 * bus.Second
	// standstill is how long time stands still when no source is active: longer than a Prometheus keeps what it could not send
	// (two hours), so that a backlog is still evaluated in its own order. After that the watermark follows the log's time.
	standstill = 3 * bus.Hour
	// feeding is how long a source counts for the watermark after its last sample that mattered here.
	feeding = 10 * bus.Minute
	// failoverAfter is how long an elected replica may be silent while another one is not.
	failoverAfter = 30 * bus.Second

	sourceExpiry = standstill + bus.Hour
	maxSources   = 4096 // senders and replicas; one more pushes out the one that is silent for the longest time
	maxInterval  = 5 * bus.Minute
)

// Rules of clocks that are slow: a lag that stays within skewJitter for skewProof is the sender's clock and no backlog, up to maxSkew.
const (
	skewJitter = 5 * bus.Second
	skewProof  = 2 * bus.Minute
	maxSkew    = 2 * bus.Minute
)

// A sourceKey names a source.
type sourceKey struct{ sender, cluster, replica, gns string }

// A source is one stream of event time.
type source struct {
	key      sourceKey
	newest   bus.Time // newest event time
	rose     bus.Time // record time when newest rose last
	seen     bus.Time // record time of its last frame
	fed      bus.Time // record time of its last sample that mattered here
	since    bus.Time // event time when it was first seen: series that started later were never missed
	interval bus.Time // between two rises of newest, in record time; a slow maximum
	lag      bus.Time // of newest behind the log's time, when it last changed by more than skewJitter
	lagSince bus.Time // record time of that
	skew     bus.Time // how much its clock is slow
}

// rise takes a newer event time.
func (c *source) rise(newest, now bus.Time) {
	if c.rose > 0 {
		d := min(now-c.rose, maxInterval)
		if c.interval > 0 {
			d = min(d, 2*c.interval+bus.Second) // an absence is no interval
		}
		c.interval = max(d, c.interval-(c.interval-d)/16)
	}
	c.newest, c.rose = newest, now
	lag := now - newest
	switch off := lag - c.lag; {
	case c.lagSince == 0 || off > skewJitter || off < -skewJitter:
		c.lag, c.lagSince, c.skew = lag, now, 0
	case now-c.lagSince >= skewProof:
		c.skew = max(0, min(c.lag, maxSkew))
	}
}

// clock returns how far the source's event time has come: its newest sample, and what has passed since, but never as far as its
// next sample is expected.
func (c *source) clock(now bus.Time) bus.Time {
	return c.newest + max(0, min(now-c.rose, c.interval-1))
}

// active reports whether the watermark waits for the source.
func (c *source) active(now bus.Time) bool {
	return now-c.rose <= max(minIdle, 2*c.interval) && now-c.fed <= feeding
}

// observe takes the sources of a frame. The result is as long as f.Sources.
func (s *Stage) observe(f *bus.Frame) []*source {
	s.frameSources = s.frameSources[:0]
	for i := range f.Sources {
		fs := &f.Sources[i]
		key := sourceKey{fs.Sender, fs.Cluster, fs.Replica, fs.GlobalNamespace}
		c := s.sources[key]
		if c == nil {
			c = s.newSource(key, min(fs.Newest, s.now+maxAhead))
		}
		c.seen = s.now
		if n := min(fs.Newest, s.now+maxAhead); n > c.newest {
			c.rise(n, s.now)
		}
		s.frameSources = append(s.frameSources, c)
	}
	return s.frameSources
}

func (s *Stage) newSource(key sourceKey, newest bus.Time) *source {
	if len(s.sources) >= maxSources {
		all := s.sortedSources()
		oldest := all[0]
		for _, c := range all {
			if c.seen < oldest.seen {
				oldest = c
			}
		}
		delete(s.sources, oldest.key)
	}
	c := &source{key: key, newest: newest, since: newest, rose: s.now}
	s.sources[key] = c
	return c
}

func (s *Stage) sortedSources() []*source {
	all := make([]*source, 0, len(s.sources))
	for _, c := range s.sources {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *source) int { return compareKeys(a.key, b.key) })
	return all
}

func compareKeys(a, b sourceKey) int {
	x, y := [4]string{a.sender, a.cluster, a.replica, a.gns}, [4]string{b.sender, b.cluster, b.replica, b.gns}
	return slices.Compare(x[:], y[:])
}

func (s *Stage) sweepSources() {
	for key, c := range s.sources { // each is judged alone, so that order does not show
		if s.now-c.seen > sourceExpiry {
			delete(s.sources, key)
		}
	}
}

// newest returns the newest event time that a source which feeds the partition may have come to, no later than now; now, where
// there is none.
func (s *Stage) newest() bus.Time {
	newest := bus.Time(0)
	for _, c := range s.sources {
		if c.fed > 0 {
			newest = max(newest, c.clock(s.now)+bus.Second)
		}
	}
	if newest == 0 {
		return s.now
	}
	return min(newest, s.now)
}

// watermark returns the event time up to which everything that was to be expected has come: the least clock of all active sources
// that feed the partition (of a highly available pair only the elected one counts), less the lateness. A source can hold it back by maxHold. Without an active source
// it stands behind the newest sample, and standstill later follows the log's time.
func (s *Stage) watermark() bus.Time {
	var least, most, newest bus.Time
	for _, c := range s.sources {
		if c.fed == 0 || s.isStandby(c) {
			continue
		}
		newest = max(newest, c.newest)
		if !c.active(s.now) {
			continue
		}
		now := c.clock(s.now)
		if least == 0 || now < least {
			least = now
		}
		most = max(most, now)
	}
	if least == 0 {
		return max(min(newest+bus.Second, s.now), s.now-s.Lateness-standstill)
	}
	hold := min(maxHold, behindAfter-s.Lateness-4*bus.Second)
	return max(least, min(most, s.now)-hold) - s.Lateness
}

// skew returns how slow the clocks of all senders are that feed the partition now.
func (s *Stage) skew() bus.Time {
	least := maxSkew
	some := false
	for _, c := range s.sources {
		if c.fed > 0 && !s.isStandby(c) && c.active(s.now) {
			least, some = min(least, c.skew), true
		}
	}
	if !some {
		return 0
	}
	return least
}
