package gns

import (
	"fmt"
	"regexp"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// A namespaceObject is a document of kind GlobalNamespace.
type namespaceObject struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   mesh.Metadata `json:"metadata"`
	Spec       namespaceSpec `json:"spec"`
}

type namespaceSpec struct {
	Domain          string      `json:"domain"`
	MatchConditions []condition `json:"matchConditions"`
	MTLS            *struct {
		Mode string `json:"mode"`
	} `json:"mtls"`
	CA *struct {
		Type string `json:"type"`
		Name string `json:"name"`
	} `json:"ca"`
	Colour          string   `json:"colour"`
	Description     string   `json:"description"`
	DefinitionsFrom []origin `json:"definitionsFrom"`
	AcceptedFrom    []accept `json:"acceptedFrom"`
}

type condition struct {
	Namespace *pattern `json:"namespace"`
	Cluster   *pattern `json:"cluster"`
	Service   *pattern `json:"service"`
}

type origin struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
}

type accept struct {
	Cluster string `json:"cluster"`
	Author  string `json:"author"`
}

// globalNamespace compiles one document.
func (r *run) globalNamespace(d *mesh.Document) mesh.Definition {
	var o namespaceObject
	r.Problems = append(r.Problems, d.Decode("", &o)...)
	s := &o.Spec
	def := r.Begin(d.Name, o.Metadata.Labels)
	if d.Value("spec") == nil {
		r.Text("spec", "it has domain and matchConditions")
		return def
	}
	g := member.GlobalNamespace{Name: d.Name, Domain: r.domain(d, s.Domain), Description: s.Description, Colour: s.Colour}
	r.name(d, &def)
	if g.Domain != "" {
		r.Claim(&def, "spec.domain", "gns-domain/"+g.Domain, fmt.Sprintf("the domain %s", g.Domain), "give each global namespace a domain of its own")
	}
	g.MTLS, g.CA = r.mtls(d, s), r.ca(d, s)
	r.describe(s.Description)
	r.colour(d, s.Colour)
	g.Conditions = r.conditions(d, s.MatchConditions)
	g.DefinitionsFrom = r.origins(d, s.DefinitionsFrom)
	g.AcceptedFrom = r.accepts(d, s.AcceptedFrom)
	if !r.Mistaken() {
		r.open(d, &g)
		r.fresh = append(r.fresh, standing{d.Ref(), d, g})
	}
	if n := len(r.others) + len(r.fresh); n > maxNamespaces {
		r.Wrong("metadata.name", fmt.Sprintf("there would be %d global namespaces; at most %d are taken", n, maxNamespaces), "")
	}
	return r.Finish(def, g)
}

// name claims the name. One that is no DNS label, which is told already, is compared as what it would become: "Shop" is "shop".
func (r *run) name(d *mesh.Document, def *mesh.Definition) {
	name, what := d.Name, fmt.Sprintf("the name %q of a global namespace", d.Name)
	if slug := mesh.Slug(name); mesh.LabelHint(name) != "" && slug != "" {
		name, what = slug, fmt.Sprintf("the name %q, as DNS would have %q,", slug, d.Name)
	}
	r.Claim(def, "metadata.name", "gns/"+name, what, "rename one of them: a name counts in all namespaces of metadata together")
}

func (r *run) mtls(d *mesh.Document, s *namespaceSpec) string {
	mode := ""
	if s.MTLS != nil {
		mode = s.MTLS.Mode
	}
	return r.Choice("spec.mtls.mode", mode, "Permissive", "Strict", "Permissive", "Disabled")
}

func (r *run) ca(d *mesh.Document, s *namespaceSpec) member.CA {
	const path = "spec.ca"
	if s.CA == nil {
		return member.CA{Type: "SelfSigned"}
	}
	ca := member.CA{Type: r.Choice(path+".type", s.CA.Type, "SelfSigned", "SelfSigned", "PreExisting"), Name: s.CA.Name}
	switch {
	case ca.Type == "PreExisting":
		if r.Text(path+".name", "name the CA that signs") {
			r.Label(path+".name", "the CA", ca.Name)
		}
	case d.Holds(path+".name", mesh.NodeString):
		r.Wrong(path+".name", "a CA of type SelfSigned has no name", "leave it out, or write type: PreExisting")
	}
	return ca
}

var colourForm = regexp.MustCompile(`^(#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})|[a-z]{3,20})$`)

func (r *run) colour(d *mesh.Document, colour string) {
	if d.Holds("spec.colour", mesh.NodeString) && !colourForm.MatchString(colour) {
		r.Wrong("spec.colour", fmt.Sprintf("%q is no colour", colour), `write for example "#1f77b4", or a name as in CSS`)
	}
}

func (r *run) conditions(d *mesh.Document, cs []condition) []member.Condition {
	const path = "spec.matchConditions"
	if d.Value(path) == nil || d.Holds(path, mesh.NodeList) && len(cs) == 0 {
		if !r.Misspelled(path) {
			r.Wrong(path, "matchConditions is missing", "write for example matchConditions: [{namespace: {type: Exact, match: shop}}]")
		}
		return nil
	}
	if !r.Bound(path, len(cs), maxConditions) {
		return nil
	}
	var out []member.Condition
	for i := range cs {
		at := fmt.Sprintf("%s[%d]", path, i)
		if d.Value(at+".namespace") == nil {
			r.Text(at+".namespace", "write for example namespace: {type: Exact, match: shop}")
			continue
		}
		out = append(out, member.Condition{
			Namespace: r.pattern(d, at+".namespace", cs[i].Namespace), Cluster: r.pattern(d, at+".cluster", cs[i].Cluster), Service: r.pattern(d, at+".service", cs[i].Service),
		})
	}
	return out
}

func (r *run) origins(d *mesh.Document, os []origin) []member.Origin {
	const path = "spec.definitionsFrom"
	if !r.Bound(path, len(os), maxEntries) {
		return nil
	}
	var out []member.Origin
	for i, o := range os {
		at := fmt.Sprintf("%s[%d]", path, i)
		if d.Value(at+".cluster") == nil && d.Value(at+".namespace") == nil && !r.Misspelled(at+".cluster") && !r.Misspelled(at+".namespace") {
			r.Wrong(at, "it names neither a cluster nor a namespace", "write for example {cluster: eu-1, namespace: shop-prod}; one of both may be left out")
		}
		r.Label(at+".cluster", "the cluster", o.Cluster)
		r.Label(at+".namespace", "the namespace", o.Namespace)
		out = append(out, member.Origin(o))
	}
	return out
}

func (r *run) accepts(d *mesh.Document, as []accept) []member.Accept {
	const path = "spec.acceptedFrom"
	if !r.Bound(path, len(as), maxEntries) {
		return nil
	}
	var out []member.Accept
	for i, a := range as {
		at := fmt.Sprintf("%s[%d]", path, i)
		if r.Text(at+".cluster", "name the cluster from which candidates are admitted") {
			r.Label(at+".cluster", "the cluster", a.Cluster)
		}
		if d.Value(at+".author") != nil {
			r.Text(at+".author", "leave it out, or name who makes the namespaces")
		}
		out = append(out, member.Accept(a))
	}
	return out
}

// open warns where nobody can join, and where more can than those who are meant.
func (r *run) open(d *mesh.Document, g *member.GlobalNamespace) {
	if len(g.AcceptedFrom) == 0 {
		r.Warn("spec.acceptedFrom", "without acceptedFrom nobody is a member: what matches stays a candidate", "write for example acceptedFrom: [{cluster: eu-1, author: platform-team}]")
	}
	for i, a := range g.AcceptedFrom {
		if a.Author != "" {
			continue
		}
		for j := range g.Conditions {
			if c := &g.Conditions[j]; c.Namespace.Type != member.Exact && c.Cluster.Overlap(&member.Pattern{Type: member.Exact, Match: a.Cluster}) != member.Apart {
				r.Warn(fmt.Sprintf("spec.acceptedFrom[%d]", i), fmt.Sprintf("it names no author: whoever may make or label a namespace in cluster %s joins by matchConditions[%d]", a.Cluster, j), "name the author, or match namespaces of type Exact")
				break
			}
		}
	}
}

// overlaps warns of conditions of two global namespaces that can match the same place: once of each pair, at the later one.
func (r *run) overlaps() {
	for i := range r.fresh {
		f, told := &r.fresh[i], 0
		r.Turn(f.d)
		for _, others := range [][]standing{r.others, r.fresh[:i]} {
			for j := range others {
				if told < maxOverlaps {
					told += r.overlap(f, &others[j], maxOverlaps-told)
				}
			}
		}
	}
}

// overlap compares two, and tells of at most so many pairs of conditions. Nothing is built for those that are apart: there may be millions.
func (r *run) overlap(f, o *standing, most int) int {
	told := 0
	for i := range f.g.Conditions {
		for j := range o.g.Conditions {
			over := f.g.Conditions[i].Overlap(&o.g.Conditions[j])
			if over == member.Apart {
				continue
			}
			message := fmt.Sprintf("it can match the same places as matchConditions[%d] of global namespace %s", j, o.g.Name)
			if over == member.MayOverlap {
				message = fmt.Sprintf("it may overlap with matchConditions[%d] of global namespace %s, depending on labels", j, o.g.Name)
			}
			r.Warn(fmt.Sprintf("spec.matchConditions[%d]", i), message, "a place that both would admit is a member of neither")
			if told++; told == most {
				return told
			}
		}
	}
	return told
}
