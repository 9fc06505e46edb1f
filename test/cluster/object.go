package cluster

import (
	"context"
	"fmt"
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"evenkeel.dev/test/peer"
)

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
	maps.Copy(all, labels)
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
