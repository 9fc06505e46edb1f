// Package tmc lists the clusters of an organisation of VMware Tanzu Mission Control over its public REST API.
//
// # What is verified, and what is not
//
// Nothing here has been tried against the real service. The shapes are those of the public Terraform provider vmware/terraform-provider-tanzu-mission-control (names and types of fields, phases) and of
// public scripts (the exchange of the API token). From those, and not from an answer of the service, come in particular: that a list of all clusters is asked for with searchScope.name=*, that pages are named
// by pagination.offset and pagination.size, that totalCount counts what matches and is a number in a string, and how long an access token holds. The exchange is that of VMware Cloud services; a self-managed
// Tanzu Mission Control logs in otherwise and is not supported.
//
// # What is asked
//
//	POST {CSPURL}/csp/gateway/am/api/auth/api-tokens/authorize   refresh_token=API token, as a form
//	     {"access_token": "…", "expires_in": 1799}
//	GET  {URL}/v1alpha1/clusters?searchScope.name=*&pagination.offset=0&pagination.size=100   Authorization: Bearer …
//	     {"clusters": [{"fullName": {"managementClusterName", "provisionerName", "name", "orgId"}, "meta": {"labels"}, "spec": {"clusterGroupName"},
//	       "status": {"phase", "health", "infrastructureProviderRegion"}}], "totalCount": "2"}
//
// Its kubeconfigs log in through a plugin of the tanzu command line, made for people, and are of no use to a server. So clusters are known by name and labels only, and
// an agent has to be attached to each.
//
// # Guarantees
//
// A list is whole, or it is an error: one that changes while its pages are read is one. A refused access token is renewed once. An answer 429 or 5xx is waited for, twice, at most 5 s each. Servers are verified, over
// TLS 1.2 at least; redirects are not followed, so that a token goes nowhere else; plain HTTP is refused but to a loopback address. Errors quote no answer and no token. The file of the API token is read anew for each exchange.
package tmc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// DefaultCSPURL is where API tokens are exchanged.
const DefaultCSPURL = "https://console.cloud.vmware.com"

const (
	// MaxClusters is how many clusters a fleet may have.
	MaxClusters = 256

	listTime    = 30 * time.Second
	requestTime = 10 * time.Second
	pageSize    = 100
	maxBody     = 16 << 20
	maxToken    = 16 << 10
)

// A Config says whose clusters are listed.
type Config struct {
	URL       string // of the organisation: https://ORG.tmc.cloud.vmware.com
	CSPURL    string // default DefaultCSPURL
	TokenFile string // holds an API token
	Group     string // a cluster group; "" is all
	Transport http.RoundTripper
}

// A Cluster is one of the organisation.
type Cluster struct {
	Name   string
	From   string // management cluster, provisioner and name
	Labels map[string]string
	Region string // of the infrastructure provider; "" where it is not told
	Group  string
	Phase  string // READY, CREATING, UPGRADING, …
	Health string // HEALTHY, WARNING, UNHEALTHY, DISCONNECTED, …
}

// A Fleet lists clusters. It may be asked by several goroutines.
type Fleet struct {
	config Config
	client *http.Client

	mu     sync.Mutex // held while a list is read
	access string
	until  time.Time // when access is renewed
}

// New returns the fleet. It asks nobody and reads no file yet.
func New(c Config) (*Fleet, error) {
	if c.CSPURL == "" {
		c.CSPURL = DefaultCSPURL
	}
	for _, u := range []*string{&c.URL, &c.CSPURL} {
		var err error
		if *u, err = base(*u); err != nil {
			return nil, fmt.Errorf("Tanzu Mission Control: %w", err)
		}
	}
	if c.TokenFile == "" {
		return nil, errors.New("Tanzu Mission Control: no file is named that holds the API token")
	}
	if c.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the library says so
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		c.Transport = t
	}
	client := &http.Client{Transport: c.Transport, Timeout: requestTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Fleet{config: c, client: client}, nil
}

// base checks an address and takes the slash off its end.
func base(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("an address must be a plain URL like https://ORG.tmc.cloud.vmware.com")
	case u.Scheme == "https":
	case u.Scheme != "http" || u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback():
		return "", fmt.Errorf("the address of %s must begin with https://", u.Host)
	}
	return strings.TrimSuffix(s, "/"), nil
}

// Clusters lists the clusters that are not on their way out, in the order of the service.
func (f *Fleet) Clusters(ctx context.Context) ([]Cluster, error) {
	ctx, stop := context.WithTimeout(ctx, listTime)
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	all, err := f.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("Tanzu Mission Control: %w", err)
	}
	var out []Cluster
	for i := range all {
		if c := all[i].cluster(); (f.config.Group == "" || c.Group == f.config.Group) && c.Phase != "DELETING" && c.Phase != "DETACHING" {
			out = append(out, c)
		}
	}
	if len(out) > MaxClusters {
		return nil, fmt.Errorf("Tanzu Mission Control: there are %d clusters, more than %d; name a cluster group", len(out), MaxClusters)
	}
	return out, nil
}
