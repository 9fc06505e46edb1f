package report

import (
	_ "embed"
	"html/template"
	"io"
	"strings"

	"evenkeel.dev/slo"
)

//go:embed page.html.tmpl
var pageText string

//go:embed style.html.tmpl
var styleText string

// execute writes a page with the styles that all pages share.
func execute(w io.Writer, text string, funcs template.FuncMap, data any) error {
	t, err := template.New("page").Funcs(funcs).Parse(text)
	if err == nil {
		t, err = t.Parse(styleText)
	}
	if err != nil {
		return err
	}
	return t.Execute(w, data)
}

// page is what the template is given.
type page struct {
	Title, Source, Span string
	Report              *Report
	Pairs               []pagePair
}

type pagePair struct {
	Name  string
	Facts []fact
	Sides []pageSide
}

type pageSide struct {
	Run    string
	SLO    *SLO // nil where the run has no such SLO
	Budget chart
	Burn   chart
}

// HTML writes one page that needs no other file: styles and charts (SVG) stand in it, there is no script, and its own policy lets nothing
// be loaded. It follows the reader's choice of light or dark and prints well.
func (r *Report) HTML(w io.Writer) error {
	funcs := template.FuncMap{
		"clock": clock, "lasted": lasted, "burn": burnText, "percent": percentOf, "counts": func(c Counts) string { return c.text() },
		"last": func(m slo.Moment) string {
			if m == 0 {
				return "lasts"
			}
			return clock(m)
		},
	}
	p := page{Source: r.Source.Kind + " " + r.Source.Place + " (" + r.Source.protocolText() + ")", Span: r.span(), Report: r}
	var names []string
	for i := range r.Runs {
		names = append(names, r.Runs[i].Name)
	}
	p.Title = "Replay of " + strings.Join(names, " and ")
	for _, pair := range r.Pairs() {
		pp := pagePair{Name: pair.Name, Facts: pair.facts()}
		for side, s := range pair.Sides {
			ps := pageSide{Run: r.Runs[side].Name, SLO: s}
			if s != nil {
				ps.Budget, ps.Burn = r.budgetChart(s), r.burnChart(s)
			}
			pp.Sides = append(pp.Sides, ps)
		}
		p.Pairs = append(p.Pairs, pp)
	}
	return execute(w, pageText, funcs, p)
}
