package jetstream

import (
	"sync/atomic"
	"time"
)

// counters are what this process has met since its start.
type counters struct {
	appended, refused, commits, fenced, gaps, missing, damaged, rebuilt, ticks, purged, strangeBeats, panics, lost atomic.Uint64
}

// Stats are the log's figures for /metrics. Counters count since the start of this process; sizes are at most a second old.
type Stats struct {
	LogBytes, LogBytesMax int64
	LogFirst, LogLast     uint64 // sequences
	DiskFree, DiskReserve int64  // 0 without an embedded server
	DiskRecoveries        int64  // times that JetStream was started again after a full disk
	CacheBytes            int64  // of recent messages
	CacheMessages         int
	Connected             bool
	EventsLag             int           // messages that EVENTS knows of and has not taken from LOG
	EventsSilent          time.Duration // since EVENTS last heard from LOG, which says something every second
	Generation            uint64

	Appended        uint64 // messages that this process appended and had acknowledged
	Refused         uint64 // appends refused because the log or the disk was full
	Commits         uint64
	Fenced          uint64 // commits refused because another owner had committed
	Gaps            uint64 // gaps that readers of this process met
	MissingMessages uint64 // messages in those gaps
	DamagedMessages uint64 // messages whose checksum did not fit
	LostMessages    uint64 // sequences that LOG had lost at its end when this process opened it
	Consumers       uint64 // consumers made, at first or anew
	Ticks           uint64
	Purged          uint64 // messages dropped by retention
	StrangeBeats    uint64 // heartbeats that could not be read or were too many
	Panics          uint64 // of stages
}

// Stats returns the figures. It asks nobody.
func (l *Log) Stats() Stats {
	u, c := &l.usage, &l.count
	s := Stats{
		LogBytes: u.bytes.Load() + u.since.Load(), LogBytesMax: u.max.Load(), LogFirst: uint64(u.first.Load()), LogLast: l.Last(),
		Connected: l.conn.IsConnected(), Generation: l.generation,
		Appended: c.appended.Load(), Refused: c.refused.Load(), Commits: c.commits.Load(), Fenced: c.fenced.Load(), Gaps: c.gaps.Load(),
		MissingMessages: c.missing.Load(), DamagedMessages: c.damaged.Load(), Consumers: c.rebuilt.Load(), Ticks: c.ticks.Load(),
		LostMessages: c.lost.Load(), Purged: c.purged.Load(), StrangeBeats: c.strangeBeats.Load(), Panics: c.panics.Load(),
	}
	s.EventsLag = int(u.eventsLag.Load())
	if heard := u.eventsHeard.Load(); heard > 0 {
		s.EventsSilent = time.Since(time.UnixMilli(heard))
	}
	if v := l.config.Server; v != nil {
		s.DiskFree, s.DiskReserve = v.Disk()
		s.DiskRecoveries = v.revived.Load()
	}
	l.mu.Lock()
	t := l.tail
	l.mu.Unlock()
	if t != nil {
		t.mu.Lock()
		s.CacheBytes, s.CacheMessages = t.bytes, len(t.entries)
		t.mu.Unlock()
	}
	return s
}
