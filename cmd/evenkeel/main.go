// Command evenkeel keeps services on an even keel: telemetry goes in; service levels, error budgets and alerts come out.
//
// "evenkeel run" starts the engine in one process, with an embedded NATS server and everything else it needs. "evenkeel check" answers
// offline whether definitions are right. The other commands talk to a running engine over HTTP (--server, --token, --ca), but for
// repair and restore, which also work on the data folder of an engine that stands still.
//
// # Exit codes
//
//	0  done, or the answer is yes
//	1  the answer is no: check found mistakes, diff found a difference, a name does not exist, a test failed, replay found a spent budget,
//	   repair found damage
//	2  wrong usage: an unknown flag, a bad value, a mistake in the settings file
//	3  could not: the server cannot be reached or refuses, a listener cannot be opened, a file cannot be read
//
// The state of an SLO is no answer to a question: "evenkeel status" of an SLO in VIOLATION exits with 0.
//
// # Settings
//
// Every flag of run, and of the connection to a server, is also an environment variable, EVENKEEL_ and the flag's name in capitals with
// "_" for "-", and every flag of run a key of the settings file (--settings), in camelCase: --nats-listen, EVENKEEL_NATS_LISTEN,
// natsListen. A flag wins over the environment, that over the file, that over the default. What is no flag (tokens, scraping,
// limits) stands in the file only. A key that is not known is an error that names the nearest one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	_ "evenkeel.dev/cmd/evenkeel/hush" // before every other package, see there
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, &cli{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.LookupEnv}, os.Args[1:])
	stop()
	os.Exit(code)
}

// cli is what commands share: where they read and write, and how to reach a server.
type cli struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) (string, bool)

	server, token, ca string
	data              string // folder with admin.token, for commands without --token
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, c *cli, args []string) int {
	root := newRoot(c)
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var e *exitError
	if !errors.As(err, &e) { // cobra's own: unknown commands, flags and arguments
		e = &exitError{exitUsage, err}
	}
	if e.err != nil {
		fmt.Fprintln(c.err, "evenkeel:", e.err)
	}
	if e.code == exitUsage {
		fmt.Fprintln(c.err, "Run 'evenkeel --help', or --help after a command, for what is possible.")
	}
	return e.code
}

// Exit codes; the package comment says what they mean.
const (
	exitDone  = 0
	exitNo    = 1
	exitUsage = 2
	exitCould = 3
)

// exitError is an error that knows its exit code. A nil err prints nothing: the command has said all.
type exitError struct {
	code int
	err  error
}

// Error returns the message.
func (e *exitError) Error() string {
	if e.err == nil {
		return "the answer is no"
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

func answerNo(format string, args ...any) error {
	return &exitError{exitNo, fmt.Errorf(format, args...)}
}

func wrongUsage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}
