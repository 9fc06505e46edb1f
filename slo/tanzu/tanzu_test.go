package tanzu

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo/native"
	"evenkeel.dev/slo/promql"
	"evenkeel.dev/slo/zone"
)

var update = flag.Bool("update", false, "write what is converted now into the golden file")

func options() Options {
	return Options{ID: "checkout SLO", GlobalNamespace: "shop", Namespace: "shop-prod", Bounds: native.Bounds("istio")}
}

func convert(t testing.TB, text string, o Options) (Result, []mesh.Problem) {
	t.Helper()
	root, err := mesh.ReadJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Convert(&mesh.Document{File: "tanzu.json", Root: root}, o)
}

// loads checks that YAML is taken by the compiler of its kind, and returns how many SLOs it has.
func loads(t testing.TB, text string) int {
	t.Helper()
	c, err := native.New(native.Config{Compile: promql.Compile, Form: promql.Form, Zone: zone.Of})
	if err != nil {
		t.Fatal(err)
	}
	docs, ps := yaml.Parse("out.yaml", []byte(text))
	_, more := c.Compile(docs, nil)
	for _, p := range append(ps, more...) {
		t.Errorf("%s in\n%s", p, text)
	}
	return len(docs)
}

// Who leaves Tanzu would count something else than before, and not be told.
func TestConvert(t *testing.T) {
	const golden = "testdata/convert.txtar"
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	a := txtar.Parse(raw)
	want := map[string]string{}
	for _, f := range a.Files {
		want[f.Name] = string(f.Data)
	}
	out := txtar.Archive{Comment: a.Comment}
	for _, f := range a.Files {
		name, ok := strings.CutSuffix(f.Name, ".json")
		if !ok {
			continue
		}
		res, ps := convert(t, string(f.Data), options())
		var said strings.Builder
		for _, n := range res.Notes {
			said.WriteString(n + "\n")
		}
		if len(ps) > 0 {
			res.YAML = ""
			said.Reset()
			for _, p := range ps {
				said.WriteString(p.String() + "\n")
			}
		}
		loads(t, res.YAML)
		out.Files = append(out.Files, f, txtar.File{Name: name + ".yaml", Data: []byte(res.YAML)}, txtar.File{Name: name + ".notes", Data: []byte(said.String())})
		if *update {
			continue
		}
		if d := cmp.Diff(want[name+".yaml"], res.YAML); d != "" {
			t.Errorf("%s (-want +got; 'go test ./slo/tanzu -update' takes it over):\n%s", name, d)
		}
		if d := cmp.Diff(want[name+".notes"], said.String()); d != "" {
			t.Errorf("%s: notes (-want +got):\n%s", name, d)
		}
	}
	if *update {
		if err := os.WriteFile(golden, bytes.TrimRight(txtar.Format(&out), "\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A target that went through Tanzu would have other digits than its owner wrote.
func TestTargets(t *testing.T) {
	for text, want := range map[string]string{
		"99.9990005493164": "99.999", "99.99900054931640625": "99.999", "98": "98", "99.9": "99.9", "99.95": "99.95", "99.94999694824219": "99.95",
		"99.9990005493165": "99.9990005493165", "99.9999999": "99.9999999", "9.5e1": "95",
	} {
		res, ps := convert(t, `{"type":"MONITORED","basic_options":[{"metricName":"errorRate","value":1.5}],"slo_target_value":`+text+`,"slo_period":{"slo_period_frequency":"MONTHLY"},"services":[{"name":"a"}]}`, options())
		if len(ps) > 0 || !strings.Contains(res.YAML, "\n  objective: "+want+"%\n") {
			t.Errorf("%s: %v, want %s\n%s", text, ps, want, res.YAML)
		}
		if !strings.Contains(res.YAML, "target: 98.5%}") {
			t.Errorf("%s: the slice's target:\n%s", text, res.YAML)
		}
	}
}

// A source without known bounds would lose its latency SLOs.
func TestUnknownBounds(t *testing.T) {
	o := options()
	o.Source, o.Bounds = "grpc", native.Bounds("grpc")
	res, ps := convert(t, `{"type":"MONITORED","basic_options":[{"metricName":"p99LATENCY","value":120}],"slo_target_value":99,"slo_period":{"slo_period_frequency":"MONTHLY"},"services":[{"name":"a"}]}`, o)
	if len(ps) > 0 || loads(t, strings.Replace(res.YAML, "{tanzuErrors: true}", "{}", 1)) != 1 {
		t.Errorf("%v\n%s", ps, res.YAML)
	}
}

// An answer of the API, whatever is in it, would crash the conversion or become YAML that does not load.
func FuzzConvert(f *testing.F) {
	raw, err := os.ReadFile("testdata/convert.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range txtar.Parse(raw).Files {
		if strings.HasSuffix(file.Name, ".json") {
			f.Add(string(file.Data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		root, err := mesh.ReadJSON([]byte(text))
		if err != nil {
			return
		}
		res, ps := Convert(&mesh.Document{File: "f.json", Root: root}, options())
		if len(ps) > 0 {
			return
		}
		loads(t, res.YAML)
	})
}
