package remotewrite

import (
	"errors"
	"math"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

// A histogram is what is read of a native histogram; the message is the same in both versions but for the start timestamp.
type histogram struct {
	count, sum float64
	t, start   bus.Time
	gauge      bool
}

// addHistogram takes count and sum of a native histogram as two series. They have hashes of their own, made from the series'.
func (k *work) addHistogram(b []byte, refuse bool) error {
	if refuse {
		k.histogramsBad++
		k.arrival.Refuse(ingest.Malformed, 1)
		return nil
	}
	h, ok := readHistogram(b, k.start)
	if !ok {
		return malformed("a histogram of series %d is cut short or damaged", k.number)
	}
	flags := k.flags
	if h.gauge {
		k.flags |= bus.SeriesGauge
	}
	defer func() { k.flags = flags }()
	base := k.hash.Join(ingest.Hash{A: k.flags, B: 3})
	before := k.arrival.Refused()
	start, err := k.addBuckets(base, b, &h)
	if errors.Is(err, errBuckets) {
		k.histogramsBad++
		k.arrival.Refuse(ingest.Malformed, 1)
		k.note(err.Error())
		return nil
	} else if err != nil {
		return err
	}
	for part, v := range [2]float64{h.count, h.sum} {
		hash := base.Join(ingest.Hash{A: uint64(part), B: 5})
		ref, known := k.arrival.RefHash(hash)
		if !known {
			var err error
			if ref, err = k.learn(hash, [2]string{"_count", "_sum"}[part]); err != nil {
				return err
			}
		}
		k.arrival.Add(ref, h.t, start, v)
		if k.arrival.Refused() > before {
			break
		}
	}
	if k.arrival.Refused() > before {
		k.histogramsBad++
	}
	return nil
}

func readHistogram(b []byte, start bus.Time) (histogram, bool) {
	const gauge = 3 // of the reset hints
	h := histogram{start: start}
	r := reader{b: b}
	for r.next() {
		switch {
		case r.is(1, wireVarint):
			h.count = float64(r.value)
		case r.is(2, wire64):
			h.count = r.float()
		case r.is(3, wire64):
			h.sum = r.float()
		case r.is(14, wireVarint):
			h.gauge = r.value == gauge
		case r.is(15, wireVarint):
			h.t = bus.Time(r.value)
		case r.is(17, wireVarint):
			h.start = bus.Time(r.value)
		}
	}
	if math.Float64bits(h.sum) == ingest.StaleMarker {
		h.count = h.sum
	}
	return h, !r.bad
}
