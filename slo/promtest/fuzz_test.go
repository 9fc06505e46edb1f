package promtest

import (
	"os"
	"testing"

	"evenkeel.dev/mesh/yaml"
)

// A file of tests from anywhere would crash the command or take all memory, or a mistake in it have no place.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"../../deploy/tests/checkout.test.yaml", "../../cmd/evenkeel/testdata/test/fails.test.yaml", "../../cmd/evenkeel/testdata/test/promtool.test.yaml"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	for _, values := range []string{"1x99999999999999999999", "0+1x3 _x3 stale", "{{schema:1 buckets:[1]}}x9", "1 x 9", "0x1F", "-1-1x1000000 -1x1000001"} {
		f.Add("rule_files: [a]\ntests: [{input_series: [{series: up, values: '" + values + "'}], promql_expr_test: [{eval_time: 0, expr: up}]}]")
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, ps := yaml.ParseTree("a.yaml", []byte(text))
		if len(ps) > 0 {
			return
		}
		file, ps := Parse(d)
		for _, p := range ps {
			if p.Message == "" || p.File == "" {
				t.Errorf("a problem without its place: %+v", p)
			}
		}
		samples := 0
		for i := range file.Tests {
			for _, s := range file.Tests[i].Series {
				samples += len(s.Times)
			}
		}
		if samples > maxSamples {
			t.Errorf("%d samples", samples)
		}
	})
}
