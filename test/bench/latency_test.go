//go:build bench || peers

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"evenkeel.dev/test/load"
	"evenkeel.dev/test/peer"
)

// A latency run drives a server at a given rate and lets one service after the other fail; it measures the time from the moment when
// the first request with the errors is posted until a plain NATS subscriber holds the alert event.
type latency struct {
	mu    sync.Mutex
	begun map[string]time.Time
	took  map[string]time.Duration
}

// runLatency returns the time for each of the services that failed, sorted. It fails when an alert does not come within 30 s.
func runLatency(tb testing.TB, f fleet, rate float64, alerts, conns int) []time.Duration {
	tb.Helper()
	s := startEvenkeel(tb)
	sender := load.NewSender(s.write, s.token, conns)
	defer sender.Close()
	d := newDriver(f, load.V1, sender, conns)
	d.round(tb)
	settle(tb, s, d)
	l := &latency{begun: map[string]time.Time{}, took: map[string]time.Duration{}}
	conn := l.subscribe(tb, s)
	defer conn.Close()
	d.pace = time.Duration(perRequest / rate * float64(time.Second))
	ctx, stop := context.WithCancel(tb.Context())
	var wg sync.WaitGroup
	wg.Go(func() { d.each(tb, func(int64) bool { return ctx.Err() == nil }) })
	l.fail(tb, s, alerts)
	err := peer.Poll(tb.Context(), 30*time.Second, func() error { return l.complete(alerts) })
	stop()
	wg.Wait()
	if err != nil {
		tb.Errorf("alerts within 30 s: %v", err)
	}
	return l.sorted()
}

// fail lets one service after the other answer a great many requests with errors, 137 ms apart so that all parts of a second occur.
func (l *latency) fail(tb testing.TB, s *server, alerts int) {
	sender := load.NewSender(s.write, s.token, 1)
	defer sender.Close()
	ticker := time.NewTicker(137 * time.Millisecond)
	defer ticker.Stop()
	for i := range alerts {
		b := load.NewBody(load.V1, []load.Series{load.Counter(peer.Metric, "service", serviceName(i), "pod", "failing", "code", "500")})
		for _, v := range []float64{0, 1e9} {
			<-ticker.C
			now := time.Now()
			b.Stamp(v, now.UnixMilli())
			if v > 0 {
				l.mu.Lock()
				l.begun[serviceName(i)] = now
				l.mu.Unlock()
			}
			if _, err := sender.SendUntilTaken(tb.Context(), load.V1, b.Compress(nil)); err != nil {
				tb.Error(err)
				return
			}
		}
	}
}

func (l *latency) subscribe(tb testing.TB, s *server) *nats.Conn {
	tb.Helper()
	conn, err := nats.Connect(s.nats, nats.Token(s.admin))
	if err != nil {
		tb.Fatal(err)
	}
	_, err = conn.Subscribe("evenkeel.slo.alert.>", func(m *nats.Msg) {
		now := time.Now()
		var ev struct{ Service, Tier, State string }
		if json.Unmarshal(m.Data, &ev) != nil || ev.Tier != "page" || ev.State != "firing" {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if begun, ok := l.begun[ev.Service]; ok && l.took[ev.Service] == 0 {
			l.took[ev.Service] = now.Sub(begun)
		}
	})
	if err := errors.Join(err, conn.FlushTimeout(5*time.Second)); err != nil {
		tb.Fatal(err)
	}
	return conn
}

func (l *latency) complete(alerts int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.took) < alerts {
		return fmt.Errorf("%d of %d have come", len(l.took), alerts)
	}
	return nil
}

func (l *latency) sorted() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]time.Duration, 0, len(l.took))
	for _, d := range l.took {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

// quantile returns the q-quantile of sorted times, the next higher one that was seen.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
