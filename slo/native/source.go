package native

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A source is a program or library whose metrics are known.
type source struct {
	name string
	// labels tell the service apart; the namespace is "" where none is written.
	labels    func(service, namespace string) []bus.Matcher
	exported  []string // labels that a scraping Prometheus may have renamed to exported_…, since its target has them too
	requests  string   // a counter of finished requests
	code      string   // its label that codes are about
	codes     codes
	beyond    []failure     // failures that the code does not tell
	histogram string        // without _bucket and _count
	quick     []bus.Matcher // of the histogram: conditions for requests whose duration says something
	seconds   bool          // whether le is in seconds; else in milliseconds
	bounds    []slo.Duration
}

// A failure is a condition for requests that failed, of which the code tells nothing: those with these labels are errors, and in
// what matches rest the code decides.
type failure struct {
	failed []bus.Matcher
	rest   []bus.Matcher
}

// Sources returns the names of the sources.
func Sources() []string {
	var out []string
	for _, s := range sources() {
		out = append(out, s.name)
	}
	return out
}

// Bounds returns the upper bounds of the latency buckets that a source has unless it is configured otherwise, ascending; nil where
// they depend on the program or the source is not known.
func Bounds(name string) []slo.Duration {
	s, _ := sourceOf(name)
	return slices.Clone(s.bounds)
}

func sourceOf(name string) (source, bool) {
	all := sources()
	i := slices.IndexFunc(all, func(s source) bool { return s.name == name })
	if i < 0 {
		return source{}, false
	}
	return all[i], true
}

func equal(pairs ...string) []bus.Matcher {
	var out []bus.Matcher
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" { // the namespace, where none is written
			out = append(out, bus.Matcher{Name: pairs[i], Type: bus.MatchEqual, Value: pairs[i+1]})
		}
	}
	return out
}

func matcher(name string, t bus.MatchType, value string) bus.Matcher {
	return bus.Matcher{Name: name, Type: t, Value: value}
}

func milliseconds(ns ...int64) []slo.Duration {
	var out []slo.Duration
	for _, n := range ns {
		out = append(out, slo.Duration(bus.Time(n)*bus.Millisecond))
	}
	return out
}

// Bounds of buckets, in milliseconds. Those below a millisecond cannot be asked for and are left out.
var (
	// Envoy, source/common/stats/histogram_impl.cc, defaultBuckets; Istio's proxies have the same ones.
	envoyBounds = milliseconds(1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000)
	// linkerd2-proxy, the bounds of its latency metrics.
	linkerdBounds = milliseconds(1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10000, 20000, 30000, 40000, 50000)
	// client_golang, DefBuckets: what the flag --time-buckets of ingress-nginx has by default.
	clientBounds = milliseconds(5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
	// OpenTelemetry, semantic conventions of http.server.request.duration and rpc.server.call.duration.
	otelBounds = milliseconds(5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
	// Kubernetes, staging/src/k8s.io/apiserver/pkg/endpoints/metrics; older versions lack the first two.
	kubernetesBounds = milliseconds(5, 25, 50, 100, 200, 400, 600, 800, 1000, 1250, 1500, 2000, 3000, 4000, 5000, 6000, 8000, 10000, 15000, 20000, 30000, 45000, 60000)
)

// jobOf matches the job of a service as OTLP makes it: service.name, or service.namespace/service.name.
func jobOf(service, _ string) []bus.Matcher {
	return []bus.Matcher{matcher("job", bus.MatchRegexp, "(.+/)?"+regexp.QuoteMeta(service))}
}

// sources lists all sources. Names of metrics and labels are those of the programs' own documentation and code; docs/kinds-slo.md
// has the table for users, which a test holds against this.
func sources() []source {
	return append(proxies(), libraries()...)
}

func proxies() []source {
	return []source{{
		name: "istio", requests: "istio_requests_total", code: "response_code", codes: httpCodes(),
		labels: func(service, namespace string) []bus.Matcher {
			return equal("destination_service_name", service, "destination_service_namespace", namespace, "reporter", "destination")
		},
		histogram: "istio_request_duration_milliseconds", bounds: envoyBounds,
	}, {
		name: "envoy", requests: "envoy_cluster_upstream_rq", code: "envoy_response_code", codes: httpCodes(),
		labels:    func(service, _ string) []bus.Matcher { return equal("envoy_cluster_name", service) },
		histogram: "envoy_cluster_upstream_rq_time", bounds: envoyBounds,
	}, {
		name: "linkerd", requests: "response_total", code: "status_code", codes: httpCodes(),
		labels: func(service, namespace string) []bus.Matcher {
			return equal("deployment", service, "namespace", namespace, "direction", "inbound")
		},
		// The proxy knows of failures that a status does not tell: gRPC's, and streams that were cut.
		beyond:    []failure{{failed: equal("classification", "failure"), rest: []bus.Matcher{matcher("classification", bus.MatchNotEqual, "failure")}}},
		histogram: "response_latency_ms", bounds: linkerdBounds,
	}, {
		name: "ingress-nginx", requests: "nginx_ingress_controller_requests", code: "status", codes: httpCodes(),
		labels: func(service, namespace string) []bus.Matcher {
			return equal("service", service, "namespace", namespace)
		},
		exported: []string{"service", "namespace"}, histogram: "nginx_ingress_controller_request_duration_seconds", seconds: true, bounds: clientBounds,
	}}
}

func libraries() []source {
	// Without an answer there is no status, and error.type says why.
	noStatus := func(label string) []failure {
		return []failure{{failed: []bus.Matcher{matcher(label, bus.MatchEqual, ""), matcher("error_type", bus.MatchNotEqual, "")}}}
	}
	return []source{{
		name: "otel-http", requests: "http_server_request_duration_seconds_count", code: "http_response_status_code", codes: httpCodes(),
		labels: jobOf, beyond: noStatus("http_response_status_code"), histogram: "http_server_request_duration_seconds", seconds: true, bounds: otelBounds,
	}, {
		name: "otel-rpc", requests: "rpc_server_call_duration_seconds_count", code: "rpc_response_status_code", codes: grpcCodes(false),
		labels: jobOf, beyond: noStatus("rpc_response_status_code"), histogram: "rpc_server_call_duration_seconds", seconds: true, bounds: otelBounds,
	}, {
		// As instrumentation wrote it before version 1.38 of the semantic conventions. The bounds are those that a program has chosen.
		name: "otel-rpc-legacy", requests: "rpc_server_duration_milliseconds_count", code: "rpc_grpc_status_code", codes: grpcCodes(true),
		labels: jobOf, histogram: "rpc_server_duration_milliseconds",
	}, {
		name: "grpc", requests: "grpc_server_handled_total", code: "grpc_code", codes: grpcCodes(false),
		labels:    func(service, _ string) []bus.Matcher { return equal("job", service) },
		histogram: "grpc_server_handling_seconds", seconds: true,
	}, {
		name: "kubernetes-apiserver", requests: "apiserver_request_total", code: "code", codes: httpCodes(),
		labels:    func(_, _ string) []bus.Matcher { return equal("component", "apiserver") },
		histogram: "apiserver_request_duration_seconds", seconds: true, bounds: kubernetesBounds,
		// These last as long as their caller likes.
		quick: []bus.Matcher{matcher("verb", bus.MatchNotRegexp, "WATCH|WATCHLIST|CONNECT"), matcher("subresource", bus.MatchNotRegexp, "attach|exec|log|portforward|proxy")},
	}}
}

// owns reports whether a label is one that the source decides by.
func (s source) owns(label string) bool {
	if label == "__name__" || label == "le" || label == s.code {
		return true
	}
	for _, f := range s.beyond {
		for _, m := range append(slices.Clone(f.failed), f.rest...) {
			if m.Name == label {
				return true
			}
		}
	}
	return slices.ContainsFunc(s.exported, func(name string) bool { return "exported_"+name == label })
}

// A query asks a source about a service.
type query struct {
	source             source
	service, namespace string // namespace is "" where none is written
	match              []bus.Matcher
}

// variants returns the conditions on labels that tell the service apart: one list, or a second one for labels that a Prometheus has
// renamed. No series matches both.
func (q query) variants() [][]bus.Matcher {
	ms := q.source.labels(q.service, q.namespace)
	for _, m := range q.match {
		if i := slices.IndexFunc(ms, func(o bus.Matcher) bool { return o.Name == m.Name }); i >= 0 {
			ms[i] = m
			continue
		}
		ms = append(ms, m)
	}
	if len(q.source.exported) == 0 {
		return [][]bus.Matcher{ms}
	}
	renamed := slices.Clone(ms)
	for i := range renamed {
		if slices.Contains(q.source.exported, renamed[i].Name) {
			renamed[i].Name = "exported_" + renamed[i].Name
		}
	}
	first := "exported_" + q.source.exported[0]
	return [][]bus.Matcher{append(ms, matcher(first, bus.MatchEqual, "")), renamed}
}

// expr sums a metric over the variants, with more conditions.
func (q query) expr(metric string, more ...bus.Matcher) slo.Expr {
	var e slo.Expr
	for _, v := range q.variants() {
		ms := append([]bus.Matcher{matcher("__name__", bus.MatchEqual, metric)}, v...)
		s, err := bus.NewSelector(append(ms, more...))
		if err != nil {
			panic(err) // all expressions are the table's own, or made of checked names
		}
		e.Terms = append(e.Terms, slo.Term{Factor: slo.MustDecimal("1"), Selector: s})
	}
	return e
}

// availability counts errors of all requests.
func (q query) availability(errors errorSet) slo.SLI {
	codes := matcher(q.source.code, bus.MatchRegexp, errors.String())
	bad := slo.Expr{}
	rest := []bus.Matcher{codes}
	if errors.beyond {
		for _, f := range q.source.beyond {
			bad.Terms = append(bad.Terms, q.expr(q.source.requests, f.failed...).Terms...)
			rest = append(rest, f.rest...)
		}
	}
	bad.Terms = append(q.expr(q.source.requests, rest...).Terms, bad.Terms...)
	return slo.SLI{Bad: &bad, Total: q.expr(q.source.requests)}
}

// latency counts requests that took at most the threshold, of all.
func (q query) latency(threshold slo.Duration) slo.SLI {
	good := q.bucket(threshold)
	return slo.SLI{Good: &good, Total: q.expr(q.source.histogram+"_count", q.source.quick...)}
}

// bucket counts requests that took at most the bound of a bucket.
func (q query) bucket(threshold slo.Duration) slo.Expr {
	le := append(slices.Clone(q.source.quick), matcher("le", bus.MatchRegexp, bound(threshold, q.source.seconds)))
	return q.expr(q.source.histogram+"_bucket", le...)
}

// shareDigits are those of a bucket's share below a threshold.
const shareDigits = 6

// between counts requests that took at most a threshold that lies inside a bucket: those of the bucket before, and of this one the share
// that lies below when its requests are spread evenly, as Prometheus' histogram_quantile takes them to be. It is wrong by less than the
// requests of that one bucket.
func (q query) between(threshold slo.Duration) slo.SLI {
	i, _ := slices.BinarySearch(q.source.bounds, threshold)
	high, low := q.source.bounds[i], slo.Duration(0)
	if i > 0 {
		low = q.source.bounds[i-1]
	}
	scale := big.NewRat(1_000_000, 1)
	parts := new(big.Rat).Mul(big.NewRat(int64(threshold-low), int64(high-low)), scale)
	below := new(big.Rat).Quo(new(big.Rat).SetInt(new(big.Int).Quo(parts.Num(), parts.Denom())), scale) // an exact decimal
	out := q.latency(high)
	weigh(out.Good, below)
	if i > 0 {
		before := q.bucket(low)
		weigh(&before, new(big.Rat).Sub(big.NewRat(1, 1), below))
		out.Good.Terms = append(before.Terms, out.Good.Terms...)
	}
	return out
}

// learned counts requests that took at most a threshold by the buckets around it, whichever those turn out to be.
func (q query) learned(threshold slo.Duration) slo.SLI {
	le := strconv.FormatFloat(float64(threshold), 'g', -1, 64)
	if q.source.seconds {
		le = strconv.FormatFloat(float64(threshold)/1000, 'g', -1, 64)
	}
	out := q.latency(threshold)
	good := q.expr(q.source.histogram+"_bucket", append(slices.Clone(q.source.quick), matcher(slo.LabelBound, bus.MatchEqual, le))...)
	out.Good, out.Interpolate = &good, true
	return out
}

func weigh(e *slo.Expr, factor *big.Rat) {
	for i := range e.Terms {
		e.Terms[i].Factor = slo.MustDecimal(factor.FloatString(shareDigits))
	}
}

// bound returns a regular expression for the spellings of a bucket's bound: "300" and, since OpenMetrics and Prometheus 3, "300.0";
// "0.3" and "0.30"; "1e+06" as Go and C write what is large.
func bound(d slo.Duration, seconds bool) string {
	n := int64(d.Time() / bus.Millisecond)
	whole, frac := strconv.FormatInt(n, 10), ""
	if seconds {
		whole, frac = strconv.FormatInt(n/1000, 10), strings.TrimRight(fmt.Sprintf("%03d", n%1000), "0")
	}
	switch {
	case frac != "" && whole == "0":
		return `0?\.` + frac + "0*"
	case frac != "":
		return whole + `\.` + frac + "0*"
	case len(whole) <= 6:
		return whole + `(\.0*)?`
	}
	exponent := len(whole) - 1
	digits := strings.TrimRight(whole, "0")
	mantissa := digits[:1] + `(\.0*)?`
	if len(digits) > 1 {
		mantissa = digits[:1] + `\.` + digits[1:] + "0*"
	}
	return fmt.Sprintf(`%s(\.0*)?|%se\+?0*%d`, whole, mantissa, exponent)
}
