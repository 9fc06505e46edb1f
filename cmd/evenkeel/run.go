package main

import (
	"fmt"
	"log"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"evenkeel.dev/cmd/evenkeel/app"
)

const defaultData = "data"

func runCommand(c *cli) *cobra.Command {
	var s app.Settings
	var file string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Start the engine",
		Long: `Run starts the engine and goes on until it is interrupted. By default one process does everything, with an embedded NATS server; --roles
and --nats spread it over several.

The first run writes admin.token and sender.token into the data folder: the first may do everything over the HTTP API, the second may
only send telemetry.

Every flag is also an environment variable and a key of the settings file (--settings): --nats-listen, EVENKEEL_NATS_LISTEN, natsListen.
A flag wins over the environment, that over the file.`,
		Example: "  evenkeel run --config slos/ --data data/\n  evenkeel run --roles ingest --nats nats://bus:4222 --nats-password-file internal.token",
		Args:    cobra.NoArgs,
	}
	runFlags(cmd.Flags(), &s, &file)
	withEnvironment(cmd.Flags())
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		if err := fromFile(cmd.Flags(), &s, file); err != nil {
			return &exitError{exitUsage, err}
		}
		if err := s.Validate(); err != nil {
			return &exitError{exitUsage, err}
		}
		logger, err := c.logger(s.Log, s.LogLevel)
		if err != nil {
			return err
		}
		log.SetFlags(0)
		log.SetOutput(slog.NewLogLogger(logger.Handler(), slog.LevelWarn).Writer()) // what libraries say
		return app.Run(cmd.Context(), s, app.Surroundings{Logger: logger, Err: c.err})
	})
	return cmd
}

// runFlags lays out the flags of run; each is also a key of the settings file.
func runFlags(f *pflag.FlagSet, s *app.Settings, file *string) {
	f.StringVar(file, "settings", "", "YAML file with settings")
	f.StringSliceVar(&s.Config, "config", nil, "folder with definitions, which is watched; may be given several times")
	f.StringSliceVar(&s.Clusters, "observe", nil, "clusters that are observed: NAME (of a context of the kubeconfig), NAME=CONTEXT or NAME=in-cluster")
	f.StringSliceVar(&s.DefinitionsFromKube, "definitions-from-kube", nil, "clusters whose custom resources are definitions: NAME=CONTEXT or NAME=in-cluster")
	f.StringSliceVar(&s.DefinitionsTrusted, "definitions-trusted", nil, "which of those may define global namespaces, too (default: none)")
	f.StringVar(&s.Kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, then ~/.kube/config)")
	f.StringVar(&s.Data, "data", defaultData, "folder for everything that is kept")
	f.StringVar(&s.HTTP, "http", "127.0.0.1:7480", "address of the API, remote write and OTLP over HTTP")
	f.StringVar(&s.OTLPGRPC, "otlp-grpc", "127.0.0.1:4317", `address of OTLP over gRPC; "" opens none`)
	f.StringVar(&s.NATSListen, "nats-listen", "127.0.0.1:4222", `address for NATS subscribers and other processes; "" opens none`)
	f.StringVar(&s.AgentNATS, "agent-nats", "", "URL at which agents of clusters reach the NATS address (default: the host at which they reach the API)")
	f.StringSliceVar(&s.Roles, "roles", nil, "what this process does: "+strings.Join(app.Roles(), ", ")+" (default: all; with --nats all but bus)")
	f.StringVar(&s.ExternalURL, "external-url", "", "where people reach the HTTP address, for links in notifications")
	f.StringVar(&s.Secrets, "secrets", "", "folder that file: references of notification targets point into (default: secrets in the data folder)")
	f.BoolVar(&s.AllowPrivateWebhooks, "allow-private-webhooks", false, "send notifications to private and loopback addresses too")
	f.StringVar(&s.Log, "log", "text", "form of the log: text or json")
	f.StringVar(&s.LogLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&s.Calls, "calls", true, "watch metrics of Istio and of traces for who calls whom, for evenkeel mesh graph")
	f.BoolVar(&s.Pprof, "pprof", false, "serve profiles under /debug/pprof/ to admins")
	f.BoolVar(&s.MetricsAuth, "metrics-auth", false, "ask for a token that may read on /metrics (/metrics/slo always does)")
	f.StringVar(&s.TLSCert, "tls-cert", "", "PEM file: certificate of the HTTP and gRPC addresses")
	f.StringVar(&s.TLSKey, "tls-key", "", "PEM file: its key")
	f.StringVar(&s.TLSClientCA, "tls-client-ca", "", "PEM file: ask clients for a certificate that it signed, beside their token")
	f.StringVar(&s.NATS, "nats", "", "use an existing NATS: nats://host:port, several separated by commas")
	f.StringVar(&s.NATSUser, "nats-user", "", "its user (default: a token)")
	f.StringVar(&s.NATSPasswordFile, "nats-password-file", "", "file with the user's password or the token")
	f.StringVar(&s.NATSCreds, "nats-creds", "", "credentials file (JWT and seed)")
	f.StringVar(&s.NATSNKey, "nats-nkey", "", "file with an nkey seed")
	f.StringVar(&s.NATSCA, "nats-ca", "", "PEM file: who signed its certificate")
	f.StringVar(&s.NATSCert, "nats-cert", "", "PEM file: our certificate for it")
	f.StringVar(&s.NATSKey, "nats-key", "", "PEM file: the certificate's key")
	f.StringVar(&s.NATSTLSCert, "nats-tls-cert", "", "PEM file: certificate of the embedded server's address")
	f.StringVar(&s.NATSTLSKey, "nats-tls-key", "", "PEM file: its key")
	f.StringVar(&s.NATSTLSClientCA, "nats-tls-client-ca", "", "PEM file: ask NATS clients for a certificate that it signed")
	f.StringVar(&s.NATSName, "nats-name", "", "name of the embedded server, another for each node of a cluster")
	f.IntVar(&s.Replicas, "replicas", 1, "copies of each stream: 1, or 3 on a NATS cluster")
}

func (c *cli) logger(form, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, wrongUsage("--log-level %s is not known; it is debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch form {
	case "text":
		return slog.New(slog.NewTextHandler(c.err, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.err, o)), nil
	}
	return nil, &exitError{exitUsage, fmt.Errorf("--log %s is not known; it is text or json", form)}
}
