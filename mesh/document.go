package mesh

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A NodeKind says what a [Node] is.
type NodeKind uint8

// Kinds of a node, those of JSON.
const (
	NodeNull NodeKind = iota
	NodeBool
	NodeNumber
	NodeString
	NodeList
	NodeMap
)

// String names the kind for people.
func (k NodeKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "a map"}[k]
}

// A Node is one value of a document with its place in the file. Numbers keep the text they were written in, so that no digit is
// lost.
type Node struct {
	Kind         NodeKind
	Text         string // of a scalar: "true", "99.9", "checkout"
	Line, Column int    // where the value begins; 0 where it is not known
	Fields       []Field
	Items        []*Node

	// TextLine and TextColumn are where the first character of Text stands, and TextIndent is the column at which its further
	// lines begin; 0 where the text in the file is not the same, character by character (escapes, folded lines).
	TextLine, TextColumn, TextIndent int
}

// A Field is one key of a map and its value.
type Field struct {
	Key          string
	Line, Column int
	Value        *Node
}

// Get returns the value of a key of a map, or nil.
func (n *Node) Get(key string) *Node {
	if f := n.field(key); f != nil {
		return f.Value
	}
	return nil
}

func (n *Node) field(key string) *Field {
	if n == nil {
		return nil
	}
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			return &n.Fields[i]
		}
	}
	return nil
}

// AppendJSON appends the node in canonical JSON: keys sorted, no white space, strings escaped as encoding/json does, so that a
// round trip through that package changes no byte.
func (n *Node) AppendJSON(b []byte) []byte {
	switch n.Kind {
	case NodeMap:
		fields := slices.SortedFunc(slices.Values(n.Fields), func(a, b Field) int { return strings.Compare(a.Key, b.Key) })
		b = append(b, '{')
		for i, f := range fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, f.Key), ':')
			b = f.Value.AppendJSON(b)
		}
		return append(b, '}')
	case NodeList:
		b = append(b, '[')
		for i, v := range n.Items {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.AppendJSON(b)
		}
		return append(b, ']')
	case NodeString:
		return appendJSONString(b, n.Text)
	case NodeNull:
		return append(b, "null"...)
	default:
		return append(b, n.Text...)
	}
}

func appendJSONString(b []byte, s string) []byte {
	q, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return append(b, q...)
}

// Metadata is what each kind of our own has under metadata.
type Metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// A Document is one definition as it was written: its fields with their places. mesh/yaml reads documents from files.
type Document struct {
	File       string
	APIVersion string
	Kind       string
	Namespace  string // metadata.namespace, "default" where none is given
	Name       string
	Root       *Node
	JSON       json.RawMessage // canonical
	Source     string          // the text of this one document
}

// NewDocument makes a document of a map. It refuses what has no apiVersion, kind or metadata.name, and names that are no DNS
// labels (RFC 1123). A plain document (see [KindPlain]) is named by what it has instead.
func NewDocument(file, source string, root *Node) (Document, []Problem) {
	d := Document{File: file, Root: root, Source: source, Namespace: "default"}
	if root.Kind != NodeMap {
		return d, []Problem{d.Problem("", "a document must be a map, found "+root.Kind.String(), "begin with apiVersion, kind, metadata and spec")}
	}
	if isPlain(root) {
		d.JSON = root.AppendJSON(nil)
		return d, d.plainHeader()
	}
	var ps []Problem
	text := func(path, hint string) string {
		n := d.Node(path)
		switch {
		case n == nil || n.Kind == NodeNull:
			ps = append(ps, d.Problem(path, path+" is missing", hint))
			return ""
		case n.Kind != NodeString:
			ps = append(ps, d.Problem(path, fmt.Sprintf("%s must be a string, found %s", path, n.Kind), quoteHint(n)))
			return ""
		}
		return n.Text
	}
	d.APIVersion = text("apiVersion", "for example apiVersion: openslo/v1")
	d.Kind = text("kind", "for example kind: SLO")
	d.Name = text("metadata.name", "each definition has a name")
	if n := d.Node("metadata.namespace"); n != nil {
		d.Namespace = text("metadata.namespace", "leave it out, or name a namespace")
	}
	for _, path := range []string{"metadata.name", "metadata.namespace"} {
		if n := d.Node(path); n != nil && n.Kind == NodeString {
			if hint := LabelHint(n.Text); hint != "" {
				ps = append(ps, d.Problem(path, fmt.Sprintf("%s %q is not a DNS label", path, n.Text), hint))
			}
		}
	}
	d.JSON = root.AppendJSON(nil)
	return d, ps
}

// Ref returns the name under which the catalogue keeps the document.
func (d *Document) Ref() Ref {
	return Ref{APIVersion: d.APIVersion, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name}
}

// Node returns the value at a path such as "spec.objectives[0].target", or nil. The empty path is the whole document. A key that
// holds other characters than letters, digits, "-" and "_" stands in brackets: "metadata.annotations[evenkeel.dev/url]".
func (d *Document) Node(path string) *Node {
	n, _ := d.find(path)
	return n
}

// Value returns the value at a path, or nil where there is none; null is none.
func (d *Document) Value(path string) *Node {
	if n := d.Node(path); n != nil && n.Kind != NodeNull {
		return n
	}
	return nil
}

// Holds reports whether a value of this kind stands at a path. One of another kind is told by [Document.Decode].
func (d *Document) Holds(path string, kind NodeKind) bool {
	n := d.Value(path)
	return n != nil && n.Kind == kind
}

// At returns where the value at path stands: a scalar where it begins, a map or a list at its key, and what is not there at the
// nearest thing around it.
func (d *Document) At(path string) (line, column int) {
	for p := path; ; p = parent(p) {
		n, f := d.find(p)
		switch {
		case n == nil && p != "":
			continue
		case n == nil:
			return 0, 0
		case f != nil && (n.Kind == NodeMap || n.Kind == NodeList || n.Kind == NodeNull || p != path):
			return f.Line, f.Column
		}
		return n.Line, n.Column
	}
}

// Key returns where the key at path stands, or At(path) where it has none.
func (d *Document) Key(path string) (line, column int) {
	if _, f := d.find(path); f != nil {
		return f.Line, f.Column
	}
	return d.At(path)
}

// Problem returns a problem at path.
func (d *Document) Problem(path, message, hint string) Problem {
	line, column := d.At(path)
	return Problem{File: d.File, Line: line, Column: column, Path: path, Message: message, Hint: hint}
}

// KeyProblem returns a problem with the name of a field and not with its value.
func (d *Document) KeyProblem(path, message, hint string) Problem {
	line, column := d.Key(path)
	return Problem{File: d.File, Line: line, Column: column, Path: path, Message: message, Hint: hint}
}

// TextProblem returns a problem inside the string at path: line and column count within the string, from 1. Where the string does
// not stand in the file as it is, the problem is at its beginning.
func (d *Document) TextProblem(path string, line, column int, message, hint string) Problem {
	p := d.Problem(path, message, hint)
	n := d.Node(path)
	switch {
	case n == nil || n.TextLine == 0 || line < 1 || column < 1:
	case line == 1:
		p.Line, p.Column = n.TextLine, n.TextColumn+column-1
	default:
		p.Line, p.Column = n.TextLine+line-1, n.TextIndent+column-1
	}
	return p
}

// find walks a path and returns the value and the field whose value it is, if it is one.
func (d *Document) find(path string) (*Node, *Field) {
	n, f := d.Root, (*Field)(nil)
	for path != "" && n != nil {
		var key string
		if path[0] == '[' {
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return nil, nil
			}
			key, path = path[1:end], strings.TrimPrefix(path[end+1:], ".")
			if i, err := strconv.Atoi(key); err == nil && n.Kind == NodeList {
				if i < 0 || i >= len(n.Items) {
					return nil, nil
				}
				n, f = n.Items[i], nil
				continue
			}
		} else {
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			key, path = path[:end], strings.TrimPrefix(path[end:], ".")
		}
		if f = n.field(key); f == nil {
			return nil, nil
		}
		n = f.Value
	}
	return n, f
}

// parent cuts the last step off a path.
func parent(path string) string {
	if strings.HasSuffix(path, "]") {
		return path[:strings.LastIndexByte(path, '[')]
	}
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// JoinPath appends a key to a path, in brackets where it needs them.
func JoinPath(path, key string) string {
	for i := range len(key) {
		c := key[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return path + "[" + strings.ReplaceAll(key, "]", "") + "]"
		}
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
