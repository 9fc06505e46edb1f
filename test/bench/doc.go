// Package bench measures Evenkeel end to end, in one run on one machine, beside programs that take the same requests: a VictoriaMetrics
// single node and a Prometheus with its remote write receiver.
//
// A driver posts the same remote write bodies, 2,000 series each with a fresh timestamp, over eight connections, as fast as they are
// taken. What is compared is the processor time of the server's process (user and system, from /proc), from the first request until
// everything it took has reached its windows: HTTP in, matched, synced into JetStream, counted. The driver's own time is not in it.
//
// The comparison says what it costs to learn something from telemetry here and there, not that one is the better database: both peers
// build a store that can be queried later and do not sync each request to disk; Evenkeel syncs each request before it answers, keeps only
// what some SLO needs, and can be asked nothing but SLOs.
//
// A second part compares what one SLO of 1,000 series costs in a day: Evenkeel's stage and server, and a Prometheus over thirty days of
// history that evaluates the rules of Sloth and Pyrra; and it holds 100,000 SLOs in one process.
//
// `make bench` runs it (build tag "bench"); BENCH='-series 100000 -seconds 5' shortens it.
package bench
