package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"evenkeel.dev/cmd/evenkeel/app"
)

func convertCommand(c *cli) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "convert FILE|DIR|- ...",
		Short: "Write files of Sloth, Pyrra and OpenSLO v1alpha as OpenSLO v1",
		Long: `Convert reads definitions of any kind, without a server, and writes those that mean the same as OpenSLO v1. Nothing has to be converted:
'apply' takes these files as they are.

What cannot be kept exactly is said with its place, and stands as a comment in what is written. It exits with 1 when an SLO or an alert is
missing there, with 0 otherwise.`,
		Example: "  evenkeel convert sloth.yml > slos.yaml\n  kubectl get slo -A -o yaml | evenkeel convert - -o slos.yaml",
		Args:    cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "-", "file to write, or - for the output")
	cmd.RunE = do(func(_ *cobra.Command, args []string) error {
		if output == "" {
			return wrongUsage("-o needs the name of a file, or -")
		}
		files, err := c.readFiles(args)
		if err != nil {
			return err
		}
		converted, err := app.Convert(files)
		if err != nil {
			return err
		}
		if output == "-" {
			_, err = c.out.Write(converted.Text)
		} else {
			err = os.WriteFile(output, converted.Text, 0o644)
		}
		if err != nil {
			return err
		}
		for _, p := range converted.Left {
			fmt.Fprintln(c.err, p)
		}
		for _, p := range converted.Notes {
			fmt.Fprintln(c.err, p)
		}
		if len(converted.Left) > 0 {
			return &exitError{code: exitNo}
		}
		return nil
	})
	return cmd
}
