package discovery_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/discovery"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

const now bus.Time = 1_800_000_000_000

func exact(name string) *member.Pattern { return &member.Pattern{Type: member.Exact, Match: name} }

// spaces returns a shop in all clusters, and payments below its domain, in one.
func spaces() []member.GlobalNamespace {
	accept := []member.Accept{{Cluster: "eu-1"}, {Cluster: "eu-2"}, {Cluster: "us-1"}, {Cluster: "far-1"}}
	return []member.GlobalNamespace{
		{Name: "shop", Domain: "shop.internal", AcceptedFrom: accept, Conditions: []member.Condition{{Namespace: exact("shop")}, {Namespace: exact("shop-two")}}},
		{Name: "payments", Domain: "pay.shop.internal", AcceptedFrom: accept, Conditions: []member.Condition{{Namespace: exact("pay")}}},
	}
}

func pod(ns, app, ip, node, state string) inventory.Instance {
	return inventory.Instance{Namespace: ns, Name: app + "-" + ip, IP: ip, Node: node, State: state, Labels: map[string]string{"app": app}}
}

func host(ns, app string) inventory.Host {
	return inventory.Host{Namespace: ns, Name: app, Selector: map[string]string{"app": app}, Ports: []inventory.Port{{Name: "http", Port: 80, Target: 8080, Protocol: "TCP"}, {Name: "admin", Port: 81, Protocol: "TCP"}}}
}

func view() discovery.View {
	node := func(zone string) inventory.Node {
		return inventory.Node{Name: zone, Region: "eu", Zone: zone}
	}
	namespaces := []inventory.Namespace{{Name: "shop"}, {Name: "shop-two"}, {Name: "pay"}, {Name: "evil"}}
	return discovery.View{Clusters: []discovery.Cluster{
		{Name: "eu-1", Nodes: []inventory.Node{node("eu-a"), node("eu-b")}, Namespaces: namespaces, Hosts: []inventory.Host{host("shop", "cart"), host("shop", "idle"), host("pay", "ledger"), host("evil", "cart"), host("shop", "six")},
			Instances: []inventory.Instance{
				pod("shop", "cart", "10.1.0.1", "eu-a", inventory.StateHealthy), pod("shop", "cart", "10.1.0.2", "eu-a", inventory.StateHealthy), pod("shop", "cart", "10.1.0.3", "eu-b", inventory.StateHealthy),
				pod("shop", "cart", "10.1.0.4", "eu-a", inventory.StateWarning), pod("shop", "cart", "", "eu-a", inventory.StateHealthy), pod("shop", "idle", "10.1.0.5", "eu-a", inventory.StateError),
				pod("pay", "ledger", "10.1.0.6", "eu-a", inventory.StateHealthy), pod("evil", "cart", "10.1.6.6", "eu-a", inventory.StateHealthy), pod("shop", "six", "fd00::7", "eu-a", inventory.StateHealthy),
			}},
		{Name: "eu-2", Region: "eu", Namespaces: namespaces, Hosts: []inventory.Host{host("shop-two", "cart")}, Instances: []inventory.Instance{pod("shop-two", "cart", "10.2.0.1", "", inventory.StateHealthy)}},
		{Name: "us-1", Region: "us", Namespaces: namespaces, Hosts: []inventory.Host{host("shop", "cart"), host("shop", "gone")}, Instances: []inventory.Instance{pod("shop", "cart", "10.3.0.1", "", inventory.StateHealthy), pod("shop", "gone", "10.3.0.2", "", inventory.StateHealthy)}},
		{Name: "far-1", Region: "far", Network: "far", Namespaces: namespaces, Hosts: []inventory.Host{host("shop", "cart")}, Instances: []inventory.Instance{pod("shop", "cart", "10.4.0.1", "", inventory.StateHealthy)}},
	}}
}

func table(v *discovery.View, c discovery.Config) *discovery.Table {
	gs := spaces()
	m := member.MembersOf(gs, v.Inventory())
	return discovery.NewTable(gs, &m, v, c)
}

func tell(a discovery.Answer) string {
	if len(a.Records) == 0 {
		return strings.TrimSpace(a.Code + " " + a.Reason)
	}
	var out []string
	for _, r := range a.Records {
		text := r.Value
		if r.Type == discovery.TypeSRV {
			text = fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, r.Value)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// Somebody would be sent to an instance that is not ready, far away, of another global namespace or in a cluster that nobody has heard of for long; or would be told that a
// service is not there which is.
func TestResolve(t *testing.T) {
	from := func(cluster, ns, region, zone string) discovery.Viewer {
		return discovery.Viewer{Place: member.Place{Cluster: cluster, Namespace: ns}, Region: region, Zone: zone}
	}
	shop, pay := from("eu-1", "shop", "eu", "eu-a"), from("eu-1", "pay", "eu", "eu-a")
	v := view()
	dark := view()
	dark.Clusters[2].State, dark.Clusters[2].Since = discovery.Dark, now-60_000
	longDark := view()
	longDark.Clusters[2].State, longDark.Clusters[2].Since = discovery.Dark, now-121_000
	detached := view()
	detached.Clusters[2].State = discovery.Detached
	for _, c := range []struct {
		about      string
		view       *discovery.View
		name, kind string
		by         discovery.Viewer
		want       string
	}{
		{"the same zone has enough", &v, "cart.shop.internal", "A", shop, "10.1.0.1, 10.1.0.2"},
		{"capitals and a dot", &v, "Cart.Shop.INTERNAL.", "A", shop, "10.1.0.1, 10.1.0.2"},
		{"one in the zone, the rest of the region beside it", &v, "cart.shop.internal", "A", from("eu-1", "shop", "eu", "eu-b"), "10.1.0.3, 10.2.0.1, 10.1.0.1, 10.1.0.2"},
		{"no zone known, the same region", &v, "cart.shop.internal", "A", from("eu-2", "shop-two", "eu", ""), "10.2.0.1, 10.1.0.3, 10.1.0.1, 10.1.0.2"},
		{"nothing known but the cluster", &v, "cart.shop.internal", "A", from("us-1", "shop", "", ""), "10.3.0.1, 10.1.0.3, 10.1.0.1, 10.1.0.2, 10.2.0.1"},
		{"another network", &v, "cart.shop.internal", "A", from("far-1", "shop", "far", ""), "10.4.0.1"},
		{"IPv6 of a service with IPv4", &v, "cart.shop.internal", "AAAA", shop, "NOERROR NoSuchType"},
		{"IPv6", &v, "six.shop.internal", "AAAA", shop, "fd00::7"},
		{"another type", &v, "cart.shop.internal", "MX", shop, "NOERROR NoSuchType"},
		{"the domain itself", &v, "shop.internal", "A", shop, "NOERROR NoSuchType"},
		{"none ready", &v, "idle.shop.internal", "A", shop, "NOERROR NoneReady"},
		{"no such service", &v, "nothing.shop.internal", "A", shop, "NXDOMAIN NoSuchService"},
		{"a service of the domain below", &v, "ledger.pay.shop.internal", "A", pay, "10.1.0.6"},
		{"of another global namespace", &v, "ledger.pay.shop.internal", "A", shop, "NXDOMAIN OtherGlobalNamespace"},
		{"from another global namespace", &v, "cart.shop.internal", "A", pay, "NXDOMAIN OtherGlobalNamespace"},
		{"from a namespace in none", &v, "cart.shop.internal", "A", from("eu-1", "evil", "eu", "eu-a"), "NXDOMAIN OtherGlobalNamespace"},
		{"from nobody", &v, "cart.shop.internal", "A", discovery.Viewer{}, "NXDOMAIN OtherGlobalNamespace"},
		{"not ours", &v, "www.example.com", "A", shop, "NotOurs"},
		{"only like ours", &v, "cart.evilshop.internal", "A", shop, "NotOurs"},
		{"an instance", &v, "10-1-0-3.cart.shop.internal", "A", shop, "10.1.0.3"},
		{"an instance with IPv6", &v, "v6-fd00-0000-0000-0000-0000-0000-0000-0007.six.shop.internal", "AAAA", shop, "fd00::7"},
		{"an instance that is not ready", &v, "10-1-0-4.cart.shop.internal", "A", shop, "NXDOMAIN NoSuchInstance"},
		{"somebody else's instance", &v, "10-1-6-6.cart.shop.internal", "A", shop, "NXDOMAIN NoSuchInstance"},
		{"a port", &v, "_http._tcp.cart.shop.internal", "SRV", from("us-1", "shop", "us", ""), "1 1 8080 10-3-0-1.cart.shop.internal, 3 1 8080 10-1-0-3.cart.shop.internal, 3 1 8080 10-1-0-1.cart.shop.internal, 3 1 8080 10-1-0-2.cart.shop.internal, 3 1 8080 10-2-0-1.cart.shop.internal"},
		{"a port whose number at the instances is not known", &v, "_admin._tcp.cart.shop.internal", "SRV", shop, "NOERROR NoneReady"},
		{"no such port", &v, "_grpc._tcp.cart.shop.internal", "SRV", shop, "NXDOMAIN NoSuchPort"},
		{"another protocol", &v, "_http._udp.cart.shop.internal", "SRV", shop, "NXDOMAIN NoSuchPort"},
		{"above a port", &v, "_tcp.cart.shop.internal", "SRV", shop, "NOERROR NoSuchType"},
		{"a port and another type", &v, "_http._tcp.cart.shop.internal", "A", shop, "NOERROR NoSuchType"},
		{"too deep", &v, "a.b.c.cart.shop.internal", "A", shop, "NXDOMAIN NoSuchInstance"},
		{"there before its cluster went dark", &v, "gone.shop.internal", "A", shop, "10.3.0.2"},
		{"dark for a minute", &dark, "gone.shop.internal", "A", shop, "10.3.0.2"},
		{"dark for over two", &longDark, "gone.shop.internal", "A", shop, "NOERROR NoneReady"},
		{"dark, asked from itself", &longDark, "gone.shop.internal", "A", from("us-1", "shop", "us", ""), "10.3.0.2"},
		{"detached", &detached, "gone.shop.internal", "A", shop, "NXDOMAIN NoSuchService"},
	} {
		a := table(c.view, discovery.Config{}).Resolve(c.name, c.kind, c.by, now)
		if got := tell(a); got != c.want {
			t.Errorf("%s: %s", c.about, got)
		}
		if want := 5 * time.Second; a.TTL != want && a.Code != discovery.CodeNotOurs {
			t.Errorf("%s: TTL %s", c.about, a.TTL)
		}
	}
}

// An answer would not fit into a packet, would change from question to question, or all who ask would be sent to the same few instances.
func TestBound(t *testing.T) {
	v := view()
	eu := &v.Clusters[0]
	eu.Instances = nil
	for i := range 200 {
		eu.Instances = append(eu.Instances, pod("shop", "cart", fmt.Sprintf("10.9.%d.%d", i/100, i%100), "eu-a", inventory.StateHealthy))
	}
	tb := table(&v, discovery.Config{MaxRecords: 10})
	used := map[string]int{}
	for i := range 100 {
		by := discovery.Viewer{Place: member.Place{Cluster: "eu-1", Namespace: "shop", Service: fmt.Sprintf("caller-%d", i)}, Region: "eu", Zone: "eu-a"}
		a := tb.Resolve("cart.shop.internal", "A", by, now)
		if len(a.Records) != 10 || a.Left != 190 || tell(a) != tell(tb.Resolve("cart.shop.internal", "A", by, now+1)) {
			t.Fatalf("%d records, %d left", len(a.Records), a.Left)
		}
		for _, r := range a.Records {
			used[r.Value]++
		}
		if s := tb.Resolve("_http._tcp.cart.shop.internal", "SRV", by, now); len(s.Records) != 10 || s.Left != 192 {
			t.Fatalf("%d SRV records, %d left", len(s.Records), s.Left)
		}
	}
	if len(used) < 190 {
		t.Errorf("only %d of 200 instances are ever answered", len(used))
	}
}

// A name from the network would crash the server.
func FuzzResolve(f *testing.F) {
	v := view()
	tb := table(&v, discovery.Config{})
	for _, s := range []string{"cart.shop.internal", "..", "_._tcp.cart.shop.internal", ".shop.internal", "a..shop.internal"} {
		f.Add(s, "A")
	}
	f.Fuzz(func(t *testing.T, name, kind string) {
		a := tb.Resolve(name, kind, discovery.Viewer{Place: member.Place{Cluster: "eu-1", Namespace: "shop"}}, now)
		if a.Code == "" || a.Code != discovery.CodeNoError && len(a.Records) > 0 || len(a.Records) == 0 && a.Reason == "" && a.Code != discovery.CodeNotOurs {
			t.Fatalf("%q: %+v", name, a)
		}
	})
}

// A resolver that asks for everything would slow the server down.
func BenchmarkResolve(b *testing.B) {
	v := view()
	eu := &v.Clusters[0]
	for i := range 20 {
		eu.Instances = append(eu.Instances, pod("shop", "cart", fmt.Sprintf("10.9.0.%d", i), "eu-a", inventory.StateHealthy))
	}
	tb := table(&v, discovery.Config{})
	by := discovery.Viewer{Place: member.Place{Cluster: "eu-1", Namespace: "shop"}, Region: "eu", Zone: "eu-a"}
	b.ReportAllocs()
	for b.Loop() {
		tb.Resolve("cart.shop.internal", "A", by, now)
	}
}

// A cluster could say whose identities its own are over what was defined, networks would be taken for one, or the Service objects that are written for versions would become services.
func TestViewOf(t *testing.T) {
	network := map[string]string{"topology.istio.io/network": "far"}
	v := discovery.ViewOf([]inventory.Objects{
		{Name: "a", State: inventory.ClusterDark, Since: now, Info: inventory.Info{TrustDomain: "told.test"}, Spec: inventory.ClusterSpec{TrustDomain: "defined.test", Region: "eu"},
			Namespaces: []inventory.Namespace{{Name: "istio-system", Labels: network}, {Name: "shop"}}, Hosts: []inventory.Host{host("shop", "cart"), host("shop", "evenkeel-shop--cart--v1")}},
		{Name: "b", State: inventory.ClusterDetached, Info: inventory.Info{TrustDomain: "told.test"}, Spec: inventory.ClusterSpec{Labels: network}},
	})
	var got []string
	for _, c := range v.Clusters {
		got = append(got, fmt.Sprint(c.Name, " ", c.State, " ", c.TrustDomain, " ", c.Network, " ", c.Region, " ", len(c.Hosts)))
	}
	if got, want := strings.Join(got, ", "), "a Dark defined.test far eu 1, b Detached told.test far  0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
