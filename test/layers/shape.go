package layers

import (
	"go/ast"
	"regexp"
	"strings"
)

// Bounds of a file and of a function, in lines.
const (
	MaxFileLines     = 500
	MaxFunctionLines = 70
)

// Shape finds files and functions that are too long, init functions, packages without an opening comment, tests that do not say
// what they guard, that are skipped, or that sleep.
func Shape(files []*File) []Breach {
	var out []Breach
	documented := map[string]bool{}
	first := map[string]*File{}
	for _, f := range files {
		if f.Lines > MaxFileLines {
			out = append(out, f.breach(f.syntax.Name, "%d lines; no file is over %d", f.Lines, MaxFileLines))
		}
		if !f.Test {
			if first[f.Dir] == nil {
				first[f.Dir] = f
			}
			documented[f.Dir] = documented[f.Dir] || f.syntax.Doc != nil
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				out = append(out, functionShape(f, fn)...)
			}
		}
		out = append(out, waits(f)...)
	}
	for dir, f := range first {
		if !documented[dir] {
			out = append(out, f.breach(f.syntax.Name, "package has no opening comment"))
		}
	}
	return out
}

func functionShape(f *File, fn *ast.FuncDecl) []Breach {
	var out []Breach
	if fn.Recv == nil && fn.Name.Name == "init" {
		out = append(out, f.breach(fn, "no init functions: wire it in cmd/evenkeel/app"))
	}
	if lines := f.fset.Position(fn.End()).Line - f.line(fn) + 1; lines > MaxFunctionLines && !f.Test {
		out = append(out, f.breach(fn, "function %s has %d lines; none is over %d", fn.Name.Name, lines, MaxFunctionLines))
	}
	if f.Test && isTest(fn) && !explained(f, fn) {
		out = append(out, f.breach(fn, "%s: the first comment line of a test says what would be broken for a user if it failed", fn.Name.Name))
	}
	return out
}

// isTest reports whether go test runs the function as a test or a fuzz target.
func isTest(fn *ast.FuncDecl) bool {
	n := fn.Name.Name
	return fn.Recv == nil && n != "TestMain" && (strings.HasPrefix(n, "Test") || strings.HasPrefix(n, "Fuzz")) && len(fn.Type.Params.List) == 1
}

// explained reports whether a test has a comment above it, or in its body before the first statement.
func explained(f *File, fn *ast.FuncDecl) bool {
	if fn.Doc != nil && strings.TrimSpace(fn.Doc.Text()) != "" {
		return true
	}
	if fn.Body == nil || len(fn.Body.List) == 0 {
		return false
	}
	for _, c := range f.syntax.Comments {
		if c.Pos() > fn.Body.Lbrace && c.End() < fn.Body.List[0].Pos() {
			return true
		}
	}
	return false
}

// waits finds tests that are skipped, and sleeps outside synctest bubbles.
func waits(f *File) []Breach {
	bubble := false
	for _, i := range f.Imports {
		bubble = bubble || i.Path == "testing/synctest"
	}
	var out []Breach
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		switch {
		case f.imported(s.X) == "time" && s.Sel.Name == "Sleep" && !bubble:
			out = append(out, f.breach(s, "no time.Sleep outside a synctest bubble: wait for what you wait for"))
		case f.Test && f.imported(s.X) == "" && skips.MatchString(s.Sel.Name) && isTestingValue(s.X):
			out = append(out, f.breach(s, "no skipped tests"))
		}
		return true
	})
	return out
}

var skips = regexp.MustCompile(`^Skip(f|Now)?$`)

// isTestingValue reports whether the expression is named as values of package testing are.
func isTestingValue(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && (id.Name == "t" || id.Name == "b" || id.Name == "f" || id.Name == "tb")
}
