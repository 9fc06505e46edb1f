// Package graph draws who calls whom: as a tree of text, as an SVG of its own (no script, no font from elsewhere, for light and dark) and in the language
// of Graphviz. The same calls give the same bytes.
package graph

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evenkeel.dev/mesh/calls"
)

// A Node is a service in one cluster and namespace, or who stands for what is not known or not to be seen.
type Node struct {
	calls.EndView
	Called   bool // figures are there
	RPS      float64
	Requests uint64
	Failed   uint64
	P99Ms    float64 // 0: not known
	P99Above bool    // P99Ms is the greatest bound, and more than 1 % took longer
	State    string  // of its service level objectives: that of the worst; "" without one
}

// An Edge is calls from one node to another, by their places among the nodes.
type Edge struct {
	From, To int
	*calls.CallView
}

// A Graph is nodes by cluster, global namespace, namespace and name, and edges by their nodes.
type Graph struct {
	Title string
	Nodes []Node
	Edges []Edge
}

// New makes a graph of calls. State says how a service stands by its objectives, "" where it has none; it may be nil.
func New(title string, vs []calls.CallView, state func(gns, service string) string) *Graph {
	g := &Graph{Title: title}
	var ends []calls.EndView
	for i := range vs {
		ends = append(ends, vs[i].Source, vs[i].Destination)
	}
	order := func(a, b calls.EndView) int {
		return cmp.Or(strings.Compare(a.Cluster, b.Cluster), strings.Compare(a.GlobalNamespace, b.GlobalNamespace), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Service, b.Service), strings.Compare(a.Version, b.Version))
	}
	slices.SortFunc(ends, order)
	ends = slices.Compact(ends)
	at := map[calls.EndView]int{}
	for i, e := range ends {
		at[e] = i
		n := Node{EndView: e}
		if state != nil && !e.Other {
			n.State = state(e.GlobalNamespace, e.Service)
		}
		g.Nodes = append(g.Nodes, n)
	}
	for i := range vs {
		e := Edge{at[vs[i].Source], at[vs[i].Destination], &vs[i]}
		g.Edges = append(g.Edges, e)
		g.Nodes[e.To].take(&vs[i].Figures)
	}
	slices.SortStableFunc(g.Edges, func(a, b Edge) int { return cmp.Or(a.From-b.From, a.To-b.To) })
	return g
}

// Versions takes calls apart by the versions of both ends. A call whose versions are not to be seen stays one.
func Versions(vs []calls.CallView) []calls.CallView {
	var out []calls.CallView
	for _, v := range vs {
		if len(v.Versions) == 0 {
			out = append(out, v)
		}
		for _, pair := range v.Versions {
			part := v
			part.Figures, part.Versions = pair.Figures, nil
			part.Source.Version, part.Destination.Version = pair.Caller, pair.Name
			out = append(out, part)
		}
	}
	return out
}

// take adds what one caller had. The p99 of all is at most the greatest of each.
func (n *Node) take(f *calls.Figures) {
	n.Called = true
	n.RPS, n.Requests, n.Failed = n.RPS+f.RPS, n.Requests+f.Requests, n.Failed+f.Failed
	switch {
	case f.P99Above != nil:
		n.P99Ms, n.P99Above = max(n.P99Ms, *f.P99Above), true
	case f.P99Ms != nil:
		n.P99Ms = max(n.P99Ms, *f.P99Ms)
	}
}

// sum adds up the nodes of a cluster.
func (g *Graph) sum(cluster string) Node {
	var all Node
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.Cluster != cluster || !n.Called {
			continue
		}
		all.Called = true
		all.RPS, all.Requests, all.Failed = all.RPS+n.RPS, all.Requests+n.Requests, all.Failed+n.Failed
		all.P99Ms, all.P99Above = max(all.P99Ms, n.P99Ms), all.P99Above || n.P99Above
	}
	return all
}

// label is the node's name for people.
func (n *Node) label() string {
	switch {
	case n.Other:
		return "another global namespace"
	case n.Service == calls.Unknown:
		return "unknown"
	}
	return clean(join(" ", n.Service, n.Version))
}

// where says where the node is: its global namespace, cluster and namespace, as far as they are known.
func (n *Node) where() string {
	if n.Other {
		return ""
	}
	parts := []string{n.GlobalNamespace, n.Cluster, n.Namespace}
	return clean(strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "/"))
}

// figures are the node's golden signals.
func (n *Node) figures() string {
	if !n.Called {
		return ""
	}
	return join(" · ", rps(n.RPS), errorText(n.Failed, n.Requests), p99(n.P99Ms, n.P99Above))
}

func (e *Edge) latency() string {
	switch {
	case e.P99Above != nil:
		return p99(*e.P99Above, true)
	case e.P99Ms != nil:
		return p99(*e.P99Ms, false)
	}
	return ""
}

// security says how the calls are encrypted.
func (e *Edge) security() string {
	switch {
	case e.MutualTLSRatio == nil:
		return ""
	case e.Plaintext == 0:
		return "mTLS"
	case e.MutualTLS == 0:
		return "PLAINTEXT"
	}
	return fmt.Sprintf("mTLS %s %%, PLAINTEXT", short(100**e.MutualTLSRatio))
}

// versions says how the calls are shared out, where there is more than one version of the called service.
func (e *Edge) versions() string {
	if len(e.CallView.Versions) < 2 || e.Requests == 0 {
		return ""
	}
	count := map[string]uint64{}
	for _, v := range e.CallView.Versions {
		count[v.Name] += v.Requests
	}
	if len(count) < 2 {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%s %s %%", clean(cmp.Or(name, "unknown")), short(100*float64(count[name])/float64(e.Requests))))
	}
	return strings.Join(parts, ", ")
}

// failing reports whether one of a hundred calls or more fails.
func (e *Edge) failing() bool { return e.ErrorRatio != nil && *e.ErrorRatio >= 0.01 }

func rps(v float64) string { return short(v) + " rps" }

func errorText(failed, all uint64) string {
	if all == 0 {
		return ""
	}
	return short(100*float64(min(failed, all))/float64(all)) + " % err"
}

func p99(ms float64, above bool) string {
	sign := "≤"
	if above {
		sign = ">"
	}
	switch {
	case ms == 0:
		return ""
	case ms >= 1000:
		return fmt.Sprintf("p99 %s %s s", sign, short(ms/1000))
	}
	return fmt.Sprintf("p99 %s %s ms", sign, short(ms))
}

// short writes a number with three digits that count.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return short(v/1e6) + "M"
	case v >= 1e4:
		return short(v/1e3) + "k"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v > 0 && v < 0.01:
		return "<0.01"
	}
	text := fmt.Sprintf("%.2f", v)
	if v >= 10 {
		text = fmt.Sprintf("%.1f", v)
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func join(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}

// clean replaces control signs: names come from telemetry.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff {
			return '?'
		}
		return r
	}, s)
}
