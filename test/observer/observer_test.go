//go:build peers

package observer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/kube"
	"evenkeel.dev/test/cluster"
	"evenkeel.dev/test/peer"
)

// A ledger folds observations.
type ledger struct {
	mu     sync.Mutex
	last   inventory.Observation
	things map[inventory.Key]string // what of a thing is compared
	taken  int
	news   int
	bytes  int
	blind  int
	listed bool
}

func (l *ledger) take(_ context.Context, o inventory.Observation) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.Observer == o.Observer && l.last.Number+1 != o.Number {
		return fmt.Errorf("%d follows %d", o.Number, l.last.Number)
	}
	l.last = o
	l.taken++
	l.bytes += len(data)
	if len(o.Namespaces)+len(o.Nodes)+len(o.Workloads)+len(o.Hosts)+len(o.Instances)+len(o.Gone) > 0 {
		l.news++
	}
	if o.Phase == inventory.PhaseBlind {
		l.blind++
	}
	for _, x := range o.Namespaces {
		l.things[inventory.Key{Kind: inventory.KindNamespace, Name: x.Name}] = ""
	}
	for _, x := range o.Nodes {
		l.things[inventory.Key{Kind: inventory.KindNode, Name: x.Name}] = fmt.Sprint(x.Ready, x.Zone)
	}
	for _, x := range o.Workloads {
		l.things[inventory.Key{Kind: x.Kind, Namespace: x.Namespace, Name: x.Name}] = fmt.Sprint(x.Desired, x.Service)
	}
	for _, x := range o.Hosts {
		l.things[inventory.Key{Kind: inventory.KindHost, Namespace: x.Namespace, Name: x.Name}] = x.ClusterIP
	}
	for _, x := range o.Instances {
		l.things[inventory.Key{Kind: inventory.KindInstance, Namespace: x.Namespace, Name: x.Name}] = strings.Join([]string{x.Service, x.Version, x.Workload, x.Node, x.IP, x.State, x.Reason}, " ")
	}
	for _, k := range o.Gone {
		delete(l.things, k)
	}
	l.listed = l.listed || o.Phase == inventory.PhaseListed
	return nil
}

func (l *ledger) numbers() (news, blind int, last inventory.Observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.news, l.blind, l.last
}

// truth lists what the API server knows, in the same words.
func truth(ctx context.Context, c *cluster.Cluster) (map[inventory.Key]string, error) {
	out := map[inventory.Key]string{}
	var all metav1.ListOptions
	namespaces, err1 := c.Client.CoreV1().Namespaces().List(ctx, all)
	nodes, err2 := c.Client.CoreV1().Nodes().List(ctx, all)
	pods, err3 := c.Client.CoreV1().Pods("").List(ctx, all)
	deployments, err4 := c.Client.AppsV1().Deployments("").List(ctx, all)
	services, err5 := c.Client.CoreV1().Services("").List(ctx, all)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	for _, n := range namespaces.Items {
		if !strings.HasPrefix(n.Name, "kube-") && n.Name != "evenkeel-system" {
			out[inventory.Key{Kind: inventory.KindNamespace, Name: n.Name}] = ""
		}
	}
	for _, n := range nodes.Items {
		ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == "Ready" && c.Status == "True" })
		out[inventory.Key{Kind: inventory.KindNode, Name: n.Name}] = fmt.Sprint(ready, n.Labels["topology.kubernetes.io/zone"])
	}
	for _, d := range deployments.Items {
		out[inventory.Key{Kind: "Deployment", Namespace: d.Namespace, Name: d.Name}] = fmt.Sprint(*d.Spec.Replicas, d.Name)
	}
	for _, s := range services.Items {
		out[inventory.Key{Kind: inventory.KindHost, Namespace: s.Namespace, Name: s.Name}] = s.Spec.ClusterIP
	}
	for _, p := range pods.Items {
		state := "Warning not settled"
		if p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == "Ready" && c.Status == "True" }) {
			state = "Healthy "
		}
		app := p.Labels["app"]
		out[inventory.Key{Kind: inventory.KindInstance, Namespace: p.Namespace, Name: p.Name}] = strings.Join(
			[]string{app, p.Labels["pod-template-hash"], "Deployment/" + app, p.Spec.NodeName, p.Status.PodIP, state}, " ")
	}
	return out, nil
}

// agree waits until what was told is what there is.
func agree(t *testing.T, c *cluster.Cluster, l *ledger, when string) {
	t.Helper()
	begun := time.Now()
	peer.Until(t, 90*time.Second, when, func() error {
		want, err := truth(t.Context(), c)
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if diff := cmp.Diff(want, l.things); diff != "" {
			return fmt.Errorf("(-there is, +told):\n%s", diff)
		}
		return nil
	})
	news, blind, last := l.numbers()
	t.Logf("%s: agreed after %.1f s; %d observations with news, %d blind, last %s", when, time.Since(begun).Seconds(), news, blind, last.Phase)
}

// What the inventory says would not be what runs: after a roll-out, a cut watch, and the death of the API server; and the rights that are documented would not suffice.
func TestPeersObserver(t *testing.T) {
	c := cluster.Start(t, cluster.Config{Nodes: 3})
	rights, err := os.ReadFile("../../deploy/kubernetes/observer-rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.Namespace("evenkeel-system")
	c.Apply(string(rights))
	connection, err := kube.Connect(c.WithToken("observer", c.Token("evenkeel-system", "observer")), "")
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{things: map[inventory.Key]string{}}
	o, err := kube.New(kube.Config{Cluster: "eu-1", REST: connection, Sink: l.take})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	c.Deployment("shop", "cart", 30, nil, "cart:1")
	c.WaitReady("shop", "cart", 30, time.Minute)
	agree(t, c, l, "30 pods")
	if s := o.Stats(); s.Reason != "" || s.WatchErrors != 0 || s.Objects[inventory.KindInstance] != 30 {
		t.Errorf("with the documented rights: %+v", s)
	}

	rollOut(t, c, "cart:2")
	c.WaitReady("shop", "cart", 30, time.Minute)
	agree(t, c, l, "a roll-out")

	before, _, _ := l.numbers()
	quiet := time.NewTimer(15 * time.Second) // nodes renew, nothing changes
	<-quiet.C
	if after, _, _ := l.numbers(); after != before {
		t.Errorf("%d observations of nothing in 15 s", after-before)
	}

	c.CutWatches()
	c.Scale("shop", "cart", 20)
	c.WaitReady("shop", "cart", 20, time.Minute)
	agree(t, c, l, "a cut watch")

	c.KillAPIServer()
	peer.Until(t, 40*time.Second, "it says that it is blind", func() error {
		if _, blind, _ := l.numbers(); blind == 0 {
			return errors.New("it does not")
		}
		return nil
	})
	c.StartAPIServer()
	c.Scale("shop", "cart", 25)
	c.WaitReady("shop", "cart", 25, 90*time.Second)
	agree(t, c, l, "the API server's death")
	if _, _, last := l.numbers(); last.Phase != inventory.PhaseWatching || o.Stats().Relists != 0 {
		t.Errorf("after all: %+v", last)
	}
	t.Logf("%d observations, %d bytes; %+v", l.taken, l.bytes, o.Stats())
}

func rollOut(t *testing.T, c *cluster.Cluster, image string) {
	t.Helper()
	if err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		d, err := c.Client.AppsV1().Deployments("shop").Get(t.Context(), "cart", metav1.GetOptions{})
		if err != nil {
			return err
		}
		d.Spec.Template.Spec.Containers[0].Image = image
		_, err = c.Client.AppsV1().Deployments("shop").Update(t.Context(), d, metav1.UpdateOptions{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
