package layers

import (
	"go/ast"
	"slices"
)

// impure are the packages of the standard library that a stage must not touch, each with what to do instead.
var impure = map[string]string{
	"os": "no input or output in the core", "os/exec": "no input or output in the core", "os/signal": "no input or output in the core",
	"io/ioutil": "no input or output in the core", "syscall": "no input or output in the core",
	"net": "no network in the core", "net/http": "no network in the core", "crypto/tls": "no network in the core",
	"log": "the core returns facts and logs nothing", "log/slog": "the core returns facts and logs nothing",
	"math/rand": "no chance in the core: use a hash of the record", "math/rand/v2": "no chance in the core: use a hash of the record",
	"crypto/rand": "no chance in the core: use a hash of the record", "hash/maphash": "its seed differs from run to run: use hash/fnv",
	"runtime": "the core does not look at its process", "runtime/debug": "the core does not look at its process",
	"testing": "no tests in the core", "unsafe": "the core stays safe",
}

// allowed are exceptions by folder, each with its reason.
var allowed = map[string][]string{
	"ingest": {"hash/maphash"}, // the gate's table of series must not be crowded by a sender who knows its hash; no output shows it
}

// clocks are the functions that read a clock or wait for one.
var clocks = map[string][]string{
	"time":    {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"},
}

// pure reports whether the folder holds a root package or a stage.
func pure(dir string) bool {
	_, root := floors[dir]
	return root || slices.Contains(stages, dir)
}

// Purity finds clocks, goroutines, input, output and chance in the core.
func Purity(files []*File) []Breach {
	var out []Breach
	for _, f := range files {
		if f.Test || !pure(f.Dir) {
			continue
		}
		for _, i := range f.Imports {
			if why, ok := impure[i.Path]; ok && !slices.Contains(allowed[f.Dir], i.Path) {
				out = append(out, Breach{f.Path, i.Line, i.Path + ": " + why})
			}
			if i.Name == "." {
				out = append(out, Breach{f.Path, i.Line, "dot imports hide what is called"})
			}
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if b, ok := impureNode(f, n); ok {
				out = append(out, b)
			}
			return true
		})
	}
	return out
}

func impureNode(f *File, n ast.Node) (Breach, bool) {
	switch n := n.(type) {
	case *ast.GoStmt:
		return f.breach(n, "no goroutine in the core"), true
	case *ast.SelectorExpr:
		if p := f.imported(n.X); slices.Contains(clocks[p], n.Sel.Name) {
			return f.breach(n, "no clock in the core (%s.%s): time stands in the record", p, n.Sel.Name), true
		}
	case *ast.CallExpr:
		if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Go" && f.imported(s.X) == "" {
			return f.breach(n, "no goroutine in the core (a call of Go)"), true
		}
		if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
			return f.breach(n, "no input or output in the core"), true
		}
	}
	return Breach{}, false
}
