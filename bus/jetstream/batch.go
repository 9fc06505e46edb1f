package jetstream

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Bounds of what an agent hands in at once.
const (
	batchBytes   = 512 << 10 // of data; one record may be larger
	batchRecords = 256
	recordMax    = 2 << 20 // of one record
	packedOver   = 1 << 10 // smaller batches go as they are
)

// encodingZstd in headerEncoding says that the body of a batch is compressed.
const encodingZstd = "zstd"

// A Parcel is one record of an outbox, with its number there.
type Parcel struct {
	N    uint64
	Data []byte
}

// packBatch writes parcels one behind the other: number, length, data; the numbers as unsigned varints. It is compressed where that is worth it.
func packBatch(ps []Parcel) (body []byte, encoding string) {
	for _, p := range ps {
		body = binary.AppendUvarint(body, p.N)
		body = binary.AppendUvarint(body, uint64(len(p.Data)))
		body = append(body, p.Data...)
	}
	if len(body) <= packedOver {
		return body, ""
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return body, "" // its options are right: it cannot be
	}
	defer e.Close() //nolint:errcheck // nothing was written through it
	return e.EncodeAll(body, nil), encodingZstd
}

var errBatch = errors.New("the batch cannot be read")

// unpackBatch reads what packBatch wrote. It never takes more memory than the bounds of a batch.
func unpackBatch(body []byte, encoding string) ([]Parcel, error) {
	switch encoding {
	case "":
	case encodingZstd:
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(batchBytes+recordMax+batchRecords*20), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		if body, err = d.DecodeAll(body, nil); err != nil {
			return nil, fmt.Errorf("%w: %w", errBatch, err)
		}
	default:
		return nil, fmt.Errorf("%w: unknown encoding", errBatch)
	}
	var out []Parcel
	for len(body) > 0 {
		n, a := binary.Uvarint(body)
		if a <= 0 {
			return nil, errBatch
		}
		size, b := binary.Uvarint(body[a:])
		if b <= 0 || size > recordMax || size > uint64(len(body)-a-b) || len(out) == batchRecords {
			return nil, errBatch
		}
		if n == 0 || len(out) > 0 && n <= out[len(out)-1].N {
			return nil, errBatch
		}
		out = append(out, Parcel{n, body[a+b : a+b+int(size)]})
		body = body[a+b+int(size):]
	}
	return out, nil
}
