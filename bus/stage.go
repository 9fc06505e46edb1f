package bus

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"
)

// A Stage is a deterministic machine. Fed the same records from the same state it answers with the same drafts, byte by byte,
// whatever the process, the day or the order of Go's maps.
type Stage interface {
	// Step takes the next record. An error stops the partition: input that is bad is no error but a counted fact.
	Step(r *Record) ([]Draft, error)
	// Snapshot returns the whole state with its version; equal states give equal bytes.
	Snapshot() ([]byte, error)
	// Restore replaces the state by one that Snapshot of this or the version before returned.
	Restore(state []byte) error
}

// A Spec says what a stage is called and what it reads.
type Spec struct {
	Name       string   // lower-case letters, for example "slo"
	Partitions int      // 1: a global stage, which reads whatever the destination
	Reads      []string // subject prefixes; a frame is read by every partition, a tick where listed
	New        func(partition int) Stage
}

// reads reports whether the partition takes the message.
func (s *Spec) reads(m *Message, partition int) bool {
	if m.Subject == SubjectGap {
		return true
	}
	for _, p := range s.Reads {
		if !strings.HasPrefix(m.Subject, p) {
			continue
		}
		if s.Partitions <= 1 || strings.HasPrefix(m.Subject, SubjectFrame) {
			return true
		}
		to := m.To()
		return to == All || to == partition
	}
	return false
}

// record makes the record that the partition sees. The frame is decoded once per message: callers that share a message call
// [Message.Decode] before they share it.
func (s *Spec) record(r *Record, m *Message, partition int, now Time) {
	*r = Record{Seq: m.Seq, Time: max(now, m.Time), Subject: m.Subject, Header: m.Header, Data: m.Data}
	switch {
	case strings.HasPrefix(m.Subject, SubjectFrame):
		if m.frame == nil {
			m.Decode()
		}
		r.Frame = m.frame
		r.Section = m.frame.Section(partition)
	case m.Subject == SubjectGap:
		r.Missing, _ = strconv.ParseUint(string(m.Data), 10, 64)
	}
}

// Decode decodes a frame's head so that several partitions can read the message at once; other messages it leaves alone.
func (m *Message) Decode() {
	if m.frame == nil && strings.HasPrefix(m.Subject, SubjectFrame) {
		m.frame = DecodeFrame(m.Data)
	}
}

// extend returns the rolling digest after one more draft.
func (d Digest) extend(dr *Draft) Digest {
	h := sha256.New()
	h.Write(d[:])
	var n [8]byte
	put := func(b []byte) {
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	put([]byte(dr.Subject))
	put(strconv.AppendInt(nil, int64(dr.To), 10))
	if dr.Event != nil {
		put([]byte(dr.Event.Type))
		put([]byte(dr.Event.Subject))
		put([]byte(dr.Event.Time.String()))
	}
	put(dr.Data)
	return Digest(h.Sum(nil))
}

// message makes a draft ready for the log. Public events get their CloudEvents attributes as NATS headers (binary mode).
func (dr *Draft) message(stage string, partition int, n uint64, now Time) Message {
	from := stage + "." + strconv.Itoa(partition)
	num := strconv.FormatUint(n, 10)
	to := "*"
	if dr.To != All {
		to = strconv.Itoa(dr.To)
	}
	h := Header{{HeaderTo, to}, {HeaderFrom, from}, {HeaderN, num}}
	if e := dr.Event; e != nil {
		t := e.Time
		if t == 0 {
			t = now
		}
		h = append(h,
			Field{"ce-specversion", "1.0"}, Field{"ce-id", from + "." + num}, Field{"ce-source", "/evenkeel/" + stage + "/" + strconv.Itoa(partition)},
			Field{"ce-type", e.Type}, Field{"ce-subject", e.Subject}, Field{"ce-time", t.String()}, Field{"content-type", "application/json"})
	}
	return Message{Subject: dr.Subject, Header: h, Data: dr.Data}
}
