package definition

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"

	"evenkeel.dev/mesh"
)

func types(s string) apitypes.UID { return apitypes.UID(s) }

// What somebody applies with kubectl would not become a definition, or its status would not say so.
func TestApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "eu-1", false, Bounds{}, slo("shop-prod", "cart", ""))
		w.define("dir:slos", shop)
		remaining := 0.729
		w.states["cart/cart"] = State{"HEALTHY", &remaining}
		w.run(func() {
			if got := w.accepted("SLO", "shop-prod", "cart"); got != "True Accepted" || w.stands("SLO", "shop-prod", "cart") != "cluster:eu-1" {
				t.Errorf("the SLO is %q, managed by %q", got, w.stands("SLO", "shop-prod", "cart"))
			}
			d := w.get("SLO", "shop-prod", "cart")
			if d.Author != "cluster:eu-1/kubectl" || !strings.Contains(d.Source, "objective: 99.9%") || !strings.HasPrefix(d.Source, "apiVersion:") {
				t.Errorf("author %q, source\n%s", d.Author, d.Source)
			}
			o, err := w.client.Tracker().Get(resources[1].gvr(), "shop-prod", "cart")
			if err != nil {
				t.Fatal(err)
			}
			if seen := fmt.Sprint(o); !strings.Contains(seen, "HEALTHY") || !strings.Contains(seen, "72%") {
				t.Errorf("the status lacks state or budget: %s", seen)
			}
			_, before, _ := w.read()
			writes := w.applied()
			after(10 * time.Minute)
			if _, now, _ := w.read(); now != before || w.applied() != writes {
				t.Errorf("without a change there were %d changes and %d writes of status", now-before, w.applied()-writes)
			}
			w.apply(slo("shop-prod", "cart", ", type: Actionable"))
			settle()
			if d := w.get("SLO", "shop-prod", "cart"); d.Generation != 2 {
				t.Errorf("a change made generation %d", d.Generation)
			}
			w.delete("SLO", "shop-prod", "cart")
			settle()
			if w.stands("SLO", "shop-prod", "cart") != "" {
				t.Error("the deleted SLO stands")
			}
		})
	})
}

// Whoever may write in any namespace of any cluster could define for somebody else's application, or give himself the right to.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const organisation = "\napiVersion: evenkeel.dev/v1beta1\nkind: ResourceGroup\nmetadata: {name: all, namespace: shop-prod}\nspec: {scope: Organisation, kind: Service, rules: {fn: AND, match: [{type: Name, fn: StartsWith, value: a}]}}\n"
		lost := strings.Replace(slo("shop-prod", "lost", ""), "globalNamespace: shop, ", "", 1)
		w := newWorld(t, "eu-1", false, Bounds{}, slo("evil", "cart", ""), slo("shop-prod", "cart", ""), lost, strings.Replace(shop, "name: shop}", "name: mine}", 1), organisation)
		w.define("dir:slos", shop)
		w.run(func() {
			for _, c := range []struct{ kind, namespace, name, want string }{
				{"SLO", "evil", "cart", "False NotAdmitted definitionsFrom of the GlobalNamespace shop does not admit namespace evil of cluster eu-1"},
				{"SLO", "shop-prod", "lost", "False NotAdmitted no GlobalNamespace default is defined"},
				{"SLO", "shop-prod", "cart", "True Accepted"}, // though evil's has the same service and name, and came before it
				{"GlobalNamespace", "", "mine", "False NotTrusted"},
				{"ResourceGroup", "shop-prod", "all", "False NotTrusted"},
			} {
				if got := w.accepted(c.kind, c.namespace, c.name); !strings.HasPrefix(got, c.want) {
					t.Errorf("%s %s/%s is %q, want %q", c.kind, c.namespace, c.name, got, c.want)
				}
			}
			if n := w.source.Reasons(); n[ReasonNotAdmitted] != 2 || n[ReasonNotTrusted] != 2 || n[ReasonAccepted] != 1 {
				t.Errorf("counted %v", n)
			}
			w.define("dir:slos", strings.Replace(shop, "{cluster: eu-1, namespace: shop-prod}, ", "", 1))
			settle()
			if got := w.accepted("SLO", "shop-prod", "cart"); !strings.HasPrefix(got, "False NotAdmitted") || !strings.Contains(got, "what was taken of it before stands") || w.stands("SLO", "shop-prod", "cart") == "" {
				t.Errorf("after its right was taken away the SLO is %q", got)
			}
		})
	})
}

// A trusted cluster could not define the boundary and what stands in it in one go.
func TestTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "eu-1", true, Bounds{}, shop, slo("shop-prod", "cart", ""))
		w.run(func() {
			settle()
			for _, c := range [][3]string{{"GlobalNamespace", "", "shop"}, {"SLO", "shop-prod", "cart"}} {
				if got := w.accepted(c[0], c[1], c[2]); !strings.HasPrefix(got, "True Accepted") {
					t.Errorf("%s is %q", c, got)
				}
			}
			w.delete("GlobalNamespace", "", "shop")
			settle()
			if w.stands("GlobalNamespace", "default", "shop") == "" {
				t.Error("a global namespace was deleted from under an SLO")
			}
			w.delete("SLO", "shop-prod", "cart")
			settle()
			settle()
			if w.stands("GlobalNamespace", "default", "shop") != "" {
				t.Error("nothing stands in the deleted global namespace, and it stays")
			}
		})
	})
}

// One author's mistake would keep everybody else's definitions out, or nobody would say what is wrong.
func TestMistake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "eu-1", false, Bounds{}, slo("shop-prod", "cart", ""), strings.Replace(slo("shop-prod", "web", ""), "source: istio", "source: isti", 1), slo("shop-prod", "pay", ", alerts: {notifyRefs: [{name: nobody}]}"))
		w.define("dir:slos", shop)
		w.run(func() {
			if got := w.accepted("SLO", "shop-prod", "cart"); got != "True Accepted" {
				t.Errorf("the right one is %q", got)
			}
			if got, want := w.accepted("SLO", "shop-prod", "web"), `False Invalid spec.sli.source: unknown source "isti" (did you mean "istio"?)`; got != want {
				t.Errorf("the wrong one is %q, want %q", got, want)
			}
			if got := w.accepted("SLO", "shop-prod", "pay"); !strings.HasPrefix(got, "False MissingReference it refers to AlertNotificationTarget shop-prod/nobody") {
				t.Errorf("the one that leans on nothing is %q", got)
			}
			w.apply(strings.Replace(slo("shop-prod", "cart", ""), "99.9%", "199%", 1))
			settle()
			if got := w.accepted("SLO", "shop-prod", "cart"); !strings.HasPrefix(got, "False Invalid spec.objective must be above 0%") || !strings.HasSuffix(got, "what was taken of it before stands") {
				t.Errorf("the one that became wrong is %q", got)
			}
		})
	})
}

// Two sources of one object would take turns at it.
func TestOwnedByOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "us-1", false, Bounds{}, slo("shop-prod", "cart", ", type: Actionable"))
		w.define("dir:slos", shop+"---"+slo("shop-prod", "cart", ""))
		w.run(func() {
			if got := w.accepted("SLO", "shop-prod", "cart"); !strings.HasPrefix(got, "False OwnedByOther it is managed by dir:slos") {
				t.Errorf("the second is %q", got)
			}
			r := mesh.Ref{APIVersion: group.String(), Kind: "SLO", Namespace: "shop-prod", Name: "cart"}
			if ch := w.propose(mesh.Proposal{ID: "gone", Author: "a", ManagedBy: "dir:slos", Delete: []mesh.Ref{r}}); !ch.Accepted {
				t.Fatal(ch)
			}
			settle()
			if got := w.accepted("SLO", "shop-prod", "cart"); got != "True Accepted" || w.stands("SLO", "shop-prod", "cart") != "cluster:us-1" {
				t.Errorf("after the first was deleted the second is %q, managed by %q", got, w.stands("SLO", "shop-prod", "cart"))
			}
		})
	})
}

func many(n int) []string {
	var out []string
	for i := range n {
		out = append(out, slo("shop-prod", fmt.Sprintf("s-%d", i), ""))
	}
	return out
}

func (w *world) owned() int {
	n := 0
	ds, _, _ := w.read()
	for i := range ds {
		if ds[i].ManagedBy == w.source.owner {
			n++
		}
	}
	return n
}

// A cluster that is away, a CRD that was removed or a namespace deleted by mistake would take the company's objectives with it.
func TestDeletions(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(t *testing.T, w *world)
		left int
	}{
		{"one of six", func(_ *testing.T, w *world) { w.delete("SLO", "shop-prod", "s-0") }, 5},
		{"four of six at once", func(_ *testing.T, w *world) {
			for i := range 4 {
				w.delete("SLO", "shop-prod", fmt.Sprintf("s-%d", i))
			}
		}, 6},
		{"four of six one after the other", func(_ *testing.T, w *world) {
			for i := range 4 {
				w.delete("SLO", "shop-prod", fmt.Sprintf("s-%d", i))
				settle()
			}
		}, 3},
		{"the CRD", func(t *testing.T, w *world) {
			if err := w.client.Resource(crds).Delete(t.Context(), "slos.evenkeel.dev", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			w.delete("SLO", "shop-prod", "s-0")
		}, 6},
		{"the CRD, which is made again", func(t *testing.T, w *world) {
			w.renewCRD(t)
			w.delete("SLO", "shop-prod", "s-0")
			after(9 * time.Minute)
		}, 6},
		{"the CRD, and one object for good", func(t *testing.T, w *world) {
			w.renewCRD(t)
			w.delete("SLO", "shop-prod", "s-0")
			after(12 * time.Minute)
		}, 5},
		{"the right to look at CRDs", func(_ *testing.T, w *world) {
			w.with(func() { w.forbidden = true })
			w.delete("SLO", "shop-prod", "s-0")
			w.apply(slo("shop-prod", "new", "")) // which is taken all the same
		}, 7},
		{"the API server", func(t *testing.T, w *world) {
			w.delete("SLO", "shop-prod", "s-0")
			w.with(func() { w.away = true })
			after(10 * time.Minute)
		}, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "eu-1", false, Bounds{}, many(6)...)
				w.define("dir:slos", shop)
				w.run(func() {
					if n := w.owned(); n != 6 {
						t.Fatalf("%d definitions stand", n)
					}
					c.lose(t, w)
					settle()
					if n := w.owned(); n != c.left {
						t.Errorf("%d definitions are left, want %d", n, c.left)
					}
				})
			})
		})
	}
}

// Whoever changes names of field managers for fun would have the engine work for each.
func TestManyAuthors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "eu-1", false, Bounds{}, many(60)...)
		w.define("dir:slos", shop)
		for i := range 60 {
			w.apply(slo("shop-prod", fmt.Sprintf("by-%d", i), ""), fmt.Sprintf("manager-%02d", i))
		}
		w.run(func() {
			settle()
			if n := w.owned(); n != 120 {
				t.Errorf("%d definitions stand", n)
			}
			authors := map[string]bool{}
			ds, _, _ := w.read()
			for i := range ds {
				authors[ds[i].Author] = true
			}
			if len(authors) != maxAuthors+2 || !authors["cluster:eu-1/several"] { // and the folder
				t.Errorf("%d authors: %v", len(authors), authors)
			}
		})
	})
}

// renewCRD removes the CRD of SLOs and makes it again. The tracker keeps the objects, as if they were applied again.
func (w *world) renewCRD(t *testing.T) {
	t.Helper()
	c := w.client.Resource(crds)
	old, err := c.Get(t.Context(), "slos.evenkeel.dev", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), "slos.evenkeel.dev", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	old.SetUID("another")
	old.SetCreationTimestamp(metav1.Now())
	if _, err := c.Create(t.Context(), old, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// One namespace would crowd the others out, or one object fill the engine.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "eu-1", false, Bounds{NamespaceObjects: 3, ObjectBytes: 2000}, many(5)...)
		w.define("dir:slos", shop+"---"+strings.NewReplacer("name: shop", "name: other", "shop.internal", "other.internal", "namespace: shop-prod", "namespace: other").Replace(shop))
		w.run(func() {
			w.apply(strings.Replace(slo("other", "web", ""), "globalNamespace: shop", "globalNamespace: other", 1))
			w.apply(strings.Replace(slo("other", "big", ", description: "+strings.Repeat("x", 2000)), "globalNamespace: shop", "globalNamespace: other", 1))
			settle()
			if n := w.source.Reasons(); n[ReasonTooMany] != 3 || n[ReasonAccepted] != 4 {
				t.Errorf("counted %v", n)
			}
			if got := w.accepted("SLO", "other", "big"); !strings.HasPrefix(got, "False TooMany the object has") {
				t.Errorf("the big one is %q", got)
			}
		})
	})
}

// A thousand objects would be a thousand requests in a second, and one that flaps a request a second.
func TestStatusRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "eu-1", false, Bounds{}, many(200)...)
		w.define("dir:slos", shop)
		w.run(func() {
			if most := 5 * writesMax; w.applied() > most {
				t.Errorf("%d writes in four seconds, want at most %d", w.applied(), most)
			}
			after(30 * time.Second)
			if w.applied() != 200 {
				t.Errorf("%d writes for 200 objects", w.applied())
			}
			for i := range 60 {
				w.with(func() { w.states["s-0/s-0"] = State{State: []string{"HEALTHY", "WARNING"}[i%2]} })
				after(10 * time.Second)
			}
			if n := w.applied() - 200; n < 3 || n > 11 {
				t.Errorf("%d writes of a state that flapped for ten minutes", n)
			}
		})
	})
}
