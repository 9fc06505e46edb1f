//go:build peers

package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"

	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/test/cluster"
	"evenkeel.dev/test/peer"
)

const definitions = `apiVersion: evenkeel.dev/v1beta1
kind: GlobalNamespace
metadata: {name: shop}
spec:
  domain: shop.internal
  matchConditions: [{namespace: {type: Exact, match: shop}}]
  acceptedFrom: [{cluster: eu-1}, {cluster: us-1}]
---
apiVersion: evenkeel.dev/v1beta1
kind: ResourceGroup
metadata: {name: carts}
spec: {globalNamespace: shop, kind: Service, rules: {fn: AND, match: [{type: Name, fn: StartsWith, value: cart}]}}
---
apiVersion: evenkeel.dev/v1beta1
kind: Cluster
metadata: {name: us-1}
spec: {region: us, namespaces: {exclude: [{type: Exact, match: hidden}]}}
`

// observing starts Evenkeel on clusters, each with the rights of deploy/kubernetes and no more.
func observing(t *testing.T, clusters map[string]*cluster.Cluster) *peer.Evenkeel {
	t.Helper()
	rights, err := os.ReadFile("../../deploy/kubernetes/observer-rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte(definitions), 0o600); err != nil {
		t.Fatal(err)
	}
	kubeconfigs, args := map[string]string{}, []string(nil)
	for name, c := range clusters {
		c.Namespace("evenkeel-system")
		c.Apply(string(rights))
		kubeconfigs[name], args = c.WithToken("observer", c.Token("evenkeel-system", "observer")), append(args, "--observe", name)
	}
	e := peer.StartEvenkeel(t, peer.EvenkeelConfig{Config: folder, Args: args, Env: []string{"KUBECONFIG=" + cluster.Contexts(t, kubeconfigs)}})
	e.WaitReady(time.Minute)
	return e
}

// list asks with the command line as a user would.
func list[T any](e *peer.Evenkeel, args ...string) ([]T, error) {
	out, errs, code := e.Run(append(append([]string{"get"}, args...), "-o", "json")...)
	if code != 0 {
		return nil, fmt.Errorf("get %v: exit %d: %s", args, code, errs)
	}
	var v struct {
		Items []T `json:"items"`
	}
	return v.Items, json.Unmarshal([]byte(out), &v)
}

// shows waits until a service is as wanted.
func shows(t *testing.T, e *peer.Evenkeel, when string, want func(inventory.ServiceView) error) {
	t.Helper()
	peer.Until(t, 90*time.Second, when, func() error {
		all, err := list[inventory.ServiceView](e, "services", "--gns", "shop")
		if err != nil {
			return err
		}
		for _, v := range all {
			if v.Name == "cart" {
				return want(v)
			}
		}
		return fmt.Errorf("there is no cart among %d services", len(all))
	})
}

// counts wants so many ready instances in all, and so many versions.
func counts(ready, versions int, clusters ...string) func(inventory.ServiceView) error {
	return func(v inventory.ServiceView) error {
		if v.Ready != ready || len(v.Versions) != versions || !slices.Equal(v.Clusters, clusters) {
			return fmt.Errorf("%d of %d ready, versions %v, clusters %v, %s %s", v.Ready, v.Desired, v.Versions, v.Clusters, v.State, v.Reason)
		}
		return nil
	}
}

func rollOut(t *testing.T, c *cluster.Cluster, version string) {
	t.Helper()
	if err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		d, err := c.Client.AppsV1().Deployments("shop").Get(t.Context(), "cart", metav1.GetOptions{})
		if err != nil {
			return err
		}
		d.Spec.Template.Labels["version"] = version
		_, err = c.Client.AppsV1().Deployments("shop").Update(t.Context(), d, metav1.UpdateOptions{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// What runs in two real clusters would not be what the engine shows: services over both, versions of a roll-out, a group, excluded namespaces, a cluster that cannot be read, and one that comes back.
func TestPeersInventory(t *testing.T) {
	eu, us := cluster.Start(t, cluster.Config{Name: "eu", Nodes: 2}), cluster.Start(t, cluster.Config{Name: "us", Nodes: 2})
	for _, c := range []*cluster.Cluster{eu, us} {
		c.Deployment("shop", "cart", 3, map[string]string{"version": "v1"}, "cart:1")
		c.Deployment("hidden", "secret", 1, nil, "secret:1")
	}
	e := observing(t, map[string]*cluster.Cluster{"eu-1": eu, "us-1": us})
	shows(t, e, "both clusters are one service", counts(6, 1, "eu-1", "us-1"))

	rollOut(t, us, "v2")
	shows(t, e, "a roll-out is a new version of the same service", counts(6, 2, "eu-1", "us-1"))
	peer.Until(t, 10*time.Second, "a group holds both", func() error { // groups follow with the next tick
		groups, err := list[inventory.GroupView](e, "groups")
		if err != nil || len(groups) != 1 || len(groups[0].Resources) != 2 || groups[0].Ready != 6 {
			return fmt.Errorf("groups %+v: %w", groups, err)
		}
		return nil
	})
	hidden, err := list[inventory.ServiceView](e, "services", "--gns", "default")
	if err != nil || !slices.ContainsFunc(hidden, func(v inventory.ServiceView) bool {
		return v.Name == "secret" && slices.Equal(v.Clusters, []string{"eu-1"})
	}) {
		t.Errorf("outside of shop there is %+v: %v", hidden, err)
	}

	eu.KillAPIServer()
	state := func(want string) func() error {
		return func() error {
			cs, err := list[inventory.ClusterView](e, "clusters")
			if err != nil || len(cs) != 2 {
				return fmt.Errorf("%+v: %w", cs, err)
			}
			if cs[0].Name != "eu-1" || cs[0].State != want {
				return fmt.Errorf("%s is %s (%s)", cs[0].Name, cs[0].State, cs[0].Reason)
			}
			return nil
		}
	}
	peer.Until(t, time.Minute, "a cluster without an API server is Blind", state(inventory.ClusterBlind))
	shows(t, e, "what was known of it is kept", counts(6, 2, "eu-1", "us-1"))
	eu.StartAPIServer()
	eu.Scale("shop", "cart", 5)
	eu.WaitReady("shop", "cart", 5, 2*time.Minute)
	peer.Until(t, time.Minute, "it is Ready again", state(inventory.ClusterReady))
	shows(t, e, "what has changed meanwhile is seen", counts(8, 2, "eu-1", "us-1"))

	e.Kill()
	eu.Scale("shop", "cart", 1)
	eu.WaitReady("shop", "cart", 1, time.Minute)
	e.Restart()
	e.WaitReady(time.Minute)
	shows(t, e, "what has changed while the engine was away is seen", counts(4, 2, "eu-1", "us-1"))
}

// An event of a pod would come late, twice, or not at all. The time between the API server's word and the event is logged.
func TestPeersPodToEvent(t *testing.T) {
	c := cluster.Start(t, cluster.Config{Nodes: 5})
	e := observing(t, map[string]*cluster.Cluster{"eu-1": c})
	conn, err := nats.Connect(e.NATS, nats.Token(e.Token("admin")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var mu sync.Mutex
	seen, told, times := map[string]time.Time{}, map[string]time.Time{}, map[string]int{}
	if _, err := conn.Subscribe("evenkeel.mesh.instance.shop.>", func(m *nats.Msg) {
		var ev inventory.InstanceEvent
		if json.Unmarshal(m.Data, &ev) == nil && ev.State == inventory.StateHealthy {
			mu.Lock()
			defer mu.Unlock()
			if times[ev.Name]++; times[ev.Name] == 1 {
				told[ev.Name] = time.Now()
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	c.Namespace("shop")
	w, err := c.Client.CoreV1().Pods("shop").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	go func() {
		for ev := range w.ResultChan() {
			p, ok := ev.Object.(*corev1.Pod)
			if ok && ev.Type != watch.Deleted && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == "Ready" && c.Status == "True" }) {
				mu.Lock()
				if _, known := seen[p.Name]; !known {
					seen[p.Name] = time.Now()
				}
				mu.Unlock()
			}
		}
	}()
	const pods = 300
	c.Deployment("shop", "cart", 20, nil, "cart:1")
	for n := int32(40); n <= pods; n += 20 {
		c.Scale("shop", "cart", n)
		c.WaitReady("shop", "cart", n, time.Minute)
	}
	peer.Until(t, 30*time.Second, "each pod has its event", func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(told) < pods || len(seen) < pods {
			return fmt.Errorf("%d pods are ready, %d were told", len(seen), len(told))
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	var took []time.Duration
	for name, at := range told {
		if times[name] != 1 {
			t.Errorf("%s was told %d times", name, times[name])
		}
		took = append(took, at.Sub(seen[name]))
	}
	if len(took) != pods {
		t.Error(errors.New("more pods were told than there are"), len(took))
	}
	slices.Sort(took)
	t.Logf("from the API server's word to the event, %d pods: p50 %v, p99 %v, longest %v", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

// Clusters of a fleet would not be observed.
func TestPeersFleet(t *testing.T) {
	c := cluster.Start(t, cluster.Config{Name: "eu", Nodes: 1})
	rights, err := os.ReadFile("../../deploy/kubernetes/observer-rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.Namespace("evenkeel-system")
	c.Apply(string(rights))
	c.Deployment("shop", "cart", 2, nil, "cart:1")
	text, err := os.ReadFile(c.WithToken("observer", c.Token("evenkeel-system", "observer")))
	if err != nil {
		t.Fatal(err)
	}
	folder, settings := t.TempDir(), filepath.Join(t.TempDir(), "settings.yaml")
	if err := errors.Join(os.WriteFile(filepath.Join(folder, "eu-9.yaml"), text, 0o600), os.WriteFile(settings, []byte("fleets: [{kubeconfigFolder: "+folder+"}]\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := peer.RunCommand(t, peer.Binary(t), "fleet", "list", "--settings", settings); code != 0 || !strings.Contains(out, "eu-9") {
		t.Errorf("fleet list: exit %d: %s%s", code, out, errs)
	}
	e := peer.StartEvenkeel(t, peer.EvenkeelConfig{Args: []string{"--settings", settings}})
	e.WaitReady(time.Minute)
	peer.Until(t, time.Minute, "the fleet's cluster is in the inventory", func() error {
		cs, err := list[inventory.ClusterView](e, "clusters")
		if err != nil || len(cs) != 1 || cs[0].Name != "eu-9" || cs[0].State != inventory.ClusterReady || cs[0].Instances != 2 {
			return fmt.Errorf("%+v: %w", cs, err)
		}
		return nil
	})
}
