package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"evenkeel.dev/cmd/evenkeel/app"
)

func versionCommand(c *cli) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  cobra.NoArgs,
	}
	outputFlag(cmd, &output)
	cmd.RunE = do(func(*cobra.Command, []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		v := app.Version()
		if output != "" {
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			return printAs(c.out, output, b)
		}
		commit := v.Commit
		if commit != "" {
			commit = " (" + commit + ")"
		}
		fmt.Fprintf(c.out, "evenkeel %s%s, %s\n", v.Version, commit, v.Go)
		return nil
	})
	return cmd
}
