package logtest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"evenkeel.dev/bus"
)

// stageName and inputSubject are what the suite's machine is called and reads.
const (
	stageName    = "machine"
	inputSubject = "log.result.input"
)

// A machine is a small deterministic stage: its state is a digest of all inputs, and each input makes it emit as many drafts as the
// input says, each of them depending on the whole past.
type machine struct {
	state [32]byte
	n     uint64
}

func (m *machine) Step(r *bus.Record) ([]bus.Draft, error) {
	if !r.Is(inputSubject) {
		return nil, nil
	}
	m.state = sha256.Sum256(append(m.state[:], r.Data...))
	m.n++
	drafts := make([]bus.Draft, binary.LittleEndian.Uint16(r.Data))
	for i := range drafts {
		drafts[i] = bus.Draft{Subject: "log.draft.machine.out", To: bus.All, Data: fmt.Appendf(nil, "%d.%d %s", m.n, i, hex.EncodeToString(m.state[:4]))}
	}
	return drafts, nil
}

func (m *machine) Snapshot() ([]byte, error) {
	return binary.LittleEndian.AppendUint64(append([]byte{1}, m.state[:]...), m.n), nil
}

func (m *machine) Restore(b []byte) error {
	if len(b) != 41 || b[0] != 1 {
		return errors.New("machine: not its snapshot")
	}
	copy(m.state[:], b[1:33])
	m.n = binary.LittleEndian.Uint64(b[33:])
	return nil
}

func spec() bus.Spec {
	return bus.Spec{Name: stageName, Partitions: 1, Reads: []string{inputSubject}, New: func(int) bus.Stage { return &machine{} }}
}

// input makes an input that calls for n drafts.
func input(n uint16, salt uint64) bus.Message {
	return bus.Message{Subject: inputSubject, Data: binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint16(nil, n), salt)}
}

// want is the outputs of one uninterrupted run.
func want(inputs []bus.Message) ([]string, error) {
	m := &machine{}
	var out []string
	for _, in := range inputs {
		drafts, err := m.Step(&bus.Record{Subject: in.Subject, Data: in.Data})
		if err != nil {
			return nil, err
		}
		for _, d := range drafts {
			out = append(out, string(d.Data))
		}
	}
	return out, nil
}
