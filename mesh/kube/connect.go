package kube

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Requests per second to one API server: the watches are ten, and what is left repeats them after an outage.
const (
	queriesPerSecond = 20
	queriesAtOnce    = 40
)

// A Connection is how one API server is reached.
type Connection = rest.Config

// Connect returns the connection of a context of a kubeconfig; the current one where context is "". Without a path the file is found as kubectl finds it (KUBECONFIG, or .kube/config
// in the home folder). Programs for credentials that the file names run as client-go runs them.
func Connect(kubeconfig, context string) (*rest.Config, error) {
	rules, raw, err := load(kubeconfig)
	if err != nil {
		return nil, err
	}
	if context == "" {
		context = raw.CurrentContext
	}
	switch _, ok := raw.Contexts[context]; {
	case context == "":
		return nil, fmt.Errorf("kubeconfig: no context is current; there are %s", strings.Join(names(raw), ", "))
	case !ok:
		return nil, fmt.Errorf("kubeconfig: there is no context %q; there are %s", context, strings.Join(names(raw), ", "))
	}
	c, err := clientcmd.NewNonInteractiveClientConfig(*raw, context, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig, context %q: %w", context, err)
	}
	if err := verified(c); err != nil {
		return nil, fmt.Errorf("kubeconfig, context %q: %w", context, err)
	}
	return c, nil
}

// InCluster returns the connection that a pod has to its own cluster by its service account.
func InCluster() (*rest.Config, error) {
	c, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster that this runs in: %w", err)
	}
	return c, nil
}

// Contexts returns the names of a kubeconfig's contexts, sorted; the path is as for [Connect].
func Contexts(kubeconfig string) ([]string, error) {
	_, raw, err := load(kubeconfig)
	if err != nil {
		return nil, err
	}
	return names(raw), nil
}

func load(kubeconfig string) (*clientcmd.ClientConfigLoadingRules, *clientcmdapi.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	rules.WarnIfAllMissing = false
	raw, err := rules.Load()
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig: %w", err)
	}
	if len(raw.Contexts) == 0 {
		return nil, nil, fmt.Errorf("kubeconfig: there is no context in %s", strings.Join(rules.GetLoadingPrecedence(), ", "))
	}
	return rules, raw, nil
}

func names(c *clientcmdapi.Config) []string { return slices.Sorted(maps.Keys(c.Contexts)) }

// verified refuses a connection on which nobody knows who answers.
func verified(c *rest.Config) error {
	if c.Insecure {
		return errors.New("insecure-skip-tls-verify is set: whoever answers could say what the cluster is; give the API server's certificate-authority instead")
	}
	u, _, err := rest.DefaultServerUrlFor(c)
	if err != nil {
		return fmt.Errorf("address of the API server: %w", err)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme != "https" && u.Hostname() != "localhost" && !ip.IsLoopback() {
		return fmt.Errorf("the API server %s would be asked without TLS", u.Host)
	}
	return nil
}

// tuned returns a copy of the connection as an observer uses it: protobuf, a name, and a rate.
func tuned(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.ContentType = runtime.ContentTypeProtobuf
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	c.UserAgent = "evenkeel"
	c.QPS, c.Burst = queriesPerSecond, queriesAtOnce
	c.WarningHandler, c.WarningHandlerWithContext = rest.NoWarnings{}, nil
	return c
}
