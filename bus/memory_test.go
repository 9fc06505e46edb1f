package bus_test

import (
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/logtest"
)

// TestMemory: tests, stories and simulations would show what the durable log does not do.
func TestMemory(t *testing.T) {
	memory := func(l bus.Log) *bus.Memory { return l.(*bus.Memory) }
	logtest.Run(t, logtest.Suite{
		Fresh: func(*testing.T) bus.Log { return bus.NewMemory() },
		Lose:  func(_ *testing.T, l bus.Log, seq uint64) { memory(l).Lose(seq) },
		Purge: func(_ *testing.T, l bus.Log, before uint64) { memory(l).Purge(before) },
		Full:  func(_ *testing.T, l bus.Log, full bool) { memory(l).SetFull(full) },
		Rot:   func(_ *testing.T, l bus.Log, ref bus.SnapshotRef) { memory(l).Rot(ref.Name) },
		Seeds: 40,
	})
}
