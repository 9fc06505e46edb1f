package jetstream

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"evenkeel.dev/bus"
)

// TestFullDisk: a full disk would stop Evenkeel for good, or make it say yes to telemetry that it then loses.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		fullByReserve(t) // not root: the reserve is what there is to test
		return
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s, err := StartServer(ServerConfig{DataDir: filepath.Join(dir, "data"), DiskReserve: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	l := openTestLog(t, Config{Server: s})
	frame := bus.Message{Subject: "log.frame.1", Data: make([]byte, 200_000)}
	acked := 0
	eventually(t, 30*time.Second, "telemetry is refused before the disk is full", func() bool {
		_, err := l.Append(t.Context(), frame)
		if err == nil {
			acked++
		} else if !errors.Is(err, bus.ErrFull) {
			t.Fatal(err)
		}
		return err != nil
	})
	if err := l.Ready(); !errors.Is(err, bus.ErrFull) {
		t.Errorf("ready: %v", err)
	}
	if err := l.Commit(t.Context(), bus.Commit{Checkpoint: bus.Checkpoint{Version: 1, Stage: "add", Number: 1}, Messages: []bus.Message{event("log.event.a.b", "x")}}); err != nil {
		t.Errorf("the reserve is for commits: %v", err)
	}
	// Somebody else fills the disk to the last byte.
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	f.Close()
	eventually(t, 30*time.Second, "an append of a result fails for want of room", func() bool {
		_, err := l.Append(t.Context(), bus.Message{Subject: "log.result.a", Data: make([]byte, 100_000)})
		return errors.Is(err, bus.ErrFull)
	})
	for n := range uint64(3) { // commits are tried all the same, so that the server itself meets the full disk
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := l.Commit(ctx, bus.Commit{Checkpoint: bus.Checkpoint{Version: 1, Stage: "full", Partition: int(n), Number: 1}, Messages: []bus.Message{{Subject: "log.draft.x", Data: make([]byte, 500_000)}}})
		cancel()
		t.Log(err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "it recovers by itself", func() bool {
		_, err := l.Append(t.Context(), bus.Message{Subject: "log.result.a", Data: []byte("again")})
		return err == nil
	})
	r, err := l.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	frames := 0
	for {
		m, err := r.Next(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		if isFrame(m.Subject) {
			frames++
		}
		if string(m.Data) == "again" {
			break
		}
	}
	if frames != acked {
		t.Errorf("%d of %d acknowledged frames are there", frames, acked)
	}
}

func fullByReserve(t *testing.T) {
	s, err := StartServer(ServerConfig{DataDir: t.TempDir(), DiskReserve: 1 << 60})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	l := openTestLog(t, Config{Server: s})
	if _, err := l.Append(t.Context(), bus.Message{Subject: "log.frame.1", Data: []byte("x")}); !errors.Is(err, bus.ErrFull) {
		t.Errorf("append with the reserve touched: %v", err)
	}
	if _, err := l.Append(t.Context(), bus.Message{Subject: bus.SubjectTick}); err != nil {
		t.Errorf("a tick must find room: %v", err)
	}
}

// TestTooLarge: one oversized message would be tried again and again, or block all behind it.
func TestTooLarge(t *testing.T) {
	l := openTestLog(t, Config{Server: startTestServer(t, t.TempDir())})
	if _, err := l.Append(t.Context(), bus.Message{Subject: "log.frame.1", Data: make([]byte, maxPayload+1)}); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if _, err := l.Append(t.Context(), bus.Message{Subject: "log.frame.1", Data: make([]byte, maxPayload-8192)}); err != nil {
		t.Errorf("a message of the largest size: %v", err)
	}
	r, err := l.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if m, err := r.Next(t.Context(), true); err != nil || len(m.Data) != maxPayload-8192 {
		t.Errorf("read: %v", err)
	}
}
