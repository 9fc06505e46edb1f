package main

import (
	"cmp"
	"context"
	"errors"
	"log"
	"log/slog"

	"github.com/spf13/cobra"

	"evenkeel.dev/cmd/evenkeel/agent"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/kube"
)

func agentCommand(c *cli) *cobra.Command {
	var s agent.Settings
	var kubeconfig, kubeContext, form, level, trust, bytes string
	cmd := &cobra.Command{
		Use:   "agent --hub URL --cluster NAME --token-file FILE --data DIR",
		Short: "Speak for one cluster: observe it and tell the hub",
		Long: `Agent runs in a cluster, or beside it, and tells the hub what runs there. It connects outward only. The token of 'evenkeel cluster attach' is
shown once; from then on the agent proves who it is by a key in its data folder. While the hub is away it goes on observing and hands in later what it saw.

It reads the cluster and changes nothing in it. When the cluster is detached, the agent deletes its key and its outbox and ends with 0. It ends with 3 when
the hub refuses it for good.`,
		Example: "  evenkeel agent --hub https://hub.example.com:7480 --cluster eu-1 --token-file token --data agent/\n  evenkeel agent --hub https://hub.example.com:7480 --cluster eu-1 --token-file token --data agent/ --kubeconfig ~/.kube/config --context eu-1",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&s.Hub, "hub", "", "https URL of the hub's API")
	f.StringVar(&s.Cluster, "cluster", "", "name of the cluster")
	f.StringVar(&s.TokenFile, "token-file", "", "file with the token of 'evenkeel cluster attach'; needed until the hub has taken the agent in")
	f.StringVar(&s.Data, "data", defaultData, "folder for the agent's key and outbox")
	f.StringVar(&s.HubCA, "hub-ca", "", "PEM file: who signed the hub's certificates (default: the system's authorities)")
	f.BoolVar(&s.Plaintext, "plaintext", false, "reach the hub without TLS, beyond this machine too")
	f.StringVar(&s.HTTP, "http", "127.0.0.1:7481", `address of /healthz, /readyz and /metrics; "" opens none`)
	f.StringVar(&bytes, "outbox", "256MiB", "most bytes that wait for the hub on disk")
	f.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: the cluster that this runs in)")
	f.StringVar(&kubeContext, "context", "", "its context (default: the current one)")
	f.StringVar(&trust, "trust-domain", "", "SPIFFE trust domain of the cluster's identities (default: what the Cluster definition says)")
	f.StringVar(&form, "log", "text", "form of the log: text or json")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		if s.Hub == "" || s.Cluster == "" {
			return wrongUsage("--hub and --cluster are needed")
		}
		var err error
		if s.OutboxBytes, err = parseSize(bytes); err != nil {
			return wrongUsage("--outbox: %w", err)
		}
		logger, err := c.logger(form, level)
		if err != nil {
			return err
		}
		log.SetFlags(0)
		log.SetOutput(slog.NewLogLogger(logger.Handler(), slog.LevelWarn).Writer())
		return agent.Run(cmd.Context(), s, agent.Surroundings{Logger: logger, Observe: observer(s.Cluster, kubeconfig, kubeContext, trust, logger)})
	})
	return cmd
}

// observer joins the observer of a cluster to an agent.
func observer(cluster, kubeconfig, kubeContext, trust string, logger *slog.Logger) func(context.Context, inventory.Scope, agent.Sink) error {
	return func(ctx context.Context, scope inventory.Scope, sink agent.Sink) error {
		rest, err := kube.InCluster()
		if kubeconfig != "" || kubeContext != "" {
			rest, err = kube.Connect(kubeconfig, kubeContext)
		}
		if err != nil {
			return err
		}
		o, err := kube.New(kube.Config{
			Cluster: cluster, REST: rest, Include: scope.Include, Exclude: kube.Excluding(scope.Include, scope.Exclude), Labels: scope.Labels, TrustDomain: cmp.Or(trust, scope.TrustDomain), Logger: logger,
			Sink: func(ctx context.Context, ob inventory.Observation) error {
				err := sink(ctx, ob)
				if errors.Is(err, agent.ErrRelist) {
					return kube.ErrRelist
				}
				return err
			},
		})
		if err != nil {
			return err
		}
		return o.Run(ctx)
	}
}
