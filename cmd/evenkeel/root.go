package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	groupServe  = "serve"
	groupDefine = "define"
	groupLook   = "look"
	groupKeep   = "keep"
)

func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "evenkeel",
		Short: "Telemetry in; service levels, error budgets and alerts out",
		Long: `Evenkeel turns telemetry into service levels, error budgets and alerts.

  evenkeel run --config slos/ --data data/     start the engine
  evenkeel check slos/                         are the definitions right?
  evenkeel test slos.test.yaml                 do they alert when they should?
  evenkeel status                              how much error budget is left?
  evenkeel events                              what happens, as it happens

Exit codes: 0 done or yes, 1 the answer is no, 2 wrong usage, 3 could not reach or start something.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddGroup(&cobra.Group{ID: groupServe, Title: "The engine:"}, &cobra.Group{ID: groupDefine, Title: "Definitions:"},
		&cobra.Group{ID: groupLook, Title: "Looking:"}, &cobra.Group{ID: groupKeep, Title: "Keeping it sound:"})
	f := root.PersistentFlags()
	f.StringVar(&c.server, "server", "http://127.0.0.1:7480", "address of the running engine")
	f.StringVar(&c.token, "token", "", "token to show it (default: admin.token in the data folder, if it can be read)")
	f.StringVar(&c.ca, "ca", "", "PEM file of the authority that signed the server's certificate")
	withEnvironment(f)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return bindEnvironment(cmd.Flags(), c.getenv) }
	for group, commands := range map[string][]*cobra.Command{
		groupServe:  {runCommand(c), agentCommand(c), clusterCommand(c)},
		groupDefine: {checkCommand(c), applyCommand(c), diffCommand(c), deleteCommand(c), getCommand(c), convertCommand(c), testCommand(c), replayCommand(c)},
		groupLook:   {statusCommand(c), describeCommand(c), meshCommand(c), fleetCommand(c), reportCommand(c), eventsCommand(c), resendCommand(c), silenceCommand(c), notifyCommand(c)},
		groupKeep:   {caCommand(c), repairCommand(c), backupCommand(c), restoreCommand(c), versionCommand(c)},
	} {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	return root
}

// do wraps what a command does: an error without an exit code of its own means that it could not be done.
func do(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd, args)
		var e *exitError
		if err == nil || errors.As(err, &e) {
			return err
		}
		return &exitError{exitCould, err}
	}
}

const environment = "environment" // annotation of flags that an environment variable may set

// withEnvironment marks all flags that are in the set now.
func withEnvironment(fs *pflag.FlagSet) {
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		if f.Annotations[environment] == nil {
			f.Annotations[environment] = []string{variable(f.Name)}
			f.Usage += " [" + variable(f.Name) + "]"
		}
	})
}

func variable(flag string) string {
	return "EVENKEEL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// bindEnvironment sets flags that were not given from the environment. They count as given from then on, so that the file does not win.
func bindEnvironment(fs *pflag.FlagSet, getenv func(string) (string, bool)) error {
	var errs []error
	fs.VisitAll(func(f *pflag.Flag) {
		names := f.Annotations[environment]
		if f.Changed || len(names) == 0 {
			return
		}
		if v, ok := getenv(names[0]); ok && v != "" {
			if err := fs.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", names[0], err))
			}
		}
	})
	if len(errs) > 0 {
		return &exitError{exitUsage, errors.Join(errs...)}
	}
	return nil
}
