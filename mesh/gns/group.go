package gns

import (
	"fmt"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// A groupObject is a document of kind ResourceGroup.
type groupObject struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   mesh.Metadata `json:"metadata"`
	Spec       groupSpec     `json:"spec"`
}

type groupSpec struct {
	Scope           string `json:"scope"`
	GlobalNamespace string `json:"globalNamespace"`
	Kind            string `json:"kind"`
	Description     string `json:"description"`
	Colour          string `json:"colour"`
	Rules           *rules `json:"rules"`
}

type rules struct {
	Fn    string  `json:"fn"`
	Match []match `json:"match"`
	Rules []rules `json:"rules"` // documents nest no deeper than mesh.DepthMax
}

type match struct {
	Type  string `json:"type"`
	Key   string `json:"key"`
	Fn    string `json:"fn"`
	Value string `json:"value"`
}

// Scopes of a group.
const (
	scopeGlobalNamespace = "GlobalNamespace"
	scopeOrganisation    = "Organisation"
)

// group compiles one document.
func (r *run) group(d *mesh.Document) mesh.Definition {
	var o groupObject
	r.Problems = append(r.Problems, d.Decode("", &o)...)
	s := &o.Spec
	g := member.Group{Name: d.Name, GlobalNamespace: r.boundary(d, s)}
	def := r.Begin(g.GlobalNamespace, o.Metadata.Labels)
	if def.GlobalNamespace == "" {
		def.GlobalNamespace = "default" // it stands somewhere; what it looks at is another matter
	}
	if d.Value("spec") == nil {
		r.Text("spec", "it has kind and rules")
		return def
	}
	r.describe(s.Description)
	r.colour(d, s.Colour)
	r.Claim(&def, "metadata.name", "group/"+g.GlobalNamespace+"/"+d.Name, fmt.Sprintf("the name %q of a group", d.Name), "rename one of them: a name counts in all namespaces of metadata together")
	g.Kind = r.Choice("spec.kind", s.Kind, "", member.KindService, member.KindCluster, member.KindNode)
	switch {
	case d.Value("spec.rules") == nil:
		r.Text("spec.rules", "write for example rules: {fn: AND, match: [{type: Name, fn: StartsWith, value: cart}]}")
	case s.Rules != nil:
		walk := walker{run: r, kind: g.Kind, left: member.MaxRules}
		g.Rules = walk.rules("spec.rules", s.Rules, 1)
		if walk.left < 0 {
			r.Wrong("spec.rules", fmt.Sprintf("there are over %d matches and rules", member.MaxRules), "make two groups of it")
		}
	}
	return r.Finish(def, g)
}

// boundary returns the global namespace whose members a group is chosen from, or "" for the whole organisation.
func (r *run) boundary(d *mesh.Document, s *groupSpec) string {
	const path = "spec.globalNamespace"
	scope := r.Choice("spec.scope", s.Scope, scopeGlobalNamespace, scopeGlobalNamespace, scopeOrganisation)
	switch {
	case scope == scopeOrganisation && d.Value(path) != nil:
		r.Wrong(path, "a group of the organisation is in no global namespace", "leave it out, or leave scope out")
	case scope == scopeOrganisation:
		return ""
	case d.Holds(path, mesh.NodeString):
		before := len(r.Problems)
		if r.Label(path, "the global namespace", s.GlobalNamespace); len(r.Problems) == before {
			return s.GlobalNamespace
		}
	}
	return "default"
}

// A walker compiles nested rules within their bounds.
type walker struct {
	*run
	kind string
	left int // matches and rules that may still come
}

// rules compiles those at a path. Beyond a bound it goes no further.
func (w *walker) rules(path string, s *rules, depth int) member.Rules {
	if w.left--; w.left < 0 {
		return member.Rules{}
	}
	if depth > member.MaxDepth {
		w.Wrong(path, fmt.Sprintf("rules nest deeper than %d", member.MaxDepth), "make groups of their parts flat: AND in AND and OR in OR say the same in one")
		return member.Rules{}
	}
	out := member.Rules{Fn: w.Choice(path+".fn", s.Fn, "", member.And, member.Or)}
	if len(s.Match)+len(s.Rules) == 0 && !w.Misspelled(path+".match") && !w.Misspelled(path+".rules") {
		w.Wrong(path, "the rules are empty", "write for example match: [{type: Name, fn: StartsWith, value: cart}]")
	}
	for i := range s.Match {
		if w.left--; w.left < 0 {
			return out
		}
		out.Match = append(out.Match, w.match(fmt.Sprintf("%s.match[%d]", path, i), &s.Match[i]))
	}
	for i := range s.Rules {
		if w.left < 0 {
			return out
		}
		out.Rules = append(out.Rules, w.rules(fmt.Sprintf("%s.rules[%d]", path, i), &s.Rules[i], depth+1))
	}
	return out
}

func (w *walker) match(path string, s *match) member.Match {
	m := member.Match{Key: s.Key, Value: s.Value}
	types := member.TypesOf(w.kind)
	if types == nil { // the kind is wrong, which is told; say what is wrong with any of them
		types = member.TypesOf(member.KindService)
	}
	m.Type = w.Choice(path+".type", s.Type, "", types...)
	fns := []string{member.Exact, member.StartsWith, member.EndsWith, member.Contains}
	if m.Type == member.TypeLabel {
		fns = append(fns, member.Exists)
		w.Text(path+".key", "name the label")
	} else if m.Type != "" && s.Key != "" {
		w.Wrong(path+".key", "key goes with type Label", "leave it out")
	}
	m.Fn = w.Choice(path+".fn", s.Fn, "", fns...)
	switch {
	case m.Fn == member.Exists && s.Value != "":
		w.Wrong(path+".value", "Exists takes no value", "leave it out, or write fn: Exact")
	case m.Fn == member.Exists:
	case m.Fn == member.Exact && m.Type == member.TypeLabel && w.Holds(path+".value", mesh.NodeString): // a label may be empty
	default:
		w.Text(path+".value", "write what to compare with")
	}
	return m
}
