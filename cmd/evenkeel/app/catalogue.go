package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// catalogue is this process's copy of the definitions, and the way to change them: a proposal into the log, and the wait for its answer.
type catalogue struct {
	log     bus.Log
	logger  *slog.Logger
	changed func(revision uint64, objectives []slo.Objective) // told of each revision; may be nil
	decoded map[mesh.Ref]decoded                              // of the last revision; only the follower touches it
	waiting *waiters[mesh.Change]

	mu          sync.Mutex
	definitions []mesh.Definition
	revision    uint64
	current     bool // has been at the log's end
	stats       mesh.Stats
	undecodable uint64
	moved       chan struct{} // closed and replaced when revision or current changes
}

const answerTimeout = 15 * time.Second // a take-over of the catalogue's partition ends within ten

func newCatalogue(log bus.Log, logger *slog.Logger) *catalogue {
	busy := console.Fail(http.StatusServiceUnavailable, "Busy", "too many changes of definitions are under way; try again", nil)
	return &catalogue{log: log, logger: logger, moved: make(chan struct{}), waiting: newWaiters[mesh.Change](log, "proposal", busy)}
}

// follow keeps the copy until ctx ends or the log cannot be read.
func (c *catalogue) follow(ctx context.Context) error {
	return bus.Follow(ctx, c.log, mesh.CatalogueSpec(), 0, func(s bus.Stage, _ bus.Progress, atEnd bool) error {
		k, ok := s.(*mesh.Catalogue)
		if !ok {
			return fmt.Errorf("the catalogue stage is a %T", s)
		}
		c.take(k, atEnd)
		return nil
	})
}

// take takes over a new revision; only the follower calls it. Whoever waits for the revision finds that the ways in know it already.
func (c *catalogue) take(k *mesh.Catalogue, atEnd bool) {
	c.mu.Lock()
	c.stats = k.Stats()
	nothing := !atEnd && !c.current || c.current && c.revision == k.Revision()
	c.mu.Unlock()
	if nothing {
		return // it comes up and hears of the end soon, or all is as it was
	}
	definitions, revision := k.List(), k.Revision()
	objectives, undecodable := c.objectives(definitions)
	if c.changed != nil {
		c.changed(revision, objectives)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.definitions, c.revision, c.current = definitions, revision, true
	c.undecodable += undecodable
	close(c.moved)
	c.moved = make(chan struct{})
}

// objectives decodes what the definitions compile to. What cannot be decoded is of a later version: it is counted and left out. What has not changed
// since the last time is not decoded again.
func (c *catalogue) objectives(ds []mesh.Definition) (out []slo.Objective, undecodable uint64) {
	next := make(map[mesh.Ref]decoded, len(c.decoded))
	for i := range ds {
		d := &ds[i]
		if d.Kind != "SLO" || len(d.Compiled) == 0 {
			continue
		}
		known, ok := c.decoded[d.Ref]
		if !ok || known.revision != d.Revision {
			known = decoded{revision: d.Revision}
			if err := json.Unmarshal(d.Compiled, &known.objectives); err != nil {
				undecodable++
				c.logger.Error("definition cannot be read", "definition", d.Ref.String(), "err", err)
				continue
			}
		}
		next[d.Ref] = known
		out = append(out, known.objectives...)
	}
	c.decoded = next
	return out, undecodable
}

// A decoded definition is what one revision of an SLO compiles to.
type decoded struct {
	revision   uint64
	objectives []slo.Objective
}

// read returns the definitions and the revision of the catalogue; ok is false before the copy has been at the log's end.
func (c *catalogue) read() (ds []mesh.Definition, revision uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.definitions, c.revision, c.current
}

// await waits until the copy has come to a revision, and in any case to the log's end once.
func (c *catalogue) await(ctx context.Context, revision uint64) error {
	for {
		c.mu.Lock()
		done, moved := c.current && c.revision >= revision, c.moved
		c.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}

// answered passes a change to who waits for it.
func (c *catalogue) answered(data []byte) {
	var ch mesh.Change
	if err := json.Unmarshal(data, &ch); err != nil {
		c.logger.Error("change cannot be read", "err", err)
		return
	}
	c.waiting.answered(ch.Proposal, ch)
}

// propose appends a proposal and waits for its answer, and for the copy to have come that far.
func (c *catalogue) propose(ctx context.Context, p mesh.Proposal) (mesh.Change, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	defer cancel()
	ch, err := c.waiting.ask(ctx, mesh.SubjectProposal, p.ID, p)
	if err != nil {
		return mesh.Change{}, err
	}
	if err := c.await(ctx, ch.Revision); err != nil {
		return mesh.Change{}, context.Cause(ctx)
	}
	return ch, nil
}

// errNoAnswer is answered when the catalogue stage stands still. The proposal stays in the log.
var errNoAnswer = console.Fail(http.StatusServiceUnavailable, "NoAnswer",
	"the catalogue has not answered within 15 s; the change stands in the log and may still come: look with 'evenkeel get', and at /readyz", nil)
