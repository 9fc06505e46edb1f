package mesh

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one mistake in a file: where it is, what it is, and what would be right.
type Problem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`   // from 1; 0 where it is not known
	Column  int    `json:"column,omitempty"` // from 1, in characters
	Path    string `json:"path,omitempty"`   // of the field, for example "spec.objectives[0].target"
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what would be right

	// Warning says that it is no mistake: the definition is taken, and does not do what it seems to.
	Warning bool `json:"warning,omitempty"`
}

// Mistakes parts problems into those with which nothing is taken, and warnings.
func Mistakes(ps []Problem) (mistakes, warnings []Problem) {
	for _, p := range ps {
		if p.Warning {
			warnings = append(warnings, p)
		} else {
			mistakes = append(mistakes, p)
		}
	}
	return mistakes, warnings
}

// String returns "file:line:col: message (hint)", as editors and CI systems read it.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		b.WriteByte(':')
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		fmt.Fprintf(&b, " (%s)", p.Hint)
	}
	return b.String()
}

// Problems are an error when there are any.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i := range ps {
		lines[i] = ps[i].String()
	}
	return strings.Join(lines, "\n")
}

// SortProblems orders by file, line, column and message and drops what stands there twice.
func SortProblems(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		if a.Column != b.Column {
			return a.Column - b.Column
		}
		return strings.Compare(a.Message, b.Message)
	})
	return slices.Compact(ps)
}

// Nearest returns the candidate that a misspelled name most likely meant, or "" when none is near: at most a third of its letters
// (and at least two) may be inserted, deleted or replaced (Levenshtein), the case of letters being free.
func Nearest(name string, candidates []string) string {
	best, distance := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if d := levenshtein(strings.ToLower(name), strings.ToLower(c)); d < distance && d < len(c) {
			best, distance = c, d
		}
	}
	return best
}

// didYouMean is the hint for an unknown name.
func didYouMean(name string, candidates []string) string {
	if n := Nearest(name, candidates); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	if len(candidates) == 0 || len(candidates) > 12 {
		return ""
	}
	return "known: " + strings.Join(candidates, ", ")
}

// nameMax bounds the work of one comparison.
const nameMax = 128

func levenshtein(a, b string) int {
	if len(a) > nameMax || len(b) > nameMax {
		return nameMax
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// Advice returns what an error says and, where it has the methods Reason and Hint, what would be right.
func Advice(err error) (message, hint string) {
	var advised interface {
		error
		Reason() string
		Hint() string
	}
	if errors.As(err, &advised) {
		return advised.Reason(), advised.Hint()
	}
	return err.Error(), ""
}

// QueryProblem returns a problem with the string at path, by the error of what reads it: see [Advice]. Where the error has the method
// Position, which counts within the string, and the string does not stand in the file as it is, the message says the place.
func (d *Document) QueryProblem(path string, err error) Problem {
	message, hint := Advice(err)
	var placed interface {
		error
		Position() (line, column int)
	}
	line, column := 0, 0
	if errors.As(err, &placed) {
		line, column = placed.Position()
		if n := d.Node(path); (n == nil || n.TextLine == 0) && (line > 1 || column > 1) {
			message = fmt.Sprintf("%s, at %d:%d of the query", message, line, column)
		}
	}
	return d.TextProblem(path, line, column, message, hint)
}

// UnknownValue returns a problem with a string at path that is none of those that there are.
func (d *Document) UnknownValue(path, value string, known []string) Problem {
	name := path[strings.LastIndexByte(path, '.')+1:]
	hint := "one of " + strings.Join(known, ", ")
	if n := Nearest(value, known); n != "" {
		hint = fmt.Sprintf("did you mean %q?", n)
	}
	return d.Problem(path, fmt.Sprintf("unknown %s %q", name, shorten(value)), hint)
}

// Misspelled reports whether one of the problems told so far is a wrong spelling of the field at path: then that it is missing need not
// be told.
func (d *Document) Misspelled(path string, told []Problem) bool {
	dot := strings.LastIndexByte(path, '.')
	around, name := path[:max(dot, 0)], path[dot+1:]
	if strings.HasSuffix(path, "]") {
		open := strings.LastIndexByte(path, '[')
		around, name = path[:open], path[open+1:len(path)-1]
	}
	return slices.ContainsFunc(told, func(p Problem) bool {
		return p.File == d.File && strings.HasPrefix(p.Path, around) && strings.HasPrefix(p.Message, "unknown ") && strings.Contains(p.Hint, fmt.Sprintf("did you mean %q", name))
	})
}
