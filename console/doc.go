// Package console is Evenkeel's HTTP side: the API, health, metrics and the mounting of the telemetry receivers.
//
// It turns requests into calls of small interfaces that it defines itself ([Definitions], [Events], [Deliveries], [Repairs], …) and
// their answers into JSON. It keeps no state. Every answer says of when it is (asOf), and one about SLOs how far that is behind the clock
// (lagSeconds). cmd/evenkeel/app joins the interfaces to the log.
//
// # Rights
//
// One middleware knows who asks and what that one may do. A request carries a token, as "Authorization: Bearer TOKEN" or as the password
// of basic authentication (the name is ignored), since a Prometheus can send either. Tokens are kept and compared as their SHA-256, in
// constant time.
//
//	role      may
//	viewer    read; with global namespaces named, only theirs
//	operator  read, resend deliveries, silence alerts, test targets, ask for and accept repairs; with global namespaces named, only theirs and no repairs
//	author    read, change definitions; with global namespaces named, only theirs
//	sender    append telemetry; with one global namespace named, its samples are stamped with it
//	admin     everything, also back-ups and profiles
//
// /healthz, /readyz and /metrics are open: they hold counts and states of parts, and no name of a service. Config.MetricsAuth closes
// /metrics for whom has no right to read. /metrics/slo, which names services, always asks for it.
//
// # Errors
//
// Whatever is refused is answered as {"error":{"code":"NotFound","message":"…","details":…}} with a fitting status: 400 wrong usage, 401 no or
// a wrong token, 403 no right, 404 not there, 409 a conflict of revisions or owners, 413 too large, 422 a definition with mistakes (the
// details are its problems with positions), 429 and 503 of the receivers. The receivers answer as their protocols say.
//
// # Bounds
//
// A body of definitions has at most [MaxDefinitionsBody] bytes, one of telemetry at most [MaxTelemetryBody] on the wire. Headers have 64 KiB
// and ten seconds. At most [MaxStreams] event streams, [MaxReports] reports and [MaxExports] exports are open at a time. A handler that
// panics answers 500, is counted and logged, and harms no other request.
package console
