package definition

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"evenkeel.dev/mesh"
)

// An object is what is kept of a custom resource.
type object struct {
	metav1.ObjectMeta // name, namespace, UID, versions and time of creation only
	resource          *resource
	text              []byte // the document as JSON, without what Kubernetes adds; nil where it is over a bound
	over              string // which
	digest            string // of the document in canonical JSON
	author            string
	boundary          string // the global namespace that it names
	organisation      bool   // or that it is about all of them
	service           string // of an SLO
	seen              observed
}

func (o *object) ref() mesh.Ref {
	namespace := o.Namespace
	if o.resource.cluster {
		namespace = "default"
	}
	return mesh.Ref{APIVersion: group.String(), Kind: o.resource.kind, Namespace: namespace, Name: o.Name}
}

// document returns the object as the compilers read it. Problems are found again by its File.
func (o *object) document(format func(*mesh.Node) ([]byte, error)) (mesh.Document, []mesh.Problem) {
	file := o.ref().String()
	root, err := mesh.ReadJSON(o.text)
	if err != nil {
		return mesh.Document{}, []mesh.Problem{{File: file, Message: err.Error()}}
	}
	source, err := format(inOrder(root))
	if err != nil {
		return mesh.Document{}, []mesh.Problem{{File: file, Message: err.Error()}}
	}
	return mesh.NewDocument(file, string(source), root)
}

// inOrder puts the head of a document into the order in which people write it.
func inOrder(root *mesh.Node) *mesh.Node {
	var fields []mesh.Field
	for _, key := range []string{"apiVersion", "kind", "metadata", "spec"} {
		if v := root.Get(key); v != nil {
			fields = append(fields, mesh.Entry(key, v))
		}
	}
	return mesh.Map(fields...)
}

// A reader keeps the objects of one kind. The informer is made by hand: those of client-go's packages of informers bring the types of all
// of Kubernetes along, 28 MB of the binary.
type reader struct {
	resource *resource
	informer cache.SharedIndexInformer
}

func newReader(s *Source, r *resource) *reader {
	all := s.cfg.Client.Resource(r.gvr())
	out := &reader{resource: r, informer: cache.NewSharedIndexInformerWithOptions(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return all.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return all.Watch(ctx, o) },
	}, s.cfg.Client), &unstructured.Unstructured{}, cache.SharedIndexInformerOptions{ObjectDescription: r.gvr().String()})}
	logged := ""
	// None of these fail: the informer has not begun.
	_ = out.informer.SetTransform(func(v any) (any, error) { return s.store.take(r, v), nil })
	_ = out.informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		s.stats.WatchErrors.Add(1)
		if err.Error() != logged {
			logged = err.Error()
			s.cfg.Logger.Warn("the cluster cannot be read; it is tried again, and what stands stays", "resource", r.plural, "err", err)
		}
	})
	_, _ = out.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { s.store.touch() },
		UpdateFunc: func(_, _ any) { s.store.touch() },
		DeleteFunc: func(v any) {
			if last, ok := v.(cache.DeletedFinalStateUnknown); ok {
				v = last.Obj
			}
			if o, ok := v.(*object); ok {
				s.store.drop(o)
			}
			s.store.touch()
		},
	})
	return out
}

// A store keeps account of what is held within the bounds. The objects themselves are in the informers.
type store struct {
	bounds Bounds

	mu          sync.Mutex
	dirty       bool
	held        map[string]int // bytes of an object by UID
	bytes       int
	byNamespace map[string]int
}

func newStore(b Bounds) *store {
	return &store{bounds: b, held: map[string]int{}, byNamespace: map[string]int{}}
}

func (s *store) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = true
}

// changed reports whether there was a change since it was asked last.
func (s *store) changed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.dirty
	s.dirty = false
	return was
}

func (s *store) drop(o *object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(string(o.UID), o.Namespace)
}

func (s *store) forget(uid, namespace string) {
	n, ok := s.held[uid]
	if !ok {
		return
	}
	delete(s.held, uid)
	s.bytes -= n
	if s.byNamespace[namespace]--; s.byNamespace[namespace] == 0 {
		delete(s.byNamespace, namespace)
	}
}

// account holds an object, or says over which bound it is. One that is held already keeps its place.
func (s *store) account(uid, namespace string, size int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(uid, namespace)
	switch b := &s.bounds; {
	case size > b.ObjectBytes:
		return fmt.Sprintf("the object has %d bytes; at most %d are taken", size, b.ObjectBytes)
	case len(s.held) >= b.Objects:
		return fmt.Sprintf("the cluster has over %d definitions; this one came after those", b.Objects)
	case namespace != "" && s.byNamespace[namespace] >= b.NamespaceObjects:
		return fmt.Sprintf("the namespace %s has over %d definitions; this one came after those", namespace, b.NamespaceObjects)
	case s.bytes+size > b.Bytes:
		return fmt.Sprintf("the definitions of the cluster have over %d bytes; this one came after those", b.Bytes)
	}
	s.held[uid] = size
	s.bytes += size
	s.byNamespace[namespace]++
	return ""
}

// take makes an object of what the API server has sent. What is no custom resource is left as it is.
func (s *store) take(r *resource, v any) any {
	u, ok := v.(*unstructured.Unstructured)
	if !ok {
		return v
	}
	o := &object{ObjectMeta: metav1.ObjectMeta{
		Name: u.GetName(), Namespace: u.GetNamespace(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(), Generation: u.GetGeneration(), CreationTimestamp: u.GetCreationTimestamp(),
	}, resource: r, author: author(u), seen: observe(u)}
	o.service, _, _ = unstructured.NestedString(u.Object, "spec", "targetRef", "name")
	if o.boundary, _, _ = unstructured.NestedString(u.Object, "spec", "globalNamespace"); o.boundary == "" {
		o.boundary = "default"
	}
	scope, _, _ := unstructured.NestedString(u.Object, "spec", "scope")
	o.organisation = r.kind == "ResourceGroup" && scope == "Organisation"
	text, err := json.Marshal(plain(r, u))
	if err != nil {
		o.over = err.Error()
		return o
	}
	if o.over = s.account(string(o.UID), o.Namespace, len(text)); o.over != "" {
		return o
	}
	o.text = text
	if root, err := mesh.ReadJSON(text); err == nil {
		o.digest = mesh.Digest(root.AppendJSON(nil))
	}
	return o
}

// plain is the document that somebody wrote: without status and what Kubernetes keeps in metadata, and without annotations, which tools
// write for themselves, and in which secrets have been seen.
func plain(r *resource, u *unstructured.Unstructured) map[string]any {
	metadata := map[string]any{"name": u.GetName()}
	if !r.cluster {
		metadata["namespace"] = u.GetNamespace()
	}
	if labels := u.GetLabels(); len(labels) > 0 {
		metadata["labels"] = labels
	}
	out := map[string]any{"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(), "metadata": metadata}
	if spec, ok := u.Object["spec"]; ok {
		out["spec"] = spec
	}
	return out
}

// author returns the field manager that has written last, status aside. It is what a client calls itself, and proves nothing: who it was
// stands in the API server's audit log.
func author(u *unstructured.Unstructured) string {
	var newest metav1.ManagedFieldsEntry
	for _, e := range u.GetManagedFields() {
		if e.Subresource == "" && e.Manager != "" && (newest.Manager == "" || e.Time != nil && (newest.Time == nil || newest.Time.Before(e.Time))) {
			newest = e
		}
	}
	if newest.Manager == "" {
		return "unknown"
	}
	const most = 128
	return strings.ToValidUTF8(newest.Manager[:min(len(newest.Manager), most)], "")
}
