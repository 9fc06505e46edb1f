package calls

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/inventory"
)

// Bounds of the stage. What is over one is counted, told in the answer to who asks, and left out.
const (
	EdgesMax    = 20_000 // calls, each pair of versions counting as one
	VersionsMax = 16     // pairs of versions of one call; those over it are together "other"
	homesMax    = 200_000
	writersMax  = 1_000
)

// StageName is the stage's name in the log.
const StageName = "calls"

// subjectService is the prefix of the events of mesh/inventory that say where services are at home.
const subjectService = bus.SubjectEvent + "mesh.service."

// Spec says how the bus runs the stage: one partition, since a call has two ends.
func Spec() bus.Spec {
	return bus.Spec{Name: StageName, Partitions: 1, Reads: []string{SubjectObservation, subjectService, bus.SubjectTick}, New: func(int) bus.Stage { return New() }}
}

// Stats count what the stage did since the process started.
type Stats struct {
	Observations, Repeated, Refused, Undecodable, Over uint64
	Edges, Calls                                       int
}

// A Stage implements [bus.Stage]. It is for one goroutine.
type Stage struct {
	now     bus.Time
	minute  uint32   // in which calls were last looked through
	since   bus.Time // of the first observation's span; 0 before it
	next    uint64   // id of the next call
	over    bool     // an edge was left out within the last hour
	overAt  uint32   // minute
	calls   map[key]*call
	edges   int // versions of all calls
	writers map[string]*writer
	homes   map[string]map[place]string // global namespaces of services, by name and place
	placed  int                         // places of all services
	stats   Stats
	out     []bus.Draft
}

// A key is what makes a call another one.
type key struct {
	source, destination End
	stamp               string
}

func (k key) compare(o key) int {
	return cmp.Or(strings.Compare(k.stamp, o.stamp), k.destination.compare(o.destination), k.source.compare(o.source))
}

func (e End) compare(o End) int {
	return cmp.Or(strings.Compare(e.Service, o.Service), strings.Compare(e.Namespace, o.Namespace), strings.Compare(e.Cluster, o.Cluster))
}

// A call is an edge from one service to another.
type call struct {
	id          uint64
	first, last bus.Time
	heard       [sides]bus.Time // when a side last reported
	plain       bool            // it was told to be in plaintext
	principal   string
	versions    map[versions]*[sides]ring
}

// versions are those of the caller and of the called service.
type versions struct{ caller, called string }

func (v versions) compare(o versions) int {
	return cmp.Or(strings.Compare(v.called, o.called), strings.Compare(v.caller, o.caller))
}

type writer struct {
	number uint64
	heard  bus.Time
	over   uint64
}

// A place is where a service is.
type place struct{ cluster, namespace string }

// New returns an empty stage.
func New() *Stage {
	s := &Stage{}
	s.clear()
	return s
}

func (s *Stage) clear() {
	*s = Stage{next: 1, calls: map[key]*call{}, writers: map[string]*writer{}, homes: map[string]map[place]string{}, stats: s.stats}
}

// Step takes the next record.
func (s *Stage) Step(r *bus.Record) ([]bus.Draft, error) {
	s.now, s.out = r.Time, nil
	switch {
	case r.Is(SubjectObservation):
		s.observe(r)
	case r.Is(subjectService):
		s.house(r.Data)
	case r.Is(bus.SubjectTick):
		if m := minuteOf(s.now); m != s.minute {
			s.minute = m
			s.expire()
		}
	}
	return s.out, nil
}

// observe takes an observation.
func (s *Stage) observe(r *bus.Record) {
	o, counts, err := Decode(r.Data)
	if err != nil {
		s.stats.Undecodable++
		return
	}
	if r.Subject != Subject(o.Writer) {
		s.stats.Refused++
		return
	}
	w := s.writers[o.Writer]
	switch {
	case w == nil && len(s.writers) >= writersMax:
		s.stats.Refused++
		return
	case w == nil:
		w = &writer{}
		s.writers[o.Writer] = w
	case o.Number <= w.number:
		s.stats.Repeated++
		return
	}
	if o.Over > w.over {
		s.over, s.overAt = true, minuteOf(s.now)
	}
	w.number, w.heard, w.over = o.Number, s.now, o.Over
	s.stats.Observations++
	// The span is by the writer's clock; where that cannot be, it ends now. What could not be appended for a while stays where it was.
	to := min(o.To, s.now)
	if s.now-to > Kept {
		to = s.now
	}
	from := to - min(o.To-o.From, Kept-bus.Minute)
	if s.since == 0 {
		s.since = from
	}
	for i := range counts {
		s.take(&counts[i], from, to)
	}
}

// take adds one count to its call.
func (s *Stage) take(n *Count, from, to bus.Time) {
	k := key{n.Source, n.Destination, n.Stamp}
	c := s.calls[k]
	fresh := c == nil
	if fresh {
		c = &call{first: from, versions: map[versions]*[sides]ring{}}
	}
	if n.Side != SideDestination && c.heard[SideDestination] != 0 && s.now-c.heard[SideDestination] < 5*bus.Minute {
		return // it would never be looked at
	}
	version := versions{n.Caller, n.Version}
	if c.versions[version] == nil && len(c.versions) >= VersionsMax {
		version = versions{"other", "other"}
	}
	if c.versions[version] == nil {
		if s.edges >= EdgesMax {
			s.stats.Over++
			s.over, s.overAt = true, minuteOf(s.now)
			return
		}
		c.versions[version] = &[sides]ring{}
		s.edges++
	}
	spread(from, to, &n.Counts, c.versions[version][n.Side].add)
	c.heard[n.Side], c.last = s.now, s.now
	if n.Principal != "" {
		c.principal = n.Principal
	}
	if fresh {
		c.id = s.next
		s.next++
		s.calls[k] = c
		s.tell(ActionCreated, k, c, n.Side)
	}
	if n.Plain > 0 && !c.plain {
		c.plain = true
		s.tell(ActionPlaintext, k, c, n.Side)
	}
}

// expire drops minutes that are too old, and calls that have none left.
func (s *Stage) expire() {
	first := s.minute - uint32(Kept/bus.Minute) + 1
	for _, k := range slices.SortedFunc(maps.Keys(s.calls), key.compare) {
		c := s.calls[k]
		for v, rings := range c.versions {
			left := 0
			for i := range rings {
				rings[i].expire(first)
				left += len(rings[i])
			}
			if left == 0 {
				delete(c.versions, v)
				s.edges--
			}
		}
		if len(c.versions) == 0 {
			s.tell(ActionDeleted, k, c, c.side())
			delete(s.calls, k)
		}
	}
	for name, w := range s.writers {
		if s.now-w.heard > Kept {
			delete(s.writers, name)
		}
	}
	s.over = s.over && s.overAt >= first
}

// side returns the best side that ever reported the call.
func (c *call) side() Side {
	for i := range sides {
		if c.heard[i] != 0 {
			return i
		}
	}
	return SideTraces
}

// Stats returns what the stage counts.
func (s *Stage) Stats() Stats {
	st := s.stats
	st.Edges, st.Calls = s.edges, len(s.calls)
	return st
}

// house takes what mesh/inventory tells of a service.
func (s *Stage) house(data []byte) {
	var e inventory.ServiceEvent
	if json.Unmarshal(data, &e) != nil {
		s.stats.Undecodable++
		return
	}
	p := place{e.Cluster, e.Namespace}
	at := s.homes[e.Service]
	if e.Action == inventory.ActionDeleted {
		if home, ok := at[p]; ok && home == e.GlobalNamespace { // else it has moved
			delete(at, p)
			s.placed--
			if len(at) == 0 {
				delete(s.homes, e.Service)
			}
		}
		return
	}
	if at == nil {
		at = map[place]string{}
	}
	if _, ok := at[p]; !ok {
		if s.placed >= homesMax {
			s.stats.Over++
			return
		}
		s.placed++
	}
	at[p] = e.GlobalNamespace
	s.homes[e.Service] = at
}
