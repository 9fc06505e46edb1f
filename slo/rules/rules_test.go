package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// recording is a series of one sample a minute.
func recording(name string, values ...float64) slo.Recording {
	r := slo.Recording{Labels: bus.Labels{{Name: "__name__", Value: name}}, Values: values}
	for i := range values {
		r.Times = append(r.Times, bus.Time(i)*bus.Minute)
	}
	return r
}

func evaluate(t *testing.T, text string, c Config, minutes int) (*Evaluation, error) {
	t.Helper()
	var s Set
	for _, err := range s.Parse([]byte(text)) {
		t.Fatal(err)
	}
	c.Interval = bus.Minute
	e, err := New(&s, c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range minutes {
		if err := e.Step(t.Context(), bus.Time(i)*bus.Minute); err != nil {
			return e, err
		}
	}
	return e, nil
}

// An alert of rules would be said to fire when it does not: for, keep_firing_for, labels of groups, the order of groups, and series that end.
func TestRules(t *testing.T) {
	const text = `groups:
- name: late
  labels: {team: a, severity: page}
  rules:
  - {alert: High, expr: 'made > 5', for: 2m, keep_firing_for: 2m, labels: {severity: ticket}}
  - {record: alerts, expr: 'count(ALERTS{alertstate="firing"})'}
- name: early
  query_offset: 1m
  rules:
  - {record: made, expr: 'm > 0'}
`
	c := Config{Series: []slo.Recording{recording("m", 0, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0)}, GroupOrder: []string{"early"}}
	e, err := evaluate(t, text, c, 13)
	if err != nil {
		t.Fatal(err)
	}
	// made is of the minute before; at 7m it is stale. The expression holds from 2m to 6m, the alert from 4m on and, kept, until 9m.
	want := []Episode{{Labels: map[string]string{"alertname": "High", "severity": "ticket", "team": "a"}, Annotations: map[string]string{}, From: 4 * bus.Minute, To: 9 * bus.Minute}}
	if d := cmp.Diff(want, e.Episodes()); d != "" {
		t.Error(d)
	}
	for at, want := range map[int]string{4: "{__name__=\"alerts\", severity=\"page\", team=\"a\"} 1", 12: ""} {
		ss, err := e.Query(t.Context(), "alerts", bus.Time(at)*bus.Minute)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range ss {
			got += fmt.Sprint(s.Labels, " ", s.Value)
		}
		if got != want {
			t.Errorf("at %dm: %s, want %s", at, got, want)
		}
	}
}

// Rules that Prometheus would refuse, or fail to evaluate, would be taken for rules that never fire.
func TestRulesFail(t *testing.T) {
	const two = `{__name__=~"m|n"}`
	series := []slo.Recording{recording("m", 1), recording("n", 1)}
	for rule, want := range map[string]string{
		"{record: m, expr: 'n'}": "stands in input_series too",
		"{record: x, expr: 'label_replace(" + two + ", \"__name__\", \"y\", \"\", \"\")'}": "same labels",
		"{alert: A, expr: '" + two + "'}":                                                  "two of its alerts have the same labels",
		"{record: x, expr: '\"text\"'}":                                                    "it must be a vector or a scalar",
		"{record: x, expr: 'm * on() " + two + "'}":                                        "many-to-many",
	} {
		if _, err := evaluate(t, "groups:\n- name: g\n  rules: ["+rule+"]\n", Config{Series: series}, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", rule, err, want)
		}
	}
	if _, err := evaluate(t, "groups:\n- name: g\n  limit: 1\n  rules: [{record: x, expr: 'label_replace("+two+", \"a\", \"$1\", \"__name__\", \"(.*)\")'}]\n", Config{Series: series}, 1); err == nil || !strings.Contains(err.Error(), "the limit of the group is 1") {
		t.Errorf("limit: %v", err)
	}
	var s Set
	if errs := s.Parse([]byte("groups:\n- name: g\n  rules: [{alert: A, expr: 'm >'}]\n")); len(errs) != 1 || !strings.Contains(errs[0].Error(), "3:") {
		t.Errorf("a mistake has no place: %v", errs)
	}
}
