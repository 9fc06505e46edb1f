//go:build peers

package istio

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/discovery"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/istio"
	"evenkeel.dev/mesh/member"
	"evenkeel.dev/mesh/traffic"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/test/cluster"
	"evenkeel.dev/test/peer"
)

// Who applies what is printed would be refused by the cluster, or would enforce something else than the policy says.
func TestPeersObjects(t *testing.T) {
	c := cluster.Start(t, cluster.Config{Nodes: 1})
	i := cluster.StartIstiod(t, c)
	w := i.StartWorkload("shop", "pay")
	t.Run("accepted", func(t *testing.T) { accepted(t, c) })
	t.Run("enforced", func(t *testing.T) { enforced(t, c, w) })
}

// accepted applies all objects of the golden pages, which the API server checks by the schemas and rules of their CRDs, and takes them away again. Istio's own rules, those of its webhook, are asked for them all.
func accepted(t *testing.T, c *cluster.Cluster) {
	crds, err := filepath.Glob(filepath.Join(peer.Istiod(t), "gateway-api", "*.yaml"))
	if err != nil || len(crds) != 2 {
		t.Fatal(crds, err)
	}
	for _, file := range crds {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c.Apply(string(text))
	}
	files, err := filepath.Glob("../../mesh/istio/testdata/*.txtar")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, ns := range []string{"shop", "bank", "tools"} {
		c.Namespace(ns)
	}
	kinds := map[string]int{}
	var all strings.Builder
	for _, file := range files {
		page, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range page.Files {
			if f.Name != "sidecar" && f.Name != "ambient" && f.Name != "gateway-api" {
				continue
			}
			for _, object := range strings.Split(string(f.Data), "\n--- #")[1:] {
				_, text, _ := strings.Cut(object, "\n")
				if err := c.TryApply(text); err != nil {
					t.Errorf("%s, %s: %v\n%s", file, f.Name, err, text)
				}
				all.WriteString("---\n" + text + "\n")
				_, kind, _ := strings.Cut(text, "kind: ")
				kind, _, _ = strings.Cut(kind, "\n")
				kinds[kind]++
				t.Cleanup(func() { c.Delete(text) })
			}
		}
	}
	for _, kind := range []string{"AuthorizationPolicy", "DestinationRule", "Gateway", "HTTPRoute", "PeerAuthentication", "Secret", "Service", "ServiceEntry", "VirtualService"} {
		if kinds[kind] == 0 {
			t.Errorf("no page has a %s", kind)
		}
	}
	t.Logf("applied %v", kinds)
	validate := exec.CommandContext(t.Context(), peer.IstioValidate(t))
	validate.Stdin = strings.NewReader(all.String())
	out, err := validate.CombinedOutput()
	if err != nil {
		t.Errorf("Istio has something against the objects: %v", err)
	}
	t.Logf("%s", out)
}

// enforced makes calls to a member of the shop while policies change. The bank has the same cluster and trust domain. The service is gRPC without a proxy, which takes plaintext or
// mutual TLS and not both, so that with Permissive calls are made in plaintext only.
func enforced(t *testing.T, c *cluster.Cluster, w *cluster.Workload) {
	const isolation = "kind: AuthorizationPolicy"
	apply := func(inside string, exceptions ...traffic.Exception) (rest, isolating string) {
		for _, text := range objects(t, c, traffic.Encryption{GlobalNamespace: "shop", Mode: traffic.Automatic, Inside: inside, Exceptions: exceptions}) {
			if strings.Contains(text, isolation) {
				isolating += "---\n" + text
			} else {
				rest += "---\n" + text
			}
		}
		c.Apply(rest)
		return rest, isolating
	}
	plain := w.Call
	as := func(namespace, account string) func(context.Context) error {
		return func(ctx context.Context) error { return w.CallAs(ctx, namespace, account) }
	}

	becomes(t, "a call in plaintext, without policies", codes.OK, plain)
	_, isolating := apply(traffic.Strict)
	becomes(t, "a call in plaintext with Strict", codes.Unavailable, plain)
	becomes(t, "a caller of the bank with Strict alone", codes.OK, as("bank", "ledger"))
	c.Apply(isolating)
	becomes(t, "a caller of the bank with isolation", codes.PermissionDenied, as("bank", "ledger"))
	becomes(t, "a caller of a namespace whose name begins alike", codes.PermissionDenied, as("shop-evil", "cart"))
	becomes(t, "a member", codes.OK, as("shop", "cart"))
	becomes(t, "an ingress gateway", codes.OK, as("istio-system", "ingress"))

	const narrow = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: users, namespace: shop}\nspec:\n  rules: [{from: [{source: {principals: [\"cluster.local/ns/shop/sa/cart\", \"cluster.local/ns/bank/sa/ledger\"]}}]}]\n"
	c.Apply(narrow)
	becomes(t, "a member that a user's own policy does not name", codes.PermissionDenied, as("shop", "ads"))
	becomes(t, "a member that a user's own policy names", codes.OK, as("shop", "cart"))
	becomes(t, "a caller of the bank whom a user's own policy names", codes.PermissionDenied, as("bank", "ledger"))
	c.Delete(narrow)
	becomes(t, "a member after the user's own policy is deleted", codes.OK, as("shop", "ads"))

	apply(traffic.Permissive)
	becomes(t, "a call in plaintext with Permissive, past isolation", codes.OK, plain)
	apply(traffic.Strict)
	becomes(t, "a call in plaintext with Strict again", codes.Unavailable, plain)
	excepted, _ := apply(traffic.Strict, traffic.Exception{Service: "pay", Mode: traffic.Permissive, Expires: now + 1, Reason: "test"})
	becomes(t, "a call in plaintext by an exception", codes.OK, plain)
	c.Delete(excepted)
	apply(traffic.Strict, traffic.Exception{Service: "pay", Mode: traffic.Permissive, Expires: now, Reason: "test"})
	becomes(t, "a call in plaintext by an exception that is over", codes.Unavailable, plain)
	c.Delete(isolating)
	becomes(t, "a caller of the bank after isolation is deleted", codes.OK, as("bank", "ledger"))
}

const now bus.Time = 1_800_000_000_000

// objects compiles for the cluster as it is: the shop with a service, and the bank.
func objects(t *testing.T, c *cluster.Cluster, e traffic.Encryption) []string {
	t.Helper()
	pods := c.Pods("shop", "app=pay")
	if len(pods) != 1 {
		t.Fatalf("%d pods", len(pods))
	}
	app := map[string]string{"app": "pay"}
	accept := []member.Accept{{Cluster: "c"}}
	only := func(ns string) []member.Condition {
		return []member.Condition{{Namespace: &member.Pattern{Type: member.Exact, Match: ns}}}
	}
	in := &istio.Input{
		Now: now, Encryption: []traffic.Encryption{e},
		GlobalNamespaces: []member.GlobalNamespace{{Name: "shop", Domain: "shop.internal", AcceptedFrom: accept, Conditions: only("shop")}, {Name: "bank", Domain: "bank.internal", AcceptedFrom: accept, Conditions: only("bank")}},
		Routing:          []traffic.Routing{{Name: "pay", GlobalNamespace: "shop", Service: "pay", Mode: traffic.Automatic, Rules: []traffic.Rule{{Name: "all", To: []traffic.Target{{Version: "v1", Weight: 100}}}}}},
		View: discovery.View{Clusters: []discovery.Cluster{{
			Name: "c", Namespaces: []inventory.Namespace{{Name: "shop"}, {Name: "bank"}},
			Hosts:     []inventory.Host{{Namespace: "shop", Name: "pay", Selector: app, Ports: []inventory.Port{{Name: "grpc", Port: 80, Target: 8080, Protocol: "TCP"}}}},
			Instances: []inventory.Instance{{Namespace: "shop", Name: "pay", Version: "v1", IP: pods[0].Status.PodIP, Account: "pay", State: inventory.StateHealthy, Labels: app}},
		}}},
	}
	var out []string
	for _, o := range istio.Outputs()[0].Compile(in).Objects {
		if o.GlobalNamespace != "shop" {
			continue
		}
		text, err := yaml.Format(o.Body)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

// becomes waits until a call ends with the code.
func becomes(t *testing.T, what string, want codes.Code, call func(context.Context) error) {
	t.Helper()
	begun := time.Now()
	peer.Until(t, 30*time.Second, what+" ends with "+want.String(), func() error {
		if err := call(t.Context()); status.Code(err) != want {
			return fmt.Errorf("it ends with %s: %v", status.Code(err), err)
		}
		return nil
	})
	t.Logf("%s ends with %s after %.2f s", what, want, time.Since(begun).Seconds())
}
