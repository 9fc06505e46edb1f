package traffic_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
	"evenkeel.dev/mesh/meshtest"
	"evenkeel.dev/mesh/traffic"
)

var update = flag.Bool("update", false, "write golden files")

func compile(name, text string, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	return meshtest.Compile(traffic.New(), name, text, existing)
}

// Somebody with a mistake in a file would not be told what, where, or what would be right; or something right would be refused.
func TestGolden(t *testing.T) {
	meshtest.Golden(t, *update, 4, func(name, text string) ([]mesh.Definition, []mesh.Problem) { return compile(name, text, nil) })
}

const policy = `apiVersion: evenkeel.dev/v1beta1
kind: EncryptionPolicy
metadata: {name: shop}
spec: {globalNamespace: shop, inside: {mode: Strict}}
---
apiVersion: evenkeel.dev/v1beta1
kind: TrafficPolicy
metadata: {name: catalog}
spec: {globalNamespace: shop, targetRef: {kind: Service, name: catalog}, http: [{name: all, to: [{version: v1, weight: 100}, {version: v2, weight: 0}]}]}
`

// Two policies would say different things of one global namespace or service, or a weight of zero would be lost.
func TestClaims(t *testing.T) {
	ds, ps := compile("a.yaml", policy, nil)
	if len(ps) > 0 || len(ds) != 2 {
		t.Fatal(ps)
	}
	if _, ps := compile("a.yaml", policy, ds); len(ps) > 0 {
		t.Errorf("applied again: %v", ps)
	}
	_, ps = compile("b.yaml", strings.ReplaceAll(policy, "metadata: {name: ", "metadata: {name: other-"), ds)
	if len(ps) != 2 || !strings.Contains(ps[0].Message, "the encryption of the global namespace shop is that of EncryptionPolicy default/shop already") || !strings.Contains(ps[1].Message, "the routing of service catalog") {
		t.Error(ps)
	}
	es, rs, err := traffic.Decode(ds)
	if err != nil || len(es) != 1 || len(rs) != 1 || es[0].Mode != traffic.Observe || rs[0].Mode != traffic.Observe {
		t.Fatalf("%+v %+v %v", es, rs, err)
	}
	if want := []traffic.Target{{Version: "v1", Weight: 100}, {Version: "v2", Weight: 0}}; !cmp.Equal(rs[0].Rules[0].To, want) {
		t.Errorf("%+v", rs[0].Rules[0].To)
	}
}

func at(text string) bus.Time {
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return bus.TimeOf(v)
}

// An exception would hold longer than it says, for more than it says, or the narrower one would not win.
func TestAt(t *testing.T) {
	soon, late, now := at("2026-12-01T00:00:00Z"), at("2027-01-01T00:00:00Z"), at("2026-11-25T00:00:00Z")
	e := traffic.Encryption{Inside: traffic.Strict, Exceptions: []traffic.Exception{
		{Cluster: "eu-1", Mode: traffic.Permissive, Expires: late},
		{Service: "cart", Mode: traffic.Disabled, Expires: soon},
		{Service: "cart", Port: 9090, Mode: traffic.Permissive, Expires: late},
		{Namespace: "shop-prod", Cluster: "eu-1", Mode: traffic.Disabled, Expires: late},
	}}
	for _, c := range []struct {
		place member.Place
		port  int
		now   bus.Time
		want  string
	}{
		{member.Place{Cluster: "us-1", Namespace: "a", Service: "web"}, 80, now, "Strict"},
		{member.Place{Cluster: "eu-1", Namespace: "a", Service: "web"}, 80, now, "Permissive"},
		{member.Place{Cluster: "eu-1", Namespace: "shop-prod", Service: "web"}, 80, now, "Disabled"},
		{member.Place{Cluster: "us-1", Namespace: "a", Service: "cart"}, 80, now, "Disabled"},
		{member.Place{Cluster: "us-1", Namespace: "a", Service: "cart"}, 80, soon - 1, "Disabled"},
		{member.Place{Cluster: "us-1", Namespace: "a", Service: "cart"}, 80, soon, "Strict"},
		{member.Place{Cluster: "eu-1", Namespace: "shop-prod", Service: "cart"}, 9090, now, "Permissive"},
		{member.Place{Cluster: "us-1", Namespace: "a", Service: "cart"}, 9090, late, "Strict"},
	} {
		if got, _ := e.At(c.place, c.port, c.now); got != c.want {
			t.Errorf("%+v:%d at %s is %s, want %s", c.place, c.port, c.now, got, c.want)
		}
	}
}

// Who would be refused by Strict would hear of it from their customers.
func TestPlaintext(t *testing.T) {
	gs := []member.GlobalNamespace{{Name: "shop", Domain: "shop.internal", Conditions: []member.Condition{{Namespace: &member.Pattern{Type: member.Exact, Match: "shop"}}}, AcceptedFrom: []member.Accept{{Cluster: "eu-1"}}}}
	m := member.MembersOf(gs, member.Inventory{Clusters: []member.Cluster{{Name: "eu-1", Namespaces: []member.Namespace{{Name: "shop", Services: []member.Service{{Name: "cart"}}}, {Name: "jobs"}}}}})
	home := func(p member.Place) string { return m.Of(member.Place{Cluster: p.Cluster, Namespace: p.Namespace}) }
	now := at("2026-11-25T00:00:00Z")
	place := func(ns, service string) member.Place {
		return member.Place{Cluster: "eu-1", Namespace: ns, Service: service}
	}
	call := func(from, to string, port int, mtls bool, count uint64, ago time.Duration) traffic.Call {
		return traffic.Call{Source: place("jobs", from), Destination: place("shop", to), Port: port, MTLS: mtls, Count: count, Last: now - bus.Time(ago/time.Millisecond)}
	}
	calls := []traffic.Call{
		call("cron", "cart", 8080, false, 3, time.Hour), call("cron", "cart", 8080, false, 4, 2*time.Hour), call("web", "cart", 8080, true, 100, time.Minute),
		call("prometheus", "cart", 9090, false, 50, time.Minute), call("old", "cart", 8080, false, 9, 100*time.Hour),
		call("scan", "ledger", 0, false, 5, time.Hour), call("pay", "cart", 7070, false, 6, time.Hour),
		{Destination: place("elsewhere", "x"), Count: 7, Last: now},
	}
	e := &traffic.Encryption{GlobalNamespace: "shop", Inside: traffic.Strict, Exceptions: []traffic.Exception{
		{Port: 9090, Mode: traffic.Permissive, Expires: now + 1000}, {Service: "cart", Port: 7070, Mode: traffic.Disabled, Expires: now},
	}}
	tell := func(r traffic.Report) string {
		out := fmt.Sprintf("%d of %d plain, %d refused, %d elsewhere", r.Plain, r.Calls, r.Denied, r.Outside)
		for _, vs := range [][]traffic.Verdict{r.Refused, r.Let} {
			out += ";"
			for _, v := range vs {
				out += fmt.Sprintf(" %s>%s:%d %d %s", v.Source.Service, v.Destination.Service, v.Port, v.Count, v.Reason)
			}
		}
		return out
	}
	since := now - bus.Time(24*time.Hour/time.Millisecond)
	if got, want := tell(traffic.Plaintext(e, home, calls, since, now)), "68 of 168 plain, 18 refused, 7 elsewhere; cron>cart:8080 7 Strict pay>cart:7070 6 ExceptionEnded scan>ledger:0 5 PortUnknown; prometheus>cart:9090 50 Exception"; got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	e.Inside, e.Exceptions = traffic.Permissive, []traffic.Exception{{Service: "cart", Mode: traffic.Strict, Expires: now + 5}}
	if got, want := tell(traffic.Plaintext(e, home, calls, since, now)), "68 of 168 plain, 63 refused, 7 elsewhere; prometheus>cart:9090 50 StrictHere cron>cart:8080 7 StrictHere pay>cart:7070 6 StrictHere; scan>ledger:0 5 Permissive"; got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
}

// A file of nonsense would crash the check, or something would be taken that is not whole.
func FuzzCompile(f *testing.F) {
	f.Add(policy)
	for _, text := range meshtest.Seeds(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ds, _ := compile("a.yaml", text, nil)
		_, rs, err := traffic.Decode(ds)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			for _, rule := range r.Rules {
				sum := 0
				for _, to := range rule.To {
					sum += to.Weight
				}
				if sum != 100 || rule.Name == "" {
					t.Fatalf("%+v", rule)
				}
			}
		}
	})
}
