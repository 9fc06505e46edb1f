package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"evenkeel.dev/test/peer"
)

// Apply applies all documents of a YAML text as `kubectl apply --server-side` does, in their order, and fails the test when one is refused.
// It waits until the API server serves the kinds that the text defines.
func (c *Cluster) Apply(text string) {
	c.tb.Helper()
	must(c.tb, c.TryApply(text))
}

// TryApply is Apply that returns what the API server refuses.
func (c *Cluster) TryApply(text string) error {
	objects, err := decode(text)
	if err != nil {
		return err
	}
	kinds, err := c.kinds()
	if err != nil {
		return err
	}
	var defined []*unstructured.Unstructured
	for _, o := range objects {
		if o.GetKind() == definitionKind {
			defined = append(defined, o)
		} else if len(defined) > 0 {
			if err := c.served(kinds, defined); err != nil {
				return err
			}
			defined = nil
		}
		if err := kinds.apply(c.tb.Context(), o); err != nil {
			return named(o, err)
		}
	}
	return c.served(kinds, defined)
}

// Delete deletes the objects that a YAML text names; one that is not there is no error.
func (c *Cluster) Delete(text string) {
	c.tb.Helper()
	objects, err := decode(text)
	must(c.tb, err)
	kinds, err := c.kinds()
	must(c.tb, err)
	for _, o := range slices.Backward(objects) {
		r, err := kinds.resource(o)
		if meta.IsNoMatchError(err) {
			continue
		}
		must(c.tb, err)
		if err := r.Delete(c.tb.Context(), o.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			c.tb.Fatal(named(o, err))
		}
	}
}

func named(o *unstructured.Unstructured, err error) error {
	return fmt.Errorf("%s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
}

// decode reads the documents of a YAML text.
func decode(text string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := documents.Decode(o); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("document %d of a YAML text: %w", len(out), err)
		}
		if len(o.Object) > 0 {
			out = append(out, o)
		}
	}
}

// kinds finds the resources of all kinds that the API server serves.
type kinds struct {
	client    dynamic.Interface
	discovery discovery.DiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
}

func (c *Cluster) kinds() (*kinds, error) {
	client, err := dynamic.NewForConfig(c.rest)
	if err != nil {
		return nil, err
	}
	d, err := discovery.NewDiscoveryClientForConfig(c.rest)
	if err != nil {
		return nil, err
	}
	return &kinds{client: client, discovery: d, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))}, nil
}

// resource is the resource of an object's kind. An object that belongs into a namespace and names none gets default.
func (k *kinds) resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := o.GroupVersionKind()
	mapping, err := k.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return k.client.Resource(mapping.Resource), nil
	}
	if o.GetNamespace() == "" {
		o.SetNamespace(metav1.NamespaceDefault)
	}
	return k.client.Resource(mapping.Resource).Namespace(o.GetNamespace()), nil
}

func (k *kinds) apply(ctx context.Context, o *unstructured.Unstructured) error {
	r, err := k.resource(o)
	if err != nil {
		return err
	}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	force := true
	_, err = r.Patch(ctx, o.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: "test", Force: &force})
	return err
}

const definitionKind = "CustomResourceDefinition"

// A definition is what tells from a CustomResourceDefinition where its kind is served.
type definition struct {
	Spec struct {
		Group    string           `json:"group"`
		Names    map[string]any   `json:"names"`
		Versions []definedVersion `json:"versions"`
	} `json:"spec"`
}

type definedVersion struct {
	Name   string `json:"name"`
	Served bool   `json:"served"`
}

// served waits until the API server serves what was defined.
func (c *Cluster) served(k *kinds, defined []*unstructured.Unstructured) error {
	for _, o := range defined {
		var d definition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
			return named(o, err)
		}
		for _, v := range d.Spec.Versions {
			if !v.Served {
				continue
			}
			err := peer.Poll(c.tb.Context(), readyTimeout, func() error {
				list, err := k.discovery.ServerResourcesForGroupVersion(d.Spec.Group + "/" + v.Name)
				if err == nil && !slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == d.Spec.Names["plural"] }) {
					err = errors.New("it is not served")
				}
				return err
			})
			if err != nil {
				return named(o, err)
			}
		}
	}
	k.mapper.Reset()
	return nil
}
