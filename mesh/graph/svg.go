package graph

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"evenkeel.dev/mesh/calls"
)

const (
	nameMax   = 30 // signs of a node's name; the whole name is in its title
	labelsMax = 40 // edges whose rate is written beside them: the busiest, and those with errors
)

// style is for light; the rules in the middle of it are for dark.
const style = `text{font-family:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;font-size:11px;fill:#475569}
.bg{fill:#ffffff}.title{font-size:15px;font-weight:600;fill:#0f172a}.name{font-size:13px;font-weight:600;fill:#0f172a}.cluster{font-size:12px;font-weight:600}
.node{fill:#ffffff;stroke:#94a3b8;stroke-width:1.5}.ghost{stroke-dasharray:3 3}.edge{fill:none;stroke:#64748b;stroke-opacity:.65}.edge.few{stroke:#d97706}.edge.bad{stroke:#dc2626;stroke-opacity:.9}
.plain{stroke-dasharray:7 5}.tip{fill:#64748b}.tip.few{fill:#d97706}.tip.bad{fill:#dc2626}.rate{font-size:10px;paint-order:stroke;stroke:#ffffff;stroke-width:3px;stroke-linejoin:round}.rate.bad{fill:#b91c1c}
.good{stroke:#16a34a;stroke-width:3}.warn{stroke:#d97706;stroke-width:3}.viol{stroke:#dc2626;stroke-width:3}
@media(prefers-color-scheme:dark){text{fill:#a3b1c6}.bg{fill:#0b1220}.title,.name{fill:#f1f5f9}.node{fill:#172033;stroke:#64748b}.edge{stroke:#94a3b8}.tip{fill:#94a3b8}.rate{stroke:#0b1220}.rate.bad{fill:#fca5a5}.edge.bad{stroke:#f87171}.tip.bad{fill:#f87171}.edge.few,.warn{stroke:#f59e0b}.tip.few{fill:#f59e0b}.good{stroke:#22c55e}.viol{stroke:#f87171}}
`

// hues colour the clusters, one after the other.
var hues = [...]int{210, 150, 30, 280, 340, 90, 185, 250}

// SVG writes the graph as a picture.
func (g *Graph) SVG(w io.Writer) error {
	longest := 0
	for i := range g.Nodes {
		n := &g.Nodes[i]
		longest = max(longest, min(utf8.RuneCountInString(n.label()), nameMax)*8, utf8.RuneCountInString(n.figures())*6)
	}
	l := g.lay(float64(max(longest+24, 130)))
	d := &drawing{g: g, l: l}
	width := max(l.width, 760, float64(2*margin+9*utf8.RuneCountInString(g.Title)))
	d.f(`<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">`+"\n<title>%s</title>\n<style>%s</style>\n", width, l.height+margin, width, l.height+margin, esc(g.Title), style)
	d.f(`<rect class="bg" width="100%%" height="100%%"/>` + "\n")
	d.f(`<text class="title" x="%d" y="%d">%s</text>`+"\n", margin, margin+8, esc(g.Title))
	for i := range l.bands {
		d.band(i)
	}
	for i := range g.Edges {
		d.edge(i)
	}
	for i := range g.Nodes {
		d.node(i)
	}
	for _, i := range d.labelled() {
		d.rate(i)
	}
	d.f(`<text x="%d" y="%.0f">width: requests per second · red: 1 %% and more fail · orange: 0.1 %% and more · dashed: plaintext · ring: objectives (green healthy, orange warning, red violated)</text>`+"\n</svg>\n", margin, l.height+4)
	_, err := io.WriteString(w, d.b.String())
	return err
}

// A drawing is an SVG under way.
type drawing struct {
	g *Graph
	l *layout
	b strings.Builder

	rates [][2]float64 // where one was written
}

func (d *drawing) f(format string, args ...any) { fmt.Fprintf(&d.b, format, args...) }

// esc makes text fit for XML; lines stay lines.
func esc(s string) string {
	parts := strings.Split(s, "\n")
	for i := range parts {
		parts[i] = html.EscapeString(clean(parts[i]))
	}
	return strings.Join(parts, "&#10;")
}

// band draws the box of a cluster; what is in none has no box.
func (d *drawing) band(i int) {
	b := &d.l.bands[i]
	if b.cluster == "" {
		return
	}
	sum := d.g.sum(b.cluster)
	hue := hues[i%len(hues)]
	d.f(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="10" fill="hsl(%d 70%% 50%%)" fill-opacity=".09" stroke="hsl(%d 60%% 50%%)" stroke-opacity=".6"/>`+"\n", b.left, b.top, b.right-b.left, b.bottom-b.top, hue, hue)
	d.f(`<text class="cluster" x="%.1f" y="%.1f">%s</text>`+"\n", b.left+10, b.top+18, esc(cut(join("  ·  ", b.cluster, sum.figures()), int(b.right-b.left-20)/7)))
}

func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:max(n-1, 1)]) + "…"
}

func (d *drawing) node(i int) {
	n, s := &d.g.Nodes[i], &d.l.spots[i]
	class := "node"
	switch {
	case n.Other || n.Service == calls.Unknown:
		class += " ghost"
	case n.State == "HEALTHY":
		class += " good"
	case n.State == "VIOLATION":
		class += " viol"
	case n.State == "WARNING" || n.State == "EXHAUSTED":
		class += " warn"
	}
	d.f(`<g><title>%s</title><rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="7"/>`, esc(join("\n", n.label(), n.where(), n.figures(), n.State)), class, s.x, s.y, d.l.nodeW, nodeHeight)
	lines := [2]string{cut(n.where(), int(d.l.nodeW-20)/6), n.figures()}
	y := s.y + 17
	if join("", lines[0], lines[1]) == "" {
		y = s.y + 30
	}
	d.f(`<text class="name" x="%.1f" y="%.1f">%s</text>`, s.x+10, y, esc(cut(n.label(), nameMax)))
	for _, t := range lines {
		if t != "" {
			y += 14
			d.f(`<text x="%.1f" y="%.1f">%s</text>`, s.x+10, y, esc(t))
		}
	}
	d.f("</g>\n")
}

// thick is how wide an edge is drawn.
func (d *drawing) thick(e *Edge) float64 {
	most := 0.0
	for i := range d.g.Edges {
		most = max(most, d.g.Edges[i].RPS)
	}
	if most == 0 {
		return 1
	}
	thickest := 4 / (1 + float64(len(d.g.Edges))/80)
	return 1 + thickest*math.Sqrt(e.RPS/most)
}

// edge draws an edge as curves from spot to spot, with a tip.
func (d *drawing) edge(i int) {
	e := &d.g.Edges[i]
	class := ""
	if e.failing() {
		class = " bad"
	} else if e.ErrorRatio != nil && *e.ErrorRatio >= 0.001 {
		class = " few"
	}
	line := class
	if e.Plaintext > 0 {
		line += " plain"
	}
	path, x, y, dir := d.path(i)
	title := join("\n", d.g.Nodes[e.From].label()+" → "+d.g.Nodes[e.To].label(), rps(e.RPS), errorText(e.Failed, e.Requests), e.latency(), e.security(), e.versions())
	d.f(`<g><title>%s</title><path class="edge%s" stroke-width="%.1f" d="%s"/>`, esc(title), line, d.thick(e), path)
	d.f(`<path class="tip%s" d="M%.1f %.1f l%.1f -4.5 v9 z"/></g>`+"\n", class, x, y, -dir*9)
}

// ends of edges are spread over the side of a node, by where they come from.
func (d *drawing) port(node, edge int, right bool) float64 {
	type end struct {
		y float64
		i int
	}
	var all []end
	for i, way := range d.l.routes {
		from, to := way[0], way[len(way)-1]
		if from == to {
			continue
		}
		forward := d.l.spots[to].column > d.l.spots[from].column
		same := d.l.spots[to].column == d.l.spots[from].column
		switch {
		case from == node && (forward || same) == right:
			all = append(all, end{d.l.spots[way[1]].y, i})
		case to == node && (!forward) == right:
			all = append(all, end{d.l.spots[way[len(way)-2]].y, i})
		}
	}
	slices.SortFunc(all, func(a, b end) int { return cmp.Or(cmp.Compare(a.y, b.y), a.i-b.i) })
	at := slices.IndexFunc(all, func(e end) bool { return e.i == edge })
	gap := min(8, (nodeHeight-16)/float64(max(len(all)-1, 1)))
	return d.l.spots[node].y + nodeHeight/2 + (float64(at)-float64(len(all)-1)/2)*gap
}

// path returns the way of an edge, where its tip is and which way that points.
func (d *drawing) path(i int) (path string, x, y, dir float64) {
	way := d.l.routes[i]
	from, to := way[0], way[len(way)-1]
	a, b := &d.l.spots[from], &d.l.spots[to]
	w := d.l.nodeW
	if from == to { // a loop at the right upper corner
		x, y = a.x+w, a.y+14
		return fmt.Sprintf("M%.1f %.1f C%.1f %.1f %.1f %.1f %.1f %.1f", x-26, a.y, x-26, a.y-24, x+30, y-4, x+9, y), x, y, -1
	}
	if a.column == b.column { // a bow to the right
		y1, y2 := d.port(from, i, true), d.port(to, i, true)
		x, bow := a.x+w, 24+math.Abs(y2-y1)/8
		bow = min(bow, d.l.gap-18)
		return fmt.Sprintf("M%.1f %.1f C%.1f %.1f %.1f %.1f %.1f %.1f", x, y1, x+bow, y1, x+bow, y2, x+9, y2), x, y2, -1
	}
	dir = 1
	if b.column < a.column {
		dir = -1
	}
	right := dir > 0
	px, py := a.x, d.port(from, i, right)
	if right {
		px += w
	}
	path = fmt.Sprintf("M%.1f %.1f", px, py)
	to2 := func(x, y float64) {
		c := d.l.gap / 2 * dir
		path += fmt.Sprintf(" C%.1f %.1f %.1f %.1f %.1f %.1f", px+c, py, x-c, y, x, y)
		px, py = x, y
	}
	for _, k := range way[1 : len(way)-1] {
		s := &d.l.spots[k]
		first, last := s.x, s.x+w
		if !right {
			first, last = last, first
		}
		to2(first, s.y+wireHeight/2)
		path += fmt.Sprintf(" H%.1f", last)
		px = last
	}
	x, y = b.x, d.port(to, i, !right)
	if !right {
		x += w
	}
	to2(x-dir*9, y)
	return path, x, y, dir
}

// labelled returns the edges whose rate is written.
func (d *drawing) labelled() []int {
	all := make([]int, len(d.g.Edges))
	for i := range all {
		all[i] = i
	}
	slices.SortStableFunc(all, func(a, b int) int {
		x, y := &d.g.Edges[a], &d.g.Edges[b]
		if x.failing() != y.failing() {
			if x.failing() {
				return -1
			}
			return 1
		}
		return cmp.Compare(y.RPS, x.RPS)
	})
	return all[:min(len(all), labelsMax)]
}

// rate writes how many requests an edge has, beside its end, unless there is another number in its place.
func (d *drawing) rate(i int) {
	e := &d.g.Edges[i]
	_, x, y, dir := d.path(i)
	for _, p := range d.rates {
		if math.Abs(p[0]-x) < 20 && math.Abs(p[1]-y) < 9 {
			return
		}
	}
	d.rates = append(d.rates, [2]float64{x, y})
	class, anchor := "rate", "end"
	if e.failing() {
		class += " bad"
	}
	if dir < 0 {
		anchor = "start"
	}
	d.f(`<text class="%s" text-anchor="%s" x="%.1f" y="%.1f">%s</text>`+"\n", class, anchor, x-dir*12, y+3.5, esc(short(e.RPS)))
}
