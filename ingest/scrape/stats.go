package scrape

import "sync/atomic"

type counter = atomic.Int64

type counters struct {
	scrapes, failed, bodyLimit, sampleLimit, labelLimit, syntax, busy, notStored counter
	skipped, badTargets, badFiles, overTargets, samples, refused                 counter
}

// Stats are counts since the start of the process.
type Stats struct {
	Targets      int   // listed now
	Up           int   // of them, those whose last scrape went well
	OverTargets  int64 // left out now for MaxTargets
	Scrapes      int64
	Failed       int64 // scrapes that failed, whatever the reason; some reasons follow
	BodyLimit    int64
	SampleLimit  int64
	Syntax       int64
	Busy         int64 // no memory for the body
	NotStored    int64 // scrapes that the gate or the log did not take
	Skipped      int64 // intervals that passed while a scrape was not done
	LabelLimit   int64 // series skipped for a limit on labels
	Samples      int64
	Refused      int64 // samples that the gate refused, by reasons that it counts
	BadTargets   int64 // entries that are no target, at each reading
	BadFiles     int64 // readings of files with targets that failed
	InFlightSize int64 // bytes of bodies that are being read
}

// Stats returns the counts so far.
func (s *Scraper) Stats() Stats {
	c := &s.stats
	out := Stats{
		OverTargets: c.overTargets.Load(), Scrapes: c.scrapes.Load(), Failed: c.failed.Load(), BodyLimit: c.bodyLimit.Load(),
		SampleLimit: c.sampleLimit.Load(), Syntax: c.syntax.Load(), Busy: c.busy.Load(), NotStored: c.notStored.Load(),
		Skipped: c.skipped.Load(), LabelLimit: c.labelLimit.Load(), Samples: c.samples.Load(), Refused: c.refused.Load(), BadTargets: c.badTargets.Load(),
		BadFiles: c.badFiles.Load(), InFlightSize: s.bodies.used.Load(),
	}
	for _, t := range s.Targets() {
		out.Targets++
		if t.Health == healthUp {
			out.Up++
		}
	}
	return out
}

// A budget counts the memory of bodies that are being read.
type budget struct {
	size int64
	used counter
}

func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) <= b.size {
		return true
	}
	b.used.Add(int64(-n))
	return false
}

func (b *budget) give(n int) { b.used.Add(int64(-n)) }
