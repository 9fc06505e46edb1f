package exclude

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/zone"
)

var update = flag.Bool("update", false, "write what is said now into the golden file")

func compiler(t testing.TB) *Compiler {
	c, err := New(Config{Zone: zone.Of})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func compile(t testing.TB, name, text string, existing ...mesh.Definition) ([]mesh.Definition, string) {
	docs, ps := yaml.Parse(name, []byte(text))
	ds, more := compiler(t).Compile(docs, existing)
	var b strings.Builder
	for _, p := range mesh.SortProblems(append(ps, more...)) {
		b.WriteString(p.String() + "\n")
	}
	return ds, b.String()
}

const good = `apiVersion: evenkeel.dev/v1beta1
kind: Exclusion
metadata: {name: sunday, namespace: shop-prod, labels: {team: data}}
spec:
  globalNamespace: shop
  services: [checkout, cart]
  slos: ["*"]
  once:
    - {from: 2026-11-25T02:00:00Z, until: "2026-11-25T05:00:00+01:00"}
  recurring:
    start: 2026-01-04 02:00:00
    duration: 2h
    timeZone: Europe/Berlin
    rrule: FREQ=WEEKLY;BYDAY=SU
    until: 2026-12-31 23:59:59
  reason: SHOP-17, the data base is being moved
`

// A stage would exclude other time than is written, or take the definition for an SLO's, whose form is a list.
func TestCompiled(t *testing.T) {
	ds, problems := compile(t, "a.yaml", good)
	if problems != "" || len(ds) != 1 {
		t.Fatalf("%d definitions, %s", len(ds), problems)
	}
	d := ds[0]
	if d.GlobalNamespace != "shop" || d.Labels["team"] != "data" || d.Digest == "" || d.Compiled[0] != '{' {
		t.Errorf("%+v", d)
	}
	var x slo.Exclusion
	if err := json.Unmarshal(d.Compiled, &x); err != nil {
		t.Fatal(err)
	}
	if n := len(x.Recurring.Zone.Offsets); n < 50 {
		t.Errorf("%d rules of the zone", n)
	}
	x.Recurring.Zone.Offsets = nil
	want := slo.Exclusion{
		GlobalNamespace: "shop", Services: []string{"checkout", "cart"}, SLOs: []string{"*"}, Once: []slo.Span{{From: 1795572000, Until: 1795579200}},
		Recurring:  &slo.Recurrence{Start: "2026-01-04 02:00:00", Until: "2026-12-31 23:59:59", Duration: slo.Duration(2 * bus.Hour), Zone: slo.Zone{Name: "Europe/Berlin"}, Rule: "FREQ=WEEKLY;BYDAY=SU"},
		Reason:     "SHOP-17, the data base is being moved",
		Definition: mesh.Ref{APIVersion: "evenkeel.dev/v1beta1", Kind: "Exclusion", Namespace: "shop-prod", Name: "sunday"},
	}
	if diff := cmp.Diff(want, x); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A mistake would be reported at the wrong place, with another text, or not at all.
func TestMistakes(t *testing.T) {
	const path = "testdata/mistakes.txtar"
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range a.Files {
		want[f.Name] = string(f.Data)
	}
	out := txtar.Archive{Comment: a.Comment}
	for _, f := range a.Files {
		name, ok := strings.CutSuffix(f.Name, ".yaml")
		if !ok {
			continue
		}
		_, got := compile(t, f.Name, string(f.Data))
		out.Files = append(out.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
		if got == "" {
			t.Errorf("%s: no mistake is found", f.Name)
		}
		if diff := cmp.Diff(want[name+".want"], got); diff != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(&out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// One more exclusion than the engine takes would be accepted and then not hold.
func TestBound(t *testing.T) {
	var existing []mesh.Definition
	for i := range slo.MaxExclusions {
		existing = append(existing, mesh.Definition{Ref: mesh.Ref{APIVersion: slo.ExclusionVersion, Kind: slo.KindExclusion, Namespace: "n", Name: fmt.Sprint("x", i)}, GlobalNamespace: "shop"})
	}
	if _, problems := compile(t, "a.yaml", good, existing...); !strings.Contains(problems, "the global namespace shop would have 101 exclusions; at most 100") {
		t.Errorf("problems: %s", problems)
	}
	existing[0].Namespace, existing[0].Name = "shop-prod", "sunday" // the same again is none more
	if _, problems := compile(t, "a.yaml", good, existing...); problems != "" {
		t.Errorf("problems: %s", problems)
	}
}

// Anyone who may write a file could stop the process.
func FuzzCompile(f *testing.F) {
	f.Add(good)
	f.Fuzz(func(t *testing.T, text string) {
		docs, _ := yaml.Parse("a.yaml", []byte(text))
		ds, ps := compiler(t).Compile(docs, nil)
		for i := range ds {
			var x slo.Exclusion
			if len(ps) == 0 && (json.Unmarshal(ds[i].Compiled, &x) != nil || x.Validate() != nil) {
				t.Fatalf("%s: what was compiled is not valid", ds[i].Compiled)
			}
		}
	})
}
