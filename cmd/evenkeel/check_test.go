package main

import (
	"strings"
	"testing"
)

// An SLO that will never count would pass a check without a word, or a CI that wants it could not refuse it.
func TestCheckWarns(t *testing.T) {
	const file = `apiVersion: openslo/v1
kind: SLO
metadata: {name: hits}
spec:
  service: web
  budgetingMethod: Occurrences
  indicator:
    spec:
      ratioMetric:
        good: {metricSource: {type: CloudWatch, spec: {query: a}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'rate(b_total[5m])'}}}
  objectives: [{target: 0.99}]
`
	code, out, errs := command(t, nil, file, "check", "-")
	if code != exitDone || !strings.Contains(out, "10:37: warning: data sources of type CloudWatch cannot be read: an SLO over it counts nothing and stays UNKNOWN, reason SourceUnsupported") || !strings.Contains(errs, "0 mistakes, 1 warning") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, _, _ := command(t, nil, file, "check", "--strict", "-"); code != exitNo {
		t.Errorf("--strict: %d", code)
	}
	code, out, _ = command(t, nil, file, "check", "-o", "json", "-")
	if code != exitDone || !strings.Contains(out, `"ok": true`) || !strings.Contains(out, `"warnings"`) {
		t.Errorf("%d %s", code, out)
	}
}
