// Package oracle compares three ways to count an error budget over the same random telemetry:
//
//   - exactly: a plain list of all increments, added up in rational numbers;
//   - Evenkeel: the slo stage, fed with the frames that a log would hold, read from its status frames;
//   - Prometheus: its own storage and query engine, asked sum(increase(bad[w])) / sum(increase(total[w])).
//
// Evenkeel must equal the exact count in every case. Prometheus does not, and each difference is taken apart, series by series, into
// the named reasons of [classes]; what is left over must be nothing, so that a difference without a reason fails.
//
// Slices of time have no peer in Prometheus: there the engine is held against the exact verdict of each slice (slices_test.go).
//
// It is a module of its own since Prometheus' storage and engine are no dependency of Evenkeel. `make test` plays 200 cases, `make soak`
// 1,000; go test -cases N -seed S plays others.
package oracle
