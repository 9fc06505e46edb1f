// Command tally reads what `go test -json` writes, one run or several, shows what a person wants to see of it (one line for each
// package, the whole output of what failed, the slowest tests, once more what the failed tests found wrong) and ends with a line of
// its own, "N passed, N failed": the numbers of top-level tests, a package that does not build or ends badly counting as one that failed. It exits with 1 when
// something failed or nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	t := newTally(os.Stdout)
	if err := t.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
	if !t.finish() {
		os.Exit(1)
	}
}

// An event is one line of go test -json.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
}

type key struct{ pkg, test string }

type duration struct {
	name    string
	seconds float64
}

// A tally counts events. What it keeps is bounded by the output of the tests that run at the same time.
type tally struct {
	out            io.Writer
	passed, failed int
	output         map[key][]string // by top-level test, "" for the package's own
	broken         map[string]int   // failed tests by package
	slow           []duration
	why            []string // what failed tests said themselves, without the logs of what they ran
}

// A testSays matches a line that a test writes with t.Error or t.Log, or a panic.
var testSays = regexp.MustCompile(`^\s*\w+\.go:\d+: |^panic: `)

// Bounds of what is said once more at the end: a log of 100 lines that is cut at the top must still have it.
const (
	whyLines  = 8
	whyLength = 400
)

func newTally(out io.Writer) *tally {
	return &tally{out: out, output: map[key][]string{}, broken: map[string]int{}}
}

func (t *tally) read(r io.Reader) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var e event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			fmt.Fprintln(t.out, s.Text()) // what is no event comes from the go command itself
			continue
		}
		t.take(e)
	}
	return s.Err()
}

func (t *tally) take(e event) {
	if e.Package == "" {
		e.Package = e.ImportPath
	}
	top, _, sub := strings.Cut(e.Test, "/")
	k := key{e.Package, top}
	switch {
	case e.Action == "output" || e.Action == "build-output":
		t.output[k] = append(t.output[k], e.Output)
	case sub:
	case e.Action == "pass" && e.Test != "":
		t.passed++
		t.slow = append(t.slow, duration{e.Package + " " + e.Test, e.Elapsed})
		delete(t.output, k)
	case e.Action == "fail" && e.Test != "":
		t.failed++
		t.broken[e.Package]++
		t.show(k)
	case e.Action == "pass", e.Action == "skip" && e.Test == "":
		t.forget(e.Package)
		if e.Action == "pass" {
			fmt.Fprintf(t.out, "ok    %s %.1fs\n", e.Package, e.Elapsed)
		}
	case e.Action == "skip":
		t.failed++ // no test of this project is skipped
		t.broken[e.Package]++
		t.show(k)
	case e.Action == "fail":
		t.packageFailed(e)
	}
}

func (t *tally) packageFailed(e event) {
	if t.broken[e.Package] == 0 {
		t.failed++
		for k := range t.output {
			if k.pkg == e.Package && k.test != "" {
				t.show(k)
			}
		}
		for k := range t.output {
			if strings.HasPrefix(k.pkg, e.Package+" [") {
				t.show(k) // the compiler's words
			}
		}
		t.show(key{e.Package, ""})
	}
	t.forget(e.Package)
	fmt.Fprintf(t.out, "FAIL  %s %.1fs\n", e.Package, e.Elapsed)
}

func (t *tally) show(k key) {
	fmt.Fprintf(t.out, "%s", strings.Join(t.output[k], ""))
	var said []string
	for _, line := range t.output[k] {
		if line = strings.TrimSpace(line); testSays.MatchString(line) {
			said = append(said, fmt.Sprintf("why   %s %s: %s", k.pkg, k.test, line[:min(len(line), whyLength)]))
		}
	}
	t.why = append(t.why, said[max(0, len(said)-whyLines):]...)
	delete(t.output, k)
}

func (t *tally) forget(pkg string) {
	for k := range t.output {
		if k.pkg == pkg {
			delete(t.output, k)
		}
	}
	delete(t.broken, pkg)
}

// finish prints the slowest tests, why others failed, and the counts, and reports whether all is well.
func (t *tally) finish() bool {
	slices.SortStableFunc(t.slow, func(a, b duration) int {
		switch {
		case a.seconds > b.seconds:
			return -1
		case a.seconds < b.seconds:
			return 1
		}
		return 0
	})
	for _, d := range t.slow[:min(5, len(t.slow))] {
		if d.seconds >= 1 {
			fmt.Fprintf(t.out, "slow  %s %.1fs\n", d.name, d.seconds)
		}
	}
	for _, line := range t.why {
		fmt.Fprintln(t.out, line)
	}
	fmt.Fprintf(t.out, "%d passed, %d failed\n", t.passed, t.failed)
	return t.failed == 0 && t.passed > 0
}
