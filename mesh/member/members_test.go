package member_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"evenkeel.dev/mesh/member"
)

// patterns are all kinds of condition on a thing that is called "shop-a" and labelled team=shop.
func patterns(hit bool) map[string]*member.Pattern {
	name, value := "other", "other"
	if hit {
		name, value = "shop-", "shop"
	}
	exact := name
	if hit {
		exact = "shop-a"
	}
	return map[string]*member.Pattern{
		"Exact":      {Type: member.Exact, Match: exact},
		"StartsWith": {Type: member.StartsWith, Match: name},
		"Labels":     {Type: member.Labels, Required: []member.Expression{{Key: "team", Operator: member.In, Values: []string{value}}}},
	}
}

// sides are all that a part of a condition may be: absent, or of each kind, and fitting or not.
type side struct {
	name    string
	pattern *member.Pattern
	fits    bool
}

func sides(optional bool) []side {
	var out []side
	if optional {
		out = append(out, side{"absent", nil, true})
	}
	for _, hit := range []bool{true, false} {
		for name, p := range patterns(hit) {
			out = append(out, side{name, p, hit})
		}
	}
	return out
}

var labels = map[string]string{"team": "shop"}

func shop(author string) member.Inventory {
	return member.Inventory{Clusters: []member.Cluster{{Name: "shop-a", Labels: labels, Namespaces: []member.Namespace{{
		Name: "shop-a", Labels: labels, Author: author, Services: []member.Service{{Name: "shop-a", Labels: labels}},
	}}}}}
}

// A place would join that no rule lets in, or one that a rule lets in would stay out: for every combination of kinds of conditions.
func TestTruth(t *testing.T) {
	accepts := map[string]struct {
		list   []member.Accept
		admits bool
	}{
		"nobody":         {nil, false},
		"the cluster":    {[]member.Accept{{Cluster: "shop-a"}}, true},
		"another":        {[]member.Accept{{Cluster: "shop"}}, false},
		"the author":     {[]member.Accept{{Cluster: "shop-a", Author: "ann"}}, true},
		"another author": {[]member.Accept{{Cluster: "shop-a", Author: "eve"}, {Cluster: "x", Author: "ann"}}, false},
	}
	n := 0
	for _, ns := range sides(false) {
		for _, cl := range sides(true) {
			for _, sv := range sides(true) {
				for who, a := range accepts {
					g := member.GlobalNamespace{Name: "shop", AcceptedFrom: a.list, Conditions: []member.Condition{{Namespace: ns.pattern, Cluster: cl.pattern, Service: sv.pattern}}}
					m := member.MembersOf([]member.GlobalNamespace{g}, shop("ann"))
					namespace := ns.fits && cl.fits && sv.pattern == nil
					service := ns.fits && cl.fits && sv.fits
					members, candidates := count(namespace && a.admits)+count(service && a.admits), count(namespace && !a.admits)+count(service && !a.admits)
					got := m.Namespaces[0]
					if len(got.Members) != members || len(got.Candidates) != candidates || len(got.Refused) != 0 || len(m.Outside) != 2-members-candidates {
						t.Errorf("namespace %s %t, cluster %s %t, service %s %t, accepted %s: %+v", ns.name, ns.fits, cl.name, cl.fits, sv.name, sv.fits, who, m)
					}
					n++
				}
			}
		}
	}
	if n != 6*7*7*5 {
		t.Errorf("%d combinations", n)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Label selectors would mean something else than in Kubernetes.
func TestExpressions(t *testing.T) {
	for _, c := range []struct {
		e    member.Expression
		want bool
	}{
		{member.Expression{Key: "team", Operator: member.In, Values: []string{"a", "shop"}}, true},
		{member.Expression{Key: "team", Operator: member.In, Values: []string{"a"}}, false},
		{member.Expression{Key: "tier", Operator: member.In, Values: []string{""}}, false},
		{member.Expression{Key: "team", Operator: member.NotIn, Values: []string{"a"}}, true},
		{member.Expression{Key: "team", Operator: member.NotIn, Values: []string{"shop"}}, false},
		{member.Expression{Key: "tier", Operator: member.NotIn, Values: []string{"shop"}}, true},
		{member.Expression{Key: "team", Operator: member.Exists}, true},
		{member.Expression{Key: "tier", Operator: member.Exists}, false},
		{member.Expression{Key: "team", Operator: member.DoesNotExist}, false},
		{member.Expression{Key: "tier", Operator: member.DoesNotExist}, true},
		{member.Expression{Key: "team", Operator: "Later"}, false},
	} {
		p := member.Pattern{Type: member.Labels, Required: []member.Expression{c.e}}
		if got := p.Matches("x", labels); got != c.want {
			t.Errorf("%+v: %t", c.e, got)
		}
	}
	if (&member.Pattern{Type: member.Labels}).Matches("x", labels) {
		t.Error("an empty selector admits")
	}
}

// A place would be in two global namespaces, or in the one that was defined first.
func TestContested(t *testing.T) {
	prefix := []member.Condition{{Namespace: patterns(true)["StartsWith"]}}
	all := []member.Accept{{Cluster: "shop-a"}}
	a := member.GlobalNamespace{Name: "a", Conditions: prefix, AcceptedFrom: all}
	b := member.GlobalNamespace{Name: "b", Conditions: prefix, AcceptedFrom: all}
	c := member.GlobalNamespace{Name: "c", Conditions: prefix}
	reasons := func(gs ...member.GlobalNamespace) (out []string) {
		for _, g := range member.MembersOf(gs, shop("")).Namespaces {
			for _, list := range [][]member.Verdict{g.Members, g.Candidates, g.Refused} {
				if len(list) > 0 {
					out = append(out, g.GlobalNamespace+" "+list[0].Reason+": "+list[0].Why)
				}
			}
		}
		return out
	}
	for _, x := range []struct {
		gs   []member.GlobalNamespace
		want []string
	}{
		{[]member.GlobalNamespace{a, c}, []string{"a Accepted: matchConditions[0] matches, acceptedFrom[0] admits", "c MemberOfOther: it is a member of a"}},
		{[]member.GlobalNamespace{c, b, a}, []string{"a Contested: b would admit it, too, so nobody does", "b Contested: a would admit it, too, so nobody does", "c Contested: a and b would admit it, so nobody does"}},
	} {
		if diff := cmp.Diff(x.want, reasons(x.gs...)); diff != "" {
			t.Error(diff)
		}
	}
}

// A prefix would take the cluster's own namespaces in, and encrypting them could stop the cluster.
func TestSystemNamespaces(t *testing.T) {
	inv := member.Inventory{Clusters: []member.Cluster{{Name: "eu", Namespaces: []member.Namespace{{Name: "kube-system"}}}}}
	g := member.GlobalNamespace{Name: "g", AcceptedFrom: []member.Accept{{Cluster: "eu"}}, Conditions: []member.Condition{{Namespace: &member.Pattern{Type: member.StartsWith, Match: "k"}}}}
	if m := member.MembersOf([]member.GlobalNamespace{g}, inv); len(m.Namespaces[0].Refused) != 1 || m.Namespaces[0].Refused[0].Reason != member.ReasonSystemNamespace {
		t.Errorf("%+v", m)
	}
	g.Conditions = append(g.Conditions, member.Condition{Namespace: &member.Pattern{Type: member.Exact, Match: "kube-system"}})
	if m := member.MembersOf([]member.GlobalNamespace{g}, inv); len(m.Namespaces[0].Members) != 1 || m.Namespaces[0].Members[0].Condition != 1 {
		t.Errorf("named in full: %+v", m)
	}
}

func TestMayDefine(t *testing.T) {
	// A definition would be taken from a namespace that nobody has allowed.
	g := member.GlobalNamespace{DefinitionsFrom: []member.Origin{{Cluster: "eu", Namespace: "a"}, {Namespace: "b"}, {Cluster: "us"}}}
	for where, want := range map[[2]string]bool{{"eu", "a"}: true, {"eu", "b"}: true, {"eu", "c"}: false, {"us", "c"}: true, {"x", "a"}: false} {
		if got := g.MayDefine(where[0], where[1]); got != want {
			t.Errorf("%v: %t", where, got)
		}
	}
	if (&member.GlobalNamespace{}).MayDefine("eu", "a") {
		t.Error("an empty list allows")
	}
}

// An overlap would not be told, or one told that cannot be: compared with all names of a small alphabet.
func TestOverlapIsExact(t *testing.T) {
	var ps []*member.Pattern
	names := []string{"a", "b", "ab", "aa", "abc", "a-b", "a-b-c", "b-c"}
	for _, n := range names {
		ps = append(ps, &member.Pattern{Type: member.Exact, Match: n}, &member.Pattern{Type: member.StartsWith, Match: n})
	}
	ps = append(ps, &member.Pattern{Type: member.StartsWith, Match: "a-"})
	universe := slices.Clone(names)
	for _, n := range names {
		universe = append(universe, n+"x", n+"-x")
	}
	universe = append(universe, "a-x")
	for _, p := range ps {
		for _, o := range ps {
			common := slices.ContainsFunc(universe, func(n string) bool { return p.Matches(n, nil) && o.Matches(n, nil) })
			if got := p.Overlap(o); (got == member.Overlaps) != common || got == member.MayOverlap {
				t.Errorf("%+v and %+v: %d, in common: %t", p, o, got, common)
			}
		}
	}
	selector := func(op string, values ...string) *member.Pattern {
		return &member.Pattern{Type: member.Labels, Required: []member.Expression{{Key: "team", Operator: op, Values: values}}}
	}
	shop, pay := selector(member.In, "shop"), selector(member.In, "pay")
	for _, c := range []struct {
		a, b *member.Pattern
		want member.Overlap
	}{
		{nil, nil, member.Overlaps}, {nil, ps[0], member.Overlaps}, {shop, nil, member.MayOverlap}, {shop, ps[0], member.MayOverlap}, {shop, shop, member.MayOverlap},
		{shop, pay, member.Apart}, {shop, selector(member.NotIn, "shop"), member.Apart}, {shop, selector(member.NotIn, "pay"), member.MayOverlap},
		{selector(member.Exists), selector(member.DoesNotExist), member.Apart}, {shop, selector(member.DoesNotExist), member.Apart},
	} {
		if c.a.Overlap(c.b) != c.want || c.b.Overlap(c.a) != c.want {
			t.Errorf("%+v and %+v: %d and %d, want %d", c.a, c.b, c.a.Overlap(c.b), c.b.Overlap(c.a), c.want)
		}
	}
	one := member.Condition{Namespace: ps[0], Cluster: ps[2]}
	if two := (member.Condition{Namespace: ps[0], Cluster: ps[0]}); one.Overlap(&two) != member.Apart || one.Overlap(&one) != member.Overlaps {
		t.Error("a condition overlaps where all its parts do")
	}
}

// The same definitions, written in another order or found in another order, would give another membership.
func TestOrderNeverMatters(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		gs, inv := world(r)
		groups := []member.Group{{Name: "g", Kind: member.KindService, GlobalNamespace: "a", Rules: rules(r, 1)}, {Name: "n", Kind: member.KindNode, Rules: rules(r, 1)}}
		want := member.MembersOf(gs, inv)
		found := [][]member.Resource{groups[0].Of(inv, &want), groups[1].Of(inv, &want)}
		shuffle(r, gs)
		shuffle(r, inv.Clusters)
		for i := range inv.Clusters {
			shuffle(r, inv.Clusters[i].Namespaces)
			shuffle(r, inv.Clusters[i].Nodes)
			for j := range inv.Clusters[i].Namespaces {
				shuffle(r, inv.Clusters[i].Namespaces[j].Services)
			}
		}
		got := member.MembersOf(gs, inv)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(member.Membership{})); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		if again := [][]member.Resource{groups[0].Of(inv, &got), groups[1].Of(inv, &got)}; !reflect.DeepEqual(found, again) {
			t.Fatalf("seed %d: groups %v, then %v", seed, found, again)
		}
		once(t, &got)
	}
}

// once fails where a place is a member of two global namespaces.
func once(t *testing.T, m *member.Membership) {
	seen := map[member.Place]string{}
	for _, g := range m.Namespaces {
		for _, v := range g.Members {
			if seen[v.Place] != "" || m.Of(v.Place) != g.GlobalNamespace {
				t.Fatalf("%v is in %s and %s, or in %s", v.Place, seen[v.Place], g.GlobalNamespace, m.Of(v.Place))
			}
			seen[v.Place] = g.GlobalNamespace
		}
	}
}

func shuffle[T any](r *rand.Rand, s []T) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

func world(r *rand.Rand) ([]member.GlobalNamespace, member.Inventory) {
	pattern := func() *member.Pattern {
		switch r.IntN(4) {
		case 0:
			return &member.Pattern{Type: member.StartsWith, Match: "s"}
		case 1:
			return &member.Pattern{Type: member.Exact, Match: string(rune('a' + r.IntN(3)))}
		case 2:
			return &member.Pattern{Type: member.Labels, Required: []member.Expression{{Key: "team", Operator: member.Exists}}}
		}
		return nil
	}
	var gs []member.GlobalNamespace
	for _, name := range []string{"a", "b", "c"} {
		g := member.GlobalNamespace{Name: name, AcceptedFrom: []member.Accept{{Cluster: string(rune('a' + r.IntN(3)))}}}
		for range 1 + r.IntN(3) {
			g.Conditions = append(g.Conditions, member.Condition{Namespace: pattern(), Cluster: pattern(), Service: pattern()})
		}
		gs = append(gs, g)
	}
	var inv member.Inventory
	for _, c := range []string{"a", "b", "s"} {
		cluster := member.Cluster{Name: c, Nodes: []member.Node{{Name: "n1"}, {Name: "a", Labels: labels}}}
		for _, n := range []string{"a", "sa", "kube-a"} {
			cluster.Namespaces = append(cluster.Namespaces, member.Namespace{Name: n, Labels: labels, Services: []member.Service{{Name: "a"}, {Name: "s", Labels: labels, Versions: []string{"v1", "v2"}}}})
		}
		inv.Clusters = append(inv.Clusters, cluster)
	}
	return gs, inv
}
