package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const slothFile = `version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))
        total_query: sum(rate(http_requests_total[{{.window}}]))
    alerting: {name: A}
`

// If it fails, a script that converts files takes a loss for a success, or what is written does not pass the program's own check.
func TestConvert(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := write("whole.yml", slothFile)
	part := write("part.yml", slothFile+"  - {name: raw, objective: 99, sli: {raw: {error_ratio_query: x}}}\n")

	code, out, errs := command(t, nil, "", "convert", whole)
	if code != exitDone || !strings.Contains(out, "\n    - target: 0.999\n") || !strings.HasPrefix(errs, whole+":10:16: the alert name A is left out") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if !strings.HasPrefix(out, "# "+errs) {
		t.Errorf("what is said on the error output does not stand in what is written:\n%s", out)
	}
	if code, said, _ := command(t, nil, out, "check", "-"); code != exitDone {
		t.Errorf("what is written does not pass: %s", said)
	}
	if code, again, _ := command(t, nil, slothFile, "convert", "-"); code != exitDone || strings.ReplaceAll(out, whole, "stdin") != again {
		t.Errorf("from the input: exit %d\n%s", code, again)
	}

	file := filepath.Join(dir, "out.yaml")
	code, out, errs = command(t, nil, "", "convert", part, "-o", file)
	written, err := os.ReadFile(file)
	if code != exitNo || out != "" || err != nil || !strings.Contains(errs, part+":11:38: a raw error ratio cannot be counted") || !strings.Contains(string(written), "name: availability") {
		t.Errorf("exit %d: %v\n%s%s", code, err, errs, written)
	}

	for want, args := range map[int][]string{
		exitUsage: {"convert"},
		exitNo:    {"convert", write("broken.yml", "a: [\n")},
		exitCould: {"convert", filepath.Join(dir, "absent.yml")},
	} {
		if code, _, errs := command(t, nil, "", args...); code != want {
			t.Errorf("%v: exit %d, want %d: %s", args, code, want, errs)
		}
	}
	if code, _, _ := command(t, nil, "", "convert", whole, "-o", ""); code != exitUsage {
		t.Errorf("without a name to write to: exit %d", code)
	}
}
