package jetstream

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"evenkeel.dev/bus"
)

// TestBackup: after a restore budgets would be off, alerts go out twice or get lost, or a stale actuator's fence stand above ours.
func TestBackup(t *testing.T) {
	t.Parallel()
	l := openTestLog(t, Config{Server: startTestServer(t, t.TempDir()), Stages: []StageInfo{{"add", 1}}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		bus.Run(ctx, bus.RunConfig{Log: l, Spec: adderSpec(1, false), SnapshotBytes: 400})
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			l.Append(ctx, number(1))
		}
	})
	eventually(t, 10*time.Second, "there is load, and EVENTS has taken some", func() bool {
		i, err := l.info(t.Context(), streamEvents)
		return err == nil && l.Last() > 200 && i.State.Msgs > 0
	})
	var file bytes.Buffer
	if err := l.Backup(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	cancel()
	wg.Wait()

	dir := t.TempDir()
	s, err := StartServer(ServerConfig{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"cut short": file.Bytes()[:file.Len()/2], "flipped": flipped(file.Bytes())} {
		if err := Restore(t.Context(), Config{Server: startTestServer(t, t.TempDir())}, bytes.NewReader(b)); err == nil {
			t.Errorf("a backup that is %s was restored", name)
		}
	}
	if err := Restore(t.Context(), Config{Server: s}, bytes.NewReader(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), Config{Server: s}, bytes.NewReader(file.Bytes())); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("a second restore over the first: %v", err)
	}
	s.Close()
	s = startTestServer(t, dir)
	r := openTestLog(t, Config{Server: s, Stages: []StageInfo{{"add", 1}}})
	if r.Generation() != l.Generation()+1 {
		t.Errorf("generation %d after %d", r.Generation(), l.Generation())
	}
	if fs, err := r.Diagnose(t.Context()); err != nil || len(fs) != 0 {
		t.Fatalf("diagnosis: %+v, %v", fs, err)
	}
	if n := r.Stats().LostMessages; n != 0 {
		t.Errorf("%d messages are told as lost", n)
	}
	mustAppend(t, r, number(1))
	inputs := countInputs(t, r)
	run(t, r, inputs)
	if got := lastOutput(t, r); got != strconv.FormatUint(inputs, 10) {
		t.Errorf("the sum is %s, want %d", got, inputs)
	}
	events := uint64(0)
	defer func() { t.Logf("%d inputs, %d events", inputs, events) }()
	eventually(t, 20*time.Second, "EVENTS has each sum once", func() bool {
		i, err := r.info(t.Context(), streamEvents)
		if err == nil {
			events = i.State.Msgs
		}
		return events == inputs
	})
	want := uint64(0)
	if err := r.Events(t.Context(), EventsFrom{Seq: 1, Stop: true}, "", func(e Event) error {
		if want++; string(e.Data) != strconv.FormatUint(want, 10) {
			t.Errorf("event %d is %s", want, e.Data)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func flipped(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)/2] ^= 1
	return c
}

func countInputs(t *testing.T, l *Log) (n uint64) {
	t.Helper()
	r, err := l.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		m, err := r.Next(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			return n
		}
		switch m.Subject {
		case "log.result.add":
			n++
		case bus.SubjectGap:
			t.Errorf("a gap at %d", m.Seq)
		}
	}
}
