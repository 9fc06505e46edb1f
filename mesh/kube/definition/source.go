// Package definition reads definitions from custom resources of a Kubernetes cluster, and writes back what became of them.
//
// What somebody applies to the cluster is proposed to the catalogue as a file of a folder is, by the same compilers, with ManagedBy
// "cluster:<name>". The name is the one that the engine was given for the cluster; nothing in an object can change it. Unlike a folder, a
// cluster has many authors who know nothing of each other: each object stands for itself, and one that is refused keeps no other from
// being taken. Of an object that was taken once and is refused now, what was taken stands.
//
//   - One source manages an object. Who came first keeps it; the object of another one is refused (OwnedByOther) until the first is
//     deleted where it is managed. No object can take ownership.
//   - A definition for a global namespace must be admitted by the definitionsFrom of the GlobalNamespace that stands in the catalogue, by
//     cluster and namespace. Where none stands, nothing is admitted: this gate fails shut.
//   - What reaches beyond a global namespace (a GlobalNamespace itself, a group of the organisation) is taken from trusted clusters only:
//     whoever may define the gate needs none.
//   - An object that vanished is deleted from the catalogue when the API server says, asked anew, that it is not there, and that its
//     CRD is there, is not being deleted and was not made anew within ten minutes. A cluster that cannot be read deletes nothing, nor does a CRD that was removed. More than
//     half of what the cluster owned, if that is more than three, is never deleted at once.
//
// The status of each object says what became of it: condition Accepted, with a reason and a message. It is written by server-side apply
// with a field manager of our own, when it changed, and within a rate.
package definition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"evenkeel.dev/mesh"
)

// Config is what a [Source] needs. Cluster, Client, Kinds, Format, Outreaches, Read, Change and Logger must be set.
type Config struct {
	Cluster string // the name by which the cluster is known here, and by which definitionsFrom admits it
	Client  dynamic.Interface
	Trusted bool // whether it may define global namespaces and groups of the organisation

	Kinds      *mesh.Kinds                              // the compilers
	Format     func(*mesh.Node) ([]byte, error)         // a document as YAML
	Outreaches func(*mesh.Definition) bool              // whether a definition says something beyond the global namespace that it stands in
	Read       func() ([]mesh.Definition, uint64, bool) // the catalogue in the order of refs, and its revision; false while it is not current

	// Change carries a wish out. What is to be set and deleted is asked of compile, perhaps several times, given what stands. The error
	// is a [*Refusal] where the catalogue has refused; any other is temporary.
	Change func(ctx context.Context, w mesh.Wish, compile Compile) error

	State func(globalNamespace, service, name string) (State, bool) // how an SLO stands; may be nil
	Owns  func() bool                                               // whether this process does the work now; nil: always

	Bounds Bounds
	Logger *slog.Logger
}

// Compile returns what is to be set, and what is to be deleted, given what stands.
type Compile func(existing []mesh.Definition) (set []mesh.Definition, gone []mesh.Ref)

// A Refusal is the catalogue's no.
type Refusal struct{ Reason, Message string }

// Error returns both.
func (r *Refusal) Error() string { return r.Reason + ": " + r.Message }

// State is how an SLO stands, coarsely.
type State struct {
	State     string
	Remaining *float64 // share of the error budget; nil where it is not known
}

// Bounds of what is taken from one cluster; a zero field takes its default.
type Bounds struct {
	Objects          int // default 10,000: as many SLOs as the largest known installations have
	NamespaceObjects int // of one namespace; default 2,000, so that one does not crowd out the others
	Bytes            int // of all objects; default 64 MiB
	ObjectBytes      int // of one; default 128 KiB, so that what is compiled of it fits into the catalogue
}

func (b *Bounds) defaults() {
	for _, f := range []struct {
		field *int
		value int
	}{{&b.Objects, 10_000}, {&b.NamespaceObjects, 2000}, {&b.Bytes, 64 << 20}, {&b.ObjectBytes, 128 << 10}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
}

// Stats counts what the source did since the process started.
type Stats struct {
	Passes, Failures              atomic.Uint64 // looks at the whole, and those that could not be carried out
	Set, Deleted                  atomic.Uint64 // definitions
	StatusWrites, StatusFailures  atomic.Uint64
	WatchErrors                   atomic.Uint64
	Held                          atomic.Uint64 // passes that would have deleted more than half
	Reading, Objects, HeldObjects atomic.Int64  // now: kinds that are read; objects; definitions whose deletion waits for a yes
}

// A Source is one cluster's definitions.
type Source struct {
	cfg     Config
	owner   string
	store   *store
	readers []*reader
	status  *writer
	stats   Stats
	reasons atomic.Pointer[map[string]int]

	begun    time.Time
	whole    bool                // everything was compiled once by this process
	warned   map[mesh.Ref]string // of what is taken, with warnings
	crds     map[string]string   // UIDs of the CRDs by which objects came
	revision uint64
	passed   time.Time
	next     time.Time // when a pass is due without a change
	pace     time.Time // no pass before
	noted    string    // failure that was told last
	stay     string    // why deletions wait, as it was told last
}

const (
	passEvery  = time.Second      // how soon a change is looked at
	passOthers = 5 * time.Second  // how soon one in the catalogue by others is
	passFull   = time.Minute      // also without a change
	passPause  = 10 * time.Second // after one that failed
	firstWait  = 10 * time.Second // how long the first pass waits for all kinds, so that an SLO is not judged before its global namespace
)

// New returns a source. It reads nothing before Run.
func New(c Config) (*Source, error) {
	if c.Client == nil || c.Kinds == nil || c.Format == nil || c.Outreaches == nil || c.Read == nil || c.Change == nil || c.Logger == nil {
		return nil, errors.New("definition: a field of Config is not set")
	}
	if hint := mesh.LabelHint(c.Cluster); hint != "" {
		return nil, fmt.Errorf("the name %q of a cluster is not a DNS label: %s", c.Cluster, hint)
	}
	if c.Owns == nil {
		c.Owns = func() bool { return true }
	}
	c.Bounds.defaults()
	c.Logger = c.Logger.With("cluster", c.Cluster)
	s := &Source{cfg: c, owner: Owner(c.Cluster), store: newStore(c.Bounds), warned: map[mesh.Ref]string{}, crds: map[string]string{}}
	s.status = &writer{client: c.Client, stats: &s.stats, logger: c.Logger, written: map[string]written{}}
	for i := range resources {
		if slices.Contains(c.Kinds.Known(), mesh.Kind{APIVersion: group.String(), Kind: resources[i].kind}) {
			s.readers = append(s.readers, newReader(s, &resources[i]))
		}
	}
	return s, nil
}

// Owner names the managing source of a cluster's definitions.
func Owner(cluster string) string { return mesh.OwnerCluster + cluster }

// Stats returns the counters.
func (s *Source) Stats() *Stats { return &s.stats }

// Reasons returns how many objects there are by what became of them.
func (s *Source) Reasons() map[string]int {
	if m := s.reasons.Load(); m != nil {
		return *m
	}
	return nil
}

// Run reads the cluster and keeps the catalogue and the objects' status as they should be, until ctx ends. A cluster that cannot be reached
// is tried again and again.
func (s *Source) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{}, len(s.readers))
	defer func() {
		stop()
		for range s.readers {
			<-done
		}
	}()
	for _, r := range s.readers {
		go func() {
			r.informer.RunWithContext(ctx)
			done <- struct{}{}
		}()
	}
	s.begun = time.Now()
	t := time.NewTicker(passEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.stats.Failures.Add(1)
			if s.noted != err.Error() {
				s.noted = err.Error()
				s.cfg.Logger.Error("definitions of the cluster were not applied; what stands stays", "err", err)
			}
			s.pace = time.Now().Add(passPause)
		}
	}
}

// look makes a pass when there is a reason to, and writes what is to be written.
func (s *Source) look(ctx context.Context) error {
	read := len(s.read())
	s.stats.Reading.Store(int64(read))
	if !s.cfg.Owns() {
		s.whole = false // another process does it; when it comes back here, everything is looked at anew
		return nil
	}
	_, revision, current := s.cfg.Read()
	now := time.Now()
	early := !s.whole && read < len(s.readers) && now.Sub(s.begun) < firstWait
	if !current || read == 0 || early || now.Before(s.pace) {
		return nil
	}
	others := revision != s.revision && now.Sub(s.passed) >= passOthers
	if s.store.changed() || !s.whole || others || !now.Before(s.next) {
		if err := s.pass(ctx); err != nil {
			s.store.touch()
			return err
		}
		s.noted, s.passed, s.next = "", now, now.Add(passFull)
	}
	if s.status.write(ctx, now) != nil {
		s.pace = now.Add(passPause) // told and counted there
	}
	return nil
}

// read returns the kinds that have been read whole.
func (s *Source) read() map[string]*resource {
	out := map[string]*resource{}
	for _, r := range s.readers {
		if r.informer.HasSynced() {
			out[r.resource.kind] = r.resource
		}
	}
	return out
}

// A resource is a kind of definition as Kubernetes has it.
type resource struct {
	kind, plural string
	cluster      bool // it is in no namespace
}

// resources are those of deploy/crds.
var resources = []resource{
	{kind: "GlobalNamespace", plural: "globalnamespaces", cluster: true},
	{kind: "SLO", plural: "slos"},
	{kind: "Exclusion", plural: "exclusions"},
	{kind: "ResourceGroup", plural: "resourcegroups"},
	{kind: "Cluster", plural: "clusters", cluster: true},
	{kind: "ExternalService", plural: "externalservices"},
	{kind: "EncryptionPolicy", plural: "encryptionpolicies"},
	{kind: "TrafficPolicy", plural: "trafficpolicies"},
}

var group = schema.GroupVersion{Group: "evenkeel.dev", Version: "v1beta1"}

func (r *resource) gvr() schema.GroupVersionResource { return group.WithResource(r.plural) }
