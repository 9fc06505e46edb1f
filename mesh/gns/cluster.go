package gns

import (
	"encoding/hex"
	"fmt"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

// A clusterObject is a document of kind Cluster.
type clusterObject struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   mesh.Metadata `json:"metadata"`
	Spec       clusterSpec   `json:"spec"`
}

type clusterSpec struct {
	DisplayName string `json:"displayName"`
	Description string `json:"description"`
	Region      string `json:"region"`
	Zone        string `json:"zone"`
	TrustDomain string `json:"trustDomain"`
	Detach      bool   `json:"detach"`
	Namespaces  *struct {
		Include []pattern `json:"include"`
		Exclude []pattern `json:"exclude"`
	} `json:"namespaces"`
	Agent *struct {
		TokenSum string `json:"tokenSum"`
		Expires  string `json:"expires"`
	} `json:"agent"`
}

// cluster compiles one document. A cluster stands in no global namespace: what it holds may be of several.
func (r *run) cluster(d *mesh.Document) mesh.Definition {
	var o clusterObject
	r.Problems = append(r.Problems, d.Decode("", &o)...)
	s := &o.Spec
	def := r.Begin("default", o.Metadata.Labels)
	c := inventory.ClusterSpec{Name: d.Name, DisplayName: s.DisplayName, Labels: o.Metadata.Labels, Region: s.Region, Zone: s.Zone, TrustDomain: s.TrustDomain, Detach: s.Detach}
	r.Label("metadata.name", "the name of a cluster", d.Name)
	r.Claim(&def, "metadata.name", "cluster/"+d.Name, fmt.Sprintf("the name %q of a cluster", d.Name), "rename one of them: a name counts in all namespaces of metadata together")
	r.describe(s.Description)
	if s.TrustDomain != "" && !dnsName(s.TrustDomain) {
		r.Wrong("spec.trustDomain", fmt.Sprintf("%q is no trust domain", s.TrustDomain), "write what the mesh of the cluster has as trustDomain, for example cluster.local")
	}
	if s.Namespaces != nil {
		c.Include = r.patterns(d, "spec.namespaces.include", s.Namespaces.Include)
		c.Exclude = r.patterns(d, "spec.namespaces.exclude", s.Namespaces.Exclude)
	}
	if s.Agent != nil {
		c.Agent = r.agent(d, s.Agent.TokenSum, s.Agent.Expires)
	}
	return r.Finish(def, c)
}

// patterns compiles a list; those by name only, since an observer chooses before it has seen labels.
func (r *run) patterns(d *mesh.Document, path string, ps []pattern) []member.Pattern {
	if !r.Bound(path, len(ps), maxEntries) {
		return nil
	}
	var out []member.Pattern
	for i := range ps {
		at := fmt.Sprintf("%s[%d]", path, i)
		if ps[i].Type == member.Labels {
			r.Wrong(at+".type", "namespaces are included and excluded by name", "write type: Exact or StartsWith")
			continue
		}
		if p := r.pattern(d, at, &ps[i]); p != nil {
			out = append(out, *p)
		}
	}
	return out
}

// agent checks what proves an agent.
func (r *run) agent(d *mesh.Document, sum, expires string) *inventory.AgentSpec {
	const path = "spec.agent"
	if r.Text(path+".tokenSum", "it is made by 'evenkeel cluster attach'") {
		if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 {
			r.Wrong(path+".tokenSum", "it is no SHA-256", "it has 64 hexadecimal digits; 'evenkeel cluster attach' makes one. The token itself must not stand here")
		}
	}
	if !r.Text(path+".expires", "write for example 2026-12-31T00:00:00Z") {
		return nil
	}
	at, err := time.Parse(time.RFC3339, expires)
	if err != nil {
		r.Wrong(path+".expires", fmt.Sprintf("%q is no time", expires), "write for example 2026-12-31T00:00:00Z")
		return nil
	}
	return &inventory.AgentSpec{TokenSum: sum, Expires: bus.TimeOf(at)}
}
