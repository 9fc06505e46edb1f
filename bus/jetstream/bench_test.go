package jetstream

import (
	"testing"

	"evenkeel.dev/bus"
)

func benchLog(b *testing.B) *Log {
	b.Helper()
	s, err := StartServer(ServerConfig{DataDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	l, err := Open(b.Context(), Config{Server: s})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

// BenchmarkAppend prints what one synced frame of 256 KiB costs.
func BenchmarkAppend(b *testing.B) {
	l := benchLog(b)
	m := bus.Message{Subject: "log.frame.1", Data: make([]byte, 256<<10)}
	b.SetBytes(int64(len(m.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCommit prints what a commit with ten drafts costs.
func BenchmarkCommit(b *testing.B) {
	l := benchLog(b)
	var cp bus.Checkpoint
	ms := make([]bus.Message, 10)
	for i := range ms {
		ms[i] = event("log.event.slo.alert.shop", `{"state":"firing"}`)
	}
	b.ReportAllocs()
	for b.Loop() {
		next := bus.Checkpoint{Version: 1, Stage: "slo", Number: cp.Number + 1, Previous: cp.Sum()}
		if err := l.Commit(b.Context(), bus.Commit{Checkpoint: next, Messages: ms}); err != nil {
			b.Fatal(err)
		}
		cp = next
	}
}

// BenchmarkRead prints how fast a reader that is behind catches up on frames of 256 KiB.
func BenchmarkRead(b *testing.B) {
	l := benchLog(b)
	var f bus.FrameBuilder
	for i := range 20_000 {
		f.Add(i%16, f.Source(bus.Source{Sender: "s"}), uint32(i), 1, 0, 1)
	}
	data := f.Seal(nil, 1, 1, 1)
	const n = 400
	for range n {
		if _, err := l.Append(b.Context(), bus.Message{Subject: "log.frame.1", Data: data}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(data)) * n)
	for b.Loop() {
		r, err := l.Open(b.Context(), 1)
		if err != nil {
			b.Fatal(err)
		}
		for range n {
			if _, err := r.Next(b.Context(), true); err != nil {
				b.Fatal(err)
			}
		}
		r.Close()
	}
}
