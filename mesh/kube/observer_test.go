package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

// A roll-out would stay one version, a scale-up or a removal would not be seen, or records would be made of nothing.
func TestRollout(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		w := newWorld(t, ctx, Config{TrustDomain: "shop.example"}, namespace("kube-system"), namespace("shop"), deployment("cart", 2, ""), readyPod("cart-a-1", "cart", "a"))
		w.wait(time.Second)
		if got := w.hub.last(); got.Phase != inventory.PhaseListed || w.hub.all[0].Info.UID != "kube-system-uid" || w.hub.all[0].Info.Version == "" {
			t.Fatalf("after the listing: %+v", got)
		}
		want := []string{"Deployment/shop/cart", "Namespace//shop", "Pod/shop/cart-a-1"}
		if got := w.hub.keys(); !slices.Equal(got, want) {
			t.Fatalf("known: %v, want %v", got, want)
		}
		i := w.hub.instance("shop", "cart-a-1")
		if i.Service != "cart" || i.Version != "a" || i.Workload != "Deployment/cart" || i.State != inventory.StateHealthy || i.Node != "n1" ||
			i.Identity != "spiffe://shop.example/ns/shop/sa/default" || i.Images[0].Digest != fmt.Sprintf("sha256:%064d", 7) || i.Labels != nil {
			t.Errorf("instance: %+v", i)
		}
		w.create(readyPod("cart-b-1", "cart", "b"))
		w.do(w.api.CoreV1().Pods("shop").Delete(ctx, "cart-a-1", metav1.DeleteOptions{}),
			errOf(w.api.AppsV1().Deployments("shop").Update(ctx, deployment("cart", 5, "v2"), metav1.UpdateOptions{})))
		if got := w.hub.instance("shop", "cart-b-1"); got.Version != "b" || got.Service != "cart" {
			t.Errorf("the new version: %+v", got)
		}
		d, _ := w.hub.things[inventory.Key{Kind: "Deployment", Namespace: "shop", Name: "cart"}].(inventory.Workload)
		if d.Desired != 5 || d.Version != "v2" || d.Service != "cart" {
			t.Errorf("the workload: %+v", d)
		}
		if got, want := w.hub.keys(), []string{"Deployment/shop/cart", "Namespace//shop", "Pod/shop/cart-b-1"}; !slices.Equal(got, want) {
			t.Errorf("known: %v, want %v", got, want)
		}
	})
}

// Heartbeats would fill the log, or a silent cluster would count as dark.
func TestSilence(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		p := readyPod("cart-a-1", "cart", "a")
		w := newWorld(t, ctx, Config{}, namespace("shop"), p)
		w.wait(time.Second)
		news, n := w.hub.news(), w.hub.last().Number
		p = p.DeepCopy()
		p.ResourceVersion, p.Annotations = "77", map[string]string{"seen": "now"}
		p.Status.Conditions[0].LastProbeTime = metav1.Now()
		w.update(p)
		w.wait(58 * time.Second)
		if got := w.hub.news(); got != news {
			t.Errorf("%d observations of a heartbeat: %+v", got-news, w.hub.last())
		}
		if got := w.hub.last(); got.Phase != inventory.PhaseWatching || got.Number < n+5 || got.Number > n+7 {
			t.Errorf("signs of life in a minute: %d", got.Number-n)
		}
		if w.o.Stats().Unchanged == 0 {
			t.Error("the heartbeat was not even looked at")
		}
	})
}

// A crash loop, a pod without a workload and the pods of a CronJob would be told wrong, or a pod would change its service when its Job goes first.
func TestPods(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		w := newWorld(t, ctx, Config{}, namespace("shop"), readyPod("cart-a-1", "cart", "a"))
		w.wait(time.Second)
		w.update(waiting(readyPod("cart-a-1", "cart", "a"), "CrashLoopBackOff", 4))
		if i := w.hub.instance("shop", "cart-a-1"); i.State != inventory.StateError || i.Reason != "CrashLoopBackOff" || i.Restarts != 4 {
			t.Errorf("crash loop: %+v", i)
		}
		bare := readyPod("toolbox", "", "")
		bare.Labels, bare.OwnerReferences = nil, nil
		nightly := readyPod("nightly-1-x", "", "")
		nightly.Labels, nightly.OwnerReferences = nil, controlledBy("Job", "nightly-1")
		w.create(bare, nightly) // the pod comes before its Job is seen
		if i := w.hub.instance("shop", "toolbox"); i.Service != "toolbox" || i.Version != "latest" || i.Workload != "" {
			t.Errorf("bare pod: %+v", i)
		}
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "nightly-1", OwnerReferences: controlledBy("CronJob", "nightly")}}
		w.do(errOf(w.api.BatchV1().Jobs("shop").Create(ctx, job, metav1.CreateOptions{})))
		if i := w.hub.instance("shop", "nightly-1-x"); i.Service != "nightly" || i.Workload != "CronJob/nightly" {
			t.Errorf("pod of a CronJob: %+v", i)
		}
		w.do(w.api.BatchV1().Jobs("shop").Delete(ctx, "nightly-1", metav1.DeleteOptions{}))
		nightly.Status.Phase = corev1.PodSucceeded
		w.update(nightly)
		if i := w.hub.instance("shop", "nightly-1-x"); i.Service != "nightly" || !i.Done || i.State != inventory.StateHealthy {
			t.Errorf("ended pod of a CronJob whose Job is gone: %+v", i)
		}
		if got := w.hub.keys(); slices.Contains(got, "Job/shop/nightly-1") {
			t.Errorf("a Job that a CronJob owns is told: %v", got)
		}
	})
}

// Labels would not be there for a Service that selects by them, or all labels of all pods would be.
func TestSelectedLabels(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		w := newWorld(t, ctx, Config{}, namespace("shop"), readyPod("cart-a-1", "cart", "a"))
		w.wait(time.Second)
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"team": "b"}}}
		w.do(errOf(w.api.CoreV1().Services("shop").Create(ctx, s, metav1.CreateOptions{})))
		if i := w.hub.instance("shop", "cart-a-1"); len(i.Labels) != 1 || i.Labels["team"] != "a" {
			t.Errorf("selected labels: %v", i.Labels)
		}
		s = s.DeepCopy()
		s.Spec.Selector = map[string]string{"app": "cart"}
		w.do(errOf(w.api.CoreV1().Services("shop").Update(ctx, s, metav1.UpdateOptions{})))
		if i := w.hub.instance("shop", "cart-a-1"); len(i.Labels) != 1 || i.Labels["app"] != "cart" {
			t.Errorf("labels after the selector changed: %v", i.Labels)
		}
		w.do(w.api.CoreV1().Services("shop").Delete(ctx, "cart", metav1.DeleteOptions{}))
		if i := w.hub.instance("shop", "cart-a-1"); i.Labels != nil {
			t.Errorf("labels without a Service: %v", i.Labels)
		}
	})
}

// Pods that nobody hears of would look healthy, or stay unknown when their node is back.
func TestNodeLost(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		node := func(s corev1.ConditionStatus) *corev1.Node {
			return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{corev1.LabelTopologyZone: "z"}},
				Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: s}}}}
		}
		w := newWorld(t, ctx, Config{}, namespace("shop"), node(corev1.ConditionTrue), readyPod("cart-a-1", "cart", "a"))
		w.wait(time.Second)
		for _, c := range []struct {
			status corev1.ConditionStatus
			state  string
		}{{corev1.ConditionUnknown, inventory.StateUnknown}, {corev1.ConditionTrue, inventory.StateHealthy}} {
			w.do(errOf(w.api.CoreV1().Nodes().Update(ctx, node(c.status), metav1.UpdateOptions{})))
			if i := w.hub.instance("shop", "cart-a-1"); i.State != c.state {
				t.Errorf("node %s: %+v", c.status, i)
			}
		}
	})
}

// What was deleted while the watch was lost would live on in the inventory.
func TestWatchLost(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		w := newWorld(t, ctx, Config{}, namespace("shop"), readyPod("cart-a-1", "cart", "a"), readyPod("cart-a-2", "cart", "a"))
		w.wait(time.Second)
		w.breaks("list pods", errors.New("connection refused"))
		w.expire("pods")
		w.wait(2 * time.Second)
		w.do(w.api.CoreV1().Pods("shop").Delete(ctx, "cart-a-1", metav1.DeleteOptions{}))
		if got := w.hub.instance("shop", "cart-a-1"); got.Name == "" {
			t.Fatal("the watch is not lost")
		}
		w.breaks("list pods", nil)
		w.wait(15 * time.Second)
		if got, want := w.hub.keys(), []string{"Namespace//shop", "Pod/shop/cart-a-2"}; !slices.Equal(got, want) {
			t.Errorf("known: %v, want %v", got, want)
		}
	})
}

// A cluster that cannot be read would be taken for a silent observer, or its old picture for the present one.
func TestBlind(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		w := newWorld(t, ctx, Config{}, namespace("shop"), readyPod("cart-a-1", "cart", "a"))
		w.wait(time.Second)
		life := w.hub.last().Observer
		w.breaks("", errors.New("connection refused"))
		w.wait(9 * time.Second)
		if got := w.hub.last(); got.Phase == inventory.PhaseBlind {
			t.Errorf("blind after 9 s")
		}
		w.wait(36 * time.Second)
		blind := 0
		for _, o := range w.hub.all {
			if o.Phase == inventory.PhaseBlind {
				blind++
			}
		}
		if got := w.hub.last(); got.Phase != inventory.PhaseBlind || !strings.Contains(got.Reason, "connection refused") || blind < 3 || blind > 4 {
			t.Errorf("%d times blind within 45 s: %+v", blind, got)
		}
		w.breaks("", nil)
		w.wait(4 * time.Second)
		if got := w.hub.last(); got.Phase != inventory.PhaseWatching || got.Observer != life || got.Reason != "" {
			t.Errorf("after it is back: %+v", got)
		}
	})
}

// An observer that begins while the cluster is away would say nothing, or its listing would not open a life.
func TestBlindFromTheStart(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		w := newWorld(t, ctx, Config{}, namespace("shop"))
		w.breaks("", errors.New("connection refused"))
		w.breaks("list pods", errors.New("connection refused"))
		w.wait(30 * time.Second)
		w.breaks("", nil)
		w.breaks("list pods", nil)
		w.wait(15 * time.Second)
		if got := w.hub.last(); !w.hub.listed || got.Phase == inventory.PhaseBlind {
			t.Errorf("after it came: %+v", got)
		}
	})
}

// A role without nodes would darken the whole cluster, or nobody would hear what is missing; without pods it must not look empty.
func TestForbidden(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		forbid := func(r string) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: r}, "", errors.New("no"))
		}
		w := newWorld(t, ctx, Config{}, namespace("shop"))
		w.breaks("list nodes", forbid("nodes"))
		w.breaks("watch nodes", forbid("nodes"))
		w.wait(15 * time.Second)
		w.expire("nodes")
		w.expire("pods")
		w.wait(15 * time.Second)
		if got := w.hub.last(); got.Phase != inventory.PhaseWatching || !strings.Contains(got.Reason, "nodes: no right to list") || !w.hub.listed {
			t.Errorf("without nodes: %+v", got)
		}
		w.breaks("list pods", forbid("pods"))
		w.breaks("watch pods", forbid("pods"))
		w.expire("pods")
		w.wait(30 * time.Second)
		if got := w.hub.last(); got.Phase != inventory.PhaseBlind || !strings.Contains(got.Reason, "pods: no right to list") {
			t.Errorf("without pods: %+v", got)
		}
	})
}

// Namespaces that were excluded would be told, or one that was included would not.
func TestExclusion(t *testing.T) {
	names := []string{"default", "shop", "shop-test", "kube-system", "kube-flannel", "istio-system", "evenkeel-system"}
	for _, c := range []struct {
		name             string
		include, exclude []member.Pattern
		want             string
	}{
		{"default", nil, nil, "default shop shop-test"},
		{"excluded", nil, []member.Pattern{{Type: member.Exact, Match: "shop"}, {Type: member.StartsWith, Match: "kube-"}}, "default evenkeel-system istio-system shop-test"},
		{"included", []member.Pattern{{Type: member.StartsWith, Match: "shop"}}, nil, "shop shop-test"},
		{"both", []member.Pattern{{Type: member.StartsWith, Match: "shop"}}, []member.Pattern{{Type: member.Exact, Match: "shop-test"}}, "shop"},
		{"nothing excluded", []member.Pattern{{Type: member.Exact, Match: "kube-system"}}, []member.Pattern{}, "kube-system"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, ctx context.Context) {
				w := newWorld(t, ctx, Config{Include: c.include, Exclude: c.exclude})
				w.wait(time.Second)
				for _, n := range names {
					p := readyPod("cart-a-1", "cart", "a")
					p.Namespace = n
					w.create(p)
					w.do(errOf(w.api.CoreV1().Namespaces().Create(ctx, namespace(n), metav1.CreateOptions{})))
				}
				var namespaces, pods []string
				for _, k := range w.hub.keys() {
					kind, rest, _ := strings.Cut(k, "/")
					ns, name, _ := strings.Cut(rest, "/")
					if kind == inventory.KindNamespace {
						namespaces = append(namespaces, name)
					} else {
						pods = append(pods, ns)
					}
				}
				slices.Sort(pods)
				if got := strings.Join(namespaces, " "); got != c.want || !slices.Equal(namespaces, pods) {
					t.Errorf("namespaces %q, pods of %v, want %q", got, pods, c.want)
				}
			})
		})
	}
}

// A log that is full would lose changes, or make memory grow; and one that has lost the thread would never get the whole again.
func TestSinkFails(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		w := newWorld(t, ctx, Config{}, namespace("shop"), readyPod("cart-a-1", "cart", "a"))
		w.wait(time.Second)
		n := w.hub.last().Number
		w.hub.refuse(errors.New("the log is full"))
		for i := range int32(50) {
			w.update(waiting(readyPod("cart-a-1", "cart", "a"), "CrashLoopBackOff", i+1))
			p := readyPod(fmt.Sprint("cart-a-", i+2), "cart", "a")
			w.create(p)
			w.do(w.api.CoreV1().Pods("shop").Delete(ctx, p.Name, metav1.DeleteOptions{}))
		}
		if s := w.o.Stats(); s.Pending > 60 || s.SinkErrors == 0 {
			t.Errorf("while the sink refuses: %+v", s)
		}
		w.hub.refuse(nil)
		w.wait(6 * time.Second)
		if i := w.hub.instance("shop", "cart-a-1"); i.Restarts != 50 || w.hub.last().Number != n+2 || len(w.hub.keys()) != 2 {
			t.Errorf("after %d observations: %+v, %v", w.hub.last().Number-n, i, w.hub.keys())
		}
		life := w.hub.last().Observer
		w.hub.refuse(fmt.Errorf("append: %w", ErrRelist))
		w.update(readyPod("cart-a-1", "cart", "a"))
		w.hub.refuse(nil)
		w.hub.mu.Lock()
		w.hub.things[inventory.Key{Kind: "Job", Name: "stray"}] = true
		w.hub.mu.Unlock()
		w.wait(6 * time.Second)
		if w.hub.last().Observer == life || !w.hub.listed || len(w.hub.keys()) != 2 || w.hub.instance("shop", "cart-a-1").State != inventory.StateHealthy {
			t.Errorf("after a new listing: %v, %+v", w.hub.keys(), w.hub.last())
		}
	})
}

// One tenant's mass of pods would take the memory of all, or nobody would know that something is left out.
func TestBounds(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		old, young := readyPod("b-old", "cart", "a"), readyPod("a-young", "cart", "a")
		old.CreationTimestamp, young.CreationTimestamp = metav1.Unix(1000, 0), metav1.Unix(2000, 0)
		fat := readyPod("fat", "cart", "a")
		fat.Labels["note"] = strings.Repeat("x", 5000)
		w := newWorld(t, ctx, Config{Bounds: Bounds{Pods: 2, Bytes: 4000}}, namespace("shop"), old, young, fat)
		w.wait(time.Second)
		w.create(readyPod("late", "cart", "a"))
		if got, want := w.hub.keys(), []string{"Namespace//shop", "Pod/shop/a-young", "Pod/shop/b-old"}; !slices.Equal(got, want) {
			t.Errorf("known: %v, want %v", got, want)
		}
		w.wait(11 * time.Second) // until the next sign of life
		if told, counted := w.hub.last().Left, w.o.Stats().Left; told != 2 || counted != 2 {
			t.Errorf("left out: told %d, counted %d, not 2", told, counted)
		}
		w.do(w.api.CoreV1().Pods("shop").Delete(ctx, "a-young", metav1.DeleteOptions{}))
		w.update(readyPod("late", "cart", "a"))
		if got, want := w.hub.keys(), []string{"Namespace//shop", "Pod/shop/b-old", "Pod/shop/late"}; !slices.Equal(got, want) || w.o.Stats().Left != 1 {
			t.Errorf("known: %v, want %v; left %d", got, want, w.o.Stats().Left)
		}
	})
}

// A large cluster would make messages that the log refuses.
func TestParts(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		objects := []runtime.Object{namespace("shop")}
		for i := range 2000 {
			objects = append(objects, readyPod(fmt.Sprint("cart-a-", i), "cart", "a"))
		}
		w := newWorld(t, ctx, Config{}, objects...)
		w.wait(time.Second)
		if len(w.hub.keys()) != 2001 {
			t.Fatalf("%d things", len(w.hub.keys()))
		}
		for _, o := range w.hub.all {
			if n := len(encoded(t, o)); n > maxSize+1000 {
				t.Errorf("observation %d takes %d bytes", o.Number, n)
			}
		}
		if n := w.hub.news(); n < 2 || n > 10 {
			t.Errorf("%d parts", n)
		}
	})
}
