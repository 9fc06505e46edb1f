package ingest

import (
	"strings"
	"sync"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A bound is one of a classic histogram that a definition needs. Where no bucket has it, nothing would be counted, and nobody would
// know why; so the partition is told of the buckets beside it.
type bound struct {
	slo.Bound
	space     string
	partition int

	mu   sync.Mutex
	near slo.Neighbours // that were told
}

func (x *index) addBound(space string, partition int, t slo.Term) {
	if b, ok := slo.BoundOf(&t); ok {
		name := t.Selector.MetricName()
		x.beside[name] = append(x.beside[name], &bound{Bound: b, space: space, partition: partition})
	}
}

// tellBeside notes a bucket that stands nearer beside a needed bound than those before, for the next frame.
func (a *Arrival) tellBeside(space string, ls bus.Labels) {
	if len(a.view.index.beside) == 0 {
		return
	}
	for _, b := range a.view.index.beside[ls.Get(labelName)] {
		if space != "" && space != b.space || len(a.refusals) >= tellMax || !b.Beside(ls) {
			continue
		}
		b.mu.Lock()
		nearer := b.near.Add(b.Bound, ls.Get(slo.LabelBound))
		b.mu.Unlock()
		if nearer {
			a.refusals = append(a.refusals, refusal{mask: 1 << b.partition, flags: bus.SeriesBeside, space: strings.Clone(space), labels: string(ls.Append(nil))})
		}
	}
}
