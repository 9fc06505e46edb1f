//go:build bench || peers

package bench

import (
	"fmt"
	"testing"

	"evenkeel.dev/test/load"
	"evenkeel.dev/test/peer"
)

// Shape of the fleet that is simulated.
const (
	services    = 100
	perRequest  = 2000
	otherMetric = "http_response_size_bytes_total"
)

// A fleet is a number of series of which a share, in percent, matters to some SLO. Each service has one SLO.
type fleet struct {
	series, relevant int
}

// body returns the i-th request of the fleet: whole pods of ten series. In each pod the share that matters has the metric that SLOs count.
func (f fleet) body(v load.Version, i int) *load.Body {
	ss := make([]load.Series, perRequest)
	for k := range ss {
		ss[k] = f.one(i*perRequest + k)
	}
	return load.NewBody(v, ss)
}

// bodies is the number of requests in which the fleet tells one sample of each series.
func (f fleet) bodies() int { return f.series / perRequest }

// one returns the n-th series, with eleven labels as a service in a cluster has them. None is an error: alerts come only where the latency run makes some fail.
func (f fleet) one(n int) load.Series {
	pod, slot := n/10, n%10
	service := pod % services
	metric := otherMetric
	if slot*10 < f.relevant {
		metric = peer.Metric
	}
	name := fmt.Sprintf("svc-%d-7c9d8f6b5d-%05d", service, pod)
	return load.Counter(metric, "service", serviceName(service), "pod", name, "instance", fmt.Sprintf("10.%d.%d.%d:8080", pod>>16&255, pod>>8&255, pod&255),
		"namespace", "shop-prod", "job", "kubernetes-pods", "code", []string{"200", "204"}[pod&1], "method", []string{"GET", "POST"}[slot&1], "path", fmt.Sprintf("/v1/things/%d", slot),
		"node", fmt.Sprintf("ip-10-0-%d-%d.example.com", service, pod%40), "version", "v2.14.1")
}

func serviceName(i int) string { return fmt.Sprintf("svc-%d", i) }

// perBody is how many series of each request matter.
func (f fleet) perBody() int { return perRequest * f.relevant / 100 }

// definitions writes the SLOs of all services.
func definitions(tb testing.TB) string {
	text := ""
	for i := range services {
		text += peer.SLO(serviceName(i), serviceName(i)+"-availability", "0.99", "")
	}
	return peer.WriteConfig(tb, map[string]string{"slo.yaml": text})
}
