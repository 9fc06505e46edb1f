//go:build bench

package replay

import (
	"flag"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/ingest/history"
)

var (
	days    = flag.Int("days", 30, "length of the history")
	series  = flag.Int("series", 1000, "series of the SLO")
	apiDays = flag.Int("api-days", 3, "length of the history over the HTTP API")
	spread  = flag.Int("targets", 50, "targets, each scraped at its own offset within 30 s")
)

// fleet is an SLO's series, scraped every 30 s: of every target as many series, one of 20 being errors.
func fleet(n, targets int, begin int64) []recording {
	var out []recording
	for i := range n {
		target := i % targets
		code, rate := "200", 100
		if i/targets%20 == 19 {
			code, rate = "500", 0
		}
		offset := int64(target) * 30_000 / int64(targets)
		out = append(out, recording{
			labels: map[string]string{"__name__": "http_requests_total", "service": "shop", "code": code, "path": fmt.Sprint("/p", i/targets), "job": "shop", "instance": fmt.Sprintf("10.0.0.%d:80", target)},
			first:  begin + offset, step: 30_000,
			value: func(k int) float64 { return float64(rate*k + k/(7+i%5)) },
		})
	}
	return out
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func peak() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Maxrss >> 10
}

// Nobody would try a definition on a month of history that takes an hour to read.
func TestBenchReplay(t *testing.T) {
	for _, c := range []struct {
		protocol string
		days     int
	}{{history.ChooseRemoteRead, *days}, {history.ChooseAPI, *apiDays}} {
		begin := int64(1_800_000_000_000)
		end := begin + int64(c.days)*86_400_000
		s := serve(t, end, fleet(*series, *spread, begin))
		defs, problems, err := app.ReplayFiles("shop.yaml", shop("0.999", "30d"))
		if err != nil || len(problems) > 0 {
			t.Fatal(err, problems)
		}
		source, err := history.NewPrometheus(history.Config{URL: s.URL, Protocol: c.protocol})
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		wall, used := time.Now(), cpu()
		r, err := app.Replay(t.Context(), app.ReplayConfig{Definitions: []app.ReplayDefinitions{defs}, Source: source, From: bus.Time(begin), Until: bus.Time(end), Step: bus.Hour})
		if err != nil {
			t.Fatal(err)
		}
		took, cost := time.Since(wall), cpu()-used
		st := r.Runs[0].SLOs[0].Status
		t.Logf("%s: %d days, %d series, %d samples, %d timestamps: %.1f s, %.1f CPU s (the server's share included), %.2f million samples/s, peak memory so far %d MiB; SLI %s of %.0f events",
			r.Source.Protocol, c.days, *series, r.Samples, r.Timestamps, took.Seconds(), cost.Seconds(), float64(r.Samples)/took.Seconds()/1e6, peak(), st.SLI, st.Events.Total)
	}
}
