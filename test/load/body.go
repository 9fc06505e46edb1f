// Package load makes Prometheus remote write requests, 1.0 and 2.0, and sends them: for the tests that need exact counts under
// kills, and for the benchmark. It is written from the specification and shares no code with the product, so that a mistake in one
// is not hidden by the same mistake in the other.
//
// A [Body] is encoded once; its timestamps and values have a fixed width in the encoding and are patched in place, so that the
// driver of a benchmark costs little beside the server it measures.
package load

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/snappy"
)

// A Version is one of the two protocols.
type Version int

// The protocols, by the version in their header.
const (
	V1 Version = iota + 1 // prometheus.WriteRequest, 0.1.0
	V2                    // io.prometheus.write.v2.Request, 2.0.0
)

// String returns the version as people say it.
func (v Version) String() string { return fmt.Sprintf("%d.0", int(v)) }

// A Series is the labels of a series: name, value, name, value, …, sorted by name.
type Series []string

// Counter returns the series of a counter with these further labels.
func Counter(metric string, labels ...string) Series {
	pairs := [][2]string{{"__name__", metric}}
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, [2]string{labels[i], labels[i+1]})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		switch {
		case a[0] < b[0]:
			return -1
		case a[0] > b[0]:
			return 1
		}
		return 0
	})
	s := make(Series, 0, 2*len(pairs))
	for _, p := range pairs {
		s = append(s, p[0], p[1])
	}
	return s
}

// A Body is one request with one sample for each of its series.
type Body struct {
	Version Version
	raw     []byte
	at      []place
}

// A place is where a sample's value and time stand in the encoding.
type place struct{ value, time int }

// timeWidth is the length of a varint of milliseconds from 2004 to 2109.
const timeWidth = 6

// NewBody encodes a request over the series. Values and times are zero until set.
func NewBody(v Version, series []Series) *Body {
	b := &Body{Version: v, at: make([]place, 0, len(series))}
	if v == V2 {
		b.encodeV2(series)
	} else {
		b.encodeV1(series)
	}
	return b
}

// Len is the number of samples.
func (b *Body) Len() int { return len(b.at) }

// Set sets the value and the time, in milliseconds, of the i-th series' sample.
func (b *Body) Set(i int, value float64, ms int64) {
	binary.LittleEndian.PutUint64(b.raw[b.at[i].value:], math.Float64bits(value))
	putTime(b.raw[b.at[i].time:], ms)
}

// Stamp sets the same value and time for all series.
func (b *Body) Stamp(value float64, ms int64) {
	for i := range b.at {
		b.Set(i, value, ms)
	}
}

// Compress returns the request as it goes over the wire, using dst where it is large enough.
func (b *Body) Compress(dst []byte) []byte { return snappy.Encode(dst[:cap(dst)], b.raw) }

func putTime(dst []byte, ms int64) {
	for i := range timeWidth - 1 {
		dst[i] = byte(ms>>(7*i)) | 0x80
	}
	dst[timeWidth-1] = byte(ms >> (7 * (timeWidth - 1)) & 0x7f)
}

// Fields of prometheus.WriteRequest and what it holds.
func (b *Body) encodeV1(series []Series) {
	var ts []byte
	for _, s := range series {
		ts = ts[:0]
		for i := 0; i < len(s); i += 2 {
			var label []byte
			label = appendBytes(label, 1, s[i])
			label = appendBytes(label, 2, s[i+1])
			ts = appendBytes(ts, 1, string(label))
		}
		b.appendSeries(1, ts)
	}
}

// Fields of io.prometheus.write.v2.Request and what it holds. The symbol table begins with the empty string.
func (b *Body) encodeV2(series []Series) {
	refs := map[string]uint64{"": 0}
	symbols := []string{""}
	var body Body
	for _, s := range series {
		var packed []byte
		for _, text := range s {
			ref, ok := refs[text]
			if !ok {
				ref = uint64(len(symbols))
				refs[text] = ref
				symbols = append(symbols, text)
			}
			packed = binary.AppendUvarint(packed, ref)
		}
		ts := appendBytes(nil, 1, string(packed))
		ts = appendBytes(ts, 5, "\x08\x01") // metadata: type counter
		body.appendSeries(5, ts)
	}
	for _, s := range symbols {
		b.raw = appendBytes(b.raw, 4, s)
	}
	shift := len(b.raw)
	b.raw = append(b.raw, body.raw...)
	for _, p := range body.at {
		b.at = append(b.at, place{p.value + shift, p.time + shift})
	}
}

// appendSeries appends a TimeSeries message under the field: what is given, then one sample (field 2 in both versions).
func (b *Body) appendSeries(field byte, ts []byte) {
	const sample = 1 + 8 + 1 + timeWidth
	b.raw = append(b.raw, field<<3|2)
	b.raw = binary.AppendUvarint(b.raw, uint64(len(ts)+2+sample))
	b.raw = append(b.raw, ts...)
	b.raw = append(b.raw, 2<<3|2, sample, 1<<3|1)
	value := len(b.raw)
	b.raw = append(b.raw, make([]byte, 8)...)
	b.raw = append(b.raw, 2<<3)
	b.at = append(b.at, place{value, len(b.raw)})
	b.raw = append(b.raw, make([]byte, timeWidth)...)
	putTime(b.raw[len(b.raw)-timeWidth:], 0)
}

func appendBytes(dst []byte, field byte, s string) []byte {
	dst = append(dst, field<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
