package istio

import (
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
	"evenkeel.dev/mesh/traffic"
)

const securityVersion = "security.istio.io/v1"

// peerAuthentications writes how members take calls. Where disable is not known to the data plane, it becomes PERMISSIVE.
func (b *builder) peerAuthentications(s *space, disable bool) {
	mode := func(cluster, subject, m string) string {
		if m == traffic.Disabled && !disable {
			b.warn(s, cluster, subject, "DisabledNotPossible", "ambient mode encrypts between its members whatever is said; Disabled is Permissive here")
			m = traffic.Permissive
		}
		return istioMode(m)
	}
	for _, p := range s.presences {
		c := p.cluster.Name
		for _, ns := range p.namespaces {
			whole := slices.Contains(p.whole, ns)
			base, _ := s.enc.At(member.Place{Cluster: c, Namespace: ns}, 0, b.in.Now)
			if whole {
				b.add(s, c, s.enc.Mode, securityVersion, "PeerAuthentication", ns, name(s.g.Name), "spec", fields("mtls", fields("mode", mode(c, ns, base))))
			}
			for _, g := range b.groups(s, p, ns) {
				own, ports := b.workload(s, c, &g)
				if whole && own == base && len(ports) == 0 {
					continue
				}
				levels := fields()
				for _, port := range ports {
					levels.Fields = append(levels.Fields, mesh.Entry(strconv.Itoa(port.number), fields("mode", mode(c, g.hosts[0].Name, port.mode))))
				}
				spec := fields("selector", fields("matchLabels", g.selector), "mtls", fields("mode", mode(c, g.hosts[0].Name, own)))
				if len(ports) > 0 {
					spec.Fields = append(spec.Fields, mesh.Entry("portLevelMtls", levels))
				}
				b.add(s, c, s.enc.Mode, securityVersion, "PeerAuthentication", ns, name(s.g.Name, g.hosts[0].Name), "spec", spec)
			}
		}
		b.unselected(s, p)
	}
}

// unselected tells of exceptions for services whose workloads nobody can name.
func (b *builder) unselected(s *space, p *presence) {
	for i := range p.cluster.Hosts {
		h := &p.cluster.Hosts[i]
		if len(h.Selector) > 0 || b.m.Of(place(p.cluster, h)) != s.g.Name {
			continue
		}
		if _, x := s.enc.At(place(p.cluster, h), 0, b.in.Now); x != nil && x.Service != "" {
			b.warn(s, p.cluster.Name, h.Name, "NoSelector", "the service has no selector: an exception for it cannot be written")
		}
	}
}

type portMode struct {
	number int
	mode   string
}

// workload returns the mode of the workloads behind hosts, and ports that differ from it. Where hosts of the same workloads differ, what lets more through counts: to
// refuse calls that an exception lets through would be worse than to take some that it does not.
func (b *builder) workload(s *space, cluster string, g *group) (string, []portMode) {
	rank := []string{traffic.Strict, traffic.Permissive, traffic.Disabled}
	at := func(port int) string {
		most := ""
		for _, h := range g.hosts {
			m, _ := s.enc.At(member.Place{Cluster: cluster, Namespace: h.Namespace, Service: h.Name}, port, b.in.Now)
			if most != "" && m != most {
				b.warn(s, cluster, h.Name, "SelectorShared", "its workloads are those of %s, too, for which something else is said", g.hosts[0].Name)
			}
			if most == "" || slices.Index(rank, m) > slices.Index(rank, most) {
				most = m
			}
		}
		return most
	}
	own := at(0)
	var numbers []int
	for i := range s.enc.Exceptions {
		if x := &s.enc.Exceptions[i]; x.Port != 0 {
			numbers = append(numbers, x.Port)
		}
	}
	slices.Sort(numbers)
	var ports []portMode
	for _, n := range slices.Compact(numbers) {
		if m := at(n); m != own {
			ports = append(ports, portMode{n, m})
		}
	}
	return own, ports
}

// isolations writes who may not call members, where others have the same trust domain.
func (b *builder) isolations(s *space) {
	for _, p := range s.presences {
		c := p.cluster.Name
		if p.isolation.Setup != SetupShared {
			continue
		}
		if s.enc.Inside != traffic.Strict {
			b.warn(s, c, "", "IsolationWithoutStrict", "others are told by their identity, and a caller without mTLS has none: only with inside.mode Strict nobody else gets in")
		}
		spec := func(selector map[string]string) *mesh.Node {
			source := fields("principals", []string{"*"}, "notPrincipals", b.principals(s, p))
			out := fields("action", "DENY", "rules", []*mesh.Node{fields("from", []*mesh.Node{fields("source", source)})})
			if selector != nil {
				out.Fields = append([]mesh.Field{mesh.Entry("selector", fields("matchLabels", selector))}, out.Fields...)
			}
			return out
		}
		for _, ns := range p.whole {
			b.add(s, c, s.enc.Mode, securityVersion, "AuthorizationPolicy", ns, name(s.g.Name), "spec", spec(nil))
		}
		for _, ns := range p.namespaces {
			if slices.Contains(p.whole, ns) {
				continue
			}
			for _, g := range b.groups(s, p, ns) {
				b.add(s, c, s.enc.Mode, securityVersion, "AuthorizationPolicy", ns, name(s.g.Name, g.hosts[0].Name), "spec", spec(g.selector))
			}
		}
	}
}

// principals lists who may call members: the members of all clusters, and gateways of this one.
func (b *builder) principals(s *space, here *presence) []string {
	var out []string
	for _, ns := range b.gateways {
		out = append(out, here.isolation.TrustDomain+"/ns/"+ns+"/*")
	}
	for _, p := range s.presences {
		domain := p.isolation.TrustDomain
		for _, ns := range p.namespaces {
			if slices.Contains(p.whole, ns) {
				out = append(out, domain+"/ns/"+ns+"/*")
				b.ambiguous(s, here, p, ns)
				continue
			}
			for _, account := range b.accounts(s, p, ns) {
				out = append(out, domain+"/ns/"+ns+"/sa/"+account)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ambiguous tells of a namespace that is a member in one cluster, and another's with the same name and trust domain: to Istio they are one. A trust domain that is not known may
// be any.
func (b *builder) ambiguous(s *space, here, p *presence, ns string) {
	for i := range b.in.View.Clusters {
		c := &b.in.View.Clusters[i]
		there := slices.ContainsFunc(c.Namespaces, named(ns))
		same := c.TrustDomain == p.cluster.TrustDomain || c.TrustDomain == "" || p.cluster.TrustDomain == ""
		if c == p.cluster || !there || !same || b.isMember(s, c.Name, ns) {
			continue
		}
		b.warn(s, here.cluster.Name, ns, "NamespaceAmbiguous", "namespace %s is a member in %s and not in %s, and both have the same trust domain, or it is not known: who is in that one may call as well, where its CA is believed", ns, p.cluster.Name, c.Name)
	}
}

// accounts lists the service accounts of members in a namespace that is no member itself.
func (b *builder) accounts(s *space, p *presence, ns string) []string {
	var mine, others []string
	for i := range p.cluster.Instances {
		x := &p.cluster.Instances[i]
		if x.Namespace != ns || x.Account == "" {
			continue
		}
		if b.behindMember(s, p, x.Labels, ns) {
			mine = append(mine, x.Account)
		} else {
			others = append(others, x.Account)
		}
	}
	slices.Sort(mine)
	mine = slices.Compact(mine)
	for _, a := range mine {
		if slices.Contains(others, a) {
			b.warn(s, p.cluster.Name, ns, "AccountShared", "service account %s of namespace %s is used by members and by others, who may call as well", a, ns)
		}
	}
	if len(mine) == 0 {
		b.warn(s, p.cluster.Name, ns, "NoAccount", "no service account of the members in namespace %s is known (%s): they are refused by other members until one is", ns, strings.Join(partNames(p, ns), ", "))
	}
	return mine
}

func partNames(p *presence, ns string) []string {
	var out []string
	for _, h := range p.parts {
		if h.Namespace == ns {
			out = append(out, h.Name)
		}
	}
	return out
}

// behindMember reports whether labels are picked by a host that is a member.
func (b *builder) behindMember(s *space, p *presence, labels map[string]string, ns string) bool {
	return slices.ContainsFunc(b.groups(s, p, ns), func(g group) bool {
		for k, v := range g.selector {
			if labels[k] != v {
				return false
			}
		}
		return true
	})
}
