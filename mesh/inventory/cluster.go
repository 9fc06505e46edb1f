package inventory

import (
	"maps"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/member"
)

// States of a cluster.
const (
	ClusterPending   = "Pending"   // defined, and never heard of
	ClusterConnected = "Connected" // its observer lives, and has told nothing of the cluster yet
	ClusterSyncing   = "Syncing"   // a listing is under way
	ClusterReady     = "Ready"
	ClusterBlind     = "Blind"     // its observer lives, and cannot read the cluster
	ClusterDark      = "Dark"      // nothing was heard for [DarkAfter]
	ClusterDetaching = "Detaching" // it is to leave
	ClusterDetached  = "Detached"  // it has left: nothing of it is kept but this line
)

// DarkAfter is how long nothing may be heard of a cluster: three signs of life.
const DarkAfter = 30 * bus.Second

// A place is a name in a namespace.
type place struct{ namespace, name string }

func (p place) compare(o place) int {
	if c := strings.Compare(p.namespace, o.namespace); c != 0 {
		return c
	}
	return strings.Compare(p.name, o.name)
}

// A cluster is what is known of one.
type cluster struct {
	name     string
	spec     *ClusterSpec // nil: nobody defined it
	observer string
	number   uint64 // of the last observation
	phase    string
	reason   string // of the phase
	info     Info
	at       bus.Time // of the observer's last look
	heard    bus.Time // when it came
	since    bus.Time // of the state
	told     string   // state that was told last
	left     int      // objects that the observer leaves out now
	over     int      // objects that had no room here since the last listing
	missed   bool     // an observation is missing: only a listing can mend it
	dark     bool
	rehome   bool // its namespaces, or the definitions, have changed: who belongs where must be decided anew

	namespaces map[string]*Namespace
	nodes      map[string]*Node
	workloads  map[Key]*Workload
	hosts      map[place]*Host
	instances  map[place]*Instance

	services map[place]*service // joined from instances, workloads and hosts
	homes    map[string]string  // global namespaces of namespaces, as told
	listed   map[Key]bool       // during a listing: what it has told; nil otherwise
	touched  map[place]bool     // services to look at again
}

// A service is a service in one namespace of a cluster.
type service struct {
	place
	instances map[string]*Instance
	workloads map[Key]*Workload
	gns       string
	told      *ServiceEvent // nil: never
}

func newCluster(name string) *cluster {
	c := &cluster{name: name, homes: map[string]string{}, touched: map[place]bool{}}
	c.empty()
	return c
}

// empty forgets all objects.
func (c *cluster) empty() {
	c.namespaces, c.nodes, c.workloads = map[string]*Namespace{}, map[string]*Node{}, map[Key]*Workload{}
	c.hosts, c.instances, c.services = map[place]*Host{}, map[place]*Instance{}, map[place]*service{}
}

// objects counts what is kept of it.
func (c *cluster) objects() int {
	return len(c.namespaces) + len(c.nodes) + len(c.workloads) + len(c.hosts) + len(c.instances)
}

// member returns the cluster as conditions look at it. Its labels are those of its definition: what a cluster says of itself lets nobody in.
func (c *cluster) member() *member.Cluster {
	m := &member.Cluster{Name: c.name, Version: c.info.Version}
	if c.spec != nil {
		m.Labels = c.spec.Labels
	}
	return m
}

func (n *Namespace) member() *member.Namespace {
	return &member.Namespace{Name: n.Name, Labels: n.Labels, Author: n.Author}
}

// at returns the service of that place, which is made if it must.
func (c *cluster) service(namespace, name string) *service {
	p := place{namespace, name}
	s, ok := c.services[p]
	if !ok {
		s = &service{place: p, instances: map[string]*Instance{}, workloads: map[Key]*Workload{}}
		c.services[p] = s
	}
	c.touched[p] = true
	return s
}

func (w *Workload) key() Key { return Key{w.Kind, w.Namespace, w.Name} }

// setWorkload replaces a workload, which may have moved to another service.
func (c *cluster) setWorkload(w *Workload) {
	c.dropWorkload(w.key())
	c.workloads[w.key()] = w
	c.service(w.Namespace, w.Service).workloads[w.key()] = w
}

func (c *cluster) dropWorkload(k Key) bool {
	old, ok := c.workloads[k]
	if ok {
		delete(c.workloads, k)
		delete(c.service(old.Namespace, old.Service).workloads, k)
	}
	return ok
}

func (c *cluster) setInstance(i *Instance) {
	c.dropInstance(place{i.Namespace, i.Name})
	c.instances[place{i.Namespace, i.Name}] = i
	c.service(i.Namespace, i.Service).instances[i.Name] = i
}

func (c *cluster) dropInstance(p place) *Instance {
	old, ok := c.instances[p]
	if ok {
		delete(c.instances, p)
		delete(c.service(old.Namespace, old.Service).instances, old.Name)
	}
	return old
}

// touchAll has all services looked at again.
func (c *cluster) touchAll() {
	for p := range c.services {
		c.touched[p] = true
	}
}

// touchNamespace has all services of a namespace looked at again.
func (c *cluster) touchNamespace(name string) {
	for p := range c.services {
		if p.namespace == name {
			c.touched[p] = true
		}
	}
}

// state returns the state of the cluster and its reason.
func (c *cluster) state() (state, reason string) {
	switch {
	case c.phase == PhaseLeft:
		return ClusterDetached, "Left"
	case c.spec != nil && c.spec.Detach:
		return ClusterDetaching, "Asked"
	case c.phase == "":
		return ClusterPending, "NeverHeard"
	case c.dark:
		return ClusterDark, "NothingHeard"
	case c.phase == PhaseBlind:
		return ClusterBlind, c.reason
	case c.missed:
		return ClusterConnected, "ObservationMissing"
	case c.phase == PhaseListing:
		return ClusterSyncing, "Listing"
	}
	return ClusterReady, "Watching"
}

// keys returns the keys of all objects that are kept.
func (c *cluster) keys() []Key {
	var out []Key
	for name := range c.namespaces {
		out = append(out, Key{Kind: KindNamespace, Name: name})
	}
	for name := range c.nodes {
		out = append(out, Key{Kind: KindNode, Name: name})
	}
	for k := range c.workloads {
		out = append(out, k)
	}
	for p := range c.hosts {
		out = append(out, Key{KindHost, p.namespace, p.name})
	}
	for p := range c.instances {
		out = append(out, Key{KindInstance, p.namespace, p.name})
	}
	slices.SortFunc(out, Key.compare)
	return out
}

func (k Key) compare(o Key) int {
	return strings.Compare(k.Kind+"\x00"+k.Namespace+"\x00"+k.Name, o.Kind+"\x00"+o.Namespace+"\x00"+o.Name)
}

// sortedPlaces returns the keys of a map in order.
func sortedPlaces[T any](m map[place]T) []place {
	return slices.SortedFunc(maps.Keys(m), place.compare)
}
