package app

import (
	"context"
	"sync"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/inventory"
)

// inventories is this process's copy of the inventory stage. It implements [console.Mesh].
type inventories struct {
	log  bus.Log
	last func() uint64 // highest sequence of the log that this process knows of

	mu      sync.RWMutex
	stage   *inventory.Stage
	current bool          // has been at the log's end
	seq     uint64        // that the copy has taken
	moved   chan struct{} // closed and replaced when seq rises
}

func newInventories(log bus.Log, last func() uint64) *inventories {
	return &inventories{log: log, last: last, moved: make(chan struct{})}
}

// follow keeps the copy until ctx ends or the log cannot be read.
func (c *inventories) follow(ctx context.Context) error {
	spec := inventory.Spec()
	spec.New = func(int) bus.Stage {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stage, c.current = inventory.New(), false
		return guarded{c, c.stage}
	}
	return bus.Follow(ctx, c.log, spec, 0, func(_ bus.Stage, p bus.Progress, atEnd bool) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.current = c.current || atEnd
		if p.Seq > c.seq {
			c.seq = p.Seq
			close(c.moved)
			c.moved = make(chan struct{})
		}
		return nil
	})
}

// Inventory implements [console.Mesh]. What this process knows to be in the log is in the answer: who has changed a definition sees it.
func (c *inventories) Inventory(ctx context.Context, read func(*inventory.Stage)) bool {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	for want := c.last(); ; {
		c.mu.RLock()
		seq, moved := c.seq, c.moved
		c.mu.RUnlock()
		if seq >= want {
			break
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.current {
		read(c.stage)
	}
	return c.current
}

// A guarded stage is one that others read between its steps.
type guarded struct {
	c *inventories
	*inventory.Stage
}

// Step implements [bus.Stage].
func (g guarded) Step(r *bus.Record) ([]bus.Draft, error) {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	return g.Stage.Step(r)
}

// Restore implements [bus.Stage].
func (g guarded) Restore(state []byte) error {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	return g.Stage.Restore(state)
}

// peek calls read with what this process knows now, and the sequence of the log up to which that is; ok is false while there is no copy to trust.
func (c *inventories) peek(read func(s *inventory.Stage, seq uint64)) (ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.current {
		read(c.stage, c.seq)
	}
	return c.current
}

// changed returns a channel that closes when the copy has taken more.
func (c *inventories) changed() <-chan struct{} {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.moved
}
