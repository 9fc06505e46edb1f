package remotewrite

import (
	"evenkeel.dev/bus"
)

// walkV1 walks a prometheus.WriteRequest.
func (k *work) walkV1(body []byte) error {
	k.format = format{histogramField: 4, decode: decodeV1}
	r := reader{b: body}
	for r.next() {
		if !r.is(1, wireBytes) {
			continue
		}
		if err := k.seriesV1(r.data); err != nil {
			return err
		}
	}
	if r.bad {
		return malformed("body is no %s: it is cut short or damaged after %d series", protoV1, k.number)
	}
	return k.takeGroup()
}

// seriesV1 walks a prometheus.TimeSeries. Its key is the bytes of its label fields, which stand together but for odd encoders.
func (k *work) seriesV1(data []byte) error {
	k.series = series{number: k.number + 1}
	k.key = k.key[:0]
	from, to := 0, run(data) // the label fields that stand together last are data[from:to]
	r := reader{b: data[to:]}
	for at := to; r.next(); at = len(data) - len(r.b) {
		switch {
		case r.is(1, wireBytes):
			if to != at {
				k.key = append(k.key, data[from:to]...)
				from = at
			}
			to = len(data) - len(r.b)
		case r.is(2, wireBytes), r.is(4, wireBytes):
			if k.points == nil {
				k.points = data[at:]
			}
		case r.is(3, wireBytes):
			k.exemplars++
		}
	}
	if r.bad {
		return malformed("series %d is cut short or damaged", k.number)
	}
	k.labelData = data[from:to]
	if len(k.key) == 0 {
		k.hash = k.gate.Hash(k.labelData)
		return k.join()
	}
	k.key = append(k.key, k.labelData...)
	k.labelData = k.key
	k.hash = k.gate.Hash(k.key)
	if err := k.join(); err != nil {
		return err
	}
	return k.takeGroup() // before the next series uses k.key
}

// decodeV1 decodes prometheus.Label fields into k.labels.
func decodeV1(k *work) error {
	k.labels = k.labels[:0]
	r := reader{b: k.labelData}
	for r.next() {
		l := reader{b: r.data}
		var out bus.Label
		for l.next() {
			switch {
			case l.is(1, wireBytes):
				out.Name = view(l.data)
			case l.is(2, wireBytes):
				out.Value = view(l.data)
			}
		}
		if l.bad {
			return malformed("a label of series %d is damaged", k.number)
		}
		if len(k.labels) > bus.MaxLabels { // the gate refuses it by its own bound; more of them need no memory
			break
		}
		k.labels = append(k.labels, out)
	}
	return nil
}
