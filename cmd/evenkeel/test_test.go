package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inRoot runs the rest of a test in the root of the tree, where the example files have short names; golden files are written with the result.
func inRoot(t *testing.T) (goldenHere func(name, got string)) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(filepath.Dir(here))
	t.Chdir(root)
	return func(name, got string) {
		t.Helper()
		t.Chdir(here)
		golden(t, name, got)
		t.Chdir(root)
	}
}

const exampleTest = "deploy/tests/checkout.test.yaml"

// The example of docs/testing.md would not pass, or Sloth's rules would alert at other times than the engine over the same incident, or
// a program find another form.
func TestExampleTests(t *testing.T) {
	goldenHere := inRoot(t)
	junit := filepath.Join(t.TempDir(), "junit.xml")
	code, out, errs := command(t, nil, "", "test", exampleTest, "--junit", junit)
	if code != exitDone || errs != "" {
		t.Errorf("exit code %d, %s", code, errs)
	}
	goldenHere("test.txt", out)
	doc, err := os.ReadFile("docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(exampleTest)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(example), "\n  - name: two failed")
	if !strings.Contains(string(doc), first) || !strings.Contains(string(doc), out) {
		t.Error("docs/testing.md shows another example, or another answer")
	}
	code, out, _ = command(t, nil, "", "test", exampleTest, "-o", "json")
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}
	goldenHere("test.json", out)
	b, err := os.ReadFile(junit)
	if err != nil {
		t.Fatal(err)
	}
	goldenHere("test.xml", string(b)+"\n")
	if code, out, errs = command(t, nil, "", "test", "deploy/tests", "--run", "at night"); code != exitDone || strings.Contains(out, "ten percent") || !strings.Contains(out, "1 passed") {
		t.Errorf("of the folder --run selects: exit code %d, %s%s", code, out, errs)
	}
	if code, out, errs = command(t, nil, "", "check", "deploy/tests"); code != exitNo || strings.Contains(out+errs, exampleTest) || !strings.Contains(errs, "in 2 files") {
		t.Errorf("unit tests are taken for definitions: exit code %d, %s%s", code, out, errs)
	}
}

// A test that fails would be taken for one that passes, or a person not see what was got and what wanted.
func TestFailedTests(t *testing.T) {
	goldenHere := inRoot(t)
	junit := filepath.Join(t.TempDir(), "junit.xml")
	code, out, errs := command(t, nil, "", "test", "cmd/evenkeel/testdata/test/fails.test.yaml", "--junit", junit)
	if code != exitNo || errs != "" {
		t.Errorf("exit code %d, %s", code, errs)
	}
	goldenHere("test-fails.txt", out)
	b, err := os.ReadFile(junit)
	if err != nil {
		t.Fatal(err)
	}
	var x struct {
		Suites []struct {
			Failures int `xml:"failures,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b, &x); err != nil || len(x.Suites) != 1 || x.Suites[0].Failures == 0 {
		t.Errorf("JUnit: %v, %s", err, b)
	}
}

// Pyrra's rules would be compared with something else than the SLO they are of, or alerts that are of none go unmentioned.
func TestComparedWithPyrra(t *testing.T) {
	goldenHere := inRoot(t)
	code, out, errs := command(t, nil, "", "test", "cmd/evenkeel/testdata/test/pyrra.test.yaml")
	if code != exitDone {
		t.Errorf("exit code %d: %s", code, errs)
	}
	goldenHere("test-pyrra.txt", out)
}

// A test would see a sample too many or too few, or count other than the engine does: resets, gaps, births, calendar windows, exclusions,
// groups. A file of promtool (test/check runs promtool over it) would have to be rewritten.
func TestWhatTestsSee(t *testing.T) {
	inRoot(t)
	for _, name := range []string{"kinds", "promtool"} {
		if code, out, errs := command(t, nil, "", "test", "cmd/evenkeel/testdata/test/"+name+".test.yaml"); code != exitDone {
			t.Errorf("%s: exit code %d: %s%s", name, code, out, errs)
		}
	}
}

// A person would not learn where the mistake in a file of tests is, and a script take it for a test that passes.
func TestMistakesInTests(t *testing.T) {
	dir := t.TempDir()
	const slos = "version: prometheus/v1\nservice: shop\nslos:\n- name: a\n  objective: 99\n  sli: {events: {error_query: 'sum(rate(e[{{.window}}]))', total_query: 'sum(rate(r[{{.window}}]))'}}\n  alerting: {name: A}\n"
	write(t, dir, "slos.yaml", slos)
	write(t, dir, "bad.yaml", strings.Replace(slos, "objective", "objectiv", 1))
	write(t, dir, "rules.yaml", "groups:\n- name: g\n  rules:\n  - {alert: Up, expr: up > 0}\n")
	write(t, dir, "badrules.yaml", "groups:\n- name: g\n  rules:\n  - {alert: Up, expr: 'up >'}\n")
	write(t, dir, "fails.yaml", "groups:\n- name: g\n  rules:\n  - {record: x, expr: '\"a\"'}\n")
	write(t, dir, "joint.yaml", "apiVersion: evenkeel.dev/v1beta1\nkind: SLO\nmetadata: {name: joint}\nspec:\n  targetRef: {kind: Service, name: shop}\n  objective: 99%\n  composite:\n    method: Worst\n    members: [{service: shop, slo: a}]\n")
	const head, one = "slo_files: [slos.yaml]\ntests:\n- ", "slo_test: [{eval_time: 1m, slo: shop/a, exp: {total: 1}}]\n"
	for _, c := range []struct {
		text string
		code int
		want string
	}{
		{"slo_file: [slos.yaml]\n", exitNo, `:1:1: unknown field "slo_file" in the document (did you mean "slo_files"?)`},
		{head + "slo_tests: []\n", exitNo, `:3:3: unknown field "slo_tests" in tests[0] (did you mean "slo_test"?)`},
		{"tests: [{}]\n", exitNo, "there is nothing to test"},
		{"slo_files: [slos.yaml]\n", exitNo, "there are no tests"},
		{head + "name: x\n", exitNo, `the test "x" expects nothing`},
		{head + "input_series: [{series: 'r{', values: 1}]\n  " + one, exitNo, "parse error"},
		{head + "input_series: [{series: r, values: '0+1x9999999'}]\n  " + one, exitNo, "more than 4000000 samples"},
		{head + "input_series: [{series: r, values: '{{count:1}}'}]\n  " + one, exitNo, "native histograms cannot be replayed from memory"},
		{head + "input_series: [{series: r, values: 1}, {series: r, values: 2}]\n  " + one, exitNo, "the series r stands twice"},
		{head + "start_timestamp: 0\n  " + one, exitNo, "cannot begin before 2020"},
		{head + "start_timestamp: soon\n  " + one, exitNo, `"soon" is no time`},
		{head + "interval: 10ms\n  " + one, exitNo, `"10ms" is no duration`},
		{head + "slo_test: [{slo: shop/a, exp: {total: 1}}]\n", exitNo, "eval_time is missing"},
		{head + "slo_test: [{eval_time: 1m, slo: shop, exp: {total: 1}}]\n", exitNo, `"shop" names no SLO`},
		{head + "slo_test: [{eval_time: 1m, slo: shop/a, exp: {state: FINE}}]\n", exitNo, `"FINE" is no state`},
		{head + "slo_test: [{eval_time: 1m, slo: shop/a, exp: {}}]\n", exitNo, "nothing is expected"},
		{head + "slo_test: [{eval_time: 1m, slo: shop/b, exp: {total: 1}}]\n", exitNo, `there is none; did you mean "shop/a"?`},
		{head + "compare: {}\n", exitNo, "compare needs both"},
		{head + "alert_rule_test: [{eval_time: 1m, alertname: SLOBurnRatePages}]\n", exitNo, `did you mean "SLOBurnRatePage"?`},
		{head + "promql_expr_test: [{eval_time: 1m, expr: 'sum('}]\n", exitNo, "parse error"},
		{"rule_files: [rules.yaml]\n" + head + "compare: {accept: [{slo: a/b, severity: page}]}\n", exitNo, "has a reason"},
		{"rule_files: [rules.yaml]\n" + head + "compare: {accept: [{slo: a/b, severity: page, reason: r, difference: Late}]}\n", exitNo, `"Late" is no difference`},
		{"slo_files: [bad.yaml]\ntests:\n- " + one, exitNo, `bad.yaml:5:3: unknown field "objectiv"`},
		{"rule_files: [badrules.yaml]\n" + head + one, exitNo, "badrules.yaml: 4:"},
		{"rule_files: [fails.yaml]\n" + head + "promql_expr_test: [{eval_time: 1m, expr: up}]\n", exitNo, `+ at 0s: rule x of group g: the result is a string`},
		{"slo_files: [slos.yaml, joint.yaml]\ntests:\n- slo_test: [{eval_time: 1m, slo: shop/joint, exp: {total: 1}}]\n", exitNo, "shop/joint is a composite"},
		{"slo_files: [none.yaml]\ntests:\n- " + one, exitCould, "no such file"},
		{"slo_files: ['none*.yaml']\ntests:\n- " + one, exitCould, "no file matches"},
		{"a: 1\n---\nb: 1\n", exitNo, "more than one document"},
		{"# nothing\n", exitNo, "the file is empty"},
	} {
		file := write(t, dir, "t.yaml", c.text)
		if code, out, errs := command(t, nil, "", "test", file); code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s\nexit code %d, want %d: %s%swant %s", c.text, code, c.code, out, errs, c.want)
		}
	}
	file := write(t, dir, "t.yaml", head+one)
	for _, args := range []string{"-o yaml", "--run (", "--run nothing"} {
		if code, _, errs := command(t, nil, "", append([]string{"test", file}, strings.Fields(args)...)...); code != exitUsage {
			t.Errorf("%s: exit code %d, %s", args, code, errs)
		}
	}
}

// write makes a file and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
