// Package calls knows who calls whom: the edges between services, with requests, failures, latency and encryption of the last hour.
//
// Whoever takes telemetry in (ingest/watch) appends an [Observation] every ten seconds with what each edge had since the last. The stage keeps it in
// buckets of a minute, says which global namespace each end belongs to (by what mesh/inventory tells of services, or by the identity of the sender), and
// answers with one public event
//
//	evenkeel.mesh.call.<gns>.<service>.<cluster>.<namespace>.<call>
//
// when a call is seen for the first time, when it was seen in plaintext for the first time, and when it was idle for an hour. The names are those of
// the called service; the last is a number, since a caller in another global namespace is not named. Figures are no events.
//
// # Each call counts once
//
// A call may be reported by the proxy of the called service, by that of the caller, and by traces. What the called service reports is taken; where it
// reports nothing in the time that is asked for, the caller's reports are, and where there are none, traces.
//
// # What it is good for
//
// It is a picture and no ledger: an engine that dies loses up to ten seconds of it, and what is over a bound is left out, counted and told. Service level
// objectives are counted elsewhere, from every sample. A picture is not trusted either: what a sender that is bound to a global namespace says of
// another one's services shows in its own picture alone (SAFETY 14).
package calls
