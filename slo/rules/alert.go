package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"

	"evenkeel.dev/bus"
)

// States of an alert, as ALERTS has them.
const (
	statePending = "pending"
	stateFiring  = "firing"
)

// Names of what alerts write.
const (
	alertsMetric   = "ALERTS"
	forStateMetric = "ALERTS_FOR_STATE"
	stateLabel     = "alertstate"
)

// An alert is one that is pending or firing.
type alert struct {
	labels      labels.Labels
	annotations map[string]string
	state       string
	since       bus.Time // when it became active
	fired       bus.Time
	over        bus.Time // since when its expression gives nothing, while it goes on firing; 0: it gives something
}

// An Episode is an alert from firing to the end of it.
type Episode struct {
	Labels      map[string]string // with alertname
	Annotations map[string]string
	From        bus.Time
	To          bus.Time // 0: it lasts
}

// alert takes what the expression of an alert gives, and returns what is written of it. What Prometheus forgets only later (resolved
// alerts, for the sake of Alertmanager) shows in no series and is forgotten at once.
func (e *Evaluation) alert(ctx context.Context, g *group, r *rule, found promql.Vector, at, seen bus.Time) (promql.Vector, error) {
	now := map[uint64]bool{}
	for _, s := range found {
		a := e.instance(ctx, r, s, at)
		h := a.labels.Hash()
		if now[h] {
			return nil, fmt.Errorf("two of its alerts have the same labels")
		}
		now[h] = true
		if old := r.active[h]; old != nil {
			old.annotations = a.annotations
		} else {
			r.active[h] = a
		}
	}
	var out promql.Vector
	for h, a := range r.active { // each is judged alone; the store keeps no order
		if !now[h] && !a.goesOn(at, bus.Time(time.Duration(r.KeepFiringFor).Milliseconds())) {
			e.end(a, at)
			delete(r.active, h)
			continue
		}
		if now[h] {
			a.over = 0
		}
		if a.state == statePending && at-a.since >= bus.Time(time.Duration(r.For).Milliseconds()) {
			a.state, a.fired = stateFiring, at
		}
		out = append(out, a.sample(alertsMetric, a.state, seen, 1), a.sample(forStateMetric, "", seen, float64(a.since/bus.Second)))
	}
	if g.Limit > 0 && len(r.active) > g.Limit {
		return nil, fmt.Errorf("it has %d alerts; the limit of the group is %d", len(r.active), g.Limit)
	}
	return out, nil
}

// goesOn reports whether an alert whose expression gives nothing fires on.
func (a *alert) goesOn(at, keep bus.Time) bool {
	if a.state != stateFiring || keep <= 0 {
		return false
	}
	if a.over == 0 {
		a.over = at
	}
	return at-a.over < keep
}

// end keeps what fired.
func (e *Evaluation) end(a *alert, at bus.Time) {
	if a.state == stateFiring {
		e.ended = append(e.ended, a.episode(at))
	}
}

func (a *alert) episode(to bus.Time) Episode {
	return Episode{Labels: a.labels.Map(), Annotations: a.annotations, From: a.fired, To: to}
}

func (a *alert) sample(name, state string, t bus.Time, v float64) promql.Sample {
	lb := labels.NewBuilder(a.labels)
	lb.Set(labels.MetricName, name)
	if state != "" {
		lb.Set(stateLabel, state)
	}
	return promql.Sample{Metric: lb.Labels(), T: int64(t), F: v}
}

// instance makes an alert of one sample, its templates filled in.
func (e *Evaluation) instance(ctx context.Context, r *rule, s promql.Sample, at bus.Time) *alert {
	data := template.AlertTemplateData(s.Metric.Map(), e.config.ExternalLabels, e.config.ExternalURL, s)
	query := func(ctx context.Context, expr string, t time.Time) (promql.Vector, error) {
		return e.query(ctx, expr, bus.TimeOf(t))
	}
	expand := func(text string) string {
		if !strings.Contains(text, "{{") {
			return text
		}
		const variables = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
		out, err := template.NewTemplateExpander(ctx, variables+text, "__alert_"+r.Alert, data, model.Time(at), query, e.url, nil).Expand()
		if err != nil {
			return fmt.Sprintf("<error expanding template: %s>", err)
		}
		return out
	}
	lb := labels.NewBuilder(s.Metric)
	lb.Del(labels.MetricName)
	for name, text := range r.labels {
		lb.Set(name, expand(text))
	}
	lb.Set(labels.AlertName, r.Alert)
	a := &alert{labels: lb.Labels(), annotations: map[string]string{}, state: statePending, since: at}
	for name, text := range r.Annotations {
		a.annotations[name] = expand(text)
	}
	return a
}

// Firing returns the alerts that fire now, in no order.
func (e *Evaluation) Firing() []Episode {
	var out []Episode
	for _, g := range e.groups {
		for _, r := range g.rules {
			for _, a := range r.active {
				if a.state == stateFiring {
					out = append(out, a.episode(0))
				}
			}
		}
	}
	return out
}

// Episodes returns all alerts that fired, in the order in which they did.
func (e *Evaluation) Episodes() []Episode {
	out := append(slices.Clone(e.ended), e.Firing()...)
	slices.SortFunc(out, func(a, b Episode) int {
		if a.From != b.From {
			return int(a.From - b.From)
		}
		return strings.Compare(text(a.Labels), text(b.Labels))
	})
	return out
}

// text writes labels as Prometheus does.
func text(ls map[string]string) string { return labels.FromMap(ls).String() }

// ParseLabels reads a series without values, as a test writes what a query gives, and returns it as [Sample] has it.
func ParseLabels(s string) (string, error) {
	ls, err := parserOf().ParseMetric(s)
	if err != nil {
		return "", err
	}
	return ls.String(), nil
}
