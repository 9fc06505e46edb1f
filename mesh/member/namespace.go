package member

// A GlobalNamespace is a definition of this kind, compiled.
type GlobalNamespace struct {
	Name            string      `json:"name"`
	Domain          string      `json:"domain"` // in lower case, without a dot at its end
	Conditions      []Condition `json:"conditions"`
	MTLS            string      `json:"mtls"` // Strict, Permissive or Disabled
	CA              CA          `json:"ca"`
	Description     string      `json:"description,omitempty"`
	Colour          string      `json:"colour,omitempty"`
	DefinitionsFrom []Origin    `json:"definitionsFrom,omitempty"`
	AcceptedFrom    []Accept    `json:"acceptedFrom,omitempty"`
}

// A CA says where the identities of members come from.
type CA struct {
	Type string `json:"type"` // SelfSigned or PreExisting
	Name string `json:"name,omitempty"`
}

// A Condition matches a place when all of its parts do. Without Service it matches a namespace and all its services, with it only
// services. Conditions of one global namespace are alternatives.
type Condition struct {
	Namespace *Pattern `json:"namespace"`
	Cluster   *Pattern `json:"cluster,omitempty"` // nil: any
	Service   *Pattern `json:"service,omitempty"`
}

// An Origin is from where definitions for a global namespace may come; an empty field is any.
type Origin struct {
	Cluster   string `json:"cluster,omitempty"`
	Namespace string `json:"namespace,omitempty"`
}

// An Accept admits candidates of a cluster.
type Accept struct {
	Cluster string `json:"cluster"`
	Author  string `json:"author,omitempty"` // who made the namespace; empty: anybody who can in that cluster
}

// MayDefine reports whether a namespace of a cluster may hold definitions for the global namespace.
func (g *GlobalNamespace) MayDefine(cluster, namespace string) bool {
	for _, o := range g.DefinitionsFrom {
		if (o.Cluster == "" || o.Cluster == cluster) && (o.Namespace == "" || o.Namespace == namespace) {
			return true
		}
	}
	return false
}

// Overlap says whether two conditions can match the same place.
func (c *Condition) Overlap(o *Condition) Overlap {
	out := c.Namespace.Overlap(o.Namespace) // which mostly decides; all pairs of all global namespaces are compared
	if out != Apart {
		out = min(out, c.Cluster.Overlap(o.Cluster), c.Service.Overlap(o.Service))
	}
	return out
}

// matches reports whether a condition matches a place.
func (c *Condition) matches(s *site) bool {
	if c.Namespace == nil || !c.Namespace.Matches(s.namespace.Name, s.namespace.Labels) || !c.Cluster.Matches(s.cluster.Name, s.cluster.Labels) {
		return false
	}
	return c.Service == nil || s.service != nil && c.Service.Matches(s.service.Name, s.service.Labels)
}

// byName reports whether the condition names the namespace in full.
func (c *Condition) byName() bool { return c.Namespace.Type == Exact }
