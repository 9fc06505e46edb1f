package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"evenkeel.dev/mesh/inventory"
)

// TestMain takes client-go's brake on errors away: it counts from the real time at which the program began, which in a bubble lies 26 years ahead.
func TestMain(m *testing.M) {
	utilruntime.ErrorHandlers = nil
	os.Exit(m.Run())
}

// A hub takes observations as the stage would: it folds them, and fails the test where the numbers or phases are not as promised.
type hub struct {
	t    testing.TB
	mu   sync.Mutex
	fail error // what it answers instead of taking

	all    []inventory.Observation
	things map[inventory.Key]any
	told   map[inventory.Key]bool // since the listing began
	listed bool
}

func newHub(t testing.TB) *hub {
	return &hub{t: t, things: map[inventory.Key]any{}, told: map[inventory.Key]bool{}}
}

func (h *hub) take(_ context.Context, o inventory.Observation) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		return h.fail
	}
	if n := len(h.all); n > 0 && h.all[n-1].Observer == o.Observer {
		if o.Number != h.all[n-1].Number+1 {
			h.t.Errorf("number %d follows %d", o.Number, h.all[n-1].Number)
		}
	} else {
		if o.Number != 1 || o.Phase != inventory.PhaseListing && o.Phase != inventory.PhaseBlind {
			h.t.Errorf("a life opens with %s %d", o.Phase, o.Number)
		}
		if o.Phase == inventory.PhaseListing && o.Info == nil {
			h.t.Error("a listing opens without Info")
		}
		h.listed = false
		clear(h.told)
	}
	h.all = append(h.all, o)
	h.fold(&o)
	return nil
}

func (h *hub) fold(o *inventory.Observation) {
	set := func(k inventory.Key, v any) { h.things[k], h.told[k] = v, true }
	for _, x := range o.Namespaces {
		set(inventory.Key{Kind: inventory.KindNamespace, Name: x.Name}, x)
	}
	for _, x := range o.Nodes {
		set(inventory.Key{Kind: inventory.KindNode, Name: x.Name}, x)
	}
	for _, x := range o.Workloads {
		set(inventory.Key{Kind: x.Kind, Namespace: x.Namespace, Name: x.Name}, x)
	}
	for _, x := range o.Hosts {
		set(inventory.Key{Kind: inventory.KindHost, Namespace: x.Namespace, Name: x.Name}, x)
	}
	for _, x := range o.Instances {
		set(inventory.Key{Kind: inventory.KindInstance, Namespace: x.Namespace, Name: x.Name}, x)
	}
	for _, k := range o.Gone {
		delete(h.things, k)
	}
	if o.Phase == inventory.PhaseListed {
		h.listed = true
		maps.DeleteFunc(h.things, func(k inventory.Key, _ any) bool { return !h.told[k] })
	}
}

func (h *hub) refuse(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = err
}

// last returns the newest observation.
func (h *hub) last() inventory.Observation {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) == 0 {
		return inventory.Observation{}
	}
	return h.all[len(h.all)-1]
}

// news returns how many observations with something in them were taken.
func (h *hub) news() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, o := range h.all {
		if size(&o) > 0 {
			n++
		}
	}
	return n
}

func size(o *inventory.Observation) int {
	return len(o.Namespaces) + len(o.Nodes) + len(o.Workloads) + len(o.Hosts) + len(o.Instances) + len(o.Gone)
}

// keys returns what is known as "Kind/namespace/name", sorted.
func (h *hub) keys() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for k := range h.things {
		out = append(out, k.Kind+"/"+k.Namespace+"/"+k.Name)
	}
	slices.Sort(out)
	return out
}

func (h *hub) instance(namespace, name string) inventory.Instance {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, _ := h.things[inventory.Key{Kind: inventory.KindInstance, Namespace: namespace, Name: name}].(inventory.Instance)
	return i
}

// A world is a cluster in memory with an observer.
type world struct {
	t       testing.TB
	api     *fake.Clientset
	hub     *hub
	o       *Observer
	watches map[string][]*watch.RaceFreeFakeWatcher // by resource
	mu      sync.Mutex
	broken  map[string]error // "list pods", "watch pods", …, or "" for all
}

// newWorld starts an observer in the bubble; it ends with the bubble's context.
func newWorld(t *testing.T, ctx context.Context, c Config, objects ...runtime.Object) *world {
	w := &world{t: t, api: fake.NewClientset(objects...), hub: newHub(t), watches: map[string][]*watch.RaceFreeFakeWatcher{}, broken: map[string]error{}}
	w.api.PrependReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		err := w.fault(a.GetVerb() + " " + a.GetResource().Resource)
		return err != nil, nil, err
	})
	w.api.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		if err := w.fault("watch " + a.GetResource().Resource); err != nil {
			return true, nil, err
		}
		i, err := w.api.Tracker().Watch(a.GetResource(), a.GetNamespace())
		if f, ok := i.(*watch.RaceFreeFakeWatcher); ok {
			w.mu.Lock()
			w.watches[a.GetResource().Resource] = append(w.watches[a.GetResource().Resource], f)
			w.mu.Unlock()
		}
		return true, i, err
	})
	c.Cluster, c.Sink = "eu-1", w.hub.take
	o, err := newObserver(c, faked{w.api})
	if err != nil {
		t.Fatal(err)
	}
	w.o = o
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) fault(call string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.broken[call]; err != nil {
		return err
	}
	return w.broken[""]
}

// breaks makes calls fail, or work again with a nil error.
func (w *world) breaks(call string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken[call] = err
}

// expire ends all watches of a resource as an API server does that has forgotten where they were.
func (w *world) expire(resource string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.watches[resource] {
		if !f.IsStopped() {
			f.Error(&metav1.Status{Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired})
		}
	}
	w.watches[resource] = nil
}

// do runs calls to the API and waits until all has come through.
func (w *world) do(calls ...error) {
	w.t.Helper()
	if err := errors.Join(calls...); err != nil {
		w.t.Fatal(err)
	}
	w.wait(time.Second)
}

func (w *world) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) create(p ...*corev1.Pod) {
	w.t.Helper()
	for _, p := range p {
		if _, err := w.api.CoreV1().Pods(p.Namespace).Create(context.Background(), p, metav1.CreateOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.wait(time.Second)
}

func (w *world) update(p ...*corev1.Pod) {
	w.t.Helper()
	for _, p := range p {
		if _, err := w.api.CoreV1().Pods(p.Namespace).Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.wait(time.Second)
}

// bubble runs a test in fake time.
func bubble(t *testing.T, f func(t *testing.T, ctx context.Context)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		t.Cleanup(stop)
		f(t, ctx)
	})
}

func errOf[T any](_ T, err error) error { return err }

func controlledBy(kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{Kind: kind, Name: name, Controller: &yes, UID: types.UID(name)}}
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name + "-uid")}}
}

func deployment(name string, replicas int32, version string) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	d.Spec.Replicas = &replicas
	d.Spec.Template.Labels = map[string]string{"app": name, "version": version}
	return d
}

// readyPod returns a pod of a Deployment's roll-out.
func readyPod(name, deployment, hash string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, Labels: map[string]string{"app": deployment, "team": "a", labelTemplateHash: hash},
			OwnerReferences: controlledBy("ReplicaSet", deployment+"-"+hash),
		},
		Spec: corev1.PodSpec{NodeName: "n1", ServiceAccountName: "default", Containers: []corev1.Container{{Name: "main", Image: "shop/" + deployment + ":1"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "main", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
				ImageID: fmt.Sprintf("docker-pullable://shop/%s@sha256:%064d", deployment, 7),
			}},
		},
	}
}

// waiting makes a pod's container wait.
func waiting(p *corev1.Pod, reason string, restarts int32) *corev1.Pod {
	p = p.DeepCopy()
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady"}}
	p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	p.Status.ContainerStatuses[0].RestartCount = restarts
	return p
}

// nobody returns a cluster with nothing in it.
func nobody() *fake.Clientset { return fake.NewClientset() }
