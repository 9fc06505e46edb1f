package watch

import (
	"cmp"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/mesh/calls"
)

// what says what a counter counts: a set of requests, failed, mutual and plain, or a bucket of latency.
type what uint8

const (
	requests what = 1 << iota
	failed
	mutual
	plain

	firstBucket what = 16
	whats            = firstBucket + 15
)

func (w what) bucket() bool { return w >= firstBucket }

// classify says which edge a series is about, and what it counts of it; false for one that is not watched. The key's strings are those of the labels.
func classify(s *ingest.Sender, ls bus.Labels) (edgeKey, what, bool) {
	name := ls.Get("__name__")
	switch {
	case strings.HasPrefix(name, "istio_request"):
		return istio(s, ls, name)
	case strings.HasPrefix(name, "traces_service_graph_request_"):
		return graph(s, ls, name[len("traces_service_graph_request_"):])
	}
	return edgeKey{}, 0, false
}

// istio reads Istio's standard metrics: https://istio.io/latest/docs/reference/config/metrics/
func istio(s *ingest.Sender, ls bus.Labels, name string) (edgeKey, what, bool) {
	var k edgeKey
	var w what
	switch name {
	case "istio_requests_total":
		w = requests | outcome(ls.Get("response_code"), ls.Get("grpc_response_status"))
	case "istio_request_duration_milliseconds_bucket":
		var ok bool
		if w, ok = bucket(ls.Get("le"), 1); !ok {
			return k, 0, false
		}
	default:
		return k, 0, false
	}
	get := func(name string) string { return known(ls.Get(name)) }
	k.source = calls.End{Cluster: get("source_cluster"), Namespace: get("source_workload_namespace"), Service: cmp.Or(get("source_canonical_service"), get("source_workload"), calls.Unknown)}
	k.destination = calls.End{
		Cluster: get("destination_cluster"), Namespace: cmp.Or(get("destination_service_namespace"), get("destination_workload_namespace")),
		Service: cmp.Or(get("destination_canonical_service"), get("destination_service_name"), get("destination_workload"), calls.Unknown),
	}
	k.caller, k.version, k.stamp = get("source_canonical_revision"), get("destination_canonical_revision"), s.GlobalNamespace
	own, other := &k.destination, &k.source
	switch ls.Get("reporter") {
	case "destination", "waypoint": // a waypoint stands before the called service
		k.principal = get("source_principal")
		if !w.bucket() {
			w |= security(ls.Get("connection_security_policy"))
		}
	case "source":
		k.side, own, other = calls.SideSource, other, own
	default:
		return k, 0, false
	}
	if s.Cluster != "" {
		if other.Cluster == own.Cluster && other.Service != calls.Unknown {
			other.Cluster = s.Cluster
		}
		own.Cluster = s.Cluster
	}
	return k, w, true
}

// known returns "" for what Istio knows nothing of.
func known(v string) string {
	if v == calls.Unknown {
		return ""
	}
	return v
}

// outcome says whether a call failed: an HTTP status of 500 and more, or none because the answer never came, or a status of gRPC that blames the server.
func outcome(code, grpc string) what {
	switch grpc {
	case "", "0":
	case "2", "4", "12", "13", "14", "15": // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
		return failed
	}
	if code == "0" || len(code) == 3 && code[0] == '5' {
		return failed
	}
	return 0
}

func security(policy string) what {
	switch policy {
	case "mutual_tls":
		return mutual
	case "none":
		return plain
	}
	return 0
}

// bucket returns which bucket of latency a bound is, in a unit of so many milliseconds; false for one that is not counted.
func bucket(le string, unit float64) (what, bool) {
	bounds := calls.Bounds()
	v, err := strconv.ParseFloat(le, 64)
	if err != nil {
		return 0, false
	}
	if v > 1e300 {
		return firstBucket + what(len(bounds)), true
	}
	for i, b := range bounds {
		if d := v*unit - b; d < 1e-6 && d > -1e-6 {
			return firstBucket + what(i), true
		}
	}
	return 0, false
}

// graph reads the service graph of OpenTelemetry's connector and of Tempo, which is made of spans: connector/servicegraphconnector in opentelemetry-collector-contrib.
func graph(s *ingest.Sender, ls bus.Labels, part string) (edgeKey, what, bool) {
	k := edgeKey{side: calls.SideTraces, stamp: s.GlobalNamespace}
	var w what
	ok := true
	switch part {
	case "total":
		w = requests
	case "failed_total":
		w = failed
	case "server_seconds_bucket":
		w, ok = bucket(ls.Get("le"), 1000)
	case "server_milliseconds_bucket":
		w, ok = bucket(ls.Get("le"), 1)
	default:
		ok = false
	}
	if !ok {
		return k, 0, false
	}
	end := func(side string) calls.End {
		get := func(name string) string { return ls.Get(side + name) }
		return calls.End{
			Cluster: cmp.Or(s.Cluster, get("_k8s_cluster_name"), ls.Get("cluster")), Namespace: cmp.Or(get("_k8s_namespace_name"), get("_service_namespace")), Service: get(""),
		}
	}
	k.source, k.destination, k.caller, k.version = end("client"), end("server"), ls.Get("client_service_version"), ls.Get("server_service_version")
	if k.source.Service == "" || k.source.Service == "user" { // the connector's name of who is not traced
		k.source = calls.End{Service: calls.Unknown}
	}
	return k, w, k.destination.Service != ""
}
