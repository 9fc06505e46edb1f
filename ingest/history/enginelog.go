package history

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"evenkeel.dev/bus"
)

// An engine's own log is another kind of history: not samples by their time, but the very records that its stages have read, in their
// order and at the time at which they came. On the wire, numbers being uvarints:
//
//	"EKL1", then for each record: length of its subject, subject, time (zigzag), length of its data, data
//	at the end: 0, the number of records
//
// What ends without its number has been cut.
const logMagic = "EKL1"

// Bounds of one record of a log, as the log itself has them.
const (
	maxSubject = 1 << 10
	maxRecord  = 8 << 20
)

// A LogWriter writes records for a [Log] to read.
type LogWriter struct {
	w *bufio.Writer
	n uint64
	b []byte
}

// NewLogWriter begins to write.
func NewLogWriter(w io.Writer) *LogWriter {
	b := bufio.NewWriterSize(w, 64<<10)
	b.WriteString(logMagic) //nolint:errcheck // the buffer keeps the error for Close
	return &LogWriter{w: b}
}

// Write writes one record.
func (l *LogWriter) Write(m *bus.Message) error {
	l.n++
	b := binary.AppendUvarint(l.b[:0], uint64(len(m.Subject)))
	b = append(b, m.Subject...)
	b = binary.AppendVarint(b, int64(m.Time))
	b = binary.AppendUvarint(b, uint64(len(m.Data)))
	l.b = b
	if _, err := l.w.Write(b); err != nil {
		return err
	}
	_, err := l.w.Write(m.Data)
	return err
}

// Close writes the end.
func (l *LogWriter) Close() error {
	l.w.Write(binary.AppendUvarint([]byte{0}, l.n)) //nolint:errcheck // the buffer keeps the error
	return l.w.Flush()
}

// A Log is an engine's own log.
type Log struct {
	place string
	open  func(ctx context.Context, from, to bus.Time) (io.ReadCloser, error)
	first bus.Time
	asked bus.Time
}

// NewLog returns a log that open asks an engine for: the records from and including one time to before another, as [LogWriter] writes
// them. place says whose it is.
func NewLog(place string, open func(ctx context.Context, from, to bus.Time) (io.ReadCloser, error)) *Log {
	return &Log{place: place, open: open}
}

// Origin says where the history came from.
func (l *Log) Origin() Origin {
	o := Origin{Kind: "log", Place: l.place, Protocol: ProtocolLog, Lacks: []Lack{
		{LackUnneeded, "The log keeps the series that some definition needed when they came. Of a series that none did there is nothing, and what only these definitions count is missing."},
	}}
	if l.first > l.asked+bus.Minute {
		o.Lacks = append(o.Lacks, Lack{LackRetention, fmt.Sprintf("The log begins at %s; what was before is gone.", l.first)})
	}
	return o
}

// Records calls take for each record of the time, in the log's order; the message is used again. It ends with the first error, its own or of take.
func (l *Log) Records(ctx context.Context, from, to bus.Time, take func(*bus.Message) error) error {
	body, err := l.open(ctx, from, to)
	if err != nil {
		return err
	}
	defer body.Close()
	l.asked, l.first = from, to
	r := bufio.NewReaderSize(body, 64<<10)
	head := make([]byte, len(logMagic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != logMagic {
		return fmt.Errorf("%s does not answer with a log of a version that is known here", l.place)
	}
	var m bus.Message
	for n := uint64(0); ; n++ {
		more, err := readRecord(r, &m, n)
		if err != nil {
			return fmt.Errorf("the log of %s, after %d records: %w", l.place, n, err)
		}
		if !more {
			return nil
		}
		l.first = min(l.first, m.Time)
		if err := take(&m); err != nil {
			return err
		}
	}
}

var errLogCut = errors.New("it is cut short")

// readRecord reads the record after n others; false is the end.
func readRecord(r *bufio.Reader, m *bus.Message, n uint64) (bool, error) {
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return false, errLogCut
	}
	if size == 0 {
		if total, err := binary.ReadUvarint(r); err != nil || total != n {
			return false, errLogCut
		}
		return false, nil
	}
	subject, err := readBytes(r, size, maxSubject)
	if err != nil {
		return false, err
	}
	at, err := binary.ReadVarint(r)
	if err != nil {
		return false, errLogCut
	}
	if size, err = binary.ReadUvarint(r); err != nil {
		return false, errLogCut
	}
	data, err := readBytes(r, size, maxRecord)
	*m = bus.Message{Time: bus.Time(at), Subject: string(subject), Data: data}
	return true, err
}

func readBytes(r *bufio.Reader, size uint64, most int) ([]byte, error) {
	if size > uint64(most) {
		return nil, fmt.Errorf("a part of %d bytes; the bound is %d", size, most)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, errLogCut
	}
	return b, nil
}
