package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Who calls whom would be shown wrong, scripts could not tell whether plaintext is left, or a picture would not be written.
func TestMeshGraph(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "console", "testdata", "mesh-calls.json"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(filepath.Join("..", "..", "console", "testdata", "mesh-plaintext.json"))
	if err != nil {
		t.Fatal(err)
	}
	s, env := serveAnswers(t, map[string]string{"GET /api/v1/calls": string(b), "GET /api/v1/mesh/plaintext": string(plain), "GET /api/v1/slos": `{"items":[{"globalNamespace":"shop","service":"cart","state":"VIOLATION"},{"globalNamespace":"shop","service":"cart","state":"HEALTHY"}]}`})
	var all strings.Builder
	for _, line := range []string{"mesh graph", "mesh graph --gns shop --range 15m -o svg", "mesh graph --service cart -o dot", "mesh graph --versions", "mesh plaintext --gns shop", "mesh plaintext --service ledger -o yaml"} {
		want := exitDone
		if strings.Contains(line, "plaintext") {
			want = exitNo
		}
		code, out, errs := command(t, env, "", strings.Fields(line)...)
		if code != want {
			t.Errorf("evenkeel %s: exit %d: %s", line, code, errs)
		}
		if strings.HasPrefix(out, "<svg ") {
			out = "" // its look is a matter of mesh/graph
		}
		all.WriteString("$ evenkeel " + line + "\n" + withoutAges(out))
	}
	golden(t, "calls.txt", all.String())
	if got, want := s.asked[1], "GET /api/v1/slos"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if got, want := s.asked[2], "GET /api/v1/calls?gns=shop&range=15m"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	file := filepath.Join(t.TempDir(), "shop.svg")
	if code, out, errs := command(t, env, "", "mesh", "graph", "-o", "svg", "--out", file); code != exitDone || out != "" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if b, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(b), "<svg ") {
		t.Errorf("the file holds %.40s, %v", b, err)
	}
	_, none := serveAnswers(t, map[string]string{"GET /api/v1/calls": `{"items":[],"over":true}`})
	for line, want := range map[string]int{"mesh graph": exitDone, "mesh graph -o svg": exitDone, "mesh graph -o json": exitDone, "mesh plaintext": exitDone, "mesh graph -o png": exitUsage, "mesh": exitDone} {
		if code, out, errs := command(t, none, "", strings.Fields(line)...); code != want {
			t.Errorf("evenkeel %s: exit %d, want %d: %s%s", line, code, want, out, errs)
		}
	}
}
