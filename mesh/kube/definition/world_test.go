package definition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/gns"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo/exclude"
	"evenkeel.dev/slo/native"
	"evenkeel.dev/slo/promql"
	"evenkeel.dev/slo/zone"
)

// A world is a cluster, a catalogue, and a source between them, in a bubble.
type world struct {
	t      testing.TB
	client *fake.FakeDynamicClient
	source *Source
	kinds  *mesh.Kinds

	mu        sync.Mutex
	states    map[string]State
	written   int  // statuses
	away      bool // the API server
	forbidden bool // to look at CRDs
	catalogue *mesh.Catalogue
	seq       uint64
}

func newWorld(t testing.TB, cluster string, trusted bool, b Bounds, objects ...string) *world {
	t.Helper()
	w := &world{t: t, catalogue: mesh.NewCatalogue(mesh.Bounds{}), states: map[string]State{}}
	n, err1 := native.New(native.Config{Compile: promql.Compile, Form: promql.Form, Zone: zone.Of})
	x, err2 := exclude.New(exclude.Config{Zone: zone.Of})
	k, err3 := mesh.NewKinds(n, x, gns.New())
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	w.kinds = k
	lists := map[schema.GroupVersionResource]string{crds: "CustomResourceDefinitionList"}
	for _, r := range resources {
		lists[r.gvr()] = r.kind + "List"
	}
	var there []runtime.Object
	for _, r := range resources {
		there = append(there, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": r.plural + "." + group.Group, "uid": "crd-" + r.plural},
		}})
	}
	for _, text := range objects {
		there = append(there, w.object(text))
	}
	w.client = fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, there...)
	w.client.PrependReactor("*", "*", w.react)
	w.source, err1 = New(Config{
		Cluster: cluster, Client: w.client, Trusted: trusted, Kinds: k, Format: yaml.Format, Outreaches: gns.Outreaches, Bounds: b,
		Read: w.read, Change: w.change, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		State: w.state,
	})
	if err1 != nil {
		t.Fatal(err1)
	}
	return w
}

// with changes or reads what the source's goroutines look at, too.
func (w *world) with(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) state(_, service, name string) (s State, ok bool) {
	w.with(func() { s, ok = w.states[service+"/"+name] })
	return s, ok
}

// applied is how many statuses were written.
func (w *world) applied() (n int) {
	w.with(func() { n = w.written })
	return n
}

// get returns a definition of the catalogue.
func (w *world) get(kind, namespace, name string) (d mesh.Definition) {
	w.with(func() {
		d, _ = w.catalogue.Get(mesh.Ref{APIVersion: group.String(), Kind: kind, Namespace: namespace, Name: name})
	})
	return d
}

// react applies a status as an API server does, and answers nothing while it is away.
func (w *world) react(a clienttesting.Action) (bool, runtime.Object, error) {
	var away, forbidden bool
	w.with(func() { away, forbidden = w.away, w.forbidden })
	if away {
		return true, nil, errors.New("connection refused")
	}
	if forbidden && a.GetResource() == crds {
		return true, nil, apierrors.NewForbidden(crds.GroupResource(), "", errors.New("no right"))
	}
	p, ok := a.(clienttesting.PatchAction)
	if !ok || a.GetSubresource() != "status" {
		return false, nil, nil
	}
	w.with(func() { w.written++ })
	o, err := w.client.Tracker().Get(a.GetResource(), a.GetNamespace(), p.GetName())
	if err != nil {
		return true, nil, err
	}
	var patch map[string]any
	if err := kjson.Unmarshal(p.GetPatch(), &patch); err != nil {
		return true, nil, err
	}
	u := o.(*unstructured.Unstructured).DeepCopy()
	u.Object["status"] = patch["status"]
	return true, u, w.client.Tracker().Update(a.GetResource(), u, a.GetNamespace())
}

var uids int

func (w *world) object(text string) *unstructured.Unstructured {
	w.t.Helper()
	docs, ps := yaml.Parse("object.yaml", []byte(text))
	if len(ps) > 0 || len(docs) != 1 {
		w.t.Fatalf("%d documents, %v in\n%s", len(docs), ps, text)
	}
	u := &unstructured.Unstructured{}
	if err := kjson.Unmarshal(docs[0].JSON, &u.Object); err != nil {
		w.t.Fatal(err)
	}
	uids++
	u.SetUID(types(fmt.Sprintf("uid-%d", uids)))
	u.SetGeneration(1)
	u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply}})
	return u
}

func (w *world) resource(u *unstructured.Unstructured) (schema.GroupVersionResource, string) {
	for _, r := range resources {
		if r.kind == u.GetKind() {
			return r.gvr(), u.GetNamespace()
		}
	}
	w.t.Fatalf("no resource of kind %s", u.GetKind())
	return schema.GroupVersionResource{}, ""
}

// apply creates or replaces an object, as kubectl does.
func (w *world) apply(text string, manager ...string) {
	w.t.Helper()
	u := w.object(text)
	for _, m := range manager {
		u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: m, Operation: metav1.ManagedFieldsOperationApply}})
	}
	r, ns := w.resource(u)
	c := w.client.Resource(r).Namespace(ns)
	old, err := c.Get(w.t.Context(), u.GetName(), metav1.GetOptions{})
	if err != nil {
		_, err = c.Create(w.t.Context(), u, metav1.CreateOptions{})
	} else {
		u.SetUID(old.GetUID())
		u.SetGeneration(old.GetGeneration() + 1)
		u.Object["status"] = old.Object["status"]
		_, err = c.Update(w.t.Context(), u, metav1.UpdateOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) delete(kind, namespace, name string) {
	w.t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"kind": kind}}
	u.SetNamespace(namespace)
	r, ns := w.resource(u)
	if err := w.client.Resource(r).Namespace(ns).Delete(w.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// accepted returns "True Reason message" of an object's condition.
func (w *world) accepted(kind, namespace, name string) string {
	w.t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"kind": kind}}
	u.SetNamespace(namespace)
	r, _ := w.resource(u)
	o, err := w.client.Tracker().Get(r, namespace, name)
	if err != nil {
		return err.Error()
	}
	seen := observe(o.(*unstructured.Unstructured))
	return strings.TrimSpace(seen.status + " " + seen.reason + " " + seen.message)
}

func (w *world) read() ([]mesh.Definition, uint64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.catalogue.List(), w.catalogue.Revision(), true
}

// change does what the engine does, without a log.
func (w *world) change(_ context.Context, wish mesh.Wish, compile Compile) error {
	for {
		existing, _, _ := w.read()
		wish.Set, wish.Delete = compile(existing)
		p, more, err := mesh.Propose(wish, existing, mesh.Bounds{})
		if err != nil || len(p.Set)+len(p.Delete) == 0 {
			return err
		}
		if ch := w.propose(p); !ch.Accepted {
			return &Refusal{ch.Reason, ch.Message}
		}
		if !more {
			return nil
		}
		wish.ID += "+"
	}
}

func (w *world) propose(p mesh.Proposal) mesh.Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	w.seq++
	drafts, err := w.catalogue.Step(&bus.Record{Seq: w.seq, Subject: mesh.SubjectProposal, Time: bus.Time(time.Now().UnixMilli()) * bus.Millisecond, Data: b})
	if err != nil {
		w.t.Fatal(err)
	}
	var ch mesh.Change
	if err := json.Unmarshal(drafts[0].Data, &ch); err != nil {
		w.t.Fatal(err)
	}
	return ch
}

// define sets definitions as another source.
func (w *world) define(owner, text string) {
	w.t.Helper()
	docs, ps := yaml.Parse("file.yaml", []byte(text))
	existing, _, _ := w.read()
	set, more := w.kinds.Compile(docs, existing)
	if mistakes, _ := mesh.Mistakes(append(ps, more...)); len(mistakes) > 0 {
		w.t.Fatal(mistakes)
	}
	if err := w.change(w.t.Context(), mesh.Wish{ID: fmt.Sprint(owner, w.seq, time.Now()), Author: owner, ManagedBy: owner}, func([]mesh.Definition) ([]mesh.Definition, []mesh.Ref) { return set, nil }); err != nil {
		w.t.Fatal(err)
	}
}

// stands returns who manages a definition, and "" where there is none.
func (w *world) stands(kind, namespace, name string) string {
	return w.get(kind, namespace, name).ManagedBy
}

// run runs the source for the time that f takes.
func (w *world) run(f func()) {
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.source.Run(ctx) }()
	settle()
	f()
	stop()
	<-done
}

// settle lets a few looks go by.
func settle() { after(4 * time.Second) }

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

const shop = `
apiVersion: evenkeel.dev/v1beta1
kind: GlobalNamespace
metadata: {name: shop}
spec:
  domain: shop.internal
  matchConditions: [{namespace: {type: StartsWith, match: shop-}}]
  definitionsFrom: [{cluster: eu-1, namespace: shop-prod}, {cluster: us-1, namespace: shop-prod}]
`

func slo(namespace, name, more string) string {
	return fmt.Sprintf(`
apiVersion: evenkeel.dev/v1beta1
kind: SLO
metadata: {name: %s, namespace: %s}
spec: {globalNamespace: shop, targetRef: {kind: Service, name: %s}, objective: 99.9%%, sli: {source: istio, availability: {}}%s}
`, name, namespace, name, more)
}
