package otlp

import (
	"encoding/binary"
	"errors"
	"math"
)

// Wire types of protobuf; groups are refused, OTLP has none.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errWire = errors.New("the protobuf message is malformed")

// A field is one field of a protobuf message. Its tag is the number shifted by three with the wire type; a known number with
// another wire type is an unknown field, as the protobuf specification asks.
type field struct {
	tag   uint64
	num   uint64 // of varint, fixed64 and fixed32
	bytes []byte // of length-delimited fields; refers to the message
}

func tagVarint(number uint64) uint64  { return number<<3 | wireVarint }
func tagFixed64(number uint64) uint64 { return number<<3 | wireFixed64 }
func tagBytes(number uint64) uint64   { return number<<3 | wireBytes }

// A cursor walks the fields of one message without copying it.
type cursor struct {
	b   []byte
	bad bool
}

// next reads one field and reports whether there was one; after false, bad says whether the message was malformed.
func (c *cursor) next(f *field) bool {
	if len(c.b) == 0 || c.bad {
		return false
	}
	f.tag = c.varint()
	if f.tag>>3 == 0 || f.tag>>3 > 1<<29-1 {
		c.bad = true
	}
	switch f.tag & 7 {
	case wireVarint:
		f.num = c.varint()
	case wireFixed64:
		f.num = c.fixed64()
	case wireBytes:
		f.bytes = c.bytes()
	case wireFixed32:
		f.num = c.fixed32()
	default:
		c.bad = true
	}
	return !c.bad
}

func (c *cursor) varint() uint64 {
	if len(c.b) > 0 && c.b[0] < 0x80 {
		v := uint64(c.b[0])
		c.b = c.b[1:]
		return v
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) fixed64() uint64 {
	if len(c.b) < 8 {
		c.bad, c.b = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint64(c.b)
	c.b = c.b[8:]
	return v
}

func (c *cursor) fixed32() uint64 {
	if len(c.b) < 4 {
		c.bad, c.b = true, nil
		return 0
	}
	v := uint64(binary.LittleEndian.Uint32(c.b))
	c.b = c.b[4:]
	return v
}

func (c *cursor) bytes() []byte {
	n := c.varint()
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

// appendFixed64 appends the numbers of a repeated fixed64 field: packed in one length-delimited field or one at a time.
func appendFixed64(dst []uint64, f *field) ([]uint64, bool) {
	if f.tag&7 == wireFixed64 {
		return append(dst, f.num), true
	}
	if len(f.bytes)%8 != 0 {
		return dst, false
	}
	for b := f.bytes; len(b) > 0; b = b[8:] {
		dst = append(dst, binary.LittleEndian.Uint64(b))
	}
	return dst, true
}

// appendDouble does what appendFixed64 does, for doubles.
func appendDouble(dst []float64, f *field) ([]float64, bool) {
	if f.tag&7 == wireFixed64 {
		return append(dst, math.Float64frombits(f.num)), true
	}
	if len(f.bytes)%8 != 0 {
		return dst, false
	}
	for b := f.bytes; len(b) > 0; b = b[8:] {
		dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
	return dst, true
}
