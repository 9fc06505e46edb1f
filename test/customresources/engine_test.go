//go:build peers

package customresources

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"evenkeel.dev/test/cluster"
	"evenkeel.dev/test/peer"
)

const boundary = `apiVersion: evenkeel.dev/v1beta1
kind: GlobalNamespace
metadata: {name: shop}
spec:
  domain: shop.internal
  matchConditions: [{namespace: {type: Exact, match: shop-prod}}]
  definitionsFrom: [{cluster: eu-1, namespace: shop-prod}, {cluster: us-1, namespace: shop-prod}]
`

func sloOf(namespace, name, objective string) string {
	return fmt.Sprintf(`---
apiVersion: evenkeel.dev/v1beta1
kind: SLO
metadata: {name: %s, namespace: %s}
spec: {globalNamespace: shop, targetRef: {kind: Service, name: %s}, objective: %s, sli: {source: istio, availability: {}}}
`, name, namespace, name, objective)
}

// get reads an object past nothing but the API server.
func (s *server) get(ctx context.Context, kind, namespace, name string) (*unstructured.Unstructured, error) {
	r := s.client.Resource(schema.GroupVersionResource{Group: "evenkeel.dev", Version: "v1beta1", Resource: s.plural[kind]})
	if namespace == "" {
		return r.Get(ctx, name, metav1.GetOptions{})
	}
	return r.Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
}

// accepted waits until the condition of an object begins as wanted: "True Accepted".
func (s *server) accepted(t *testing.T, kind, namespace, name, want string) *unstructured.Unstructured {
	t.Helper()
	var o *unstructured.Unstructured
	peer.Until(t, 30*time.Second, fmt.Sprintf("%s %s/%s is %s", kind, namespace, name, want), func() error {
		var err error
		if o, err = s.get(t.Context(), kind, namespace, name); err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		generation, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
		for _, v := range conditions {
			c := v.(map[string]any)
			if got := fmt.Sprintf("%v %v %v", c["status"], c["reason"], c["message"]); generation != o.GetGeneration() || !strings.HasPrefix(got, want) {
				return fmt.Errorf("it is %s, of generation %d and not %d", got, generation, o.GetGeneration())
			}
			return nil
		}
		return fmt.Errorf("it has no condition: %v", o.Object["status"])
	})
	return o
}

// engine starts Evenkeel with the rights of deploy/rbac in each cluster.
func engine(t *testing.T, folder string, trusted string, servers map[string]*server, args ...string) *peer.Evenkeel {
	t.Helper()
	more, env := sources(t, servers)
	args = append(args, more...)
	if trusted != "" {
		args = append(args, "--definitions-trusted", trusted)
	}
	e := peer.StartEvenkeel(t, peer.EvenkeelConfig{Config: folder, Args: args, Env: env})
	e.WaitReady(time.Minute)
	return e
}

// sources returns the arguments and the environment with which the clusters are read with the rights of deploy/rbac.
func sources(t *testing.T, servers map[string]*server) (args, env []string) {
	t.Helper()
	kubeconfigs := map[string]string{}
	for name, s := range servers {
		s.Apply(manifests(t, "deploy/rbac"))
		kubeconfigs[name], args = s.WithToken("engine", s.Token("evenkeel", "evenkeel")), append(args, "--definitions-from-kube", name)
	}
	return args, []string{"KUBECONFIG=" + cluster.Contexts(t, kubeconfigs)}
}

// stands waits until the engine has a definition that is managed so; "" is none.
func stands(t *testing.T, e *peer.Evenkeel, ref, manager string) {
	t.Helper()
	peer.Until(t, 30*time.Second, ref+" is managed by "+manager, func() error {
		if got := managed(e, ref); got != manager {
			return fmt.Errorf("it is managed by %q", got)
		}
		return nil
	})
}

// managed returns who manages a definition.
func managed(e *peer.Evenkeel, ref string) string {
	out, _, code := e.Run("get", ref, "-n", "shop-prod", "-o", "json")
	if code != 0 {
		return ""
	}
	_, after, _ := strings.Cut(out, `"managedBy": "`)
	manager, _, _ := strings.Cut(after, `"`)
	return manager
}

// exporter is a target whose service cart fails once in two thousand requests, half of what 99.9% allows, and returns settings that have it
// scraped.
func exporter(t *testing.T) string {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := asked.Add(1)
		const labels = `destination_service_name="cart",destination_service_namespace="shop-prod",reporter="destination"`
		fmt.Fprintf(w, "# TYPE istio_requests_total counter\nistio_requests_total{%[1]s,response_code=\"200\"} %[2]d\nistio_requests_total{%[1]s,response_code=\"503\"} %[3]d\n", labels, 19_990*n, 10*n)
	}))
	t.Cleanup(s.Close)
	path := filepath.Join(t.TempDir(), "settings.yaml")
	text := fmt.Sprintf("scrape: [{name: mesh, interval: 1s, targets: [{targets: [%q]}]}]\n", strings.TrimPrefix(s.URL, "http://"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// An SLO that somebody applies with kubectl would not be measured, its status would lie, or an API server that is away would take it
// down.
func TestPeersEngine(t *testing.T) {
	t.Parallel()
	s := start(t, "eu-1")
	for _, ns := range []string{"shop-prod", "evil"} {
		s.Namespace(ns)
	}
	folder := peer.WriteConfig(t, map[string]string{"shop.yaml": boundary + sloOf("shop-prod", "web", "99%")})
	e := engine(t, folder, "", map[string]*server{"eu-1": s}, "--settings", exporter(t))
	begun := time.Now()
	s.Apply(sloOf("shop-prod", "cart", "99.9%") + sloOf("shop-prod", "pay", "99.9%") + sloOf("shop-prod", "web", "95%") + sloOf("evil", "cart", "1%"))
	o := s.accepted(t, "SLO", "shop-prod", "cart", "True Accepted")
	t.Logf("an applied SLO has its status after %.1f s", time.Since(begun).Seconds())
	s.accepted(t, "SLO", "shop-prod", "web", "False OwnedByOther it is managed by dir:")
	s.accepted(t, "SLO", "evil", "cart", "False NotAdmitted")
	stands(t, e, "slo/cart", "cluster:eu-1")
	s.written(t, o)
	s.shows(t, "[cart cart 99.9% ", "[pay pay 99.9% ", "[web web 95% ")

	s.Apply(sloOf("shop-prod", "cart", "99.90%"))
	s.accepted(t, "SLO", "shop-prod", "cart", "True Accepted")

	s.Link.Block()
	t.Log("the API server is away")
	<-time.After(8 * time.Second)
	if m := managed(e, "slo/cart"); m != "cluster:eu-1" {
		t.Errorf("while the API server was away slo/cart became managed by %q", m)
	}
	s.Link.Unblock()
	s.Apply(sloOf("shop-prod", "late", "99%"))
	s.accepted(t, "SLO", "shop-prod", "late", "True Accepted")

	s.Delete(sloOf("shop-prod", "pay", "99.9%"))
	stands(t, e, "slo/pay", "")

	crd := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	if err := s.client.Resource(crd).Delete(t.Context(), "slos.evenkeel.dev", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	peer.Until(t, 30*time.Second, "the CRD is gone", func() error {
		if _, err := s.get(t.Context(), "SLO", "shop-prod", "cart"); err == nil {
			return fmt.Errorf("cart is there")
		}
		return nil
	})
	<-time.After(4 * time.Second)
	if m := managed(e, "slo/cart"); m != "cluster:eu-1" {
		t.Errorf("without the CRD slo/cart is managed by %q", m)
	}
	s.Apply(manifests(t, "deploy/crds"))
	s.Apply(sloOf("shop-prod", "cart", "99.90%") + sloOf("shop-prod", "late", "99%"))
	s.accepted(t, "SLO", "shop-prod", "cart", "True Accepted")
	s.shows(t, "[cart cart 99.90% HEALTHY 50% True ", "[late late 99% UNKNOWN ") // counted all the while
}

// written looks at who wrote what: people the spec, the engine the status and nothing else.
func (s *server) written(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	for _, f := range o.GetManagedFields() {
		if (f.Manager == "evenkeel") != (f.Subresource == "status") {
			t.Errorf("field manager %s wrote to %q", f.Manager, f.Subresource)
		}
	}
	if !slices.ContainsFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == "evenkeel" && f.Operation == metav1.ManagedFieldsOperationApply
	}) {
		t.Errorf("the status was not written by server-side apply: %v", o.GetManagedFields())
	}
}

// shows waits until kubectl get slos shows lines that begin so.
func (s *server) shows(t *testing.T, want ...string) {
	t.Helper()
	c := s.REST()
	c.GroupVersion, c.APIPath = &schema.GroupVersion{Group: "evenkeel.dev", Version: "v1beta1"}, "/apis"
	c.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	client, err := rest.RESTClientFor(c)
	if err != nil {
		t.Fatal(err)
	}
	peer.Until(t, 90*time.Second, "kubectl get slos shows what it should", func() error {
		b, err := client.Get().Namespace("shop-prod").Resource("slos").SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
		if err != nil {
			return err
		}
		table := &unstructured.Unstructured{}
		if err := table.UnmarshalJSON(b); err != nil {
			return err
		}
		rows, _, _ := unstructured.NestedSlice(table.Object, "rows")
		var got []string
		for _, r := range rows {
			got = append(got, fmt.Sprint(r.(map[string]any)["cells"]))
		}
		slices.Sort(got)
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			return fmt.Errorf("it shows %q", got)
		}
		return nil
	})
}

// Two clusters that hold the same object would take turns at it, or one could speak in the other's name.
func TestPeersTwoSources(t *testing.T) {
	t.Parallel()
	eu, us := start(t, "eu-1"), start(t, "us-1")
	for _, s := range []*server{eu, us} {
		s.Namespace("shop-prod")
	}
	e := engine(t, "", "eu-1", map[string]*server{"eu-1": eu, "us-1": us})
	us.Apply(strings.Replace(boundary, "name: shop}", "name: mine}", 1))
	us.accepted(t, "GlobalNamespace", "", "mine", "False NotTrusted")
	eu.Apply(boundary)
	eu.accepted(t, "GlobalNamespace", "", "shop", "True Accepted")
	eu.Apply(sloOf("shop-prod", "cart", "99.9%"))
	eu.accepted(t, "SLO", "shop-prod", "cart", "True Accepted")
	us.Apply(sloOf("shop-prod", "cart", "95%"))
	us.accepted(t, "SLO", "shop-prod", "cart", "False OwnedByOther it is managed by cluster:eu-1")
	eu.Delete(sloOf("shop-prod", "cart", "99.9%"))
	us.accepted(t, "SLO", "shop-prod", "cart", "True Accepted")
	stands(t, e, "slo/cart", "cluster:us-1")
}

// Two processes that read one cluster would both write to it, and with one of them dead nobody would.
func TestPeersTakeOver(t *testing.T) {
	t.Parallel()
	s := start(t, "eu-1")
	s.Namespace("shop-prod")
	bus := peer.StartEvenkeel(t, peer.EvenkeelConfig{Name: "bus", Roles: "bus,catalogue,slo,notify,tick", Config: peer.WriteConfig(t, map[string]string{"shop.yaml": boundary})})
	bus.WaitReady(time.Minute)
	args, env := sources(t, map[string]*server{"eu-1": s})
	var workers []*peer.Evenkeel
	for _, name := range []string{"one", "two"} {
		e := peer.StartEvenkeel(t, peer.EvenkeelConfig{Name: name, Roles: "api", Bus: bus, Args: args, Env: env})
		e.WaitReady(time.Minute)
		workers = append(workers, e)
	}
	s.Apply(sloOf("shop-prod", "cart", "99.9%"))
	s.accepted(t, "SLO", "shop-prod", "cart", "True Accepted")
	var writers []*peer.Evenkeel
	for _, e := range workers {
		m, err := e.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		if m[`evenkeel_kube_definitions_status_writes_total{cluster="eu-1"}`] > 0 {
			writers = append(writers, e)
		}
	}
	if len(writers) != 1 {
		t.Fatalf("%d processes wrote to the cluster, want 1", len(writers))
	}
	writers[0].Kill()
	begun := time.Now()
	s.Apply(sloOf("shop-prod", "late", "99%"))
	s.accepted(t, "SLO", "shop-prod", "late", "True Accepted")
	t.Logf("the other process took over after %.1f s", time.Since(begun).Seconds())
}
