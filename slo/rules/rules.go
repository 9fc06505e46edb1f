// Package rules evaluates files of Prometheus rules over series in memory, with Prometheus' own parser, query engine and templates: what
// a Prometheus would have recorded and alerted, had it evaluated all groups at the same times.
//
// The loop around the engine is our own, as is the storage: rules.Manager and tsdb would bring over 300 packages more. It does what they do:
//
//   - groups in the order of their files (or a given one), rules in the order of their group; each sees what those before it recorded;
//   - a series that a rule no longer gives becomes stale;
//   - an alert is pending for its "for", fires, and goes on for its keep_firing_for; ALERTS and ALERTS_FOR_STATE are written;
//   - query_offset and limit of a group hold; its interval does not: as in promtool's tests, all groups are evaluated together.
//
// test/oracle compares it with rules.Manager.
package rules

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// Bounds of one evaluation.
const (
	maxRules     = 10_000
	maxSamples   = 5_000_000        // that rules make, and that one query reads
	queryTimeout = 30 * time.Second // of one query
)

func parserOf() parser.Parser { return parser.NewParser(parser.Options{}) }

// A Set is the rules of some files.
type Set struct{ groups []rulefmt.RuleGroup }

// Parse adds the rules of a file. The errors have places, as Prometheus writes them.
func (s *Set) Parse(text []byte) []error {
	gs, errs := rulefmt.Parse(text, false, model.UTF8Validation, parserOf(), nil)
	if len(errs) > 0 {
		return errs
	}
	s.groups = append(s.groups, gs.Groups...)
	if s.Rules() > maxRules {
		return []error{fmt.Errorf("more than %d rules", maxRules)}
	}
	return nil
}

// Rules returns how many there are.
func (s *Set) Rules() int {
	n := 0
	for i := range s.groups {
		n += len(s.groups[i].Rules)
	}
	return n
}

// Alerts returns the names of all alerts.
func (s *Set) Alerts() []string {
	var out []string
	for i := range s.groups {
		for k := range s.groups[i].Rules {
			if name := s.groups[i].Rules[k].Alert; name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// A Config says what is evaluated.
type Config struct {
	Series         []slo.Recording
	Interval       bus.Time // of evaluations, and of subqueries that name none
	GroupOrder     []string // groups that are evaluated first, in this order
	ExternalLabels map[string]string
	ExternalURL    string
}

// An Evaluation is a set of rules at work. It belongs to one goroutine.
type Evaluation struct {
	config Config
	store  *store
	engine *promql.Engine
	groups []*group
	ended  []Episode
	url    *url.URL
}

type group struct {
	rulefmt.RuleGroup
	rules []*rule
}

type rule struct {
	rulefmt.Rule
	labels  map[string]string
	written map[string]labels.Labels // at the last evaluation, by their bytes
	active  map[uint64]*alert
}

// New prepares rules for their first evaluation.
func New(s *Set, c Config) (*Evaluation, error) {
	u, err := url.Parse(c.ExternalURL)
	if err != nil {
		return nil, err
	}
	e := &Evaluation{config: c, store: newStore(c.Series), url: u}
	e.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: maxSamples, Timeout: queryTimeout, NoStepSubqueryIntervalFn: func(int64) int64 { return int64(c.Interval) },
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: parserOf(),
	})
	for i := range s.groups {
		g := &group{RuleGroup: s.groups[i]}
		for _, r := range g.Rules {
			ls := maps.Clone(g.Labels)
			if ls == nil {
				ls = map[string]string{}
			}
			maps.Copy(ls, r.Labels)
			g.rules = append(g.rules, &rule{Rule: r, labels: ls, active: map[uint64]*alert{}})
		}
		e.groups = append(e.groups, g)
	}
	slices.SortStableFunc(e.groups, func(a, b *group) int { return e.place(a) - e.place(b) })
	return e, nil
}

// place is where a group stands in the order, at the end where it is not named.
func (e *Evaluation) place(g *group) int {
	if i := slices.Index(e.config.GroupOrder, g.Name); i >= 0 {
		return i
	}
	return len(e.config.GroupOrder)
}

// Step evaluates all groups at a time. Times must rise.
func (e *Evaluation) Step(ctx context.Context, at bus.Time) error {
	for _, g := range e.groups {
		for _, r := range g.rules {
			if err := e.step(ctx, g, r, at); err != nil {
				return fmt.Errorf("rule %s of group %s: %w", r.Record+r.Alert, g.Name, err)
			}
		}
	}
	return nil
}

func (e *Evaluation) step(ctx context.Context, g *group, r *rule, at bus.Time) error {
	seen := at
	if g.QueryOffset != nil {
		seen -= bus.Time(time.Duration(*g.QueryOffset).Milliseconds())
	}
	found, err := e.query(ctx, r.Expr, seen)
	if err != nil {
		return err
	}
	if r.Alert != "" {
		found, err = e.alert(ctx, g, r, found, at, seen)
	} else {
		err = r.record(found, g.Limit)
	}
	if err != nil {
		return err
	}
	written := make(map[string]labels.Labels, len(found))
	for _, s := range found {
		if s.H != nil {
			return fmt.Errorf("the rule makes a native histogram; only floats can be kept here")
		}
		if err := e.store.append(s.Metric, seen, s.F); err != nil {
			return err
		}
		written[string(s.Metric.Bytes(nil))] = s.Metric
	}
	for key, ls := range r.written {
		if _, ok := written[key]; !ok {
			if err := e.store.append(ls, seen, math.Float64frombits(value.StaleNaN)); err != nil {
				return err
			}
		}
	}
	r.written = written
	return nil
}

// record gives the samples of an expression the name and labels of the rule.
func (r *rule) record(found promql.Vector, limit int) error {
	lb := labels.NewBuilder(labels.EmptyLabels())
	for i := range found {
		lb.Reset(found[i].Metric)
		lb.Set(labels.MetricName, r.Record)
		for name, v := range r.labels {
			lb.Set(name, v)
		}
		found[i].Metric = lb.Labels()
	}
	if found.ContainsSameLabelset() {
		return fmt.Errorf("two of its series have the same labels")
	}
	if limit > 0 && len(found) > limit {
		return fmt.Errorf("it makes %d series; the limit of the group is %d", len(found), limit)
	}
	return nil
}

// query evaluates an expression at a time.
func (e *Evaluation) query(ctx context.Context, expr string, at bus.Time) (promql.Vector, error) {
	q, err := e.engine.NewInstantQuery(ctx, e.store, nil, expr, time.UnixMilli(int64(at)).UTC())
	if err != nil {
		return nil, err
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, r.Err
	}
	switch v := r.Value.(type) {
	case promql.Vector:
		return slices.Clone(v), nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V, Metric: labels.Labels{}}}, nil
	}
	return nil, fmt.Errorf("the result is a %s; it must be a vector or a scalar", r.Value.Type())
}

// A Sample is one result of a query.
type Sample struct {
	Labels string // as Prometheus writes them
	Value  float64
}

// Query evaluates an expression at a time, over the input and what the rules have recorded by then. The samples are in the order of their labels.
func (e *Evaluation) Query(ctx context.Context, expr string, at bus.Time) ([]Sample, error) {
	v, err := e.query(ctx, expr, at)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(v, func(a, b promql.Sample) int { return labels.Compare(a.Metric, b.Metric) })
	out := make([]Sample, 0, len(v))
	for _, s := range v {
		if s.H != nil {
			return nil, fmt.Errorf("the result has a native histogram; only floats can be compared here")
		}
		out = append(out, Sample{s.Metric.String(), s.F})
	}
	return out, nil
}
