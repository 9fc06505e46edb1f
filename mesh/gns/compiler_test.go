package gns_test

import (
	"flag"
	"slices"
	"strconv"
	"strings"
	"testing"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/gns"
	"evenkeel.dev/mesh/member"
	"evenkeel.dev/mesh/meshtest"
	"evenkeel.dev/mesh/yaml"
)

var update = flag.Bool("update", false, "write golden files")

// compile reads and compiles a text.
func compile(name, text string, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	return meshtest.Compile(gns.New(), name, text, existing)
}

// Somebody with a mistake in a file would not be told what, where, or what would be right; or something right would be refused.
func TestGolden(t *testing.T) {
	meshtest.Golden(t, *update, 5, func(name, text string) ([]mesh.Definition, []mesh.Problem) {
		if name == "inventory.yaml" {
			docs, _ := yaml.Parse(name, []byte(text))
			_, ps := gns.Inventory(docs)
			return nil, ps
		}
		return compile(name, text, nil)
	})
}

const pair = `apiVersion: evenkeel.dev/v1beta1
kind: GlobalNamespace
metadata: {name: shop}
spec: {domain: shop.internal, matchConditions: [{namespace: {type: Exact, match: shop}}], acceptedFrom: [{cluster: eu-1}]}
---
apiVersion: evenkeel.dev/v1beta1
kind: GlobalNamespace
metadata: {name: two}
spec: {domain: two.internal, matchConditions: [{namespace: {type: StartsWith, match: sh}}], acceptedFrom: [{cluster: eu-1, author: ann}]}
`

// What stands in the catalogue already would not be compared with, or an object with its own former self.
func TestExisting(t *testing.T) {
	ds, ps := compile("pair.yaml", pair, nil)
	if len(ps) != 1 || !ps[0].Warning {
		t.Fatal(ps)
	}
	if _, again := compile("pair.yaml", pair, ds); !slices.Equal(again, ps) {
		t.Errorf("applied again: %v", again)
	}
	first, _, _ := strings.Cut(pair, "---")
	if _, ps := compile("shop.yaml", first, ds); len(ps) != 1 || ps[0].Line != 4 || !strings.Contains(ps[0].Message, "global namespace two") {
		t.Errorf("against the catalogue: %v", ps)
	}
	if _, ps := compile("x.yaml", strings.Replace(first, "name: shop", "name: three", 1), ds); len(ps) != 1 || !strings.Contains(ps[0].Message, "the domain shop.internal is that of GlobalNamespace default/shop already") {
		t.Errorf("the same domain: %v", ps)
	}
	spaces, groups, err := gns.Decode(ds)
	if len(spaces) != 2 || len(groups) != 0 || err != nil || spaces[0].MTLS != "Permissive" || spaces[0].CA.Type != "SelfSigned" {
		t.Errorf("%+v %v %v", spaces, groups, err)
	}
}

// Overlaps would be told in one order of files and not in the other.
func TestOverlapInAnyOrder(t *testing.T) {
	first, second, _ := strings.Cut(pair, "---\n")
	_, a := compile("a.yaml", pair, nil)
	_, b := compile("b.yaml", second+"---\n"+first, nil)
	if len(a) != 1 || len(b) != 1 || !strings.Contains(a[0].Message, "of global namespace shop") || !strings.Contains(b[0].Message, "of global namespace two") {
		t.Errorf("%v and %v", a, b)
	}
}

// A group over the bounds would be taken, or its refusal would take as long as a million lines.
func TestGroupBounds(t *testing.T) {
	group := func(n int) string {
		return "apiVersion: evenkeel.dev/v1beta1\nkind: ResourceGroup\nmetadata: {name: a}\nspec:\n  kind: Service\n  rules:\n    fn: OR\n    match:\n" + strings.Repeat("      - {type: Name, fn: Exact, value: a}\n", n)
	}
	if _, ps := compile("a.yaml", group(255), nil); len(ps) != 0 {
		t.Errorf("255 and the rules around them: %v", ps)
	}
	if _, ps := compile("a.yaml", group(256), nil); len(ps) != 1 || ps[0].Message != "there are over 256 matches and rules" {
		t.Errorf("256: %v", ps)
	}
}

// Who may change one global namespace only could let others join it, or look into all.
func TestOutreaches(t *testing.T) {
	ds, _ := compile("a.yaml", pair+`---
apiVersion: evenkeel.dev/v1beta1
kind: ResourceGroup
metadata: {name: all}
spec: {scope: Organisation, kind: Service, rules: {fn: OR, match: [{type: Name, fn: Exact, value: a}]}}
---
apiVersion: evenkeel.dev/v1beta1
kind: ResourceGroup
metadata: {name: own}
spec: {kind: Service, rules: {fn: OR, match: [{type: Name, fn: Exact, value: a}]}}
`, nil)
	var got []bool
	for i := range ds {
		got = append(got, gns.Outreaches(&ds[i]))
	}
	if !slices.Equal(got, []bool{true, true, true, false}) || gns.Outreaches(&mesh.Definition{}) {
		t.Error(got)
	}
}

// A domain that somebody else answers would be taken without a word, or a private one refused.
func TestDomains(t *testing.T) {
	const file = "apiVersion: evenkeel.dev/v1beta1\nkind: GlobalNamespace\nmetadata: {name: a}\nspec: {domain: %, matchConditions: [{namespace: {type: Exact, match: a}}], acceptedFrom: [{cluster: c}]}\n"
	for domain, want := range map[string]string{
		"shop.internal": "", "acme.gns": "", "lab": "", "Shop.Test.": "", "a.home.arpa": "warning: a.home.arpa is under the public suffix home.arpa",
		"com": "com is a public suffix", "co.uk": "co.uk is a public suffix", "github.io": "github.io is a public suffix",
		"a.github.io": "warning: a.github.io is under the public suffix github.io", "SHOP.Example.Com": "warning: shop.example.com is under the public suffix com",
		"shop.local": "warning: names under local", "svc.cluster.local": "warning: names under local", "localhost": "warning: names under localhost",
		"-a.b": `its part "-a" is not a DNS label`, ".": `its part "" is not`, "a_b": `its part "a_b" is not`, "bücher.example": "write it as it stands in DNS, with xn--",
		"https://shop.internal": "is no domain", strings.Repeat("a.", 100) + "b": "at most 189",
	} {
		ds, ps := compile("a.yaml", strings.Replace(file, "%", strconv.Quote(domain), 1), nil)
		switch {
		case want == "" && len(ps) != 0, want != "" && (len(ps) != 1 || !strings.Contains(ps[0].String(), want)):
			t.Errorf("%s: %v, want %q", domain, ps, want)
		case (len(ds[0].Compiled) > 0) != (want == "" || strings.HasPrefix(want, "warning")):
			t.Errorf("%s: compiled to %s", domain, ds[0].Compiled)
		}
	}
}

// A file of an enemy would crash who checks it, or something with a mistake would be taken.
func FuzzCompile(f *testing.F) {
	for _, text := range meshtest.Seeds(f) {
		for _, doc := range strings.Split(text, "---\n") {
			f.Add(doc)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		docs, _ := yaml.Parse("f.yaml", []byte(text))
		gns.Inventory(docs)
		docs = slices.DeleteFunc(docs, func(d mesh.Document) bool { return d.Kind != "GlobalNamespace" && d.Kind != "ResourceGroup" })
		ds, ps := gns.New().Compile(docs, nil)
		mistakes, _ := mesh.Mistakes(ps)
		whole := !slices.ContainsFunc(ds, func(d mesh.Definition) bool { return len(d.Compiled) == 0 })
		if len(ds) != len(docs) || whole != (len(mistakes) == 0) {
			t.Fatalf("%d of %d, whole %t, mistakes %v", len(ds), len(docs), whole, mistakes)
		}
		if _, groups, err := gns.Decode(ds); err != nil {
			t.Fatal(err)
		} else if len(groups) > 0 {
			if count, depth := groups[0].Rules.Size(); count > member.MaxRules || depth > member.MaxDepth {
				t.Fatalf("%d rules, %d deep", count, depth)
			}
		}
	})
}
