package yaml

import (
	"bytes"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"evenkeel.dev/mesh"
)

// A builder turns the nodes of one chunk into those of mesh.
type builder struct {
	*reader
	chunk
	lines  []string
	left   int // values that may still come
	failed bool
}

func (b *builder) wrong(n *yaml.Node, hint, format string, args ...any) {
	b.failed = true
	if len(b.problems) < maxProblems {
		b.problem(b.line+n.Line-1, n.Column, hint, format, args...)
	}
}

func (b *builder) node(n *yaml.Node, depth int) *mesh.Node {
	out := &mesh.Node{Line: b.line + n.Line - 1, Column: n.Column}
	if b.left--; b.left < 0 {
		if b.left == -1 {
			b.wrong(n, "aliases count as often as they are used", "the document has over %d values", maxNodes)
		}
		return out
	}
	if depth > mesh.DepthMax {
		b.wrong(n, "", "the document nests deeper than %d", mesh.DepthMax)
		return out
	}
	switch n.Kind {
	case yaml.AliasNode:
		return b.node(n.Alias, depth+1)
	case yaml.MappingNode:
		out.Kind = mesh.NodeMap
		b.fields(n, out, depth)
	case yaml.SequenceNode:
		out.Kind = mesh.NodeList
		for _, c := range n.Content {
			if out.Items = append(out.Items, b.node(c, depth+1)); b.left < 0 {
				break
			}
		}
	default:
		b.scalar(n, out)
	}
	return out
}

func (b *builder) fields(n *yaml.Node, out *mesh.Node, depth int) {
	var merged []*yaml.Node
	at := map[string]int{}
	for i := 0; i+1 < len(n.Content) && b.left >= 0; i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		switch {
		case k.ShortTag() == "!!merge":
			merged = append(merged, v)
			continue
		case k.Kind != yaml.ScalarNode:
			b.wrong(k, "put it in quotes if it is meant so", "a key must be a string")
			continue
		case k.ShortTag() != "!!str":
			b.wrong(k, `write "`+k.Value+`"`, "the key %s is not a string", k.Value)
			continue
		case len(out.Fields) == mesh.KeysMax:
			b.wrong(k, "", "the map has over %d keys", mesh.KeysMax)
			return
		}
		if line, ok := at[k.Value]; ok {
			b.wrong(n.Content[i], "", "the key %q stands twice; it is at line %d already", k.Value, line)
			continue
		}
		at[k.Value] = b.line + k.Line - 1
		out.Fields = append(out.Fields, mesh.Field{Key: k.Value, Line: b.line + n.Content[i].Line - 1, Column: n.Content[i].Column, Value: b.node(v, depth+1)})
	}
	for _, m := range merged {
		b.merge(m, out, depth)
	}
}

// merge adds the fields of a merge key ("<<: *base") that the map does not have itself.
func (b *builder) merge(m *yaml.Node, out *mesh.Node, depth int) {
	n := b.node(m, depth+1)
	from := []*mesh.Node{n}
	if n.Kind == mesh.NodeList {
		from = n.Items
	}
	for _, f := range from {
		if f.Kind != mesh.NodeMap {
			if b.left >= 0 {
				b.wrong(m, "for example <<: *base", "a merge key takes a map or a list of maps")
			}
			return
		}
		for _, field := range f.Fields {
			if out.Get(field.Key) == nil && len(out.Fields) < mesh.KeysMax {
				out.Fields = append(out.Fields, field)
			}
		}
	}
}

var numberForm = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func (b *builder) scalar(n *yaml.Node, out *mesh.Node) {
	out.Kind, out.Text = mesh.NodeString, n.Value
	switch n.ShortTag() {
	case "!!null":
		out.Kind, out.Text = mesh.NodeNull, ""
	case "!!bool":
		out.Kind, out.Text = mesh.NodeBool, strings.ToLower(n.Value)
		if out.Text != "true" && out.Text != "false" {
			b.wrong(n, "", "%q is not a boolean", n.Value)
		}
	case "!!int", "!!float":
		out.Kind = mesh.NodeNumber
		if !numberForm.MatchString(n.Value) {
			b.wrong(n, numberHint(n.Value), "the number %s is not a plain decimal", n.Value)
		}
	case "!!str", "!!timestamp":
		b.locate(n, out)
	default:
		b.wrong(n, "leave the tag out", "the tag %s has no meaning here", n.Tag)
	}
}

func numberHint(s string) string {
	switch digits := strings.TrimLeft(strings.ReplaceAll(strings.TrimPrefix(s, "+"), "_", ""), "0"); {
	case strings.HasPrefix(digits, ".") && numberForm.MatchString("0"+digits):
		return "write 0" + digits + ", or put it in quotes if it is a text"
	case numberForm.MatchString(digits):
		return "write " + digits + ", or put it in quotes if it is a text"
	}
	return "write it in decimal digits, or put it in quotes if it is a text"
}

// locate finds out where a string's characters stand, so that a mistake inside it can be shown.
func (b *builder) locate(n *yaml.Node, out *mesh.Node) {
	if n.Line < 1 || n.Line > len(b.lines) {
		return
	}
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		if n.Line >= len(b.lines) {
			return
		}
		first, _, _ := strings.Cut(n.Value, "\n")
		below := strings.TrimSuffix(b.lines[n.Line], "\r")
		if first == "" || !strings.HasSuffix(below, first) || strings.Trim(below[:len(below)-len(first)], " ") != "" {
			return
		}
		out.TextLine, out.TextColumn = out.Line+1, len(below)-len(first)+1
		out.TextIndent = out.TextColumn
	case n.Style&yaml.FoldedStyle != 0 || strings.Contains(n.Value, "\n"):
	default:
		column := n.Column
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			column++
		}
		line := []rune(b.lines[n.Line-1])
		text := []rune(n.Value)
		if column-1+len(text) <= len(line) && string(line[column-1:column-1+len(text)]) == n.Value {
			out.TextLine, out.TextColumn = out.Line, column
		}
	}
}

// slice returns the text of one item of a list, its "- " removed and its indentation taken back. Where that text would not say the
// same by itself (JSON, flow style, an alias to another item), it returns the item in canonical JSON.
func (b *builder) slice(items []*mesh.Node, i int) string {
	n := items[i]
	begin, end, indent := n.Line-b.line, len(b.lines), n.Column-1
	if i+1 < len(items) {
		end = items[i+1].Line - b.line
	}
	var lines []string
	for j := begin; j < end && j < len(b.lines); j++ {
		l := b.lines[j]
		if j == begin || strings.TrimSpace(l[:min(indent, len(l))]) == "" {
			l = l[min(indent, len(l)):]
		}
		lines = append(lines, l)
	}
	text := strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
	canonical := n.AppendJSON(nil)
	alone := builder{reader: &reader{}, chunk: chunk{text, 1}, lines: strings.Split(text, "\n")}
	if root, ok := alone.parse(); ok && bytes.Equal(root.AppendJSON(nil), canonical) {
		return text
	}
	return string(canonical)
}
