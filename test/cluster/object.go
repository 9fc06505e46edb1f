package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/util/retry"

	"evenkeel.dev/test/peer"
)

// Apply applies all documents of a YAML text as `kubectl apply --server-side` does, in their order, and fails the test when one is refused.
// Objects of a kind that was applied just before wait until the API server serves it.
func (c *Cluster) Apply(text string) {
	c.tb.Helper()
	must(c.tb, c.TryApply(text))
}

// TryApply is Apply that returns what the API server refuses.
func (c *Cluster) TryApply(text string) error {
	return c.each(text, func(r dynamic.ResourceInterface, o *unstructured.Unstructured) error {
		body, err := json.Marshal(o)
		if err != nil {
			return err
		}
		force := true
		_, err = r.Patch(c.tb.Context(), o.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: "test", Force: &force})
		return err
	})
}

// Delete deletes the objects that a YAML text names; one that is not there is no error.
func (c *Cluster) Delete(text string) {
	c.tb.Helper()
	must(c.tb, c.each(text, func(r dynamic.ResourceInterface, o *unstructured.Unstructured) error {
		err := r.Delete(c.tb.Context(), o.GetName(), metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}))
}

// each calls do for each document with the interface of its resource.
func (c *Cluster) each(text string, do func(dynamic.ResourceInterface, *unstructured.Unstructured) error) error {
	client, err := dynamic.NewForConfig(c.rest)
	if err != nil {
		return err
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(c.rest)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kinds))
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := documents.Decode(o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("a document of YAML: %w", err)
		}
		if len(o.Object) == 0 {
			continue
		}
		what := fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
		r, err := c.resource(client, mapper, o)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := do(r, o); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// servedTimeout bounds how long a kind of a new CRD is waited for.
const servedTimeout = 10 * time.Second

// resource finds the resource of an object's kind.
func (c *Cluster) resource(client dynamic.Interface, mapper *restmapper.DeferredDiscoveryRESTMapper, o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := o.GroupVersionKind()
	var mapping *meta.RESTMapping
	err := peer.Poll(c.tb.Context(), servedTimeout, func() (err error) {
		if mapping, err = mapper.RESTMapping(kind.GroupKind(), kind.Version); err != nil {
			mapper.Reset()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return client.Resource(mapping.Resource), nil
	}
	if o.GetNamespace() == "" {
		o.SetNamespace(metav1.NamespaceDefault)
	}
	return client.Resource(mapping.Resource).Namespace(o.GetNamespace()), nil
}

// Namespace creates a namespace unless it is there, and waits until pods can be created in it.
func (c *Cluster) Namespace(name string) {
	c.tb.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := c.direct.CoreV1().Namespaces().Create(c.tb.Context(), namespace, metav1.CreateOptions{})
	must(c.tb, unlessExists(err))
	peer.Until(c.tb, readyTimeout, c.Name+": namespace "+name+" has an account", func() error { return c.populated(c.tb.Context(), name) })
}

// Deployment creates a Deployment whose pods have the label app with its name, and the labels given.
func (c *Cluster) Deployment(namespace, name string, replicas int32, labels map[string]string, image string) *appsv1.Deployment {
	c.tb.Helper()
	c.Namespace(namespace)
	selected := map[string]string{"app": name}
	all := map[string]string{"app": name}
	for k, v := range labels {
		all[k] = v
	}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: all},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: selected},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: all},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}},
			},
		},
	}
	d, err := c.Client.AppsV1().Deployments(namespace).Create(c.tb.Context(), d, metav1.CreateOptions{})
	must(c.tb, err)
	return d
}

// Scale sets the replicas of a Deployment through its scale subresource. Its controller writes the status meanwhile, so that a conflict is
// tried again.
func (c *Cluster) Scale(namespace, name string, replicas int32) {
	c.tb.Helper()
	ctx := c.tb.Context()
	deployments := c.Client.AppsV1().Deployments(namespace)
	must(c.tb, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		scale, err := deployments.GetScale(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		scale.Spec.Replicas = replicas
		_, err = deployments.UpdateScale(ctx, name, scale, metav1.UpdateOptions{})
		return err
	}))
}

// WaitReady waits until a Deployment has settled with just so many Ready pods, and returns how long that took.
func (c *Cluster) WaitReady(namespace, name string, replicas int32, timeout time.Duration) time.Duration {
	c.tb.Helper()
	begun := time.Now()
	peer.Until(c.tb, timeout, fmt.Sprintf("%s: %d pods of %s/%s are Ready", c.Name, replicas, namespace, name), func() error {
		return c.settled(c.tb.Context(), namespace, name, replicas)
	})
	return time.Since(begun)
}

func (c *Cluster) settled(ctx context.Context, namespace, name string, replicas int32) error {
	d, err := c.Client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	s := d.Status
	if s.ObservedGeneration < d.Generation || s.Replicas != replicas || s.ReadyReplicas != replicas || s.UpdatedReplicas != replicas {
		return fmt.Errorf("%d pods, %d of the newest template, %d Ready", s.Replicas, s.UpdatedReplicas, s.ReadyReplicas)
	}
	return nil
}

// Pods returns the pods of a namespace that a label selector finds.
func (c *Cluster) Pods(namespace, selector string) []corev1.Pod {
	c.tb.Helper()
	list, err := c.Client.CoreV1().Pods(namespace).List(c.tb.Context(), metav1.ListOptions{LabelSelector: selector})
	must(c.tb, err)
	return list.Items
}
