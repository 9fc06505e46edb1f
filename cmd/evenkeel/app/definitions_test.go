package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
)

// bench is a catalogue on a log in memory, inside a bubble.
type bench struct {
	t           *testing.T
	log         *bus.Memory
	catalogue   *catalogue
	definitions *definitions
	said        *bytes.Buffer
	logger      *slog.Logger
}

// onBench runs f with the catalogue stage and this process's copy of it running.
func onBench(t *testing.T, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k, err := kinds()
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, log: bus.NewMemory(), said: &bytes.Buffer{}}
		b.logger = slog.New(slog.NewTextHandler(b.said, nil))
		b.catalogue = newCatalogue(b.log, b.logger)
		b.definitions = &definitions{catalogue: b.catalogue, kinds: k}
		w := &watcher{log: b.log, last: b.log.Last, catalogue: b.catalogue, logger: b.logger, started: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		stage := func(ctx context.Context) error {
			return bus.Run(ctx, bus.RunConfig{Log: b.log, Spec: mesh.CatalogueSpec()})
		}
		done := make(chan struct{}, 3)
		for _, part := range []func(context.Context) error{stage, b.catalogue.follow, w.run} {
			go func() {
				if err := part(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("a part ended: %v", err)
				}
				done <- struct{}{}
			}()
		}
		f(b)
		cancel()
		for range 3 {
			<-done
		}
	})
}

func (b *bench) names() string {
	ds, _, _ := b.catalogue.read()
	var out []string
	for _, d := range ds {
		out = append(out, d.Name)
	}
	return strings.Join(out, " ")
}

func (b *bench) apply(by console.Identity, text string) (console.ApplyAnswer, error) {
	return b.definitions.Apply(b.t.Context(), console.ApplyRequest{Files: []console.File{{Name: "a.yaml", Text: text}}, By: by})
}

func service(name, gns string) string {
	return fmt.Sprintf("apiVersion: openslo/v1\nkind: Service\nmetadata: {name: %s, annotations: {evenkeel.dev/global-namespace: %s}}\nspec: {description: x}\n", name, gns)
}

func slug(err error) string {
	var f *console.Failure
	if errors.As(err, &f) {
		return fmt.Sprint(f.Status, " ", f.Code)
	}
	return fmt.Sprint(err)
}

// If it fails, an author of one global namespace changes or takes over another's definitions.
func TestBoundAuthor(t *testing.T) {
	onBench(t, func(b *bench) {
		all := console.Identity{Name: "root", Role: console.Admin}
		shop := console.Identity{Name: "shop-author", Role: console.Author, GlobalNamespaces: []string{"shop"}}
		if _, err := b.apply(shop, service("cart", "shop")); err != nil {
			b.t.Fatal(err)
		}
		if _, err := b.apply(all, service("vault", "bank")); err != nil {
			b.t.Fatal(err)
		}
		if _, err := b.apply(shop, service("till", "bank")); slug(err) != "403 Forbidden" {
			t.Errorf("a new object of bank: %s", slug(err))
		}
		if _, err := b.apply(shop, service("vault", "shop")); slug(err) != "403 Forbidden" {
			t.Errorf("an object of bank is moved to shop: %s", slug(err))
		}
		ref := mesh.Ref{APIVersion: "openslo/v1", Kind: "Service", Namespace: "default", Name: "vault"}
		if _, err := b.definitions.Delete(b.t.Context(), console.DeleteRequest{Refs: []mesh.Ref{ref}, By: shop}); slug(err) != "403 Forbidden" {
			t.Errorf("an object of bank is deleted: %s", slug(err))
		}
		if got := b.names(); got != "cart vault" {
			t.Errorf("defined: %s", got)
		}
	})
}

const boundary = `apiVersion: evenkeel.dev/v1beta1
kind: GlobalNamespace
metadata: {name: shop}
spec: {domain: shop.internal, matchConditions: [{namespace: {type: Exact, match: shop}}], acceptedFrom: [{cluster: eu-1}]}
`

// Who may change what is in a global namespace could let others join it, or a cascade take what stands in another one.
func TestBoundAuthorAndBoundary(t *testing.T) {
	onBench(t, func(b *bench) {
		all := console.Identity{Name: "root", Role: console.Admin}
		shop := console.Identity{Name: "shop-author", Role: console.Author, GlobalNamespaces: []string{"shop"}}
		if _, err := b.apply(shop, boundary); slug(err) != "403 Forbidden" {
			t.Errorf("a boundary by who is inside: %s", slug(err))
		}
		for _, text := range []string{boundary, service("cart", "shop"), service("vault", "bank")} {
			if _, err := b.apply(all, text); err != nil {
				b.t.Fatal(err)
			}
		}
		ref := mesh.Ref{APIVersion: "evenkeel.dev/v1beta1", Kind: "GlobalNamespace", Namespace: "default", Name: "shop"}
		remove := func(by console.Identity, cascade, dry bool) (console.ApplyAnswer, error) {
			return b.definitions.Delete(b.t.Context(), console.DeleteRequest{Refs: []mesh.Ref{ref}, By: by, Cascade: cascade, DryRun: dry})
		}
		for _, dry := range []bool{true, false} {
			if _, err := remove(shop, true, dry); slug(err) != "403 Forbidden" {
				t.Errorf("deleted by who is inside: %s", slug(err))
			}
			if _, err := remove(all, false, dry); slug(err) != "409 Inhabited" {
				t.Errorf("deleted alone: %s", slug(err))
			}
		}
		before, revision, _ := b.catalogue.read()
		if a, err := remove(all, true, false); err != nil || len(a.Objects) != 2 || a.Revision != revision+1 {
			t.Errorf("all in one change: %+v, %v, of %d at %d", a, err, len(before), revision)
		}
		if got := b.names(); got != "vault" {
			t.Errorf("left: %s", got)
		}
	})
}

const elsewhere = `apiVersion: openslo/v1
kind: SLO
metadata: {name: hits}
spec:
  service: web
  budgetingMethod: Occurrences
  indicator:
    spec:
      ratioMetric:
        good: {metricSource: {type: CloudWatch, spec: {query: a}}}
        total: {metricSource: {type: CloudWatch, spec: {query: b}}}
  objectives: [{target: 0.99}]
`

// If it fails, people are not told what their apply did, or a dry run changes something.
func TestApplyActions(t *testing.T) {
	onBench(t, func(b *bench) {
		root := console.Identity{Name: "root", Role: console.Admin}
		dry, err := b.definitions.Apply(b.t.Context(), console.ApplyRequest{Files: []console.File{{Name: "a", Text: service("cart", "shop")}}, By: root, DryRun: true, Diff: true})
		if err != nil || len(dry.Objects) != 1 || dry.Objects[0].Action != console.ActionCreated || !strings.Contains(dry.Objects[0].Diff, "+kind: Service") || b.names() != "" {
			t.Errorf("dry run: %+v, %v; defined: %s", dry, err, b.names())
		}
		var actions []string
		for _, text := range []string{service("cart", "shop"), service("cart", "shop"), service("cart", "shop") + "---\n" + service("till", "shop"), service("cart", "default")} {
			a, err := b.apply(root, text)
			if err != nil {
				b.t.Fatal(err)
			}
			line := ""
			for _, o := range a.Objects {
				line += o.Name + " " + o.Action + ";"
			}
			actions = append(actions, fmt.Sprint(line, a.Revision))
		}
		want := []string{"cart created;1", "cart unchanged;1", "cart unchanged;till created;2", "cart configured;3"}
		if diff := cmp.Diff(want, actions); diff != "" {
			t.Errorf("actions (-want +got):\n%s", diff)
		}
		a, err := b.apply(root, "apiVersion: openslo/v1\nkind: Servce\nmetadata: {name: x}\n")
		if err != nil || len(a.Problems) != 1 || a.Problems[0].Line != 2 {
			t.Errorf("a mistake: %+v, %v", a.Problems, err)
		}
		a, err = b.apply(root, elsewhere)
		if err != nil || len(a.Problems) != 0 || len(a.Warnings) != 2 || a.Warnings[0].Line != 10 || a.Objects[0].Action != console.ActionCreated {
			t.Errorf("an SLO over another source: %+v, %v", a, err)
		}
		wrong := uint64(99)
		_, err = b.definitions.Apply(b.t.Context(), console.ApplyRequest{Files: []console.File{{Text: service("cart", "shop")}}, By: root, ExpectRevision: &wrong})
		if slug(err) != "409 Conflict" {
			t.Errorf("another revision than expected: %s", slug(err))
		}
	})
}

// If it fails, a caller waits for ever for a catalogue that stands still, or believes that the change was made.
func TestNoAnswerIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCatalogue(bus.NewMemory(), slog.New(slog.DiscardHandler))
		began := time.Now()
		_, err := c.propose(t.Context(), mesh.Proposal{ID: "x"})
		if slug(err) != "503 NoAnswer" || time.Since(began) != answerTimeout || c.waiting.len() != 0 {
			t.Errorf("got %s after %v; %d wait", slug(err), time.Since(began), c.waiting.len())
		}
		d := &definitions{catalogue: c}
		if _, _, err := d.List(t.Context()); slug(err) != fmt.Sprint(http.StatusServiceUnavailable, " NotReady") {
			t.Errorf("list: %s", slug(err))
		}
	})
}

// If it fails, the folder that people drop files into is not what the engine does: changes are missed, vanished files stay, a
// mistake or an unmounted volume deletes objectives.
func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "slos")
	if err := os.MkdirAll(filepath.Join(dir, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, ".git"), "no.yaml", service("hidden", "shop"))
	put(t, dir, "notes.txt", "no definition")
	onBench(t, func(b *bench) {
		f, err := newFolder(dir, b.definitions, b.logger)
		if err != nil {
			b.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = f.run(ctx) }()
		expect := func(what, names string, problems int64) {
			t.Helper()
			time.Sleep(3 * time.Second)
			if got := b.names(); got != names || f.problems.Load() != problems {
				t.Errorf("%s: defined %q with %d mistakes, want %q with %d\n%s", what, got, f.problems.Load(), names, problems, b.said)
			}
		}
		for _, n := range []string{"a", "b", "c", "d", "e"} {
			put(t, dir, n+".yaml", service(n, "shop"))
		}
		expect("five files", "a b c d e", 0)
		if _, err := b.apply(console.Identity{Name: "root", Role: console.Admin}, service("z", "shop")); err != nil {
			b.t.Fatal(err)
		}
		remove(t, dir, "e.yaml")
		expect("one file less; what the API owns stays", "a b c d z", 0)
		put(t, dir, "a.yaml", "kind: [")
		remove(t, dir, "d.yaml")
		expect("a mistake: the last good state stays", "a b c d z", 1)
		if !strings.Contains(b.said.String(), "a.yaml:1:") {
			t.Errorf("the mistake's place is not in the log:\n%s", b.said)
		}
		put(t, dir, "a.yaml", service("a", "shop"))
		expect("mended", "a b c z", 0)
		remove(t, dir, "a.yaml")
		remove(t, dir, "b.yaml")
		remove(t, dir, "c.yaml")
		expect("everything gone at once: nothing is deleted without a yes", "a b c z", 0)
		if !strings.Contains(b.said.String(), "take-ownership") {
			t.Errorf("the log does not say what to do:\n%s", b.said)
		}
		cancel()
		<-done
	})
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}
