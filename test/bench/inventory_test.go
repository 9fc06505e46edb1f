//go:build bench

package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/test/cluster"
	"evenkeel.dev/test/peer"
)

// TestBenchInventory observes a real cluster with 1,000 services and 10,000 pods: what the engine takes for it, and how long after the API server's word a pod's change is an event.
func TestBenchInventory(t *testing.T) {
	const services, each = 1000, 10
	c := cluster.Start(t, cluster.Config{Nodes: 100})
	rights, err := os.ReadFile("../../deploy/kubernetes/observer-rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.Namespace("evenkeel-system")
	c.Apply(string(rights))
	kubeconfig := c.WithToken("observer", c.Token("evenkeel-system", "observer"))
	e := peer.StartEvenkeel(t, peer.EvenkeelConfig{Args: []string{"--observe", "eu-1=context", "--kubeconfig", kubeconfig}})
	e.WaitReady(time.Minute)
	empty := residentNow(e)
	begun, cpu := time.Now(), e.CPU()
	for i := range services {
		c.Deployment(fmt.Sprintf("shop-%d", i%20), fmt.Sprintf("service-%d", i), each, nil, "service:1")
	}
	known := func() (n int) {
		out, _, _ := e.Run("get", "clusters", "-o", "json")
		var v struct {
			Items []inventory.ClusterView `json:"items"`
		}
		if json.Unmarshal([]byte(out), &v) != nil || len(v.Items) != 1 {
			return 0
		}
		return v.Items[0].Instances
	}
	peer.Until(t, 15*time.Minute, "all pods are known", func() error {
		if n := known(); n != services*each {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	report := fmt.Sprintf("%d pods of %d services came up in %.0f s; the engine took %.1f s of processor and %d MiB more than empty (%d MiB)\n", services*each, services, time.Since(begun).Seconds(),
		(e.CPU() - cpu).Seconds(), (residentNow(e)-empty)>>20, empty>>20)
	rest := time.NewTimer(time.Minute)
	cpu = e.CPU()
	<-rest.C
	report += fmt.Sprintf("at rest: %.1f %% of one processor, resident %d MiB\n", (e.CPU()-cpu).Seconds()/60*100, residentNow(e)>>20)
	e.Kill()
	begun = time.Now()
	e.Restart()
	e.WaitReady(time.Minute)
	cpu = e.CPU()
	peer.Until(t, 5*time.Minute, "a new process knows all", func() error {
		out, _, _ := e.Run("get", "clusters")
		if known() != services*each || !strings.Contains(out, "Ready") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	report += fmt.Sprintf("a new process knew all after %.1f s, %.1f s of processor, resident %d MiB\n", time.Since(begun).Seconds(), e.CPU().Seconds(), residentNow(e)>>20)
	fmt.Print("\n" + report + changes(t, c, e))
}

// changes measures 200 changes of single pods among all.
func changes(t *testing.T, c *cluster.Cluster, e *peer.Evenkeel) string {
	conn, err := nats.Connect(e.NATS, nats.Token(e.Token("admin")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var mu sync.Mutex
	told := map[string]time.Time{}
	if _, err := conn.Subscribe("evenkeel.mesh.instance.>", func(m *nats.Msg) {
		var ev inventory.InstanceEvent
		if json.Unmarshal(m.Data, &ev) == nil && ev.Action == inventory.ActionCreated {
			mu.Lock()
			defer mu.Unlock()
			told[ev.Name] = time.Now()
		}
	}); err != nil {
		t.Fatal(err)
	}
	const n = 200
	asked := map[string]time.Time{}
	for i := range n {
		name := fmt.Sprintf("lone-%d", i)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "lone:1"}}}}
		if _, err := c.Client.CoreV1().Pods("shop-1").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		asked[name] = time.Now()
		<-time.After(100 * time.Millisecond)
	}
	peer.Until(t, time.Minute, "each pod has its event", func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(told) < n {
			return fmt.Errorf("%d of %d", len(told), n)
		}
		return nil
	})
	var took []time.Duration
	for name, at := range asked {
		took = append(took, told[name].Sub(at))
	}
	slices.Sort(took)
	return fmt.Sprintf("from the API server's answer to the event at a NATS subscriber, %d pods made beside the others: p50 %v, p99 %v, longest %v\n", n, took[n/2].Round(time.Millisecond), took[n*99/100].Round(time.Millisecond), took[n-1].Round(time.Millisecond))
}
