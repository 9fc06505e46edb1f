package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/console"
	"evenkeel.dev/slo/promtest"
)

type testFlags struct{ run, output, junit string }

func testCommand(c *cli) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test FILE|DIR|- ...",
		Short: "Run unit tests of definitions, and of Prometheus rules beside them",
		Long: `Test reads files in the notation of 'promtool test rules', with slo_files beside rule_files: series in, and what an SLO shall say, or which
alerts shall fire, at which time. Definitions are run by the code of the engine, rules by Prometheus' own query engine. With 'compare' a test
says, alert by alert, whether rules and definitions alert at the same times. A file of promtool runs as it is. Of a folder the files NAME.test.yaml are run, which 'check', 'apply' and 'run' pass over.

It exits with 0 when all tests pass, and with 1 when one fails or a file has mistakes.`,
		Example: "  evenkeel test slos/checkout.test.yaml\n  evenkeel test --run 'errors|quiet' --junit report.xml tests/",
		Args:    cobra.MinimumNArgs(1),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.run, "run", "", "regular expression: run the tests whose names it matches")
	fs.StringVarP(&f.output, "output", "o", "", "form of the answer: json (default: for people)")
	fs.StringVar(&f.junit, "junit", "", "file to write the results to as JUnit XML")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	cmd.RunE = do(func(cmd *cobra.Command, args []string) error { return c.test(cmd.Context(), &f, args) })
	return cmd
}

func (c *cli) test(ctx context.Context, f *testFlags, args []string) error {
	if f.output != "" && f.output != "json" {
		return wrongUsage("-o %s is not known; it is json", f.output)
	}
	run, err := regexp.Compile(f.run)
	if err != nil {
		return wrongUsage("--run: %v", err)
	}
	files, err := c.readNamed(args, app.TestFile)
	if err != nil {
		return err
	}
	results := promtest.Results{}
	mistakes := 0
	for _, file := range files {
		rs, problems, err := app.Test(ctx, app.TestConfig{File: file, Run: run, Read: func(paths []string) ([]console.File, error) { return c.beside(file.Name, paths) }})
		if err != nil {
			return err
		}
		for _, p := range problems {
			fmt.Fprintln(c.err, p)
		}
		results, mistakes = append(results, rs...), mistakes+len(problems)
	}
	switch {
	case mistakes > 0:
		return answerNo("the files have %s", plural(mistakes, "mistake"))
	case len(results) == 0:
		return wrongUsage("--run %s matches no test", f.run)
	}
	return c.tell(results, f)
}

// tell writes the results in all forms that are asked for.
func (c *cli) tell(rs promtest.Results, f *testFlags) error {
	if f.junit != "" {
		var b bytes.Buffer
		if err := rs.JUnit(&b); err != nil {
			return err
		}
		if err := os.WriteFile(f.junit, b.Bytes(), 0o600); err != nil {
			return err
		}
	}
	write := rs.Text
	if f.output == "json" {
		write = rs.JSON
	}
	if err := write(c.out); err != nil {
		return err
	}
	if rs.Failed() > 0 {
		return &exitError{code: exitNo}
	}
	return nil
}

// beside reads what a file of tests names: files and folders relative to it, with patterns as promtool knows them.
func (c *cli) beside(file string, paths []string) ([]console.File, error) {
	var all []string
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(file), p)
		}
		found := []string{p}
		if strings.ContainsAny(p, "*?[") {
			var err error
			if found, err = filepath.Glob(p); err != nil || len(found) == 0 {
				return nil, fmt.Errorf("no file matches %s", p)
			}
		}
		all = append(all, found...)
	}
	return c.readFiles(all)
}
