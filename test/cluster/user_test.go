//go:build peers

package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"evenkeel.dev/test/peer"
)

// A cluster in which everybody may do everything would hide a right that the product's role lacks.
func TestPeersRights(t *testing.T) {
	c := Start(t, Config{Nodes: 1})
	c.Deployment("shop", "cart", 1, nil, "cart:1")
	c.WaitReady("shop", "cart", 1, time.Minute)

	for name, kubeconfig := range map[string]string{
		"account": c.ServiceAccount("evenkeel", "reader", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}),
		"user":    c.User("anna", "readers"),
	} {
		if name == "user" {
			c.Apply(readers)
		}
		_, client := connect(t, kubeconfig)
		peer.Until(t, 10*time.Second, name+" may list pods", func() error { // RBAC reads its own watch
			_, err := client.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
			return err
		})
		if _, err := client.CoreV1().Secrets("shop").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s lists secrets: %v, want Forbidden", name, err)
		}
		if err := client.CoreV1().Pods("shop").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s deletes pods: %v, want Forbidden", name, err)
		}
	}
	_, client := connect(t, c.WithToken("forged", "no.such.token"))
	if _, err := client.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("a forged token: %v, want Unauthorized", err)
	}
	pod := c.Pods("shop", "app=cart")[0]
	if pod.Spec.ServiceAccountName != "default" || !strings.Contains(fmt.Sprint(pod.Spec.Volumes), "Projected") {
		t.Errorf("the pod has the account %q and the volumes %v; want what admission gives it", pod.Spec.ServiceAccountName, pod.Spec.Volumes)
	}
}

const readers = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: pod-reader}
rules:
- {apiGroups: [""], resources: [pods], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: pod-reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: pod-reader}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: readers}
`

// A definition of a kind and an object of it in one file is how users install things; a wrong object must be refused, not swallowed.
func TestPeersApply(t *testing.T) {
	c := Start(t, Config{})
	c.Apply(widgets)
	c.Apply(widgets)
	err := c.TryApply("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: b}\nspec: {size: large}\n")
	if !apierrors.IsInvalid(err) && !strings.Contains(fmt.Sprint(err), "size") {
		t.Errorf("a size that is no number: %v, want it refused", err)
	}
	c.Delete(widgets)
	if err := c.TryApply("apiVersion: nowhere.example.com/v1\nkind: Nothing\nmetadata: {name: b}\n"); err == nil {
		t.Error("an object of a kind that nobody serves is taken")
	}
}

const widgets = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer}}}}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: a}
spec: {size: 3}
`
