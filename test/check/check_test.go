// Package check holds what 'evenkeel check' says of mistakes in definitions: place, message and hint, as people and editors see
// them. testdata/mistakes.txtar has one section per mistake (name.yaml) and what is said of it (name.want).
package check

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo/openslo"
	"evenkeel.dev/slo/promql"
	"evenkeel.dev/slo/zone"
)

var update = flag.Bool("update", false, "write what is said now into the golden file")

func kinds(t testing.TB) *mesh.Kinds {
	t.Helper()
	c, err := openslo.New(openslo.Config{Compile: promql.Compile, Form: promql.Form, Select: promql.Select, Zone: zone.Of, EnvPrefix: "EVENKEEL_SECRET_"})
	if err != nil {
		t.Fatal(err)
	}
	k, err := mesh.NewKinds(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// check does what 'evenkeel check' does with one file.
func check(k *mesh.Kinds, name string, data []byte) string {
	docs, problems := yaml.Parse(name, data)
	_, more := k.Compile(docs, nil)
	var b strings.Builder
	for _, p := range mesh.SortProblems(append(problems, more...)) {
		b.WriteString(p.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// A mistake in a definition would be reported at the wrong place, with another text, or not at all.
func TestMistakes(t *testing.T) {
	const golden = "testdata/mistakes.txtar"
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	a := txtar.Parse(raw)
	k := kinds(t)
	want := map[string]string{}
	for _, f := range a.Files {
		if name, ok := strings.CutSuffix(f.Name, ".want"); ok {
			want[name] = string(f.Data)
		}
	}
	out := txtar.Archive{Comment: a.Comment}
	mistakes := 0
	for _, f := range a.Files {
		name, ok := strings.CutSuffix(f.Name, ".yaml")
		if !ok {
			continue
		}
		mistakes++
		got := check(k, f.Name, f.Data)
		out.Files = append(out.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
		switch {
		case *update:
		case got == "":
			t.Errorf("%s: no mistake is found", f.Name)
		default:
			if d := cmp.Diff(want[name], got); d != "" {
				t.Errorf("%s (-want +got; 'go test ./test/check -update' takes it over):\n%s", f.Name, d)
			}
		}
	}
	if mistakes < 20 {
		t.Errorf("%d kinds of mistakes are shown; at least 20 are promised", mistakes)
	}
	if *update {
		if err := os.WriteFile(golden, bytes.TrimRight(txtar.Format(&out), "\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The folder that a newcomer copies would not load.
func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("../../deploy/examples/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var docs []mesh.Document
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		ds, ps := yaml.Parse(p, b)
		for _, p := range ps {
			t.Error(p)
		}
		docs = append(docs, ds...)
	}
	raw, err := os.ReadFile("../../deploy/examples/notify.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, commented, _ := strings.Cut(string(raw), "#\n")
	var text strings.Builder
	for _, l := range strings.SplitAfter(commented, "\n") {
		text.WriteString(strings.TrimPrefix(strings.TrimPrefix(l, "#"), " "))
	}
	if said := check(kinds(t), "notify.yaml", []byte(text.String())); said != "" {
		t.Errorf("uncommented:\n%s", said)
	}
	if ds, _ := yaml.Parse("notify.yaml", []byte(text.String())); len(ds) != 5 {
		t.Errorf("%d definitions are commented out", len(ds))
	}
	ds, ps := kinds(t).Compile(docs, nil)
	for _, p := range ps {
		t.Error(p)
	}
	objectives := 0
	for _, d := range ds {
		if d.Kind == openslo.KindSLO && len(d.Compiled) > 0 {
			objectives++
		}
	}
	if objectives == 0 {
		t.Error("the examples define no objective")
	}
}

// BenchmarkCheck reads and compiles 1,000 SLOs with an SLI each, as a large folder holds.
func BenchmarkCheck(b *testing.B) {
	raw, err := os.ReadFile("../../deploy/examples/prometheus-api.yaml")
	if err != nil {
		b.Fatal(err)
	}
	var files [][]byte
	for i := range 1000 {
		files = append(files, []byte(strings.NewReplacer("prometheus-api-availability\n", fmt.Sprintf("sli-%d\n", i), "name: prometheus\n", fmt.Sprintf("name: s-%d\n", i), "name: api-availability\n", fmt.Sprintf("name: a-%d\n", i)).Replace(string(raw))))
	}
	k := kinds(b)
	for b.Loop() {
		var docs []mesh.Document
		for _, f := range files {
			ds, ps := yaml.Parse("a.yaml", f)
			if len(ps) > 0 {
				b.Fatal(ps)
			}
			docs = append(docs, ds...)
		}
		if _, ps := k.Compile(docs, nil); len(ps) > 0 {
			b.Fatal(ps[0])
		}
	}
}
