package bus

import (
	"encoding/binary"
	"hash/crc32"
)

// reseal gives bytes the magic and the checksum of a frame.
func reseal(b []byte) {
	if len(b) < 8 {
		return
	}
	copy(b, frameMagic[:])
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
}
