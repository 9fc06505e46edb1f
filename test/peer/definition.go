package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Metric is the counter that the definitions of tests count.
const Metric = "http_requests_total"

// SLO returns an OpenSLO document: the share of requests to the service that did not answer 5xx, over 30 days. More is appended to
// its spec, indented by two blanks.
func SLO(service, name, target, more string) string {
	return fmt.Sprintf(`apiVersion: openslo/v1
kind: SLO
metadata: {name: %[2]s}
spec:
  service: %[1]s
  description: requests to %[1]s that do not fail
  indicator:
    metadata: {name: %[2]s}
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource: {type: Prometheus, spec: {query: 'sum(increase(%[3]s{service="%[1]s", code!~"5.."}[5m]))'}}
        total:
          metricSource: {type: Prometheus, spec: {query: 'sum(increase(%[3]s{service="%[1]s"}[5m]))'}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: answered, target: %[4]s}]
%[5]s---
apiVersion: openslo/v1
kind: Service
metadata: {name: %[1]s}
spec: {description: a service of the tests}
---
`, service, name, Metric, target, more)
}

// WriteConfig writes a folder of definitions, one file for each name.
func WriteConfig(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}
