package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Command says what to start.
type Command struct {
	Name string // for logs and errors
	Path string
	Args []string
	Dir  string
	Env  []string // added to a bare environment: HOME and PATH
}

// A Process is one running program in a process group of its own. It ends at the latest with the test that started it.
type Process struct {
	Command
	tb      testing.TB
	logPath string
	cmd     *exec.Cmd

	mu   sync.Mutex
	done chan struct{} // closed when the program has ended
	err  error         // how it ended; read after done
}

// Start starts a program. Its output goes to a file whose end is shown when the test fails.
func Start(tb testing.TB, c Command) *Process {
	tb.Helper()
	p := &Process{Command: c, tb: tb, logPath: filepath.Join(tb.TempDir(), c.Name+".log")}
	p.Restart()
	tb.Cleanup(func() {
		p.Stop()
		if tb.Failed() {
			text, err := os.ReadFile(p.logPath)
			tb.Logf("last lines of %s (%v):\n%s", c.Name, err, tail(text, 40))
		}
	})
	return p
}

// Restart starts the program again, which must have ended.
func (p *Process) Restart() {
	p.tb.Helper()
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Dir = p.Dir
	cmd.Env = append([]string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}, p.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.tb.Fatalf("start %s: %v", p.Name, err)
	}
	done := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(done)
	}()
}

// PID is the process id, which is the id of its group too.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the whole group as kill -9 does and waits for it.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Signal sends a signal to the whole group; one that has ended already is no error.
func (p *Process) Signal(s syscall.Signal) {
	if err := syscall.Kill(-p.PID(), s); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.tb.Errorf("signal %v to %s: %v", s, p.Name, err)
	}
}

// Stop asks the program to end, waits 20 s for it, then kills it. It returns how it ended.
func (p *Process) Stop() error {
	select {
	case <-p.done:
		return p.ended()
	default:
	}
	p.Signal(syscall.SIGCONT)
	p.Signal(syscall.SIGTERM)
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.ended()
	case <-timer.C:
	}
	p.Kill()
	return fmt.Errorf("%s did not end within 20 s of SIGTERM", p.Name)
}

// Ended returns a channel that closes when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Running reports whether the program has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *Process) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Log returns what the program has written so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// CPU is the processor time that the process has used, user and system.
func (p *Process) CPU() time.Duration {
	p.tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		p.tb.Fatalf("processor time of %s: %v", p.Name, err)
	}
	// The name in parentheses may hold blanks; utime and stime are the 12th and 13th field after it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			p.tb.Fatalf("processor time of %s: %v", p.Name, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100) // Linux shows hundredths whatever its own clock
}

// RSS is the resident memory of the process in bytes, now and at its highest.
func (p *Process) RSS() (now, highest int64) {
	p.tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		p.tb.Fatalf("memory of %s: %v", p.Name, err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			highest = n << 10
		}
	}
	return now, highest
}

// Address returns a free address on loopback.
func Address(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Until calls try every 50 ms until it returns nil, and fails the test with its last error after the timeout.
func Until(tb testing.TB, timeout time.Duration, what string, try func() error) {
	tb.Helper()
	if err := Poll(tb.Context(), timeout, try); err != nil {
		tb.Fatalf("%s: not within %v: %v", what, timeout, err)
	}
}

// Poll calls try every 50 ms until it returns nil, and returns its last error after the timeout.
func Poll(ctx context.Context, timeout time.Duration, try func() error) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(timeout)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-ticker.C:
		}
	}
}

// answers returns nil when the URL answers 200.
func answers(url string) error {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// tail returns the last n lines.
func tail(text []byte, n int) string {
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
