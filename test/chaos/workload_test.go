//go:build peers

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"evenkeel.dev/test/load"
	"evenkeel.dev/test/peer"
)

// sloName is the name of the one SLO of a service, key where the API's answer has it.
func sloName(service string) string { return service + "-availability" }
func key(service string) string     { return service + "/" + sloName(service) }

// services returns the names of n services; they fall on different partitions.
func services(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("svc-%d", i)
	}
	return out
}

// definitions writes a folder with an SLO of 99.9 % for each service, with the alerts that an SLO has by itself.
func definitions(tb testing.TB, names []string) string {
	text := ""
	for _, s := range names {
		text += peer.SLO(s, sloName(s), "0.999", "")
	}
	return peer.WriteConfig(tb, map[string]string{"slo.yaml": text})
}

// A count is what a service has served.
type count struct{ good, total int64 }

// A workload sends the counters of some services to whichever receiver takes them, and counts for itself. Each request is repeated
// until it is taken, byte by byte the same, also to another receiver: then it is a duplicate that must change nothing.
type workload struct {
	names  []string
	series []load.Series // three pods and two codes for each service, then as many again that no SLO needs
	values []int64
	random *rand.Rand

	mu       sync.Mutex
	truth    map[string]count
	failing  map[string]bool // services that answer half of all requests with 500
	senders  []*load.Sender
	one      int // the only sender that is used, -1 for all in turn
	repeated int // requests that were posted more than once
	rounds   int
	last     time.Time     // when a request was last taken
	pause    time.Duration // longest time between two that were taken
}

const pods = 3

func newWorkload(names []string, seed uint64, senders ...*load.Sender) *workload {
	w := &workload{names: names, random: rand.New(rand.NewPCG(seed, 1)), truth: map[string]count{}, failing: map[string]bool{}, senders: senders, one: -1}
	for _, metric := range []string{peer.Metric, "queue_length_total"} {
		for _, s := range names {
			for pod := range pods {
				for _, code := range []string{"200", "500"} {
					w.series = append(w.series, load.Counter(metric, "service", s, "pod", fmt.Sprintf("%s-%d", s, pod), "code", code, "job", "chaos"))
				}
			}
		}
	}
	w.values = make([]int64, len(w.series))
	return w
}

// begin sends the first sample of each counter, zero, which everything is counted from.
func (w *workload) begin(ctx context.Context) error {
	return w.send(ctx, load.NewBody(load.V1, w.series))
}

// run sends a request every 30 ms until ctx ends, in turn by either version of the protocol. A request that was begun is finished,
// for as long as finish allows.
func (w *workload) run(ctx, finish context.Context) error {
	bodies := []*load.Body{load.NewBody(load.V1, w.series), load.NewBody(load.V2, w.series)}
	ticker := time.NewTicker(30 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		added := w.step()
		if err := w.send(finish, bodies[i%2]); err != nil {
			return err
		}
		w.take(added)
	}
}

// step lets the services serve some requests and returns how many each has served.
func (w *workload) step() map[string]count {
	w.mu.Lock()
	defer w.mu.Unlock()
	added := map[string]count{}
	i := 0
	for _, s := range w.names {
		c := added[s]
		for range pods {
			n := w.random.Int64N(50)
			bad := int64(0)
			if w.failing[s] {
				bad = n / 2
			}
			w.values[i] += n - bad
			w.values[i+1] += bad
			c.good, c.total = c.good+n-bad, c.total+n
			i += 2
		}
		added[s] = c
	}
	for ; i < len(w.values); i++ {
		w.values[i]++
	}
	return added
}

func (w *workload) send(ctx context.Context, b *load.Body) error {
	at := time.Now().UnixMilli()
	for i, v := range w.values {
		b.Set(i, float64(v), at)
	}
	body := b.Compress(nil)
	tries := 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s := w.next(tries)
		tries++
		once, cancel := context.WithTimeout(ctx, time.Second) // a process that hangs must not hold up the workload
		a, err := s.Send(once, b.Version, body)
		cancel()
		if err == nil && a.OK() {
			break
		}
		if err == nil && !a.Retry {
			return fmt.Errorf("%s refuses for good: %d %s", s.URL, a.Status, a.Text)
		}
		timer.Reset(50 * time.Millisecond)
		select {
		case <-ctx.Done():
			return fmt.Errorf("not taken after %d tries: %d %s, %v", tries, a.Status, a.Text, err)
		case <-timer.C:
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rounds++
	now := time.Now()
	if !w.last.IsZero() {
		w.pause = max(w.pause, now.Sub(w.last))
	}
	w.last = now
	if tries > 1 {
		w.repeated++
	}
	return nil
}

// next is the sender for the next try.
func (w *workload) next(tries int) *load.Sender {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.one >= 0 {
		return w.senders[w.one]
	}
	return w.senders[(w.rounds+tries)%len(w.senders)]
}

// only lets the workload use one sender, or all for -1.
func (w *workload) only(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.one = i
}

func (w *workload) take(added map[string]count) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s, c := range added {
		t := w.truth[s]
		w.truth[s] = count{t.good + c.good, t.total + c.total}
	}
}

// fail lets a service answer half of all requests with 500 from now on.
func (w *workload) fail(service string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing[service] = true
}

// failed returns nil when that share of what a service has served, in requests that were taken, has failed.
func (w *workload) failed(service string, share float64) error {
	c := w.counts()[service]
	if bad := float64(c.total - c.good); bad < share*float64(c.total) {
		return fmt.Errorf("%v of %d have failed", bad, c.total)
	}
	return nil
}

// counts returns what the services have served in requests that were taken.
func (w *workload) counts() map[string]count {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]count{}
	for s, c := range w.truth {
		out[s] = c
	}
	return out
}

// A drive is a workload that runs until it is stopped.
type drive struct {
	*workload
	tb     testing.TB
	stop   context.CancelFunc
	result chan error
}

// start begins the workload: it returns when the first samples are taken.
func start(tb testing.TB, w *workload) *drive {
	tb.Helper()
	finish, end := context.WithTimeout(context.Background(), 10*time.Minute+time.Duration(*kills)*30*time.Second)
	tb.Cleanup(end)
	first, cancel := context.WithTimeout(finish, time.Minute)
	defer cancel()
	if err := w.begin(first); err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(finish)
	d := &drive{workload: w, tb: tb, stop: stop, result: make(chan error, 1)}
	go func() { d.result <- w.run(ctx, finish) }()
	tb.Cleanup(stop)
	return d
}

// end stops the workload and returns the exact counts.
func (d *drive) end() map[string]count {
	d.tb.Helper()
	d.stop()
	select {
	case err := <-d.result:
		if err != nil {
			d.tb.Fatal(err)
		}
	case <-time.After(time.Minute):
		d.tb.Fatal("the last request was not taken within a minute")
	}
	d.tb.Logf("%d requests were taken, %d of them posted more than once; the longest pause was %v", d.rounds, d.repeated, d.pause.Round(time.Millisecond))
	return d.counts()
}
