package remotewrite

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// A reader walks the fields of one protobuf message. It copies nothing; after a mistake it is bad and has no more fields.
type reader struct {
	b   []byte
	bad bool

	// the field that next has found
	num   uint32
	wire  uint8
	value uint64 // of a varint or a fixed number
	data  []byte // of a message, string or packed list
}

const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// next moves to the next field and reports whether there is one.
func (r *reader) next() bool {
	b := r.b
	if len(b) > 1 && b[0] < 0x80 && b[0]&7 == wireBytes && b[0]>>3 != 0 && b[1] < 0x80 && int(b[1]) <= len(b)-2 { // nearly all are such
		end := 2 + int(b[1])
		r.num, r.wire, r.data, r.b = uint32(b[0]>>3), wireBytes, b[2:end], b[end:]
		return true
	}
	return r.nextSlow()
}

func (r *reader) nextSlow() bool {
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
		r.value = binary.LittleEndian.Uint64(r.b)
		r.b = r.b[8:]
	case wireBytes:
		n, ok := r.varint()
		if !ok || n > uint64(len(r.b)) {
			return r.fail()
		}
		r.data, r.b = r.b[:n], r.b[n:]
	case wire32:
		if len(r.b) < 4 {
			return r.fail()
		}
		r.value = uint64(binary.LittleEndian.Uint32(r.b))
		r.b = r.b[4:]
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
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := uint64(r.b[0])
		r.b = r.b[1:]
		return v, true
	}
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

// view returns b as a string that shares its memory: for look-ups and for labels that the gate copies.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// run returns the length of the fields at the beginning of b that are number 1 and bytes: the labels of a 1.0 series. It may
// return less than there are, never more.
func run(b []byte) int {
	at := 0
	for at+2 < len(b) && b[at] == 1<<3|wireBytes {
		n, head := int(b[at+1]), 2
		if n >= 0x80 {
			if b[at+2] >= 0x80 {
				return at
			}
			n, head = n&0x7f|int(b[at+2])<<7, 3
		}
		if n > len(b)-at-head {
			return at
		}
		at += head + n
	}
	return at
}

// plainSample reads a sample in the form in which nearly all are written: value, then timestamp, and nothing else.
func plainSample(b []byte) (v float64, t int64, ok bool) {
	if len(b) < 11 || b[0] != 1<<3|wire64 || b[9] != 2<<3|wireVarint {
		return 0, 0, false
	}
	v = math.Float64frombits(binary.LittleEndian.Uint64(b[1:]))
	var u uint64
	for i, c := range b[10:] {
		u |= uint64(c&0x7f) << (7 * i & 63)
		if c < 0x80 {
			return v, int64(u), i == len(b)-11 && i < 9
		}
	}
	return 0, 0, false
}
