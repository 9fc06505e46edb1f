package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An Evenkeel is one `evenkeel run` process.
type Evenkeel struct {
	*Process
	HTTP string // base URL
	NATS string // URL of the listener, of this process or of the one that has the bus
	Data string

	tb     testing.TB
	client http.Client
}

// An EvenkeelConfig says how to start one.
type EvenkeelConfig struct {
	Name   string    // default "evenkeel"
	Config string    // folder of definitions, "" for none
	Data   string    // default a folder of its own
	Roles  string    // "" for all
	Bus    *Evenkeel // whose bus it uses; nil for its own
	Args   []string
	Env    []string
}

// StartEvenkeel builds and starts Evenkeel. It does not wait until it is ready.
func StartEvenkeel(tb testing.TB, c EvenkeelConfig) *Evenkeel {
	tb.Helper()
	if c.Name == "" {
		c.Name = "evenkeel"
	}
	if c.Data == "" {
		c.Data = tb.TempDir()
	}
	address := Address(tb)
	e := &Evenkeel{HTTP: "http://" + address, Data: c.Data, tb: tb, client: http.Client{Timeout: 5 * time.Second}}
	args := []string{"run", "--data", c.Data, "--http", address, "--otlp-grpc", Address(tb)}
	if c.Config != "" {
		args = append(args, "--config", c.Config)
	}
	if c.Roles != "" {
		args = append(args, "--roles", c.Roles)
	}
	if c.Bus != nil {
		e.NATS = c.Bus.NATS
		args = append(args, "--nats", c.Bus.NATS, "--nats-password-file", filepath.Join(c.Bus.Data, "internal.token"))
	} else {
		listen := Address(tb)
		e.NATS = "nats://" + listen
		args = append(args, "--nats-listen", listen)
	}
	e.Process = Start(tb, Command{Name: c.Name, Path: Binary(tb), Args: append(args, c.Args...), Dir: c.Data, Env: c.Env})
	return e
}

// WaitReady waits until /readyz answers 200. It does not wait for a process that has ended.
func (e *Evenkeel) WaitReady(timeout time.Duration) {
	e.tb.Helper()
	Until(e.tb, timeout, e.Name+" is ready", func() error {
		if !e.Running() {
			e.tb.Fatalf("%s has ended: %v", e.Name, e.ended())
		}
		return e.Ready()
	})
}

// Ready returns nil when /readyz answers 200, else what it says.
func (e *Evenkeel) Ready() error {
	_, err := e.get("/readyz", "")
	return err
}

// Token returns the content of a token file of the data folder, "admin" or "sender".
func (e *Evenkeel) Token(name string) string {
	e.tb.Helper()
	var token string
	Until(e.tb, 20*time.Second, name+".token is written", func() error {
		text, err := os.ReadFile(filepath.Join(e.Data, name+".token"))
		token = strings.TrimSpace(string(text))
		if err == nil && token == "" {
			return errors.New("it is empty")
		}
		return err
	})
	return token
}

// WriteURL is where remote write goes.
func (e *Evenkeel) WriteURL() string { return e.HTTP + "/api/v1/write" }

// A Status is what the API says of one SLO, as far as tests look.
type Status struct {
	GlobalNamespace string
	Service         string
	Name            string
	State, Reason   string
	SLIBad          bool
	Events          struct{ Good, Total float64 }
	Budget          struct{ Total, Consumed, Remaining float64 }
	Alerts          []struct{ Tier, State string }
	Coverage        float64
	AsOf            string
}

// Statuses returns what the API says of all SLOs, by "service/name". A token file that is not there yet is an error, not a wait.
func (e *Evenkeel) Statuses() (map[string]Status, error) {
	token, err := os.ReadFile(filepath.Join(e.Data, "admin.token"))
	if err != nil {
		return nil, err
	}
	body, err := e.get("/api/v1/slos", strings.TrimSpace(string(token)))
	if err != nil {
		return nil, err
	}
	var list struct{ Items []Status }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("answer of /api/v1/slos: %w", err)
	}
	out := map[string]Status{}
	for _, s := range list.Items {
		out[s.Service+"/"+s.Name] = s
	}
	return out, nil
}

// Metrics returns the values of /metrics by series as they are written, for example `x_total{a="b"}`.
func (e *Evenkeel) Metrics() (map[string]float64, error) {
	token, err := os.ReadFile(filepath.Join(e.Data, "admin.token"))
	if err != nil {
		return nil, err
	}
	body, err := e.get("/metrics", strings.TrimSpace(string(token)))
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if line == "" || line[0] == '#' || i < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
			out[line[:i]] = v
		}
	}
	return out, nil
}

func (e *Evenkeel) get(path, token string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, e.HTTP+path, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s", path, resp.Status, tail(body, 10))
	}
	return body, nil
}

// Run runs a client command against the process and returns what it writes and its exit code.
func (e *Evenkeel) Run(args ...string) (stdout, stderr string, code int) {
	e.tb.Helper()
	return RunCommand(e.tb, e.Path, append(args, "--server", e.HTTP, "--token", e.Token("admin"))...)
}

// RunCommand runs a command of the binary (see [Binary]) for at most five minutes.
func RunCommand(tb testing.TB, binary string, args ...string) (stdout, stderr string, code int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = []string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		tb.Fatalf("evenkeel %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
