package inventory

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// Bounds of the stage. What is over one is counted, told in the cluster's event and left out; nothing else suffers.
const (
	ClustersMax = 256
	ObjectsMax  = 200_000 // of one cluster: 100,000 instances and what is around them
	namedMax    = 100     // resources that a GroupEvent names
)

// StageName is the stage's name in the log.
const StageName = "inventory"

// Spec says how the bus runs the stage: one partition, since membership and groups look at all clusters.
func Spec() bus.Spec {
	return bus.Spec{Name: StageName, Partitions: 1, Reads: []string{SubjectObservation, SubjectEnrolment, mesh.SubjectChange, bus.SubjectTick}, New: func(int) bus.Stage { return New() }}
}

// Stats count what the stage did since the process started.
type Stats struct {
	Observations, Repeated, Missed, Refused, Undecodable, Over, EnrolmentsRefused uint64
	Clusters, Dark, Services, Instances, Agents                                   int
}

// A Stage implements [bus.Stage]. It is for one goroutine.
type Stage struct {
	now        bus.Time
	clusters   map[string]*cluster
	spaces     []member.GlobalNamespace // by name
	spacesBy   map[mesh.Ref]member.GlobalNamespace
	specs      map[mesh.Ref]ClusterSpec
	externals  map[mesh.Ref]External
	outside    map[mesh.Ref]*ServiceEvent // of externals, as told
	groups     map[mesh.Ref]member.Group
	contents   map[mesh.Ref][]GroupResource // of groups, as told
	enrolments []enrolment                  // tokens that were used, by their sums
	regroup    bool                         // contents may have changed
	asked      bool                         // for the definitions that were made before the stage began
	rehome     bool                         // definitions have changed: membership must be decided anew
	stats      Stats
	out        []bus.Draft
}

// New returns an empty stage.
func New() *Stage {
	s := &Stage{}
	s.clear()
	return s
}

func (s *Stage) clear() {
	s.clusters, s.spaces = map[string]*cluster{}, nil
	s.spacesBy, s.specs, s.externals = map[mesh.Ref]member.GlobalNamespace{}, map[mesh.Ref]ClusterSpec{}, map[mesh.Ref]External{}
	s.outside, s.groups, s.contents = map[mesh.Ref]*ServiceEvent{}, map[mesh.Ref]member.Group{}, map[mesh.Ref][]GroupResource{}
	s.enrolments, s.regroup, s.rehome, s.asked = nil, false, false, false
}

// Step takes the next record.
func (s *Stage) Step(r *bus.Record) ([]bus.Draft, error) {
	s.now, s.out = r.Time, nil
	switch {
	case r.Is(SubjectObservation):
		s.observe(r)
	case r.Subject == SubjectEnrolment:
		s.enrol(r)
	case r.Subject == mesh.SubjectChange:
		s.define(r.Data)
	case r.Is(bus.SubjectTick):
		s.tick()
	case r.Subject == bus.SubjectGap:
		for _, c := range s.clusters { // what is missing may have been theirs
			c.missed = c.observer != ""
		}
	}
	s.settle()
	return s.out, nil
}

// observe takes an observation.
func (s *Stage) observe(r *bus.Record) {
	o, err := Decode(r.Data)
	if err != nil {
		s.stats.Undecodable++
		return
	}
	if r.Subject != Subject(o.Cluster) { // the subject is what the sender may write; what it says of itself does not count (SAFETY 14)
		s.stats.Refused++
		return
	}
	if c := s.clusterNamed(o.Cluster); c != nil && s.order(c, &o) {
		s.stats.Observations++
		s.apply(c, &o)
	}
}

// clusterNamed returns the cluster of a name, a new one where none is known; nil, and counted, where there are as many as may be.
func (s *Stage) clusterNamed(name string) *cluster {
	c := s.clusters[name]
	switch {
	case c != nil:
	case len(s.clusters) >= ClustersMax:
		s.stats.Over++
	default:
		c = newCluster(name)
		s.clusters[name] = c
	}
	return c
}

// order reports whether an observation is the next of its cluster.
func (s *Stage) order(c *cluster, o *Observation) bool {
	switch {
	case o.Observer == c.observer && o.Number <= c.number:
		s.stats.Repeated++
		return false
	case o.Observer == c.observer && o.Number == c.number+1 && !c.missed:
		c.number = o.Number
		return true
	case o.Number == 1 && o.Phase != PhaseWatching:
		c.observer, c.number, c.missed, c.listed, c.over = o.Observer, 1, false, nil, 0
		return true
	case o.Observer != c.observer && !c.missed && s.now-c.heard <= DarkAfter:
		s.stats.Repeated++ // another observer took over from this one
		return false
	}
	s.stats.Missed++
	c.missed, c.heard, c.dark = true, s.now, false
	return false
}

func (s *Stage) apply(c *cluster, o *Observation) {
	if c.dark {
		c.dark = false
		c.touchAll()
	}
	c.phase, c.reason, c.heard, c.at = o.Phase, o.Reason, s.now, o.At
	if o.Info != nil {
		c.info = *o.Info
	}
	switch o.Phase {
	case PhaseLeft:
		s.forget(c)
		return
	case PhaseBlind:
		return
	case PhaseListing, PhaseListed:
		if c.listed == nil {
			c.listed = map[Key]bool{}
		}
	}
	s.applyObjects(c, o)
	for _, k := range o.Gone {
		s.drop(c, k)
	}
	c.left = o.Left
	if o.Phase == PhaseListed {
		s.endListing(c)
	}
}

// endListing drops what the listing has not told of.
func (s *Stage) endListing(c *cluster) {
	for _, k := range c.keys() {
		if !c.listed[k] {
			s.drop(c, k)
		}
	}
	c.listed = nil
}

// forget drops all that is known of a cluster that was detached.
func (s *Stage) forget(c *cluster) {
	for _, k := range c.keys() {
		s.drop(c, k)
	}
	c.left, c.over, c.listed = 0, 0, nil
}

// tick looks for clusters that have gone dark, and tells of groups.
func (s *Stage) tick() {
	if !s.asked {
		s.asked = true
		s.out = append(s.out, bus.Draft{Subject: mesh.SubjectRestate, To: bus.All, Data: []byte("{}")})
	}
	for _, name := range s.clusterNames() {
		c := s.clusters[name]
		if c.heard != 0 && !c.dark && c.phase != PhaseLeft && s.now-c.heard > DarkAfter {
			c.dark = true
			c.touchAll()
		}
	}
	if s.regroup {
		s.regroup = false
		s.tellGroups()
	}
}

// define takes a change of definitions.
func (s *Stage) define(data []byte) {
	var ch mesh.Change
	if err := json.Unmarshal(data, &ch); err != nil {
		s.stats.Undecodable++
		return
	}
	if !ch.Accepted {
		return
	}
	for i := range ch.Set {
		if d := &ch.Set[i]; len(d.Compiled) > 0 && s.set(d) != nil {
			s.stats.Undecodable++
		}
	}
	for _, r := range ch.Deleted {
		s.undefine(r)
	}
}

// set takes one definition.
func (s *Stage) set(d *mesh.Definition) error {
	switch d.OfKind() {
	case mesh.KindGlobalNamespace:
		return keep(s, s.spacesBy, d)
	case mesh.KindCluster:
		return keep(s, s.specs, d)
	case mesh.KindResourceGroup:
		return keep(s, s.groups, d)
	case mesh.KindExternalService:
		return keep(s, s.externals, d)
	}
	return nil
}

func keep[T any](s *Stage, m map[mesh.Ref]T, d *mesh.Definition) error {
	v, err := mesh.Compiled[T](d)
	if err != nil {
		return err
	}
	m[d.Ref] = v
	s.rehome = true
	return nil
}

func (s *Stage) undefine(r mesh.Ref) {
	switch r.OfKind() {
	case mesh.KindGlobalNamespace:
		delete(s.spacesBy, r)
	case mesh.KindCluster:
		delete(s.specs, r)
	case mesh.KindResourceGroup:
		delete(s.groups, r)
	case mesh.KindExternalService:
		delete(s.externals, r)
	default:
		return
	}
	s.rehome = true
}

func (s *Stage) clusterNames() []string { return slices.Sorted(maps.Keys(s.clusters)) }

// redefine takes over definitions after a change: which clusters there shall be, and who belongs where.
func (s *Stage) redefine() {
	s.rehome, s.regroup = false, true
	defined := map[string]bool{}
	for _, c := range s.clusters {
		defined[c.name] = c.spec != nil
	}
	s.takeDefinitions()
	for _, name := range s.clusterNames() {
		c := s.clusters[name]
		if c.spec == nil && defined[name] { // its definition was deleted, and with it the right to tell of it
			s.forget(c)
			c.phase = PhaseLeft
		}
		c.rehome = true
		c.touchAll()
	}
	s.prune()
}

// takeDefinitions puts global namespaces in order and gives each defined cluster its definition.
func (s *Stage) takeDefinitions() {
	s.spaces = slices.SortedFunc(maps.Values(s.spacesBy), func(a, b member.GlobalNamespace) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range s.clusters {
		c.spec = nil
	}
	for _, r := range sortedRefs(s.specs) {
		spec := s.specs[r]
		if c := s.clusterNamed(spec.Name); c != nil {
			c.spec = &spec
		}
	}
}

func sortedRefs[T any](m map[mesh.Ref]T) []mesh.Ref {
	return slices.SortedFunc(maps.Keys(m), mesh.Ref.Compare)
}
