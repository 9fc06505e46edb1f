package console

import (
	"context"
	"encoding/json"
	"net"
	"net/http"

	"evenkeel.dev/slo"
)

// Clusters attaches clusters and detaches them, and takes agents in. What it refuses it answers with a *[Failure].
type Clusters interface {
	Attach(ctx context.Context, q AttachRequest, by Identity) (AttachAnswer, error)
	Detach(ctx context.Context, q DetachRequest, by Identity) (DetachAnswer, error)
	// Enrol lets who shows a cluster's token speak for the cluster with a key.
	Enrol(ctx context.Context, q EnrolRequest) (EnrolAnswer, error)
}

// An AttachRequest is the body of POST /api/v1/clusters.
type AttachRequest struct {
	Name        string            `json:"name"`
	DisplayName string            `json:"displayName,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Region      string            `json:"region,omitempty"`
	Zone        string            `json:"zone,omitempty"`
	Namespaces  NamespaceChoice   `json:"namespaces,omitzero"`
	TTL         slo.Duration      `json:"ttl,omitempty"`   // of the token; default 24 h
	Renew       bool              `json:"renew,omitempty"` // a new token for a cluster that is there; what else is asked for is as it was
	DryRun      bool              `json:"dryRun,omitempty"`
	Manifest    ManifestRequest   `json:"manifest"`
}

// A NamespaceChoice chooses namespaces of a cluster by name.
type NamespaceChoice struct {
	Include []NamePattern `json:"include,omitempty"`
	Exclude []NamePattern `json:"exclude,omitempty"`
}

// A NamePattern is a name, or what a name begins with.
type NamePattern struct {
	Type  string `json:"type"` // Exact or StartsWith
	Match string `json:"match"`
}

// A ManifestRequest says how the agent shall run.
type ManifestRequest struct {
	Hub       string `json:"hub"`                 // https URL at which the agent reaches the hub
	CA        string `json:"ca,omitempty"`        // PEM: who signed the hub's certificates; "" is the system's authorities
	Image     string `json:"image"`               // that holds this program
	Namespace string `json:"namespace,omitempty"` // default evenkeel-system
	Storage   string `json:"storage,omitempty"`   // of the outbox, for example 1Gi (default); none keeps it as long as the pod lives
	Class     string `json:"storageClass,omitempty"`
	Plaintext bool   `json:"plaintext,omitempty"` // the hub is reached without TLS
}

// An AttachAnswer is what to give to the cluster. The token is shown this once.
type AttachAnswer struct {
	Cluster  string `json:"cluster"`
	Token    string `json:"token,omitempty"` // "" of a dry run
	Expires  string `json:"expires"`         // RFC 3339
	Manifest string `json:"manifest"`        // YAML; of a dry run without the token
	DryRun   bool   `json:"dryRun,omitempty"`
}

// A DetachRequest names a cluster that shall leave.
type DetachRequest struct {
	Name          string
	DryRun        bool
	TakeOwnership bool
}

// A DetachAnswer says what happens, and what is left to do by hand.
type DetachAnswer struct {
	Cluster string   `json:"cluster"`
	State   string   `json:"state"`   // of the cluster before
	Agent   bool     `json:"agent"`   // an agent speaks for it, and is told to leave
	Steps   []string `json:"steps"`   // what happens, for people
	Command string   `json:"command"` // deletes what the manifest made
	DryRun  bool     `json:"dryRun,omitempty"`
}

// An EnrolRequest is the body of POST /api/v1/clusters/{name}/enrol. The token in it is the right to ask.
type EnrolRequest struct {
	Cluster   string `json:"-"`
	Token     string `json:"token"`
	PublicKey string `json:"publicKey"`
	From      string `json:"-"` // address of who asks
}

// An EnrolAnswer says where the agent is expected from now on.
type EnrolAnswer struct {
	Cluster string          `json:"cluster"`
	NATS    string          `json:"nats"`            // URL; without a host, that of the hub's own URL
	Scope   json.RawMessage `json:"scope,omitempty"` // what the agent shall look at
}

const maxClusterBody = 256 << 10 // certificates of an authority are the largest part

func (s *Server) attachCluster(w http.ResponseWriter, r *http.Request) {
	var q AttachRequest
	if err := readStrict(w, r, maxClusterBody, &q); err != nil {
		s.answer(w, r, nil, err)
		return
	}
	a, err := s.Clusters.Attach(r.Context(), q, IdentityOf(r.Context()))
	s.answer(w, r, a, err)
}

func (s *Server) detachCluster(w http.ResponseWriter, r *http.Request) {
	q := DetachRequest{Name: r.PathValue("name")}
	var err error
	for name, to := range map[string]*bool{"dryRun": &q.DryRun, "takeOwnership": &q.TakeOwnership} {
		if err == nil {
			*to, err = queryBool(r, name)
		}
	}
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	a, err := s.Clusters.Detach(r.Context(), q, IdentityOf(r.Context()))
	s.answer(w, r, a, err)
}

func (s *Server) enrolAgent(w http.ResponseWriter, r *http.Request) {
	q := EnrolRequest{}
	if err := readStrict(w, r, 4<<10, &q); err != nil {
		s.answer(w, r, nil, err)
		return
	}
	q.Cluster = r.PathValue("name")
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		q.From = host
	}
	a, err := s.Clusters.Enrol(r.Context(), q)
	s.answer(w, r, a, err)
}

// readStrict decodes a body of JSON, within a bound; an unknown field is refused. What is wrong with it is said without what stood in it.
func readStrict(w http.ResponseWriter, r *http.Request, bound int64, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, bound))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return Fail(http.StatusBadRequest, "BadBody", "the body cannot be read: "+err.Error(), nil)
	}
	return nil
}
