package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/console"
)

// readFiles reads files, folders with the definitions below them, and "-" for the input.
func (c *cli) readFiles(paths []string) ([]console.File, error) {
	return c.readNamed(paths, app.DefinitionFile)
}

// readNamed reads files, of folders those whose names are wanted, and "-" for the input.
func (c *cli) readNamed(paths []string, wanted func(name string) bool) ([]console.File, error) {
	var files []console.File
	for _, p := range paths {
		if p == "-" {
			b, err := io.ReadAll(io.LimitReader(c.in, console.MaxDefinitionsBody+1))
			if err != nil {
				return nil, fmt.Errorf("read the input: %w", err)
			}
			files = append(files, console.File{Name: "stdin", Text: string(b)})
			continue
		}
		found, err := readPath(p, wanted)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	total := 0
	for _, f := range files {
		total += len(f.Text)
	}
	if total > console.MaxDefinitionsBody {
		return nil, fmt.Errorf("the files have more than %d bytes together", console.MaxDefinitionsBody)
	}
	return files, nil
}

// readPath reads a file, or the wanted files of a folder and those below it, in order.
func readPath(path string, wanted func(name string) bool) ([]console.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		b, err := os.ReadFile(path)
		return []console.File{{Name: path, Text: string(b)}}, err
	}
	var files []console.File
	err = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && p != path && strings.HasPrefix(e.Name(), ".") {
			return filepath.SkipDir
		}
		if e.IsDir() || !wanted(e.Name()) {
			return nil
		}
		b, err := os.ReadFile(p)
		files = append(files, console.File{Name: p, Text: string(b)})
		return err
	})
	if err == nil && len(files) == 0 {
		return nil, fmt.Errorf("folder %s holds no file of the kind: definitions are .yaml, .yml or .json, unit tests .test.yaml, .test.yml or .test.json", path)
	}
	return files, err
}
