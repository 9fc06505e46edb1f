package scrape

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a file with targets in bytes; a target takes about 100.
const maxFile = 16 << 20

// A fileCache holds what each file said when it could last be read, so that one that is being written does not take its targets
// away. A file that is gone takes them along. Its size is bounded by the number of files that the patterns match.
type fileCache map[string]fileEntry

type fileEntry struct {
	groups []Group
	err    string // of the last reading, so that it is told once
}

// read returns the groups of all files that the pattern matches, in the order of their names. Only the reconciling goroutine calls it.
func (s *Scraper) read(pattern string) []Group {
	names, err := filepath.Glob(pattern)
	if err != nil {
		s.stats.badFiles.Add(1)
		s.config.Log.Error("pattern of files with targets", "pattern", pattern, "error", err)
		return nil
	}
	slices.Sort(names)
	var out []Group
	for _, name := range names {
		e := s.files[name]
		groups, err := readGroups(name)
		switch {
		case errors.Is(err, os.ErrNotExist): // gone since the pattern was matched
			delete(s.files, name)
			continue
		case err != nil:
			s.stats.badFiles.Add(1)
			if e.err != err.Error() {
				s.config.Log.Error("file with targets: what it said before stays", "file", name, "error", err)
			}
			e.err = err.Error()
		default:
			e = fileEntry{groups: groups}
		}
		s.files[name] = e
		out = append(out, e.groups...)
	}
	for name := range s.files {
		if matched, err := filepath.Match(pattern, name); err == nil && matched && !slices.Contains(names, name) {
			delete(s.files, name)
		}
	}
	return out
}

func readGroups(name string) ([]Group, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	var groups []Group
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		err = json.Unmarshal(text, &groups)
	case ".yml", ".yaml":
		err = yaml.Unmarshal(text, &groups)
	default:
		return nil, fmt.Errorf("%s: the name must end in .json, .yml or .yaml", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no list of target groups: %w", name, err)
	}
	return groups, nil
}
