//go:build peers

package cluster

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"evenkeel.dev/test/peer"
)

var pods = flag.Int("pods", 5000, "pods of TestPeersManyPods; make soak takes 10,000")

// A harness that cannot carry thousands of pods cannot show that the product can.
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
	for _, p := range []*peer.Process{c.Etcd, c.APIServer, c.ControllerManager, c.Scheduler, c.Kwok} {
		_, highest := p.RSS()
		t.Logf("%s took %.0f s of a processor and %d MB", p.Name, p.CPU().Seconds(), highest>>20)
	}
}
