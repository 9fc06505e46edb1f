// Package discovery knows what stands behind <service>.<domain> of a global namespace, and answers DNS questions about it. It is pure: who serves DNS asks [Table.Resolve], and mesh/istio
// compiles the same [Service]s into objects.
//
// A service of a global namespace is what has its name: the Service objects (hosts) of that name in all of its member namespaces of all of its clusters, joined. Instances
// are those that a host's selector picks. docs/encryption.md says what is answered to whom.
package discovery

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

// States of a [Cluster]; nothing written is Attached.
const (
	Attached = "Attached"
	Dark     = "Dark"     // nothing was heard of it since: what is known of it grows old
	Detached = "Detached" // it is none of ours any more
)

// A View is what is known of all clusters.
type View struct {
	Clusters []Cluster `json:"clusters"`
}

// A Cluster is one of them.
type Cluster struct {
	Name        string    `json:"name"`
	State       string    `json:"state,omitempty"`
	Since       bus.Time  `json:"since,omitempty"`       // of the state
	Network     string    `json:"network,omitempty"`     // clusters of one network reach each other's instances directly; "" is one, too
	Region      string    `json:"region,omitempty"`      // of instances whose node says none
	TrustDomain string    `json:"trustDomain,omitempty"` // as its mesh has it; "" where that is not known
	Gateways    []Address `json:"gateways,omitempty"`    // east-west, that other networks come in by

	Labels     map[string]string     `json:"labels,omitempty"`
	Namespaces []inventory.Namespace `json:"namespaces,omitempty"`
	Nodes      []inventory.Node      `json:"nodes,omitempty"`
	Workloads  []inventory.Workload  `json:"workloads,omitempty"`
	Hosts      []inventory.Host      `json:"hosts,omitempty"`
	Instances  []inventory.Instance  `json:"instances,omitempty"`
}

// An Address is where something listens.
type Address struct {
	IP   string `json:"ip"`
	Port int    `json:"port"`
}

// labelNetwork is where Istio's installation writes the network of a cluster, on the namespace of istiod.
const labelNetwork = "topology.istio.io/network"

// ViewOf returns the view of what the inventory keeps. What a Cluster definition says counts before what the cluster says of itself. Gateways between networks are not in it: nobody observes them.
func ViewOf(all []inventory.Objects) View {
	var v View
	for i := range all {
		o := &all[i]
		c := Cluster{
			Name: o.Name, Since: o.Since, TrustDomain: cmp.Or(o.Spec.TrustDomain, o.Info.TrustDomain), Region: o.Spec.Region, Labels: o.Spec.Labels, Network: o.Spec.Labels[labelNetwork],
			Namespaces: o.Namespaces, Nodes: o.Nodes, Workloads: o.Workloads, Instances: o.Instances,
		}
		for _, h := range o.Hosts {
			if !ours(h.Name) {
				c.Hosts = append(c.Hosts, h)
			}
		}
		switch o.State {
		case inventory.ClusterDark:
			c.State = Dark
		case inventory.ClusterDetached:
			c.State = Detached
		}
		for _, ns := range o.Namespaces {
			if n := ns.Labels[labelNetwork]; ns.Name == "istio-system" && n != "" {
				c.Network = n
			}
		}
		v.Clusters = append(v.Clusters, c)
	}
	return v
}

// ours reports whether a Service object has the name of one that mesh/istio writes for a version: it is a part of a service, and none of its own.
func ours(name string) bool {
	return strings.HasPrefix(name, "evenkeel-") && strings.Contains(name, "--")
}

// Inventory returns the view as membership is decided by: its services are the hosts.
func (v *View) Inventory() member.Inventory {
	var out member.Inventory
	for i := range v.Clusters {
		c := &v.Clusters[i]
		if c.State == Detached {
			continue
		}
		mc := member.Cluster{Name: c.Name, Labels: c.Labels}
		workloads := map[string][]*inventory.Workload{}
		for j := range c.Workloads {
			w := &c.Workloads[j]
			workloads[w.Namespace] = append(workloads[w.Namespace], w)
		}
		for _, ns := range c.Namespaces {
			n := member.Namespace{Name: ns.Name, Labels: ns.Labels, Author: ns.Author}
			for j := range c.Hosts {
				if h := &c.Hosts[j]; h.Namespace == ns.Name {
					n.Services = append(n.Services, member.Service{Name: h.Name, Labels: shared(h, workloads[ns.Name])})
				}
			}
			mc.Namespaces = append(mc.Namespaces, n)
		}
		out.Clusters = append(out.Clusters, mc)
	}
	return out
}

// shared returns the labels that all workloads behind a host have.
func shared(h *inventory.Host, workloads []*inventory.Workload) map[string]string {
	var out map[string]string
	for _, w := range workloads {
		switch {
		case len(h.Selector) == 0 || !Selects(h.Selector, w.Labels):
		case out == nil:
			out = maps.Clone(w.Labels)
		default:
			maps.DeleteFunc(out, func(k, v string) bool { return w.Labels[k] != v })
		}
	}
	return out
}

// Locality returns where an instance is, as far as is known.
func (c *Cluster) Locality(i *inventory.Instance) (region, zone string) {
	for j := range c.Nodes {
		if n := &c.Nodes[j]; n.Name == i.Node && n.Name != "" {
			return cmp.Or(n.Region, c.Region), n.Zone
		}
	}
	return c.Region, ""
}

// Reaches reports whether callers in one cluster reach instances in another without a gateway.
func (c *Cluster) Reaches(o *Cluster) bool { return c.Name == o.Name || c.Network == o.Network }

// DropAfter is how long what was last known of a dark cluster is answered and compiled.
const DropAfter = 2 * time.Minute

// Lost reports whether a cluster has been dark for so long that others do not call it any more. It calls itself for as long as it likes.
func (c *Cluster) Lost(now bus.Time, after time.Duration) bool {
	return c.State == Detached || c.State == Dark && now.Std().Sub(c.Since.Std()) > after
}

// Ready reports whether an instance may be called: it runs, passes its checks and has an address.
func Ready(i *inventory.Instance) bool {
	if i.Done || i.State != inventory.StateHealthy {
		return false
	}
	_, err := netip.ParseAddr(i.IP)
	return err == nil
}

// A Service is one name of a global namespace.
type Service struct {
	GlobalNamespace string
	Domain          string
	Name            string
	Sites           []Site // by cluster, namespace
}

// A Site is one host of a service with its instances, ready or not.
type Site struct {
	Cluster   *Cluster
	Host      *inventory.Host
	Instances []*inventory.Instance
}

// Hostname returns <service>.<domain>.
func (s *Service) Hostname() string { return s.Name + "." + s.Domain }

// Ports returns the ports under which the service is called anywhere, by number. Where sites differ about the name or protocol of one, the first says.
func (s *Service) Ports() []inventory.Port {
	var out []inventory.Port
	for _, site := range s.Sites {
		for _, p := range site.Host.Ports {
			if !slices.ContainsFunc(out, func(o inventory.Port) bool { return o.Port == p.Port }) {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b inventory.Port) int { return cmp.Compare(a.Port, b.Port) })
	return out
}

// Services returns the services of all global namespaces, by global namespace and name. The view must live as long as they do.
func Services(gs []member.GlobalNamespace, m *member.Membership, v *View) []Service {
	domains := map[string]string{}
	for i := range gs {
		domains[gs[i].Name] = gs[i].Domain
	}
	type key struct{ gns, name string }
	found := map[key]*Service{}
	for i := range v.Clusters {
		c := &v.Clusters[i]
		if c.State == Detached {
			continue
		}
		instances := c.instances()
		for j := range c.Hosts {
			h := &c.Hosts[j]
			gns := m.Of(member.Place{Cluster: c.Name, Namespace: h.Namespace, Service: h.Name})
			if domains[gns] == "" {
				continue
			}
			s := found[key{gns, h.Name}]
			if s == nil {
				s = &Service{GlobalNamespace: gns, Domain: domains[gns], Name: h.Name}
				found[key{gns, h.Name}] = s
			}
			s.Sites = append(s.Sites, Site{c, h, behind(h, instances[h.Namespace])})
		}
	}
	var out []Service
	for _, s := range found {
		slices.SortFunc(s.Sites, func(a, b Site) int {
			return cmp.Or(strings.Compare(a.Cluster.Name, b.Cluster.Name), strings.Compare(a.Host.Namespace, b.Host.Namespace))
		})
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Service) int {
		return cmp.Or(strings.Compare(a.GlobalNamespace, b.GlobalNamespace), strings.Compare(a.Name, b.Name))
	})
	return out
}

// instances returns those that may run, by namespace.
func (c *Cluster) instances() map[string][]*inventory.Instance {
	out := map[string][]*inventory.Instance{}
	for i := range c.Instances {
		if x := &c.Instances[i]; !x.Done {
			out[x.Namespace] = append(out[x.Namespace], x)
		}
	}
	return out
}

// behind returns the instances of its namespace that a host selects, by name.
func behind(h *inventory.Host, instances []*inventory.Instance) []*inventory.Instance {
	if len(h.Selector) == 0 {
		return nil
	}
	var out []*inventory.Instance
	for _, x := range instances {
		if Selects(h.Selector, x.Labels) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b *inventory.Instance) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Selects reports whether labels have all that a selector asks for.
func Selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
