package report

import (
	_ "embed"
	"io"
	"math/big"
)

//go:embed period.html.tmpl
var periodText string

// periodPage is what the template is given.
type periodPage struct {
	Period   *Period
	Sub, Gap string
	When     string // the states are of
	Alerts   bool   // some are kept
	Services []pageService
}

type pageService struct {
	Name string
	SLOs []pageSLO
}

type pageSLO struct {
	Label, RollUp, Counts, Excluded, State, Objective, SLI, Change, Verdict, Class string
	Whole, Spent, Left, LeftShare, Coverage, Alerts, Worst                         string
	Over                                                                           bool
	Notes                                                                          []Note
	Width                                                                          int
	Bars                                                                           []bar
}

// A bar is a day in the small picture of an SLO.
type bar struct{ X, Y, Width, Height, Class, Text string }

// HTML writes one page that needs no other file, as that of a replay; it is laid out for A4, too.
func (p *Period) HTML(w io.Writer) error {
	page := periodPage{Period: p, Sub: p.sub(), Gap: percent(GapShare), Alerts: p.alertsKept(), When: p.when()}
	for i := range p.SLOs {
		s := &p.SLOs[i]
		name := s.GlobalNamespace + "/" + s.Service
		if n := len(page.Services); n == 0 || page.Services[n-1].Name != name {
			page.Services = append(page.Services, pageService{Name: name})
		}
		to := &page.Services[len(page.Services)-1]
		to.SLOs = append(to.SLOs, p.pageSLO(s))
	}
	return execute(w, periodText, nil, page)
}

func (p *Period) pageSLO(s *PeriodSLO) pageSLO {
	o := pageSLO{
		Label: s.Name, RollUp: s.RollUp, Counts: s.counts(), State: s.StateAtEnd, Objective: s.objective(), SLI: sharePercent(s.SLI, 4), Verdict: p.verdict(s.Verdict),
		LeftShare: s.left(), Coverage: percent(s.Coverage), Alerts: p.alertsText(s), Worst: s.worstText(), Notes: s.Notes, Width: max(1, len(s.Days)) * barStep,
	}
	o.Whole, o.Spent, o.Left = s.budget()
	o.Over = s.Budget != nil && s.Budget.Seconds.Remaining.Rat().Sign() < 0
	if c := s.change(); c != "-" {
		o.Change = c
	}
	if s.ExcludedSeconds > 0 {
		o.Excluded = secondsText(s.ExcludedSeconds)
	}
	o.Class = map[string]string{VerdictMet: "met", VerdictMissed: "bad"}[s.Verdict]
	o.Bars = s.bars()
	return o
}

// The plane of a small picture, in units of its view box.
const (
	barStep   = 6
	barWidth  = 4.5
	barFloor  = 32.0
	barHeight = 30.0
	barLeast  = 1.5 // of a day with bad events, however few
)

// bars draws the bad events of each day.
func (s *PeriodSLO) bars() []bar {
	most := 0.0
	for _, d := range s.Days {
		most = max(most, d.Total-d.Good)
	}
	out := make([]bar, 0, len(s.Days))
	for i, d := range s.Days {
		bad := max(0, d.Total-d.Good)
		b := bar{X: digits(float64(i) * barStep), Width: digits(barWidth), Class: "b0", Text: d.Date + ": " + number(d.Total-d.Good) + " bad of " + number(d.Total)}
		height := 0.0
		switch {
		case d.Total <= 0 && d.Covered == 0:
			b.Class, height, b.Text = "bn", barHeight/3, d.Date+": no data"
		case bad > 0:
			height = max(barLeast, barHeight*(bad/most))
		}
		if s.Objective != nil && d.Total > 0 && new(big.Rat).Quo(ratOf(d.Good), ratOf(d.Total)).Cmp(s.Objective.Rat()) < 0 {
			b.Class = "b1"
		}
		b.Y, b.Height = digits(barFloor-height), digits(height)
		out = append(out, b)
	}
	return out
}
