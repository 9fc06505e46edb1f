package kube

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/kube"
)

const (
	group       = "cluster.x-k8s.io"
	provisioned = "Provisioned" // the phase of a cluster that is there, in v1beta1 and v1beta2
	regionLabel = "topology.kubernetes.io/region"

	pageSize    = 250
	maxObjects  = 4000 // that are looked at, whatever their phase
	secretsOnce = 8
)

// versions of Cluster API that are read; the first that is served.
var versions = []string{"v1beta2", "v1beta1"}

var secrets = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// A ManagementConfig says which objects of a management cluster of Cluster API are a fleet.
type ManagementConfig struct {
	REST      *rest.Config // to the management cluster
	Namespace string       // "" is all
	Selector  string       // of labels, as kubectl -l takes it; "" takes all
}

// A Management lists the clusters that Cluster API has provisioned and is not deleting. Their kubeconfigs are read from the Secrets NAME-kubeconfig that
// Cluster API writes beside them.
type Management struct {
	namespace string
	selector  string
	client    dynamic.Interface
	discovery rest.Interface
}

// NewManagement returns the fleet of a management cluster. Nothing is asked of it yet.
func NewManagement(c ManagementConfig) (*Management, error) {
	if c.REST == nil {
		return nil, errors.New("management cluster: there is no connection to it")
	}
	if hint := mesh.LabelHint(c.Namespace); c.Namespace != "" && hint != "" {
		return nil, fmt.Errorf("management cluster: namespace %q: %s", c.Namespace, hint)
	}
	if _, err := labels.Parse(c.Selector); err != nil {
		return nil, fmt.Errorf("management cluster: selector %q: %w", c.Selector, err)
	}
	of := rest.CopyConfig(c.REST)
	of.UserAgent, of.Timeout, of.QPS, of.Burst = "evenkeel", listTime/2, 50, 100
	of.WarningHandler, of.WarningHandlerWithContext = rest.NoWarnings{}, nil
	client, err := dynamic.NewForConfig(of)
	if err != nil {
		return nil, fmt.Errorf("management cluster: %w", err)
	}
	discovery, err := rest.UnversionedRESTClientFor(dynamic.ConfigFor(of))
	if err != nil {
		return nil, fmt.Errorf("management cluster: %w", err)
	}
	return &Management{namespace: c.Namespace, selector: c.Selector, client: client, discovery: discovery}, nil
}

// Clusters lists the clusters, by namespace and name.
func (m *Management) Clusters(ctx context.Context) ([]Cluster, error) {
	ctx, stop := context.WithTimeout(ctx, listTime)
	defer stop()
	version, err := m.version(ctx)
	if err != nil {
		return nil, fmt.Errorf("management cluster: %w", err)
	}
	objects, err := m.objects(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("management cluster: list clusters.%s: %w", group, err)
	}
	slices.SortFunc(objects, func(a, b unstructured.Unstructured) int { return strings.Compare(from(&a), from(&b)) })
	out := make([]Cluster, len(objects))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(secretsOnce)
	for i := range objects {
		g.Go(func() (err error) {
			out[i], err = m.cluster(ctx, &objects[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("management cluster: %w", err)
	}
	return out, nil
}

func from(o *unstructured.Unstructured) string { return o.GetNamespace() + "/" + o.GetName() }

// version returns the version of Cluster API that is asked for: the newest that we and the cluster know.
func (m *Management) version(ctx context.Context) (string, error) {
	b, err := m.discovery.Get().AbsPath("/apis/" + group).Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("it does not serve %s: Cluster API is not installed there", group)
	}
	if err != nil {
		return "", fmt.Errorf("look up %s: %w", group, err)
	}
	var served metav1.APIGroup
	if err := json.Unmarshal(b, &served); err != nil {
		return "", fmt.Errorf("look up %s: %w", group, err)
	}
	var names []string
	for _, v := range served.Versions {
		names = append(names, v.Version)
	}
	for _, v := range versions {
		if slices.Contains(names, v) {
			return v, nil
		}
	}
	return "", fmt.Errorf("it serves %s as %s; %s are read", group, strings.Join(names, ", "), strings.Join(versions, " and "))
}

// objects lists the Cluster objects that count.
func (m *Management) objects(ctx context.Context, version string) ([]unstructured.Unstructured, error) {
	resource := m.client.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: "clusters"}).Namespace(m.namespace)
	opts := metav1.ListOptions{LabelSelector: m.selector, Limit: pageSize}
	var out []unstructured.Unstructured
	for looked := 0; ; {
		page, err := resource.List(ctx, opts)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Items {
			phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
			if phase == provisioned && o.GetDeletionTimestamp() == nil {
				out = append(out, o)
			}
		}
		if looked += len(page.Items); looked > maxObjects || len(out) > MaxClusters {
			return nil, fmt.Errorf("there are more than %d clusters; name a namespace or a selector", MaxClusters)
		}
		if opts.Continue = page.GetContinue(); opts.Continue == "" {
			return out, nil
		}
	}
}

// cluster tells one cluster. That its kubeconfig is not there, is not ours to read or is no good is a reason; that nobody answers is an error.
func (m *Management) cluster(ctx context.Context, o *unstructured.Unstructured) (Cluster, error) {
	c := Cluster{Name: o.GetName(), From: from(o), Labels: o.GetLabels(), Region: o.GetLabels()[regionLabel]}
	name := o.GetName() + "-kubeconfig"
	secret, err := m.client.Resource(secrets).Namespace(o.GetNamespace()).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		c.Reason = fmt.Sprintf("there is no Secret %s/%s", o.GetNamespace(), name)
		return c, nil
	case apierrors.IsForbidden(err):
		c.Reason = fmt.Sprintf("the Secret %s/%s must not be read", o.GetNamespace(), name)
		return c, nil
	case err != nil:
		return c, fmt.Errorf("read the Secret %s/%s: %w", o.GetNamespace(), name, err)
	}
	if err := c.connect(secret); err != nil {
		c.REST, c.Reason = nil, fmt.Sprintf("Secret %s/%s: %s", o.GetNamespace(), name, err)
	}
	return c, nil
}

// connect makes the connection out of a Secret.
func (c *Cluster) connect(secret *unstructured.Unstructured) error {
	value, _, _ := unstructured.NestedString(secret.Object, "data", "value")
	if value == "" {
		return errors.New(`it has no key "value"`)
	}
	text, err := base64.StdEncoding.DecodeString(value)
	switch {
	case err != nil:
		return errors.New(`its key "value" is no base64`)
	case len(text) > MaxKubeconfig:
		return fmt.Errorf("its kubeconfig has more than %d bytes", MaxKubeconfig)
	}
	k, err := kube.ParseForeign(text)
	if err != nil {
		return err
	}
	c.Revision = revision(text, "")
	c.REST, err = k.Connect("")
	return err
}
