// Package yaml reads files of definitions, YAML or JSON, into documents with places.
//
// A file may hold several documents, separated by "---", and a document may be a list of definitions or a Kubernetes List. Each
// document stands for itself: a mistake in one does not hide those in the others. The reader is strict where YAML is treacherous:
//
//   - a key that stands twice is a mistake, and so is a key that is no string;
//   - numbers keep their digits (99.999 stays 99.999) and are decimal: 0x1F, 0o17, 017, 1_000, .5 and .inf are refused with what
//     to write instead;
//   - yes, no, on and off are strings, as YAML 1.2 has it; a field that wants a boolean refuses them by name;
//   - anchors, aliases and merge keys are understood and bounded, so that a small file cannot become a large one.
//
// Whether the fields are right is the business of the compilers in mesh; [mesh.Document.Decode] does it strictly.
package yaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"evenkeel.dev/mesh"
)

// Bounds of what is read, all far above what people write by hand.
const (
	MaxFile      = 8 << 20   // bytes of a file
	MaxDocument  = 192 << 10 // bytes of one document; the catalogue takes no larger definition
	MaxDocuments = 5000      // definitions in a file
	maxChunk     = 1 << 20   // bytes between two "---"; a list of definitions may stand there
	maxNodes     = 20_000    // values between two "---", or one for four bytes if that is more; aliases count as often as they are used
	maxProblems  = 100       // of one file; whoever has more will not read them at once
)

// Parse reads a file. What could be read is returned beside the problems of what could not. The file's name is only for the places.
func Parse(file string, b []byte) ([]mesh.Document, []mesh.Problem) {
	if len(b) > MaxFile {
		return nil, []mesh.Problem{{File: file, Line: 1, Column: 1, Message: fmt.Sprintf("the file has %d bytes; at most %d are read", len(b), MaxFile), Hint: "split it"}}
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if p, ok := notText(file, b); ok {
		return nil, []mesh.Problem{p}
	}
	r := reader{file: file}
	for _, c := range split(string(b)) {
		if len(r.problems) >= maxProblems || len(r.docs) >= MaxDocuments {
			r.problems = append(r.problems, mesh.Problem{File: file, Line: c.line, Column: 1, Message: "the rest of the file is not read", Hint: fmt.Sprintf("it has over %d definitions or over %d mistakes", MaxDocuments, maxProblems)})
			break
		}
		r.chunk(c)
	}
	return r.docs, r.problems
}

// ParseTree reads a file of one document that is no definition: it has no apiVersion, kind and name. Without problems the document is not nil.
func ParseTree(file string, b []byte) (*mesh.Document, []mesh.Problem) {
	if len(b) > maxChunk {
		return nil, []mesh.Problem{{File: file, Line: 1, Column: 1, Message: fmt.Sprintf("the file has %d bytes; at most %d are read", len(b), maxChunk), Hint: "split it"}}
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if p, ok := notText(file, b); ok {
		return nil, []mesh.Problem{p}
	}
	var d *mesh.Document
	r := reader{file: file}
	for _, c := range split(string(b)) {
		bd := builder{reader: &r, chunk: c, lines: strings.Split(c.text, "\n")}
		switch root, ok := bd.parse(); {
		case !ok || root.Kind == mesh.NodeNull:
		case d != nil:
			r.problem(root.Line, root.Column, "write a file for each", "the file has more than one document")
		default:
			d = &mesh.Document{File: file, Root: root, Source: c.text}
		}
	}
	if d == nil && len(r.problems) == 0 {
		r.problem(1, 1, "", "the file is empty")
	}
	return d, r.problems
}

// notText finds bytes that are no UTF-8.
func notText(file string, b []byte) (mesh.Problem, bool) {
	if utf8.Valid(b) {
		return mesh.Problem{}, false
	}
	line, column := 1, 1
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError && n == 1 {
			break
		}
		if column++; c == '\n' {
			line, column = line+1, 1
		}
		b = b[n:]
	}
	return mesh.Problem{File: file, Line: line, Column: column, Message: "this is not UTF-8 text", Hint: "save the file as UTF-8"}, true
}

// A chunk is the text of one YAML document and the line at which it begins.
type chunk struct {
	text string
	line int
}

// split cuts a file at its "---" lines, which YAML allows nowhere inside a document. The marker begins the chunk that it opens.
func split(s string) []chunk {
	var out []chunk
	begin, beginLine, line := 0, 1, 1
	for at := 0; at < len(s); line++ {
		end := strings.IndexByte(s[at:], '\n') + 1
		if end == 0 {
			end = len(s) - at
		}
		l := s[at : at+end]
		if at > begin && strings.HasPrefix(l, "---") && (len(strings.TrimRight(l[3:], "\r\n")) == 0 || l[3] == ' ' || l[3] == '\t') {
			out = append(out, chunk{s[begin:at], beginLine})
			begin, beginLine = at, line
		}
		at += end
	}
	return append(out, chunk{s[begin:], beginLine})
}

type reader struct {
	file     string
	docs     []mesh.Document
	problems []mesh.Problem
}

func (r *reader) problem(line, column int, hint, format string, args ...any) {
	r.problems = append(r.problems, mesh.Problem{File: r.file, Line: line, Column: column, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (r *reader) chunk(c chunk) {
	if len(c.text) > maxChunk {
		r.problem(c.line, 1, "split it", "the document has %d bytes; at most %d are read", len(c.text), maxChunk)
		return
	}
	b := builder{reader: r, chunk: c, lines: strings.Split(c.text, "\n")}
	top, ok := b.parse()
	if !ok || top.Kind == mesh.NodeNull {
		return
	}
	items, whole := listed(top)
	for i, root := range items {
		source := strings.TrimPrefix(strings.TrimPrefix(c.text, "---\r\n"), "---\n")
		if !whole {
			source = b.slice(items, i)
		}
		if len(source) > MaxDocument {
			r.problem(root.Line, root.Column, "", "the document has %d bytes; at most %d are read", len(source), MaxDocument)
			continue
		}
		d, ps := mesh.NewDocument(r.file, source, root)
		r.problems = append(r.problems, ps...)
		// One with a wrong name is returned beside the problem: the rest of it can be looked at, and references to it are no further mistakes.
		if d.APIVersion != "" && d.Kind != "" && d.Name != "" && len(r.docs) < MaxDocuments {
			r.docs = append(r.docs, d)
		}
	}
}

// parse reads the chunk; without ok a problem has been told. What is empty is null.
func (b *builder) parse() (*mesh.Node, bool) {
	if text := []byte(b.text); json.Valid(text) {
		root, err := mesh.ReadJSON(text)
		if err != nil {
			var ps mesh.Problems
			if !errors.As(err, &ps) {
				ps = mesh.Problems{{Line: 1, Column: 1, Message: err.Error()}}
			}
			b.problem(b.line+ps[0].Line-1, ps[0].Column, "", "%s", ps[0].Message)
			return nil, false
		}
		return root, true
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(b.text), &doc); err != nil {
		b.syntax(b.chunk, err)
		return nil, false
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return &mesh.Node{}, true // only comments
	}
	b.left = max(maxNodes, len(b.text)/4)
	root := b.node(doc.Content[0], 0)
	return root, !b.failed
}

// listed returns the definitions of a document: itself, the items of a list, or those of a Kubernetes List.
func listed(top *mesh.Node) (items []*mesh.Node, whole bool) {
	if top.Kind == mesh.NodeList {
		return top.Items, false
	}
	if kind, list := top.Get("kind"), top.Get("items"); kind != nil && kind.Text == "List" && list != nil && list.Kind == mesh.NodeList {
		return list.Items, false
	}
	return []*mesh.Node{top}, true
}

var errorLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?((?s:.*))$`)

// syntax reports what the YAML parser says, in the place of the file.
func (r *reader) syntax(c chunk, err error) {
	m := errorLine.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1])
	line = max(line, 1)
	lines := strings.Split(c.text, "\n")
	text := lines[min(line, len(lines))-1]
	// The parser sometimes counts one too many: a tab tells where it really is.
	hint := ""
	for i := max(line-2, 0); i < min(line+1, len(lines)); i++ {
		if l := lines[i]; strings.Contains(l[:len(l)-len(strings.TrimLeft(l, " \t"))], "\t") {
			line, text, hint = i+1, l, "indent with spaces, YAML allows no tabs"
			break
		}
	}
	if hint == "" {
		hint = syntaxHint(m[2])
	}
	column := len(text) - len(strings.TrimLeft(text, " ")) + 1
	r.problem(c.line+line-1, column, hint, "this is not valid YAML: %s", m[2])
}

func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "mapping values are not allowed"):
		return "a value that holds \": \" needs quotes; or the indentation is wrong, or a quote before is not closed"
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "could not find expected ':'"):
		return "look at the indentation and quotes here and in the line before"
	case strings.Contains(message, "did not find expected alphabetic or numeric character"):
		return "a value that begins with * or & needs quotes"
	case strings.Contains(message, "cannot start any token"):
		return "a value that begins with @, ` or % needs quotes"
	case strings.Contains(message, "unexpected end of stream"), strings.Contains(message, "end of stream"):
		return "a quote or bracket is not closed"
	}
	return ""
}
