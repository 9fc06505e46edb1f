package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"evenkeel.dev/mesh/kube"
)

const (
	fleetLook      = time.Minute      // between looks at the lists
	fleetTimeout   = 40 * time.Second // of one look at one fleet
	fleetsMax      = 256              // clusters of all fleets together: as many as the inventory takes
	fleetRole      = "fleets"         // by which processes agree on who observes which cluster of a fleet
	fleetNotedOnce = 1000             // messages that are not repeated
)

// fleetClusters keeps an observer for each cluster of the fleets that there is a way to.
type fleetClusters struct {
	a       *app
	fleets  []fleet
	logger  *slog.Logger
	last    map[string][]fleetCluster // by fleet: what it listed last
	running map[string]*fleetObserver // by name of cluster
	noted   map[string]bool
}

// A fleetObserver is one that runs.
type fleetObserver struct {
	revision string
	stop     context.CancelFunc
	ended    chan struct{}
}

// openFleets makes the fleets of the settings.
func (a *app) openFleets() error {
	list, err := a.settings.fleets(a.logger)
	if err != nil || len(list) == 0 {
		return err
	}
	a.fleets = &fleetClusters{a: a, fleets: list, logger: a.logger, last: map[string][]fleetCluster{}, running: map[string]*fleetObserver{}, noted: map[string]bool{}}
	return nil
}

// run follows the fleets until ctx ends.
func (f *fleetClusters) run(ctx context.Context) error {
	defer func() {
		for _, o := range f.running {
			o.stop()
		}
		for name, o := range f.running {
			<-o.ended
			delete(f.running, name)
		}
	}()
	for ctx.Err() == nil {
		f.reconcile(ctx, f.wanted(ctx))
		pause(ctx, fleetLook)
	}
	return nil
}

// wanted asks each fleet, and returns the clusters to observe by name. A fleet that cannot be read keeps what it listed last, and so does one that would give a cluster the
// name of another that is there already: nobody takes a cluster's place by its name, whichever fleet stands first.
func (f *fleetClusters) wanted(ctx context.Context) map[string]fleetCluster {
	seen := map[string]string{}
	for _, o := range f.a.observers {
		seen[o.name] = "--observe " + o.name
	}
	lists, errs := f.ask(ctx)
	holders := f.holders(lists, errs)
	out := map[string]fleetCluster{}
	for i, list := range f.fleets {
		clusters, err := lists[i], errs[i]
		if err == nil {
			err = held(holders, list.Name(), clusters)
		}
		if err == nil {
			err = distinct(seen, list.Name(), clusters)
		}
		if err != nil {
			f.note("the list of a fleet cannot be taken; what it listed last stands", "fleet", list.Name(), err.Error())
			clusters = f.last[list.Name()]
		} else {
			f.last[list.Name()] = clusters
		}
		for _, c := range clusters {
			switch _, taken := out[c.Name]; {
			case taken:
			case c.REST == nil:
				f.note("a cluster of a fleet is not observed", "cluster", c.Name, c.Reason)
			case len(out) == fleetsMax:
				f.note("a cluster of a fleet is not observed", "cluster", c.Name, fmt.Sprintf("there are %d already", fleetsMax))
			default:
				out[c.Name] = c
			}
		}
	}
	return out
}

// ask asks each fleet for its list.
func (f *fleetClusters) ask(ctx context.Context) ([][]fleetCluster, []error) {
	lists, errs := make([][]fleetCluster, len(f.fleets)), make([]error, len(f.fleets))
	for i, list := range f.fleets {
		within, cancel := context.WithTimeout(ctx, fleetTimeout)
		lists[i], errs[i] = list.Clusters(within)
		cancel()
	}
	return lists, errs
}

// holders returns which fleet has each name since before: those of its last list that its new one has too, or all where there is no new one.
func (f *fleetClusters) holders(lists [][]fleetCluster, errs []error) map[string]string {
	out := map[string]string{}
	for i, list := range f.fleets {
		now := map[string]bool{}
		for _, c := range lists[i] {
			now[c.Name] = true
		}
		for _, c := range f.last[list.Name()] {
			if errs[i] != nil || now[c.Name] {
				out[c.Name] = list.Name()
			}
		}
	}
	return out
}

// held refuses a list with a name that another fleet has since before.
func held(holders map[string]string, fleet string, clusters []fleetCluster) error {
	for _, c := range clusters {
		if h := holders[c.Name]; h != "" && h != fleet {
			return fmt.Errorf("%s would be the cluster %s, which fleet %s has already; rename one, or give a fleet a prefix", c.From, c.Name, h)
		}
	}
	return nil
}

// note writes a warning once.
func (f *fleetClusters) note(what, key, name, why string) {
	id := what + "\x00" + name + "\x00" + why
	if f.noted[id] {
		return
	}
	if len(f.noted) >= fleetNotedOnce {
		clear(f.noted)
	}
	f.noted[id] = true
	f.logger.Warn(what, key, name, "why", why)
}

// reconcile stops observers that are not wanted any more and starts those that are missing.
func (f *fleetClusters) reconcile(ctx context.Context, wanted map[string]fleetCluster) {
	for name, o := range f.running {
		if c, ok := wanted[name]; ok && c.Revision == o.revision {
			continue
		}
		o.stop()
		<-o.ended
		delete(f.running, name)
		f.logger.Info("a cluster of a fleet is no more observed here", "cluster", name)
	}
	for name, c := range wanted {
		if f.running[name] != nil || ctx.Err() != nil {
			continue
		}
		within, stop := context.WithCancel(ctx)
		o := &fleetObserver{revision: c.Revision, stop: stop, ended: make(chan struct{})}
		f.running[name] = o
		of := &observed{a: f.a, name: name, role: fleetRole, logger: f.logger, config: kube.Config{Cluster: name, REST: c.REST, Labels: c.Labels, Logger: f.logger}}
		go func() {
			defer close(o.ended)
			_ = again(f.logger, "observer of cluster "+name, of.run)(within) // it ends with its context
		}()
	}
}
