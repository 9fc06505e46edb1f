package istio_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/discovery"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/istio"
	"evenkeel.dev/mesh/member"
	"evenkeel.dev/mesh/traffic"
)

// Objects would be written again and again without a change, in another order or with other names, only because something was told in another order.
func TestOrderOfInputChangesNothing(t *testing.T) {
	for file, a := range pages(t) {
		for _, o := range istio.Outputs() {
			want := print(t, o.Compile(input(t, a)))
			for seed := range uint64(20) {
				in := input(t, a)
				shuffle(in, rand.New(rand.NewPCG(seed, 1)))
				if got := print(t, o.Compile(in)); !bytes.Equal(want, got) {
					t.Fatalf("%s, %s, seed %d:\n%s", file, o.Name(), seed, got)
				}
			}
		}
	}
}

func shuffle(in *istio.Input, r *rand.Rand) {
	mix(r, in.GlobalNamespaces)
	mix(r, in.Routing)
	mix(r, in.View.Clusters)
	for i := range in.View.Clusters {
		c := &in.View.Clusters[i]
		mix(r, c.Namespaces)
		mix(r, c.Hosts)
		mix(r, c.Instances)
		mix(r, c.Workloads)
	}
}

func mix[T any](r *rand.Rand, s []T) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

// An object would be refused by a cluster, take the place of another one, or change something for who is no member.
func TestObjectsHaveNamesOfTheirOwnWithinMembers(t *testing.T) {
	words := []string{"a", "a-b", "a--b", "b", strings.Repeat("long-", 12) + "x", strings.Repeat("long-", 12) + "y", "x9"}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		in := random(r, words)
		m := member.MembersOf(in.GlobalNamespaces, in.View.Inventory())
		for _, o := range istio.Outputs() {
			seen := map[string]bool{}
			for _, x := range o.Compile(in).Objects {
				if key := x.String(); seen[key] {
					t.Fatalf("seed %d, %s: %s is written twice", seed, o.Name(), key)
				} else if seen[key] = true; mesh.LabelHint(x.Name) != "" {
					t.Fatalf("seed %d, %s: %s has no name that a cluster takes", seed, o.Name(), key)
				}
				if x.Kind == "Secret" && x.Namespace == "istio-system" {
					continue
				}
				if !inside(in, &m, &x) {
					t.Fatalf("seed %d, %s: %s stands where %s has no member", seed, o.Name(), x, x.GlobalNamespace)
				}
				if got := x.Body.Get("metadata").Get("labels").Get(istio.LabelManagedBy); got == nil || got.Text != "evenkeel" {
					t.Fatalf("seed %d, %s: nobody could tell that %s is ours", seed, o.Name(), x)
				}
			}
		}
	}
}

// inside reports whether an object stands in a namespace that is a member, or has one.
func inside(in *istio.Input, m *member.Membership, x *istio.Object) bool {
	if m.Of(member.Place{Cluster: x.Cluster, Namespace: x.Namespace}) == x.GlobalNamespace {
		return true
	}
	for _, c := range in.View.Clusters {
		for _, h := range c.Hosts {
			if c.Name == x.Cluster && h.Namespace == x.Namespace && m.Of(member.Place{Cluster: c.Name, Namespace: h.Namespace, Service: h.Name}) == x.GlobalNamespace {
				return true
			}
		}
	}
	return false
}

// random returns an input of names that are easily mistaken for each other.
func random(r *rand.Rand, words []string) *istio.Input {
	one := func() string { return words[r.IntN(len(words))] }
	in := &istio.Input{Now: now}
	accept := []member.Accept{{Cluster: "c-0"}, {Cluster: "c-1"}}
	modes := []string{traffic.Strict, traffic.Permissive, traffic.Disabled}
	for i := range 3 {
		g := member.GlobalNamespace{Name: words[i], Domain: fmt.Sprintf("g%d.internal", i), AcceptedFrom: accept}
		for range 3 {
			c := member.Condition{Namespace: &member.Pattern{Type: member.Exact, Match: one()}}
			if r.IntN(3) == 0 {
				c.Service = &member.Pattern{Type: member.Exact, Match: one()}
			}
			g.Conditions = append(g.Conditions, c)
		}
		in.GlobalNamespaces = append(in.GlobalNamespaces, g)
		in.Encryption = append(in.Encryption, traffic.Encryption{GlobalNamespace: g.Name, Mode: traffic.Approve, Inside: modes[r.IntN(3)],
			Exceptions: []traffic.Exception{{Service: one(), Port: 8080, Mode: modes[r.IntN(3)], Expires: now + 1}, {Namespace: one(), Mode: modes[r.IntN(3)], Expires: now + 1}},
			NorthSouth: &traffic.NorthSouth{Mode: modes[r.IntN(3)], MinTLS: "1.2", ClientCert: "None", Gateways: []traffic.Gateway{{Name: one(), Namespace: one(), Hosts: []string{"h.test"}, Secret: "s"}}}})
		in.Routing = append(in.Routing, traffic.Routing{Name: one(), GlobalNamespace: g.Name, Mode: traffic.Observe, Service: one(), Rules: []traffic.Rule{{Name: "all", To: []traffic.Target{{Version: "v1", Weight: 50}, {Version: "V_1", Weight: 50}}}}})
	}
	for i := range 2 {
		c := discovery.Cluster{Name: fmt.Sprintf("c-%d", i)}
		for _, ns := range words {
			c.Namespaces = append(c.Namespaces, inventory.Namespace{Name: ns})
			for _, name := range words {
				if r.IntN(2) == 0 {
					continue
				}
				labels := map[string]string{"app": one(), "version": "v1"}
				c.Hosts = append(c.Hosts, inventory.Host{Namespace: ns, Name: name, Selector: map[string]string{"app": labels["app"]}, Ports: []inventory.Port{{Name: "http", Port: 80, Target: 8080, Protocol: "TCP"}}})
				c.Workloads = append(c.Workloads, inventory.Workload{Namespace: ns, Name: name, Version: "v1", Labels: labels})
				c.Instances = append(c.Instances, inventory.Instance{Namespace: ns, Name: name, Version: "v1", IP: fmt.Sprintf("10.0.%d.%d", i, len(c.Instances)), Account: one(), State: inventory.StateHealthy, Labels: labels})
			}
		}
		in.View.Clusters = append(in.View.Clusters, c)
	}
	return in
}

// An exception that is over would hold on, or objects would not be made anew when one ends.
func TestExceptionsEndByTheTimeGiven(t *testing.T) {
	in := input(t, pages(t)["testdata/shared.txtar"])
	before := istio.Outputs()[0].Compile(in)
	if before.Until == 0 || before.Until <= now {
		t.Fatalf("the next one ends at %d", before.Until)
	}
	in.Now = before.Until
	after := istio.Outputs()[0].Compile(in)
	if after.Until <= before.Until || bytes.Equal(print(t, before), print(t, after)) {
		t.Fatal("an exception has ended and nothing has changed")
	}
	for _, o := range after.Objects {
		if o.Kind == "PeerAuthentication" && o.Namespace == "tools" && strings.Contains(string(o.JSON()), "DISABLE") {
			t.Fatalf("%s takes calls by an exception that has ended", o)
		}
	}
}

// A caller of another global namespace would get in because its name begins as that of a member does.
func TestPrincipalsNameWholeNamespaces(t *testing.T) {
	for _, a := range pages(t) {
		for _, o := range istio.Outputs()[0].Compile(input(t, a)).Objects {
			if o.Kind != "AuthorizationPolicy" {
				continue
			}
			for _, p := range o.Body.Get("spec").Get("rules").Items[0].Get("from").Items[0].Get("source").Get("notPrincipals").Items {
				parts := strings.Split(p.Text, "/")
				if !slices.Contains(parts, "ns") || strings.Contains(parts[2], "*") || strings.HasSuffix(p.Text, "/sa/*") || strings.Count(p.Text, "*") == 1 && parts[3] != "*" {
					t.Errorf("%s lets in %s", o, p.Text)
				}
			}
		}
	}
}

func BenchmarkSidecar(b *testing.B) {
	in := &istio.Input{Now: now, GlobalNamespaces: []member.GlobalNamespace{{Name: "shop", Domain: "shop.internal", Conditions: []member.Condition{{Namespace: &member.Pattern{Type: member.Exact, Match: "shop"}}}}}}
	for i := range 5 {
		c := discovery.Cluster{Name: fmt.Sprintf("c-%d", i), TrustDomain: "shop.internal", Namespaces: []inventory.Namespace{{Name: "shop"}}}
		in.GlobalNamespaces[0].AcceptedFrom = append(in.GlobalNamespaces[0].AcceptedFrom, member.Accept{Cluster: c.Name})
		for j := range 200 {
			app := map[string]string{"app": fmt.Sprint("s", j)}
			c.Hosts = append(c.Hosts, inventory.Host{Namespace: "shop", Name: app["app"], Selector: app, Ports: []inventory.Port{{Name: "http", Port: 80, Target: 8080, Protocol: "TCP"}}})
			for k := range 10 {
				c.Instances = append(c.Instances, inventory.Instance{Namespace: "shop", Name: fmt.Sprint(app["app"], "-", k), Version: "v1", IP: fmt.Sprintf("10.%d.%d.%d", i, j, k), Account: "a", State: inventory.StateHealthy, Labels: app})
			}
		}
		in.View.Clusters = append(in.View.Clusters, c)
	}
	for b.Loop() {
		if r := istio.Outputs()[0].Compile(in); len(r.Objects) < 2000 {
			b.Fatal(len(r.Objects))
		}
	}
}
