package scrape

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

// bubble runs f in fake time with a scraper of one target that shows p. Only series that names matches are kept.
func bubble(t *testing.T, p *page, names string, change func(*Config), f func(s *Scraper, log *journal)) {
	synctest.Test(t, func(t *testing.T) {
		g, log := newGate(t, names, realNow)
		c := Config{Gate: g, Dial: serve(t, p), Jobs: []Job{{Name: "j", Targets: []Group{{Targets: []string{"a:1"}, Labels: map[string]string{"zone": "z"}}}}}}
		if change != nil {
			change(&c)
		}
		f(start(t, c), log)
	})
}

func TestScrapesOncePerInterval(t *testing.T) {
	// If this fails, rates are computed from samples that are missing, doubled or at uneven distances.
	p := &page{text: "x 1\n"}
	bubble(t, p, "x|up", nil, func(s *Scraper, log *journal) {
		time.Sleep(time.Minute)
		synctest.Wait()
		got := log.arrivals(t, 1)
		if len(got) != 4 || len(p.requests) != 4 {
			t.Fatalf("%d arrivals and %d requests in a minute, want 4", len(got), len(p.requests))
		}
		var first bus.Time
		for i, lines := range got {
			var at bus.Time
			if _, err := fmt.Sscanf(lines[0], `up{instance="a:1", job="j", zone="z"} gauge @%d = 1`, &at); err != nil || len(lines) != 2 {
				t.Fatalf("arrival %d: %q", i, lines)
			}
			if first == 0 {
				first = at
			}
			if at != first+bus.Time(i)*15*bus.Second {
				t.Errorf("arrival %d is %v after the first", i, at-first)
			}
			if want := fmt.Sprintf(`x{instance="a:1", job="j", zone="z"} @%d = 1`, at); lines[1] != want {
				t.Errorf("arrival %d: got %s, want %s", i, lines[1], want)
			}
		}
		r := p.requests[0]
		if r.URL.Path != "/metrics" || !strings.HasPrefix(r.Header.Get("Accept"), "application/openmetrics-text") || r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds") != "10" {
			t.Errorf("request %s %v", r.URL, r.Header)
		}
		if st := s.Stats(); st.Targets != 1 || st.Up != 1 || st.Scrapes != 4 || st.Samples != 4 || st.Failed != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestReportSeries(t *testing.T) {
	// If this fails, dashboards and alerts on scrape_… series of Prometheus find nothing.
	bubble(t, &page{text: "x 1\ny 2\n", delay: time.Second}, ".+", nil, func(_ *Scraper, log *journal) {
		time.Sleep(30 * time.Second)
		synctest.Wait()
		var values [][]string
		for _, lines := range only(log.arrivals(t, 1), "scrape_") {
			var vs []string
			for _, l := range lines {
				name, _, _ := strings.Cut(l, "{")
				vs = append(vs, name+l[strings.LastIndex(l, " ="):])
			}
			values = append(values, vs)
		}
		want := [][]string{
			{"scrape_duration_seconds = 1", "scrape_samples_post_metric_relabeling = 2", "scrape_samples_scraped = 2", "scrape_series_added = 2"},
			{"scrape_duration_seconds = 1", "scrape_samples_post_metric_relabeling = 2", "scrape_samples_scraped = 2", "scrape_series_added = 0"},
		}
		if diff := cmp.Diff(want, values[:2]); diff != "" {
			t.Error(diff)
		}
	})
}

// shape shortens lines to name and value, for tests where the time is of no interest.
func shape(arrivals [][]string) [][]string {
	for _, lines := range arrivals {
		for i, l := range lines {
			name, _, _ := strings.Cut(l, "{")
			lines[i] = name + l[strings.LastIndex(l, " ="):]
		}
	}
	return arrivals
}

func TestStalenessMarkers(t *testing.T) {
	// If this fails, series that are gone seem to stand still, and a target that is down seems to be well.
	p := &page{text: "x 1\ny 2\nz 3 1\n"}
	bubble(t, p, "x|y|z|up", nil, func(s *Scraper, log *journal) {
		for _, change := range []func(*page){
			func(p *page) { p.text = "x 1\n" },
			func(p *page) { p.status = 500 },
			func(p *page) { p.status = 0; p.text = "x 4\nbroken{ 1\n" },
			func(p *page) { p.text = "x 5\n" },
			func(*page) {},
		} {
			time.Sleep(15 * time.Second)
			synctest.Wait()
			p.set(change)
		}
		want := [][]string{
			{"up = 1", "x = 1", "y = 2"}, // z is too old for the gate, and brings its own time
			{"up = 1", "x = 1", "y = stale"},
			{"up = 0", "x = stale"},
			{"up = 0"},
			{"up = 1", "x = 5"},
		}
		if diff := cmp.Diff(want, shape(log.arrivals(t, 1))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if st := s.Stats(); st.Failed != 2 || st.Syntax != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestTimeout(t *testing.T) {
	// If this fails, a target that hangs is waited for without end.
	bubble(t, &page{text: "x 1\n", delay: time.Hour}, "up", nil, func(s *Scraper, log *journal) {
		time.Sleep(45 * time.Second)
		synctest.Wait()
		if got := shape(log.arrivals(t, 1)); len(got) < 2 || got[0][0] != "up = 0" {
			t.Errorf("arrivals %v", got)
		}
		if target := s.Targets()[0]; target.Health != "down" || target.LastError != "no complete answer within 10s" || target.Duration != 10*time.Second {
			t.Errorf("target %+v", target)
		}
	})
}

func TestBodyLimit(t *testing.T) {
	// If this fails, one target can fill the memory.
	for name, change := range map[string]func(*Config){
		"of the job": func(c *Config) { c.Jobs[0].BodyLimit = 50_000 },
		"of all":     func(c *Config) { c.MaxInFlight = 50_000 },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, &page{text: strings.Repeat("x 1\n", 1<<20)}, "up|x", change, func(s *Scraper, log *journal) {
				time.Sleep(15 * time.Second)
				synctest.Wait()
				if diff := cmp.Diff([][]string{{"up = 0"}}, shape(log.arrivals(t, 1))); diff != "" {
					t.Error(diff)
				}
				if st := s.Stats(); st.BodyLimit+st.Busy != 1 || st.InFlightSize != 0 {
					t.Errorf("stats %+v", st)
				}
			})
		})
	}
}

func TestSampleLimit(t *testing.T) {
	// If this fails, a limit that somebody has set on a job does not hold.
	bubble(t, &page{text: "x 1\ny 1\n"}, "up|x", func(c *Config) { c.Jobs[0].SampleLimit = 1 }, func(s *Scraper, log *journal) {
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([][]string{{"up = 0"}}, shape(log.arrivals(t, 1))); diff != "" {
			t.Error(diff)
		}
		if st := s.Stats(); st.SampleLimit != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestLogThatRefuses(t *testing.T) {
	// If this fails, the end of a series is lost when the log is full at that moment.
	p := &page{text: "x 1\n"}
	bubble(t, p, "x", nil, func(s *Scraper, log *journal) {
		time.Sleep(15 * time.Second)
		synctest.Wait()
		p.set(func(p *page) { p.text = "y 1\n" })
		log.refuse(bus.ErrFull)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if target := s.Targets()[0]; target.Health != "up" || !strings.Contains(target.LastError, "not stored") {
			t.Errorf("target %+v", target)
		}
		log.refuse(nil)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		got := shape(log.arrivals(t, 1))
		if last := got[len(got)-1]; len(last) != 1 || last[0] != "x = stale" {
			t.Errorf("arrivals %v, want the last to end x", got)
		}
	})
}

func TestSamplesThatTheGateRefuses(t *testing.T) {
	// If this fails, nobody learns that a target's clock or labels keep its series from counting.
	bubble(t, &page{text: "x 1 5\n"}, "x", nil, func(s *Scraper, _ *journal) {
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if target := s.Targets()[0]; target.Health != "up" || target.LastError != "samples refused: TooOld 1" || s.Stats().Refused != 1 {
			t.Errorf("target %+v, stats %+v", target, s.Stats())
		}
	})
}

func TestFilesWithTargets(t *testing.T) {
	// If this fails, targets that service discovery adds are not watched, or removed ones count as down for ever.
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one.json", `[{"targets": ["a:1", "b:1"], "labels": {"zone": "z", "__metrics_path__": "/own", "__param_module": "secret", "__meta_x": "y"}}]`)
	write("two.yml", "- targets: ['c:1']\n")
	p := &page{text: "x 1\n"}
	change := func(c *Config) {
		c.Jobs = []Job{{Name: "files", FileSD: []string{filepath.Join(dir, "*.json"), filepath.Join(dir, "*.yml")}}}
	}
	bubble(t, p, "x|up", change, func(s *Scraper, log *journal) {
		names := func() string {
			synctest.Wait()
			var out []string
			for _, target := range s.Targets() {
				out = append(out, target.URL)
			}
			return strings.Join(out, " ")
		}
		if got := names(); got != "http://a:1/own http://b:1/own http://c:1/metrics" {
			t.Errorf("targets %s", got)
		}
		time.Sleep(20 * time.Second)
		for _, target := range s.Targets() {
			if target.Health != "up" || strings.Contains(fmt.Sprint(target), "secret") || strings.Contains(fmt.Sprint(target.Labels), "meta") {
				t.Errorf("target %+v", target)
			}
		}
		write("one.json", `[{"targets": ["b:1"], "labels"`) // being written
		time.Sleep(30 * time.Second)
		if got := names(); got != "http://a:1/own http://b:1/own http://c:1/metrics" {
			t.Errorf("targets %s while a file is half written", got)
		}
		write("one.json", `[{"targets": ["b:1", "d:1/path"], "labels": {"zone": "z", "__metrics_path__": "/own"}}]`)
		if err := os.Remove(filepath.Join(dir, "two.yml")); err != nil {
			t.Fatal(err)
		}
		before := log.Last()
		time.Sleep(30 * time.Second)
		if got := names(); got != "http://b:1/own" {
			t.Errorf("targets %s after the change", got)
		}
		ended := fmt.Sprint(only(log.arrivals(t, before+1), "stale"))
		for _, series := range []string{`x{instance="a:1", job="files", zone="z"}`, `up{instance="a:1", job="files", zone="z"}`, `x{instance="c:1", job="files"}`} {
			if !strings.Contains(allText(log.arrivals(t, 1), "stale"), series) {
				t.Errorf("%s has not ended; ended: %s", series, ended)
			}
		}
		if st := s.Stats(); st.BadFiles == 0 || st.BadTargets == 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

func allText(arrivals [][]string, part string) string {
	var b strings.Builder
	for _, lines := range only(arrivals, part) {
		b.WriteString(strings.Join(lines, "\n") + "\n")
	}
	return b.String()
}

func TestStopLeavesSeriesAlone(t *testing.T) {
	// If this fails, each restart of Evenkeel ends all series, and counts begin anew.
	synctest.Test(t, func(t *testing.T) {
		p := &page{text: "x 1\n"}
		g, log := newGate(t, "x", realNow)
		s, err := New(Config{Gate: g, Dial: serve(t, p), Jobs: []Job{{Name: "j", Targets: []Group{{Targets: []string{"a:1"}}}}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 16*time.Second)
		defer stop()
		if err := s.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
		if got := shape(log.arrivals(t, 1)); fmt.Sprint(got) != "[[x = 1]]" {
			t.Errorf("arrivals %v", got)
		}
	})
}

func TestTargetsAreSpread(t *testing.T) {
	// If this fails, all targets are scraped at the same moment, and the engine is idle for the rest of the interval.
	j, err := newJob(Job{Name: "j"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_700_000_000, 0)
	var thirds [3]int
	for i := range 300 {
		target, err := j.target(fmt.Sprint("host", i, ":80"), nil)
		if err != nil {
			t.Fatal(err)
		}
		w := target.wait(at)
		if w <= 0 || w > 15*time.Second || target.wait(at.Add(w)) != 15*time.Second || target.wait(at.Add(15*time.Second)) != w {
			t.Fatalf("waits %v", w)
		}
		thirds[(w-1)/(5*time.Second)]++
	}
	if min(thirds[0], thirds[1], thirds[2]) < 60 {
		t.Errorf("targets by thirds of the interval: %v", thirds)
	}
}

func TestTurns(t *testing.T) {
	// If this fails, a timer that is a little early scrapes twice, or a slow target gets out of step.
	j, err := newJob(Job{Name: "j"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	target, err := j.target("a:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	turn := time.Unix(1_700_000_000, 0)
	turn = turn.Add(target.wait(turn))
	for _, c := range []struct {
		early, took, wait time.Duration
		missed            int
	}{
		{0, time.Second, 14 * time.Second, 0},
		{time.Millisecond, 100 * time.Microsecond, 15*time.Second + 900*time.Microsecond, 0},
		{-2 * time.Second, time.Second, 12 * time.Second, 0},
		{0, 15 * time.Second, 15 * time.Second, 1},
		{0, 50 * time.Second, 10 * time.Second, 3},
	} {
		if wait, missed := target.next(turn.Add(-c.early), c.took); wait != c.wait || missed != c.missed {
			t.Errorf("%v early, took %v: waits %v, missed %d, want %v, %d", c.early, c.took, wait, missed, c.wait, c.missed)
		}
	}
}

func TestMaxTargets(t *testing.T) {
	// If this fails, a wrong file of targets starts a goroutine for each of a million lines.
	var g Group
	for i := range 50 {
		g.Targets = append(g.Targets, fmt.Sprint("h", i, ":1"))
	}
	gate, _ := newGate(t, "x", realNow)
	s, err := New(Config{Gate: gate, MaxTargets: 20, Jobs: []Job{{Name: "j", Targets: []Group{g, g}}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.discover()); n != 20 || s.Stats().OverTargets != 30 {
		t.Errorf("%d targets, %d left out", n, s.Stats().OverTargets)
	}
}

func TestRealTarget(t *testing.T) {
	// If this fails, targets with TLS, tokens or redirects cannot be scraped, or a token is shown to somebody.
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 100)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics":
			http.Redirect(w, r, "/moved", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, "http://"+r.Host+"/moved", http.StatusFound)
		case "/moved":
			asked <- r.Header.Get("Authorization")
			fmt.Fprintln(w, "x 1")
		}
	}))
	defer server.Close()
	gate, log := newGate(t, "x", realNow)
	scrapeOnce := func(c Job) *Target {
		c.Name, c.Scheme = "j", "https"
		s, err := New(Config{Gate: gate, Jobs: []Job{c}})
		if err != nil {
			t.Fatal(err)
		}
		target, err := s.jobs[0].target(strings.TrimPrefix(server.URL, "https://"), nil)
		if err != nil {
			t.Fatal(err)
		}
		l := newLoop(s, target)
		l.scrape(t.Context())
		s.jobs[0].client.CloseIdleConnections()
		return l.status.Load()
	}
	trusting := TLS{InsecureSkipVerify: true}
	if got := scrapeOnce(Job{TLS: trusting, BearerTokenFile: secret}); got.Health != "up" || <-asked != "Bearer s3cret" || log.Last() == 0 {
		t.Errorf("with a token: %+v", got)
	}
	if got := scrapeOnce(Job{TLS: trusting, BasicAuth: &BasicAuth{Username: "u", PasswordFile: secret}}); got.Health != "up" || <-asked != "Basic dTpzM2NyZXQ=" {
		t.Errorf("with a password: %+v", got)
	}
	for name, c := range map[string]struct {
		job  Job
		want string
	}{
		"unknown authority":    {Job{}, "certificate"},
		"endless redirects":    {Job{TLS: trusting, Path: "/loop"}, "more than 5 times"},
		"redirect to http":     {Job{TLS: trusting, Path: "/plain"}, "from https to http"},
		"token file is absent": {Job{TLS: trusting, BearerTokenFile: secret + ".no"}, "bearerTokenFile"},
	} {
		if got := scrapeOnce(c.job); got.Health != "down" || !strings.Contains(got.LastError, c.want) || strings.Contains(got.LastError, "s3cret") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestJobsAreChecked(t *testing.T) {
	// If this fails, a mistake in the settings shows as a target that is down, and not at the start.
	gate, _ := newGate(t, "x", realNow)
	for want, j := range map[string]Job{
		"name is missing":   {},
		"at least 1s":       {Name: "j", Interval: time.Millisecond},
		"at most the inter": {Name: "j", Interval: time.Second, Timeout: 2 * time.Second},
		"http or https":     {Name: "j", Scheme: "ftp"},
		"begin with /":      {Name: "j", Path: "metrics"},
		"only one":          {Name: "j", BearerTokenFile: "x", BasicAuth: &BasicAuth{Username: "u", PasswordFile: "p"}},
		"needs username":    {Name: "j", BasicAuth: &BasicAuth{}},
		"below 0":           {Name: "j", SampleLimit: -1},
		"host:port":         {Name: "j", Targets: []Group{{Targets: []string{"http://a:1/metrics"}}}},
		"caFile":            {Name: "j", TLS: TLS{CAFile: "/does/not/exist"}},
		"go together":       {Name: "j", TLS: TLS{CertFile: "x"}},
	} {
		if _, err := New(Config{Gate: gate, Jobs: []Job{j}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := New(Config{Gate: gate, Jobs: []Job{{Name: "j"}, {Name: "j"}}}); err == nil {
		t.Error("two jobs of one name: no error")
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no gate: no error")
	}
}

func TestFileErrors(t *testing.T) {
	// If this fails, a wrong file of targets is told without its name, or not at all.
	dir := t.TempDir()
	for name, text := range map[string]string{"a.txt": "[]", "b.json": "{", "c.yml": "a: [", "d.json": `{"targets": []}`} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readGroups(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readGroups(filepath.Join(dir, "none.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}
