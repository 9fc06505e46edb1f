package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const folder = "../../deploy/crds"

// The API server would drop a field that the engine knows, or keep one that it does not know, or refuse what the docs show.
func TestWrittenAnew(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("deploy/crds/%s is not what the compilers know; run: make crds\n%s", name, d)
		}
	}
	there, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(there) != len(files) {
		t.Errorf("deploy/crds holds %v (%v), and %d kinds have one each", there, err, len(files))
	}
}

// A kind that the docs have not yet got a CRD for would be found out by whoever writes its tables last.
func TestDescribed(t *testing.T) {
	for _, r := range described() {
		if _, err := r.definition(); err != nil {
			t.Errorf("%s: %v", r.kind.Kind, err)
		}
	}
}
