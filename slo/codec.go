package slo

import (
	"encoding/binary"
	"errors"
	"math"
)

var errCut = errors.New("slo: the bytes are cut short or no valid encoding")

// An encoder appends numbers and strings in a compact form: whole numbers as varints, floats that are whole as varints too.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) byte(v byte)   { e.b = append(e.b, v) }
func (e *encoder) str(v string)  { e.uint(uint64(len(v))); e.b = append(e.b, v...) }

func (e *encoder) bool(v bool) {
	if v {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

// maxWhole is below 2^53, so that a whole number and its varint are the same.
const maxWhole = 1 << 53

// float writes a float: one that is whole as a varint shifted by one bit, any other as 1 and its 8 bytes.
func (e *encoder) float(v float64) {
	if v == math.Trunc(v) && v > -maxWhole && v < maxWhole && !(v == 0 && math.Signbit(v)) {
		e.uint(zigzag(int64(v)) << 1)
		return
	}
	e.uint(1)
	e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(v))
}

func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

// A reader is the inverse of encoder. After the first fault everything it returns is zero.
type reader struct {
	b       []byte
	bad     bool
	version byte // of a state
}

func (d *reader) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) int() int64 {
	u := d.uint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *reader) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *reader) bool() bool { return d.byte() == 1 }

func (d *reader) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *reader) str() string { return string(d.bytes(d.uint())) }

func (d *reader) float() float64 {
	u := d.uint()
	if u&1 == 0 {
		u >>= 1
		return float64(int64(u>>1) ^ -int64(u&1))
	}
	b := d.bytes(8)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// count reads a number of things of at least size bytes each.
func (d *reader) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *reader) fail() { d.bad, d.b = true, nil }

// end returns an error unless everything was read, and rightly.
func (d *reader) end() error {
	if d.bad || len(d.b) > 0 {
		return errCut
	}
	return nil
}
