package yaml

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"evenkeel.dev/mesh"
)

// Format writes a document as people write YAML: block style, fields in the order of the node, quotes only where they are needed.
// [Parse] reads it as what it was.
func Format(root *mesh.Node) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(formatted(root)); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), nil
}

func formatted(n *mesh.Node) *yaml.Node {
	switch n.Kind {
	case mesh.NodeMap:
		out := &yaml.Node{Kind: yaml.MappingNode}
		for _, f := range n.Fields {
			out.Content = append(out.Content, formattedText(f.Key), formatted(f.Value))
		}
		if len(n.Fields) == 0 {
			out.Style = yaml.FlowStyle
		}
		return out
	case mesh.NodeList:
		out := &yaml.Node{Kind: yaml.SequenceNode}
		for _, v := range n.Items {
			out.Content = append(out.Content, formatted(v))
		}
		if len(n.Items) == 0 {
			out.Style = yaml.FlowStyle
		}
		return out
	case mesh.NodeString:
		return formattedText(n.Text)
	case mesh.NodeNull:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case mesh.NodeBool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: n.Text}
	default:
		tag := "!!int"
		if strings.ContainsAny(n.Text, ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: n.Text}
	}
}

// formattedText writes a string so that no reader of YAML takes it for something else: where its first line begins with white space or
// it holds signs that cannot be seen, in double quotes.
func formattedText(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	plain := strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' && r != '\n' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff
	}) < 0
	switch first, _, lines := strings.Cut(s, "\n"); {
	case !plain || lines && (first == "" || strings.Trim(first, " ") != first) || strings.HasSuffix(s, "\n\n"):
		n.Style = yaml.DoubleQuotedStyle
	case lines:
		n.Style = yaml.LiteralStyle
	case ambiguous(s):
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// ambiguous reports whether a text would read as something else than a string without quotes, in YAML 1.1 too.
func ambiguous(s string) bool {
	var v any
	if yaml.Unmarshal([]byte(s), &v) != nil {
		return true
	}
	if _, ok := v.(string); !ok {
		return true
	}
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off":
		return true
	}
	return false
}
