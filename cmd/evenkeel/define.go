package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
)

func counted(mistakes, warnings int) string {
	text := plural(mistakes, "mistake")
	if warnings > 0 {
		text += ", " + plural(warnings, "warning")
	}
	return text
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// applyFlags are those of apply and diff.
type applyFlags struct {
	files         []string
	dryRun        bool
	takeOwnership bool
	expect        int64
	output        string

	from, since string // of --backfill
	history     replayFlags
}

func (f *applyFlags) query() url.Values {
	q := url.Values{}
	if f.dryRun {
		q.Set("dryRun", "true")
	}
	if f.takeOwnership {
		q.Set("takeOwnership", "true")
	}
	if f.expect >= 0 {
		q.Set("expectRevision", fmt.Sprint(f.expect))
	}
	return q
}

func applyCommand(c *cli) *cobra.Command {
	f := applyFlags{expect: -1}
	cmd := &cobra.Command{
		Use:   "apply -f FILE|DIR|- ...",
		Short: "Set what files define, all or nothing",
		Long: `Apply compiles the files on the server and proposes all that they define as one change. It answers for each object whether it
was created, configured or unchanged. Nothing is deleted that is not in the files.

With --backfill its SLOs are then given what they would have counted before they were defined: the history of a Prometheus or a file is
replayed here, by the code of the engine, and its minutes are counted there.

It exits with 1 when a definition has mistakes, or when somebody else owns or has changed an object.`,
		Example: "  evenkeel apply -f slos/\n  evenkeel apply --dry-run -f checkout.yaml\n  evenkeel apply -f checkout.yaml --backfill prometheus:http://prometheus:9090",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringArrayVarP(&f.files, "filename", "f", nil, "file, folder, or - for the input; may be given several times")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would happen and change nothing")
	cmd.Flags().BoolVar(&f.takeOwnership, "take-ownership", false, "also change objects that another source manages, and manage them from then on")
	cmd.Flags().Int64Var(&f.expect, "expect-revision", -1, "refuse unless the objects still have this revision; 0: they shall not exist")
	cmd.Flags().StringVar(&f.from, "backfill", "", "where the history of its SLOs is: prometheus:URL, openmetrics:FILE, or log")
	cmd.Flags().StringVar(&f.since, "since", "", "with --backfill: how far back (30d), or a time in RFC 3339; default: the longest window of the SLOs")
	f.history.sourceFlags(cmd.Flags())
	outputFlag(cmd, &f.output)
	_ = cmd.MarkFlagRequired("filename") // the flag exists
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		if f.since != "" && f.from == "" {
			return wrongUsage("--since goes with --backfill")
		}
		if f.dryRun && f.from != "" {
			return wrongUsage("--backfill changes what SLOs count; evenkeel replay says what history holds, and changes nothing")
		}
		if err := c.apply(cmd.Context(), &f); err != nil || f.from == "" {
			return err
		}
		return c.backfill(cmd.Context(), &f)
	})
	return cmd
}

func (c *cli) apply(ctx context.Context, f *applyFlags) error {
	a, err := c.send(ctx, "/api/v1/definitions", f)
	if err != nil {
		return err
	}
	if f.output != "" {
		b, err := json.Marshal(a)
		if err != nil {
			return err
		}
		return printAs(c.out, f.output, b)
	}
	c.printActions(a)
	return nil
}

func (c *cli) printActions(a console.ApplyAnswer) {
	dry := ""
	if a.DryRun {
		dry = " (dry run)"
	}
	for _, o := range a.Objects {
		fmt.Fprintf(c.out, "%s %s%s\n", clean(o.Ref.String()), o.Action, dry)
	}
	for _, p := range a.Warnings {
		fmt.Fprintln(c.err, p)
	}
}

// send posts the files and returns the answer; mistakes are printed with their places and end with exit code 1.
func (c *cli) send(ctx context.Context, path string, f *applyFlags) (console.ApplyAnswer, error) {
	var a console.ApplyAnswer
	if err := checkOutput(f.output); err != nil {
		return a, err
	}
	files, err := c.readFiles(f.files)
	if err != nil {
		return a, err
	}
	body, err := json.Marshal(map[string]any{"files": files})
	if err != nil {
		return a, err
	}
	api, err := c.client()
	if err != nil {
		return a, err
	}
	return a, c.refused(api.call(ctx, http.MethodPost, path, f.query(), console.FilesType, body, &a))
}

// refused turns what the server says about definitions into exit code 1: mistakes, conflicts, what is not there.
func (c *cli) refused(err error) error {
	var e *apiError
	if !errors.As(err, &e) {
		return err
	}
	switch e.status {
	case http.StatusUnprocessableEntity:
		var d struct {
			Problems []mesh.Problem `json:"problems"`
		}
		_ = json.Unmarshal(e.details, &d) // a refusal without problems says it in its message
		for _, p := range d.Problems {
			fmt.Fprintln(c.out, p)
		}
		return &exitError{exitNo, e}
	case http.StatusConflict, http.StatusNotFound:
		return &exitError{exitNo, e}
	}
	return err
}

func diffCommand(c *cli) *cobra.Command {
	f := applyFlags{expect: -1}
	cmd := &cobra.Command{
		Use:   "diff -f FILE|DIR|- ...",
		Short: "Show what applying files would change",
		Long:  "Diff prints the unified difference between the definitions that the engine has and the files. It exits with 1 when there is one.",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().StringArrayVarP(&f.files, "filename", "f", nil, "file, folder, or - for the input; may be given several times")
	_ = cmd.MarkFlagRequired("filename") // the flag exists
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		a, err := c.send(cmd.Context(), "/api/v1/definitions/diff", &f)
		if err != nil {
			return err
		}
		differs := false
		for _, o := range a.Objects {
			differs = differs || o.Action != console.ActionUnchanged
			fmt.Fprint(c.out, o.Diff)
		}
		if differs {
			return &exitError{code: exitNo}
		}
		return nil
	})
	return cmd
}
