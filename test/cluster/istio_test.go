//go:build peers

package cluster

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"evenkeel.dev/test/peer"
)

const strict = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
`

const denyAll = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop}
spec:
  action: DENY
  rules: [{to: [{operation: {paths: ["/grpc.health.v1.Health/*"]}}]}]
`

const allowCart = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: shop}
spec:
  action: ALLOW
  rules: [{from: [{source: {principals: ["cluster.local/ns/shop/sa/cart"]}}]}]
`

// A policy that Istio would not take, or would not enforce, must not pass for one that protects a service.
func TestPeersIstio(t *testing.T) {
	c := Start(t, Config{Nodes: 1})
	i := StartIstiod(t, c)
	w := i.StartWorkload("shop", "pay")

	for name, wrong := range map[string]string{
		"mode":   "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: wrong, namespace: shop}\nspec: {mtls: {mode: SOMETIMES}}\n",
		"action": "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: wrong, namespace: shop}\nspec: {action: FORBID}\n",
	} {
		if err := c.TryApply(wrong); !apierrors.IsInvalid(err) {
			t.Errorf("a %s that does not exist: %v, want it refused as invalid", name, err)
		}
	}

	plain := func() error { return w.Call(t.Context()) }
	as := func(account string) func() error {
		return func() error { return w.CallAs(t.Context(), "shop", account) }
	}
	becomes(t, "a call without a policy", codes.OK, plain)
	c.Apply(denyAll)
	becomes(t, "a call that a policy denies", codes.PermissionDenied, plain)
	c.Delete(denyAll)
	becomes(t, "a call after the policy is deleted", codes.OK, plain)

	c.Apply(strict)
	becomes(t, "a call without TLS where mutual TLS is required", codes.Unavailable, plain)
	becomes(t, "a call with mutual TLS", codes.OK, as("cart"))
	c.Apply(allowCart)
	becomes(t, "a call of another account than the one that is allowed", codes.PermissionDenied, as("ads"))
	becomes(t, "a call of the account that is allowed", codes.OK, as("cart"))
}

// becomes waits until a call ends with the code, which takes as long as istiod and the workload need to hear of a change.
func becomes(t *testing.T, what string, want codes.Code, call func() error) {
	t.Helper()
	begun := time.Now()
	peer.Until(t, 30*time.Second, what+" ends with "+want.String(), func() error {
		if err := call(); status.Code(err) != want {
			return fmt.Errorf("it ends with %s: %v", status.Code(err), err)
		}
		return nil
	})
	t.Logf("%s ends with %s after %.2f s", what, want, time.Since(begun).Seconds())
}
