// Package tanzu turns global namespaces of Tanzu Service Mesh, as its REST API shows them or as they are declared (gns.tsm.vmware.com/v1),
// into definitions of kind GlobalNamespace, with notes on what is not the same.
//
// The largest difference is who joins. In Tanzu whatever matched was a member; here it is a candidate until acceptedFrom admits it. A
// cluster is written into acceptedFrom only where that lets in what is named in full and nothing else; for the rest a note asks.
package tanzu

import (
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
)

// APIVersions is what the apiVersion of declared objects begins with.
const APIVersions = "gns.tsm.vmware.com/"

// Annotations keep what has no field of its own.
const (
	annotationID      = "evenkeel.dev/tanzu-id"
	annotationDisplay = "evenkeel.dev/display-name"
)

// Bounds of what is converted.
const (
	maxNamespaces = 1000
	maxConditions = 32 // that the kind takes
	maxText       = 1050
)

type config struct {
	ID              string      `json:"id"`
	Name            string      `json:"name"`
	DisplayName     string      `json:"display_name"`
	Domain          string      `json:"domain_name"`
	SharedGateway   bool        `json:"use_shared_gateway"`
	MTLS            *bool       `json:"mtls_enforced"`
	CAType          string      `json:"ca_type"`
	CA              string      `json:"ca"`
	Description     string      `json:"description"`
	Color           string      `json:"color"`
	Version         string      `json:"version"`
	MatchConditions []condition `json:"match_conditions"`
	APIDiscovery    bool        `json:"api_discovery_enabled"`
}

type condition struct {
	Namespace *match `json:"namespace"`
	Cluster   *match `json:"cluster"`
	Service   *match `json:"service"`
}

type match struct {
	Type  string `json:"type"`
	Match string `json:"match"`
}

// Declared reports whether a document is an object of the declared form, of whatever kind.
func Declared(d *mesh.Document) bool { return strings.HasPrefix(d.APIVersion, APIVersions) }

// Looks reports whether a value of the REST API is a global namespace, or a list of them.
func Looks(root *mesh.Node) bool {
	if root != nil && root.Kind == mesh.NodeList {
		return len(root.Items) > 0 && Looks(root.Items[0])
	}
	return root.Get("match_conditions") != nil || root.Get("domain_name") != nil
}

// Convert converts a document: a declared object, one global namespace, or the list that the API answers with. Left are those that cannot
// be converted; notes say what is not the same.
func Convert(d *mesh.Document) (out []*mesh.Node, left, notes []mesh.Problem) {
	c := &converter{d: d, names: map[string]bool{}}
	switch {
	case Declared(d):
		c.declared()
	case d.Root.Kind != mesh.NodeList:
		c.convert("", "")
	case len(d.Root.Items) > maxNamespaces:
		c.wrong("", fmt.Sprintf("the list has %d global namespaces; at most %d are taken", len(d.Root.Items), maxNamespaces), "split it")
	default:
		for i := range d.Root.Items {
			c.convert(fmt.Sprintf("[%d]", i), "")
		}
	}
	return c.out, mesh.SortProblems(c.left), mesh.SortProblems(c.notes)
}

type converter struct {
	d           *mesh.Document
	names       map[string]bool // of what was written
	out         []*mesh.Node
	left, notes []mesh.Problem
}

func (c *converter) wrong(path, message, hint string) {
	c.left = append(c.left, c.d.Problem(path, message, hint))
}

func (c *converter) note(path, format string, args ...any) {
	c.notes = append(c.notes, c.d.Problem(path, fmt.Sprintf(format, args...), ""))
}

// at joins a path and a field.
func at(path, field string) string { return strings.TrimPrefix(path+"."+field, ".") }

func (c *converter) declared() {
	if c.d.Kind != mesh.KindGlobalNamespace.Kind {
		c.wrong("kind", fmt.Sprintf("%s of %s is not converted", c.d.Kind, c.d.APIVersion), "GlobalNamespace is")
		return
	}
	if c.d.Value("spec") == nil {
		c.wrong("spec", "spec is missing", "it has domain_name and match_conditions")
		return
	}
	if p := c.d.Value("metadata.labels.projectId"); p != nil && p.Text != "default" {
		c.note("metadata.labels.projectId", "the project %s has no counterpart", p.Text)
	}
	c.convert("spec", c.d.Name)
}

// convert converts the global namespace at a path; name is what it is called where it does not say so itself.
func (c *converter) convert(path, name string) {
	before := len(c.left)
	var g config
	if n := c.d.Node(path); n == nil || n.Kind != mesh.NodeMap {
		c.wrong(path, "this is no global namespace of Tanzu Service Mesh", "it has the fields name, domain_name and match_conditions")
		return
	}
	c.left = append(c.left, c.d.Decode(path, &g)...)
	if len(c.left) > before {
		return
	}
	for _, other := range []string{name, g.ID} {
		if g.Name == "" {
			g.Name = other
		}
	}
	node := mesh.Map(
		mesh.Entry("apiVersion", mesh.Text(mesh.KindGlobalNamespace.APIVersion)), mesh.Entry("kind", mesh.Text(mesh.KindGlobalNamespace.Kind)),
		mesh.Entry("metadata", c.metadata(path, &g)), mesh.Entry("spec", c.spec(path, &g)),
	)
	if len(c.left) == before {
		c.out = append(c.out, node)
	}
}

func (c *converter) metadata(path string, g *config) *mesh.Node {
	slug, annotations := mesh.Slug(g.Name), map[string]string{}
	switch {
	case slug == "":
		c.wrong(at(path, "name"), "the global namespace has no name", "write name: with a letter or a digit in it")
	case c.names[slug]:
		c.wrong(at(path, "name"), fmt.Sprintf("two global namespaces would be named %q", slug), "names are DNS labels, in lower case: rename one")
	case slug != g.Name:
		c.note(at(path, "name"), "global namespace %s is called %s, since names are DNS labels", g.Name, slug)
		annotations[annotationID] = g.Name
	}
	c.names[slug] = true
	if g.DisplayName != "" && g.DisplayName != g.Name {
		annotations[annotationDisplay] = g.DisplayName
	}
	return mesh.Map(mesh.Entry("name", mesh.Text(slug)), mesh.Entry("annotations", mesh.Entries(annotations)))
}

func (c *converter) spec(path string, g *config) *mesh.Node {
	if g.Domain == "" {
		c.wrong(at(path, "domain_name"), "domain_name is missing", "Tanzu asks for it, too")
	}
	conditions := c.conditions(path, g)
	c.missing(path, g)
	return mesh.Map(
		optional("description", c.description(path, g)),
		mesh.Entry("domain", mesh.Text(g.Domain)),
		mesh.Entry("matchConditions", conditions),
		mesh.Entry("mtls", c.mtls(path, g)),
		mesh.Entry("ca", c.ca(path, g)),
		optional("colour", c.colour(path, g)),
		mesh.Entry("acceptedFrom", c.accepted(path, g)),
	)
}

// optional is a field that is left out where its text is empty.
func optional(key, text string) mesh.Field {
	if text == "" {
		return mesh.Field{}
	}
	return mesh.Entry(key, mesh.Text(text))
}

// missing notes what has no counterpart.
func (c *converter) missing(path string, g *config) {
	if g.SharedGateway {
		c.note(at(path, "use_shared_gateway"), "use_shared_gateway is left out: gateways are not there yet")
	}
	if g.APIDiscovery {
		c.note(at(path, "api_discovery_enabled"), "api_discovery_enabled is left out: APIs are not discovered")
	}
	if g.Version != "" && g.Version != "1.0" {
		c.note(at(path, "version"), "version %s is left out: a definition has a revision, which the engine counts", g.Version)
	}
	c.note(path, "definitionsFrom is to be written: Tanzu did not ask where definitions come from")
}

func (c *converter) description(path string, g *config) string {
	runes := []rune(g.Description)
	if len(runes) > maxText {
		c.note(at(path, "description"), "the description is cut; it had %d characters", len(runes))
		runes = runes[:maxText]
	}
	return string(runes)
}

func (c *converter) mtls(path string, g *config) *mesh.Node {
	mode := "Permissive"
	switch {
	case g.MTLS == nil:
		c.note(path, "mtls_enforced is not said: it is Permissive here, as where nothing is written")
		return nil
	case *g.MTLS:
		mode = "Strict"
	default:
		c.note(at(path, "mtls_enforced"), "mtls_enforced: false became Permissive: mTLS where both sides can, and no call is refused")
	}
	return mesh.Map(mesh.Entry("mode", mesh.Text(mode)))
}

func (c *converter) ca(path string, g *config) *mesh.Node {
	named := func(name string) *mesh.Node {
		return mesh.Map(mesh.Entry("type", mesh.Text("PreExisting")), mesh.Entry("name", mesh.Text(name)))
	}
	switch g.CAType {
	case "self-signed":
		if g.CA != "" {
			c.note(at(path, "ca"), "the CA's name %s is left out: a self-signed one has none", g.CA)
		}
		return mesh.Map(mesh.Entry("type", mesh.Text("SelfSigned")))
	case "PreExistingCA", "":
		if g.CAType == "" && g.CA == "" {
			c.note(path, "no CA is named, which Tanzu showed as PreExistingCA default; here it is an own one, SelfSigned")
			return nil
		}
		if g.CA == "" {
			c.note(at(path, "ca_type"), "no CA is named; it is taken to be default")
			return named("default")
		}
		if hint := mesh.LabelHint(g.CA); hint != "" {
			c.wrong(at(path, "ca"), fmt.Sprintf("the CA %q is not a DNS label", g.CA), hint)
		}
		return named(g.CA)
	}
	c.left = append(c.left, c.d.UnknownValue(at(path, "ca_type"), g.CAType, []string{"PreExistingCA", "self-signed"}))
	return nil
}

// colour keeps what is written as in CSS.
func (c *converter) colour(path string, g *config) string {
	hex := strings.TrimPrefix(g.Color, "#")
	plain := hex != g.Color && (len(hex) == 3 || len(hex) == 6) && strings.Trim(hex, "0123456789abcdefABCDEF") == ""
	if g.Color == "" || plain {
		return g.Color
	}
	c.note(at(path, "color"), "the colour %q is left out: only #rgb and #rrggbb are taken over", g.Color)
	return ""
}

func (c *converter) conditions(path string, g *config) *mesh.Node {
	path = at(path, "match_conditions")
	if n := len(g.MatchConditions); n == 0 || n > maxConditions {
		c.wrong(path, fmt.Sprintf("there are %d match_conditions; from 1 to %d are taken", n, maxConditions), "")
		return nil
	}
	var out []*mesh.Node
	for i, m := range g.MatchConditions {
		item := fmt.Sprintf("%s[%d]", path, i)
		if m.Namespace == nil {
			c.wrong(item+".namespace", "namespace is missing", "Tanzu asks for it, too")
		}
		out = append(out, mesh.Map(
			mesh.Entry("namespace", c.pattern(item+".namespace", m.Namespace)),
			mesh.Entry("cluster", c.pattern(item+".cluster", m.Cluster)),
			mesh.Entry("service", c.pattern(item+".service", m.Service)),
		))
	}
	return mesh.List(out...)
}

func (c *converter) pattern(path string, m *match) *mesh.Node {
	types := map[string]string{"EXACT": "Exact", "START_WITH": "StartsWith"}
	switch {
	case m == nil:
		return nil
	case types[m.Type] == "":
		c.left = append(c.left, c.d.UnknownValue(path+".type", m.Type, []string{"EXACT", "START_WITH"}))
	case m.Match == "":
		c.wrong(path+".match", "match is empty", "write a name, or what names begin with")
	}
	return mesh.Map(mesh.Entry("type", mesh.Text(types[m.Type])), mesh.Entry("match", mesh.Text(m.Match)))
}

// accepted returns the clusters that can be admitted without letting in more than what is named in full.
func (c *converter) accepted(path string, g *config) *mesh.Node {
	var safe []*mesh.Node
	var seen []string
	open := false
	for _, m := range g.MatchConditions {
		if m.Namespace == nil || m.Cluster == nil || m.Cluster.Type != "EXACT" || m.Namespace.Type != "EXACT" {
			open = true
			continue
		}
		if name := m.Cluster.Match; !slices.Contains(seen, name) {
			seen = append(seen, name)
			if inFull(g.MatchConditions, name) {
				safe = append(safe, mesh.Map(mesh.Entry("cluster", mesh.Text(name))))
			} else {
				open = true
			}
		}
	}
	if open {
		c.note(path, "acceptedFrom is to be written: in Tanzu whatever matched was a member; here it is a candidate until acceptedFrom names its cluster and author")
	}
	if len(safe) == 0 {
		return nil
	}
	return mesh.List(safe...)
}

// inFull reports whether all conditions that can match in a cluster name their namespace in full.
func inFull(ms []condition, cluster string) bool {
	return !slices.ContainsFunc(ms, func(m condition) bool {
		here := m.Cluster == nil || m.Cluster.Match == cluster || m.Cluster.Type != "EXACT" && strings.HasPrefix(cluster, m.Cluster.Match)
		return here && (m.Namespace == nil || m.Namespace.Type != "EXACT")
	})
}
