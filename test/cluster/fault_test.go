//go:build peers

package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"evenkeel.dev/test/peer"
)

// A follower keeps the pods of a cluster in memory as a controller does, through the link.
type follower struct{ pods listers.PodLister }

func follow(t *testing.T, c *Cluster) *follower {
	t.Helper()
	factory := informers.NewSharedInformerFactory(c.Client, 0)
	informer := factory.Core().V1().Pods().Informer()
	f := &follower{pods: factory.Core().V1().Pods().Lister()}
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	t.Cleanup(func() {
		cancel()
		factory.Shutdown()
	})
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatal("the pods were never listed")
	}
	return f
}

// waitReady waits until the follower knows just so many Ready pods.
func (f *follower) waitReady(t *testing.T, namespace string, want int) {
	t.Helper()
	peer.Until(t, time.Minute, fmt.Sprintf("the follower knows %d Ready pods", want), func() error {
		pods, err := f.pods.Pods(namespace).List(labels.Everything())
		if err != nil {
			return err
		}
		n := 0
		for _, p := range pods {
			if ready(p) {
				n++
			}
		}
		if n != want {
			return fmt.Errorf("it knows %d of %d", n, len(pods))
		}
		return nil
	})
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// A test that believes to have killed the API server while data are lost or clients never come back would blame the product for it.
func TestPeersAPIServerKilled(t *testing.T) {
	c := Start(t, Config{Nodes: 2})
	c.Deployment("shop", "cart", 6, nil, "cart:1")
	c.WaitReady("shop", "cart", 6, time.Minute)
	f := follow(t, c)
	f.waitReady(t, "shop", 6)

	c.KillAPIServer()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := c.Client.CoreV1().Pods("shop").List(ctx, metav1.ListOptions{}); err == nil {
		t.Error("a dead API server answers")
	}
	f.waitReady(t, "shop", 6) // what a client knew it still knows
	begun := time.Now()
	c.StartAPIServer()
	t.Logf("the API server is back after %.1f s", time.Since(begun).Seconds())

	if got := len(c.Pods("shop", "app=cart")); got != 6 {
		t.Errorf("%d pods after the restart, want 6", got)
	}
	c.Scale("shop", "cart", 9)
	c.WaitReady("shop", "cart", 9, time.Minute)
	f.waitReady(t, "shop", 9)
	t.Logf("controllers and clients go on %.1f s after the start", time.Since(begun).Seconds())
}

// A link that is said to be cut and is not would let a client pass that loses what happened meanwhile.
func TestPeersWatchCut(t *testing.T) {
	c := Start(t, Config{Nodes: 2})
	c.Deployment("shop", "cart", 4, nil, "cart:1")
	c.WaitReady("shop", "cart", 4, time.Minute)
	f := follow(t, c)
	f.waitReady(t, "shop", 4)

	watch, err := c.Client.CoreV1().Pods("shop").Watch(t.Context(), metav1.ListOptions{})
	must(t, err)
	c.CutWatches()
	for range watch.ResultChan() { // until it is closed, or the test's time is over
	}
	c.Scale("shop", "cart", 6)
	f.waitReady(t, "shop", 6)

	c.Link.Block()
	if n := c.Link.Connections(); n != 0 {
		t.Errorf("%d connections on a blocked link", n)
	}
	if err := answers(t, c, 2*time.Second); err == nil {
		t.Error("the API server answers through a blocked link")
	}
	if err := c.direct.RESTClient().Get().AbsPath("/readyz").Do(t.Context()).Error(); err != nil {
		t.Errorf("the API server itself suffers from a blocked link: %v", err)
	}
	c.Link.Unblock()
	c.Scale("shop", "cart", 3)
	f.waitReady(t, "shop", 3)

	c.Link.Freeze()
	if err := answers(t, c, 2*time.Second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen link answers with %v, want silence", err)
	}
	c.Link.Thaw()
	if err := answers(t, c, 20*time.Second); err != nil {
		t.Errorf("after the thaw: %v", err)
	}
	c.Scale("shop", "cart", 5)
	f.waitReady(t, "shop", 5)
}

func answers(t *testing.T, c *Cluster, timeout time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return c.Client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// A node that dies without a word must be seen as a user's cluster sees it: NotReady, its pods not Ready, then replaced elsewhere, and
// back when it returns.
func TestPeersNodeDeath(t *testing.T) {
	c := Start(t, Config{Nodes: 3, NodeGrace: 6 * time.Second, Eviction: 2 * time.Second})
	c.Deployment("shop", "cart", 9, nil, "cart:1")
	c.WaitReady("shop", "cart", 9, time.Minute)
	victim := c.Pods("shop", "app=cart")[0].Spec.NodeName

	begun := time.Now()
	c.KillNode(victim)
	c.WaitNode(victim, corev1.ConditionUnknown)
	t.Logf("%s is NotReady %.1f s after it died", victim, time.Since(begun).Seconds())
	peer.Until(t, time.Minute, "its pods are not Ready and on their way out", func() error {
		for _, p := range c.Pods("shop", "app=cart") {
			if p.Spec.NodeName == victim && (ready(&p) || p.DeletionTimestamp == nil) {
				return fmt.Errorf("pod %s: Ready %v, deleted %v", p.Name, ready(&p), p.DeletionTimestamp)
			}
		}
		return nil
	})
	c.WaitReady("shop", "cart", 9, time.Minute)
	t.Logf("all pods are replaced %.1f s after it died", time.Since(begun).Seconds())
	terminating := 0
	for _, p := range c.Pods("shop", "app=cart") {
		if p.Spec.NodeName == victim {
			terminating++
		}
	}
	if terminating == 0 {
		t.Error("the pods of a dead node are gone, although nobody can have ended them")
	}

	c.ReviveNode(victim)
	c.WaitNode(victim, corev1.ConditionTrue)
	peer.Until(t, time.Minute, "the pods that it was to end are gone", func() error {
		if pods := c.Pods("shop", "app=cart"); len(pods) != 9 {
			return fmt.Errorf("%d pods", len(pods))
		}
		return nil
	})
}
