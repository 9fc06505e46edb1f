package promtest

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/prometheus/prometheus/util/junitxml"
)

// Version is the version of the JSON form.
const Version = 1

// A Result is what came of one test.
type Result struct {
	File     string    `json:"file"`
	Name     string    `json:"name"`
	OK       bool      `json:"ok"`
	Failures []Failure `json:"failures"`
	Compared []Pair    `json:"compared,omitempty"`
	Notes    []string  `json:"notes,omitempty"` // what was left out of the comparison
}

// Results are those of one run.
type Results []Result

// Failed returns how many did not pass.
func (rs Results) Failed() int {
	n := 0
	for i := range rs {
		if !rs[i].OK {
			n++
		}
	}
	return n
}

// Text writes a line for each test, what was compared, and what failed as a difference: "-" is wanted, "+" is what came.
func (rs Results) Text(w io.Writer) error {
	var b strings.Builder
	for i := range rs {
		r := &rs[i]
		word := "ok  "
		if !r.OK {
			word = "FAIL"
		}
		fmt.Fprintf(&b, "%s  %s: %s\n", word, r.File, r.Name)
		r.compared(&b)
		for _, n := range r.Notes {
			fmt.Fprintf(&b, "      note: %s\n", n)
		}
		for k := range r.Failures {
			fmt.Fprintf(&b, "      %s\n", strings.ReplaceAll(r.Failures[k].String(), "\n", "\n      "))
		}
	}
	fmt.Fprintf(&b, "%d passed, %d failed\n", len(rs)-rs.Failed(), rs.Failed())
	_, err := io.WriteString(w, b.String())
	return err
}

// String writes a failure in several lines.
func (f *Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: at %s, %s", f.Place, f.At, f.Subject)
	for _, s := range f.Want {
		fmt.Fprintf(&b, "\n  - %s", s)
	}
	for _, s := range f.Got {
		fmt.Fprintf(&b, "\n  + %s", s)
	}
	return b.String()
}

// compared writes the alerts of both sides.
func (r *Result) compared(b *strings.Builder) {
	if r.Compared == nil {
		return
	}
	if len(r.Compared) == 0 {
		b.WriteString("      neither side alerted\n")
		return
	}
	rows := [][4]string{{"ALERT", "PROMETHEUS", "EVENKEEL", "DIFFERENCE"}}
	var width [3]int
	for i := range r.Compared {
		p := &r.Compared[i]
		d := strings.TrimSpace(p.deltas() + " " + p.Difference)
		if p.Accepted != "" {
			d += " (accepted: " + p.Accepted + ")"
		}
		rows = append(rows, [4]string{p.SLO + " " + p.Severity, p.Prometheus.String(), p.Evenkeel.String(), d})
	}
	for _, row := range rows {
		for i := range width {
			width[i] = max(width[i], len(row[i]))
		}
	}
	for _, row := range rows {
		fmt.Fprintf(b, "      %-*s  %-*s  %-*s  %s\n", width[0], row[0], width[1], row[1], width[2], row[2], row[3])
	}
}

// JSON writes all results, indented.
func (rs Results) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Version int     `json:"version"`
		OK      bool    `json:"ok"`
		Tests   Results `json:"tests"`
	}{Version, rs.Failed() == 0, rs})
}

// JUnit writes all results as JUnit XML, as promtool does: a suite for each file.
func (rs Results) JUnit(w io.Writer) error {
	x := &junitxml.JUnitXML{}
	var suite *junitxml.TestSuite
	for i := range rs {
		r := &rs[i]
		if suite == nil || suite.Name != r.File {
			suite = x.Suite(r.File)
		}
		c := suite.Case(r.Name)
		for k := range r.Failures {
			c.Fail(r.Failures[k].String())
		}
	}
	return x.WriteXML(w)
}
