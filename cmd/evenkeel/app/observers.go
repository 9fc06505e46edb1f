package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/kube"
)

// An observed cluster is one of --observe. One process of those that have it observes it; another takes over when that one goes.
type observed struct {
	a      *app
	name   string
	role   string // by which processes agree on who observes it
	config kube.Config
	logger *slog.Logger
}

const observeLook = time.Second // how often who observes, and which namespaces, is looked at again

// observeRole is the role by which processes agree on who observes a cluster: one of those that could.
func observeRole(cluster string) string { return "observer of " + cluster }

// observeRoles are those of this process.
func (s *Settings) observeRoles() []string {
	sources, _ := namedContexts("--observe", s.Clusters) // they were validated
	var out []string
	for _, k := range sources {
		out = append(out, observeRole(k.name))
	}
	if len(s.Fleets) > 0 {
		out = append(out, fleetRole)
	}
	return out
}

// openObservers makes what --observe names. No cluster is asked anything yet.
func (a *app) openObservers() error {
	sources, err := namedContexts("--observe", a.settings.Clusters)
	if err != nil {
		return err
	}
	for _, k := range sources {
		connection, err := a.settings.connect(k.context)
		if err != nil {
			return fmt.Errorf("--observe %s: %w", k.name, err)
		}
		o := &observed{a: a, name: k.name, role: observeRole(k.name), logger: a.logger, config: kube.Config{Cluster: k.name, REST: connection, Logger: a.logger}}
		if _, err := kube.New(o.with(nil, nil)); err != nil {
			return fmt.Errorf("--observe %s: %w", k.name, err)
		}
		a.observers = append(a.observers, o)
	}
	return nil
}

// with returns the configuration of an observer that tells into a sink, by a definition of the cluster, if there is one.
func (o *observed) with(spec *inventory.ClusterSpec, sink func(context.Context, inventory.Observation) error) kube.Config {
	c := o.config
	if c.Sink = sink; sink == nil {
		c.Sink = func(context.Context, inventory.Observation) error { return nil }
	}
	if spec == nil {
		spec = &inventory.ClusterSpec{}
	}
	c.TrustDomain = spec.TrustDomain
	c.Include, c.Exclude = spec.Include, kube.Excluding(spec.Include, spec.Exclude)
	return c
}

// specOf returns what a definition of a cluster compiles to; nil where there is none, or one of a later version.
func specOf(d *mesh.Definition) *inventory.ClusterSpec {
	if d == nil {
		return nil
	}
	spec, err := mesh.Compiled[inventory.ClusterSpec](d)
	if err != nil {
		return nil
	}
	return &spec
}

// spec returns what stands about the cluster, and the revision of the catalogue that it is of.
func (o *observed) spec() (*inventory.ClusterSpec, uint64) {
	ds, revision, _ := o.a.catalogue.read()
	return specOf(clusterOf(ds, o.name)), revision
}

// stands reports whether nothing else is defined of the cluster. It looks only where the catalogue has moved since.
func (o *observed) stands(spec *inventory.ClusterSpec, since *uint64) bool {
	if _, revision, _ := o.a.catalogue.read(); revision == *since {
		return true
	}
	now, revision := o.spec()
	*since = revision
	return reflect.DeepEqual(spec, now)
}

// run observes while this process is the one that should, until ctx ends.
func (o *observed) run(ctx context.Context) error {
	for ctx.Err() == nil {
		_, _, read := o.a.catalogue.read()
		if !read || !o.a.members.Owns(o.role, o.name, 0) {
			pause(ctx, observeLook)
			continue
		}
		if err := o.turn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// turn observes until another process should, or the definition of the cluster says something else.
func (o *observed) turn(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	spec, since := o.spec()
	observer, err := kube.New(o.with(spec, (&sink{log: o.a.log, meshes: o.a.meshes}).take))
	if err != nil {
		return err
	}
	o.a.observing.Store(o.name, observer)
	defer o.a.observing.Delete(o.name)
	o.logger.Info("observes a cluster", "cluster", o.name)
	ended := make(chan error, 1)
	go func() { ended <- observer.Run(ctx) }()
	for {
		pause(ctx, observeLook)
		if ctx.Err() == nil && o.a.members.Owns(o.role, o.name, 0) && o.stands(spec, &since) {
			select {
			case err := <-ended:
				return err
			default:
				continue
			}
		}
		stop()
		return <-ended
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// A sink appends observations to the log.
type sink struct {
	log interface {
		Append(context.Context, bus.Message) (uint64, error)
	}
	meshes *meshes // nil: nobody here knows what the stage misses
	last   uint64  // sequence of what was appended last
}

// take appends one observation. Where the stage has missed something of what was told before, it asks for a new listing instead.
func (s *sink) take(ctx context.Context, o inventory.Observation) error {
	if o.Number > 1 && s.meshes != nil && s.meshes.misses(o.Cluster, s.last) {
		return kube.ErrRelist
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	seq, err := s.log.Append(ctx, bus.Message{Subject: inventory.Subject(o.Cluster), Data: data})
	if err != nil {
		if errors.Is(err, bus.ErrTooLarge) {
			return fmt.Errorf("observation of %s: %w", o.Cluster, err)
		}
		return err
	}
	s.last = seq
	return nil
}

// misses reports whether the copy of the inventory, which must have taken a sequence, says that an observation of a cluster is missing.
func (m *meshes) misses(cluster string, after uint64) (missed bool) {
	m.inventory.peek(func(s *inventory.Stage, seq uint64) { missed = seq >= after && s.Standing(cluster).Missed })
	return missed
}

// observerMetrics writes what observers count.
func (a *app) observerMetrics(w io.Writer) {
	each := func(name, kind string, of func(s kube.Stats) float64) {
		family(w, "evenkeel_observer_"+name, kind, func(line func(string, float64)) {
			a.observing.Range(func(name, v any) bool {
				line(fmt.Sprintf("cluster=%q", name), of(v.(*kube.Observer).Stats())) //nolint:forcetypeassert // only observers are stored
				return true
			})
		})
	}
	each("objects", "gauge", func(s kube.Stats) (n float64) {
		for _, v := range s.Objects {
			n += float64(v)
		}
		return n
	})
	each("left_out", "gauge", func(s kube.Stats) float64 { return float64(s.Left) })
	each("pending", "gauge", func(s kube.Stats) float64 { return float64(s.Pending) })
	each("observations_total", "counter", func(s kube.Stats) float64 { return float64(s.Observations) })
	each("sink_errors_total", "counter", func(s kube.Stats) float64 { return float64(s.SinkErrors) })
	each("relists_total", "counter", func(s kube.Stats) float64 { return float64(s.Relists) })
	each("watch_errors_total", "counter", func(s kube.Stats) float64 { return float64(s.WatchErrors) })
}

// metrics writes what the copy of the inventory counts.
func (m *meshes) metrics(w io.Writer) {
	m.inventory.peek(func(s *inventory.Stage, _ uint64) { publish(w, "evenkeel_mesh_inventory", reflect.ValueOf(s.Stats())) })
}
