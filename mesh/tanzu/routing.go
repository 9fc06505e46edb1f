package tanzu

import (
	"fmt"
	"strings"

	"evenkeel.dev/mesh"
)

type routing struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Service     string `json:"service"`
	Policy      *struct {
		HTTP []route `json:"http"`
	} `json:"traffic_policy"`
}

type route struct {
	Name    string       `json:"name"`
	Matches []routeMatch `json:"matches"`
	Targets []struct {
		Version string `json:"service_version"`
		Weight  *int   `json:"weight"`
	} `json:"targets"`
}

type routeMatch struct {
	Headers *struct {
		Type  string `json:"type"`
		Value []struct {
			Key   string `json:"k"`
			Value string `json:"v"`
		} `json:"value"`
	} `json:"headers"`
}

// LooksRouting reports whether a value of the REST API is a traffic-routing policy, or a list of them.
func LooksRouting(root *mesh.Node) bool {
	if root != nil && root.Kind == mesh.NodeList {
		return len(root.Items) > 0 && LooksRouting(root.Items[0])
	}
	return root.Get("traffic_policy") != nil
}

// ConvertRouting converts traffic-routing policies of a global namespace, which they do not name themselves, into definitions of kind TrafficPolicy. Left are those that cannot
// be converted; notes say what is not the same.
func ConvertRouting(d *mesh.Document, globalNamespace string) (out []*mesh.Node, left, notes []mesh.Problem) {
	c := &converter{d: d, names: map[string]bool{}}
	switch {
	case d.Root.Kind != mesh.NodeList:
		c.routing("", globalNamespace)
	case len(d.Root.Items) > maxNamespaces:
		c.wrong("", fmt.Sprintf("the list has %d policies; at most %d are taken", len(d.Root.Items), maxNamespaces), "split it")
	default:
		for i := range d.Root.Items {
			c.routing(fmt.Sprintf("[%d]", i), globalNamespace)
		}
	}
	return c.out, mesh.SortProblems(c.left), mesh.SortProblems(c.notes)
}

func (c *converter) routing(path, globalNamespace string) {
	before := len(c.left)
	var p routing
	if n := c.d.Node(path); n == nil || n.Kind != mesh.NodeMap {
		c.wrong(path, "this is no traffic-routing policy of Tanzu Service Mesh", "it has the fields service and traffic_policy")
		return
	}
	c.left = append(c.left, c.d.Decode(path, &p)...)
	if p.Service == "" {
		c.wrong(at(path, "service"), "service is missing", "Tanzu asks for it, too")
	}
	if p.Policy == nil {
		c.wrong(at(path, "traffic_policy"), "traffic_policy is missing", "Tanzu asks for it, too")
	}
	if len(c.left) > before {
		return
	}
	for _, other := range []string{p.ID, p.Service} {
		if p.Name == "" {
			p.Name = other
		}
	}
	g := config{Name: p.Name}
	metadata := c.metadata(path, &g)
	spec := mesh.Map(
		optional("globalNamespace", globalNamespace), optional("description", p.Description),
		mesh.Entry("targetRef", mesh.Map(mesh.Entry("kind", mesh.Text("Service")), mesh.Entry("name", mesh.Text(p.Service)))),
		mesh.Entry("mode", mesh.Text("Observe")), mesh.Entry("http", c.routes(at(path, "traffic_policy.http"), p.Policy.HTTP)),
	)
	c.note(path, "mode is Observe: shown and not done, until you change it")
	if len(c.left) == before {
		c.out = append(c.out, mesh.Map(
			mesh.Entry("apiVersion", mesh.Text(mesh.KindGlobalNamespace.APIVersion)), mesh.Entry("kind", mesh.Text("TrafficPolicy")), mesh.Entry("metadata", metadata), mesh.Entry("spec", spec),
		))
	}
}

func (c *converter) routes(path string, rs []route) *mesh.Node {
	out := mesh.List()
	names := map[string]bool{}
	for i, r := range rs {
		item := fmt.Sprintf("%s[%d]", path, i)
		name := mesh.Slug(r.Name)
		if name == "" || names[name] {
			name = fmt.Sprintf("rule-%d", i+1)
		}
		if names[name] = true; name != r.Name {
			c.note(item+".name", "the rule %q is called %s, since names are DNS labels, each once", r.Name, name)
		}
		targets := mesh.List()
		for _, t := range r.Targets {
			weight := 100
			switch {
			case t.Weight != nil:
				weight = *t.Weight
			case len(r.Targets) > 1:
				c.wrong(item+".targets", "a target has no weight", "the weights of several targets add up to 100")
			}
			targets.Items = append(targets.Items, mesh.Map(mesh.Entry("version", mesh.Text(t.Version)), mesh.Entry("weight", mesh.Number(fmt.Sprint(weight)))))
		}
		out.Items = append(out.Items, mesh.Map(mesh.Entry("name", mesh.Text(name)), mesh.Entry("match", c.routeMatches(item+".matches", r.Matches)), mesh.Entry("to", targets)))
	}
	return out
}

// routeMatches returns alternatives, or nil where all calls match.
func (c *converter) routeMatches(path string, ms []routeMatch) *mesh.Node {
	if len(ms) == 0 {
		return nil
	}
	types := map[string]string{"EXACT": "Exact", "PREFIX": "Prefix", "REGEX": "Regex"}
	out := mesh.List()
	for i, m := range ms {
		item := fmt.Sprintf("%s[%d].headers", path, i)
		if m.Headers == nil || len(m.Headers.Value) == 0 {
			c.wrong(item, "the match says nothing", "it has headers: {type, value: [{k, v}]}")
			continue
		}
		kind := types[strings.ToUpper(m.Headers.Type)]
		if kind == "" {
			c.left = append(c.left, c.d.UnknownValue(item+".type", m.Headers.Type, []string{"Exact", "Prefix", "Regex"}))
		}
		headers := mesh.List()
		for _, v := range m.Headers.Value {
			headers.Items = append(headers.Items, mesh.Map(mesh.Entry("name", mesh.Text(v.Key)), mesh.Entry("type", mesh.Text(kind)), mesh.Entry("value", mesh.Text(v.Value))))
		}
		out.Items = append(out.Items, mesh.Map(mesh.Entry("headers", headers)))
	}
	return out
}
