package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sync/errgroup"
)

// States of an agent, as its log and /readyz name them.
const (
	stateStarting  = "Starting"
	stateEnrolling = "Enrolling"
	stateConnected = "Connected"
	stateAway      = "HubAway"
	stateRefused   = "Refused"
)

// become takes a new state, and logs it once.
func (a *agent) become(state, why string) {
	a.mu.Lock()
	same := a.state == state
	stays := a.state == stateRefused && state == stateAway // why the hub is not there is known
	if !stays {
		a.state, a.why = state, why
	}
	a.mu.Unlock()
	if !same && !stays {
		a.Logger.Info("the agent's state has changed", "cluster", a.Cluster, "state", state, "why", why)
	}
}

func (a *agent) is(state string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state == state
}

// serve answers health and metrics until ctx ends.
func (a *agent) serve(g *errgroup.Group, ctx context.Context) error {
	if a.HTTP == "" {
		return nil
	}
	if a.Listen == nil {
		a.Listen = net.Listen
	}
	l, err := a.Listen("tcp", a.HTTP)
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /metrics", a.metrics)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	g.Go(func() error {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve health: %w", err)
		}
		return nil
	})
	g.Go(func() error { <-ctx.Done(); return s.Close() })
	if a.Started != nil {
		a.Started("http://" + l.Addr().String())
	}
	return nil
}

// readyz answers 200 where the agent does its work: also while the hub is away, since it keeps what it sees.
func (a *agent) readyz(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	state, why := a.state, a.why
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if state != stateConnected && state != stateAway {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"cluster": a.Cluster, "state": state, "why": why}) // who has gone needs no answer
}

func (a *agent) metrics(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	box, connected := a.outbox, uint64(0)
	if a.state == stateConnected {
		connected = 1
	}
	a.mu.Unlock()
	metrics.WriteGaugeUint64(w, "evenkeel_agent_connected", connected)
	if box == nil {
		return
	}
	s := box.Stats()
	for name, v := range map[string]uint64{
		"put_total": s.Put, "sent_total": s.Sent, "batches_total": s.Batches, "moved_total": s.Moved, "failed_total": s.Failed,
		`lost_total{why="overflow"}`: s.LostOverflow, `lost_total{why="damaged"}`: s.LostDamaged, `lost_total{why="refused"}`: s.LostRefused,
	} {
		metrics.WriteCounterUint64(w, "evenkeel_agent_outbox_"+name, v)
	}
	metrics.WriteGaugeUint64(w, "evenkeel_agent_outbox_waiting", uint64(s.Waiting))
	metrics.WriteGaugeUint64(w, "evenkeel_agent_outbox_bytes", uint64(s.Bytes))
	metrics.WriteGaugeUint64(w, "evenkeel_agent_outbox_bytes_max", uint64(s.BytesMax))
}
