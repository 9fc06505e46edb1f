package cluster

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"evenkeel.dev/test/peer"
)

// An Istiod is Istio's control plane for one cluster. It ends with the test.
type Istiod struct {
	*peer.Process
	XDS string // address that serves xDS, without TLS

	cluster *Cluster
	ca      *authority // of the mesh: workloads prove themselves with its certificates
}

// StartIstiod applies Istio's CRDs, so that the API server checks Istio's objects by their schema, starts istiod and waits until it is
// ready. There is no webhook: what only istiod's own validation refuses is taken. istiod reaches the API server past the link.
func StartIstiod(tb testing.TB, c *Cluster) *Istiod {
	tb.Helper()
	dir := peer.Istiod(tb)
	begun := time.Now()
	c.Namespace(istioNamespace)
	c.Apply(string(read(tb, filepath.Join(dir, "istio-crds.yaml"))))
	home := tb.TempDir()
	i := &Istiod{XDS: peer.Address(tb), cluster: c, ca: newAuthority(tb, home, "mesh")}
	web := peer.Address(tb)
	i.Process = peer.Start(tb, peer.Command{Name: c.Name + "-istiod", Path: filepath.Join(dir, "pilot-discovery"), Dir: home,
		Args: []string{"discovery", "--kubeconfig=" + c.component("istiod", "system:masters"), "--registries=Kubernetes", "--grpcAddr=" + i.XDS,
			"--httpAddr=" + web, "--httpsAddr=", "--secureGRPCAddr=", "--monitoringAddr=" + peer.Address(tb), "--ctrlz_port=0", "--shutdownDuration=0s"},
		Env: []string{"POD_NAMESPACE=" + istioNamespace, "POD_NAME=istiod", "INJECTION_WEBHOOK_CONFIG_NAME=", "VALIDATION_WEBHOOK_CONFIG_NAME="}})
	tb.Cleanup(i.Kill)
	peer.Until(tb, readyTimeout, i.Name+" is ready", func() error {
		if !i.Running() {
			tb.Fatalf("%s has ended:\n%s", i.Name, lastLines(i.Log()))
		}
		return ok("http://" + web + "/ready")
	})
	tb.Logf("istiod is ready after %.1f s", time.Since(begun).Seconds())
	return i
}

const istioNamespace = "istio-system"

// ok returns nil when the URL answers 200.
func ok(url string) error {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return nil
}
