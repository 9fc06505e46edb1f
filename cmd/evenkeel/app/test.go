package app

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/console"
	"evenkeel.dev/ingest/history"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/notify"
	"evenkeel.dev/slo/promtest"
	"evenkeel.dev/slo/rules"
)

// A TestConfig is one file of unit tests.
type TestConfig struct {
	File console.File
	// Read reads files that it names, which are relative to it.
	Read func(paths []string) ([]console.File, error)
	// Run, if set, selects tests by their names.
	Run *regexp.Regexp
}

// Test runs the unit tests of a file: the gate and the slo stage of a running engine over its series, and Prometheus' rules beside them.
// Problems are mistakes in the file, or in what it names; then nothing was run.
func Test(ctx context.Context, c TestConfig) (promtest.Results, []mesh.Problem, error) {
	d, problems := yaml.ParseTree(c.File.Name, []byte(c.File.Text))
	if len(problems) > 0 {
		return nil, problems, nil
	}
	f, problems := promtest.Parse(d)
	if len(problems) > 0 {
		return nil, problems, nil
	}
	s := &testSuite{file: f, rules: &rules.Set{}}
	if problems, err := s.load(c.Read); len(problems) > 0 || err != nil {
		return nil, problems, err
	}
	var out promtest.Results
	for i := range f.Tests {
		if t := &f.Tests[i]; c.Run == nil || c.Run.MatchString(t.Name) {
			r, err := s.test(ctx, t)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %s: %w", f.Name, t.Name, err)
			}
			out = append(out, r)
		}
	}
	return out, nil, nil
}

// A testSuite is a file of tests with what it names.
type testSuite struct {
	file  *promtest.File
	set   ReplayDefinitions
	rules *rules.Set
	known []promtest.Known // SLOs
}

// load reads definitions and rules, and holds the names of alerts against them.
func (s *testSuite) load(read func([]string) ([]console.File, error)) ([]mesh.Problem, error) {
	files, err := read(s.file.SLOFiles)
	if err != nil {
		return nil, fmt.Errorf("%s: slo_files: %w", s.file.Name, err)
	}
	set, problems, err := ReplayFiles(strings.Join(s.file.SLOFiles, " "), files)
	if err != nil {
		return nil, err
	}
	s.set = set
	if files, err = read(s.file.RuleFiles); err != nil {
		return nil, fmt.Errorf("%s: rule_files: %w", s.file.Name, err)
	}
	for _, f := range files {
		for _, err := range s.rules.Parse([]byte(f.Text)) {
			problems = append(problems, mesh.Problem{File: f.Name, Message: err.Error()})
		}
	}
	if len(problems) > 0 {
		return problems, nil
	}
	alerts, composites, err := s.names()
	return s.file.Names(s.rules.Alerts(), alerts, composites), err
}

// names returns the names that the alerts of SLOs have at an Alertmanager, and those of composites, and notes all SLOs.
func (s *testSuite) names() (alerts, composites []string, err error) {
	os, err := Objectives(s.set)
	for i := range os {
		o := &os[i]
		s.known = append(s.known, promtest.Known{Namespace: o.GlobalNamespace, Service: o.Service, Name: o.Name, DisplayName: o.DisplayName})
		if o.Composite != nil {
			composites = append(composites, promtest.SLOName(o.GlobalNamespace, o.Service, o.Name))
			continue
		}
		for _, t := range o.Tiers() {
			if ls, _ := notify.Words(slo.AlertEvent{Tier: t.Name}); !slices.Contains(alerts, ls["alertname"]) {
				alerts = append(alerts, ls["alertname"])
			}
		}
	}
	return alerts, composites, err
}

// test runs one test, and of both sides what it asks for. What cannot be carried out fails it; an error is returned when ctx is done.
func (s *testSuite) test(ctx context.Context, t *promtest.Test) (promtest.Result, error) {
	r := promtest.Result{File: s.file.Name, Name: t.Name, Failures: []promtest.Failure{}}
	o := promtest.NewOutcome()
	ofRules := func(c promtest.AlertCase) bool { return slices.Contains(s.rules.Alerts(), c.Name) }
	ofSLOs := func(c promtest.AlertCase) bool { return !ofRules(c) }
	var err error
	if t.Compare != nil || len(t.SLOs) > 0 || slices.ContainsFunc(t.Alerts, ofSLOs) {
		if err = s.evenkeel(ctx, t, o); err != nil {
			r.Failures = append(r.Failures, t.Broken("the SLOs cannot be run", err))
		}
	}
	if err == nil && (t.Compare != nil || len(t.Exprs) > 0 || slices.ContainsFunc(t.Alerts, ofRules)) {
		if r.Notes, err = s.prometheus(ctx, t, o); err != nil {
			r.Failures = append(r.Failures, t.Broken("the rules cannot be run", err))
		}
	}
	if err == nil {
		r.Failures = append(r.Failures, t.Check(o, s.rules.Alerts(), s.file.Fuzzy)...)
		if t.Compare != nil {
			var failures []promtest.Failure
			r.Compared, failures = t.Compare.Match(o)
			r.Failures = append(r.Failures, failures...)
		}
	}
	r.OK = len(r.Failures) == 0
	return r, ctx.Err()
}

// lookWithin is how long after a moment the engine has counted all of it: the lateness and its own rounding where samples still come, and
// where they do not, what it knew by then.
const lookWithin = 15 * bus.Second

// A look is a moment at which a partition is asked what it knows.
type look struct {
	at   bus.Time
	done []bool // by place of the partition
}

// evenkeel runs the engine's own gate and stage over the series.
func (s *testSuite) evenkeel(ctx context.Context, t *promtest.Test, o *promtest.Outcome) error {
	end := t.Start + t.End + lookWithin
	r, err := newReplay(ReplayConfig{Definitions: []ReplayDefinitions{s.set}, Source: history.NewMemory(s.file.Name, t.Series), From: t.Start, Until: end, Step: end})
	if err != nil {
		return err
	}
	l := r.lanes[0]
	log := &alertLog{}
	l.alert = log.take
	var looks []look
	for i := range t.SLOs {
		looks = append(looks, look{t.SLOs[i].At, make([]bool, len(l.stages))})
	}
	slices.SortFunc(looks, func(a, b look) int { return int(a.at - b.at) })
	looks = slices.CompactFunc(looks, func(a, b look) bool { return a.at == b.at })
	r.ticked = func(now bus.Time) { lookAt(l, looks, t.Start, now, o) }
	if err := r.read(ctx); err != nil {
		return err
	}
	if err := r.tickBefore(end + 1); err != nil {
		return err
	}
	for i := range t.Alerts {
		o.FiringSLO[t.Alerts[i].At] = log.firing(t.Start + t.Alerts[i].At)
	}
	if t.Compare != nil {
		o.Evenkeel = log.episodes(t.Start, t.Compare.Until)
	}
	return nil
}

// lookAt asks each partition that has counted a moment in full, and nothing after it.
func lookAt(l *lane, looks []look, start, now bus.Time, o *promtest.Outcome) {
	for i := range looks {
		at := start + looks[i].at
		for k := range l.stages {
			if now <= at || looks[i].done[k] {
				continue
			}
			statuses, asOf := l.stages[k].stage.(*slo.Stage).Statuses()
			if asOf.Time() > at || now >= at+lookWithin {
				looks[i].done[k] = true
				o.Statuses[looks[i].at] = append(o.Statuses[looks[i].at], statuses...)
			}
		}
	}
}

// An alertLog holds all alerts of SLOs that fired.
type alertLog struct{ fired []firedAlert }

type firedAlert struct {
	event    slo.AlertEvent // as it fired
	from, to bus.Time       // to is 0 while it lasts
}

func (g *alertLog) take(e *slo.AlertEvent) {
	switch e.State {
	case slo.AlertFiring:
		g.fired = append(g.fired, firedAlert{event: *e, from: momentOf(e.StartsAt)})
	case slo.AlertResolved:
		for i := range g.fired {
			if f := &g.fired[i]; f.event.ID == e.ID && f.event.Tier == e.Tier {
				f.to = momentOf(e.EndsAt)
			}
		}
	}
}

// momentOf reads a time that an alert event has written.
func momentOf(text string) bus.Time {
	var m slo.Moment
	_ = m.UnmarshalText([]byte(text)) // the stage has written it
	return m.Time()
}

// firing returns what fired once a moment was counted in full.
func (g *alertLog) firing(at bus.Time) []promtest.Alert {
	at += bus.Second
	var out []promtest.Alert
	for i := range g.fired {
		if f := &g.fired[i]; f.from <= at && (f.to == 0 || f.to > at) {
			ls, as := notify.Words(f.event)
			out = append(out, promtest.Alert{Labels: ls, Annotations: as})
		}
	}
	return out
}

func (g *alertLog) episodes(start, until bus.Time) []promtest.Episode {
	var out []promtest.Episode
	for i := range g.fired {
		f := &g.fired[i]
		out = appendEpisode(out, promtest.SLOName(f.event.GlobalNamespace, f.event.Service, f.event.SLO), f.event.Severity, f.from-start, f.to-start, until)
	}
	return out
}

// appendEpisode adds what fired before until; to is below from where it lasts.
func appendEpisode(out []promtest.Episode, name, severity string, from, to, until bus.Time) []promtest.Episode {
	if from > until {
		return out
	}
	if to < from || to > until {
		to = -1
	}
	return append(out, promtest.Episode{SLO: name, Severity: severity, From: from, To: to})
}

// takeAlert hands changes of alerts on.
func (l *lane) takeAlert(d *bus.Draft) error {
	if l.alert == nil || d.Event == nil || d.Event.Type != slo.AlertEventType {
		return nil
	}
	var e slo.AlertEvent
	if err := json.Unmarshal(d.Data, &e); err != nil {
		return fmt.Errorf("alert event: %w", err)
	}
	l.alert(&e)
	return nil
}

// prometheus evaluates the rules over the series, and then the queries. The notes say which alerts cannot be compared.
func (s *testSuite) prometheus(ctx context.Context, t *promtest.Test, o *promtest.Outcome) ([]string, error) {
	every := s.file.Interval
	e, err := rules.New(s.rules, rules.Config{Series: t.Series, Interval: every, GroupOrder: s.file.GroupOrder, ExternalLabels: t.ExternalLabels, ExternalURL: t.ExternalURL})
	if err != nil {
		return nil, err
	}
	for at := bus.Time(0); at <= t.End; at += every {
		if err := e.Step(ctx, t.Start+at); err != nil {
			return nil, fmt.Errorf("at %s: %w", slo.Duration(at), err)
		}
		for i := range t.Alerts {
			if asked := t.Alerts[i].At; asked >= at && asked < at+every && o.FiringRules[asked] == nil {
				for _, f := range e.Firing() {
					o.FiringRules[asked] = append(o.FiringRules[asked], promtest.Alert{Labels: f.Labels, Annotations: f.Annotations})
				}
			}
		}
	}
	for i := range t.Exprs {
		ss, err := e.Query(ctx, t.Exprs[i].Expr, t.Start+t.Exprs[i].At)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Exprs[i].Expr, err)
		}
		for _, one := range ss {
			o.Samples[i] = append(o.Samples[i], promtest.Sample(one))
		}
	}
	if t.Compare == nil {
		return nil, nil
	}
	return s.rulesSide(e, t, o), nil
}

// rulesSide finds the SLOs of the alerts that the rules fired.
func (s *testSuite) rulesSide(e *rules.Evaluation, t *promtest.Test, o *promtest.Outcome) (notes []string) {
	for _, a := range e.Episodes() {
		name, severity, ok := promtest.Subject(a.Labels, s.known)
		if ok {
			o.Prometheus = appendEpisode(o.Prometheus, name, severity, a.From-t.Start, a.To-t.Start, t.Compare.Until)
			continue
		}
		note := fmt.Sprintf("the alert %s of the rules is not compared: its labels name no SLO and severity as Sloth's or Pyrra's do", a.Labels["alertname"])
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	return notes
}
