package inventory

import (
	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/member"
)

// A ClusterSpec is a Cluster definition, compiled.
type ClusterSpec struct {
	Name        string            `json:"name"`
	DisplayName string            `json:"displayName,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"` // that conditions of global namespaces look at
	Region      string            `json:"region,omitempty"`
	Zone        string            `json:"zone,omitempty"`
	TrustDomain string            `json:"trustDomain,omitempty"` // of the cluster's mesh; "": not known
	Detach      bool              `json:"detach,omitempty"`      // the agent shall take away what is ours and say that it has left
	Include     []member.Pattern  `json:"include,omitempty"`     // namespaces that are looked at; none: all
	Exclude     []member.Pattern  `json:"exclude,omitempty"`     // and those that are not, beside those of the system
	Agent       *AgentSpec        `json:"agent,omitempty"`       // nil: no agent may speak for the cluster
}

// A Scope is what an agent must know of its cluster's definition to observe it.
type Scope struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Include     []member.Pattern  `json:"include,omitempty"`
	Exclude     []member.Pattern  `json:"exclude,omitempty"`
	TrustDomain string            `json:"trustDomain,omitempty"`
}

// Scope returns what the cluster's agent must know.
func (c *ClusterSpec) Scope() Scope { return Scope{c.Labels, c.Include, c.Exclude, c.TrustDomain} }

// An AgentSpec says how an agent proves that it may speak for a cluster.
type AgentSpec struct {
	TokenSum string   `json:"tokenSum"` // hexadecimal SHA-256 of the one-time token
	Expires  bus.Time `json:"expires"`  // after which the token is of no use
}

// An External is an ExternalService definition, compiled: a service that no cluster runs.
type External struct {
	Namespace       string            `json:"namespace"`
	Name            string            `json:"name"`
	GlobalNamespace string            `json:"globalNamespace"`
	Labels          map[string]string `json:"labels,omitempty"`
	Ports           []Port            `json:"ports,omitempty"`
	Endpoints       []Endpoint        `json:"endpoints"`
}

// An Endpoint is where an [External] answers.
type Endpoint struct {
	Address string `json:"address"` // an IP address or a DNS name
	Version string `json:"version,omitempty"`
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
}
