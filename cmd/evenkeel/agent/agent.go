// Package agent is the process that speaks for one cluster: it observes the cluster, keeps what it sees in an outbox on its own disk, and hands it in at the
// hub, to which it connects outward.
//
// The data folder holds the agent's key (agent.seed), what the hub told at enrolment (enrolled.json), the outbox, and after the end the mark "detached".
// While the hub is away the agent goes on observing. When the outbox is half full it takes no more, and the observer waits: what changes meanwhile is told
// once, as it then is, so that nothing is lost and nothing grows.
//
// An agent whose cluster is to leave stops observing, says that it has left, deletes key and outbox, and ends. It changes nothing in the cluster, so that
// what the manifest made is all there is to delete.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/mesh/inventory"
)

// Settings say which cluster the agent speaks for, and to whom.
type Settings struct {
	Hub         string // https URL
	Cluster     string
	TokenFile   string // needed until the agent has enrolled
	Data        string
	HubCA       string // PEM file; "" is the system's authorities
	Plaintext   bool   // http and NATS without TLS, beyond loopback too
	HTTP        string // address of health and metrics; "" opens none
	OutboxBytes int64  // 0 is the outbox's default
}

// A Sink takes an observation for good, or answers an error and is offered the same one again; [ErrRelist] asks for a new life of the observer, which begins with a listing.
type Sink func(context.Context, inventory.Observation) error

// ErrRelist is what a Sink answers when the hub lacks something that only a listing can mend.
var ErrRelist = errors.New("the hub needs a new listing")

// errFull is what a Sink answers while the hub is away and the outbox is half full.
var errFull = errors.New("the outbox waits for the hub")

// Surroundings are what an agent is given beside its settings.
type Surroundings struct {
	Logger *slog.Logger
	// Observe follows the cluster until ctx ends. It is called anew when what is to be looked at changes.
	Observe func(ctx context.Context, scope inventory.Scope, sink Sink) error
	Listen  func(network, address string) (net.Listener, error) // default net.Listen
	Started func(http string)                                   // told once it listens; may be nil
}

// ErrRefused says that the hub will not let this agent in; asking again is of no use.
var ErrRefused = errors.New("the hub refuses this agent")

// Files of the data folder.
const (
	fileKey      = "agent.seed"
	fileEnrolled = "enrolled.json"
	fileDetached = "detached"
	folderOutbox = "outbox"
)

// lane is what the hub calls observations.
const lane = "observation"

// An agent is a running process.
type agent struct {
	Settings
	Surroundings
	server *jetstream.Server
	outbox *jetstream.Outbox
	leave  chan struct{} // closed when the hub wants the cluster to leave
	link   hubLink

	mu       sync.Mutex
	enrolled enrolled
	relist   bool
	relisted time.Time
	leaving  bool
	rescope  chan struct{} // closed and replaced when the scope changes
	state    string
	why      string
}

// Run runs the agent until ctx ends, or the cluster has left (nil in both cases), or the hub refuses it for good ([ErrRefused]).
func Run(ctx context.Context, s Settings, sur Surroundings) error {
	a := &agent{Settings: s, Surroundings: sur, leave: make(chan struct{}), rescope: make(chan struct{}), state: stateStarting}
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	unlock, err := lockFolder(s.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(a.path(fileDetached)); err == nil {
		a.Logger.Info("this cluster was detached, and its agent has ended; delete what the manifest made, or give the agent a new data folder", "cluster", s.Cluster)
		return nil
	}
	left, err := a.run(ctx)
	if left && err == nil {
		err = a.clean()
	}
	return err
}

func (a *agent) path(name string) string { return filepath.Join(a.Data, name) }

func lockFolder(data string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(data, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close() //nolint:errcheck // nothing was written
		return nil, fmt.Errorf("data folder %s is in use by another process: %w", data, err)
	}
	return func() { f.Close() }, nil //nolint:errcheck // the kernel lets go of it in any case
}

// run does the agent's work; left says that the cluster has left.
func (a *agent) run(ctx context.Context) (left bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	if err := a.serve(g, ctx); err != nil {
		return false, err
	}
	g.Go(func() error {
		defer cancel()
		var err error
		left, err = a.work(ctx)
		return err
	})
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return left, err
}

// work opens the outbox, enrols, and then observes and hands in until the end.
func (a *agent) work(ctx context.Context) (left bool, err error) {
	if a.server, err = jetstream.StartServer(jetstream.ServerConfig{DataDir: a.path(folderOutbox), Name: "agent", DiskReserve: 1 << 20, Logger: a.Logger}); err != nil {
		return false, err
	}
	defer a.server.Close() //nolint:errcheck // it always returns nil
	a.mu.Lock()
	a.outbox, err = jetstream.OpenOutbox(ctx, jetstream.OutboxConfig{
		Server: a.server, Lane: lane, Bytes: a.OutboxBytes, Logger: a.Logger, Heard: a.heard,
		Lost: func(uint64, string) { a.wantListing() },
	})
	a.mu.Unlock()
	if err != nil {
		return false, err
	}
	defer a.outbox.Close() //nolint:errcheck // it always returns nil
	if err := a.ensureEnrolled(ctx); err != nil {
		return false, err
	}
	if err := a.dial(); err != nil {
		return false, err
	}
	defer a.link.close()
	forwarding, stopForwarding := context.WithCancel(ctx)
	defer stopForwarding()
	g, inner := errgroup.WithContext(forwarding)
	g.Go(func() error { return a.outbox.Forward(inner, &a.link) })
	g.Go(func() error { return a.keepEnrolled(inner) })
	g.Go(func() error {
		defer stopForwarding()
		a.observe(inner)
		select {
		case <-a.leave:
		default:
			return nil
		}
		left = a.sayGoodbye(inner)
		return nil
	})
	err = g.Wait()
	if left {
		err = nil
	}
	return left, err
}

// sink keeps an observation in the outbox.
func (a *agent) sink(ctx context.Context, o inventory.Observation) error {
	a.mu.Lock()
	if o.Number == 1 {
		a.relist = false
	}
	relist := a.relist
	a.mu.Unlock()
	if relist {
		return ErrRelist
	}
	if s := a.outbox.Stats(); s.Bytes > s.BytesMax/2 {
		return errFull
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = a.outbox.Put(ctx, b)
	return err
}

// relistPause keeps an agent from listing again and again while the hub has not read the last listing.
const relistPause = 30 * time.Second

func (a *agent) wantListing() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.relisted) > relistPause {
		a.relist, a.relisted = true, time.Now()
	}
}

// heard takes what the hub says with each answer.
func (a *agent) heard(h jetstream.AgentAnswer, all bool) {
	a.become(stateConnected, "")
	if h.State.Missed && all && h.State.AsOf >= h.Seq {
		a.wantListing()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if h.State.Detach && !a.leaving {
		a.leaving = true
		a.Logger.Info("the hub wants this cluster to leave", "cluster", a.Cluster)
		close(a.leave)
	}
	if len(h.State.Scope) > 0 && string(h.State.Scope) != string(a.enrolled.Scope) {
		a.enrolled.Scope = h.State.Scope
		if err := a.keep(a.enrolled); err != nil {
			a.Logger.Error("what is to be looked at cannot be kept", "err", err)
		}
		close(a.rescope)
		a.rescope = make(chan struct{})
	}
}

// observe follows the cluster until ctx ends or the cluster is to leave. It begins anew when what is to be looked at changes, and after errors.
func (a *agent) observe(ctx context.Context) {
	for {
		a.mu.Lock()
		text, changed := a.enrolled.Scope, a.rescope
		a.mu.Unlock()
		var scope inventory.Scope
		if len(text) > 0 {
			if err := json.Unmarshal(text, &scope); err != nil {
				a.Logger.Error("what is to be looked at cannot be read", "err", err)
			}
		}
		run, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- a.Observe(run, scope, a.sink) }()
		var err error
		select {
		case <-changed:
		case <-a.leave:
		case err = <-ended:
			ended <- nil
		}
		cancel()
		<-ended
		select {
		case <-a.leave:
			return
		default:
		}
		if err != nil {
			a.Logger.Error("the cluster cannot be observed; it is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(5 * time.Second):
		}
	}
}
