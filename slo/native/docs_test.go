package native

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/promql"
	"evenkeel.dev/slo/zone"
)

const (
	docs         = "../../docs/kinds-slo.md"
	example      = "../../deploy/examples/native.yaml"
	beginSources = "<!-- sources -->\n"
	endSources   = "<!-- /sources -->\n"
)

// blocks returns the YAML blocks of a page.
func blocks(page string) []string {
	var out []string
	for _, part := range strings.Split(page, "```yaml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		out = append(out, text)
	}
	return out
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What the docs or the example show would be refused when somebody copies it, or count something else than it did.
func TestExamples(t *testing.T) {
	c, err := New(Config{Compile: promql.Compile, Form: promql.Form, Zone: zone.Of})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	texts = append(texts, blocks(read(t, docs))...)
	if len(texts) < 4 {
		t.Fatalf("the docs have %d examples", len(texts))
	}
	_, commented, _ := strings.Cut(read(t, example), "#\n")
	var b strings.Builder
	for _, l := range strings.SplitAfter(commented, "\n") {
		b.WriteString(strings.TrimPrefix(strings.TrimPrefix(l, "#"), " "))
	}
	texts = append(texts, b.String())
	var golden strings.Builder
	for _, text := range texts {
		ds := documents(t, text)
		_, ps := c.Compile(ds, nil)
		for _, p := range ps {
			t.Errorf("%s\n%s", p, text)
		}
		for i := range ds {
			_, body, _ := strings.Cut(ds[i].Source, "apiVersion")
			o, _, _ := compiled(t, "apiVersion"+body)
			raw, err := json.MarshalIndent(o, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden.WriteString(string(raw) + "\n")
		}
	}
	same(t, "testdata/examples.json", golden.String())
}

// same compares a text with a golden file.
func same(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(read(t, name), got); d != "" {
		t.Errorf("%s (-want +got; 'go test ./slo/native -update' takes it over):\n%s", name, d)
	}
}

// The docs would tell of other metrics than are counted.
func TestSourcesOfTheDocs(t *testing.T) {
	page := read(t, docs)
	before, rest, ok := strings.Cut(page, beginSources)
	_, after, end := strings.Cut(rest, endSources)
	if !ok || !end {
		t.Fatal("the page has no place for the sources")
	}
	var b strings.Builder
	b.WriteString("```text\n")
	for _, name := range Sources() {
		src, _ := sourceOf(name)
		q := query{source: src, service: "checkout", namespace: "shop-prod"}
		a, l := q.availability(errorSet{codes: src.codes.usual, beyond: true}), q.latency(slo.Duration(1000))
		fmt.Fprintf(&b, "%s\n  availability, bad: %s\n             total: %s\n  latency, good: %s\n         total: %s\n", name, sum(*a.Bad), sum(a.Total), sum(*l.Good), sum(l.Total))
		bounds := "as the program has chosen"
		if len(src.bounds) > 0 {
			var texts []string
			for _, d := range src.bounds {
				texts = append(texts, d.String())
			}
			bounds = strings.Join(texts, " ")
		}
		fmt.Fprintf(&b, "  thresholds: %s\n", bounds)
	}
	b.WriteString("```\n")
	same(t, docs, before+beginSources+b.String()+endSources+after)
	for _, name := range Sources() {
		if !strings.Contains(page, "| `"+name+"` |") {
			t.Errorf("the docs say nothing of the source %s", name)
		}
	}
}

// sum writes an expression, a term a line.
func sum(e slo.Expr) string {
	var terms []string
	for i := range e.Terms {
		terms = append(terms, e.Terms[i].Selector.String())
	}
	return strings.Join(terms, "\n    + ")
}

// The example would not load.
func TestExampleIsHarmless(t *testing.T) {
	if ds, ps := yaml.Parse(example, []byte(read(t, example))); len(ds) > 0 || len(ps) > 0 {
		t.Errorf("%d definitions are not commented out; problems %v", len(ds), ps)
	}
}
