package kube

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/fake"
)

// faked reads from client-go's fake, which has no network.
type faked struct{ *fake.Clientset }

// caller is one resource of a typed client.
type caller[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func call[L runtime.Object](c caller[L]) (func(context.Context, metav1.ListOptions) (runtime.Object, error), func(context.Context, metav1.ListOptions) (watch.Interface, error)) {
	return func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return c.List(ctx, o) }, c.Watch
}

func (f faked) of(r resource) (func(context.Context, metav1.ListOptions) (runtime.Object, error), func(context.Context, metav1.ListOptions) (watch.Interface, error)) {
	core, apps, batch := f.CoreV1(), f.AppsV1(), f.BatchV1()
	switch r.name {
	case "namespaces":
		return call(core.Namespaces())
	case "nodes":
		return call(core.Nodes())
	case "pods":
		return call(core.Pods(""))
	case "services":
		return call(core.Services(""))
	case "deployments":
		return call(apps.Deployments(""))
	case "replicasets":
		return call(apps.ReplicaSets(""))
	case "statefulsets":
		return call(apps.StatefulSets(""))
	case "daemonsets":
		return call(apps.DaemonSets(""))
	case "jobs":
		return call(batch.Jobs(""))
	case "cronjobs":
		return call(batch.CronJobs(""))
	}
	panic("a resource that no test knows: " + r.String())
}

func (f faked) list(ctx context.Context, r resource, o metav1.ListOptions) (runtime.Object, error) {
	list, _ := f.of(r)
	return list(ctx, o)
}

func (f faked) watch(ctx context.Context, r resource, o metav1.ListOptions) (watch.Interface, error) {
	_, follow := f.of(r)
	return follow(ctx, o)
}

func (f faked) version(ctx context.Context) (string, error) {
	v, err := discovery.ToServerVersionInterfaceWithContext(f.Discovery()).ServerVersionWithContext(ctx)
	if err != nil {
		return "", err
	}
	return v.GitVersion, nil
}

func (f faked) uid(ctx context.Context) (string, error) {
	ns, err := f.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return string(ns.UID), nil
}
