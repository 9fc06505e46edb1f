package remotewrite

import (
	"encoding/binary"
	"fmt"
	"net/http"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

// A symbol is one entry of the table of symbols of a 2.0 request.
type symbol struct {
	text []byte
	hash ingest.Hash
}

const symbolBytes = 40

// countSymbol holds the request to its bounds and counts the memory that its symbols take.
func (k *work) countSymbol(maxSymbols int) error {
	const chunk = 4096
	n := len(k.symbols)
	if n == maxSymbols {
		return &statusError{http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d symbols", maxSymbols)}
	}
	if n > 0 && n%chunk == 0 {
		return k.loan.take(chunk * symbolBytes)
	}
	return nil
}

// walkV2 walks an io.prometheus.write.v2.Request: first its symbols, wherever they stand, then its series.
func (k *work) walkV2(body []byte, maxSymbols int) error {
	r := reader{b: body}
	for r.next() {
		if !r.is(4, wireBytes) {
			continue
		}
		if err := k.countSymbol(maxSymbols); err != nil {
			return err
		}
		k.symbols = append(k.symbols, symbol{text: r.data, hash: k.gate.Hash(r.data)})
	}
	if r.bad {
		return malformed("body is no %s: it is cut short or damaged", protoV2)
	}
	if len(k.symbols) > 0 && len(k.symbols[0].text) > 0 {
		return malformed("symbol 0 is %.64q; it must be empty", k.symbols[0].text)
	}
	k.format = format{histogramField: 3, decode: decodeV2}
	r = reader{b: body}
	for r.next() {
		if !r.is(5, wireBytes) {
			continue
		}
		if err := k.seriesV2(r.data); err != nil {
			return err
		}
	}
	return k.takeGroup()
}

// seriesV2 walks an io.prometheus.write.v2.TimeSeries.
func (k *work) seriesV2(data []byte) error {
	k.series = series{number: k.number + 1, labelData: data}
	k.refs = k.refs[:0]
	ok := true
	r := reader{b: data}
	for at := 0; r.next(); at = len(data) - len(r.b) {
		switch {
		case r.is(1, wireBytes):
			ok = k.addRefs(r.data) && ok
		case r.is(1, wireVarint): // not packed, which every reader has to understand
			k.addRef(r.value)
		case r.is(2, wireBytes), r.is(3, wireBytes):
			if k.points == nil {
				k.points = data[at:]
			}
		case r.is(4, wireBytes):
			k.exemplars++
		case r.is(5, wireBytes):
			k.flags = metadataFlags(r.data)
		case r.is(6, wireVarint): // created timestamp, before 2.0-rc.4
			k.start = bus.Time(r.value)
		}
	}
	if r.bad || !ok {
		return malformed("series %d is cut short or damaged", k.number)
	}
	k.why = k.joinRefs()
	return k.join()
}

// maxRefs bounds the references of a series. More labels than a frame can hold are refused anyway, so that what is beyond needs no
// memory.
const maxRefs = 2 * (bus.MaxLabels + 1)

func (k *work) addRef(v uint64) {
	if len(k.refs) < maxRefs {
		k.refs = append(k.refs, uint32(min(v, 1<<32-1)))
	}
}

// addRefs reads a packed list of references.
func (k *work) addRefs(b []byte) bool {
	for len(b) > 0 {
		switch {
		case b[0] < 0x80:
			k.addRef(uint64(b[0]))
			b = b[1:]
			continue
		case len(b) > 1 && b[1] < 0x80:
			k.addRef(uint64(b[0]&0x7f) | uint64(b[1])<<7)
			b = b[2:]
			continue
		}
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		k.addRef(v)
		b = b[n:]
	}
	return true
}

// joinRefs computes the series' hash from those of its symbols, or says why it has none.
func (k *work) joinRefs() string {
	if len(k.refs)%2 != 0 {
		return "an odd number of label references"
	}
	h := ingest.Hash{A: uint64(k.flags), B: uint64(len(k.refs))}
	for _, ref := range k.refs {
		if uint64(ref) >= uint64(len(k.symbols)) {
			return "a label reference is beyond the table of symbols"
		}
		h = h.Join(k.symbols[ref].hash)
	}
	k.hash = h
	return ""
}

// decodeV2 reads the references of the series at hand again and resolves them into k.labels. They were found good before.
func decodeV2(k *work) error {
	k.refs, k.labels = k.refs[:0], k.labels[:0]
	r := reader{b: k.labelData}
	for r.next() {
		switch {
		case r.is(1, wireBytes):
			k.addRefs(r.data)
		case r.is(1, wireVarint):
			k.addRef(r.value)
		}
	}
	for i := 0; i+1 < len(k.refs) && len(k.labels) <= bus.MaxLabels; i += 2 {
		k.labels = append(k.labels, bus.Label{Name: view(k.symbols[k.refs[i]].text), Value: view(k.symbols[k.refs[i+1]].text)})
	}
	return nil
}

// metadataFlags marks what is surely no counter. Senders often say nothing, which means nothing.
func metadataFlags(b []byte) uint64 {
	const gauge, gaugeHistogram, info, stateset = 2, 4, 7, 8
	r := reader{b: b}
	flags := uint64(0)
	for r.next() {
		if r.is(1, wireVarint) {
			switch r.value {
			case gauge, gaugeHistogram, info, stateset:
				flags = bus.SeriesGauge
			default:
				flags = 0
			}
		}
	}
	return flags
}
