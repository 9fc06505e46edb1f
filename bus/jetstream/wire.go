package jetstream

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"evenkeel.dev/bus"
)

// headerCRC carries, on every message that is not a frame, the CRC-32C of its subject, its other headers but NATS' own, and its
// data. Frames carry their own.
const headerCRC = "Ek-Crc"

// wire makes a NATS message of m.
func wire(m bus.Message) *nats.Msg {
	out := &nats.Msg{Subject: m.Subject, Data: m.Data}
	if strings.HasPrefix(m.Subject, bus.SubjectFrame) && len(m.Header) == 0 {
		return out
	}
	out.Header = make(nats.Header, len(m.Header)+4)
	for _, f := range m.Header {
		out.Header[f.Name] = []string{f.Value}
	}
	if !strings.HasPrefix(m.Subject, bus.SubjectFrame) {
		out.Header[headerCRC] = []string{strconv.FormatUint(uint64(crc(m.Subject, headers(out.Header), m.Data)), 16)}
	}
	return out
}

// headers returns NATS headers sorted by name, without NATS' own and without the checksum.
func headers(h nats.Header) bus.Header {
	if len(h) == 0 {
		return nil
	}
	out := make(bus.Header, 0, len(h))
	for k, v := range h {
		if len(v) > 0 && k != headerCRC && !strings.HasPrefix(k, "Nats-") {
			out = append(out, bus.Field{Name: k, Value: v[0]})
		}
	}
	slices.SortFunc(out, func(a, b bus.Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func crc(subject string, h bus.Header, data []byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, t, []byte(subject))
	for _, f := range h {
		sum = crc32.Update(sum, t, []byte("\n"+f.Name+":"+f.Value))
	}
	sum = crc32.Update(sum, t, []byte("\n\n"))
	return crc32.Update(sum, t, data)
}

// checked reports whether the checksum of a message that is not a frame fits.
func checked(subject string, h nats.Header, data []byte) bool {
	return h.Get(headerCRC) == strconv.FormatUint(uint64(crc(subject, headers(h), data)), 16)
}

// unwire makes a log message of what the server delivered; one whose checksum does not fit becomes a gap of one, and damaged is true.
func unwire(seq uint64, t bus.Time, subject string, h nats.Header, data []byte) (m *bus.Message, damaged bool) {
	if !strings.HasPrefix(subject, bus.SubjectFrame) && !checked(subject, h, data) {
		return gap(seq, 1, t), true
	}
	if subject == subjectLost {
		return gap(seq, 1, t), false
	}
	m = &bus.Message{Seq: seq, Time: t, Subject: subject, Header: headers(h), Data: data}
	m.Decode()
	return m, false
}

// gap says that n messages are missing from seq on; its time is that of the message behind it.
func gap(seq, n uint64, t bus.Time) *bus.Message {
	return &bus.Message{Seq: seq, Time: t, Subject: bus.SubjectGap, Data: fmt.Appendf(nil, "%d", n)}
}

// after returns the sequence behind a message or gap.
func after(m *bus.Message) uint64 {
	if m.Subject != bus.SubjectGap {
		return m.Seq + 1
	}
	n, err := strconv.ParseUint(string(m.Data), 10, 64)
	if err != nil {
		return m.Seq + 1
	}
	return m.Seq + n
}
