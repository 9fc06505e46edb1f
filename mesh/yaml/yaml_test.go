package yaml

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/mesh"
)

func parse(t *testing.T, text string) []mesh.Document {
	t.Helper()
	docs, ps := Parse("a.yaml", []byte(text))
	for _, p := range ps {
		t.Error(p)
	}
	return docs
}

func problems(text string) []string {
	_, ps := Parse("a.yaml", []byte(text))
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}

const head = "apiVersion: v1\nkind: K\nmetadata: {name: n}\n"

// A target of 99.999 % would become another, or a text would become a number, on the way into the catalogue.
func TestValuesAreKept(t *testing.T) {
	docs := parse(t, head+`spec:
  a: 0.999
  b: 99.900
  c: 123456789012345678901234567890.1
  d: "0.9"
  e: yes
  f: True
  g: ~
  h: 2022-01-01 12:00:00
  i: 1e3
  j: -0
  k: 12:30
  l: !!str 5
  m: <a&b>
  n: "a\tb\u00e9"
  o: >-
    folded
    text
  p: [1, {q: null}]
`)
	const want = `{"apiVersion":"v1","kind":"K","metadata":{"name":"n"},"spec":{"a":0.999,"b":99.900,"c":123456789012345678901234567890.1,"d":"0.9",` +
		`"e":"yes","f":true,"g":null,"h":"2022-01-01 12:00:00","i":1e3,"j":-0,"k":"12:30","l":"5","m":"\u003ca\u0026b\u003e","n":"a\tbé",` +
		`"o":"folded text","p":[1,{"q":null}]}}`
	if d := cmp.Diff(want, string(docs[0].JSON)); d != "" {
		t.Error(d)
	}
}

// A number in a form that reads as another number elsewhere would be accepted.
func TestNumberForms(t *testing.T) {
	for text, hint := range map[string]string{
		"0x1F": "decimal digits", "0o17": "decimal digits", "017": "write 17", "1_000": "write 1000", ".5": "write 0.5",
		".inf": "decimal digits", ".nan": "decimal digits", "+1": "write 1", "1.": "decimal digits", "0b11": "decimal digits",
	} {
		got := problems(head + "spec: {a: " + text + "}\n")
		if len(got) != 1 || !strings.HasPrefix(got[0], "a.yaml:4:11: the number "+text+" is not a plain decimal") || !strings.Contains(got[0], hint) {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// A file of several documents would lose one, or show a mistake at a place of another.
func TestSeveralDocuments(t *testing.T) {
	docs, ps := Parse("a.yaml", []byte("\ufeff# first\n---\n"+head+"spec: |\n  ---\n  text\n--- # second\n"+strings.Replace(head, "n}", "m}", 1)+"---\n---\nkind: [\n---\n- "+
		strings.ReplaceAll(strings.TrimSpace(head), "\n", "\n  ")+" # kept\n  spec:\n    a: 1\n\n    b: 2\n-   {apiVersion: v1, kind: L, metadata: {name: l}}\n"))
	var got []string
	for _, d := range docs {
		line, column := d.At("metadata.name")
		got = append(got, strings.Join([]string{d.Ref().String(), d.Source, string(rune('0' + line/10)), string(rune('0' + line%10)), string(rune('0' + column/10)), string(rune('0' + column%10))}, "|"))
	}
	want := []string{
		"K default/n|" + head + "spec: |\n  ---\n  text\n|0|5|1|8",
		"K default/m|--- # second\n" + strings.Replace(head, "n}", "m}", 1) + "|1|2|1|8",
		"K default/n|" + strings.TrimSpace(head) + " # kept\nspec:\n  a: 1\n\n  b: 2\n|1|9|2|0",
		"L default/l|{apiVersion: v1, kind: L, metadata: {name: l}}\n|2|4|4|8",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(ps) != 1 || ps[0].Line != 15 {
		t.Errorf("problems: %v", ps)
	}
}

// The source of a definition from a list would not say what the definition says, or would lean on another item.
func TestListsAndAliases(t *testing.T) {
	docs := parse(t, "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: K\n  metadata: &m\n    name: a\n- apiVersion: v1\n  kind: L\n  metadata: *m\n")
	if len(docs) != 2 || docs[0].Source != "apiVersion: v1\nkind: K\nmetadata: &m\n  name: a\n" || docs[1].Source != `{"apiVersion":"v1","kind":"L","metadata":{"name":"a"}}` {
		t.Errorf("documents: %+v", docs)
	}
	docs = parse(t, "base: &b {x: 1, y: 2}\n"+head+"spec:\n  <<: *b\n  y: 3\n")
	if n := docs[0].Node("spec"); string(n.AppendJSON(nil)) != `{"x":1,"y":3}` {
		t.Errorf("merged: %s", n.AppendJSON(nil))
	}
	for _, d := range docs {
		again := parse(t, d.Source)
		if string(again[0].JSON) != string(d.JSON) {
			t.Errorf("the source reads as %s, not %s", again[0].JSON, d.JSON)
		}
	}
	docs = parse(t, `[{"apiVersion":"v1","kind":"K","metadata":{"name":"a"},"spec":"\ud83d\ude00 \/"}]`)
	if got := docs[0].Node("spec").Text; got != "😀 /" {
		t.Errorf("JSON text: %q", got)
	}
}

// A mistake inside a query would be shown at the wrong character of the file.
func TestPlacesInsideStrings(t *testing.T) {
	docs := parse(t, head+`spec:
  plain: sum(x)
  single: 'sum(x)'
  escaped: "sum(\"x\")"
  wide: "ééé(x)"
  literal: |

    first
  block: |-
      sum(x)
        + y
  folded: >
    sum(x)
    + y
`)
	d := &docs[0]
	for _, c := range []struct {
		path               string
		line, column       int
		wantLine, wantColm int
	}{
		{"spec.plain", 1, 5, 5, 14},
		{"spec.single", 1, 5, 6, 16},
		{"spec.escaped", 1, 5, 7, 12}, // not the same text: its beginning
		{"spec.wide", 1, 5, 8, 14},
		{"spec.literal", 2, 1, 9, 12},
		{"spec.block", 1, 5, 13, 11},
		{"spec.block", 2, 3, 14, 9},
		{"spec.folded", 1, 8, 15, 11},
		{"spec", 1, 1, 4, 1},
	} {
		p := d.TextProblem(c.path, c.line, c.column, "m", "")
		if p.Line != c.wantLine || p.Column != c.wantColm {
			t.Errorf("%s %d:%d is at %d:%d, want %d:%d", c.path, c.line, c.column, p.Line, p.Column, c.wantLine, c.wantColm)
		}
	}
}

// A small file would take all memory of the engine, or hide its mistakes.
func TestBounds(t *testing.T) {
	laughs := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for _, l := range []string{"b", "c", "d", "e", "f", "g", "h"} {
		before := string(rune(l[0] - 1))
		laughs += l + ": &" + l + " [" + strings.TrimSuffix(strings.Repeat("*"+before+", ", 9), ", ") + "]\n"
	}
	var keys strings.Builder
	for i := range 1100 {
		keys.WriteString("  k" + strings.Repeat("x", i%30) + string(rune('a'+i%26)) + strings.Repeat("y", i/30) + ": 1\n")
	}
	for name, c := range map[string]struct{ text, want string }{
		"laughs":    {laughs, "over 20000 values"},
		"itself":    {head + "spec: &a [*a]\n", "nests deeper than 32"},
		"deep":      {head + "spec: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "nests deeper than 32"},
		"keys":      {head + "spec:\n" + keys.String(), "over 1000 keys"},
		"document":  {head + "spec: " + strings.Repeat("x", MaxDocument), "bytes; at most"},
		"file":      {strings.Repeat("#\n", MaxFile/2+1), "the file has"},
		"no text":   {head + "spec: \xff", "a.yaml:4:7: this is not UTF-8 text"},
		"mistakes":  {strings.Repeat("---\n[\n", 200), "the rest of the file is not read"},
		"documents": {strings.Repeat("---\n"+head, MaxDocuments+10), "the rest of the file is not read"},
		"key":       {head + "spec: {1: a}", `the key 1 is not a string (write "1")`},
		"list key":  {head + "spec: {[1]: a}", "a key must be a string"},
		"twice":     {head + "spec: {a: 1, a: 2}", `the key "a" stands twice; it is at line 4 already`},
		"binary":    {head + "spec: !!binary aaaa", "the tag !!binary has no meaning here"},
		"merge":     {head + "spec: {<<: 1}", "a merge key takes a map"},
		"scalar":    {"text\n", "a document must be a map, found a string"},
	} {
		got := problems(c.text)
		if len(got) == 0 || len(got) > maxProblems+1 || !strings.Contains(got[len(got)-1], c.want) {
			t.Errorf("%s: %.200q, want %q", name, got, c.want)
		}
	}
	if docs := parse(t, "# nothing\n---\n---\n~\n"); len(docs) != 0 {
		t.Errorf("nothing is read as %v", docs)
	}
}

// A file that is no definition would be read as something else, or a mistake in it lose its place.
func TestParseTree(t *testing.T) {
	d, ps := ParseTree("a.yaml", []byte("---\n# first\nb: 1\nc: {d: [x]}\n---\n"))
	if line, column := d.At("c.d[0]"); len(ps) > 0 || line != 4 || column != 9 {
		t.Errorf("%d:%d, %v", line, column, ps)
	}
	for text, want := range map[string]string{
		"": "1:1: the file is empty", "a: 1\n---\nb: 2\n": "3:1: the file has more than one document", "a: 1\na: 2\n": `2:1: the key "a" stands twice`,
		"a: \xff": "1:4: this is not UTF-8", strings.Repeat("#", maxChunk+1): "the file has 1048577 bytes",
	} {
		if _, ps := ParseTree("a.yaml", []byte(text)); len(ps) != 1 || !strings.Contains(ps[0].String(), want) {
			t.Errorf("%.20q: %v, want %s", text, ps, want)
		}
	}
}

// A file from anywhere would crash the engine or be read as something that it does not say.
func FuzzParse(f *testing.F) {
	golden, err := os.ReadFile("../../deploy/examples/prometheus-api.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(golden))
	for _, s := range []string{head, "- " + head, "a: &a [*a]", "{\"a\":1}", "--- |\n  x", "a: !!int 5", "? [a]\n: b", "a: 'x", "<<: {a: 1}", "%YAML 1.2\n---\na: 1", "a: |2\n   x\n", "\t", "a:\r\n  b: >+\r\n   c\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		docs, ps := Parse("f.yaml", []byte(text))
		for _, p := range ps {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("a problem without its place: %+v", p)
			}
		}
		for _, d := range docs {
			if len(ps) > 0 {
				break
			}
			again, ps := Parse("g.yaml", []byte(d.Source))
			if len(ps) > 0 || len(again) != 1 || string(again[0].JSON) != string(d.JSON) {
				t.Fatalf("the source of %s does not read as itself: %v\n%s\n%q", d.Ref(), ps, d.JSON, d.Source)
			}
			through, ps2 := Parse("h.json", d.JSON)
			if len(ps2) > 0 || len(through) != 1 || string(through[0].JSON) != string(d.JSON) {
				t.Fatalf("the JSON of %s does not read as itself: %v\n%s", d.Ref(), ps2, d.JSON)
			}
		}
	})
}
