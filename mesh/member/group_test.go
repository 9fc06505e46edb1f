package member_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"evenkeel.dev/mesh/member"
)

// A group would hold what its rules leave out: the example of Tanzu's guide, and each way of comparing on each property.
func TestGroupRules(t *testing.T) {
	cart := member.Rules{Fn: member.And,
		Match: []member.Match{{Type: member.TypeName, Fn: member.StartsWith, Value: "cart"}, {Type: member.TypeCluster, Fn: member.Exact, Value: "prod-cluster-ca"}},
		Rules: []member.Rules{{Fn: member.Or, Match: []member.Match{{Type: member.TypeNamespace, Fn: member.Exact, Value: "default"}, {Type: member.TypeNamespace, Fn: member.Exact, Value: "sample"}}}},
	}
	for _, name := range []string{"cart", "cart-v2", "shop"} {
		for _, cluster := range []string{"prod-cluster-ca", "prod-cluster-us"} {
			for _, ns := range []string{"default", "sample", "other"} {
				x := member.Resource{Kind: member.KindService, Name: name, Cluster: cluster, Namespace: ns}
				if got, want := cart.Holds(&x), name != "shop" && cluster == "prod-cluster-ca" && ns != "other"; got != want {
					t.Errorf("%+v: %t", x, got)
				}
			}
		}
	}
	x := member.Resource{Name: "abc", Cluster: "abc", Namespace: "abc", GlobalNamespaces: []string{"x", "abc"}, Versions: []string{"abc"}, Labels: map[string]string{"k": "abc"}}
	for _, kind := range []string{member.KindService, member.KindCluster, member.KindNode, "Pod"} {
		x.Kind = kind
		for _, typ := range member.TypesOf(member.KindService) {
			for fn, values := range map[string][2]string{member.Exact: {"abc", "ab"}, member.StartsWith: {"ab", "bc"}, member.EndsWith: {"bc", "ab"}, member.Contains: {"b", "d"}} {
				for i, v := range values {
					r := member.Rules{Fn: member.Or, Match: []member.Match{{Type: typ, Key: "k", Fn: fn, Value: v}}}
					if got, want := r.Holds(&x), i == 0 && slices.Contains(member.TypesOf(kind), typ); got != want {
						t.Errorf("%s %s %s %s: %t", kind, typ, fn, v, got)
					}
				}
			}
		}
	}
}

// AND would be OR, or rules of nothing would hold for all: every pair of truths, joined both ways, as matches and as rules.
func TestGroupTruth(t *testing.T) {
	truth := map[bool]member.Match{true: {Type: member.TypeName, Fn: member.Exact, Value: "x"}, false: {Type: member.TypeName, Fn: member.Exact, Value: "y"}}
	x := member.Resource{Kind: member.KindNode, Name: "x"}
	for a, ma := range truth {
		for b, mb := range truth {
			for fn, want := range map[string]bool{member.And: a && b, member.Or: a || b, "": false, "NOT": false} {
				nested := []member.Rules{{Fn: member.And, Match: []member.Match{mb}}}
				for _, r := range []member.Rules{{Fn: fn, Match: []member.Match{ma, mb}}, {Fn: fn, Match: []member.Match{ma}, Rules: nested}} {
					if got := r.Holds(&x); got != want {
						t.Errorf("%t %s %t: %t", a, fn, b, got)
					}
				}
			}
		}
	}
	for _, fn := range []string{member.And, member.Or} {
		if (&member.Rules{Fn: fn}).Holds(&x) {
			t.Errorf("empty %s holds", fn)
		}
	}
}

// A group would miss what an inventory holds, or look beyond the global namespace that it is for.
func TestGroupOf(t *testing.T) {
	inv := shop("ann")
	inv.Clusters[0].Nodes, inv.Clusters[0].Version = []member.Node{{Name: "n2"}, {Name: "n1"}}, "1.35"
	inv.Clusters = append(inv.Clusters, member.Cluster{Name: "z", Namespaces: []member.Namespace{{Name: "shop-a", Services: []member.Service{{Name: "shop-b"}}}}, Nodes: []member.Node{{Name: "n1"}}})
	m := member.MembersOf([]member.GlobalNamespace{{Name: "shop", Conditions: []member.Condition{{Namespace: patterns(true)["StartsWith"]}}, AcceptedFrom: []member.Accept{{Cluster: "shop-a"}}}}, inv)
	all := member.Rules{Fn: member.Or, Match: []member.Match{{Type: member.TypeName, Fn: member.Contains, Value: ""}}}
	for _, c := range []struct {
		gns, kind string
		want      []string
	}{
		{"shop", member.KindService, []string{"shop-a/shop-a/shop-a"}}, {"", member.KindService, []string{"shop-a/shop-a/shop-a", "z/shop-a/shop-b"}}, {"other", member.KindService, nil},
		{"shop", member.KindCluster, []string{"//shop-a"}}, {"", member.KindCluster, []string{"//shop-a", "//z"}},
		{"shop", member.KindNode, []string{"shop-a//n1", "shop-a//n2"}}, {"", member.KindNode, []string{"shop-a//n1", "shop-a//n2", "z//n1"}},
	} {
		var got []string
		g := member.Group{GlobalNamespace: c.gns, Kind: c.kind, Rules: all}
		for _, x := range g.Of(inv, &m) {
			got = append(got, x.Cluster+"/"+x.Namespace+"/"+x.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s of %q: %v", c.kind, c.gns, got)
		}
	}
}

// rules makes rules at random, some of them deeper than allowed.
func rules(r *rand.Rand, depth int) member.Rules {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	out := member.Rules{Fn: pick(member.And, member.Or)}
	for range r.IntN(3) {
		out.Match = append(out.Match, member.Match{Type: pick(member.TypesOf(member.KindService)...), Key: pick("team", "tier"), Fn: pick(member.Exact, member.StartsWith, member.EndsWith, member.Contains, member.Exists), Value: pick("", "a", "s", "shop", "v1")})
	}
	if depth <= member.MaxDepth+1 {
		for range r.IntN(3) {
			out.Rules = append(out.Rules, rules(r, depth+1))
		}
	}
	return out
}

// turned returns rules with everything in the opposite order.
func turned(r member.Rules) member.Rules {
	r.Match, r.Rules = slices.Clone(r.Match), slices.Clone(r.Rules)
	slices.Reverse(r.Match)
	slices.Reverse(r.Rules)
	for i := range r.Rules {
		r.Rules[i] = turned(r.Rules[i])
	}
	return r
}

// Rules out of a file of an enemy would crash the engine or run without end, or their order would decide.
func FuzzRules(f *testing.F) {
	for seed := range uint64(20) {
		b, err := json.Marshal(rules(rand.New(rand.NewPCG(seed, 2)), 1))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "a", "shop")
	}
	f.Fuzz(func(t *testing.T, text []byte, name, label string) {
		var r member.Rules
		if json.Unmarshal(text, &r) != nil {
			return
		}
		x := member.Resource{Kind: member.KindService, Name: name, Versions: []string{"v1", label}, Labels: map[string]string{"team": label}}
		back, count, depth := turned(r), 0, 0
		if count, depth = r.Size(); count < 1 || depth < 1 || depth > member.MaxDepth+1 {
			t.Fatalf("size %d, depth %d", count, depth)
		}
		holds := r.Holds(&x)
		if back.Holds(&x) != holds {
			t.Fatalf("turned around it is not %t", holds)
		}
		if depth >= member.MaxDepth {
			return
		}
		// Wrapped once more, and said twice, it means the same.
		for _, fn := range []string{member.And, member.Or} {
			if w := (member.Rules{Fn: fn, Rules: []member.Rules{r, back}}); w.Holds(&x) != holds {
				t.Fatalf("wrapped in %s it is not %t", fn, holds)
			}
		}
	})
}
