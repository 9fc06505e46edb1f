package inventory

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/member"
)

// A ClusterView is a cluster as people are shown it.
type ClusterView struct {
	Name             string            `json:"name"`
	DisplayName      string            `json:"displayName,omitempty"`
	State            string            `json:"state"`
	Reason           string            `json:"reason"`
	Since            string            `json:"since,omitempty"`     // of the state, RFC 3339
	LastHeard        string            `json:"lastHeard,omitempty"` // RFC 3339, by the log's clock
	AgeSeconds       float64           `json:"ageSeconds"`          // of what is known; by the log's clock
	Version          string            `json:"version,omitempty"`   // of Kubernetes
	Region           string            `json:"region,omitempty"`
	Zone             string            `json:"zone,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
	Defined          bool              `json:"defined"` // a Cluster definition stands
	GlobalNamespaces []string          `json:"globalNamespaces"`
	Namespaces       int               `json:"namespaces"`
	Nodes            int               `json:"nodes"`
	NodesReady       int               `json:"nodesReady"`
	Services         int               `json:"services"`
	Instances        int               `json:"instances"`
	Left             int               `json:"left,omitempty"` // objects over a bound
}

// A ServiceView is a service of a global namespace, in all its clusters and namespaces.
type ServiceView struct {
	GlobalNamespace string         `json:"globalNamespace"`
	Name            string         `json:"name"`
	State           string         `json:"state"`
	Reason          string         `json:"reason,omitempty"`
	Desired         int            `json:"desired"`
	Ready           int            `json:"ready"`
	Versions        []string       `json:"versions"`
	Clusters        []string       `json:"clusters"`
	Places          []ServiceEvent `json:"places"`
}

// An InstanceView is an instance with what stands around it.
type InstanceView struct {
	GlobalNamespace string `json:"globalNamespace"`
	Cluster         string `json:"cluster"`
	Instance
	Created string `json:"created,omitempty"` // RFC 3339
}

// A GroupView is a resource group with what it holds.
type GroupView struct {
	GlobalNamespace string          `json:"globalNamespace"` // "-" of a group of the organisation
	Name            string          `json:"name"`
	Kind            string          `json:"kind"`
	Resources       []GroupResource `json:"resources"`
	Services        int             `json:"services"` // of a group of services: what they add up to
	Desired         int             `json:"desired"`
	Ready           int             `json:"ready"`
	State           string          `json:"state"`
}

// Now returns the time of the last record that the stage took.
func (s *Stage) Now() bus.Time { return s.now }

// Stats returns what the stage counts.
func (s *Stage) Stats() Stats {
	st := s.stats
	st.Clusters, st.Agents = len(s.clusters), len(s.Agents())
	for _, c := range s.clusters {
		st.Services += len(c.services)
		st.Instances += len(c.instances)
		if c.dark {
			st.Dark++
		}
	}
	return st
}

// Clusters returns all clusters by name.
func (s *Stage) Clusters() []ClusterView {
	out := []ClusterView{}
	for _, name := range s.clusterNames() {
		c := s.clusters[name]
		v := ClusterView{
			Name: name, Version: c.info.Version, Defined: c.spec != nil, GlobalNamespaces: c.globalNamespaces(), Namespaces: len(c.namespaces), Nodes: len(c.nodes),
			Services: len(c.services), Instances: len(c.instances), Left: c.left + c.over, Since: timeText(c.since), LastHeard: timeText(c.heard),
		}
		v.State, v.Reason = c.state()
		if c.spec != nil {
			v.DisplayName, v.Region, v.Zone, v.Labels = c.spec.DisplayName, c.spec.Region, c.spec.Zone, c.spec.Labels
		}
		if c.heard != 0 {
			v.AgeSeconds = float64(s.now-c.heard) / 1000
		}
		for _, n := range c.nodes {
			if n.Ready {
				v.NodesReady++
			}
		}
		if v.GlobalNamespaces == nil {
			v.GlobalNamespaces = []string{}
		}
		out = append(out, v)
	}
	return out
}

func timeText(t bus.Time) string {
	if t == 0 {
		return ""
	}
	return t.String()
}

// Services returns all services by global namespace and name.
func (s *Stage) Services() []ServiceView {
	type key struct{ gns, name string }
	places := map[key][]ServiceEvent{}
	put := func(e *ServiceEvent) {
		if e != nil {
			k := key{e.GlobalNamespace, e.Service}
			places[k] = append(places[k], *e)
		}
	}
	for _, name := range s.clusterNames() {
		c := s.clusters[name]
		for _, p := range sortedPlaces(c.services) {
			put(c.services[p].told)
		}
	}
	for _, r := range sortedRefs(s.outside) {
		put(s.outside[r])
	}
	out := make([]ServiceView, 0, len(places))
	for k, ps := range places {
		v := Join(ps)
		v.GlobalNamespace, v.Name = k.gns, k.name
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b ServiceView) int {
		return cmp.Or(strings.Compare(a.GlobalNamespace, b.GlobalNamespace), strings.Compare(a.Name, b.Name))
	})
	return out
}

// Join adds up services over their places. Together they are Healthy where all are, Error where none serves and one has an error, Unknown where nothing
// is known of any, and else Warning. The reason is that of the worst place.
func Join(places []ServiceEvent) ServiceView {
	v := ServiceView{Places: places, Versions: []string{}, Clusters: []string{}}
	count := map[string]int{}
	for i := range places {
		p := &places[i]
		v.Desired, v.Ready = v.Desired+p.Desired, v.Ready+p.Ready
		count[p.State]++
		if p.Reason != "" && (v.Reason == "" || rank(p.State) > rank(v.State)) {
			v.Reason, v.State = p.Reason, p.State
		}
		if c := cmp.Or(p.Cluster, Organisation); !slices.Contains(v.Clusters, c) {
			v.Clusters = append(v.Clusters, c)
		}
		for _, ver := range p.Versions {
			if !slices.Contains(v.Versions, ver.Name) {
				v.Versions = append(v.Versions, ver.Name)
			}
		}
	}
	slices.Sort(v.Versions)
	switch n := len(places); {
	case count[StateUnknown] == n:
		v.State = StateUnknown
	case count[StateHealthy] == n:
		v.State = StateHealthy
	case v.Ready == 0 && count[StateError] > 0:
		v.State = StateError
	default:
		v.State = StateWarning
	}
	return v
}

// Instances returns the instances of services that keep answers yes to, by global namespace, service, cluster, namespace and name. Those of a
// dark cluster are Unknown.
func (s *Stage) Instances(keep func(gns, service, cluster string) bool) []InstanceView {
	out := []InstanceView{}
	for _, name := range s.clusterNames() {
		c := s.clusters[name]
		for _, p := range sortedPlaces(c.services) {
			svc := c.services[p]
			if !keep(svc.gns, p.name, name) {
				continue
			}
			for _, at := range slices.Sorted(maps.Keys(svc.instances)) {
				v := InstanceView{GlobalNamespace: svc.gns, Cluster: name, Instance: *svc.instances[at], Created: timeText(svc.instances[at].Created)}
				if c.dark {
					v.State, v.Reason = StateUnknown, "ClusterDark"
				}
				out = append(out, v)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b InstanceView) int {
		return cmp.Or(strings.Compare(a.GlobalNamespace, b.GlobalNamespace), strings.Compare(a.Service, b.Service), strings.Compare(a.Cluster, b.Cluster))
	})
	return out
}

// Groups returns all resource groups by global namespace and name, with what they held when it was last told.
func (s *Stage) Groups() []GroupView {
	services := map[GroupResource]*ServiceEvent{}
	for name, c := range s.clusters {
		for p, svc := range c.services {
			services[GroupResource{name, p.namespace, p.name}] = svc.told
		}
	}
	for r, x := range s.externals {
		services[GroupResource{"", x.Namespace, x.Name}] = s.outside[r]
	}
	out := []GroupView{}
	for _, r := range sortedRefs(s.groups) {
		g := s.groups[r]
		v := GroupView{GlobalNamespace: cmp.Or(g.GlobalNamespace, Organisation), Name: g.Name, Kind: g.Kind, Resources: slices.Clone(s.contents[r])}
		if v.Resources == nil {
			v.Resources = []GroupResource{}
		}
		var parts []ServiceEvent
		for _, x := range v.Resources {
			if e := services[x]; e != nil && g.Kind == member.KindService {
				parts = append(parts, *e)
			}
		}
		if sum := Join(parts); len(parts) > 0 {
			v.Services, v.Desired, v.Ready, v.State = len(parts), sum.Desired, sum.Ready, sum.State
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b GroupView) int {
		return cmp.Or(strings.Compare(a.GlobalNamespace, b.GlobalNamespace), strings.Compare(a.Name, b.Name))
	})
	return out
}

// Inventory returns what there is, as membership looks at it.
func (s *Stage) Inventory() member.Inventory {
	var inv member.Inventory
	for _, name := range s.clusterNames() {
		c := s.clusters[name]
		m := c.member()
		in := map[string][]member.Service{} // by namespace
		for _, p := range sortedPlaces(c.services) {
			in[p.namespace] = append(in[p.namespace], *c.services[p].member())
		}
		for _, n := range inOrder(c.namespaces) {
			ns := n.member()
			ns.Services = in[n.Name]
			m.Namespaces = append(m.Namespaces, *ns)
		}
		for _, n := range inOrder(c.nodes) {
			m.Nodes = append(m.Nodes, member.Node{Name: n.Name, Labels: n.Labels, Version: n.Version})
		}
		inv.Clusters = append(inv.Clusters, *m)
	}
	return inv
}

// Objects is all that is kept of a cluster, in order.
type Objects struct {
	Name       string
	State      string // one of the Cluster constants
	Since      bus.Time
	Info       Info
	Spec       ClusterSpec // zero where nobody defined it
	Namespaces []Namespace
	Nodes      []Node
	Workloads  []Workload
	Hosts      []Host
	Instances  []Instance
}

// Objects returns copies of what is kept of each cluster, by name. Maps in them are the stage's: they are replaced and never written to.
func (s *Stage) Objects() []Objects {
	var out []Objects
	for _, name := range s.clusterNames() {
		c := s.clusters[name]
		o := Objects{Name: name, Since: c.since, Info: c.info}
		o.State, _ = c.state()
		if c.spec != nil {
			o.Spec = *c.spec
		}
		for _, n := range inOrder(c.namespaces) {
			o.Namespaces = append(o.Namespaces, *n)
		}
		for _, n := range inOrder(c.nodes) {
			o.Nodes = append(o.Nodes, *n)
		}
		for _, k := range slices.SortedFunc(maps.Keys(c.workloads), Key.compare) {
			o.Workloads = append(o.Workloads, *c.workloads[k])
		}
		for _, p := range sortedPlaces(c.hosts) {
			o.Hosts = append(o.Hosts, *c.hosts[p])
		}
		for _, p := range sortedPlaces(c.instances) {
			o.Instances = append(o.Instances, *c.instances[p])
		}
		out = append(out, o)
	}
	return out
}

// Membership says of each place where it belongs, and why.
func (s *Stage) Membership() member.Membership { return member.MembersOf(s.spaces, s.Inventory()) }

// GlobalNamespaces returns the definitions of global namespaces by name.
func (s *Stage) GlobalNamespaces() []member.GlobalNamespace { return slices.Clone(s.spaces) }
