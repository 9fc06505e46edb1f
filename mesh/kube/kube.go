// Package kube tells what runs in one Kubernetes cluster: it follows the API server and hands [inventory.Observation]s to a sink. It only reads.
//
// # What is told
//
// Namespaces, nodes, workloads (Deployment, StatefulSet, DaemonSet, CronJob; a ReplicaSet or Job that none of those owns), Service objects and Pods, each cut
// down to what package inventory knows before it is kept: 10,000 pods take about 2.5 MB (go test -run none -bench Pods ./mesh/kube). What is told of a pod is worked out when it is told, from the pod and what
// stands around it: the CronJob behind its Job, its node, the selectors of its namespace. An object whose value, so worked out, is what was told last is not told again, so
// that heartbeats, resource versions and annotations make no records.
//
// Names of services and versions are those that Istio would give (see package inventory); a roll-out's hash comes before Istio's "latest". A pod's labels are told as far as some Service
// of its namespace selects by them.
//
// # When
//
// A life of an observer has a random name and numbers from 1. It opens with a listing (Listing, then Listed with its last part), and then watches. What changes within
// 75 ms goes into one observation of at most 200 KB; after 10 s of silence an empty one is a sign of life. While the sink refuses, the same observation is offered
// again, and what changes meanwhile waits as keys, each object once: what waits is never more than what there is. A sink that has lost the thread answers [ErrRelist], and a new life begins.
//
// client-go repeats watches and listings by itself; what was deleted while it could not see is told as gone then.
//
// # Blindness
//
// An API server that does not answer for 10 s, or that does not let us read namespaces or pods, makes the observer Blind: it says so at once and every 10 s, with the reason, and
// tells nothing else until it sees again, since part of a picture looks like a whole one. What is missing of the other kinds (a role without nodes, for example) darkens nothing: the rest is told, and Reason names
// the kinds and verbs that are missing, in Listed and Watching too.
//
// # What it refuses
//
// Connections that do not verify the server: insecure-skip-tls-verify, and plain HTTP but to a loopback address. Objects over [Bounds] are left out and counted in Left; of those that come too many, the newest.
// Namespaces that are left out by name are not told and not kept, nor is anything in them.
//
// Nothing in a namespace object says who made it: labels and annotations are what its creator writes, and managedFields name programs. So Author stays empty unless [Config].AuthorAnnotation names an annotation
// that the cluster's own admission policy stamps over whatever its creator wrote.
package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

// ErrRelist is what a sink answers when it needs the whole again: the observer begins a new life with a listing.
var ErrRelist = errors.New("a new listing is needed")

// A Config says what an [Observer] stands on.
type Config struct {
	Cluster string       // its name in Evenkeel
	REST    *rest.Config // of [Connect] or [InCluster]
	// Sink takes an observation for good, or answers an error and gets the same one again. It is called by one goroutine, in order.
	Sink func(context.Context, inventory.Observation) error

	// Include and Exclude choose namespaces by name, with patterns of types Exact and StartsWith: those that some Include matches (all, where there is none) and
	// no Exclude. Exclude nil is [DefaultExclude]; an empty list that is not nil excludes nothing.
	Include, Exclude []member.Pattern

	Labels           map[string]string // of the cluster, as its registration says; told in Info
	TrustDomain      string            // of SPIFFE identities; "" tells none
	AuthorAnnotation string            // of namespaces, stamped by the cluster's admission; "" trusts none
	Bounds           Bounds
	Logger           *slog.Logger // what changes in the observer's sight; default nowhere
}

// Bounds of what is kept of a cluster. Zero fields mean their default.
type Bounds struct {
	Pods       int // default 50,000
	Nodes      int // default 5,000
	Namespaces int // default 10,000
	Services   int // default 20,000
	Workloads  int // of each kind; default 20,000
	Bytes      int // of an object's labels, selector, images and ports; default 32 KiB
}

func (b *Bounds) fill() error {
	for _, f := range []struct {
		field *int
		value int
	}{{&b.Pods, 50_000}, {&b.Nodes, 5_000}, {&b.Namespaces, 10_000}, {&b.Services, 20_000}, {&b.Workloads, 20_000}, {&b.Bytes, 32 << 10}} {
		if *f.field < 0 {
			return fmt.Errorf("bounds: %d is less than nothing", *f.field)
		}
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return nil
}

func (b *Bounds) of(kind string) int {
	switch kind {
	case inventory.KindInstance:
		return b.Pods
	case inventory.KindNode:
		return b.Nodes
	case inventory.KindNamespace:
		return b.Namespaces
	case inventory.KindHost:
		return b.Services
	}
	return b.Workloads
}

// DefaultExclude returns the namespaces that are no application's: those of Kubernetes, of Istio and our own.
func DefaultExclude() []member.Pattern {
	return []member.Pattern{
		{Type: member.Exact, Match: "kube-system"}, {Type: member.Exact, Match: "kube-public"}, {Type: member.Exact, Match: "kube-node-lease"},
		{Type: member.StartsWith, Match: "kube-"},
		{Type: member.Exact, Match: "istio-system"}, {Type: member.Exact, Match: "istio-cni"},
		{Type: member.Exact, Match: "evenkeel-system"},
	}
}

// Excluding returns [DefaultExclude] without those that include names in full, and with more.
func Excluding(include, more []member.Pattern) []member.Pattern {
	named := func(p member.Pattern) bool {
		return slices.ContainsFunc(include, func(i member.Pattern) bool { return i.Type == member.Exact && p.Matches(i.Match, nil) })
	}
	return append(slices.DeleteFunc(DefaultExclude(), named), more...)
}

// An Observer follows one cluster while [Observer.Run] runs.
type Observer struct {
	config Config
	client reader
	feeds  []*feed
	wake   chan struct{} // holds one when there is something to look at

	mu     sync.Mutex
	book   *book
	sight  sight
	life   life
	counts counts
}

// New returns an observer of the cluster. It talks to nobody yet.
func New(c Config) (*Observer, error) {
	if c.REST == nil {
		return nil, errors.New("observer: there is no connection to a cluster")
	}
	if err := verified(c.REST); err != nil {
		return nil, fmt.Errorf("observer of cluster %s: %w", c.Cluster, err)
	}
	client, err := newClients(tuned(c.REST))
	if err != nil {
		return nil, fmt.Errorf("observer of cluster %s: %w", c.Cluster, err)
	}
	return newObserver(c, client)
}

func newObserver(c Config, client reader) (*Observer, error) {
	if c.Cluster == "" || c.Sink == nil {
		return nil, errors.New("observer: the cluster's name and a sink must be there")
	}
	if c.Exclude == nil {
		c.Exclude = DefaultExclude()
	}
	for _, p := range slices.Concat(c.Include, c.Exclude) {
		if p.Type != member.Exact && p.Type != member.StartsWith {
			return nil, fmt.Errorf("observer of cluster %s: namespaces are chosen by %s or %s, not by %q", c.Cluster, member.Exact, member.StartsWith, p.Type)
		}
	}
	if err := c.Bounds.fill(); err != nil {
		return nil, fmt.Errorf("observer of cluster %s: %w", c.Cluster, err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("cluster", c.Cluster)
	o := &Observer{config: c, client: client, wake: make(chan struct{}, 1), book: newBook(c.Bounds, c.TrustDomain)}
	o.feeds = o.newFeeds()
	o.life = newLife()
	return o, nil
}

// Run observes until the context ends, and returns nil then. It is called once.
func (o *Observer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(klog.NewContext(ctx, klog.Logger{})) // client-go's own lines go nowhere: heard says what matters
	for _, f := range o.feeds {
		g.Go(func() error { o.follow(ctx, f); return nil })
	}
	g.Go(func() error { o.probe(ctx); return nil })
	g.Go(func() error { o.tell(ctx); return nil })
	return g.Wait()
}

// chosen reports whether a namespace is observed.
func (c *Config) chosen(namespace string) bool {
	matches := func(p member.Pattern) bool { return p.Matches(namespace, nil) }
	return (len(c.Include) == 0 || slices.ContainsFunc(c.Include, matches)) && !slices.ContainsFunc(c.Exclude, matches)
}

// nudge makes the telling goroutine look again.
func (o *Observer) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// pause waits for a time, or less where the context ends or, if woken may be, there is something to look at.
func (o *Observer) pause(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}
