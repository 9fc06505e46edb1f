package console

import (
	"net/http"
	"net/http/pprof"
)

// routes is the one list of what is served, and of the right that each route asks for.
func (s *Server) routes() {
	open := func(pattern string, h http.HandlerFunc) { s.mux.HandleFunc(pattern, h) }
	with := func(want right, pattern string, part bool, h http.HandlerFunc) {
		if !part {
			h = s.elsewhere
		}
		s.mux.HandleFunc(pattern, s.guard(want, h))
	}

	open("GET /healthz", s.healthz)
	open("GET /readyz", s.readyz)
	if s.MetricsAuth {
		with(mayRead, "GET /metrics", true, s.whole(s.metrics))
	} else {
		open("GET /metrics", s.metrics)
	}
	with(mayRead, "GET /metrics/slo", s.Statuses != nil, s.sloMetrics)

	with(maySend, "POST /api/v1/write", s.Write != nil, s.telemetry(s.Write))
	with(maySend, "POST /v1/metrics", s.OTLP != nil, s.telemetry(s.OTLP))

	with(mayRead, "GET /api/v1/version", true, s.version)
	with(mayRead, "GET /api/v1/slos", s.Statuses != nil, s.listSLOs)
	with(mayRead, "GET /api/v1/slos/{gns}/{service}/{slo}", s.Statuses != nil, s.getSLO)

	with(mayRead, "GET /api/v1/clusters", s.Mesh != nil, s.listClusters)
	with(mayRead, "GET /api/v1/services", s.Mesh != nil, s.listServices)
	with(mayRead, "GET /api/v1/instances", s.Mesh != nil, s.listInstances)
	with(mayRead, "GET /api/v1/groups", s.Mesh != nil, s.listGroups)
	with(mayRead, "GET /api/v1/gns", s.Mesh != nil, s.listGlobalNamespaces)

	with(mayRead, "GET /api/v1/mesh/objects", s.Mesh != nil && s.Definitions != nil, s.whole(s.listObjects))
	with(mayRead, "GET /api/v1/mesh/plaintext", s.Mesh != nil && s.Definitions != nil, s.listPlaintext)
	with(mayRead, "GET /api/v1/calls", s.Mesh != nil, s.listCalls)

	with(mayRead, "GET /api/v1/report", s.Reports != nil, s.report)

	with(mayAuthor, "POST /api/v1/slos/{gns}/{service}/{slo}/backfill", s.Backfills != nil && s.Statuses != nil, s.backfill)

	with(mayRead, "GET /api/v1/definitions", s.Definitions != nil, s.listDefinitions)
	with(mayRead, "GET /api/v1/definitions/{kind}/{namespace}/{name}", s.Definitions != nil, s.getDefinition)
	with(mayAuthor, "POST /api/v1/definitions", s.Definitions != nil, s.applyDefinitions)
	with(mayAuthor, "DELETE /api/v1/definitions/{kind}/{namespace}/{name}", s.Definitions != nil, s.deleteDefinition)
	with(mayRead, "POST /api/v1/definitions/diff", s.Definitions != nil, s.diffDefinitions)

	with(mayRead, "GET /api/v1/events", s.Events != nil, s.streamEvents)
	with(mayRead, "GET /api/v1/events/schema", s.Schema != nil, s.eventsSchema)
	with(mayRead, "GET /api/v1/deliveries", s.Deliveries != nil, s.listDeliveries)
	with(mayOperate, "POST /api/v1/deliveries/{id}/resend", s.Deliveries != nil, s.resendDelivery)
	with(mayRead, "GET /api/v1/silences", s.Silences != nil, s.listSilences)
	with(mayOperate, "POST /api/v1/silences", s.Silences != nil, s.addSilence)
	with(mayOperate, "DELETE /api/v1/silences/{id}", s.Silences != nil, s.expireSilence)
	with(mayOperate, "POST /api/v1/targets/{namespace}/{name}/test", s.TargetTests != nil, s.testTarget)
	with(mayRead, "GET /api/v1/targets", s.Targets != nil, s.whole(s.listTargets))
	with(mayRead, "GET /api/v1/repair", s.Repairs != nil, s.whole(s.explainRepair))
	with(mayOperate, "POST /api/v1/repair", s.Repairs != nil, s.whole(s.acceptRepair))
	with(mayRead, "GET /api/v1/log", s.Records != nil, s.whole(s.streamRecords))
	with(mayAdminister, "POST /api/v1/backup", s.Backups != nil, s.backup)

	with(mayAuthor, "POST /api/v1/clusters", s.Clusters != nil, s.whole(s.attachCluster))
	with(mayAuthor, "DELETE /api/v1/clusters/{name}", s.Clusters != nil, s.whole(s.detachCluster))
	if s.Clusters != nil {
		open("POST /api/v1/clusters/{name}/enrol", s.enrolAgent) // the token in the body is the right
	}

	if s.Pprof {
		s.profiles()
	}
	open("/", s.notFound)
}

func (s *Server) profiles() {
	for path, h := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		s.mux.HandleFunc("/debug/pprof/"+path, s.guard(mayAdminister, h))
	}
}

// whole refuses identities that are bound to global namespaces where an answer cannot be cut to them.
func (s *Server) whole(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if id := IdentityOf(r.Context()); len(id.GlobalNamespaces) > 0 {
			s.counts.Forbidden.Add(1)
			writeError(w, http.StatusForbidden, "Forbidden", id.Name+" is bound to global namespaces, and this answer is about the whole engine", nil)
			return
		}
		next(w, r)
	}
}

func (s *Server) telemetry(h http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, MaxTelemetryBody)
		h.ServeHTTP(w, r)
	}
}

func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, "NotHere", "this process does not have the role that answers "+r.URL.Path+"; see --roles", nil)
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, "NotFound", "there is nothing at "+r.Method+" "+r.URL.Path, nil)
}
