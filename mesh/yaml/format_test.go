package yaml

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/mesh"
)

// A converted file would not be what people write, or would hide what it says in quotes.
func TestFormat(t *testing.T) {
	n := mesh.Map(mesh.Entry("apiVersion", mesh.Text("v1")), mesh.Entry("left", nil), mesh.Entry("on", mesh.Text("yes")), mesh.Entry("version", mesh.Text("2")),
		mesh.Entry("target", mesh.Number("0.9990")), mesh.Entry("factor", mesh.Number("1e3")), mesh.Entry("count", mesh.Number("-12")), mesh.Entry("rolling", mesh.Bool(true)),
		mesh.Entry("query", mesh.Text("sum(\n  rate(x{a=\"b\"}[5m])\n)\n")), mesh.Entry("odd", mesh.Text(" \tx\n")), mesh.Entry("empty", mesh.Text("")),
		mesh.Entry("none", mesh.List()), mesh.Entry("nothing", mesh.Map()), mesh.Entry("null", &mesh.Node{}),
		mesh.Entry("list", mesh.List(mesh.Map(mesh.Entry("a", mesh.Text("x: y")), mesh.Entry("b", mesh.Entries(map[string]string{"d": "2", "c": "#"}))), mesh.Text("z"))))
	const want = `apiVersion: v1
"on": "yes"
version: "2"
target: 0.9990
factor: 1e3
count: -12
rolling: true
query: |
  sum(
    rate(x{a="b"}[5m])
  )
odd: " \tx\n"
empty: ""
none: []
nothing: {}
"null": null
list:
  - a: "x: y"
    b:
      c: "#"
      d: "2"
  - z
`
	got, err := Format(n)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}

// A definition would change on its way through 'evenkeel convert'.
func FuzzFormat(f *testing.F) {
	for _, s := range []string{"a", "- b", "a: b", " x\ny", "x\n ", "x\n\n", "\u0085", "0x1", "1_0", "~", "<<", "=", "!x", "&a", "%", "---", "...", "x #y", "2020-01-01", "1:30", "\u2028x", "é\n", "\r", "x\r\ny", "#\n", "\n", "y"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		root, err := mesh.ReadJSON(mesh.Map(mesh.Entry("apiVersion", mesh.Text("v1")), mesh.Entry("kind", mesh.Text("K")), mesh.Entry("metadata", mesh.Map(mesh.Entry("name", mesh.Text("n")))),
			mesh.Entry("spec", mesh.Map(mesh.Entry("x"+key, mesh.Text(text)), mesh.Entry("l", mesh.List(mesh.Text(text), mesh.Map(mesh.Entry("y"+key, mesh.Text(key)))))))).AppendJSON(nil))
		if err != nil {
			t.Fatal(err)
		}
		b, err := Format(root)
		if err != nil {
			t.Fatal(err)
		}
		docs, ps := Parse("a.yaml", b)
		if len(ps) > 0 || len(docs) != 1 || string(docs[0].JSON) != string(root.AppendJSON(nil)) {
			t.Fatalf("%q and %q are written as\n%s\n%v", key, text, b, ps)
		}
	})
}
