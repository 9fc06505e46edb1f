package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/inventory"
)

// agents is the hub's side of the agents in clusters: who may connect, what they may hand in, and the end of clusters that leave.
type agents struct {
	log         *jetstream.Log
	server      *jetstream.Server // nil: an existing NATS has its own list
	copy        *copied[*inventory.Stage]
	definitions *definitions
	owns        func() bool // whether this process ends clusters that leave
	gate        *jetstream.Gate
	logger      *slog.Logger
	limit       *rate.Limiter

	setting sync.Mutex // held while the server is told
	set     []jetstream.AgentKey

	waiting *waiters[inventory.Enrolled]
}

const (
	// laneObservation is what agents call what they saw.
	laneObservation = "observation"
	agentsPause     = 100 * time.Millisecond // between two looks at who may connect
	enrolmentsAMin  = 30                     // requests of anybody on the network; each that is let through is a record of the log
)

func newAgents(a *app) *agents {
	g := &agents{
		log: a.log, server: a.server, copy: inventoryCopy(a), definitions: a.definitions, logger: a.logger, limit: rate.NewLimiter(enrolmentsAMin/60.0, enrolmentsAMin),
		waiting: newWaiters[inventory.Enrolled](a.log, "enrolment", console.Fail(http.StatusServiceUnavailable, "Busy", "too many agents would enrol at once; ask again", nil)),
		owns:    func() bool { return a.settings.Has(RoleAPI) && a.members.Owns(RoleAPI, "detach", 0) },
	}
	g.gate = jetstream.NewGate(a.log, jetstream.GateConfig{State: g.state, Lanes: map[string]jetstream.Lane{
		laneObservation: {Subject: func(token string) string { return inventory.SubjectObservation + token }, Check: checkObservation},
	}})
	return g
}

// inventoryCopy is the copy that the API answers from, or one of its own in a process that has the bus alone.
func inventoryCopy(a *app) *copied[*inventory.Stage] {
	if a.meshes != nil {
		return a.meshes.inventory
	}
	return newCopied(a.log, a.log.Last, inventory.Spec(), inventory.New)
}

// checkObservation refuses what an agent may not say: the cluster is that of its key, whatever the observation says (SAFETY 14).
func checkObservation(token string, data []byte) error {
	o, err := inventory.Decode(data)
	if err != nil {
		return err
	}
	if bus.Token(o.Cluster) != token {
		return fmt.Errorf("observation: it is of cluster %q, and the agent speaks for another", o.Cluster)
	}
	return nil
}

// state returns what an agent is told with each answer.
func (g *agents) state(token string) (out jetstream.AgentState) {
	g.copy.peek(func(s *inventory.Stage, seq uint64) {
		st := s.Standing(token) // the name of a defined cluster is its own token
		out.AsOf, out.Observer, out.Missed = seq, st.Observer, st.Missed
		if st.Spec != nil {
			out.Detach = st.Spec.Detach
			out.Scope, _ = json.Marshal(st.Spec.Scope()) // plain data
		}
	})
	return out
}

// run keeps the server's list of agents, and ends clusters that have left, until ctx ends.
func (g *agents) run(ctx context.Context) error {
	for {
		moved := g.copy.changed()
		if err := g.admit(); err != nil {
			return err
		}
		if err := g.end(ctx); err != nil {
			g.logger.Warn("a cluster that leaves could not be ended; it is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(agentsPause):
		}
	}
}

// admit tells the server who may connect, where that has changed.
func (g *agents) admit() error {
	if g.server == nil {
		return nil
	}
	var keys []jetstream.AgentKey
	if !g.copy.peek(func(s *inventory.Stage, _ uint64) {
		for _, a := range s.Agents() {
			keys = append(keys, jetstream.AgentKey{Cluster: a.Cluster, Key: a.Key})
		}
	}) {
		return nil // until the list is known, nobody gets in
	}
	g.setting.Lock()
	defer g.setting.Unlock()
	if slices.Equal(keys, g.set) {
		return nil
	}
	if err := g.server.SetAgents(keys); err != nil {
		return err
	}
	g.set = keys
	return nil
}

// end deletes the definitions of clusters that have left, or whose agent is given up.
func (g *agents) end(ctx context.Context) error {
	var names []string
	g.copy.peek(func(s *inventory.Stage, _ uint64) { names = s.Leaving() })
	if len(names) == 0 || !g.owns() {
		return nil
	}
	all, _, err := g.definitions.List(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if d := clusterOf(all, name); d != nil {
			q := console.DeleteRequest{Refs: []mesh.Ref{d.Ref}, By: console.Identity{Name: "evenkeel", Role: console.Admin}, TakeOwnership: true, Confirmed: true}
			if _, err := g.definitions.Delete(ctx, q); err != nil {
				return err
			}
			g.logger.Info("a cluster has left", "cluster", d.Name)
		}
	}
	return nil
}

// answered passes the answer to an enrolment to who waits for it.
func (g *agents) answered(data []byte) {
	var e inventory.Enrolled
	if err := json.Unmarshal(data, &e); err != nil {
		g.logger.Error("answer to an enrolment cannot be read", "err", err)
		return
	}
	g.waiting.answered(e.ID, e)
}

// ask appends a request to enrol and waits for its answer.
func (g *agents) ask(ctx context.Context, q inventory.EnrolmentRequest) (inventory.Enrolled, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, console.Fail(http.StatusServiceUnavailable, "NoAnswer", "the inventory has not answered within 15 s; ask again", nil))
	defer cancel()
	return g.waiting.ask(ctx, inventory.SubjectEnrolment, q.ID, q)
}
