package istio

import (
	"maps"
	"regexp"
	"slices"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/discovery"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/traffic"
)

// Bounds of an HTTPRoute.
const (
	maxRouteRules   = 16
	maxRouteMatches = 64
	maxAllMatches   = 128
)

// httpRoutes writes where calls of a service go in one cluster, for each of its Service objects: an HTTPRoute, and a Service object for each version.
func (b *builder) httpRoutes(s *space, p *presence, x *discovery.Service, r *traffic.Routing) {
	b.warn(s, p.cluster.Name, x.Name, "OneCluster", "TrafficPolicy %s shares out calls among the instances of each cluster by itself, under the name of its Service object and not under %s", r.Name, x.Hostname())
	for i := range x.Sites {
		site := &x.Sites[i]
		if site.Cluster == p.cluster {
			b.httpRoute(s, p, site, r)
		}
	}
}

func (b *builder) httpRoute(s *space, p *presence, site *discovery.Site, r *traffic.Routing) {
	c, h := p.cluster.Name, site.Host
	var ports []inventory.Port
	for _, q := range h.Ports {
		if isHTTP(protocol(&q)) {
			ports = append(ports, q)
		} else {
			b.warn(s, c, h.Name, "NotHTTP", "port %d is not known as HTTP, by appProtocol or by its name: TrafficPolicy %s does not change calls to it", q.Port, r.Name)
		}
	}
	rules, total := b.httpRules(s, c, r)
	switch {
	case len(ports) == 0:
		return
	case len(rules) > maxRouteRules || total > maxAllMatches:
		b.warn(s, c, h.Name, "TooManyRules", "TrafficPolicy %s needs %d rules and %d matches, of which an HTTPRoute takes %d and %d: it is not written", r.Name, len(rules), total, maxRouteRules, maxAllMatches)
		return
	}
	selectors, ok := b.selectors(s, p, site, r)
	if !ok {
		return
	}
	for _, v := range slices.Sorted(maps.Keys(selectors)) {
		b.versionService(s, c, h, r, v, selectors[v], ports)
	}
	for _, q := range ports {
		var out []*mesh.Node
		for _, rule := range rules {
			out = append(out, rule.node(s, h, q.Port, selectors))
		}
		parent := fields("group", "", "kind", "Service", "name", h.Name, "port", q.Port)
		b.add(s, c, r.Mode, gatewayAPIVersion, "HTTPRoute", h.Namespace, name(s.g.Name, h.Name, portName(&q)), "spec", fields("parentRefs", []*mesh.Node{parent}, "rules", out))
	}
}

// versionKeys are labels that name a version, by their precedence in the inventory.
var versionKeys = []string{"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"}

// selectors returns what selects the instances of each version of a policy. One that no workload has is left out where its share is 0, and else nothing can be written.
func (b *builder) selectors(s *space, p *presence, site *discovery.Site, r *traffic.Routing) (map[string]map[string]string, bool) {
	out := map[string]map[string]string{}
	for _, v := range r.Versions() {
		if x := versionSelector(p.cluster, site.Host, v); x != nil {
			out[v] = x
			continue
		}
		for i := range r.Rules {
			if slices.ContainsFunc(r.Rules[i].To, func(t traffic.Target) bool { return t.Version == v && t.Weight > 0 }) {
				b.warn(s, p.cluster.Name, site.Host.Name, "NoVersionLabel", "no workload of namespace %s has version %s by a label: TrafficPolicy %s is not written there", site.Host.Namespace, v, r.Name)
				return nil, false
			}
		}
		b.warn(s, p.cluster.Name, site.Host.Name, "NoVersionLabel", "no workload of namespace %s has version %s by a label: TrafficPolicy %s, which sends nothing to it, is written without it", site.Host.Namespace, v, r.Name)
	}
	return out, true
}

// versionSelector returns what selects the instances of a version behind a host, or nil.
func versionSelector(c *discovery.Cluster, h *inventory.Host, version string) map[string]string {
	for i := range c.Workloads {
		w := &c.Workloads[i]
		if w.Namespace != h.Namespace || w.Version != version || len(h.Selector) == 0 || !discovery.Selects(h.Selector, w.Labels) {
			continue
		}
		for _, k := range versionKeys {
			if w.Labels[k] == version {
				out := maps.Clone(h.Selector)
				out[k] = version
				return out
			}
		}
	}
	return nil
}

// versionService writes the Service object of one version.
func (b *builder) versionService(s *space, c string, h *inventory.Host, r *traffic.Routing, version string, selector map[string]string, ports []inventory.Port) {
	var out []*mesh.Node
	for _, q := range ports {
		n := fields("name", portName(&q), "port", q.Port, "protocol", "TCP")
		if q.Target != 0 {
			n.Fields = append(n.Fields, mesh.Entry("targetPort", value(q.Target)))
		} else {
			b.warn(s, c, h.Name, "PortNamed", "its targetPort is a name: port %d of version %s is taken to be that of the instances, too", q.Port, version)
		}
		if q.AppProtocol != "" {
			n.Fields = append(n.Fields, mesh.Entry("appProtocol", mesh.Text(q.AppProtocol)))
		}
		out = append(out, n)
	}
	b.add(s, c, r.Mode, "v1", "Service", h.Namespace, name(s.g.Name, h.Name, subset(version)), "spec", fields("selector", selector, "ports", out))
}

// A httpRule is a rule of an HTTPRoute without its backends' port.
type httpRule struct {
	matches []*mesh.Node
	to      []traffic.Target // none: the Service object itself
}

func (r *httpRule) node(s *space, h *inventory.Host, port int, selectors map[string]map[string]string) *mesh.Node {
	var to []*mesh.Node
	for _, x := range r.to {
		if selectors[x.Version] == nil {
			continue
		}
		to = append(to, fields("name", name(s.g.Name, h.Name, subset(x.Version)), "port", port, "weight", x.Weight))
	}
	if len(to) == 0 {
		to = append(to, fields("name", h.Name, "port", port))
	}
	return fields("matches", r.matches, "backendRefs", to)
}

// standardMethods are the methods that an HTTPRoute knows.
var standardMethods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// httpRules turns rules into those of an HTTPRoute, and counts their matches. Where they would be taken in another order than they are written, that is told: an HTTPRoute's longest
// path counts before its first rule.
func (b *builder) httpRules(s *space, cluster string, r *traffic.Routing) (out []httpRule, total int) {
	paths := map[string]bool{}
	for i := range r.Rules {
		rule := httpRule{to: r.Rules[i].To}
		for j := range r.Rules[i].Match {
			m := &r.Rules[i].Match[j]
			for _, method := range m.Methods {
				if !slices.Contains(standardMethods, method) {
					b.warn(s, cluster, r.Service, "MethodNotPossible", "an HTTPRoute knows no method %s: the rule %s of TrafficPolicy %s does not take it", method, r.Rules[i].Name, r.Name)
				}
			}
			rule.matches = append(rule.matches, standardMatches(m)...)
			if m.Path != nil {
				paths[m.Path.Type+m.Path.Value] = true
			} else {
				paths[""] = true
			}
		}
		for len(rule.matches) > maxRouteMatches {
			out = append(out, httpRule{rule.matches[:maxRouteMatches], rule.to})
			rule.matches = rule.matches[maxRouteMatches:]
			total += maxRouteMatches
		}
		total += len(rule.matches)
		if len(rule.matches) > 0 || len(r.Rules[i].Match) == 0 { // without matches it would take all calls
			out = append(out, rule)
		}
	}
	if len(paths) > 1 && len(r.Rules) > 1 {
		b.warn(s, cluster, r.Service, "OrderBySpecificity", "an HTTPRoute takes the rule with the most specific path, not the first: TrafficPolicy %s compares with several paths", r.Name)
	}
	if n := len(r.Rules); n > 0 && len(r.Rules[n-1].Match) > 0 {
		out = append(out, httpRule{})
	}
	return out, total
}

// standardMatches turns a match into those of an HTTPRoute: one for each method. What begins with a text becomes an expression, because a PathPrefix compares whole elements.
func standardMatches(m *traffic.Match) []*mesh.Node {
	base := fields()
	if m.Path != nil {
		base.Fields = append(base.Fields, mesh.Entry("path", standardText(m.Path, "")))
	}
	var headers []*mesh.Node
	for i := range m.Headers {
		headers = append(headers, standardText(&m.Headers[i].Text, m.Headers[i].Name))
	}
	if len(headers) > 0 {
		base.Fields = append(base.Fields, mesh.Entry("headers", mesh.List(headers...)))
	}
	if len(m.Methods) == 0 {
		return []*mesh.Node{base}
	}
	var out []*mesh.Node
	for _, method := range m.Methods {
		if !slices.Contains(standardMethods, method) {
			continue
		}
		out = append(out, &mesh.Node{Kind: mesh.NodeMap, Fields: append(slices.Clone(base.Fields), mesh.Entry("method", mesh.Text(method)))})
	}
	return out
}

func standardText(t *traffic.Text, header string) *mesh.Node {
	kind, text := "RegularExpression", t.Value
	switch t.Type {
	case traffic.Exact:
		kind = "Exact"
	case traffic.Prefix:
		text = regexp.QuoteMeta(t.Value) + ".*"
	case traffic.Present:
		text = ".*"
	}
	out := fields("type", kind, "value", text)
	if header != "" {
		out.Fields = append([]mesh.Field{mesh.Entry("name", mesh.Text(header))}, out.Fields...)
	}
	return out
}

// named returns whether a namespace has a name.
func named(name string) func(inventory.Namespace) bool {
	return func(n inventory.Namespace) bool { return n.Name == name }
}
