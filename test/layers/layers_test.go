package layers

import "testing"

// A stage that reached for a shell, or a shell for another shell, could no longer be replayed, simulated or replaced alone.
func TestLayers(t *testing.T) { hold(t, Imports) }

// A stage with a clock, a goroutine or chance in it would give another answer after a crash: alerts lost or sent twice.
func TestPurity(t *testing.T) { hold(t, Purity) }

// Long files and functions, silent tests and skipped tests hide mistakes from those who read the code to trust it.
func TestShape(t *testing.T) { hold(t, Shape) }

// A path of somebody's machine or a registry's host in the tree breaks the build or the docs for everybody else.
func TestText(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	breaches, err := Texts(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breaches {
		t.Error(b)
	}
}

func hold(t *testing.T, law func([]*File) []Breach) {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found %d Go files below the root; the laws would bind nothing", len(files))
	}
	for _, b := range law(files) {
		t.Error(b)
	}
}
