//go:build bench || peers

package bench

import (
	"bufio"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/test/load"
	"evenkeel.dev/test/peer"
)

// A server is one program under load.
type server struct {
	name    string
	process *peer.Process
	write   string // URL
	metrics string // URL
	nats    string // URL, of Evenkeel only
	token   string // of senders
	admin   string // of readers of metrics
	data    string
	// caughtUp returns nil when everything that the driver sent has had its effect.
	caughtUp func(d *driver) error
}

// limits are settings that let one sender bring a million series that all matter, which is far above what the defaults allow.
func limits() []string { return nil }

func startEvenkeel(tb testing.TB) *server {
	tb.Helper()
	e := peer.StartEvenkeel(tb, peer.EvenkeelConfig{Config: definitions(tb), Env: limits()})
	e.WaitReady(time.Minute)
	known := func() error {
		all, err := e.Statuses()
		if err == nil && len(all) != services {
			err = fmt.Errorf("%d SLOs are known, want %d", len(all), services)
		}
		return err
	}
	peer.Until(tb, time.Minute, "all SLOs are there", known)
	return &server{name: "evenkeel", process: e.Process, write: e.WriteURL(), metrics: e.HTTP + "/metrics", nats: e.NATS, token: e.Token("sender"), admin: e.Token("admin"), data: e.Data,
		caughtUp: func(d *driver) error { return counted(e, d.total()) }}
}

// counted returns nil when the totals of all SLOs add up to want.
func counted(e *peer.Evenkeel, want float64) error {
	all, err := e.Statuses()
	if err != nil {
		return err
	}
	var sum float64
	for _, s := range all {
		sum += s.Events.Total
	}
	if sum != want {
		return fmt.Errorf("all SLOs together counted %.0f, want %.0f", sum, want)
	}
	return nil
}

func startVictoriaMetrics(tb testing.TB) *server {
	tb.Helper()
	p, url, data := peer.StartVictoriaMetrics(tb, peer.VictoriaMetrics(tb))
	return &server{name: "victoria-metrics", process: p, write: url + "/api/v1/write", metrics: url + "/metrics", data: data, caughtUp: func(*driver) error { return nil }}
}

func startPrometheus(tb testing.TB) *server {
	tb.Helper()
	p, url := peer.Prometheus{Path: peer.NewPrometheus(tb), Receiver: true}.Start(tb)
	return &server{name: "prometheus", process: p, write: url + "/api/v1/write", metrics: url + "/metrics", data: filepath.Join(p.Dir, "data"), caughtUp: func(*driver) error { return nil }}
}

// takes reports whether the server speaks the version at all.
func (s *server) takes(tb testing.TB, v load.Version) bool {
	tb.Helper()
	sender := load.NewSender(s.write, s.token, 1)
	defer sender.Close()
	b := load.NewBody(v, []load.Series{load.Counter("bench_probe_total", "probe", "1")})
	b.Stamp(1, time.Now().UnixMilli())
	a, err := sender.Send(tb.Context(), v, b.Compress(nil))
	if err != nil {
		tb.Fatal(err)
	}
	return a.OK() && (v == load.V1 || a.Written == 1)
}

// metric returns a series of the server's own metrics, 0 where it has none of that name.
func (s *server) metric(tb testing.TB, name string) float64 {
	tb.Helper()
	req, err := http.NewRequest(http.MethodGet, s.metrics, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if s.admin != "" {
		req.Header.Set("Authorization", "Bearer "+s.admin)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				tb.Fatalf("metric %s: %v", name, err)
			}
			return v
		}
	}
	return 0
}

// stored is how many bytes the data folder holds on disk.
func (s *server) stored(tb testing.TB) int64 {
	tb.Helper()
	var sum int64
	err := filepath.WalkDir(s.data, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // files come and go while the server works
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return sum
}
