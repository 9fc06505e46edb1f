package check

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"evenkeel.dev/slo"
)

var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// An example in the docs would not be accepted.
func TestDocExamples(t *testing.T) {
	for name, least := range map[string]int{"latency": 4, "slo": 1} {
		text, err := os.ReadFile("../../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		blocks := fenced.FindAllSubmatch(text, -1)
		if len(blocks) < least {
			t.Fatalf("%s: %d examples", name, len(blocks))
		}
		for i, b := range blocks {
			if said := check(kinds(t), fmt.Sprintf("example-%d.yaml", i+1), b[1]); said != "" {
				t.Errorf("%s, example %d:\n%s", name, i+1, said)
			}
		}
	}
}

// docs/latency.md would promise another accuracy than there is.
func TestLatencyTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/latency.md")
	if err != nil {
		t.Fatal(err)
	}
	cut := slo.NewCut(slo.MustDecimal("0.3"))
	for _, s := range []int32{8, 5, 3, 1, 0, -4} {
		lower, upper := cut.Bounds(s)
		if want := fmt.Sprintf("| %.4g and %.4g | %.2f |", lower, upper, cut.Share(s)); !strings.Contains(string(text), want) {
			t.Errorf("schema %d: the table has no %q", s, want)
		}
	}
}
