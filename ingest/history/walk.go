package history

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"evenkeel.dev/bus"
)

// Lengths of slices.
const (
	firstSlice = 2 * bus.Hour // as long as a block of Prometheus
	maxSlice   = 12 * bus.Hour
	minSlice   = bus.Minute
)

// walk reads the history slice by slice and merges one while the next is being read.
func walk(ctx context.Context, q Query, fetch func(ctx context.Context, from, to bus.Time) (*slice, error), take func(*Moment) error) error {
	group, ctx := errgroup.WithContext(ctx)
	ready := make(chan *slice) // without room: who has read a slice waits until the one before is done
	group.Go(func() error {
		defer close(ready)
		return plan(ctx, q, fetch, ready)
	})
	group.Go(func() error {
		for s := range ready {
			if err := s.merge(ctx, take); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// plan cuts the history into slices whose ends are whole multiples of their lengths, and reads them.
func plan(ctx context.Context, q Query, fetch func(ctx context.Context, from, to bus.Time) (*slice, error), ready chan<- *slice) error {
	width := firstSlice
	for at := q.From; at < q.To; {
		end := min((at/width+1)*width, q.To)
		s, err := fetch(ctx, at, end)
		if errors.Is(err, errTooLarge) {
			if width <= minSlice {
				return fmt.Errorf("read history from %s to %s: %w; narrower selectors would help", at, end, err)
			}
			width = max(minSlice, width/2)
			continue
		}
		if err != nil {
			return fmt.Errorf("read history from %s to %s: %w", at, end, err)
		}
		if err := s.seal(); err != nil {
			return fmt.Errorf("history from %s to %s: %w", at, end, err)
		}
		if s.bytes < s.limit/16 {
			width = min(maxSlice, 2*width)
		}
		select {
		case ready <- s:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		at = end
	}
	return nil
}
