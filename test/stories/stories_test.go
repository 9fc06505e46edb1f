// Package stories plays the .txtar pages beside it: each is a script of definitions, series in promqltest's notation and troubles,
// and what the SLO stage tells about it, by time. "go test ./test/stories -update" writes the pages anew; the diff is the change
// of behaviour. README.md describes the notation.
package stories

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"evenkeel.dev/cmd/evenkeel/app"
)

var update = flag.Bool("update", false, "write what happens into the stories")

// A user would be paged at another time, for another reason, twice or not at all: each story is a promise of behaviour.
func TestStories(t *testing.T) {
	paths, err := filepath.Glob("*.txtar")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d stories: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(path, ".txtar"), func(t *testing.T) { playFile(t, path) })
	}
}

func playFile(t *testing.T, path string) {
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var script, want *txtar.File
	files := map[string]string{}
	for i := range a.Files {
		switch a.Files[i].Name {
		case "script":
			script = &a.Files[i]
		case "want":
			want = &a.Files[i]
		default:
			if !app.DefinitionFile(a.Files[i].Name) {
				t.Fatalf("%s: there is no section %q", path, a.Files[i].Name)
			}
			files[a.Files[i].Name] = string(a.Files[i].Data)
		}
	}
	if script == nil {
		t.Fatalf("%s: there is no script", path)
	}
	got, err := play(string(script.Data), files)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if *update {
		if want == nil {
			a.Files = append(a.Files, txtar.File{Name: "want"})
			want = &a.Files[len(a.Files)-1]
		}
		want.Data = []byte(got)
		if b := txtar.Format(a); !bytes.Equal(b, nil) {
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if want == nil {
		t.Fatalf("%s: there is no want section; run with -update and review it", path)
	}
	if d := cmp.Diff(string(want.Data), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}
