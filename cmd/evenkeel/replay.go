package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"evenkeel.dev/bus"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/ingest/history"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/report"
)

type replayFlags struct {
	from, since, until, step string
	compare                  []string
	output, progress         string
	source                   history.Config
}

// Bounds of a replay.
const (
	longestReplay  = 400 * bus.Day
	shortestReplay = bus.Minute
	shortestStep   = 10 * bus.Second // the stage tells all of its SLOs that often
	usualPoints    = 720
)

func replayCommand(c *cli) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay FILE|DIR|- ... --from prometheus:URL --since 30d",
		Short: "Say what definitions would have given over history: SLI, budget, alerts",
		Long: `Replay drives the same code as a running engine with recorded telemetry and recorded time, and says which SLI, error budget and alerts the
definitions would have given. It changes nothing and notifies nobody.

History comes from
  prometheus:URL    a Prometheus, Thanos, Mimir or what speaks like one: remote read, or its HTTP API where that is not offered
  openmetrics:FILE  a text file in OpenMetrics form whose samples have timestamps
  log               the running engine's own log (--server, --token): what came, as it came, of the series that its definitions need

It exits with 0 when no budget of the definitions was spent, with 1 when one was, or when a definition has mistakes. A breach that began and
ended while a rolling window held less than a tenth of its length is told, and does not count. What --compare names does not decide it.`,
		Example: "  evenkeel replay checkout.yaml --from prometheus:http://prometheus:9090 --since 30d\n" +
			"  evenkeel replay checkout.yaml --compare stricter.yaml --from prometheus:https://mimir/prometheus --tenant shop --since 30d -o html > replay.html\n" +
			"  evenkeel replay slos/ --from openmetrics:october.om\n" +
			"  evenkeel replay stricter.yaml --from log --since 6h",
		Args: cobra.MinimumNArgs(1),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.from, "from", "", "where history comes from: prometheus:URL, openmetrics:FILE, or log")
	fs.StringVar(&f.since, "since", "", "its beginning: how long ago (30d), or a time in RFC 3339; of a file the default is its first sample")
	fs.StringVar(&f.until, "until", "", "its end, in the same forms; default: now, or of a file its last sample")
	fs.StringVar(&f.step, "step", "", "time between the points of curves, at least 10s (default: a 720th of the whole)")
	fs.StringArrayVar(&f.compare, "compare", nil, "file or folder with other definitions to set beside; may be given several times")
	fs.StringVarP(&f.output, "output", "o", "table", "form of the answer: table, json or html")
	fs.StringVar(&f.progress, "progress", "auto", "on the error output: auto, always or never; auto leaves it out where json or html goes on")
	f.sourceFlags(fs)
	_ = cmd.MarkFlagRequired("from") // the flag exists
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "html"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = do(func(cmd *cobra.Command, args []string) error { return c.replay(cmd.Context(), &f, args) })
	return cmd
}

// sourceFlags are those that say how a Prometheus is asked.
func (f *replayFlags) sourceFlags(fs *pflag.FlagSet) {
	fs.StringVar(&f.source.Protocol, "protocol", history.ChooseAuto, "of a Prometheus: auto, remote-read or api")
	fs.StringVar(&f.source.BearerTokenFile, "bearer-token-file", "", "file with the token to show it")
	fs.StringVar(&f.source.BasicAuthFile, "basic-auth-file", "", "file with one line user:password")
	fs.StringVar(&f.source.CAFile, "ca-file", "", "PEM file of the authority that signed its certificate")
	fs.StringVar(&f.source.Tenant, "tenant", "", "tenant of a Mimir or Cortex (X-Scope-OrgID)")
}

func (c *cli) replay(ctx context.Context, f *replayFlags, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	sets, err := c.replaySets(args, f.compare)
	if err != nil {
		return err
	}
	shown := newProgress(c.err, f.progress, f.output)
	from, until, step := bus.Time(0), bus.Time(0), bus.Time(0)
	in, err := c.openHistory(f, shown)
	if err == nil {
		from, until, step, err = f.span(ctx, in.file, time.Now())
	}
	if err != nil {
		return err
	}
	r, err := app.Replay(ctx, app.ReplayConfig{Definitions: sets, Source: in.source, Log: in.log, From: from, Until: until, Step: step,
		Progress: func(at bus.Time, samples uint64) { shown.at(float64(at-from)/float64(until-from), samples) }})
	shown.end()
	if errors.Is(err, app.ErrNoObjective) {
		return answerNo("%v", err)
	}
	if err != nil {
		return err
	}
	if !r.Counted() {
		return fmt.Errorf("%s %s has no sample of what these definitions count between %s and %s", r.Source.Kind, r.Source.Place, r.From, r.Until)
	}
	if err := f.write(c.out, r); err != nil {
		return err
	}
	if r.Breached() {
		return &exitError{code: exitNo}
	}
	return nil
}

func (f *replayFlags) check() error {
	switch f.output {
	case "table", "json", "html":
	default:
		return wrongUsage("-o %s is not known; it is table, json or html", f.output)
	}
	switch f.progress {
	case "auto", "always", "never":
	default:
		return wrongUsage("--progress %s is not known; it is auto, always or never", f.progress)
	}
	return nil
}

func (f *replayFlags) write(w io.Writer, r *report.Report) error {
	switch f.output {
	case "json":
		return r.JSON(w)
	case "html":
		return r.HTML(w)
	}
	return r.Table(w)
}

// replaySets compiles the definitions, and those to compare with.
func (c *cli) replaySets(args, compare []string) ([]app.ReplayDefinitions, error) {
	var sets []app.ReplayDefinitions
	mistakes := 0
	for _, paths := range [][]string{args, compare} {
		if len(paths) == 0 {
			continue
		}
		files, err := c.readFiles(paths)
		if err != nil {
			return nil, err
		}
		set, problems, err := app.ReplayFiles(strings.Join(paths, " "), files)
		if err != nil {
			return nil, err
		}
		for _, p := range problems {
			fmt.Fprintln(c.err, p)
		}
		mistakes += len(problems)
		sets = append(sets, set)
	}
	if mistakes > 0 {
		return nil, answerNo("the definitions have %s", plural(mistakes, "mistake"))
	}
	return sets, nil
}

// An origin is where history comes from.
type origin struct {
	source history.Source
	log    *history.Log         // in place of source
	file   *history.OpenMetrics // the source, where it is a file
}

// openHistory makes the source that --from names.
func (c *cli) openHistory(f *replayFlags, shown *progress) (origin, error) {
	kind, place, _ := strings.Cut(f.from, ":")
	switch {
	case kind == "prometheus" && place != "":
		f.source.URL, f.source.Note = place, shown.note
		p, err := history.NewPrometheus(f.source)
		if err != nil {
			return origin{}, &exitError{exitUsage, err}
		}
		return origin{source: p}, nil
	case kind == "openmetrics" && place != "":
		o := history.NewOpenMetrics(place)
		return origin{source: o, file: o}, nil
	case f.from == "log":
		api, err := c.client()
		if err != nil {
			return origin{}, err
		}
		return origin{log: history.NewLog(api.base, api.records)}, nil
	}
	return origin{}, wrongUsage("--from %q is not known; write prometheus:URL, openmetrics:FILE, or log", f.from)
}

// records asks the engine for what its log holds of a time.
func (c *client) records(ctx context.Context, from, until bus.Time) (io.ReadCloser, error) {
	return c.open(ctx, http.MethodGet, "/api/v1/log", url.Values{"from": {from.String()}, "until": {until.String()}}, "", nil)
}

// span finds out from when until when, in whole seconds, and the step between points.
func (f *replayFlags) span(ctx context.Context, file *history.OpenMetrics, now time.Time) (from, until, step bus.Time, err error) {
	until = bus.TimeOf(now)
	if file != nil && (f.since == "" || f.until == "") {
		if from, until, err = file.Span(ctx); err != nil {
			return 0, 0, 0, err
		}
		until += bus.Second
	}
	switch {
	case f.until != "":
		if until, err = moment("--until", f.until, now); err != nil {
			return 0, 0, 0, err
		}
	case f.since == "" && file == nil:
		return 0, 0, 0, wrongUsage("--since is needed: how far back, for example --since 30d")
	}
	if f.since != "" {
		if from, err = moment("--since", f.since, now); err != nil {
			return 0, 0, 0, err
		}
	}
	from, until = from/bus.Second*bus.Second, until/bus.Second*bus.Second
	switch {
	case until-from < shortestReplay:
		return 0, 0, 0, wrongUsage("from %s to %s is less than a minute", from, until)
	case file == nil && until > bus.TimeOf(now)+bus.Minute:
		return 0, 0, 0, wrongUsage("--until %s is in the future", until)
	case until-from > longestReplay:
		return 0, 0, 0, wrongUsage("from %s to %s is more than %s", from, until, slo.Duration(longestReplay))
	}
	step, err = f.points(until - from)
	return from, until, step, err
}

// points returns the step between points.
func (f *replayFlags) points(whole bus.Time) (bus.Time, error) {
	if f.step == "" {
		return max(shortestStep, (whole/usualPoints+shortestStep-1)/shortestStep*shortestStep), nil
	}
	d, err := slo.ParseDuration(f.step)
	if err != nil {
		return 0, wrongUsage("--step: %v", err)
	}
	if step := d.Time(); step < shortestStep || whole/step > report.MaxPoints {
		return 0, wrongUsage("--step %s: it must be at least %s and give no more than %d points", d, slo.Duration(shortestStep), report.MaxPoints)
	}
	return d.Time(), nil
}

// moment reads a time, or how long ago it was.
func moment(flag, text string, now time.Time) (bus.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return bus.TimeOf(t), nil
	}
	d, err := slo.ParseDuration(text)
	if err != nil {
		return 0, wrongUsage("%s %q is neither a duration like 30d nor a time like 2026-10-01T00:00:00Z", flag, text)
	}
	return bus.TimeOf(now) - d.Time(), nil
}

// A progress tells a person how far the replay has come: a bar on a terminal, else a line now and then.
type progress struct {
	w        io.Writer
	silent   bool
	terminal bool
	every    time.Duration
	began    time.Time
	last     time.Time
	drawn    bool
}

// Pauses between two drawings of the bar, and between two lines.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
	barWidth  = 40
)

func newProgress(w io.Writer, choice, output string) *progress {
	p := &progress{w: w, every: lineEvery, began: time.Now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if p.terminal {
		p.every = barEvery
	}
	p.last = p.began
	p.silent = choice == "never" || choice == "auto" && !p.terminal && output != "table"
	return p
}

func (p *progress) at(share float64, samples uint64) {
	now := time.Now()
	if p.silent || now.Sub(p.last) < p.every {
		return
	}
	p.last = now
	share = min(max(share, 0), 1)
	left := "?"
	if took := now.Sub(p.began); share > 0 {
		left = (time.Duration(float64(took)/share) - took).Round(time.Second).String()
	}
	if !p.terminal {
		fmt.Fprintf(p.w, "%3.0f %%, %d samples, about %s left\n", 100*share, samples, left)
		return
	}
	full := int(share * barWidth)
	fmt.Fprintf(p.w, "\r[%s%s] %3.0f %%, %d samples, about %s left \x1b[K", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*share, samples, left)
	p.drawn = true
}

// note says something at once, whatever the choice: it is no progress.
func (p *progress) note(format string, args ...any) {
	p.end()
	fmt.Fprintln(p.w, "evenkeel:", fmt.Sprintf(format, args...))
}

// end takes the bar away.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
