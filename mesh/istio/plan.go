package istio

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/discovery"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
	"evenkeel.dev/mesh/spiffe"
	"evenkeel.dev/mesh/traffic"
)

// A plan is an input, joined.
type plan struct {
	in       *Input
	m        member.Membership
	spaces   []*space
	within   map[string][]string // global namespaces by cluster
	gateways []string
}

// A space is one global namespace with all that is said of it.
type space struct {
	g         *member.GlobalNamespace
	enc       traffic.Encryption
	routes    map[string]*traffic.Routing
	services  []discovery.Service
	presences []*presence
}

// A presence is what one cluster has of a global namespace.
type presence struct {
	cluster    *discovery.Cluster
	namespaces []string          // that hold members, sorted
	whole      []string          // of these, those that are members themselves
	parts      []*inventory.Host // members in the others
	isolation  Isolation
}

func newPlan(in *Input) *plan {
	inv := in.View.Inventory()
	p := &plan{in: in, m: member.MembersOf(in.GlobalNamespaces, inv), within: map[string][]string{}, gateways: in.Gateways}
	if len(p.gateways) == 0 {
		p.gateways = []string{systemNamespace, "istio-ingress"}
	}
	services := discovery.Services(in.GlobalNamespaces, &p.m, &in.View)
	for i := range in.GlobalNamespaces {
		s := &space{g: &in.GlobalNamespaces[i], routes: map[string]*traffic.Routing{}}
		s.enc = p.encryption(s.g)
		for j := range in.Routing {
			if r := &in.Routing[j]; r.GlobalNamespace == s.g.Name {
				s.routes[r.Service] = r
			}
		}
		for _, x := range services {
			if x.GlobalNamespace == s.g.Name {
				s.services = append(s.services, x)
			}
		}
		p.spaces = append(p.spaces, s)
		p.presences(s)
	}
	slices.SortFunc(p.spaces, func(a, b *space) int { return strings.Compare(a.g.Name, b.g.Name) })
	for _, names := range p.within {
		slices.Sort(names)
	}
	for _, s := range p.spaces {
		for _, pr := range s.presences {
			pr.isolation = p.isolation(s, pr)
		}
	}
	return p
}

// encryption returns the policy of a global namespace, or what it says itself where it has none. That is only shown, since nobody has written that it may act.
func (p *plan) encryption(g *member.GlobalNamespace) traffic.Encryption {
	for i := range p.in.Encryption {
		if e := &p.in.Encryption[i]; e.GlobalNamespace == g.Name {
			return *e
		}
	}
	return traffic.Encryption{GlobalNamespace: g.Name, Mode: traffic.Observe, Inside: cmp.Or(g.MTLS, traffic.Permissive)}
}

// presences finds the clusters that have members of a global namespace.
func (p *plan) presences(s *space) {
	for i := range p.in.View.Clusters {
		c := &p.in.View.Clusters[i]
		pr := &presence{cluster: c}
		for _, ns := range c.Namespaces {
			if p.m.Of(member.Place{Cluster: c.Name, Namespace: ns.Name}) == s.g.Name {
				pr.whole = append(pr.whole, ns.Name)
			}
		}
		pr.namespaces = slices.Clone(pr.whole)
		for j := range c.Hosts {
			h := &c.Hosts[j]
			if !slices.Contains(pr.whole, h.Namespace) && p.m.Of(member.Place{Cluster: c.Name, Namespace: h.Namespace, Service: h.Name}) == s.g.Name {
				pr.parts = append(pr.parts, h)
				pr.namespaces = append(pr.namespaces, h.Namespace)
			}
		}
		if len(pr.namespaces) == 0 || c.State == discovery.Detached {
			continue
		}
		slices.Sort(pr.whole)
		slices.Sort(pr.namespaces)
		pr.namespaces = slices.Compact(pr.namespaces)
		slices.SortFunc(pr.parts, func(a, b *inventory.Host) int {
			return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
		})
		s.presences = append(s.presences, pr)
		p.within[c.Name] = append(p.within[c.Name], s.g.Name)
	}
	slices.SortFunc(s.presences, func(a, b *presence) int { return strings.Compare(a.cluster.Name, b.cluster.Name) })
}

// Set-ups of an [Isolation].
const (
	SetupOwn    = "OwnTrustDomain"      // others have another trust domain, and no chain of theirs is believed
	SetupShared = "AuthorizationPolicy" // others have the same trust domain, and are refused by their names
)

// Reasons of an [Isolation].
const (
	ReasonAlone              = "Alone"                   // the cluster's mesh has the trust domain of the global namespace, and all in it are members
	ReasonSeveral            = "SeveralGlobalNamespaces" // the cluster's mesh has one trust domain for all of them
	ReasonForeignNamespaces  = "ForeignNamespaces"       // there are namespaces in the cluster that are no members and get the same trust domain
	ReasonOtherTrustDomain   = "OtherTrustDomain"        // the cluster's mesh has not the trust domain of the global namespace
	ReasonUnknownTrustDomain = "UnknownTrustDomain"      // which one it has is not known
)

// An Isolation says how a global namespace is kept apart from others in one cluster.
type Isolation struct {
	GlobalNamespace string `json:"globalNamespace"`
	Cluster         string `json:"cluster"`
	Setup           string `json:"setup"`
	TrustDomain     string `json:"trustDomain"` // that its members have there
	Reason          string `json:"reason"`
	Why             string `json:"why"` // for people
}

// Explain says for each global namespace and cluster which of both set-ups it has, and why, by global namespace and cluster.
func Explain(in *Input) []Isolation {
	out := []Isolation{}
	for _, s := range newPlan(in).spaces {
		for _, p := range s.presences {
			out = append(out, p.isolation)
		}
	}
	return out
}

// unknownDomain is what Istio's policies take for the mesh's own trust domain, whatever that is.
const unknownDomain = "cluster.local"

func (p *plan) isolation(s *space, pr *presence) Isolation {
	c := pr.cluster
	own := ""
	if d, err := spiffe.Of(s.g.Domain); err == nil {
		own = d.String()
	}
	out := Isolation{GlobalNamespace: s.g.Name, Cluster: c.Name, Setup: SetupShared, TrustDomain: cmp.Or(c.TrustDomain, unknownDomain)}
	foreign := p.foreign(s, pr)
	switch {
	case len(p.within[c.Name]) > 1:
		out.Reason, out.Why = ReasonSeveral, fmt.Sprintf("the cluster serves %s, and its mesh has one trust domain", strings.Join(p.within[c.Name], " and "))
	case c.TrustDomain == "":
		out.Reason, out.Why = ReasonUnknownTrustDomain, "the trust domain of the cluster's mesh is not known"
	case c.TrustDomain != own:
		out.Reason, out.Why = ReasonOtherTrustDomain, fmt.Sprintf("the cluster's mesh has the trust domain %s; with meshConfig.trustDomain %s and its cacerts the global namespace would have its own", c.TrustDomain, own)
	case len(foreign) > 0:
		out.Reason, out.Why = ReasonForeignNamespaces, fmt.Sprintf("%d namespaces of the cluster are no members and get the same trust domain, for example %s", len(foreign), foreign[0])
	default:
		out.Setup, out.Reason, out.Why = SetupOwn, ReasonAlone, "the cluster's mesh has the trust domain of the global namespace, and all of its namespaces are members"
	}
	return out
}

// foreign lists the namespaces of a cluster whose workloads are no members: those of the system and of gateways aside.
func (p *plan) foreign(s *space, pr *presence) []string {
	var out []string
	for _, ns := range pr.cluster.Namespaces {
		system := strings.HasPrefix(ns.Name, "kube-") || ns.Name == systemNamespace || ns.Name == "istio-cni" || slices.Contains(p.gateways, ns.Name)
		if !system && !slices.Contains(pr.whole, ns.Name) {
			out = append(out, ns.Name)
		}
	}
	slices.Sort(out)
	return out
}

// istioMode returns the word of Istio for a mode.
func istioMode(mode string) string {
	return map[string]string{traffic.Strict: "STRICT", traffic.Permissive: "PERMISSIVE", traffic.Disabled: "DISABLE"}[mode]
}

// rank orders modes by how much they let be done.
func rank(mode string) int {
	return slices.Index([]string{traffic.Observe, traffic.Approve, traffic.Automatic}, mode)
}

// place returns where a host is.
func place(c *discovery.Cluster, h *inventory.Host) member.Place {
	return member.Place{Cluster: c.Name, Namespace: h.Namespace, Service: h.Name}
}

// A group is the hosts of a namespace with one selector: to Istio they are the same workloads.
type group struct {
	hosts    []*inventory.Host
	selector map[string]string
}

// groups returns those of the members in a namespace, by the name of their first host. Hosts without a selector are in none.
func (p *plan) groups(s *space, pr *presence, namespace string) []group {
	var out []group
	hosts := []*inventory.Host{}
	for i := range pr.cluster.Hosts {
		if h := &pr.cluster.Hosts[i]; h.Namespace == namespace && len(h.Selector) > 0 && p.m.Of(place(pr.cluster, h)) == s.g.Name {
			hosts = append(hosts, h)
		}
	}
	slices.SortFunc(hosts, func(a, b *inventory.Host) int { return strings.Compare(a.Name, b.Name) })
	at := map[string]int{}
	for _, h := range hosts {
		key := string(mesh.Entries(h.Selector).AppendJSON(nil))
		if i, ok := at[key]; ok {
			out[i].hosts = append(out[i].hosts, h)
			continue
		}
		at[key] = len(out)
		out = append(out, group{[]*inventory.Host{h}, h.Selector})
	}
	return out
}
