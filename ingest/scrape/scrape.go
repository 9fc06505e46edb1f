// Package scrape reads metrics from targets that show them over HTTP, in the text format of Prometheus or in OpenMetrics 1.0, and
// offers them to the ingest gate.
//
// A [Job] lists targets, in the settings or in files in the format of Prometheus' file_sd, which are read again every 30 s. Each
// target is scraped once per interval, at an offset that a hash of it gives, so that load is spread evenly and stays where it is
// over restarts. All samples of one scrape become one [ingest.Arrival]: they are taken together or not at all.
//
// # Series
//
// Labels job and instance and those of the target's group are set on all series; a label of the same name in the exposition is
// renamed to exported_<name>, or wins where the job says HonorLabels. As in Prometheus each scrape also makes up,
// scrape_duration_seconds, scrape_samples_scraped, scrape_samples_post_metric_relabeling and scrape_series_added. A kept series
// that is gone from the next scrape gets a staleness marker; when a scrape fails or the target is removed, all of its series do.
// Series with timestamps of their own are left alone, as in Prometheus. When the process stops, no marker is written.
//
// "_created" lines of OpenMetrics become start timestamps of the counters, histograms and summaries that they belong to.
//
// # What it refuses
//
// Bodies over BodyLimit, more samples than SampleLimit and expositions with a syntax error fail the whole scrape. Series over
// a limit on labels are skipped and counted. Redirects are followed five times at most and never from HTTPS to HTTP. Credentials are
// read from files at each scrape and stand in no error, log or status. Native histograms are not asked for.
package scrape

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

// A Config says what a [Scraper] stands on. Zero fields mean their default.
type Config struct {
	Gate   *ingest.Gate
	Jobs   []Job
	Sender ingest.Sender // whose quota scraped data counts against; default the name "scrape"
	Log    *slog.Logger  // what went wrong with files and targets, when it changes; default nowhere

	MaxTargets  int           // of all jobs; those over it are not scraped, and counted; default 10,000
	MaxInFlight int           // bytes of all bodies that are being read; default 512 MiB
	Refresh     time.Duration // of files with targets; default 30 s

	// Dial connects to targets; default is that of net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Scraper scrapes targets while [Scraper.Run] runs.
type Scraper struct {
	config Config
	jobs   []*job
	files  fileCache
	bodies budget
	stats  counters

	mu    sync.Mutex
	loops map[string]*loop // by the target's key
}

// New checks c and returns a scraper. Errors name the job and the field.
func New(c Config) (*Scraper, error) {
	if c.Gate == nil {
		return nil, errors.New("scrape: Config needs Gate")
	}
	if c.Sender == (ingest.Sender{}) {
		c.Sender.Name = "scrape"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxTargets == 0 {
		c.MaxTargets = 10_000
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 512 << 20
	}
	if c.Refresh == 0 {
		c.Refresh = 30 * time.Second
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	if c.MaxTargets < 0 || c.MaxInFlight < 0 || c.Refresh < time.Second {
		return nil, fmt.Errorf("scrape: MaxTargets is %d, MaxInFlight %d, Refresh %v; the first two must be above 0, the last at least 1s", c.MaxTargets, c.MaxInFlight, c.Refresh)
	}
	s := &Scraper{config: c, loops: map[string]*loop{}, files: fileCache{}, bodies: budget{size: int64(c.MaxInFlight)}}
	names := map[string]bool{}
	for _, cfg := range c.Jobs {
		j, err := newJob(cfg, c.Dial)
		if err != nil {
			return nil, err
		}
		if names[cfg.Name] {
			return nil, fmt.Errorf("scrape: two jobs have the name %q", cfg.Name)
		}
		names[cfg.Name] = true
		s.jobs = append(s.jobs, j)
	}
	return s, nil
}

// Run scrapes until ctx ends, then waits for all that it has started and returns nil.
func (s *Scraper) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		ticker := time.NewTicker(s.config.Refresh)
		defer ticker.Stop()
		for {
			s.reconcile(ctx, group)
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
		}
	})
	err := group.Wait()
	for _, j := range s.jobs {
		j.client.CloseIdleConnections()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.loops)
	return err
}

// errRemoved ends the loop of a target that is no longer listed.
var errRemoved = errors.New("scrape: the target is no longer listed")

// reconcile starts loops for new targets and ends those of targets that are gone.
func (s *Scraper) reconcile(ctx context.Context, group *errgroup.Group) {
	wanted := s.discover()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, l := range s.loops {
		if _, ok := wanted[key]; !ok {
			l.cancel(errRemoved)
			delete(s.loops, key)
		}
	}
	for key, t := range wanted {
		if s.loops[key] != nil {
			continue
		}
		l := newLoop(s, t)
		inner, cancel := context.WithCancelCause(ctx)
		l.cancel = cancel
		s.loops[key] = l
		group.Go(func() error {
			defer cancel(nil)
			l.run(ctx, inner)
			return nil
		})
	}
}

// discover returns the targets that are listed now, by key; what is over MaxTargets is left out in the order of keys.
func (s *Scraper) discover() map[string]*target {
	all := map[string]*target{}
	for _, j := range s.jobs {
		groups := slices.Clone(j.config.Targets)
		for _, pattern := range j.config.FileSD {
			groups = append(groups, s.read(pattern)...)
		}
		for _, g := range groups {
			for _, address := range g.Targets {
				t, err := j.target(address, g.Labels)
				if err != nil {
					s.stats.badTargets.Add(1)
					s.config.Log.Warn("target left out", "job", j.config.Name, "error", err)
					continue
				}
				all[t.key] = t
			}
		}
	}
	s.keepBound(all)
	return all
}

// keepBound leaves out what is over MaxTargets.
func (s *Scraper) keepBound(all map[string]*target) {
	over := max(len(all)-s.config.MaxTargets, 0)
	s.stats.overTargets.Store(int64(over))
	if over == 0 {
		return
	}
	keys := slices.Sorted(maps.Keys(all))
	for _, key := range keys[s.config.MaxTargets:] {
		delete(all, key)
	}
	s.config.Log.Error("more targets than may be scraped", "bound", s.config.MaxTargets, "leftOut", over)
}

// A Target is how one target is doing.
type Target struct {
	Job        string
	URL        string // without query
	Labels     bus.Labels
	Health     string // up, down, or unknown before the first scrape
	LastError  string // of the last scrape, "" when it went well; holds no secrets
	LastScrape time.Time
	Duration   time.Duration
	Samples    int
}

// Targets returns all targets, by job and URL.
func (s *Scraper) Targets() []Target {
	s.mu.Lock()
	loops := make([]*loop, 0, len(s.loops))
	for _, l := range s.loops {
		loops = append(loops, l)
	}
	s.mu.Unlock()
	out := make([]Target, 0, len(loops))
	for _, l := range loops {
		out = append(out, *l.status.Load())
	}
	slices.SortFunc(out, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.URL, b.URL), cmp.Compare(a.Labels.String(), b.Labels.String()))
	})
	return out
}
