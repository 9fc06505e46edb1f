package definition

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"evenkeel.dev/mesh/yaml"
)

// A kind that has a CRD and is not read would stand in the cluster without an answer, and one without rights would not be read.
func TestResources(t *testing.T) {
	files, err := filepath.Glob("../../../deploy/crds/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	rights, err := os.ReadFile("../../../deploy/rbac/definitions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	byPlural := map[string]resource{}
	for _, r := range resources {
		byPlural[r.plural] = r
		for _, word := range []string{r.plural + ",", r.plural + "/status", r.plural + "." + group.Group} {
			if !strings.Contains(strings.ReplaceAll(string(rights), "]", ","), word) {
				t.Errorf("deploy/rbac/definitions.yaml does not name %s", word)
			}
		}
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "      schema:") // which nests deeper than definitions may
		d, ps := yaml.ParseTree(f, []byte(head))
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		r := byPlural[d.Node("spec.names.plural").Text]
		if r.kind != d.Node("spec.names.kind").Text || r.cluster != (d.Node("spec.scope").Text == "Cluster") {
			t.Errorf("%s is read as %+v", f, r)
		}
	}
}

// Of two processes that read one cluster both would propose and write, or after the death of one none.
func TestOwns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "eu-1", false, Bounds{}, slo("shop-prod", "cart", ""))
		w.define("dir:slos", shop)
		owns := false
		w.source.cfg.Owns = func() (o bool) { w.with(func() { o = owns }); return o }
		w.run(func() {
			after(5 * time.Minute)
			if w.owned() != 0 || w.applied() != 0 {
				t.Errorf("%d definitions and %d writes of a process that does not own the cluster", w.owned(), w.applied())
			}
			w.with(func() { owns = true })
			settle()
			if w.owned() != 1 || w.applied() != 1 {
				t.Errorf("%d definitions and %d writes of one that does", w.owned(), w.applied())
			}
		})
	})
}

// Whoever may write a status could have a wrong one stand.
func TestStatusRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "eu-1", false, Bounds{}, slo("evil", "cart", ""))
		w.define("dir:slos", shop)
		w.run(func() {
			o, err := w.client.Tracker().Get(resources[1].gvr(), "evil", "cart")
			if err != nil {
				t.Fatal(err)
			}
			u := o.(*unstructured.Unstructured).DeepCopy()
			conditions := u.Object["status"].(map[string]any)["conditions"].([]any)
			conditions[0].(map[string]any)["status"] = "True"
			if err := w.client.Tracker().Update(resources[1].gvr(), u, "evil"); err != nil {
				t.Fatal(err)
			}
			after(2 * againAfter)
			if got := w.accepted("SLO", "evil", "cart"); !strings.HasPrefix(got, "False NotAdmitted") {
				t.Errorf("a forged status stands: %s", got)
			}
		})
	})
}

// One object of a form that nobody foresaw would end the process.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"spec":null}`, `{"spec":[1]}`, `{"metadata":{"labels":{"a":"b"},"name":"x.y"},"spec":{"targetRef":"a"}}`, `{"status":{"conditions":[1,{"type":"Accepted","status":1}]}}`, `{"metadata":1}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u := &unstructured.Unstructured{}
		if u.UnmarshalJSON([]byte(`{"apiVersion":"evenkeel.dev/v1beta1","kind":"SLO",`+strings.TrimPrefix(text, "{"))) != nil {
			return
		}
		for i := range resources {
			o, ok := newStore(Bounds{Objects: 1, NamespaceObjects: 1, Bytes: 1 << 20, ObjectBytes: 1 << 20}).take(&resources[i], u).(*object)
			if !ok {
				t.Fatal("it was not taken")
			}
			if o.text != nil {
				o.document(yaml.Format)
			}
		}
	})
}
