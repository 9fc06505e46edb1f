//go:build peers

package istio

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"evenkeel.dev/test/cluster"
	"evenkeel.dev/test/peer"
)

const definitions = `apiVersion: evenkeel.dev/v1beta1
kind: GlobalNamespace
metadata: {name: shop}
spec:
  domain: shop.internal
  matchConditions: [{namespace: {type: Exact, match: shop}}]
  acceptedFrom: [{cluster: eu-1}]
---
apiVersion: evenkeel.dev/v1beta1
kind: EncryptionPolicy
metadata: {name: shop}
spec: {globalNamespace: shop, inside: {mode: Strict}}
---
apiVersion: evenkeel.dev/v1beta1
kind: TrafficPolicy
metadata: {name: pay}
spec: {globalNamespace: shop, targetRef: {kind: Service, name: pay}, http: [{name: all, to: [{version: v1, weight: 100}]}]}
`

// Who writes a policy, prints what their cluster would get, and applies it, would be protected by nothing, or be told nothing of what is missing: an observed cluster through the whole program and
// back into the cluster.
func TestPeersJourney(t *testing.T) {
	c := cluster.Start(t, cluster.Config{Name: "eu-1", Nodes: 1})
	w := cluster.StartIstiod(t, c).StartWorkload("shop", "pay")
	e := observing(t, c)
	var objects, findings string
	peer.Until(t, time.Minute, "the service is among the objects", func() error {
		out, errs, code := e.Run("mesh", "objects", "--gns", "shop", "--cluster", "eu-1")
		if objects, findings = out, errs; code != 0 || !strings.Contains(out, "pay.shop.internal") || !strings.Contains(out, "address: ") {
			return fmt.Errorf("exit %d: %s%s", code, out, errs)
		}
		return nil
	})
	for _, want := range []string{"NoSuchVersion: shop/eu-1/pay", "IdentityUnchecked: shop/eu-1/pay"} { // its pod has no label of a version, and the trust domain is not observed
		if !strings.Contains(findings, want) {
			t.Errorf("findings have no %q:\n%s", want, findings)
		}
	}
	if out, _, code := e.Run("mesh", "objects", "--explain"); code != 0 || !strings.Contains(out, "AuthorizationPolicy") {
		t.Errorf("--explain: exit %d: %s", code, out)
	}
	bank := func(ctx context.Context) error { return w.CallAs(ctx, "bank", "ledger") }
	becomes(t, "a call in plaintext before anything is applied", codes.OK, w.Call)
	c.Apply(objects)
	becomes(t, "a call in plaintext", codes.Unavailable, w.Call)
	becomes(t, "a caller who is no member", codes.PermissionDenied, bank)
	becomes(t, "a member", codes.OK, func(ctx context.Context) error { return w.CallAs(ctx, "shop", "cart") })
	for _, kind := range []string{"gateway-api", "none"} {
		if out, errs, code := e.Run("mesh", "objects", "--output-kind", kind); code != 0 || !strings.Contains(errs, "IsolationNotPossible") || strings.Contains(out, "AuthorizationPolicy") {
			t.Errorf("%s: exit %d: %s%s", kind, code, out, errs)
		}
	}
}

// observing starts Evenkeel on the cluster with the rights of deploy/kubernetes and no more.
func observing(t *testing.T, c *cluster.Cluster) *peer.Evenkeel {
	t.Helper()
	rights, err := os.ReadFile("../../deploy/kubernetes/observer-rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.Namespace("evenkeel-system")
	c.Apply(string(rights))
	kubeconfigs := map[string]string{"eu-1": c.WithToken("observer", c.Token("evenkeel-system", "observer"))}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte(definitions), 0o600); err != nil {
		t.Fatal(err)
	}
	e := peer.StartEvenkeel(t, peer.EvenkeelConfig{Config: folder, Args: []string{"--observe", "eu-1"}, Env: []string{"KUBECONFIG=" + cluster.Contexts(t, kubeconfigs)}})
	e.WaitReady(time.Minute)
	return e
}
