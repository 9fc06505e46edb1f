package app

import (
	"context"
	"sync"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/inventory"
)

// meshes are this process's copies of the stages that know the mesh. They implement [console.Mesh].
type meshes struct {
	inventory *copied[*inventory.Stage]
	calls     *copied[*calls.Stage]
}

func newMeshes(log bus.Log, last func() uint64) *meshes {
	return &meshes{newCopied(log, last, inventory.Spec(), inventory.New), newCopied(log, last, calls.Spec(), calls.New)}
}

// Inventory implements [console.Mesh]. What this process knows to be in the log is in the answer: who has changed a definition sees it.
func (m *meshes) Inventory(ctx context.Context, read func(*inventory.Stage)) bool {
	return m.inventory.read(ctx, read)
}

// Calls implements [console.Mesh].
func (m *meshes) Calls(ctx context.Context, read func(*calls.Stage)) bool {
	return m.calls.read(ctx, read)
}

// A copied stage is a copy that follows the log, for stages of one partition.
type copied[S bus.Stage] struct {
	log   bus.Log
	last  func() uint64 // highest sequence of the log that this process knows of
	spec  bus.Spec
	fresh func() S

	mu      sync.RWMutex
	stage   S
	current bool          // has been at the log's end
	seq     uint64        // that the copy has taken
	moved   chan struct{} // closed and replaced when seq rises, and at the first end
}

func newCopied[S bus.Stage](log bus.Log, last func() uint64, spec bus.Spec, fresh func() S) *copied[S] {
	return &copied[S]{log: log, last: last, spec: spec, fresh: fresh, moved: make(chan struct{})}
}

// follow keeps the copy until ctx ends or the log cannot be read.
func (c *copied[S]) follow(ctx context.Context) error {
	spec := c.spec
	spec.New = func(int) bus.Stage {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stage, c.current = c.fresh(), false
		return guarded{&c.mu, c.stage}
	}
	return bus.Follow(ctx, c.log, spec, 0, func(_ bus.Stage, p bus.Progress, atEnd bool) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		news := p.Seq > c.seq || atEnd && !c.current
		c.current = c.current || atEnd
		if news {
			c.seq = max(c.seq, p.Seq)
			close(c.moved)
			c.moved = make(chan struct{})
		}
		return nil
	})
}

// read calls f with the copy once it knows what this process knows to be in the log; it returns false where that does not come to be within [copyTimeout].
func (c *copied[S]) read(ctx context.Context, f func(S)) bool {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	for want := c.last(); ; {
		c.mu.RLock()
		known, moved := c.current && c.seq >= want, c.moved
		c.mu.RUnlock()
		if known {
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
		f(c.stage)
	}
	return c.current
}

// peek calls f with what this process knows now, and the sequence of the log up to which that is; it returns false while there is no copy to trust.
func (c *copied[S]) peek(f func(s S, seq uint64)) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.current {
		f(c.stage, c.seq)
	}
	return c.current
}

// changed returns a channel that closes when the copy has taken more.
func (c *copied[S]) changed() <-chan struct{} {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.moved
}

// A guarded stage is one that others read between its steps.
type guarded struct {
	mu *sync.RWMutex
	bus.Stage
}

// Step implements [bus.Stage].
func (g guarded) Step(r *bus.Record) ([]bus.Draft, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Stage.Step(r)
}

// Restore implements [bus.Stage].
func (g guarded) Restore(state []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Stage.Restore(state)
}
