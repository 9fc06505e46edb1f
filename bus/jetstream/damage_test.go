package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"evenkeel.dev/bus"
)

// blocks returns the block files of a stream.
func blocks(t *testing.T, dir, stream string) []string {
	t.Helper()
	fs, err := filepath.Glob(filepath.Join(dir, "jetstream", accountInternal, "streams", stream, "msgs", "*.blk"))
	if err != nil || len(fs) == 0 {
		t.Fatalf("no blocks of %s: %v", stream, err)
	}
	return fs
}

// flip changes one bit behind the last place where the pattern stands in a stream's files.
func flip(t *testing.T, dir, stream, pattern string) {
	t.Helper()
	fs := blocks(t, dir, stream)
	for i := len(fs) - 1; i >= 0; i-- {
		b, err := os.ReadFile(fs[i])
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.LastIndex(b, []byte(pattern))
		if at < 0 {
			continue
		}
		b[at+len(pattern)+20] ^= 4
		if err := os.WriteFile(fs[i], b, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%q is not in %s", pattern, stream)
}

func dropIndex(t *testing.T, dir, stream string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "jetstream", accountInternal, "streams", stream, "msgs", "index.db")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// once opens the log in a folder, calls f and shuts everything down, so that the files can be touched.
func once(t *testing.T, dir string, f func(*Log)) {
	t.Helper()
	s, err := StartServer(ServerConfig{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := Open(t.Context(), Config{Server: s, Stages: []StageInfo{{"add", 1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f(l)
}

// tryRun runs the adder until it stands still, and returns its error, nil when so many outputs are committed.
func tryRun(t *testing.T, l *Log, outputs uint64) error {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := false
	err := bus.Run(ctx, bus.RunConfig{Log: l, Spec: adderSpec(1, false), OnCommit: func(cp bus.Checkpoint, _ []bus.Message) {
		if cp.Outputs >= outputs {
			done = true
			cancel()
		}
	}})
	if done {
		return nil
	}
	return err
}

func isDamage(err error, reasons ...string) bool {
	var d *bus.DamageError
	if !errors.As(err, &d) {
		return false
	}
	for _, r := range reasons {
		if d.Reason == r {
			return true
		}
	}
	return false
}

// lastOutput returns the newest sum in LOG.
func lastOutput(t *testing.T, l *Log) string {
	t.Helper()
	m, err := l.lastMsg(t.Context(), streamLog, "log.event.add.sum")
	if err != nil {
		t.Fatal(err)
	}
	return string(m.Data)
}

// TestRottenCheckpoint: after one flipped bit on the disk, counts would silently begin again from nothing, or alerts go out twice.
func TestRottenCheckpoint(t *testing.T) {
	for _, index := range []bool{true, false} {
		t.Run(fmt.Sprintf("index %t", index), func(t *testing.T) {
			dir := t.TempDir()
			once(t, dir, func(l *Log) {
				for n := range 5 {
					mustAppend(t, l, number(uint64(n)))
				}
				run(t, l, 5)
			})
			flip(t, dir, streamLog, "log.commit.add.0")
			if !index {
				dropIndex(t, dir, streamLog)
			}
			once(t, dir, func(l *Log) {
				err := tryRun(t, l, 5)
				if l.Stats().LostMessages > 0 {
					// Without its index the server has cut LOG off at the damage: a state from before, told as a gap.
					if err != nil || l.count.gaps.Load() == 0 {
						t.Fatalf("%d messages are lost, %d gaps were told: %v", l.Stats().LostMessages, l.count.gaps.Load(), err)
					}
					return
				}
				if !isDamage(err, bus.DamageCheckpointMissing, bus.DamageCheckpointOld, bus.DamageCheckpointRotten) {
					t.Fatalf("the flipped bit was not seen: %v", err)
				}
				fs, err := l.Diagnose(t.Context())
				if err != nil || len(fs) != 1 || len(fs[0].Choices) != 3 {
					t.Fatalf("diagnosis: %+v, %v", fs, err)
				}
				t.Log(fs[0].Text)
				if err := l.Mend(t.Context(), fs[0], "nonsense"); !errors.Is(err, errNoChoice) {
					t.Errorf("an unknown choice: %v", err)
				}
				if err := l.Mend(t.Context(), fs[0], MendRewrite); err != nil {
					t.Fatal(err)
				}
				if err := tryRun(t, l, 5); err != nil {
					t.Fatalf("after mending: %v", err)
				}
				mustAppend(t, l, number(100))
				if err := tryRun(t, l, 6); err != nil {
					t.Fatalf("after mending: %v", err)
				}
				if lastOutput(t, l) != "110" {
					t.Errorf("the sum is %s, want 110", lastOutput(t, l))
				}
				if fs, err := l.Diagnose(t.Context()); err != nil || len(fs) != 0 {
					t.Errorf("diagnosis after mending: %+v, %v", fs, err)
				}
			})
		})
	}
}

// TestRottenFrame: telemetry that the disk has lost would be missing from the budget without a word.
func TestRottenFrame(t *testing.T) {
	for _, index := range []bool{true, false} {
		t.Run(fmt.Sprintf("index %t", index), func(t *testing.T) {
			dir := t.TempDir()
			var seqs []uint64
			once(t, dir, func(l *Log) {
				for n := range 6 {
					var b bus.FrameBuilder
					b.Source(bus.Source{Sender: "somebody-who-sends"})
					m := bus.Message{Subject: "log.frame.7", Data: b.Seal(nil, 7, uint64(n+1), 1)}
					if n == 3 {
						m.Subject = "log.frame.pick"
					}
					seqs = append(seqs, mustAppend(t, l, m))
				}
			})
			flip(t, dir, streamLog, "log.frame.pick")
			if !index {
				dropIndex(t, dir, streamLog)
			}
			once(t, dir, func(l *Log) {
				next := mustAppend(t, l, number(1))
				r, err := l.Open(t.Context(), seqs[0])
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				seen, told := 0, false
				for at := uint64(0); at < next; {
					m, err := r.Next(t.Context(), true)
					if err != nil {
						t.Fatal(err)
					}
					at = after(m) - 1
					switch {
					case m.Subject == bus.SubjectGap:
						told = true
					case isFrame(m.Subject):
						seen++
						told = told || bus.DecodeFrame(m.Data).Err != nil
					}
				}
				if !told {
					t.Errorf("of 6 frames %d came and no gap was told", seen)
				}
				if next <= seqs[5] {
					t.Errorf("sequence %d is given away a second time", next)
				}
			})
		})
	}
}

// TestTruncated: a file that was cut off would bring old counts back as if they were new.
func TestTruncated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	once(t, dir, func(l *Log) {
		for n := range 5 {
			mustAppend(t, l, number(uint64(n)))
		}
		run(t, l, 5)
	})
	fs := blocks(t, dir, streamLog)
	name := fs[len(fs)-1]
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, st.Size()/2); err != nil {
		t.Fatal(err)
	}
	dropIndex(t, dir, streamLog)
	once(t, dir, func(l *Log) {
		if l.Stats().LostMessages == 0 {
			t.Error("the truncation was not seen")
		}
		err := tryRun(t, l, 5)
		if damaged := isDamage(err, bus.DamageCheckpointMissing, bus.DamageCheckpointOld, bus.DamageOutputsDiffer); !damaged && (err != nil || l.Stats().Gaps == 0) {
			t.Errorf("%d gaps were told, the run ended with %v", l.Stats().Gaps, err)
		}
	})
}

// TestRottenSnapshot: a stage would restore wrong counts, or stand still although the snapshot before is good.
func TestRottenSnapshot(t *testing.T) {
	dir := t.TempDir()
	var newest, before string
	once(t, dir, func(l *Log) {
		for round := range 3 {
			mustAppend(t, l, number(uint64(round)+1))
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			bus.Run(ctx, bus.RunConfig{Log: l, Spec: adderSpec(1, false), SnapshotBytes: 1, OnCommit: func(cp bus.Checkpoint, _ []bus.Message) {
				if cp.Outputs > uint64(round) && cp.Snapshot.Outputs == cp.Outputs {
					newest, before = cp.Snapshot.Name, cp.Fallback.Name
					cancel()
				}
			}})
			cancel()
		}
		head, err := l.Head(t.Context(), "add", 0)
		if err != nil {
			t.Fatal(err)
		}
		newest, before = head.Snapshot.Name, head.Fallback.Name
	})
	if newest == "" || before == "" {
		t.Fatalf("snapshots %q and %q", newest, before)
	}
	flip(t, dir, streamSnap, subjectSnap+newest)
	once(t, dir, func(l *Log) {
		fs, err := l.Diagnose(t.Context())
		if err != nil || len(fs) != 1 || len(fs[0].Choices) != 0 {
			t.Fatalf("diagnosis: %+v, %v", fs, err)
		}
	})
	flip(t, dir, streamSnap, subjectSnap+before)
	once(t, dir, func(l *Log) {
		err := tryRun(t, l, 3)
		if !isDamage(err, bus.DamageSnapshotMissing, bus.DamageSnapshotRotten) {
			t.Fatalf("two rotten snapshots were not seen: %v", err)
		}
		fs, err := l.Diagnose(t.Context())
		if err != nil || len(fs) != 1 || len(fs[0].Choices) == 0 {
			t.Fatalf("diagnosis: %+v, %v", fs, err)
		}
		if err := l.Mend(t.Context(), fs[0], MendReset); err != nil {
			t.Fatal(err)
		}
		if err := tryRun(t, l, 6); err != nil {
			t.Fatal(err)
		}
		if got := lastOutput(t, l); got != "6" {
			t.Errorf("run from the beginning of LOG the sum is %s, want 6", got)
		}
	})
}

// TestFallback: one flipped bit in a snapshot would stop a partition although the one before is good.
func TestFallback(t *testing.T) {
	dir := t.TempDir()
	var newest string
	once(t, dir, func(l *Log) {
		for round := range 3 {
			mustAppend(t, l, number(uint64(round)+1))
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			bus.Run(ctx, bus.RunConfig{Log: l, Spec: adderSpec(1, false), SnapshotBytes: 1, OnCommit: func(cp bus.Checkpoint, _ []bus.Message) {
				if cp.Outputs > uint64(round) && cp.Snapshot.Outputs == cp.Outputs {
					cancel()
				}
			}})
			cancel()
		}
		head, err := l.Head(t.Context(), "add", 0)
		if err != nil || head.Fallback.Name == "" {
			t.Fatal(head, err)
		}
		newest = head.Snapshot.Name
	})
	flip(t, dir, streamSnap, subjectSnap+newest)
	once(t, dir, func(l *Log) {
		mustAppend(t, l, number(4))
		if err := tryRun(t, l, 4); err != nil {
			t.Fatal(err)
		}
		if got := lastOutput(t, l); got != "10" {
			t.Errorf("the sum is %s, want 10", got)
		}
		if fs, err := l.Diagnose(t.Context()); err != nil || len(fs) != 0 {
			t.Errorf("a new snapshot should have healed it: %+v, %v", fs, err)
		}
	})
}
