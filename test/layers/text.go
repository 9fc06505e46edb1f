package layers

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"
)

// foreign are patterns of what has no place in the tree: paths of somebody's machine and hosts of package registries. They are put
// together here so that this file does not break its own law.
var foreign = []struct {
	pattern *regexp.Regexp
	law     string
}{
	{regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/(` + strings.Join([]string{"work", "root", "farm"}, "|") + `)/`), "a path of somebody's machine"},
	{regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/home/[a-z]`), "a path of somebody's machine"},
	{regexp.MustCompile(`/Users/[A-Za-z]`), "a path of somebody's machine"},
	{regexp.MustCompile(strings.Join([]string{`proxy\.` + `golang\.org`, `sum\.` + `golang\.org`, `registry\.` + `npmjs\.org`, `\bpypi\.` + `org`,
		`deb\.` + `debian\.org`, `\bregistry-1\.` + `docker\.io`, `index\.` + `docker\.io`}, "|")), "the host of a package registry"},
}

// Text finds machine paths and registry hosts in one text file.
func Text(name string, text []byte) []Breach {
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil
	}
	var out []Breach
	for n, line := range strings.Split(string(text), "\n") {
		for _, f := range foreign {
			if m := f.pattern.FindString(line); m != "" {
				out = append(out, Breach{File: name, Line: n + 1, Law: f.law + ": " + strings.TrimSpace(m)})
			}
		}
	}
	return out
}

// Texts finds them in the whole tree.
func Texts(root string) ([]Breach, error) {
	var out []Breach
	err := walk(root, func(name string, text []byte) error {
		out = append(out, Text(name, text)...)
		return nil
	})
	return out, err
}
