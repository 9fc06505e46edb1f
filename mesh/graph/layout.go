package graph

import (
	"cmp"
	"slices"
)

// Sizes of the drawing, in pixels.
const (
	nodeHeight = 52
	rowGap     = 22
	wireHeight = 14 // of a place where an edge passes a column
	columnGap  = 96 // and more where there are many edges
	bandGap    = 26 // between clusters
	bandHead   = 30 // for the cluster's name
	margin     = 24
	columnsMax = 7 // by the longest way; a graph with longer ones is laid by the shortest
)

// A spot is a node in its column, or a place where an edge passes one.
type spot struct {
	node   int // -1: an edge passes
	column int
	band   int
	x, y   float64 // of its left upper corner
	height float64
	near   []int // spots in the columns beside that it is joined to
	order  float64
}

// A band is the strip of one cluster.
type band struct {
	cluster     string
	top, bottom float64
	left, right float64
}

// A layout says where everything is. Columns go from callers to called ones; each cluster has a band of its own.
type layout struct {
	spots  []spot
	bands  []band
	routes [][]int // of edges: the spots from the caller to the called one
	nodeW  float64
	gap    float64 // between columns
	width  float64
	height float64
}

// lay puts nodes into columns and bands (Sugiyama's method: no cycles, columns by the longest way, then fewer crossings by the middle of the neighbours).
func (g *Graph) lay(nodeW float64) *layout {
	l := &layout{nodeW: nodeW, gap: min(columnGap+float64(len(g.Edges)), 2.5*columnGap)}
	columns := g.columns()
	for i := range g.Nodes {
		if i == 0 || g.Nodes[i-1].Cluster != g.Nodes[i].Cluster {
			l.bands = append(l.bands, band{cluster: g.Nodes[i].Cluster})
		}
		l.spots = append(l.spots, spot{node: i, column: columns[i], band: len(l.bands) - 1, height: nodeHeight})
	}
	for _, e := range g.Edges {
		l.route(e.From, e.To)
	}
	for i := range l.spots {
		l.spots[i].order = float64(i)
	}
	for round := range 12 {
		l.sweep(round%2 == 0)
	}
	l.place()
	return l
}

// columns returns the column of each node: beyond those of all its callers, but for calls that close a cycle.
func (g *Graph) columns() []int {
	out := make([][]int, len(g.Nodes))
	called := make([]bool, len(g.Nodes))
	for _, e := range g.Edges {
		if e.From != e.To {
			out[e.From] = append(out[e.From], e.To)
			called[e.To] = true
		}
	}
	const fresh, open, done = 0, 1, 2
	state := make([]int, len(g.Nodes))
	var last []int // nodes, the called ones first
	forward := make([][]int, len(g.Nodes))
	var visit func(i int)
	visit = func(i int) {
		state[i] = open
		for _, to := range out[i] {
			if state[to] == open {
				continue // it closes a cycle
			}
			forward[i] = append(forward[i], to)
			if state[to] == fresh {
				visit(to)
			}
		}
		state[i] = done
		last = append(last, i)
	}
	for _, roots := range []bool{true, false} {
		for i := range g.Nodes {
			if called[i] != roots && state[i] == fresh {
				visit(i)
			}
		}
	}
	columns := make([]int, len(g.Nodes))
	for k := len(last) - 1; k >= 0; k-- {
		for _, to := range forward[last[k]] {
			columns[to] = max(columns[to], columns[last[k]]+1)
		}
	}
	if len(columns) > 0 && slices.Max(columns) >= columnsMax {
		return nearest(out, called)
	}
	return columns
}

// nearest returns the least number of calls from who is called by nobody, for graphs that would be too wide the other way.
func nearest(out [][]int, called []bool) []int {
	columns := make([]int, len(out))
	known := make([]bool, len(out))
	for _, roots := range []bool{true, false} {
		for i := range out {
			if called[i] == roots || known[i] {
				continue
			}
			known[i] = true
			for queue := []int{i}; len(queue) > 0; queue = queue[1:] {
				for _, to := range out[queue[0]] {
					if !known[to] || roots && columns[to] > columns[queue[0]]+1 {
						known[to], columns[to] = true, columns[queue[0]]+1
						queue = append(queue, to)
					}
				}
			}
		}
	}
	return columns
}

// route makes the spots where an edge passes columns between its ends; they belong to the band of the end further right.
func (l *layout) route(from, to int) {
	way := []int{from}
	a, b := l.spots[from].column, l.spots[to].column
	step := cmp.Compare(b, a)
	band := l.spots[to].band
	if step < 0 {
		band = l.spots[from].band
	}
	for c := a + step; step != 0 && c != b; c += step {
		l.spots = append(l.spots, spot{node: -1, column: c, band: band, height: wireHeight})
		l.join(way[len(way)-1], len(l.spots)-1)
		way = append(way, len(l.spots)-1)
	}
	if step != 0 {
		l.join(way[len(way)-1], to)
	}
	l.routes = append(l.routes, append(way, to))
}

func (l *layout) join(a, b int) {
	l.spots[a].near = append(l.spots[a].near, b)
	l.spots[b].near = append(l.spots[b].near, a)
}

// cells returns the spots by column, then band, then order.
func (l *layout) cells() []int {
	all := make([]int, len(l.spots))
	for i := range all {
		all[i] = i
	}
	slices.SortFunc(all, func(a, b int) int {
		x, y := &l.spots[a], &l.spots[b]
		return cmp.Or(x.column-y.column, x.band-y.band, cmp.Compare(x.order, y.order), a-b)
	})
	return all
}

// sweep orders each column by the middle of the neighbours in the column before, or after.
func (l *layout) sweep(right bool) {
	all := l.cells()
	if !right {
		slices.Reverse(all)
	}
	for from := 0; from < len(all); {
		column := l.spots[all[from]].column
		to := from
		for to < len(all) && l.spots[all[to]].column == column {
			to++
		}
		part := slices.Clone(all[from:to])
		for _, i := range part {
			s := &l.spots[i]
			sum, n := 0.0, 0.0
			for _, k := range s.near {
				if (l.spots[k].column < column) == right {
					sum, n = sum+l.spots[k].order, n+1
				}
			}
			if n > 0 {
				s.order = sum / n
			}
		}
		slices.SortStableFunc(part, func(a, b int) int {
			x, y := &l.spots[a], &l.spots[b]
			return cmp.Or(x.band-y.band, cmp.Compare(x.order, y.order), a-b)
		})
		for k, i := range part {
			l.spots[i].order = float64(k) / float64(len(part)) * 1000
		}
		from = to
	}
}

// place turns columns, bands and orders into pixels. A column of a band is in the middle of its height.
func (l *layout) place() {
	heights := map[[2]int]float64{}
	for _, s := range l.spots {
		heights[[2]int{s.column, s.band}] += s.height + rowGap
	}
	top := float64(margin + 28)
	for b := range l.bands {
		tall := 0.0
		for k, h := range heights {
			if k[1] == b {
				tall = max(tall, h)
			}
		}
		l.bands[b].top, l.bands[b].bottom = top, top+bandHead+tall
		l.bands[b].left, l.bands[b].right = 1e9, 0
		top = l.bands[b].bottom + bandGap
	}
	l.height = top
	at := map[[2]int]float64{}
	for _, i := range l.cells() {
		s := &l.spots[i]
		k := [2]int{s.column, s.band}
		b := &l.bands[s.band]
		if _, ok := at[k]; !ok {
			at[k] = b.top + bandHead + (b.bottom-b.top-bandHead-heights[k]+rowGap/2)/2
		}
		s.x, s.y = margin+12+float64(s.column)*(l.nodeW+l.gap), at[k]
		at[k] += s.height + rowGap
		l.width = max(l.width, s.x+l.nodeW+margin+40)
		if s.node >= 0 {
			b.left, b.right = min(b.left, s.x-14), max(b.right, s.x+l.nodeW+14)
		}
	}
	for _, way := range l.routes { // a bow within a column needs room to its right
		if a, b := &l.spots[way[0]], &l.spots[way[len(way)-1]]; a.column == b.column {
			l.width = max(l.width, a.x+l.nodeW+l.gap)
		}
	}
}
