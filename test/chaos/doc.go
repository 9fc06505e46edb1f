// Package chaos kills, stops and damages Evenkeel while it counts, as a process and with its files, and demands at the end what
// nothing may change: good and total of every SLO equal the sender's exact integers, and each alert was told once.
//
// Nothing here asks Evenkeel how it should be done: the sender is an own implementation of remote write that repeats a request until
// it is taken, as Prometheus does, and counts for itself. The tests run behind the build tag "peers" (make test: 10 kills;
// make soak: 50, and more seeds).
//
// kill -9 proves that nothing depends on the process's memory. It proves nothing about power loss: what the kernel has taken from the
// process survives a kill whether or not it was synced.
package chaos
