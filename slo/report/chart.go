package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// The plane of a chart, in units of its view box.
const (
	chartWidth  = 720
	chartHeight = 190
	plotLeft    = 58
	plotRight   = chartWidth - 10
	plotTop     = 10
	plotBottom  = chartHeight - 24
)

// A chart is what the page draws as SVG. All coordinates are digits; texts are escaped by the template.
type chart struct {
	Title         string
	Width, Height int
	Left, Right   int
	Top, Bottom   int
	Bands         []band
	Grid          []tick // across, with a text at the left
	Times         []tick // up, with a text below
	Lines         []curve
	Factors       []tick // dashed, across, with a text at the right
	Empty         bool
}

type band struct {
	X, Width string
	Class    string // page, ticket or breach
	Text     string
}

type tick struct {
	At    string
	Text  string
	Class string
}

type curve struct {
	Name   string
	Class  string
	Parts  []string // points of polylines; a curve is interrupted where there are no events
	Single []string // "x,y" of points that stand alone, drawn as short lines
}

// A scale maps values to the plane.
type scale struct {
	from, to bus.Time
	low      float64
	high     float64
	log      bool
}

func (c scale) x(t bus.Time) float64 {
	span := max(1, c.to-c.from)
	return plotLeft + (plotRight-plotLeft)*float64(min(max(t, c.from), c.to)-c.from)/float64(span)
}

func (c scale) y(v float64) float64 {
	low, high := c.low, c.high
	if c.log {
		low, high, v = math.Log10(low), math.Log10(high), math.Log10(max(v, c.low))
	}
	v = min(max(v, low), high)
	return plotBottom - (plotBottom-plotTop)*(v-low)/(high-low)
}

func digits(v float64) string { return fmt.Sprintf("%.1f", v) }

// budgetChart draws what is left of the budget.
func (r *Report) budgetChart(s *SLO) chart {
	c := r.chart(s, "Error budget left")
	low := 0.0
	for i := range s.Points {
		if v := s.Points[i].RemainingRatio; v != nil {
			low = min(low, *v)
		}
	}
	sc := scale{from: r.From.Time(), to: r.end(s), low: -niceUp(-low), high: 1}
	step := niceUp((sc.high - sc.low) / 4)
	for v := math.Ceil(sc.low/step) * step; v <= sc.high+step/1000; v += step {
		class := ""
		if math.Abs(v) < step/1000 {
			v, class = 0, "zero"
		}
		c.Grid = append(c.Grid, tick{At: digits(sc.y(v)), Text: fmt.Sprintf("%.0f %%", 100*v), Class: class})
	}
	c.line(sc, s, "budget left", "line0", func(p *Point) *float64 { return p.RemainingRatio })
	c.finish(sc, r, s)
	return c
}

// burnFloor is the least burn rate that is drawn, on a logarithmic scale.
const burnFloor = 0.1

// burnChart draws the burn rates of the long windows, with the factors of their pairs.
func (r *Report) burnChart(s *SLO) chart {
	c := r.chart(s, "Burn rate")
	var longs []slo.Duration
	high := 10.0
	for _, t := range s.Tiers {
		for _, p := range t.Pairs {
			high = max(high, p.Factor.Float())
			if !slices.Contains(longs, p.Long) {
				longs = append(longs, p.Long)
			}
		}
	}
	slices.Sort(longs)
	rate := func(p *Point, w slo.Duration) *float64 {
		for i := range p.BurnRates {
			if p.BurnRates[i].Window == w {
				return p.BurnRates[i].Rate
			}
		}
		return nil
	}
	for i := range s.Points {
		for _, w := range longs {
			if v := rate(&s.Points[i], w); v != nil {
				high = max(high, *v)
			}
		}
	}
	sc := scale{from: r.From.Time(), to: r.end(s), low: burnFloor, high: math.Pow(10, math.Ceil(math.Log10(high)-1e-9)), log: true}
	decades := math.Ceil(math.Log10(sc.high/sc.low) / 6)
	for v := sc.low; v <= sc.high*1.001; v *= math.Pow(10, max(1, decades)) {
		c.Grid = append(c.Grid, tick{At: digits(sc.y(v)), Text: fmt.Sprintf("%g", math.Round(v*10)/10)})
	}
	for i, w := range longs {
		class := fmt.Sprintf("line%d", i%5)
		c.line(sc, s, w.String(), class, func(p *Point) *float64 { return rate(p, w) })
		for _, t := range s.Tiers {
			for _, p := range t.Pairs {
				if p.Long == w {
					c.Factors = append(c.Factors, tick{At: digits(sc.y(p.Factor.Float())), Text: fmt.Sprintf("%s %s/%s > %s", t.Name, p.Long, p.Short, p.Factor), Class: class})
				}
			}
		}
	}
	c.finish(sc, r, s)
	return c
}

func (r *Report) chart(s *SLO, title string) chart {
	return chart{Title: title + " of " + s.Name(), Width: chartWidth, Height: chartHeight, Left: plotLeft, Right: plotRight, Top: plotTop, Bottom: plotBottom, Empty: len(s.Points) == 0}
}

// end is the right edge: the end of the replay, and no earlier than the last point.
func (r *Report) end(s *SLO) bus.Time {
	end := r.Until.Time()
	if n := len(s.Points); n > 0 {
		end = max(end, s.Points[n-1].At.Time())
	}
	return end
}

func (c *chart) line(sc scale, s *SLO, name, class string, value func(*Point) *float64) {
	cv := curve{Name: name, Class: class}
	var part []string
	shut := func() {
		switch len(part) {
		case 0:
		case 1:
			cv.Single = append(cv.Single, part[0])
		default:
			cv.Parts = append(cv.Parts, strings.Join(part, " "))
		}
		part = nil
	}
	for i := range s.Points {
		v := value(&s.Points[i])
		if v == nil {
			shut()
			continue
		}
		part = append(part, digits(sc.x(s.Points[i].At.Time()))+","+digits(sc.y(*v)))
	}
	shut()
	c.Lines = append(c.Lines, cv)
}

// finish adds the bands of alerts and breaches, and the times.
func (c *chart) finish(sc scale, r *Report, s *SLO) {
	add := func(class, text string, from, to slo.Moment) {
		if to == 0 {
			to = slo.Moment(sc.to)
		}
		x := sc.x(from.Time())
		c.Bands = append(c.Bands, band{X: digits(x), Width: digits(max(1, sc.x(to.Time())-x)), Class: class, Text: text})
	}
	for _, b := range s.Breaches {
		if !b.Early {
			add("breach", "no budget from "+clock(b.From)+" to "+clock(b.To), b.From, b.To)
		}
	}
	for i := range s.Alerts {
		a := &s.Alerts[i]
		if a.Pair == nil {
			continue // about the budget, which is drawn, or about absent data; they may last for weeks and would hide the rest
		}
		class := "ticket"
		if a.Severity == slo.SeverityPage {
			class = "page"
		}
		add(class, a.Tier+" "+a.State+" from "+clock(a.StartsAt)+" to "+clock(a.EndsAt), a.StartsAt, a.EndsAt)
	}
	layout, span := "01-02 15:04", sc.to-sc.from
	switch {
	case span > 8*bus.Day:
		layout = "2006-01-02"
	case span < bus.Hour:
		layout = "15:04:05"
	}
	const parts = 5
	for i := range bus.Time(parts + 1) {
		t := sc.from + span*i/parts
		class := "middle"
		if i == parts {
			class = "end"
		}
		c.Times = append(c.Times, tick{At: digits(sc.x(t)), Text: t.Std().Format(layout), Class: class})
	}
}

// niceUp returns the least of 1, 2, 2.5 and 5 times a power of ten that is not below v; 0 of nothing.
func niceUp(v float64) float64 {
	if v <= 0 {
		return 0
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 2.5, 5, 10} {
		if f*p >= v*(1-1e-9) {
			return f * p
		}
	}
	return 10 * p
}
