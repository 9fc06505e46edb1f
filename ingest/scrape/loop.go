package scrape

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

// Health of a target.
const (
	healthUnknown = "unknown"
	healthUp      = "up"
	healthDown    = "down"
)

// A loop scrapes one target. All but cancel and status belong to its goroutine.
type loop struct {
	scraper *Scraper
	target  *target
	body    exposition
	cancel  context.CancelCauseFunc
	status  atomic.Pointer[Target]
}

func newLoop(s *Scraper, t *target) *loop {
	hash := s.config.Gate.Hash
	l := &loop{scraper: s, target: t}
	l.body = exposition{
		job: &t.job.config, target: t.labels, hash: hash, series: map[ingest.Hash]*seen{}, ids: map[string]*seen{},
		prefix: ingest.Hash{}.Join(hash([]byte("scrape1" + t.key))),
	}
	l.status.Store(&Target{Job: t.job.config.Name, URL: t.shown(), Labels: t.labels, Health: healthUnknown})
	return l
}

// run scrapes at each turn until ctx ends. When the target was removed while the process goes on, its series end.
func (l *loop) run(process, ctx context.Context) {
	timer := time.NewTimer(l.target.wait(time.Now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errRemoved) {
				l.end(process)
			}
			return
		case <-timer.C:
		}
		begun := time.Now()
		l.scrape(ctx)
		wait, missed := l.target.next(begun, time.Since(begun))
		l.scraper.stats.skipped.Add(int64(missed))
		timer.Reset(wait)
	}
}

// scrape asks once and stores what came, or that nothing came.
func (l *loop) scrape(ctx context.Context) {
	begun := time.Now()
	at := bus.TimeOf(begun)
	l.scraper.stats.scrapes.Add(1)
	body, contentType, failure := l.fetch(ctx)
	if ctx.Err() != nil {
		l.scraper.release(body)
		return // stopped or removed meanwhile: that says nothing about the target
	}
	a := l.scraper.config.Gate.Begin(l.scraper.config.Sender)
	if failure == nil {
		if failure = l.body.read(a, body, contentType, at); failure != nil {
			a.Drop()
			a = l.scraper.config.Gate.Begin(l.scraper.config.Sender)
		}
	}
	l.scraper.release(body)
	if failure != nil {
		l.body.count = counts{}
	}
	took := time.Since(begun)
	l.report(a, at, took, failure)
	gone := l.markGone(a, at, failure != nil)
	l.note(begun, took, failure, l.commit(ctx, a, gone))
}

// commit stores the arrival and forgets the series that have ended.
func (l *loop) commit(ctx context.Context, a *ingest.Arrival, gone []*seen) error {
	ctx, cancel := context.WithTimeout(ctx, l.target.job.config.Timeout)
	defer cancel()
	outcome, err := a.Commit(ctx)
	l.scraper.stats.refused.Add(int64(outcome.Refused.Total()))
	if err != nil {
		l.scraper.stats.notStored.Add(1)
		return fmt.Errorf("not stored: %w", err) // the end of what is gone is told with the next scrape
	}
	for _, s := range gone {
		l.body.forget(s)
	}
	return refusal(&outcome.Refused)
}

// refusal says which samples the gate refused, or nothing.
func refusal(refused *ingest.Refused) error {
	if refused.Total() == 0 {
		return nil
	}
	var b strings.Builder
	for why, n := range refused {
		if n > 0 {
			fmt.Fprintf(&b, " %v %d", ingest.Reason(why), n)
		}
	}
	return fmt.Errorf("samples refused:%s", b.String())
}

// end writes staleness markers for all series of a target that is no longer listed.
func (l *loop) end(ctx context.Context) {
	at := bus.TimeOf(time.Now())
	a := l.scraper.config.Gate.Begin(l.scraper.config.Sender)
	gone := l.markGone(a, at, true)
	for _, name := range reportNames {
		l.add(a, at, name, math.Float64frombits(ingest.StaleMarker))
	}
	if err := l.commit(ctx, a, gone); err != nil {
		l.scraper.config.Log.Warn("end of a removed target's series", "job", l.target.job.config.Name, "target", l.target.shown(), "error", err)
	}
}

// markGone writes staleness markers for the series that were not in this scrape, or for all, and returns which.
func (l *loop) markGone(a arrival, at bus.Time, all bool) []*seen {
	var gone []*seen
	for _, s := range l.body.series {
		if s.number == l.body.number && !all {
			continue
		}
		ref, known := a.RefHash(s.hash)
		if !known {
			ref, _ = a.LearnHash(s.hash, append(bus.Labels(nil), s.labels...), s.flags)
		}
		a.Add(ref, at, 0, math.Float64frombits(ingest.StaleMarker))
		gone = append(gone, s)
	}
	return gone
}

// The series that each scrape makes beside those of the target, as in Prometheus.
var reportNames = [...]string{"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added"}

func (l *loop) report(a arrival, at bus.Time, took time.Duration, failure error) {
	up := 1.0
	if failure != nil {
		up = 0
	}
	c := &l.body.count
	for i, v := range [...]float64{up, took.Seconds(), float64(c.samples), float64(c.offered), float64(c.added)} {
		l.add(a, at, reportNames[i], v)
	}
}

func (l *loop) add(a arrival, at bus.Time, name string, v float64) {
	h := l.body.prefix.Join(l.body.hash([]byte("\x00" + name))) // no series of an exposition begins like that
	ref, known := a.RefHash(h)
	if !known {
		ls := append(append(bus.Labels(nil), l.target.labels...), bus.Label{Name: "__name__", Value: name})
		ref, _ = a.LearnHash(h, ls.Sort(), bus.SeriesGauge)
	}
	a.Add(ref, at, 0, v)
}

// note publishes how the scrape went. Changes of health are logged.
func (l *loop) note(begun time.Time, took time.Duration, failure, stored error) {
	s := &l.scraper.stats
	c := &l.body.count
	s.samples.Add(int64(c.samples))
	s.labelLimit.Add(int64(c.overLong))
	before := l.status.Load()
	now := *before
	now.Health, now.LastError, now.LastScrape, now.Duration, now.Samples = healthUp, "", begun, took, c.samples
	switch {
	case failure != nil:
		now.Health, now.LastError = healthDown, failure.Error()
		s.failed.Add(1)
		l.countFailure(failure)
	case stored != nil:
		now.LastError = stored.Error()
	case c.overLong > 0:
		now.LastError = "series skipped for limits on labels"
	}
	if now.Health != before.Health {
		l.scraper.config.Log.Info("target", "job", now.Job, "target", now.URL, "health", now.Health, "error", now.LastError)
	}
	l.status.Store(&now)
}

func (l *loop) countFailure(failure error) {
	s := &l.scraper.stats
	switch {
	case errors.Is(failure, errBody):
		s.bodyLimit.Add(1)
	case errors.Is(failure, errSamples):
		s.sampleLimit.Add(1)
	case errors.Is(failure, errSyntax):
		s.syntax.Add(1)
	case errors.Is(failure, errBusy):
		s.busy.Add(1)
	}
}
