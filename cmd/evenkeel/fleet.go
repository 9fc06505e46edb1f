package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"evenkeel.dev/cmd/evenkeel/app"
)

func fleetCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "fleet", Short: "Which clusters the fleets of the settings know", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(fleetListCommand(c))
	return cmd
}

func fleetListCommand(c *cli) *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use:   "list --settings FILE",
		Short: "Ask the fleets for their clusters, and each cluster whether it answers",
		Long: `List reads the section fleets of a settings file, without a server, asks each fleet for its clusters, and each cluster that there is a way
to for its version. It changes nothing and observes nothing.

It exits with 0 when all fleets could be read, whether or not their clusters answer, and with 3 when one could not; the others are listed then.`,
		Example: "  evenkeel fleet list --settings settings.yaml",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&file, "settings", "", "YAML file with settings")
	withEnvironment(cmd.Flags())
	outputFlag(cmd, &output)
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		s, err := fleetSettings(file)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		known, unread := app.KnownClusters(cmd.Context(), s)
		if err := printFleet(c.out, output, known); err != nil {
			return err
		}
		return unread
	})
	return cmd
}

// fleetSettings reads the settings of run and asks for fleets in them.
func fleetSettings(file string) (*app.Settings, error) {
	if file == "" {
		return nil, fmt.Errorf("--settings names no file")
	}
	var s app.Settings
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	runFlags(fs, &s, new(string))
	withEnvironment(fs)
	if err := fromFile(fs, &s, file); err != nil {
		return nil, err
	}
	if len(s.Fleets) == 0 {
		return nil, fmt.Errorf("--settings %s has no section fleets", file)
	}
	return &s, s.Validate()
}

func printFleet(w io.Writer, form string, known []app.KnownCluster) error {
	if form != "" {
		text, err := json.Marshal(map[string]any{"items": append([]app.KnownCluster{}, known...)})
		if err != nil {
			return err
		}
		return printAs(w, form, text)
	}
	if len(known) == 0 {
		return nil
	}
	rows := [][]string{{"NAME", "FLEET", "FROM", "REACHABLE", "REGION", "LABELS", "WHY"}}
	for _, k := range known {
		reachable := "no"
		if k.Reachable {
			reachable = k.Version
		}
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(k.Labels)) {
			labels = append(labels, name+"="+k.Labels[name])
		}
		rows = append(rows, []string{k.Name, clean(k.Fleet), clean(k.From), clean(reachable), clean(k.Region), clean(strings.Join(labels, ",")), clean(k.Reason)})
	}
	return table(w, nil, rows)
}
