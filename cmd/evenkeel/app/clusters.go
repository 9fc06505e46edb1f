package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/inventory"
)

// clusters implements [console.Clusters].
type clusters struct{ *app }

const (
	tokenTTL    = 24 * time.Hour
	tokenTTLMax = 30 * 24 * time.Hour // a token is to be used, not kept
)

// Attach implements [console.Clusters].
func (c clusters) Attach(ctx context.Context, q console.AttachRequest, by console.Identity) (console.AttachAnswer, error) {
	ttl := time.Duration(q.TTL.Time()) * time.Millisecond
	if ttl == 0 {
		ttl = tokenTTL
	}
	if ttl < time.Minute || ttl > tokenTTLMax {
		return console.AttachAnswer{}, console.Fail(http.StatusUnprocessableEntity, "Invalid", "a token is good for a minute at least and for 30 days at most", nil)
	}
	raw := make([]byte, 32)
	rand.Read(raw) // never fails
	token := base64.RawURLEncoding.EncodeToString(raw)
	expires := time.Now().Add(ttl).UTC().Truncate(time.Second).Format(time.RFC3339)
	text, expect, err := c.definition(ctx, &q, sumOf(token), expires)
	if err != nil {
		return console.AttachAnswer{}, err
	}
	out := console.AttachAnswer{Cluster: q.Name, Token: token, Expires: expires, DryRun: q.DryRun}
	if q.DryRun {
		out.Token = ""
	}
	if out.Manifest, err = manifest(q.Name, out.Token, c.natsOfAgents(), &q.Manifest); err != nil { // before anything is changed
		return console.AttachAnswer{}, console.Fail(http.StatusUnprocessableEntity, "Invalid", err.Error(), nil)
	}
	a, err := c.definitions.Apply(ctx, console.ApplyRequest{
		Files: []console.File{{Name: "attach", Text: text}}, By: by, DryRun: q.DryRun, ExpectRevision: expect,
	})
	if err == nil && len(a.Problems) > 0 {
		err = console.Fail(http.StatusUnprocessableEntity, "Invalid", a.Problems[0].Message, map[string]any{"problems": a.Problems})
	}
	if err != nil {
		return console.AttachAnswer{}, err
	}
	return out, nil
}

func sumOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// clusterText is a Cluster as it is written.
type clusterText struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name   string            `yaml:"name"`
		Labels map[string]string `yaml:"labels,omitempty"`
	} `yaml:"metadata"`
	Spec struct {
		DisplayName string `yaml:"displayName,omitempty"`
		Region      string `yaml:"region,omitempty"`
		Zone        string `yaml:"zone,omitempty"`
		Namespaces  struct {
			Include []console.NamePattern `yaml:"include,omitempty"`
			Exclude []console.NamePattern `yaml:"exclude,omitempty"`
		} `yaml:"namespaces,omitempty"`
		Agent struct {
			TokenSum string `yaml:"tokenSum"`
			Expires  string `yaml:"expires"`
		} `yaml:"agent"`
	} `yaml:"spec"`
}

// definition writes what shall be defined, and the revision that is there: a cluster is attached once, and renewed where it is there.
func (c clusters) definition(ctx context.Context, q *console.AttachRequest, sum, expires string) (text string, expect *uint64, err error) {
	old, err := c.find(ctx, q.Name)
	if err != nil {
		return "", nil, err
	}
	switch {
	case old == nil && q.Renew:
		return "", nil, console.Fail(http.StatusNotFound, "NotFound", "there is no cluster "+q.Name+" to renew the token of", nil)
	case old != nil && !q.Renew:
		return "", nil, console.Fail(http.StatusConflict, "Exists", "cluster "+q.Name+" is there already; --renew gives it a new token, and takes the right of the agent that it has", nil)
	case old != nil:
		text, err := setYAML(old.Source, map[string]any{"agent": map[string]string{"tokenSum": sum, "expires": expires}})
		return text, &old.Revision, err
	}
	var t clusterText
	t.APIVersion, t.Kind = mesh.KindCluster.APIVersion, mesh.KindCluster.Kind
	t.Metadata.Name, t.Metadata.Labels = q.Name, q.Labels
	t.Spec.DisplayName, t.Spec.Region, t.Spec.Zone = q.DisplayName, q.Region, q.Zone
	t.Spec.Namespaces.Include, t.Spec.Namespaces.Exclude = q.Namespaces.Include, q.Namespaces.Exclude
	t.Spec.Agent.TokenSum, t.Spec.Agent.Expires = sum, expires
	b, err := yaml.Marshal(t)
	return string(b), new(uint64), err
}

// find returns the definition of a cluster; nil where there is none.
func (c clusters) find(ctx context.Context, name string) (*mesh.Definition, error) {
	all, _, err := c.definitions.List(ctx)
	if err != nil {
		return nil, err
	}
	return clusterOf(all, name), nil
}

// clusterOf returns the definition of a cluster among others; nil where there is none.
func clusterOf(ds []mesh.Definition, name string) *mesh.Definition {
	for i := range ds {
		if ds[i].OfKind() == mesh.KindCluster && ds[i].Name == name {
			return &ds[i]
		}
	}
	return nil
}

// setYAML sets fields of the spec of a document, and leaves the rest as it was written.
func setYAML(source string, fields map[string]any) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(source), &doc); err != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return "", fmt.Errorf("the definition's text cannot be read: %w", err)
	}
	spec := under(doc.Content[0], "spec")
	if spec.Kind != yaml.MappingNode {
		*spec = yaml.Node{Kind: yaml.MappingNode}
	}
	for name, v := range fields {
		if err := under(spec, name).Encode(v); err != nil {
			return "", err
		}
	}
	b, err := yaml.Marshal(&doc)
	return string(b), err
}

// under returns the value of a key of a map, which is added if it must.
func under(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	v := &yaml.Node{}
	m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, v)
	return v
}

// Detach implements [console.Clusters].
func (c clusters) Detach(ctx context.Context, q console.DetachRequest, by console.Identity) (console.DetachAnswer, error) {
	d, err := c.find(ctx, q.Name)
	if err != nil {
		return console.DetachAnswer{}, err
	}
	if d == nil {
		return console.DetachAnswer{}, console.Fail(http.StatusNotFound, "NotFound", "there is no cluster "+q.Name, nil)
	}
	out := console.DetachAnswer{Cluster: q.Name, DryRun: q.DryRun, Command: "kubectl delete namespace,clusterrole,clusterrolebinding -l " + manifestLabel + "=" + q.Name}
	if !c.agents.copy.read(ctx, func(s *inventory.Stage) {
		for _, v := range s.Clusters() {
			if v.Name == q.Name {
				out.State = v.State
			}
		}
		for _, a := range s.Agents() {
			out.Agent = out.Agent || a.Cluster == q.Name
		}
	}) {
		return console.DetachAnswer{}, console.Fail(http.StatusServiceUnavailable, "NotReady", "the inventory cannot be read now; look at /readyz", nil)
	}
	if out.Agent {
		out.Steps = append(out.Steps, "the agent is told to leave: it deletes its key and its outbox, says so, and ends",
			fmt.Sprintf("then, or after %d minutes without a word, its right to connect ends and the definition of the cluster is deleted", inventory.DetachTimeout/60_000))
	} else {
		out.Steps = append(out.Steps, "no agent speaks for the cluster: its definition is deleted at once")
	}
	out.Steps = append(out.Steps, "what is known of the cluster is forgotten; its services leave their global namespaces")
	text, err := setYAML(d.Source, map[string]any{"detach": true})
	if err != nil {
		return out, err
	}
	a, err := c.definitions.Apply(ctx, console.ApplyRequest{Files: []console.File{{Name: "detach", Text: text}}, By: by, DryRun: q.DryRun, TakeOwnership: q.TakeOwnership, ExpectRevision: &d.Revision})
	if err == nil && len(a.Problems) > 0 {
		err = console.Fail(http.StatusUnprocessableEntity, "Invalid", a.Problems[0].Message, map[string]any{"problems": a.Problems})
	}
	return out, err
}

// Enrol implements [console.Clusters].
func (c clusters) Enrol(ctx context.Context, q console.EnrolRequest) (console.EnrolAnswer, error) {
	var out console.EnrolAnswer
	if !c.agents.limit.Allow() {
		return out, console.Fail(http.StatusTooManyRequests, "TooMany", "too many agents would enrol at once; try again in a minute", nil)
	}
	if !jetstream.ValidAgentKey(q.PublicKey) {
		return out, console.Fail(http.StatusBadRequest, "BadBody", "publicKey is no public key of an agent", nil)
	}
	d, err := c.find(ctx, q.Cluster)
	if err != nil {
		return out, err
	}
	spec := specOf(d)
	if spec == nil || spec.Agent == nil {
		return out, errToken() // and no record: whoever guesses names fills no log
	}
	e, err := c.agents.ask(ctx, inventory.EnrolmentRequest{
		Version: inventory.EnrolmentVersion, ID: rand.Text(), Cluster: q.Cluster, TokenSum: sumOf(q.Token), Key: q.PublicKey, From: q.From,
	})
	switch {
	case err != nil:
		return out, err
	case !e.Accepted:
		c.logger.Warn("an agent was refused", "cluster", q.Cluster, "reason", e.Reason, "from", q.From)
		return out, refusedEnrolment(e.Reason)
	}
	if c.agents.copy.read(ctx, func(*inventory.Stage) {}) { // so that the agent gets in at its first try
		err = c.agents.admit()
	}
	if e.Reason == inventory.EnrolmentAccepted {
		c.logger.Info("an agent has enrolled", "cluster", q.Cluster, "from", q.From)
	}
	out.Cluster, out.NATS = q.Cluster, c.natsOfAgents()
	out.Scope, _ = json.Marshal(spec.Scope()) // plain data
	return out, err
}

// errToken is the answer to a wrong token as to a wrong name, so that nobody learns which clusters there are.
func errToken() error {
	return console.Fail(http.StatusForbidden, inventory.RefusedTokenWrong, "the token is not one of this cluster; 'evenkeel cluster attach' makes one", nil)
}

// refusedEnrolment tells why who holds a token is refused.
func refusedEnrolment(reason string) error {
	why := map[string]string{
		inventory.RefusedTokenUsed: "another agent has enrolled with the token, and a token is good once; if nobody knows of that agent, the token was stolen: 'evenkeel cluster attach --renew' takes its right",
		inventory.RefusedExpired:   "the token's time is over; 'evenkeel cluster attach --renew' makes a new one",
		inventory.RefusedDetaching: "the cluster is about to leave",
		inventory.RefusedKeyTaken:  "the agent's key speaks for another cluster already; give each agent a data folder of its own",
		inventory.RefusedTooMany:   "too many agents have enrolled",
	}[reason]
	if why == "" {
		return errToken()
	}
	return console.Fail(http.StatusForbidden, reason, why, nil)
}

// natsOfAgents is where agents reach NATS; without a host it is that of the API as they see it.
func (c clusters) natsOfAgents() string {
	s := &c.settings
	switch {
	case s.AgentNATS != "":
		return s.AgentNATS
	case s.NATS != "":
		first, _, _ := strings.Cut(s.NATS, ",")
		return first
	case c.server == nil || c.server.ClientURL() == "":
		return ""
	}
	at := c.server.ClientURL()
	scheme := "nats"
	if s.NATSTLSCert != "" {
		scheme = "tls"
	}
	if _, port, err := net.SplitHostPort(at[strings.Index(at, "://")+3:]); err == nil {
		return scheme + "://:" + port
	}
	return ""
}
