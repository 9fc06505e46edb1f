package member

import (
	"slices"
	"strings"
)

// Kinds of resources that a [Group] may hold.
const (
	KindService = "Service"
	KindCluster = "Cluster"
	KindNode    = "Node"
)

// Bounds of the rules of a group.
const (
	MaxDepth = 8   // of rules in rules, the outermost being 1
	MaxRules = 256 // matches and rules together
)

// A Group is a ResourceGroup, compiled.
type Group struct {
	Name            string `json:"name"`
	GlobalNamespace string `json:"globalNamespace,omitempty"` // only its members; "" is the whole organisation
	Kind            string `json:"kind"`
	Rules           Rules  `json:"rules"`
}

// How [Rules] join what they hold.
const (
	And = "AND"
	Or  = "OR"
)

// Rules hold when all of their matches and rules do (AND), or one of them (OR). Empty rules hold for nothing.
type Rules struct {
	Fn    string  `json:"fn"`
	Match []Match `json:"match,omitempty"`
	Rules []Rules `json:"rules,omitempty"`
}

// Types of a [Match]: what it looks at.
const (
	TypeName            = "Name"
	TypeCluster         = "Cluster"
	TypeNamespace       = "Namespace"
	TypeGlobalNamespace = "GlobalNamespace"
	TypeVersion         = "Version"
	TypeLabel           = "Label"
)

// Further ways of comparing, beside [Exact], [StartsWith] and, of labels, [Exists].
const (
	EndsWith = "EndsWith"
	Contains = "Contains"
)

// A Match is a condition on one property of a resource.
type Match struct {
	Type  string `json:"type"`
	Key   string `json:"key,omitempty"` // of a label
	Fn    string `json:"fn"`
	Value string `json:"value,omitempty"`
}

// A Resource is what rules look at.
type Resource struct {
	Kind             string            `json:"kind"`
	Name             string            `json:"name"`
	Cluster          string            `json:"cluster,omitempty"`
	Namespace        string            `json:"namespace,omitempty"`
	GlobalNamespaces []string          `json:"globalNamespaces,omitempty"` // a service has one at most; a cluster and a node those of the members in it
	Versions         []string          `json:"versions,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
}

// TypesOf returns what a group of a kind may look at.
func TypesOf(kind string) []string {
	switch kind {
	case KindService:
		return []string{TypeName, TypeCluster, TypeNamespace, TypeGlobalNamespace, TypeVersion, TypeLabel}
	case KindCluster:
		return []string{TypeName, TypeGlobalNamespace, TypeVersion, TypeLabel}
	case KindNode:
		return []string{TypeName, TypeCluster, TypeGlobalNamespace, TypeVersion, TypeLabel}
	}
	return nil
}

// Size returns how many matches and rules there are, and how deep they nest. It looks no further than the bounds.
func (r *Rules) Size() (count, depth int) {
	count = 1
	return count, r.measure(&count, 1)
}

// measure counts what is in r and returns how deep it reaches.
func (r *Rules) measure(count *int, level int) int {
	*count += len(r.Match)
	deepest := level
	if level > MaxDepth {
		return deepest
	}
	for i := range r.Rules {
		if *count++; *count > MaxRules {
			return deepest
		}
		deepest = max(deepest, r.Rules[i].measure(count, level+1))
	}
	return deepest
}

// Holds evaluates the rules. Rules deeper than [MaxDepth] hold for nothing.
func (r *Rules) Holds(x *Resource) bool { return r.holds(x, 1) }

func (r *Rules) holds(x *Resource, level int) bool {
	if level > MaxDepth || len(r.Match)+len(r.Rules) == 0 || r.Fn != And && r.Fn != Or {
		return false
	}
	decides := r.Fn == Or // the value of one part that decides for all
	for i := range r.Match {
		if r.Match[i].holds(x) == decides {
			return decides
		}
	}
	for i := range r.Rules {
		if r.Rules[i].holds(x, level+1) == decides {
			return decides
		}
	}
	return !decides
}

func (m *Match) holds(x *Resource) bool {
	if !slices.Contains(TypesOf(x.Kind), m.Type) {
		return false
	}
	switch m.Type {
	case TypeName:
		return m.fits(x.Name)
	case TypeCluster:
		return m.fits(x.Cluster)
	case TypeNamespace:
		return m.fits(x.Namespace)
	case TypeGlobalNamespace:
		return slices.ContainsFunc(x.GlobalNamespaces, m.fits)
	case TypeVersion:
		return slices.ContainsFunc(x.Versions, m.fits)
	}
	v, ok := x.Labels[m.Key]
	return ok && (m.Fn == Exists || m.fits(v))
}

func (m *Match) fits(s string) bool {
	switch m.Fn {
	case Exact:
		return s == m.Value
	case StartsWith:
		return strings.HasPrefix(s, m.Value)
	case EndsWith:
		return strings.HasSuffix(s, m.Value)
	case Contains:
		return strings.Contains(s, m.Value)
	}
	return false
}

// Of returns the resources of an inventory that are in the group, in order of cluster, namespace and name.
func (g *Group) Of(inv Inventory, m *Membership) []Resource {
	out := []Resource{}
	for _, x := range resources(g.Kind, inv, m) {
		if g.Admits(&x) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b Resource) int { return a.Compare(&b) })
	return out
}

// resources lists what there is of a kind.
func resources(kind string, inv Inventory, m *Membership) []Resource {
	if kind == KindService {
		return services(inv, m)
	}
	var out []Resource
	for i := range inv.Clusters {
		c := &inv.Clusters[i]
		gns := m.in(c)
		if kind == KindCluster {
			out = append(out, Resource{Kind: kind, Name: c.Name, GlobalNamespaces: gns, Versions: one(c.Version), Labels: c.Labels})
			continue
		}
		for _, n := range c.Nodes {
			out = append(out, Resource{Kind: kind, Name: n.Name, Cluster: c.Name, GlobalNamespaces: gns, Versions: one(n.Version), Labels: n.Labels})
		}
	}
	return out
}

func services(inv Inventory, m *Membership) []Resource {
	var out []Resource
	for _, s := range inv.sites() {
		if s.service == nil {
			continue
		}
		out = append(out, Resource{
			Kind: KindService, Name: s.service.Name, Cluster: s.cluster.Name, Namespace: s.namespace.Name,
			GlobalNamespaces: one(m.Of(s.place())), Versions: s.service.Versions, Labels: s.service.Labels,
		})
	}
	return out
}

// in returns the global namespaces that have a member in a cluster, sorted.
func (m *Membership) in(c *Cluster) []string {
	var out []string
	for i := range c.Namespaces {
		ns := &c.Namespaces[i]
		out = append(out, one(m.Of(Place{Cluster: c.Name, Namespace: ns.Name}))...)
		for j := range ns.Services {
			out = append(out, one(m.Of(Place{Cluster: c.Name, Namespace: ns.Name, Service: ns.Services[j].Name}))...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// one returns a list of one, or none where there is nothing.
func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
