package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"evenkeel.dev/console"
	"evenkeel.dev/slo"
)

func silenceCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "silence",
		Short: "Keep back for a while that alerts are told",
		Long: `A silence keeps back that the alerts of a service, of one of its SLOs or of one tier are told to notification targets. The alerts' events come
all the same, 'evenkeel get deliveries' lists what is held, and what still fires when the silence ends is told then. The end of an alert that was told
before is told. A silence always ends, at the latest after 30 days, and shows its author and reason.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(silenceAddCommand(c), silenceListCommand(c), silenceExpireCommand(c))
	return cmd
}

// namespaceFlag adds --global-namespace, which may also be written --gns, as elsewhere.
func namespaceFlag(cmd *cobra.Command, to *string, usage string) {
	cmd.Flags().StringVar(to, "global-namespace", "", usage)
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "gns" {
			name = "global-namespace"
		}
		return pflag.NormalizedName(name)
	})
}

func silenceAddCommand(c *cli) *cobra.Command {
	var q console.SilenceRequest
	var length, output string
	cmd := &cobra.Command{
		Use:     "add --service SERVICE [--slo SLO] [--tier TIER] --for DURATION --reason TEXT",
		Short:   "Silence the alerts of a service",
		Long:    "Add silences alerts from now on. It needs a token of the role operator.",
		Example: "  evenkeel silence add --service checkout --for 2h --reason 'database upgrade, CHG-4711'\n  evenkeel silence add --service checkout --slo latency --tier ticket --for 3d --reason 'known, SHOP-99'",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&q.Service, "service", "", "service whose alerts are silenced")
	f.StringVar(&q.SLO, "slo", "", "only those of this SLO")
	f.StringVar(&q.Tier, "tier", "", "only those of this tier, for example page or ticket")
	f.StringVar(&length, "for", "", "how long: at most 30d, for example 2h")
	f.StringVar(&q.Reason, "reason", "", "why, for those who are on call next")
	namespaceFlag(cmd, &q.GlobalNamespace, "global namespace of the service (default: the one of your token, else default)")
	outputFlag(cmd, &output)
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		for _, need := range []struct{ flag, v string }{{"--service", q.Service}, {"--for", length}, {"--reason", q.Reason}} {
			if need.v == "" {
				return wrongUsage("%s is missing", need.flag)
			}
		}
		var err error
		if q.For, err = slo.ParseDuration(length); err != nil {
			return wrongUsage("--for: %w", err)
		}
		if err := checkOutput(output); err != nil {
			return err
		}
		var x console.Silence
		if printed, err := c.exchange(cmd.Context(), http.MethodPost, "/api/v1/silences", nil, q, output, &x); err != nil || printed {
			return err
		}
		fmt.Fprintf(c.out, "%s silences %s until %s\n", clean(x.ID), silenced(&x), x.EndsAt)
		return nil
	})
	return cmd
}

// silenced says what a silence is of.
func silenced(x *console.Silence) string {
	text := x.GlobalNamespace + "/" + x.Service
	if x.SLO != "" {
		text += "/" + x.SLO
	}
	if x.Tier != "" {
		text += ", tier " + x.Tier
	}
	return clean(text)
}

func silenceListCommand(c *cli) *cobra.Command {
	var gns, service, output string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the silences that hold",
		Example: "  evenkeel silence list\n  evenkeel silence list --service checkout -o json",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&service, "service", "", "only those of this service")
	namespaceFlag(cmd, &gns, "only those of this global namespace")
	outputFlag(cmd, &output)
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		q := url.Values{}
		if gns != "" {
			q.Set("gns", gns)
		}
		if service != "" {
			q.Set("service", service)
		}
		var in struct {
			Items []console.Silence `json:"items"`
		}
		printed, err := c.fetch(cmd.Context(), "/api/v1/silences", q, output, &in)
		if err != nil || printed {
			return err
		}
		if len(in.Items) == 0 {
			fmt.Fprintln(c.err, "Nothing is silenced.")
			return nil
		}
		rows := [][]string{{"ID", "SILENCES", "UNTIL", "BY", "WHY"}}
		for i := range in.Items {
			x := &in.Items[i]
			rows = append(rows, []string{clean(x.ID), silenced(x), x.EndsAt, clean(x.Author), clean(x.Reason)})
		}
		return table(c.out, []int{20, 0, 24, 16, 60}, rows)
	})
	return cmd
}

func silenceExpireCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "expire ID ...",
		Short:   "End silences before their time",
		Long:    "Expire ends silences; what they held and still fires is told at once. It exits with 1 when no silence of an ID holds.",
		Example: "  evenkeel silence expire k3v9q2mzt7xw4bny",
		Args:    cobra.MinimumNArgs(1),
		RunE: do(func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			for _, id := range args {
				var a struct{ ID string }
				if err := api.call(cmd.Context(), "DELETE", "/api/v1/silences/"+escape(id), nil, "", nil, &a); err != nil {
					return c.refused(err)
				}
				fmt.Fprintf(c.out, "%s is ended\n", clean(a.ID))
			}
			return nil
		}),
	}
}
