package kube

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

const (
	blindAfter  = 10 * time.Second // of not being able to read what must be read
	probeEvery  = 3 * time.Second
	probeWithin = 5 * time.Second
	maxReason   = 500 // bytes of an error that is told
)

// A feed follows the objects of one kind. The observer's mutex guards what changes in it.
type feed struct {
	kind     string // of keys
	resource resource
	needed   bool // without it the observer is blind
	example  runtime.Object
	byField  string // selectors
	byLabel  string

	synced  bool            // all there was has come
	denied  map[string]bool // verbs that the API server forbids us
	failing time.Time       // since when; zero: it goes well
	why     string
}

func (o *Observer) newFeeds() []*feed {
	everywhere := o.elsewhere()
	core := func(name string) resource { return resource{"", name} }
	apps := func(name string) resource { return resource{appsv1.GroupName, name} }
	batch := func(name string) resource { return resource{batchv1.GroupName, name} }
	return []*feed{
		{kind: inventory.KindNamespace, resource: core("namespaces"), needed: true, example: &corev1.Namespace{}},
		{kind: inventory.KindNode, resource: core("nodes"), example: &corev1.Node{}},
		{kind: inventory.KindInstance, resource: core("pods"), needed: true, example: &corev1.Pod{}, byField: everywhere},
		{kind: inventory.KindHost, resource: core("services"), example: &corev1.Service{}, byField: everywhere},
		{kind: kindDeployment, resource: apps("deployments"), example: &appsv1.Deployment{}, byField: everywhere},
		// Those of Deployments, ten of each, stay away: all have the label.
		{kind: kindReplicaSet, resource: apps("replicasets"), example: &appsv1.ReplicaSet{}, byField: everywhere, byLabel: "!" + labelTemplateHash},
		{kind: kindStatefulSet, resource: apps("statefulsets"), example: &appsv1.StatefulSet{}, byField: everywhere},
		{kind: kindDaemonSet, resource: apps("daemonsets"), example: &appsv1.DaemonSet{}, byField: everywhere},
		{kind: kindJob, resource: batch("jobs"), example: &batchv1.Job{}, byField: everywhere},
		{kind: kindCronJob, resource: batch("cronjobs"), example: &batchv1.CronJob{}, byField: everywhere},
	}
}

// elsewhere returns the field selector by which the API server itself leaves out the namespaces that are excluded by their whole names.
func (o *Observer) elsewhere() string {
	var all []fields.Selector
	for _, p := range o.config.Exclude {
		if p.Type == member.Exact {
			all = append(all, fields.OneTermNotEqualSelector("metadata.namespace", p.Match))
		}
	}
	return fields.AndSelectors(all...).String()
}

// follow keeps the book in step with the kind until the context ends.
func (o *Observer) follow(ctx context.Context, f *feed) {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			opts.FieldSelector, opts.LabelSelector = f.byField, f.byLabel
			l, err := o.client.list(ctx, f.resource, opts)
			o.heard(ctx, f, "list", err)
			return l, err
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.FieldSelector, opts.LabelSelector = f.byField, f.byLabel
			w, err := o.client.watch(ctx, f.resource, opts)
			o.heard(ctx, f, "watch", err)
			return w, err
		},
	}
	r := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, o.client), f.example, &store{o, f}, cache.ReflectorOptions{
		Name: f.resource.String(),
		// Shorter than client-go's own 30 to 60 s: after an outage the picture is whole again within ten seconds.
		Backoff: &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 4, Cap: 5 * time.Second},
	})
	r.RunWithContext(ctx)
}

// heard takes what became of a listing or the beginning of a watch.
func (o *Observer) heard(ctx context.Context, f *feed, verb string, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) { // of the last two client-go makes a listing
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		if delete(f.denied, verb); verb == "watch" { // changes come: whatever list was forbidden is not needed, and is not asked for again
			clear(f.denied)
		}
		if f.failing.IsZero() {
			return
		}
		if f.failing, f.why = (time.Time{}), ""; len(f.denied) > 0 {
			f.failing, f.why = time.Now(), f.forbidden()
		}
		o.config.Logger.Info("reading again", "resource", f.resource)
		o.nudge()
		return
	}
	o.counts.watchErrors++
	f.why = short(err)
	if apierrors.IsForbidden(err) {
		if f.denied == nil {
			f.denied = map[string]bool{}
		}
		f.denied[verb] = true
		f.why = f.forbidden()
	}
	if f.failing.IsZero() {
		f.failing = time.Now()
		o.config.Logger.Warn("cannot read", "resource", f.resource, "verb", verb, "error", f.why)
		o.nudge()
	}
}

func (f *feed) forbidden() string {
	return "no right to " + strings.Join(slices.Sorted(maps.Keys(f.denied)), " and ")
}

func short(err error) string {
	s := err.Error()
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}

// A sight says how well the API server answers. The observer's mutex guards it.
type sight struct {
	failing time.Time // since when probes fail; zero: they do not
	why     string
}

// probe asks for one namespace again and again: a watch says nothing when its other end is gone, and this needs no right beside those that are needed anyway.
func (o *Observer) probe(ctx context.Context) {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, probeWithin)
		_, err := o.client.list(within, resource{"", "namespaces"}, metav1.ListOptions{Limit: 1})
		cancel()
		o.mu.Lock()
		switch {
		case ctx.Err() != nil:
		case err == nil || apierrors.IsForbidden(err): // it answers; the feed says what is forbidden
			if !o.sight.failing.IsZero() {
				o.nudge()
			}
			o.sight = sight{}
		case o.sight.failing.IsZero():
			o.sight = sight{failing: time.Now(), why: short(err)}
		default:
			o.sight.why = short(err)
		}
		o.mu.Unlock()
		o.pause(ctx, probeEvery, nil)
	}
}

// blind returns why the cluster cannot be read, or "".
func (o *Observer) blind(now time.Time) string {
	if !o.sight.failing.IsZero() && now.Sub(o.sight.failing) >= blindAfter {
		return "the API server does not answer: " + o.sight.why
	}
	for _, f := range o.feeds {
		if f.needed && !f.failing.IsZero() && now.Sub(f.failing) >= blindAfter {
			return f.resource.String() + ": " + f.why
		}
	}
	return ""
}

// missing names the kinds that are not told, or not as they are now, while the observer is not blind.
func (o *Observer) missing(now time.Time) string {
	var out []string
	for _, f := range o.feeds {
		if f.lacking(now) {
			out = append(out, f.resource.String()+": "+f.why)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "not read: " + strings.Join(out, "; ")
}

// lacking reports whether nobody should wait for the kind.
func (f *feed) lacking(now time.Time) bool {
	return !f.needed && !f.failing.IsZero() && (len(f.denied) > 0 || now.Sub(f.failing) >= blindAfter)
}

// complete reports whether all that can be read has been.
func (o *Observer) complete(now time.Time) bool {
	for _, f := range o.feeds {
		if !f.synced && !f.lacking(now) {
			return false
		}
	}
	return true
}

// A store brings what client-go says of a kind into the book.
type store struct {
	o    *Observer
	feed *feed
}

// Transformer cuts objects down while a listing still streams in.
func (s *store) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return s.strip(obj), nil }
}

func (s *store) strip(obj any) *stripped {
	if x, ok := obj.(*stripped); ok {
		return x
	}
	return s.o.config.strip(obj)
}

// write changes the book, and says so if there is something to tell.
func (s *store) write(change func(b *book)) error {
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	waiting := len(s.o.book.queue)
	change(s.o.book)
	s.o.counts.changes++
	if waiting == 0 && len(s.o.book.queue) > 0 {
		s.o.life.since = time.Now()
		s.o.nudge()
	}
	return nil
}

func (s *store) Add(obj any) error {
	x := s.strip(obj)
	return s.write(func(b *book) { b.set(s.feed.kind, x, true) })
}

func (s *store) Update(obj any) error {
	x := s.strip(obj)
	return s.write(func(b *book) { b.set(s.feed.kind, x, false) })
}

func (s *store) Delete(obj any) error {
	x := s.strip(obj)
	return s.write(func(b *book) { b.remove(s.feed.kind, x) })
}

func (s *store) Replace(objs []any, _ string) error {
	all := make([]*stripped, 0, len(objs))
	for i, obj := range objs {
		all = append(all, s.strip(obj))
		objs[i] = nil
	}
	return s.write(func(b *book) {
		b.replace(s.feed.kind, all)
		s.feed.synced = true
		s.o.nudge()
	})
}

// Resync has nothing to do.
func (s *store) Resync() error { return nil }

var _ cache.TransformingStore = (*store)(nil)
