// Package discovery knows what stands behind <service>.<domain> of a global namespace, and answers DNS questions about it. It is pure: who serves DNS asks [Table.Resolve], and mesh/istio
// compiles the same [Service]s into objects.
//
// A service of a global namespace is what has its name: the Service objects (hosts) of that name in all of its member namespaces of all of its clusters, joined. Instances
// are those that a host's selector picks. docs/routing.md says what is answered to whom.
package discovery

import (
	"cmp"
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

// Inventory returns the view as membership is decided by: its services are the hosts.
func (v *View) Inventory() member.Inventory {
	var out member.Inventory
	for i := range v.Clusters {
		c := &v.Clusters[i]
		if c.State == Detached {
			continue
		}
		mc := member.Cluster{Name: c.Name, Labels: c.Labels}
		for _, ns := range c.Namespaces {
			n := member.Namespace{Name: ns.Name, Labels: ns.Labels, Author: ns.Author}
			for j := range c.Hosts {
				if h := &c.Hosts[j]; h.Namespace == ns.Name {
					n.Services = append(n.Services, member.Service{Name: h.Name})
				}
			}
			mc.Namespaces = append(mc.Namespaces, n)
		}
		out.Clusters = append(out.Clusters, mc)
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
			s.Sites = append(s.Sites, Site{c, h, c.behind(h)})
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

// behind returns the instances that a host selects, by name.
func (c *Cluster) behind(h *inventory.Host) []*inventory.Instance {
	if len(h.Selector) == 0 {
		return nil
	}
	var out []*inventory.Instance
	for i := range c.Instances {
		x := &c.Instances[i]
		if x.Namespace == h.Namespace && !x.Done && selects(h.Selector, x.Labels) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b *inventory.Instance) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
