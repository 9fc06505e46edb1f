package native

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// labelsOf reads a series as exporters print them.
func labelsOf(t *testing.T, text string) bus.Labels {
	t.Helper()
	name, rest, _ := strings.Cut(text, "{")
	ls := bus.Labels{{Name: "__name__", Value: name}}
	for _, m := range regexp.MustCompile(`([a-z_0-9]+)="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
		ls = append(ls, bus.Label{Name: m[1], Value: m[2]})
	}
	return ls.Sort()
}

// count returns how often an expression counts a series.
func count(e *slo.Expr, ls bus.Labels) int {
	n := 0
	if e != nil {
		for i := range e.Terms {
			if e.Terms[i].Selector.Matches(ls) {
				n++
			}
		}
	}
	return n
}

// An error would not be counted, twice, or as somebody else's. The series are as the programs print them.
func TestAvailability(t *testing.T) {
	const (
		total = "total"
		bad   = "bad"
		none  = ""
	)
	istio := `istio_requests_total{reporter="%s",destination_service_name="%s",destination_service_namespace="%s",response_code="%s",response_flags="-"}`
	ingress := `nginx_ingress_controller_requests{%sservice="%s",%snamespace="%s",status="%s",ingress="shop",controller_class="k8s.io/ingress-nginx"}`
	linkerd := `response_total{direction="%s",deployment="checkout",namespace="shop-prod",status_code="%s",classification="%s",tls="true"}`
	http := `http_server_request_duration_seconds_count{job="%s",http_request_method="GET",http_response_status_code="%s",error_type="%s"}`
	rpc := `rpc_server_call_duration_seconds_count{job="checkout",rpc_system_name="grpc",rpc_response_status_code="%s",error_type="%s"}`
	for _, c := range []struct {
		sli, series, want string
	}{
		{"{source: istio, availability: {}}", fmt.Sprintf(istio, "destination", "checkout", "shop-prod", "200"), total},
		{"{source: istio, availability: {}}", fmt.Sprintf(istio, "destination", "checkout", "shop-prod", "404"), total},
		{"{source: istio, availability: {}}", fmt.Sprintf(istio, "destination", "checkout", "shop-prod", "429"), bad},
		{"{source: istio, availability: {}}", fmt.Sprintf(istio, "destination", "checkout", "shop-prod", "503"), bad},
		{"{source: istio, availability: {}}", fmt.Sprintf(istio, "source", "checkout", "shop-prod", "503"), none},
		{"{source: istio, availability: {}}", fmt.Sprintf(istio, "destination", "checkout", "shop-test", "503"), none},
		{"{source: istio, availability: {}}", fmt.Sprintf(istio, "destination", "checkout-2", "shop-prod", "503"), none},
		{"{source: istio, availability: {}, match: {reporter: source}}", fmt.Sprintf(istio, "source", "checkout", "shop-prod", "503"), bad},
		{"{source: istio, availability: {}, match: {reporter: source}}", fmt.Sprintf(istio, "destination", "checkout", "shop-prod", "503"), none},
		{"{source: istio, availability: {tanzuErrors: true}}", fmt.Sprintf(istio, "destination", "checkout", "shop-prod", "404"), bad},
		{"{source: istio, availability: {errors: [404, 5XX]}}", fmt.Sprintf(istio, "destination", "checkout", "shop-prod", "404"), bad},
		{"{source: istio, availability: {errors: [404, 5XX]}}", fmt.Sprintf(istio, "destination", "checkout", "shop-prod", "502"), bad},
		{"{source: istio, availability: {errors: [404, 5XX]}}", fmt.Sprintf(istio, "destination", "checkout", "shop-prod", "429"), total},
		{"{source: envoy, availability: {}}", `envoy_cluster_upstream_rq{envoy_cluster_name="checkout",envoy_response_code="503"}`, bad},
		{"{source: envoy, availability: {}}", `envoy_cluster_upstream_rq{envoy_cluster_name="checkout",envoy_response_code="200"}`, total},
		{"{source: envoy, availability: {}}", `envoy_cluster_retry_upstream_rq{envoy_cluster_name="checkout",envoy_response_code="503"}`, none},
		{"{source: envoy, availability: {}, match: {envoy_cluster_name: 'outbound|80||checkout.a'}}", `envoy_cluster_upstream_rq{envoy_cluster_name="outbound|80||checkout.a",envoy_response_code="503"}`, bad},
		{"{source: linkerd, availability: {}}", fmt.Sprintf(linkerd, "inbound", "200", "success"), total},
		{"{source: linkerd, availability: {}}", fmt.Sprintf(linkerd, "inbound", "200", "failure"), bad}, // a gRPC status
		{"{source: linkerd, availability: {}}", fmt.Sprintf(linkerd, "inbound", "500", "failure"), bad},
		{"{source: linkerd, availability: {}}", fmt.Sprintf(linkerd, "inbound", "429", "success"), bad},
		{"{source: linkerd, availability: {}}", fmt.Sprintf(linkerd, "outbound", "500", "failure"), none},
		{"{source: linkerd, availability: {errors: [404]}}", fmt.Sprintf(linkerd, "inbound", "500", "failure"), total},
		{"{source: ingress-nginx, availability: {}}", fmt.Sprintf(ingress, "", "checkout", "", "shop-prod", "502"), bad},
		{"{source: ingress-nginx, availability: {}}", fmt.Sprintf(ingress, "", "checkout", "", "shop-prod", "5xx"), bad},
		{"{source: ingress-nginx, availability: {}}", fmt.Sprintf(ingress, "", "checkout", "", "shop-prod", "404"), total},
		{"{source: ingress-nginx, availability: {}}", fmt.Sprintf(ingress, `service="metrics",exported_`, "checkout", `namespace="ingress",exported_`, "shop-prod", "502"), bad},
		{"{source: ingress-nginx, availability: {}}", fmt.Sprintf(ingress, `service="checkout",exported_`, "web", `namespace="shop-prod",exported_`, "shop-prod", "502"), none},
		{"{source: ingress-nginx, availability: {}, match: {service: web}}", fmt.Sprintf(ingress, `service="metrics",exported_`, "web", `namespace="ingress",exported_`, "shop-prod", "502"), bad},
		{"{source: otel-http, availability: {}}", fmt.Sprintf(http, "shop/checkout", "500", "500"), bad},
		{"{source: otel-http, availability: {}}", fmt.Sprintf(http, "checkout", "404", ""), total},
		{"{source: otel-http, availability: {}}", fmt.Sprintf(http, "checkout", "", "timeout"), bad},
		{"{source: otel-http, availability: {errors: [404]}}", fmt.Sprintf(http, "checkout", "", "timeout"), total},
		{"{source: otel-http, availability: {}}", fmt.Sprintf(http, "pre-checkout", "500", "500"), none},
		{"{source: otel-rpc, availability: {}}", fmt.Sprintf(rpc, "UNAVAILABLE", "UNAVAILABLE"), bad},
		{"{source: otel-rpc, availability: {}}", fmt.Sprintf(rpc, "DeadlineExceeded", ""), bad},
		{"{source: otel-rpc, availability: {}}", fmt.Sprintf(rpc, "DEADLINE_EXCEEDED", ""), bad},
		{"{source: otel-rpc, availability: {}}", fmt.Sprintf(rpc, "CANCELLED", ""), total},
		{"{source: otel-rpc, availability: {}}", fmt.Sprintf(rpc, "OK", ""), total},
		{"{source: otel-rpc, availability: {}}", fmt.Sprintf(rpc, "", "io"), bad},
		{"{source: otel-rpc, availability: {tanzuErrors: true}}", fmt.Sprintf(rpc, "CANCELLED", ""), bad},
		{"{source: otel-rpc, availability: {errors: [NotFound]}}", fmt.Sprintf(rpc, "NOT_FOUND", ""), bad},
		{"{source: otel-rpc-legacy, availability: {}}", `rpc_server_duration_milliseconds_count{job="checkout",rpc_grpc_status_code="14"}`, bad},
		{"{source: otel-rpc-legacy, availability: {}}", `rpc_server_duration_milliseconds_count{job="checkout",rpc_grpc_status_code="1"}`, total},
		{"{source: grpc, availability: {}}", `grpc_server_handled_total{job="checkout",grpc_code="ResourceExhausted",grpc_service="a.B"}`, bad},
		{"{source: grpc, availability: {}}", `grpc_server_handled_total{job="checkout",grpc_code="NotFound",grpc_service="a.B"}`, total},
		{"{source: kubernetes-apiserver, availability: {}}", `apiserver_request_total{component="apiserver",verb="GET",code="504"}`, bad},
		{"{source: kubernetes-apiserver, availability: {}, match: {verb: LIST}}", `apiserver_request_total{component="apiserver",verb="GET",code="504"}`, none},
	} {
		o, _, ps := compiled(t, strings.Replace(base("targetRef: {kind: Service, name: checkout}", "sli: "+c.sli), "namespace: n", "namespace: shop-prod", 1))
		if len(ps) > 0 {
			t.Errorf("%s: %v", c.sli, ps)
			continue
		}
		ls := labelsOf(t, c.series)
		gotBad, gotTotal := count(o.SLI.Bad, ls), count(&o.SLI.Total, ls)
		want := map[string][2]int{none: {0, 0}, total: {0, 1}, bad: {1, 1}}[c.want]
		if got := [2]int{gotBad, gotTotal}; got != want {
			t.Errorf("%s\n%s\nbad and total %v, want %v", c.sli, c.series, got, want)
		}
	}
}

// Without a namespace nothing would be counted, since none is called default.
func TestNamespaceIsOptional(t *testing.T) {
	o, _, ps := compiled(t, strings.Replace(base(), ", namespace: n", "", 1))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if got := o.SLI.Total.Terms[0].Selector.String(); got != `istio_requests_total{destination_service_name="s",reporter="destination"}` {
		t.Error(got)
	}
}

// A bucket would be missed since its bound is written in another way, or another one be taken for it.
func TestBounds(t *testing.T) {
	for _, c := range []struct {
		sli   string
		yes   []string
		no    []string
		total string
	}{
		{"{source: istio, latency: {threshold: 500ms}}", []string{"500", "500.0", "500.00"}, []string{"50", "5000", "500.5", "0.5", "5000.0", "+Inf"}, "istio_request_duration_milliseconds_count"},
		{"{source: istio, latency: {threshold: 1800s}}", []string{"1800000", "1800000.0", "1.8e+06", "1.80e6"}, []string{"1800", "1.8e+07", "18e+06", "18000000"}, "istio_request_duration_milliseconds_count"},
		{"{source: linkerd, latency: {threshold: 1ms}}", []string{"1", "1.0"}, []string{"10", "0.001"}, "response_latency_ms_count"},
		{"{source: ingress-nginx, latency: {threshold: 250ms}}", []string{"0.25", "0.250", ".25"}, []string{"0.2", "0.025", "250", "10.25", "0025", "0x25"}, "nginx_ingress_controller_request_duration_seconds_count"},
		{"{source: otel-http, latency: {threshold: 10s}}", []string{"10", "10.0"}, []string{"1", "100", "10000", "10.5"}, "http_server_request_duration_seconds_count"},
		{"{source: kubernetes-apiserver, latency: {threshold: 1250ms}}", []string{"1.25", "1.250"}, []string{"125", "1.2", "11.25"}, "apiserver_request_duration_seconds_count"},
		{"{source: grpc, latency: {threshold: 300ms}}", []string{"0.3", "0.30"}, []string{"3", "0.03", "0.35"}, "grpc_server_handling_seconds_count"},
		{"{source: istio, latency: {threshold: 5000000ms, anyBucket: true}}", []string{"5000000", "5e+06", "5.0e+06", "5e6"}, []string{"5", "5e+05", "5e+60"}, "istio_request_duration_milliseconds_count"},
	} {
		o, _, ps := compiled(t, base("sli: "+c.sli))
		if len(ps) > 0 {
			t.Errorf("%s: %v", c.sli, ps)
			continue
		}
		s := o.SLI.Good.Terms[0].Selector
		if got, want := s.MetricName(), strings.TrimSuffix(c.total, "_count")+"_bucket"; got != want {
			t.Errorf("good is %s, want %s", got, want)
		}
		if got := o.SLI.Total.Terms[0].Selector.MetricName(); got != c.total {
			t.Errorf("total is %s, want %s", got, c.total)
		}
		var ls bus.Labels
		for _, m := range s.Matchers() {
			if m.Type == bus.MatchEqual {
				ls = append(ls, bus.Label{Name: m.Name, Value: m.Value})
			}
		}
		if strings.Contains(c.sli, "otel") {
			ls = append(ls, bus.Label{Name: "job", Value: "s"})
		}
		for i, le := range append(c.yes, c.no...) {
			with := append(bus.Labels{{Name: "le", Value: le}}, ls...).Sort()
			if got, want := s.Matches(with), i < len(c.yes); got != want {
				t.Errorf("%s: le=%q matches: %t, want %t", c.sli, le, got, want)
			}
		}
	}
}

// A request that lasts by intention, as a watch, would count as slow.
func TestLongRequestsOfTheAPIServer(t *testing.T) {
	o, _, ps := compiled(t, base("sli: {source: kubernetes-apiserver, latency: {threshold: 1s}}"))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	series := `apiserver_request_duration_seconds_count{component="apiserver",verb="%s",subresource="%s"}`
	for text, want := range map[string]int{
		fmt.Sprintf(series, "GET", ""): 1, fmt.Sprintf(series, "GET", "status"): 1, fmt.Sprintf(series, "WATCH", ""): 0, fmt.Sprintf(series, "GET", "log"): 0,
	} {
		if got := count(&o.SLI.Total, labelsOf(t, text)); got != want {
			t.Errorf("%s counts %d times, want %d", text, got, want)
		}
	}
}
