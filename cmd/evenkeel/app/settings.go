// Package app is the one list of stages, shells and kinds: it joins the parts of Evenkeel into a running process, and holds nothing else.
//
// [Run] locks the data folder, opens the addresses, starts the embedded NATS server (or connects to another one), and then runs,
// according to the roles:
//
//	bus        the embedded NATS server with JetStream
//	ingest     remote write, OTLP and scraping, behind one gate; and the observers of clusters
//	catalogue  the stage that accepts and refuses changes of definitions, and those that keep the inventory of clusters and the picture of calls
//	slo        the stage that counts and judges, 16 partitions
//	notify     the stage that decides who hears of an alert, and the webhook sender beside it
//	api        definitions, statuses, events, deliveries, repair and back-up over HTTP
//	tick       one tick a second, and retention
//
// Health, metrics and the folders of --config are served by every process. Processes with the same role share its partitions.
//
// # Order of start and end
//
// What others stand on starts first and ends last: folder and addresses, log, members, stages and copies of stages, then
// the ways in. When it is asked to end, a process first lets the requests under way come to their end, then lets the stages commit, leaves
// the members, and at last closes the log and waits until the embedded server has closed its files.
//
// A part that fails is started again after a pause, and readiness says so; only what nothing can go on without (the HTTP server, the
// embedded server) ends the process.
package app

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/ingest"
	"evenkeel.dev/ingest/scrape"
	"evenkeel.dev/ingest/watch"
)

// Roles of a process.
const (
	RoleBus       = "bus"
	RoleIngest    = "ingest"
	RoleCatalogue = "catalogue"
	RoleSLO       = "slo"
	RoleNotify    = "notify"
	RoleAPI       = "api"
	RoleTick      = jetstream.RoleTick
)

// Roles lists all roles of a process.
func Roles() []string {
	return []string{RoleBus, RoleIngest, RoleCatalogue, RoleSLO, RoleNotify, RoleAPI, RoleTick}
}

// Settings say how a process runs. The flags of "evenkeel run" are its fields, with the same defaults; [Sections] stand in the settings file only.
type Settings struct {
	Config []string // folders with definitions
	// Clusters whose custom resources are definitions, as NAME or NAME=CONTEXT, and those of them that may define global namespaces.
	Clusters                                []string // that are observed: NAME or NAME=CONTEXT
	DefinitionsFromKube, DefinitionsTrusted []string
	Kubeconfig                              string
	Data                                    string
	Secrets                                 string // folder that "file:" references of notification targets point into; default Data/secrets
	HTTP                                    string
	OTLPGRPC                                string
	ExternalURL                             string
	Roles                                   []string

	NATSListen                                     string
	AgentNATS                                      string // where agents reach NATS; "" is the host at which they reach the API
	NATSTLSCert, NATSTLSKey, NATSTLSClientCA       string
	NATSName                                       string
	NATS                                           string
	NATSUser, NATSPasswordFile                     string
	NATSCreds, NATSNKey, NATSCA, NATSCert, NATSKey string
	Replicas                                       int

	Log, LogLevel                string
	Pprof, MetricsAuth           bool
	Calls                        bool // watch metrics of proxies and traces for who calls whom
	AllowPrivateWebhooks         bool
	TLSCert, TLSKey, TLSClientCA string

	Sections
}

// Sections are the settings that are no flags.
type Sections struct {
	Tokens     []Token
	NATSUsers  []NATSUser
	Cluster    *Cluster
	Limits     ingest.Limits   // of telemetry
	CallLimits watch.Limits    // of what is watched for calls
	Sizes      jetstream.Sizes // of streams
	OTLP       OTLP
	Scrape     []scrape.Job // targets that are asked for their metrics
	Fleets     []Fleet      // where lists of clusters come from
}

// A Token gives whoever shows it a role. The token itself stands in a file.
type Token struct {
	Name             string
	Role             string
	TokenFile        string
	GlobalNamespaces []string // to which it is bound; empty: all
}

// A NATSUser may connect to the embedded server. Holders of tokens that may read, and are not bound to a global namespace, may subscribe
// without being named here.
type NATSUser struct {
	Name         string
	Role         string // reader, ingest, result, decider or admin
	PasswordFile string
}

// A Cluster joins the embedded servers of several processes.
type Cluster struct {
	Name         string
	Listen       string
	Routes       []string
	User         string
	PasswordFile string
}

// OTLP says how names of OpenTelemetry become names of Prometheus.
type OTLP struct {
	Translation               string
	PromoteResourceAttributes []string
}

// Has reports whether the process has a role.
func (s *Settings) Has(role string) bool { return slices.Contains(s.Roles, role) }

// Validate completes the settings and refuses what contradicts itself.
func (s *Settings) Validate() error {
	if len(s.Roles) == 0 {
		s.Roles = Roles()
		if s.NATS != "" {
			s.Roles = s.Roles[1:]
		}
	}
	for i, r := range s.Roles {
		if !slices.Contains(Roles(), r) {
			return fmt.Errorf("unknown role %q; it is one of %s", r, strings.Join(Roles(), ", "))
		}
		if slices.Contains(s.Roles[:i], r) {
			return fmt.Errorf("role %s is named twice", r)
		}
	}
	if s.Data == "" {
		return errors.New("--data is empty; it names the folder for everything that is kept")
	}
	if s.Secrets == "" {
		s.Secrets = s.Data + "/secrets"
	}
	return errors.Join(s.validateNATS(), s.validateAddresses(), s.validateFolders(), s.validateKube(), s.validateFleets())
}

func (s *Settings) validateNATS() error {
	switch {
	case s.NATS != "" && s.Has(RoleBus):
		return errors.New("--nats names an existing NATS and the role bus starts one; take one of both")
	case s.NATS == "" && !s.Has(RoleBus):
		return fmt.Errorf("roles %s need a NATS: give --nats, or the role bus", strings.Join(s.Roles, ","))
	case s.Replicas != 0 && s.Replicas != 1 && s.Replicas != 3:
		return fmt.Errorf("--replicas %d; it is 1 or 3", s.Replicas)
	case (s.NATSTLSCert == "") != (s.NATSTLSKey == ""):
		return errors.New("--nats-tls-cert and --nats-tls-key go together")
	case (s.TLSCert == "") != (s.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case s.TLSClientCA != "" && s.TLSCert == "":
		return errors.New("--tls-client-ca needs --tls-cert")
	}
	return nil
}

func (s *Settings) validateAddresses() error {
	for _, a := range []struct{ flag, v string }{{"--http", s.HTTP}, {"--otlp-grpc", s.OTLPGRPC}, {"--nats-listen", s.NATSListen}} {
		if a.v == "" && a.flag != "--http" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.v); err != nil {
			return fmt.Errorf("%s: %w; write for example 127.0.0.1:7480", a.flag, err)
		}
	}
	return nil
}

func (s *Settings) validateFolders() error {
	seen := map[string]string{}
	for _, c := range s.Config {
		owner, err := ownerOf(c)
		if err != nil {
			return err
		}
		if other, ok := seen[owner]; ok {
			return fmt.Errorf("--config %s and %s have the same last name, by which their objects are owned; rename one", other, c)
		}
		seen[owner] = c
	}
	return nil
}
