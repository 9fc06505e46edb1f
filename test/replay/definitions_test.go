package replay

import (
	"fmt"

	"evenkeel.dev/console"
)

// shop is the definition of an SLO over http_requests_total.
func shop(target, window string) []console.File {
	return []console.File{{Name: "shop.yaml", Text: fmt.Sprintf(`apiVersion: openslo/v1
kind: SLO
metadata: {name: availability}
spec:
  service: shop
  indicator:
    metadata: {name: availability}
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource: {type: Prometheus, spec: {query: 'sum(rate(http_requests_total{service="shop",code!~"5.."}[5m]))'}}
        total:
          metricSource: {type: Prometheus, spec: {query: 'sum(rate(http_requests_total{service="shop"}[5m]))'}}
  timeWindow: [{duration: %s, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: answered, target: %s}]
---
apiVersion: openslo/v1
kind: Service
metadata: {name: shop}
spec: {description: a shop}
`, window, target)}}
}
