//go:build peers

package cluster

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var pods = flag.Int("pods", 5000, "pods of TestPeersManyPods")

// A harness that cannot carry 5,000 pods cannot show that the product can.
func TestPeersManyPods(t *testing.T) {
	const perDeployment = 250
	deployments := *pods / perDeployment
	c := Start(t, Config{Nodes: (*pods + 99) / 100})
	f := follow(t, c)
	begun := time.Now()
	for i := range deployments {
		c.Deployment("shop", fmt.Sprintf("service-%d", i), perDeployment, nil, "service:1")
	}
	for i := range deployments {
		c.WaitReady("shop", fmt.Sprintf("service-%d", i), perDeployment, 5*time.Minute)
	}
	f.waitReady(t, "shop", deployments*perDeployment)
	t.Logf("%d pods are Ready on %d nodes after %.1f s", deployments*perDeployment, c.nodes, time.Since(begun).Seconds())
	var total int64
	for _, p := range []interface{ RSS() (now, highest int64) }{c.Etcd, c.APIServer, c.ControllerManager, c.Scheduler, c.Kwok} {
		_, highest := p.RSS()
		total += highest
	}
	t.Logf("the cluster took %d MB at most", total>>20)
}
