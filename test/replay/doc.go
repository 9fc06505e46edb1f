// Package replay tests `evenkeel replay` against servers: a synthetic one in process, which knows every sample it gives and can misbehave,
// and, behind the build tag "peers", Debian's Prometheus. The benchmark of a 30-day replay runs behind the build tag "bench".
package replay
