package member

import (
	"cmp"
	"slices"
	"strings"
)

// An Inventory is what there is.
type Inventory struct {
	Clusters []Cluster `json:"clusters"`
}

// A Cluster is one Kubernetes cluster.
type Cluster struct {
	Name       string            `json:"name"`
	Labels     map[string]string `json:"labels"`
	Version    string            `json:"version"` // of Kubernetes
	Namespaces []Namespace       `json:"namespaces"`
	Nodes      []Node            `json:"nodes"`
}

// A Namespace is a namespace of a cluster.
type Namespace struct {
	Name     string            `json:"name"`
	Labels   map[string]string `json:"labels"`
	Author   string            `json:"author"` // who made it, as the cluster says; "" where that is not known
	Services []Service         `json:"services"`
}

// A Service is a service in a namespace.
type Service struct {
	Name     string            `json:"name"`
	Labels   map[string]string `json:"labels"`
	Versions []string          `json:"versions"`
}

// A Node is a node of a cluster.
type Node struct {
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels"`
	Version string            `json:"version"` // of its kubelet
}

// A Place is a namespace of a cluster, or a service in one.
type Place struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	Service   string `json:"service,omitempty"`
}

// Compare orders places by cluster, namespace and service; a namespace stands before its services.
func (p Place) Compare(o Place) int {
	return cmp.Or(strings.Compare(p.Cluster, o.Cluster), strings.Compare(p.Namespace, o.Namespace), strings.Compare(p.Service, o.Service))
}

// A site is a place with all that conditions look at.
type site struct {
	cluster   *Cluster
	namespace *Namespace
	service   *Service // nil: the namespace itself
}

func (s *site) place() Place {
	p := Place{Cluster: s.cluster.Name, Namespace: s.namespace.Name}
	if s.service != nil {
		p.Service = s.service.Name
	}
	return p
}

// sites returns all places of an inventory, in order.
func (inv *Inventory) sites() []site {
	var out []site
	for i := range inv.Clusters {
		c := &inv.Clusters[i]
		for j := range c.Namespaces {
			ns := &c.Namespaces[j]
			out = append(out, site{c, ns, nil})
			for k := range ns.Services {
				out = append(out, site{c, ns, &ns.Services[k]})
			}
		}
	}
	slices.SortFunc(out, func(a, b site) int { return a.place().Compare(b.place()) })
	return out
}
