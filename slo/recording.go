package slo

import "evenkeel.dev/bus"

// A Recording is one series with its samples in ascending order of time, as a test holds it in memory.
type Recording struct {
	Labels bus.Labels // sorted
	Times  []bus.Time
	Values []float64 // as many as Times
}
