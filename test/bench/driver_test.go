//go:build bench || peers

package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"evenkeel.dev/test/load"
)

// A driver posts the requests of a fleet in turn, over some connections.
type driver struct {
	fleet
	version load.Version
	sender  *load.Sender
	conns   int
	next    atomic.Int64
	samples atomic.Int64 // taken
	posts   []post
	pace    time.Duration // between the requests of all connections together; 0: as fast as they are taken
}

// A post is one request of the fleet with how often it was taken: that is the value of its counters.
type post struct {
	mu    sync.Mutex
	body  *load.Body
	taken int64
	out   []byte
}

func newDriver(f fleet, v load.Version, sender *load.Sender, conns int) *driver {
	d := &driver{fleet: f, version: v, sender: sender, conns: conns, posts: make([]post, f.bodies())}
	for i := range d.posts {
		d.posts[i].body = f.body(v, i)
	}
	return d
}

// round posts each request once: all series become known.
func (d *driver) round(tb testing.TB) {
	tb.Helper()
	d.next.Store(0)
	d.each(tb, func(n int64) bool { return n < int64(len(d.posts)) })
}

// drive posts for a while, and at the least two requests of each.
func (d *driver) drive(tb testing.TB, span time.Duration) {
	tb.Helper()
	d.next.Store(0)
	end := time.Now().Add(span)
	d.each(tb, func(n int64) bool { return n < int64(2*len(d.posts)) || time.Now().Before(end) })
}

func (d *driver) each(tb testing.TB, more func(n int64) bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 15*time.Minute)
	defer cancel()
	began := time.Now()
	var wg sync.WaitGroup
	errs := make(chan error, d.conns)
	for range d.conns {
		wg.Go(func() {
			for ctx.Err() == nil {
				n := d.next.Add(1) - 1
				if !more(n) {
					return
				}
				if d.pace > 0 {
					until(ctx, began.Add(time.Duration(n)*d.pace))
				}
				if err := d.post(ctx, int(n%int64(len(d.posts)))); err != nil {
					cancel()
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		tb.Fatal(err)
	default:
	}
}

func until(ctx context.Context, t time.Time) {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// post sends one request with the next value and the time that is now.
func (d *driver) post(ctx context.Context, i int) error {
	p := &d.posts[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body.Stamp(float64(p.taken), time.Now().UnixMilli())
	p.out = p.body.Compress(p.out)
	if _, err := d.sender.SendUntilTaken(ctx, d.version, p.out); err != nil {
		return fmt.Errorf("request %d: %w", i, err)
	}
	p.taken++
	d.samples.Add(perRequest)
	return nil
}

// total is what all SLOs together must have counted: each series' increase since its first sample.
func (d *driver) total() float64 {
	var sum int64
	for i := range d.posts {
		sum += max(0, d.posts[i].taken-1)
	}
	return float64(sum) * float64(d.perBody())
}
