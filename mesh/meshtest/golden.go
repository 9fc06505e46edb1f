// Package meshtest is what tests of compilers of definitions share: a text is compiled as `evenkeel apply` does, and what it gives is compared with a file.
package meshtest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
)

// Compile reads and compiles a text. All problems are returned, in their order.
func Compile(c mesh.Compiler, name, text string, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	docs, ps := yaml.Parse(name, []byte(text))
	ds, more := c.Compile(docs, existing)
	return ds, mesh.SortProblems(append(ps, more...))
}

// Golden compares what is found in the first file of each archive of testdata with the second: the problems, then what was compiled. There must be n
// archives; with update the second files are written.
func Golden(t *testing.T, update bool, n int, compile func(name, text string) ([]mesh.Definition, []mesh.Problem)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) != n {
		t.Fatal(files, err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out := render(t, compile, &a.Files[0])
		if update {
			a.Files = append(a.Files[:1], txtar.File{Name: "out", Data: out})
			if err := os.WriteFile(file, txtar.Format(a), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if len(a.Files) != 2 {
			t.Fatalf("%s has no answer", file)
		}
		if diff := cmp.Diff(string(a.Files[1].Data), string(out)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func render(t *testing.T, compile func(name, text string) ([]mesh.Definition, []mesh.Problem), in *txtar.File) []byte {
	t.Helper()
	var out bytes.Buffer
	ds, ps := compile(in.Name, string(in.Data))
	for _, p := range ps {
		out.WriteString(p.String() + "\n")
	}
	for _, d := range ds {
		if len(d.Compiled) == 0 {
			continue
		}
		out.WriteString(d.Ref.String() + " in " + d.GlobalNamespace + " claims " + strings.Join(d.Claims, " ") + "\n")
		if err := json.Indent(&out, d.Compiled, "", "  "); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// Seeds returns the first files of all archives of testdata, for fuzzing.
func Seeds(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var out []string
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(a.Files[0].Data))
	}
	return out
}
