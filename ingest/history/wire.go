package history

import (
	"encoding/binary"
	"math"
)

// A reader walks the fields of one protobuf message. It copies nothing; after a mistake it is bad and has no more fields.
type reader struct {
	b   []byte
	bad bool

	// the field that next has found
	num   uint32
	wire  uint8
	value uint64 // of a varint or a fixed number
	data  []byte // of a message or string
}

const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// next moves to the next field and reports whether there is one.
func (r *reader) next() bool {
	if len(r.b) == 0 {
		return false
	}
	tag, ok := r.varint()
	if !ok || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return r.fail()
	}
	r.num, r.wire = uint32(tag>>3), uint8(tag&7)
	switch r.wire {
	case wireVarint:
		if r.value, ok = r.varint(); !ok {
			return r.fail()
		}
	case wire64:
		if len(r.b) < 8 {
			return r.fail()
		}
		r.value, r.b = binary.LittleEndian.Uint64(r.b), r.b[8:]
	case wireBytes:
		n, ok := r.varint()
		if !ok || n > uint64(len(r.b)) {
			return r.fail()
		}
		r.data, r.b = r.b[:n:n], r.b[n:]
	case wire32:
		if len(r.b) < 4 {
			return r.fail()
		}
		r.value, r.b = uint64(binary.LittleEndian.Uint32(r.b)), r.b[4:]
	default: // groups are in no version of the message
		return r.fail()
	}
	return true
}

func (r *reader) fail() bool {
	r.bad, r.b = true, nil
	return false
}

func (r *reader) varint() (uint64, bool) {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		return 0, false
	}
	r.b = r.b[n:]
	return v, true
}

// is reports whether the field is number num of the wire type.
func (r *reader) is(num uint32, wire uint8) bool { return r.num == num && r.wire == wire }

func (r *reader) float() float64 { return math.Float64frombits(r.value) }

func appendInt(b []byte, num uint64, v int64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, num<<3|wireVarint), uint64(v))
}

func appendBytes(b []byte, num uint64, data []byte) []byte {
	b = binary.AppendUvarint(b, num<<3|wireBytes)
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}
