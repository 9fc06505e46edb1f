package oracle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
	own "evenkeel.dev/slo/rules"
)

// twists are rules in which a loop of one's own is easily wrong.
const twists = `groups:
- name: twists
  query_offset: 30s
  labels: {team: a}
  rules:
  - {record: ratio, expr: 'sum by (code) (rate(http_requests_total{job="checkout"}[3m])) > 1'}
  - {alert: Slow, expr: 'ratio > 3', for: 3m, keep_firing_for: 4m, labels: {severity: '{{ if gt $value 5.0 }}page{{ else }}ticket{{ end }}'}}
  - {record: pages, expr: 'count by (severity) (ALERTS{alertstate="firing"}) or vector(0)'}
  - {alert: Old, expr: 'time() - ALERTS_FOR_STATE{alertname="Slow"} > 120 or absent(ratio)', annotations: {summary: '{{ $labels.severity }} {{ $value }}'}}
- name: other
  rules:
  - {record: mean, expr: 'avg_over_time(ratio[10m:])'}
`

// Rules of Prometheus would be evaluated otherwise by 'evenkeel test' than by a Prometheus: what our loop and storage leave at each minute
// is compared with what rules.Manager and tsdb do.
func TestRulesLikePrometheus(t *testing.T) {
	sloth, err := os.ReadFile("../../deploy/tests/checkout.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const input = `http_requests_total{job="checkout", code="200"} 0+300x60 18000+30x9 _x5 stale 18300+300x60
http_requests_total{job="checkout", code="500"} 0x60 30+200x9 _x5 7 7+20x59`
	for name, text := range map[string]string{"sloth": string(sloth), "twists": twists} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "rules.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			mine, theirs := ownRules(t, text, input), newManager(t, file, input)
			for at := time.Duration(0); at <= 140*time.Minute; at += time.Minute {
				want := theirs(time.Unix(0, 0).UTC().Add(at))
				if err := mine.Step(t.Context(), bus.Time(at.Milliseconds())); err != nil {
					t.Fatal(err)
				}
				got, err := mine.Query(t.Context(), everything, bus.Time(at.Milliseconds()))
				if err != nil {
					t.Fatal(err)
				}
				var lines []string
				for _, s := range got {
					lines = append(lines, fmt.Sprintf("%s %g", s.Labels, s.Value))
				}
				if slices.Sort(lines); !slices.Equal(lines, want) {
					t.Fatalf("at %s (-rules.Manager +ours):\n%s", at, cmp.Diff(want, lines))
				}
			}
		})
	}
}

const everything = `{__name__=~".+"}`

// ownRules prepares our evaluation of the series, one sample a minute.
func ownRules(t *testing.T, text, input string) *own.Evaluation {
	t.Helper()
	var s own.Set
	for _, err := range s.Parse([]byte(text)) {
		t.Fatal(err)
	}
	c := own.Config{Interval: bus.Minute}
	for line := range strings.Lines(input) {
		ls, vs, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		var r slo.Recording
		ls.Range(func(l labels.Label) { r.Labels = append(r.Labels, bus.Label{Name: l.Name, Value: l.Value}) })
		for i, v := range vs {
			if !v.Omitted {
				r.Times, r.Values = append(r.Times, bus.Time(i)*bus.Minute), append(r.Values, v.Value)
			}
		}
		c.Series = append(c.Series, r)
	}
	e, err := own.New(&s, c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newManager returns what evaluates the rules as promtool does and tells all samples then.
func newManager(t *testing.T, file, input string) func(time.Time) []string {
	t.Helper()
	loader, err := promqltest.NewLazyLoader("load 1m\n"+input+"\n", promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true, Parser: parser.NewParser(parser.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := loader.Close(); err != nil {
			t.Error(err)
		}
	})
	loader.SubqueryInterval = time.Minute
	query := rules.EngineQueryFunc(loader.QueryEngine(), loader.Storage())
	m := rules.NewManager(&rules.ManagerOptions{QueryFunc: query, AppendableV2: loader.Storage(), Context: t.Context(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Parser: parser.NewParser(parser.Options{})})
	groups, errs := m.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, file)
	if errs != nil {
		t.Fatal(errs)
	}
	var order []*rules.Group
	for _, g := range groups {
		order = append(order, g)
		for _, r := range g.Rules() {
			if a, ok := r.(*rules.AlertingRule); ok {
				a.SetRestored(true)
			}
		}
	}
	slices.SortFunc(order, func(a, b *rules.Group) int {
		return strings.Index(text(t, file), "name: "+a.Name()) - strings.Index(text(t, file), "name: "+b.Name())
	})
	return func(at time.Time) (out []string) {
		loader.WithSamplesTill(at, func(err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range order {
				g.Eval(loader.Context(), at)
				for _, r := range g.Rules() {
					if r.LastError() != nil {
						t.Fatalf("%s: %v", r.Name(), r.LastError())
					}
				}
			}
			v, err := query(loader.Context(), everything, at)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range v {
				out = append(out, fmt.Sprintf("%s %g", s.Metric, s.F))
			}
		})
		slices.Sort(out)
		return out
	}
}

func text(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
