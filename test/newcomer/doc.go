// Package newcomer does what the README tells a newcomer to do in the first ten minutes, word for word where it can: it copies the
// project into an empty folder, runs `make run`, starts Debian's Prometheus with the configuration that stands in the README, looks at
// the SLO of the example folder, and burns budget until the page comes. Only addresses are replaced, so that it runs beside others.
package newcomer
