package graph

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Text writes the graph as a tree: who is called by nobody stands on the left, and who is called below its caller. What was shown above is not shown again.
func (g *Graph) Text(w io.Writer) error {
	t := &tree{g: g, out: make([][]int, len(g.Nodes)), shown: make([]bool, len(g.Nodes)), path: make([]bool, len(g.Nodes))}
	called := make([]bool, len(g.Nodes))
	for i, e := range g.Edges {
		t.out[e.From] = append(t.out[e.From], i)
		called[e.To] = called[e.To] || e.From != e.To
	}
	for _, roots := range []bool{true, false} { // then who is left: cycles that nobody enters
		for i := range g.Nodes {
			if called[i] != roots && !t.shown[i] {
				t.root(i)
			}
		}
	}
	return t.write(w)
}

// A tree is text under way: lines of a name and what is known of it.
type tree struct {
	g     *Graph
	out   [][]int // edges by their caller
	shown []bool
	path  []bool // nodes between the root and here
	lines [][2]string
}

func (t *tree) root(i int) {
	n := &t.g.Nodes[i]
	t.lines = append(t.lines, [2]string{n.label(), join("  ", n.where(), n.figures(), n.State)})
	t.below(i, "")
}

// below adds who a node calls.
func (t *tree) below(i int, indent string) {
	t.shown[i], t.path[i] = true, true
	defer func() { t.path[i] = false }()
	for k, at := range t.out[i] {
		e := &t.g.Edges[at]
		branch, deeper := "├─ ", "│  "
		if k == len(t.out[i])-1 {
			branch, deeper = "└─ ", "   "
		}
		n := &t.g.Nodes[e.To]
		note := ""
		switch {
		case e.To == i:
			note = "(itself)"
		case t.path[e.To]:
			note = "(cycle)"
		case t.shown[e.To] && len(t.out[e.To]) > 0:
			note = "(shown above)"
		}
		t.lines = append(t.lines, [2]string{indent + branch + n.label(), join("  ", n.where(), join(" · ", rps(e.RPS), errorText(e.Failed, e.Requests), e.latency(), e.security()), e.versions(), n.State, note)})
		if note == "" {
			t.below(e.To, indent+deeper)
		}
	}
}

// write puts what is known of each into one column.
func (t *tree) write(w io.Writer) error {
	wide := 0
	for _, l := range t.lines {
		wide = max(wide, min(utf8.RuneCountInString(l[0]), 60))
	}
	var b strings.Builder
	if t.g.Title != "" {
		fmt.Fprintf(&b, "%s\n\n", t.g.Title)
	}
	for _, l := range t.lines {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s  %s", wide, l[0], l[1]), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Dot writes the graph in the language of Graphviz.
func (g *Graph) Dot(w io.Writer) error {
	var b strings.Builder
	b.WriteString("digraph calls {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n")
	fmt.Fprintf(&b, "  label=%s;\n", quoted(g.Title))
	box := 0
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if i == 0 || g.Nodes[i-1].Cluster != n.Cluster {
			if box > 0 {
				b.WriteString("  }\n")
			}
			box++
			fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=%s;\n", box, quoted(clean(n.Cluster)))
		}
		fmt.Fprintf(&b, "    n%d [label=%s];\n", i, quoted(join("\n", n.label(), n.where(), n.figures())))
	}
	if box > 0 {
		b.WriteString("  }\n")
	}
	for _, e := range g.Edges {
		style := ""
		if e.failing() {
			style += ", color=red"
		}
		if e.Plaintext > 0 {
			style += ", style=dashed"
		}
		fmt.Fprintf(&b, "  n%d -> n%d [label=%s%s];\n", e.From, e.To, quoted(rps(e.RPS)), style)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
