package definition

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"evenkeel.dev/mesh"
)

var crds = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// anew is how long the objects of a CRD that was removed and made again have to come back: a Helm release that is installed anew.
const anew = 10 * time.Minute

func (s *Source) crd(ctx context.Context, r *resource) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return s.cfg.Client.Resource(crds).Get(ctx, r.plural+"."+group.Group, metav1.GetOptions{})
}

// learn notes by which CRDs the objects came, once. What cannot be learned now is learned later.
func (s *Source) learn(ctx context.Context) {
	for _, r := range s.read() {
		if s.crds[r.plural] != "" {
			continue
		}
		crd, err := s.crd(ctx, r)
		if err != nil {
			return
		}
		s.crds[r.plural] = string(crd.GetUID())
	}
}

// confirm asks the API server itself which objects are not there, and whether their CRDs are: when a CRD is removed, its objects vanish
// one by one as if somebody had deleted each.
func (s *Source) confirm(ctx context.Context, gone []mesh.Ref) ([]mesh.Ref, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*requestTimeout)
	defer cancel()
	asked := map[string]*resource{}
	read := s.read()
	var out []mesh.Ref
	for _, ref := range gone {
		r := read[ref.Kind]
		if r == nil {
			continue
		}
		namespace := ref.Namespace
		if r.cluster {
			namespace = ""
		}
		_, err := s.cfg.Client.Resource(r.gvr()).Namespace(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err == nil {
			continue // it is there: the informer will hear of it
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("ask for %s, which is to be deleted: %w", ref, err)
		}
		out = append(out, ref)
		asked[r.kind] = r
	}
	for kind, r := range asked { // after the objects
		stood, err := s.stood(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("ask whether the CRD of %s is there, since definitions are to be deleted: %w", r.plural, err)
		}
		if !stood {
			out = slices.DeleteFunc(out, func(ref mesh.Ref) bool { return ref.Kind == kind })
		}
	}
	return out, nil
}

// stood reports whether the CRD is there, is the one by which the objects came, and is not being deleted. Another one is taken for that one
// after a while.
func (s *Source) stood(ctx context.Context, r *resource) (bool, error) {
	crd, err := s.crd(ctx, r)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	case crd.GetDeletionTimestamp() != nil:
		return false, nil
	}
	uid := string(crd.GetUID())
	if was := s.crds[r.plural]; was != "" && was != uid && time.Since(crd.GetCreationTimestamp().Time) < anew {
		return false, nil
	}
	s.crds[r.plural] = uid
	return true, nil
}
