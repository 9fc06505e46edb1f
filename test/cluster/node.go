package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"evenkeel.dev/test/peer"
)

// CreateNodes adds fake nodes, in three zones by turns, waits until they are Ready and returns their names.
func (c *Cluster) CreateNodes(n int) []string {
	c.tb.Helper()
	capacity := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("128Gi"), corev1.ResourcePods: resource.MustParse("110")}
	var names []string
	for range n {
		name := fmt.Sprintf("node-%d", c.nodes)
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				alive: "true", corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
				corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", c.nodes%3),
			}},
			Status: corev1.NodeStatus{Capacity: capacity, Allocatable: capacity},
		}
		_, err := c.direct.CoreV1().Nodes().Create(c.tb.Context(), node, metav1.CreateOptions{})
		must(c.tb, err)
		c.nodes++
		names = append(names, name)
	}
	for _, name := range names {
		c.WaitNode(name, corev1.ConditionTrue)
	}
	return names
}

// WaitNode waits until a node's condition Ready has the status: True, or Unknown when it has been silent for NodeGrace. A node that is
// waited for as Ready also has no taint any more that keeps pods away.
func (c *Cluster) WaitNode(name string, status corev1.ConditionStatus) {
	c.tb.Helper()
	peer.Until(c.tb, readyTimeout+c.config.NodeGrace, fmt.Sprintf("%s: Ready of %s is %s", c.Name, name, status), func() error {
		return c.nodeIs(c.tb.Context(), name, status)
	})
}

func (c *Cluster) nodeIs(ctx context.Context, name string, status corev1.ConditionStatus) error {
	node, err := c.direct.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if status == corev1.ConditionTrue && len(node.Spec.Taints) > 0 {
		return fmt.Errorf("it has the taint %s", node.Spec.Taints[0].Key)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == status {
			return nil
		}
	}
	return fmt.Errorf("its conditions are %v", node.Status.Conditions)
}

// KillNode lets a node fall silent, as if its machine had lost power: nobody renews its lease, nobody reports of its pods or ends them.
// After NodeGrace its condition Ready is Unknown and its pods are not Ready; after Eviction they are deleted, but stay as Terminating. When
// all nodes are silent the controllers take it for a fault of the network and delete nothing.
func (c *Cluster) KillNode(name string) {
	c.tb.Helper()
	c.label(name, "false")
}

// ReviveNode lets a killed node run again.
func (c *Cluster) ReviveNode(name string) {
	c.tb.Helper()
	c.label(name, "true")
}

func (c *Cluster) label(node, value string) {
	c.tb.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, alive, value)
	_, err := c.direct.CoreV1().Nodes().Patch(c.tb.Context(), node, types.MergePatchType, patch, metav1.PatchOptions{})
	must(c.tb, err)
}

// KillAPIServer ends the API server as kill -9 does; etcd keeps what was written.
func (c *Cluster) KillAPIServer() {
	c.tb.Helper()
	c.APIServer.Kill()
}

// StartAPIServer starts a killed API server again, at the same address, and waits until it is ready. The cluster's controllers come
// back by themselves some 10 to 30 s later, for they wait longer after each try that failed.
func (c *Cluster) StartAPIServer() {
	c.tb.Helper()
	c.APIServer.Restart()
	c.WaitAPIServer()
}

// CutWatches closes all connections between clients and the API server: every watch and request that is open ends with an error.
func (c *Cluster) CutWatches() { c.Link.Cut() }
