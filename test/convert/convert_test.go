// Package convert holds what becomes of definitions that people have from elsewhere: how they run as they are, and what 'evenkeel convert'
// writes of them. Each testdata/*.txtar has files in the shape of a tool's own examples.
package convert

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

var update = flag.Bool("update", false, "write what comes out now into the golden files")

// objectives compiles a file and returns its objectives by name, indented; where they are defined does not matter.
func objectives(t *testing.T, name string, text []byte) (map[string]string, []mesh.Problem) {
	t.Helper()
	ds, ps, err := app.Check([]console.File{{Name: name, Text: string(text)}})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range ds {
		var os []slo.Objective
		if len(d.Compiled) > 0 {
			if err := json.Unmarshal(d.Compiled, &os); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range os {
			o.Definition = mesh.Ref{}
			b, err := json.MarshalIndent(o, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			out[o.GlobalNamespace+"/"+o.Service+"/"+o.Name] = string(b)
		}
	}
	return out, ps
}

func said(c app.Converted) []byte {
	var b bytes.Buffer
	for _, p := range c.Left {
		b.WriteString("missing: " + p.String() + "\n")
	}
	for _, p := range c.Notes {
		b.WriteString(p.String() + "\n")
	}
	return b.Bytes()
}

// each runs f over the files of an archive and compares what it returns, by suffix, with what stands behind each file.
func each(t *testing.T, path string, f func(name string, text []byte) map[string][]byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a := txtar.Parse(raw)
	want := map[string]string{}
	for _, file := range a.Files {
		want[file.Name] = string(file.Data)
	}
	out := txtar.Archive{Comment: a.Comment}
	for _, file := range a.Files {
		name, ok := strings.CutSuffix(file.Name, ".yaml")
		if !ok {
			continue
		}
		out.Files = append(out.Files, file)
		got := f(file.Name, file.Data)
		for _, end := range slices.Sorted(maps.Keys(got)) {
			out.Files = append(out.Files, txtar.File{Name: name + end, Data: got[end]})
			if d := cmp.Diff(want[name+end], string(got[end])); d != "" && !*update {
				t.Errorf("%s%s of %s (-want +got; 'go test ./test/convert -update' takes it over):\n%s", name, end, path, d)
			}
		}
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(&out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A converted file would not load, would count or alert on something else than the one that people had, or would miss something of it
// without a word.
func TestConvert(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d archives: %v", len(paths), err)
	}
	for _, path := range paths {
		if filepath.Base(path) == "openslo.txtar" {
			continue
		}
		each(t, path, func(name string, text []byte) map[string][]byte {
			c, err := app.Convert([]console.File{{Name: name, Text: string(text)}})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range append(c.Left, c.Notes...) {
				if p.Line < 1 || p.Column < 1 || !strings.Contains(string(c.Text), "# "+p.String()+"\n") {
					t.Errorf("%s: it is said without its place, or not said in the file: %+v", name, p)
				}
			}
			before, _ := objectives(t, name, text)
			after, ps := objectives(t, name+".out", c.Text)
			mistakes, _ := mesh.Mistakes(ps)
			for _, p := range mistakes {
				t.Errorf("%s: what is written does not load: %s", name, p)
			}
			if len(after) == 0 && len(c.Left) == 0 && name != "service.yaml" {
				t.Errorf("%s: nothing is written and nothing said", name)
			}
			for key, o := range before {
				if d := cmp.Diff(o, after[key]); d != "" {
					t.Errorf("%s: %s (-as it is +converted):\n%s", name, key, d)
				}
			}
			again, err := app.Convert([]console.File{{Name: name, Text: string(c.Text)}})
			if err != nil || len(again.Left)+len(again.Notes) > 0 {
				t.Errorf("%s: what is written cannot be converted itself: %v %s", name, err, said(again))
			}
			return map[string][]byte{".out": c.Text, ".said": said(c)}
		})
	}
}

// Files in the shape of the OpenSLO project's own examples would be refused although they fit, or for a wrong reason.
func TestPublishedExamples(t *testing.T) {
	loads := 0
	each(t, "testdata/openslo.txtar", func(name string, text []byte) map[string][]byte {
		_, ps := objectives(t, name, text)
		var b bytes.Buffer
		for _, p := range ps {
			b.WriteString(p.String() + "\n")
		}
		if mistakes, _ := mesh.Mistakes(ps); len(mistakes) == 0 {
			loads++
			b.WriteString("loads\n")
		}
		return map[string][]byte{".want": b.Bytes()}
	})
	if loads < 4 {
		t.Errorf("%d of the examples load", loads)
	}
}

// Two files of one service would be one in the catalogue, so that the SLOs of the first are lost; or the same SLO would be counted twice.
func TestFilesOfOneService(t *testing.T) {
	const file = "version: prometheus/v1\nservice: shop\nslos:\n  - {name: NAME, objective: 99, sli: {events: {error_query: 'rate(a[{{.window}}])', total_query: 'rate(b[{{.window}}])'}}}\n"
	named := func(name string) console.File {
		return console.File{Name: name + ".yml", Text: strings.Replace(file, "NAME", name, 1)}
	}
	ds, ps, err := app.Check([]console.File{named("a"), named("b")})
	if err != nil || len(ps) > 0 || len(ds) != 2 {
		t.Fatalf("%d definitions: %v %v", len(ds), ps, err)
	}
	_, ps, err = app.Check([]console.File{named("a"), {Name: "again.yml", Text: named("a").Text}})
	if err != nil || len(ps) != 1 || !strings.Contains(ps[0].String(), "again.yml:1:1: PrometheusServiceLevel default/shop--a is defined twice") {
		t.Errorf("%v %v", ps, err)
	}
	kube := console.File{Name: "k.yml", Text: "apiVersion: sloth.slok.dev/v1\nkind: PrometheusServiceLevel\nmetadata: {name: k}\nspec:\n  " +
		strings.ReplaceAll(strings.NewReplacer("version: prometheus/v1\n", "", "error_query", "errorQuery", "total_query", "totalQuery").Replace(named("a").Text), "\n", "\n  ")}
	_, ps, err = app.Check([]console.File{named("a"), kube})
	if err != nil || len(ps) != 1 || !strings.Contains(ps[0].Message, `the SLO "a" of service "shop" in global namespace "default" is defined by PrometheusServiceLevel default/shop--a already`) {
		t.Errorf("%v %v", ps, err)
	}
}
