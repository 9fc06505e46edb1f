package jetstream

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/logtest"
)

// startTestServer starts a server that only this process reaches.
func startTestServer(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := StartServer(ServerConfig{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openTestLog(t *testing.T, c Config) *Log {
	t.Helper()
	l, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestConformance: the durable log would not keep what stages rely on and what tests on the log in memory have shown.
func TestConformance(t *testing.T) {
	t.Parallel()
	durable := func(l bus.Log) *Log { return l.(*Log) }
	stream := func(t *testing.T, l bus.Log, name string) jetstream.Stream {
		st, err := durable(l).js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	logtest.Run(t, logtest.Suite{
		Fresh: func(t *testing.T) bus.Log {
			return openTestLog(t, Config{Server: startTestServer(t, t.TempDir()), Sizes: Sizes{LogBytes: 4 << 20}})
		},
		Second: func(t *testing.T, l bus.Log) bus.Log { return openTestLog(t, durable(l).config) },
		Lose: func(t *testing.T, l bus.Log, seq uint64) {
			if err := stream(t, l, streamLog).SecureDeleteMsg(t.Context(), seq); err != nil {
				t.Fatal(err)
			}
		},
		Purge: func(t *testing.T, l bus.Log, before uint64) {
			if err := stream(t, l, streamLog).Purge(t.Context(), jetstream.WithPurgeSequence(before)); err != nil {
				t.Fatal(err)
			}
		},
		Full: func(t *testing.T, l bus.Log, full bool) {
			if !full {
				if err := stream(t, l, streamLog).Purge(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := durable(l).usage.refresh(t.Context(), durable(l)); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, size := range []int{100_000, 800} {
				for n := 0; ; n++ {
					_, err := l.Append(t.Context(), bus.Message{Subject: "log.frame.x", Data: make([]byte, size)})
					if errors.Is(err, bus.ErrFull) {
						break
					}
					if err != nil || n > 1000 {
						t.Fatalf("after %d messages of %d bytes in a log of 4 MiB: %v", n, size, err)
					}
				}
			}
		},
		Rot: func(t *testing.T, l bus.Log, ref bus.SnapshotRef) {
			raw, err := durable(l).lastMsg(t.Context(), streamSnap, subjectSnap+ref.Name+".0")
			if err != nil {
				t.Fatal(err)
			}
			if err := stream(t, l, streamSnap).SecureDeleteMsg(t.Context(), raw.Sequence); err != nil {
				t.Fatal(err)
			}
		},
	})
}
