package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// A reader is what an observer asks a cluster. It knows three groups of the API only: client-go's own set of clients brings all of them, 45 MB of
// program.
type reader interface {
	list(ctx context.Context, r resource, opts metav1.ListOptions) (runtime.Object, error)
	watch(ctx context.Context, r resource, opts metav1.ListOptions) (watch.Interface, error)
	version(ctx context.Context) (string, error) // of Kubernetes
	uid(ctx context.Context) (string, error)     // of the namespace kube-system
}

// A resource is a kind as the API's paths name it.
type resource struct{ group, name string }

// String returns the name as rights have it.
func (r resource) String() string {
	if r.group == "" {
		return r.name
	}
	return r.name + "." + r.group
}

// clients implement [reader], one for each group.
type clients struct {
	byGroup    map[string]rest.Interface
	parameters runtime.ParameterCodec
}

func newClients(c *rest.Config) (*clients, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // errors and options
	http, err := rest.HTTPClientFor(c)
	if err != nil {
		return nil, err
	}
	out := &clients{byGroup: map[string]rest.Interface{}, parameters: runtime.NewParameterCodec(scheme)}
	for _, gv := range []schema.GroupVersion{corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion, batchv1.SchemeGroupVersion} {
		of := rest.CopyConfig(c)
		of.GroupVersion, of.APIPath = &gv, "/apis"
		if gv.Group == "" {
			of.APIPath = "/api"
		}
		of.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
		if out.byGroup[gv.Group], err = rest.RESTClientForConfigAndClient(of, http); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *clients) request(r resource, opts *metav1.ListOptions) *rest.Request {
	q := c.byGroup[r.group].Get().Resource(r.name).VersionedParams(opts, c.parameters)
	if opts.TimeoutSeconds != nil {
		q = q.Timeout(time.Duration(*opts.TimeoutSeconds) * time.Second)
	}
	return q
}

func (c *clients) list(ctx context.Context, r resource, opts metav1.ListOptions) (runtime.Object, error) {
	return c.request(r, &opts).Do(ctx).Get()
}

func (c *clients) watch(ctx context.Context, r resource, opts metav1.ListOptions) (watch.Interface, error) {
	opts.Watch = true
	return c.request(r, &opts).Watch(ctx)
}

func (c *clients) version(ctx context.Context) (string, error) {
	b, err := c.byGroup[""].Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", err
	}
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return "", fmt.Errorf("version of the cluster: %w", err)
	}
	return v.GitVersion, nil
}

func (c *clients) uid(ctx context.Context) (string, error) {
	var ns corev1.Namespace
	err := c.byGroup[""].Get().Resource("namespaces").Name(metav1.NamespaceSystem).Do(ctx).Into(&ns)
	return string(ns.UID), err
}
