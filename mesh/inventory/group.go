package inventory

import (
	"maps"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// resources returns all that groups may hold, in order.
func (s *Stage) resources() []member.Resource {
	var out []member.Resource
	for _, name := range s.clusterNames() {
		c := s.clusters[name]
		gns := c.globalNamespaces()
		m := c.member()
		out = append(out, member.Resource{Kind: member.KindCluster, Name: name, GlobalNamespaces: gns, Versions: one(c.info.Version), Labels: m.Labels})
		for _, n := range inOrder(c.nodes) {
			out = append(out, member.Resource{Kind: member.KindNode, Name: n.Name, Cluster: name, GlobalNamespaces: gns, Versions: one(n.Version), Labels: n.Labels})
		}
		for _, p := range sortedPlaces(c.services) {
			if svc := c.services[p]; svc.told != nil {
				v := svc.member()
				out = append(out, member.Resource{
					Kind: member.KindService, Name: p.name, Cluster: name, Namespace: p.namespace, GlobalNamespaces: one(svc.gns), Versions: v.Versions, Labels: v.Labels,
				})
			}
		}
	}
	for _, r := range sortedRefs(s.externals) {
		x, e := s.externals[r], s.outside[r]
		res := member.Resource{Kind: member.KindService, Name: x.Name, Namespace: x.Namespace, Labels: x.Labels}
		if e != nil {
			res.GlobalNamespaces = one(e.GlobalNamespace)
			for _, v := range e.Versions {
				res.Versions = append(res.Versions, v.Name)
			}
		}
		out = append(out, res)
	}
	slices.SortFunc(out, func(a, b member.Resource) int { return a.Compare(&b) })
	return out
}

// globalNamespaces returns those that have a member in the cluster, sorted.
func (c *cluster) globalNamespaces() []string {
	set := map[string]bool{}
	for _, g := range c.homes {
		set[g] = true
	}
	for _, svc := range c.services {
		if svc.told != nil {
			set[svc.gns] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// tellGroups tells of each group whose content is no more what it was.
func (s *Stage) tellGroups() {
	if len(s.groups)+len(s.contents) == 0 {
		return
	}
	all := s.resources()
	for _, r := range sortedRefs(s.contents) {
		if _, ok := s.groups[r]; !ok {
			delete(s.contents, r)
		}
	}
	for _, r := range sortedRefs(s.groups) {
		g := s.groups[r]
		now := []GroupResource{}
		for i := range all {
			if x := &all[i]; g.Admits(x) {
				now = append(now, GroupResource{x.Cluster, x.Namespace, x.Name})
			}
		}
		was, told := s.contents[r]
		s.contents[r] = now
		if told && slices.Equal(was, now) {
			continue
		}
		s.tellGroup(r, &g, was, now)
	}
}

func (s *Stage) tellGroup(r mesh.Ref, g *member.Group, was, now []GroupResource) {
	e := GroupEvent{GlobalNamespace: g.GlobalNamespace, Group: g.Name, Kind: g.Kind, Count: len(now), Joined: missing(now, was), Left: missing(was, now)}
	if e.GlobalNamespace == "" {
		e.GlobalNamespace = Organisation
	}
	s.event(EventGroup, e, e.GlobalNamespace, r.Name)
}

// missing returns what is in a and not in b, the first hundred.
func missing(a, b []GroupResource) []GroupResource {
	has := map[GroupResource]bool{}
	for _, x := range b {
		has[x] = true
	}
	var out []GroupResource
	for _, x := range a {
		if !has[x] && len(out) < namedMax {
			out = append(out, x)
		}
	}
	return out
}

func (x GroupResource) String() string {
	return strings.Trim(strings.Join([]string{x.Cluster, x.Namespace, x.Name}, "/"), "/")
}
