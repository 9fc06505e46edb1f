// Package hush silences the standard library's logger from the moment it is imported.
//
// A library that Evenkeel needs (VictoriaMetrics/metrics) writes a line about the machine's kernel with it while packages are being
// initialized, on every start of the program, before anything could say otherwise; "evenkeel status 2>&1" would carry it. Go initializes packages in the order of their
// import paths as far as their imports allow it (language specification, "Package initialization"), so that this one, which imports next to nothing, comes
// first. Evenkeel itself logs with log/slog; "evenkeel run" leads what libraries still write with the old logger into it.
package hush

import (
	"io"
	"log"
)

// Hushed says that the logger was silenced.
var Hushed = silence()

func silence() bool {
	log.SetOutput(io.Discard)
	return true
}
