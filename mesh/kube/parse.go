package kube

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// A Kubeconfig is the text of a kubeconfig that was read already.
type Kubeconfig struct{ raw *clientcmdapi.Config }

// Parse reads the text of a kubeconfig that the operator of this process wrote, and that lies in a file: paths in it are relative to the file's folder.
func Parse(text []byte, file string) (*Kubeconfig, error) {
	raw, err := parse(text)
	if err != nil {
		return nil, err
	}
	for _, c := range raw.Clusters {
		c.LocationOfOrigin = file
	}
	for _, a := range raw.AuthInfos {
		a.LocationOfOrigin = file
	}
	if err := clientcmd.ResolveLocalPaths(raw); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return &Kubeconfig{raw}, nil
}

// ParseForeign reads the text of a kubeconfig that somebody else wrote. It must hold all it needs: one that names a program would run it here, and one that
// names files would send ours to its server.
func ParseForeign(text []byte) (*Kubeconfig, error) {
	raw, err := parse(text)
	if err != nil {
		return nil, err
	}
	for _, c := range raw.Clusters {
		if c.CertificateAuthority != "" {
			return nil, errors.New("kubeconfig: it names a file of this machine (certificate-authority); only certificate-authority-data is taken")
		}
	}
	for _, a := range raw.AuthInfos {
		switch {
		case a.Exec != nil || a.AuthProvider != nil:
			return nil, errors.New("kubeconfig: it names a program for its credentials, which is not run for somebody else")
		case a.TokenFile != "" || a.ClientCertificate != "" || a.ClientKey != "":
			return nil, errors.New("kubeconfig: it names files of this machine (tokenFile, client-certificate, client-key); only what stands in it is taken")
		}
	}
	return &Kubeconfig{raw}, nil
}

// parse reads a kubeconfig. Its errors quote nothing of the text, which holds secrets.
func parse(text []byte) (*clientcmdapi.Config, error) {
	raw, err := clientcmd.Load(text)
	if err != nil {
		return nil, errors.New("kubeconfig: the text is no kubeconfig in YAML or JSON")
	}
	if len(raw.Contexts) == 0 {
		return nil, errors.New("kubeconfig: there is no context in it")
	}
	for _, c := range raw.Clusters {
		for _, address := range []string{c.Server, c.ProxyURL} {
			if u, err := url.Parse(address); err != nil || u.User != nil {
				return nil, errors.New("kubeconfig: an address in it is no plain URL; one with a user and a password is not taken")
			}
		}
	}
	return raw, nil
}

// Contexts returns the names of the contexts, sorted.
func (k *Kubeconfig) Contexts() []string { return names(k.raw) }

// Connect returns the connection of a context; where context is "", of the current one or the only one.
func (k *Kubeconfig) Connect(context string) (*rest.Config, error) {
	all := k.Contexts()
	if context == "" && k.raw.CurrentContext != "" {
		context = k.raw.CurrentContext
	} else if context == "" && len(all) == 1 {
		context = all[0]
	}
	switch {
	case context == "":
		return nil, errors.New("kubeconfig: no context in it is current")
	case !slices.Contains(all, context):
		return nil, fmt.Errorf("kubeconfig: there is no context %q in it", context)
	}
	if of := k.raw.Contexts[context].Cluster; k.raw.Clusters[of] == nil {
		return nil, fmt.Errorf("kubeconfig, context %q: there is no cluster %q in it", context, of)
	}
	c, err := clientcmd.NewNonInteractiveClientConfig(*k.raw, context, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig, context %q: %w", context, err)
	}
	if err := verified(c); err != nil {
		return nil, fmt.Errorf("kubeconfig, context %q: %w", context, err)
	}
	return c, nil
}

// Version asks a cluster for its version of Kubernetes: whoever gets one can reach the cluster.
func Version(ctx context.Context, c *rest.Config) (string, error) {
	if err := verified(c); err != nil {
		return "", err
	}
	asked, err := newClients(tuned(c))
	if err != nil {
		return "", err
	}
	return asked.version(ctx)
}
