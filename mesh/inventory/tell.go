package inventory

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/member"
)

// event drafts a public event. The names are those of its subject, the global namespace first.
func (s *Stage) event(typ string, data any, names ...string) {
	b, err := json.Marshal(data)
	if err != nil {
		return // plain structs: it cannot be
	}
	kind := strings.TrimSuffix(strings.TrimPrefix(typ, "dev.evenkeel.mesh."), ".v1")
	s.out = append(s.out, bus.Draft{
		Subject: bus.EventSubject("mesh", kind, names...), To: bus.All, Data: b,
		Event: &bus.Event{Type: typ, Subject: strings.Join(names, "/"), Time: s.now},
	})
}

func (s *Stage) tellNode(c *cluster, n, old *Node) {
	action := ActionCreated
	if old != nil {
		if old.Ready == n.Ready && old.Reason == n.Reason && old.Version == n.Version && old.Region == n.Region && old.Zone == n.Zone && maps.Equal(old.Labels, n.Labels) {
			return
		}
		action = ActionUpdated
	}
	s.regroup = true
	s.event(EventNode, NodeEvent{action, c.name, *n}, Organisation, c.name, n.Name)
}

// tellInstance tells of an instance that has come or changed.
func (s *Stage) tellInstance(c *cluster, x, old *Instance) {
	switch {
	case old == nil:
		s.instanceEvent(c, ActionCreated, x)
	case old.Service != x.Service:
		s.instanceEvent(c, ActionDeleted, old)
		s.instanceEvent(c, ActionCreated, x)
	case !equalInstances(old, x):
		s.instanceEvent(c, ActionUpdated, x)
	}
}

func equalInstances(a, b *Instance) bool {
	return a.Version == b.Version && a.Workload == b.Workload && a.Node == b.Node && a.IP == b.IP && a.Account == b.Account && a.Identity == b.Identity &&
		a.State == b.State && a.Reason == b.Reason && a.Done == b.Done && a.Sidecar == b.Sidecar && a.Restarts == b.Restarts &&
		slices.Equal(a.Images, b.Images) && maps.Equal(a.Labels, b.Labels)
}

func (s *Stage) instanceEvent(c *cluster, action string, x *Instance) {
	svc := c.service(x.Namespace, x.Service)
	if svc.gns == "" {
		svc.gns = s.home(c, x.Namespace, svc)
	}
	gns := svc.gns
	s.event(EventInstance, InstanceEvent{action, gns, c.name, *x}, gns, x.Service, c.name, x.Namespace, x.Name)
}

// home returns the global namespace of a service in a namespace.
func (s *Stage) home(c *cluster, namespace string, svc *service) string {
	ns, ok := c.namespaces[namespace]
	if !ok || svc == nil {
		return DefaultGlobalNamespace
	}
	return cmp.Or(member.Home(s.spaces, c.member(), ns.member(), svc.member()), DefaultGlobalNamespace)
}

func (s *service) member() *member.Service {
	m := &member.Service{Name: s.name, Labels: s.labels()}
	for _, v := range s.versions(false) {
		m.Versions = append(m.Versions, v.Name)
	}
	return m
}

// settle ends a step: it tells of all services and clusters that are no more what they were.
func (s *Stage) settle() {
	if s.rehome {
		s.redefine()
		s.settleOutside()
	}
	for _, name := range s.clusterNames() {
		c := s.clusters[name]
		if c.listed == nil { // in the middle of a listing counts are of no use to anybody
			s.settleServices(c)
			s.settleHomes(c)
		}
		s.settleCluster(c)
	}
}

func (s *Stage) settleServices(c *cluster) {
	if len(c.touched) == 0 {
		return
	}
	for _, p := range sortedPlaces(c.touched) {
		svc := c.services[p]
		if svc == nil {
			continue
		}
		if home := s.home(c, p.namespace, svc); home != svc.gns {
			s.move(c, svc, home)
		}
		now := c.summary(svc)
		s.tellService(svc.told, now)
		if now == nil {
			delete(c.services, p)
			s.regroup = true
			continue
		}
		s.regroup = s.regroup || svc.told == nil || svc.told.GlobalNamespace != now.GlobalNamespace || len(svc.told.Versions) != len(now.Versions)
		svc.told = now
	}
	c.touched = map[place]bool{}
}

// move takes a service and its instances to another global namespace.
func (s *Stage) move(c *cluster, svc *service, home string) {
	was := svc.gns
	for _, name := range slices.Sorted(maps.Keys(svc.instances)) {
		if svc.gns = was; was != "" {
			s.instanceEvent(c, ActionDeleted, svc.instances[name])
			svc.gns = home
			s.instanceEvent(c, ActionCreated, svc.instances[name])
		}
	}
	svc.gns = home
}

// tellService tells how a service has changed. One that moves to another global namespace ends in the old one and begins in the new.
func (s *Stage) tellService(was, is *ServiceEvent) {
	if was != nil && (is == nil || is.GlobalNamespace != was.GlobalNamespace) {
		gone := *was
		gone.Action = ActionDeleted
		s.serviceEvent(&gone)
		was = nil
	}
	if is == nil || was != nil && equalEvents(was, is) {
		return
	}
	is.Action = ActionCreated
	if was != nil {
		is.Action = ActionUpdated
	}
	s.serviceEvent(is)
}

func (s *Stage) serviceEvent(e *ServiceEvent) {
	s.event(EventService, *e, e.GlobalNamespace, e.Service, cmp.Or(e.Cluster, Organisation), e.Namespace)
}

// settleHomes tells which namespaces joined or left a global namespace.
func (s *Stage) settleHomes(c *cluster) {
	if !c.rehome {
		return
	}
	c.rehome = false
	m := c.member()
	for _, name := range slices.Sorted(maps.Keys(c.homes)) {
		if ns := c.namespaces[name]; ns == nil || member.Home(s.spaces, m, ns.member(), nil) != c.homes[name] {
			s.event(EventMember, MemberEvent{ActionLeft, c.homes[name], c.name, name}, c.homes[name], c.name, name)
			delete(c.homes, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.namespaces)) {
		if _, told := c.homes[name]; told {
			continue
		}
		if home := member.Home(s.spaces, m, c.namespaces[name].member(), nil); home != "" {
			c.homes[name] = home
			s.event(EventMember, MemberEvent{ActionJoined, home, c.name, name}, home, c.name, name)
		}
	}
}

// settleCluster tells of a new state of a cluster.
func (s *Stage) settleCluster(c *cluster) {
	state, reason := c.state()
	if state == ClusterDetached && c.spec == nil {
		defer delete(s.clusters, c.name)
	}
	if c.told == state {
		return
	}
	e := ClusterEvent{Cluster: c.name, State: state, Reason: reason, Previous: c.told, Version: c.info.Version, Objects: c.objects(), Left: c.left + c.over}
	if c.at != 0 {
		e.LastLook = c.at.String()
	}
	c.told, c.since, s.regroup = state, s.now, true
	s.event(EventCluster, e, Organisation, c.name)
}

// settleOutside tells of services outside Kubernetes.
func (s *Stage) settleOutside() {
	for _, r := range sortedRefs(s.outside) {
		if _, ok := s.externals[r]; !ok {
			s.tellService(s.outside[r], nil)
			delete(s.outside, r)
		}
	}
	for _, r := range sortedRefs(s.externals) {
		x := s.externals[r]
		is := x.summary()
		s.tellService(s.outside[r], is)
		s.outside[r] = is
	}
}

// summary returns what a service outside Kubernetes is. Nobody looks at it, so that its state is Unknown.
func (x *External) summary() *ServiceEvent {
	e := &ServiceEvent{
		GlobalNamespace: cmp.Or(x.GlobalNamespace, DefaultGlobalNamespace), Service: x.Name, Namespace: x.Namespace, State: StateUnknown, Reason: "NotObserved",
		Desired: len(x.Endpoints), Versions: []Version{}, Hosts: []string{x.Name},
	}
	for _, p := range x.Endpoints {
		at, found := slices.BinarySearchFunc(e.Versions, p.Version, func(v Version, name string) int { return strings.Compare(v.Name, name) })
		if !found {
			e.Versions = slices.Insert(e.Versions, at, Version{Name: p.Version, State: StateUnknown, Reason: "NotObserved"})
		}
		e.Versions[at].Instances++
	}
	return e
}
