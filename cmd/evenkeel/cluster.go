package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel.dev/console"
	"evenkeel.dev/slo"
)

func clusterCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Attach Kubernetes clusters by an agent, and detach them",
		Long: `A cluster is attached by an agent that runs in it and connects outward to this engine. 'evenkeel get clusters' shows how each cluster is: Pending, Connected,
Syncing, Ready, Blind, Dark or Detaching, with the reason.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(attachCommand(c), detachCommand(c))
	return cmd
}

func attachCommand(c *cli) *cobra.Command {
	var q console.AttachRequest
	var ttl, caFile, output string
	var labels map[string]string
	var include, exclude []string
	cmd := &cobra.Command{
		Use:   "attach NAME --image IMAGE",
		Short: "Define a cluster and print the manifest of its agent",
		Long: `Attach defines a cluster and prints the manifest of an agent with a token that is good once. The token is in the manifest only: the engine keeps its
SHA-256. It needs a token of the role author that is not bound to a global namespace.

With --renew a cluster that is there gets a new token; the agent that it has loses its right at once.`,
		Example: "  evenkeel cluster attach eu-1 --image registry.example.com/evenkeel:1.0 --hub https://hub.example.com:7480 | kubectl --context eu-1 apply -f -\n  evenkeel cluster attach eu-1 --image registry.example.com/evenkeel:1.0 --dry-run",
		Args:    cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&q.Manifest.Image, "image", "", "container image that holds evenkeel")
	f.StringVar(&q.Manifest.Hub, "hub", "", "https URL at which the cluster reaches this engine (default: --server)")
	f.StringVar(&caFile, "hub-ca", "", "PEM file: who signed the engine's certificates (default: --ca, else the system's authorities)")
	f.StringVar(&q.Manifest.Namespace, "agent-namespace", "", "namespace of the agent (default: evenkeel-system)")
	f.StringVar(&q.Manifest.Storage, "storage", "", "size of the agent's volume (default: 1Gi); none keeps key and outbox as long as the pod lives")
	f.StringVar(&q.Manifest.Class, "storage-class", "", "storage class of the volume (default: the cluster's own)")
	f.BoolVar(&q.Manifest.Plaintext, "plaintext", false, "the agent may reach the engine without TLS")
	f.StringVar(&q.DisplayName, "display-name", "", "name for people")
	f.StringVar(&q.Region, "region", "", "region of the cluster")
	f.StringVar(&q.Zone, "zone", "", "zone of the cluster")
	f.StringToStringVar(&labels, "label", nil, "labels that conditions of global namespaces look at: env=prod")
	f.StringSliceVar(&include, "include", nil, "namespaces that are looked at, by name or beginning: shop, team-* (default: all)")
	f.StringSliceVar(&exclude, "exclude", nil, "namespaces that are not looked at, beside those of the system")
	f.StringVar(&ttl, "ttl", "", "how long the token is good (default: 24h)")
	f.BoolVar(&q.Renew, "renew", false, "a new token for a cluster that is there")
	f.BoolVar(&q.DryRun, "dry-run", false, "print the manifest without a token and change nothing")
	outputFlag(cmd, &output)
	cmd.RunE = do(func(cmd *cobra.Command, args []string) error {
		q.Name, q.Labels = args[0], labels
		q.Namespaces.Include, q.Namespaces.Exclude = patterns(include), patterns(exclude)
		if q.Manifest.Image == "" {
			return wrongUsage("--image is missing; it names the container image that holds evenkeel")
		}
		if err := completeAttach(c, &q, ttl, caFile); err != nil {
			return err
		}
		return c.attach(cmd, &q, output)
	})
	return cmd
}

// completeAttach fills in what follows from other flags.
func completeAttach(c *cli, q *console.AttachRequest, ttl, caFile string) (err error) {
	if q.Manifest.Hub == "" {
		q.Manifest.Hub = c.server
	}
	if ttl != "" {
		if q.TTL, err = slo.ParseDuration(ttl); err != nil {
			return wrongUsage("--ttl: %w", err)
		}
	}
	if caFile == "" {
		caFile = c.ca
	}
	if caFile == "" {
		return nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return fmt.Errorf("--hub-ca: %w", err)
	}
	q.Manifest.CA = string(pem)
	return nil
}

// patterns reads names; one that ends in "*" is a beginning.
func patterns(names []string) (out []console.NamePattern) {
	for _, n := range names {
		if start, ok := strings.CutSuffix(n, "*"); ok {
			out = append(out, console.NamePattern{Type: "StartsWith", Match: start})
		} else {
			out = append(out, console.NamePattern{Type: "Exact", Match: n})
		}
	}
	return out
}

func (c *cli) attach(cmd *cobra.Command, q *console.AttachRequest, output string) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	var a console.AttachAnswer
	if printed, err := c.exchange(cmd.Context(), http.MethodPost, "/api/v1/clusters", nil, q, output, &a); err != nil || printed {
		return err
	}
	fmt.Fprint(c.out, a.Manifest)
	if a.DryRun {
		fmt.Fprintf(c.err, "cluster %s would be defined (dry run); its token would be good until %s\n", clean(a.Cluster), a.Expires)
	} else {
		fmt.Fprintf(c.err, "cluster %s is defined; its agent's token is good once, until %s. 'evenkeel get clusters' shows when it is there.\n", clean(a.Cluster), a.Expires)
	}
	return nil
}

func detachCommand(c *cli) *cobra.Command {
	var dry, take bool
	var output string
	cmd := &cobra.Command{
		Use:   "detach NAME",
		Short: "Let a cluster go, in one step",
		Long: `Detach tells the agent of a cluster to leave, ends its right to connect and deletes the cluster's definition. A cluster that is dark is given up after five
minutes. It prints the command that deletes what the manifest of the agent made.

It exits with 1 when there is no such cluster, or another source manages it.`,
		Example: "  evenkeel cluster detach eu-1 --dry-run\n  evenkeel cluster detach eu-1",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would happen and change nothing")
	cmd.Flags().BoolVar(&take, "take-ownership", false, "also a cluster that another source manages")
	outputFlag(cmd, &output)
	cmd.RunE = do(func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		query := url.Values{}
		for name, set := range map[string]bool{"dryRun": dry, "takeOwnership": take} {
			if set {
				query.Set(name, "true")
			}
		}
		var a console.DetachAnswer
		if printed, err := c.exchange(cmd.Context(), http.MethodDelete, "/api/v1/clusters/"+escape(args[0]), query, nil, output, &a); err != nil || printed {
			return err
		}
		c.printDetach(&a)
		return nil
	})
	return cmd
}

func (c *cli) printDetach(a *console.DetachAnswer) {
	what := "leaves"
	if a.DryRun {
		what = "would leave (dry run)"
	}
	fmt.Fprintf(c.out, "cluster %s (%s) %s\n", clean(a.Cluster), clean(a.State), what)
	for _, s := range a.Steps {
		fmt.Fprintf(c.out, "  %s\n", clean(s))
	}
	fmt.Fprintf(c.out, "What the manifest made is deleted in the cluster by:\n  %s\n", clean(a.Command))
}
