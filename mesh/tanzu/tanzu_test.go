package tanzu_test

import (
	"os"
	"slices"
	"testing"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/tanzu"
)

// A cluster would be admitted through which a prefix lets anybody in.
func TestAccepted(t *testing.T) {
	const exact, prefix = `"namespace": {"type": "EXACT", "match": "shop"}`, `"namespace": {"type": "START_WITH", "match": "shop-"}`
	in := func(kind, cluster string) string {
		return `, "cluster": {"type": "` + kind + `", "match": "` + cluster + `"}`
	}
	for conditions, want := range map[string][]string{
		"{" + exact + "}":                                                                               nil,
		"{" + exact + in("EXACT", "eu-1") + "}":                                                         {"eu-1"},
		"{" + exact + in("START_WITH", "eu-") + "}":                                                     {},
		"{" + prefix + in("EXACT", "eu-1") + "}":                                                        nil,
		"{" + exact + in("EXACT", "eu-1") + "}, {" + prefix + "}":                                       nil,
		"{" + exact + in("EXACT", "eu-1") + "}, {" + prefix + in("START_WITH", "eu-") + "}":             nil,
		"{" + exact + in("EXACT", "eu-1") + "}, {" + prefix + in("EXACT", "us-1") + "}":                 {"eu-1"},
		"{" + exact + in("EXACT", "eu-1") + "}, {" + exact + in("EXACT", "us-1") + "}, {" + exact + "}": {"eu-1", "us-1"},
	} {
		root, err := mesh.ReadJSON([]byte(`{"name": "a", "domain_name": "a.lab", "match_conditions": [` + conditions + `]}`))
		if err != nil || !tanzu.Looks(root) {
			t.Fatal(conditions, err)
		}
		out, left, _ := tanzu.Convert(&mesh.Document{Root: root})
		if len(out) != 1 || len(left) != 0 {
			t.Fatal(conditions, left)
		}
		var got []string
		if n := out[0].Get("spec").Get("acceptedFrom"); n != nil {
			for _, a := range n.Items {
				got = append(got, a.Get("cluster").Text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", conditions, got, want)
		}
	}
}

// An answer of a broken server would crash the conversion.
func FuzzConvert(f *testing.F) {
	b, err := os.ReadFile("../../cmd/evenkeel/testdata/gns/tanzu.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(b), "null", "[]", "[null]", `{"match_conditions": [{}]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		root, err := mesh.ReadJSON([]byte(text))
		if err != nil || !tanzu.Looks(root) {
			return
		}
		out, left, _ := tanzu.Convert(&mesh.Document{Root: root})
		for _, n := range out {
			if n.Get("spec").Get("domain").Text == "" {
				t.Fatalf("without a domain, and only %v told", left)
			}
		}
	})
}
