package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A kill that left children behind would leave the port and the data folder taken, and the next start would fail for no reason of ours.
func TestKillEndsTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	p := Start(t, Command{Name: "shell", Path: "/bin/sh", Dir: dir, Args: []string{"-c", "sleep 600 & echo $! > child; wait"}})
	var child int
	Until(t, 10*time.Second, "the child runs", func() error {
		text, err := os.ReadFile(filepath.Join(dir, "child"))
		if err != nil {
			return err
		}
		child, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err
	})
	p.Kill()
	if p.Running() {
		t.Error("the program still runs after Kill")
	}
	Until(t, 10*time.Second, "the child has ended", func() error { return ended(child) })
}

// ended returns nil when the process is gone or a zombie that nobody waits for.
func ended(pid int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err == nil && strings.Contains(string(text), ") Z ") {
		return nil
	}
	return fmt.Errorf("process %d: %.40s, %v", pid, text, err)
}

// A process that cannot be stopped, started again and measured makes chaos tests and benchmarks say nothing.
func TestProcess(t *testing.T) {
	p := Start(t, Command{Name: "shell", Path: "/bin/sh", Args: []string{"-c", "trap 'exit 3' TERM; echo begun; while :; do :; done"}})
	begun := func(n int) {
		Until(t, 10*time.Second, "it has begun", func() error {
			if got := strings.Count(p.Log(), "begun"); got != n {
				return fmt.Errorf("begun %d times, want %d", got, n)
			}
			return nil
		})
	}
	begun(1)
	Until(t, 10*time.Second, "it uses the processor", func() error {
		if p.CPU() < 50*time.Millisecond {
			return errors.New("too little")
		}
		return nil
	})
	if now, highest := p.RSS(); now <= 0 || highest < now {
		t.Errorf("memory now %d, at its highest %d", now, highest)
	}
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "3") {
		t.Errorf("Stop: %v, want exit status 3", err)
	}
	p.Restart()
	begun(2)
}
