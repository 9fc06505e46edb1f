// Package layers holds the laws that keep the house standing, as ordinary Go tests, so that nobody needs a linter to keep them:
//
//   - who may import whom (the table of ARCHITECTURE.md): a floor only what stands under it, a shell no other shell, a family of
//     third-party packages only where it is at home, nobody the tests;
//   - the core is pure: no clock, no goroutine, no input or output, no chance in a stage;
//   - files, functions and tests have the shape that CONTRIBUTING.md promises;
//   - nothing in the tree names a machine or a package registry.
//
// Each law is a function from parsed files to a list of [Breach]es, so that each has a test with a small bad file that it must find.
package layers

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Module is the path of the module whose tree the laws bind.
const Module = "evenkeel.dev"

// A File is one parsed Go file.
type File struct {
	Path    string // relative to the module's root, with slashes
	Dir     string // "" for the root
	Test    bool   // its name ends in _test.go
	Lines   int
	Imports []Import

	fset   *token.FileSet
	syntax *ast.File
}

// An Import is one import of a file.
type Import struct {
	Path string
	Name string // the name it has in the file; "_" and "." as written
	Line int
}

// A Breach is one place where a law is broken.
type Breach struct {
	File string
	Line int
	Law  string // what is broken, and what would be right
}

// String returns the breach as compilers print theirs.
func (b Breach) String() string { return fmt.Sprintf("%s:%d: %s", b.File, b.Line, b.Law) }

// Root returns the module's root: the nearest folder above the working directory with a go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = up
	}
}

// Load parses all Go files of the tree, without testdata and what is not kept in version control.
func Load(root string) ([]*File, error) {
	var files []*File
	err := walk(root, func(name string, text []byte) error {
		if path.Ext(name) != ".go" {
			return nil
		}
		f, err := Parse(name, text)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// walk calls visit for each regular file of the tree that is the project's own.
func walk(root string, visit func(name string, text []byte) error) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			switch d.Name() {
			case ".git", "testdata", "node_modules", "bin":
				return fs.SkipDir
			}
			if rel == "data" {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || rel == "evenkeel" {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return visit(rel, text)
	})
}

// Parse parses one file; name is its path from the module's root.
func Parse(name string, text []byte) (*File, error) {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	f := &File{Path: name, Dir: strings.TrimSuffix(path.Dir(name), "."), Test: strings.HasSuffix(name, "_test.go"),
		Lines: bytes.Count(text, []byte("\n")), fset: fset, syntax: syntax}
	for _, s := range syntax.Imports {
		p, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("parse %s: import %s: %w", name, s.Path.Value, err)
		}
		i := Import{Path: p, Name: importName(p), Line: fset.Position(s.Pos()).Line}
		if s.Name != nil {
			i.Name = s.Name.Name
		}
		f.Imports = append(f.Imports, i)
	}
	return f, nil
}

// importName is the usual name of a package: the last part of its path that is no major version.
func importName(p string) string {
	base := path.Base(p)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(p))
	}
	return base
}

func (f *File) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

func (f *File) breach(n ast.Node, format string, args ...any) Breach {
	return Breach{File: f.Path, Line: f.line(n), Law: fmt.Sprintf(format, args...)}
}

// imported returns the path of the package that a selector's left side names, or "".
func (f *File) imported(e ast.Expr) string {
	id, ok := e.(*ast.Ident)
	if !ok {
		return ""
	}
	for _, i := range f.Imports {
		if i.Name == id.Name {
			return i.Path
		}
	}
	return ""
}
