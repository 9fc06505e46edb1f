package history

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"net/http"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"evenkeel.dev/bus"
)

// maxMessage bounds one message of a stream; Prometheus cuts them at 1 MiB by default, and its own client at 50 MB.
const maxMessage = 50_000_000

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// remoteRead asks for [from, to) over POST /api/v1/read.
func (p *Prometheus) remoteRead(ctx context.Context, ss []bus.Selector, from, to bus.Time) (*slice, error) {
	header := http.Header{"Content-Type": {"application/x-protobuf"}, "Content-Encoding": {"snappy"}, "Accept-Encoding": {"identity"},
		"X-Prometheus-Remote-Read-Version": {"0.1.0"}}
	s := newSlice(from, to, p.config.SliceBytes)
	protocol := p.protocol
	err := p.client.post(ctx, "/api/v1/read", header, snappy.Encode(nil, readRequest(ss, from, to)), func(resp *http.Response) error {
		s.empty()
		media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if err != nil {
			media = ""
		}
		switch media {
		case "application/x-streamed-protobuf":
			protocol = ProtocolStreamed
			return s.readStream(resp.Body, len(ss))
		case "application/x-protobuf":
			protocol = ProtocolSamples
			return s.readAnswer(resp.Body, len(ss))
		}
		return finalError{fmt.Errorf("the server answers remote read with content type %q, which is not known here", cut(resp.Header.Get("Content-Type")))}
	})
	if err != nil {
		return nil, limited(err)
	}
	p.protocol = protocol
	return s, nil
}

// readRequest encodes a prometheus.ReadRequest with one query per selector. Its times are both included.
func readRequest(ss []bus.Selector, from, to bus.Time) []byte {
	var req []byte
	for _, sel := range ss {
		q := appendInt(appendInt(nil, 1, int64(from)), 2, int64(to-1))
		for _, m := range sel.Matchers() {
			var t int64
			switch m.Type {
			case bus.MatchNotEqual:
				t = 1
			case bus.MatchRegexp:
				t = 2
			case bus.MatchNotRegexp:
				t = 3
			}
			lm := appendInt(nil, 1, t)
			lm = appendBytes(lm, 2, []byte(m.Name))
			lm = appendBytes(lm, 3, []byte(m.Value))
			q = appendBytes(q, 3, lm)
		}
		hints := appendInt(appendInt(nil, 3, int64(from)), 4, int64(to-1))
		q = appendBytes(q, 4, hints)
		req = appendBytes(req, 1, q)
	}
	return appendBytes(req, 2, []byte{1, 0}) // STREAMED_XOR_CHUNKS, else SAMPLES
}

// readStream reads messages: length (uvarint), CRC-32C (4 bytes, big endian), ChunkedReadResponse.
func (s *slice) readStream(r io.Reader, queries int) error {
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		size, err := binary.ReadUvarint(b)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the stream breaks off: %w", err)
		}
		if size > maxMessage {
			return finalError{fmt.Errorf("a message of %d bytes is over %d", size, maxMessage)}
		}
		if err := s.take(int(size)); err != nil {
			return err
		}
		var sum [4]byte
		if _, err := io.ReadFull(b, sum[:]); err != nil {
			return fmt.Errorf("the stream breaks off: %w", noEOF(err))
		}
		data, err := readN(b, int(size))
		if err != nil {
			return fmt.Errorf("the stream breaks off: %w", noEOF(err))
		}
		if crc32.Checksum(data, castagnoli) != binary.BigEndian.Uint32(sum[:]) {
			return errors.New("a message of the stream is damaged: its checksum does not fit")
		}
		if err := s.readMessage(data, queries); err != nil {
			return err
		}
	}
}

// readN reads n bytes without believing n before they have come.
func readN(r io.Reader, n int) ([]byte, error) {
	const step = 4 << 20
	data := make([]byte, 0, min(n, step))
	for len(data) < n {
		more := min(n-len(data), step)
		data = append(data, make([]byte, more)...)
		if _, err := io.ReadFull(r, data[len(data)-more:]); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// noEOF says that an end within a message is no end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errMessage = errors.New("a message of the server cannot be read")

// readMessage reads a prometheus.ChunkedReadResponse, whose chunks stay where they are.
func (s *slice) readMessage(b []byte, queries int) error {
	query := 0
	var series [][]byte
	r := reader{b: b}
	for r.next() {
		switch {
		case r.is(1, wireBytes):
			series = append(series, r.data)
		case r.is(2, wireVarint):
			if r.value >= uint64(queries) {
				return fmt.Errorf("%w: it answers query %d of %d", errMessage, r.value, queries)
			}
			query = int(r.value)
		}
	}
	if r.bad {
		return errMessage
	}
	for _, one := range series {
		if err := s.readSeries(one, query); err != nil {
			return err
		}
	}
	return nil
}

// readSeries reads a prometheus.ChunkedSeries.
func (s *slice) readSeries(b []byte, query int) error {
	ls, err := readLabels(b, 1)
	if err != nil {
		return err
	}
	c, err := s.columnOf(query, ls, 0)
	if err != nil || c == nil {
		return err
	}
	r := reader{b: b}
	for r.next() {
		if !r.is(2, wireBytes) {
			continue
		}
		k := chunk{}
		cr := reader{b: r.data}
		for cr.next() {
			switch {
			case cr.is(1, wireVarint):
				k.min = int64(cr.value)
			case cr.is(2, wireVarint):
				k.max = int64(cr.value)
			case cr.is(3, wireVarint):
				k.encoding = chunkenc.Encoding(min(cr.value, 255))
			case cr.is(4, wireBytes):
				k.data = cr.data
			}
		}
		if cr.bad {
			return errMessage
		}
		if err := s.addChunk(c, k); err != nil {
			return fmt.Errorf("%w: series %s: %w", errMessage, cut(ls.String()), err)
		}
	}
	return nil
}

// readLabels reads the labels that stand in a field of a series' message.
func readLabels(b []byte, field uint32) (bus.Labels, error) {
	var ls bus.Labels
	r := reader{b: b}
	for r.next() {
		if !r.is(field, wireBytes) {
			continue
		}
		var l bus.Label
		lr := reader{b: r.data}
		for lr.next() {
			switch {
			case lr.is(1, wireBytes):
				l.Name = string(lr.data)
			case lr.is(2, wireBytes):
				l.Value = string(lr.data)
			}
		}
		if lr.bad || len(ls) == bus.MaxLabels {
			return nil, errMessage
		}
		ls = append(ls, l)
	}
	if r.bad || len(ls) == 0 {
		return nil, errMessage
	}
	return ls.Sort(), nil
}

// readAnswer reads a whole prometheus.ReadResponse, packed with snappy.
func (s *slice) readAnswer(r io.Reader, queries int) error {
	packed, err := io.ReadAll(io.LimitReader(r, int64(s.limit)+1))
	if err != nil {
		return fmt.Errorf("the answer breaks off: %w", err)
	}
	n, err := snappy.DecodedLen(packed)
	switch {
	case len(packed) > s.limit || err == nil && n > s.limit:
		return fmt.Errorf("%w: the answer has over %d bytes", errTooLarge, s.limit)
	case err != nil:
		return fmt.Errorf("%w: %w", errMessage, err)
	}
	b, err := snappy.Decode(nil, packed)
	if err != nil {
		return fmt.Errorf("%w: %w", errMessage, err)
	}
	query := 0
	rr := reader{b: b}
	for rr.next() {
		if !rr.is(1, wireBytes) {
			continue
		}
		if query == queries {
			return fmt.Errorf("%w: it answers more than %d queries", errMessage, queries)
		}
		result := reader{b: rr.data}
		for result.next() {
			if result.is(1, wireBytes) {
				if err := s.readTimeSeries(result.data, query); err != nil {
					return err
				}
			}
		}
		if result.bad {
			return errMessage
		}
		query++
	}
	if rr.bad {
		return errMessage
	}
	return nil
}

// readTimeSeries reads a prometheus.TimeSeries.
func (s *slice) readTimeSeries(b []byte, query int) error {
	ls, err := readLabels(b, 1)
	if err != nil {
		return err
	}
	c, err := s.columnOf(query, ls, 0)
	if err != nil || c == nil {
		return err
	}
	var p points
	r := reader{b: b}
	for r.next() {
		switch {
		case r.is(2, wireBytes):
			var t int64
			var v float64
			sr := reader{b: r.data}
			for sr.next() {
				switch {
				case sr.is(1, wire64):
					v = sr.float()
				case sr.is(2, wireVarint):
					t = int64(sr.value)
				}
			}
			if sr.bad {
				return errMessage
			}
			p.add(t, v)
		case r.is(4, wireBytes):
			s.histograms++
		}
	}
	if r.bad {
		return errMessage
	}
	return s.addPlain(c, p.times, p.values)
}

// points collect samples in ascending order; what does not ascend is left out.
type points struct {
	times  []int64
	values []float64
}

func (p *points) add(t int64, v float64) {
	if n := len(p.times); n > 0 && t <= p.times[n-1] {
		return
	}
	p.times, p.values = append(p.times, t), append(p.values, v)
}
