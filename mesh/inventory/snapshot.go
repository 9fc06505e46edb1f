package inventory

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// snapshotVersion is the version of the snapshot that this code writes and reads.
const snapshotVersion = 1

// A snapshot is the state: every list in a fixed order, so that equal states give equal bytes.
type snapshot struct {
	Version    int                            `json:"v"`
	Now        bus.Time                       `json:"now"`
	Clusters   []clusterState                 `json:"clusters"`
	Spaces     []kept[member.GlobalNamespace] `json:"globalNamespaces"`
	Specs      []kept[ClusterSpec]            `json:"specs"`
	Externals  []kept[External]               `json:"externals"`
	Outside    []kept[*ServiceEvent]          `json:"outside"`
	Groups     []kept[member.Group]           `json:"groups"`
	Contents   []kept[[]GroupResource]        `json:"contents"`
	Regroup    bool                           `json:"regroup"`
	Asked      bool                           `json:"asked"`
	Enrolments []enrolment                    `json:"enrolments,omitempty"`
}

// A kept value is one of a definition.
type kept[T any] struct {
	Ref   mesh.Ref `json:"ref"`
	Value T        `json:"value"`
}

type clusterState struct {
	Name       string            `json:"name"`
	Observer   string            `json:"observer"`
	Number     uint64            `json:"number"`
	Phase      string            `json:"phase"`
	Reason     string            `json:"reason"`
	Info       Info              `json:"info"`
	At         bus.Time          `json:"at"`
	Heard      bus.Time          `json:"heard"`
	Since      bus.Time          `json:"since"`
	Told       string            `json:"told"`
	Left       int               `json:"left"`
	Over       int               `json:"over"`
	Missed     bool              `json:"missed"`
	Dark       bool              `json:"dark"`
	Rehome     bool              `json:"rehome"`
	Listing    bool              `json:"listing"`
	Listed     []Key             `json:"listed"`
	Homes      map[string]string `json:"homes"`
	Namespaces []*Namespace      `json:"namespaces"`
	Nodes      []*Node           `json:"nodes"`
	Workloads  []*Workload       `json:"workloads"`
	Hosts      []*Host           `json:"hosts"`
	Instances  []*Instance       `json:"instances"`
	Services   []serviceState    `json:"services"`
}

type serviceState struct {
	Namespace string        `json:"namespace"`
	Name      string        `json:"name"`
	GNS       string        `json:"gns"`
	Told      *ServiceEvent `json:"told"`
	Touched   bool          `json:"touched"`
}

// Snapshot returns the state as JSON.
func (s *Stage) Snapshot() ([]byte, error) {
	st := snapshot{
		Version: snapshotVersion, Now: s.now, Clusters: []clusterState{}, Spaces: list(s.spacesBy), Specs: list(s.specs), Externals: list(s.externals), Outside: list(s.outside),
		Groups: list(s.groups), Contents: list(s.contents), Regroup: s.regroup, Asked: s.asked, Enrolments: s.enrolments,
	}
	for _, name := range s.clusterNames() {
		st.Clusters = append(st.Clusters, s.clusters[name].save())
	}
	b, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("snapshot of the inventory: %w", err)
	}
	return b, nil
}

func list[T any](m map[mesh.Ref]T) []kept[T] {
	out := []kept[T]{}
	for _, r := range sortedRefs(m) {
		out = append(out, kept[T]{r, m[r]})
	}
	return out
}

func (c *cluster) save() clusterState {
	st := clusterState{
		Name: c.name, Observer: c.observer, Number: c.number, Phase: c.phase, Reason: c.reason, Info: c.info, At: c.at, Heard: c.heard, Since: c.since,
		Told: c.told, Left: c.left, Over: c.over, Missed: c.missed, Dark: c.dark, Rehome: c.rehome, Listing: c.listed != nil, Homes: c.homes,
		Listed: slices.SortedFunc(maps.Keys(c.listed), Key.compare), Namespaces: inOrder(c.namespaces), Nodes: inOrder(c.nodes),
	}
	for _, k := range slices.SortedFunc(maps.Keys(c.workloads), Key.compare) {
		st.Workloads = append(st.Workloads, c.workloads[k])
	}
	for _, p := range sortedPlaces(c.hosts) {
		st.Hosts = append(st.Hosts, c.hosts[p])
	}
	for _, p := range sortedPlaces(c.instances) {
		st.Instances = append(st.Instances, c.instances[p])
	}
	for _, p := range sortedPlaces(c.services) {
		svc := c.services[p]
		st.Services = append(st.Services, serviceState{p.namespace, p.name, svc.gns, svc.told, c.touched[p]})
	}
	return st
}

func inOrder[T any](m map[string]*T) []*T {
	var out []*T
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[name])
	}
	return out
}

// Restore replaces the state by a snapshot.
func (s *Stage) Restore(state []byte) error {
	var st snapshot
	if err := json.Unmarshal(state, &st); err != nil {
		return fmt.Errorf("restore the inventory: %w", err)
	}
	if st.Version != snapshotVersion {
		return fmt.Errorf("restore the inventory: the snapshot has version %d; this program reads version %d", st.Version, snapshotVersion)
	}
	s.clear()
	s.now = st.Now
	take(s.spacesBy, st.Spaces)
	take(s.specs, st.Specs)
	take(s.externals, st.Externals)
	take(s.outside, st.Outside)
	take(s.groups, st.Groups)
	take(s.contents, st.Contents)
	for i := range st.Clusters {
		c := st.Clusters[i].load()
		s.clusters[c.name] = c
	}
	s.takeDefinitions()
	s.regroup, s.enrolments, s.asked = st.Regroup, st.Enrolments, st.Asked
	return nil
}

func take[T any](m map[mesh.Ref]T, list []kept[T]) {
	for _, k := range list {
		m[k.Ref] = k.Value
	}
}

func (st *clusterState) load() *cluster {
	c := newCluster(st.Name)
	c.observer, c.number, c.phase, c.reason, c.info, c.at, c.heard, c.since = st.Observer, st.Number, st.Phase, st.Reason, st.Info, st.At, st.Heard, st.Since
	c.told, c.left, c.over, c.missed, c.dark, c.rehome = st.Told, st.Left, st.Over, st.Missed, st.Dark, st.Rehome
	if st.Listing {
		c.listed = map[Key]bool{}
		for _, k := range st.Listed {
			c.listed[k] = true
		}
	}
	if st.Homes != nil {
		c.homes = st.Homes
	}
	for _, n := range st.Namespaces {
		c.namespaces[n.Name] = n
	}
	for _, n := range st.Nodes {
		c.nodes[n.Name] = n
	}
	for _, h := range st.Hosts {
		c.hosts[place{h.Namespace, h.Name}] = h
	}
	for _, w := range st.Workloads {
		c.setWorkload(w)
	}
	for _, i := range st.Instances {
		c.setInstance(i)
	}
	for _, sv := range st.Services {
		svc := c.service(sv.Namespace, sv.Name)
		svc.gns, svc.told = sv.GNS, sv.Told
	}
	c.touched = map[place]bool{} // what was read above has touched all
	for _, sv := range st.Services {
		if sv.Touched {
			c.touched[place{sv.Namespace, sv.Name}] = true
		}
	}
	return c
}
