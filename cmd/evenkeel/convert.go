package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"evenkeel.dev/cmd/evenkeel/app"
)

func convertCommand(c *cli) *cobra.Command {
	var output, from, gns, source string
	cmd := &cobra.Command{
		Use:   "convert FILE|DIR|- ...",
		Short: "Write files of Sloth, Pyrra and OpenSLO v1alpha as OpenSLO v1",
		Long: `Convert reads definitions of any kind, without a server, and writes those that mean the same as OpenSLO v1. Nothing has to be converted:
'apply' takes these files as they are.

What cannot be kept exactly is said with its place, and stands as a comment in what is written. It exits with 1 when an SLO or an alert is
missing there, with 0 otherwise.

With --from tanzu it reads what Tanzu Service Mesh's API answers for service-level-objectives, global-namespaces or traffic-routing-policies,
JSON, or global namespaces as they are declared (gns.tsm.vmware.com/v1), and writes Evenkeel's own kinds SLO, GlobalNamespace and TrafficPolicy.`,
		Example: "  evenkeel convert sloth.yml > slos.yaml\n  kubectl get slo -A -o yaml | evenkeel convert - -o slos.yaml",
		Args:    cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "-", "file to write, or - for the output")
	cmd.Flags().StringVar(&from, "from", "", `"tanzu": read what Tanzu Service Mesh has`)
	cmd.Flags().StringVar(&gns, "gns", "", "with --from tanzu: the global namespace of the SLOs and of traffic policies")
	cmd.Flags().StringVar(&source, "source", "", "with --from tanzu: where their telemetry comes from (default istio)")
	cmd.RunE = do(func(_ *cobra.Command, args []string) error {
		switch {
		case output == "":
			return wrongUsage("-o needs the name of a file, or -")
		case from != "" && from != "tanzu":
			return wrongUsage("--from %q is not known; other files are recognised by themselves, and tanzu is the only name", from)
		case from == "" && (gns != "" || source != ""):
			return wrongUsage("--gns and --source go with --from tanzu")
		}
		files, err := c.readFiles(args)
		if err != nil {
			return err
		}
		var converted app.Converted
		if from == "tanzu" {
			converted, err = app.ConvertTanzu(files, gns, source)
		} else {
			converted, err = app.Convert(files)
		}
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
