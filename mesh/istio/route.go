package istio

import (
	"regexp"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/traffic"
)

// subset returns the name of a version, which to Istio is a DNS label.
func subset(version string) string {
	if mesh.LabelHint(version) == "" {
		return version
	}
	return hashed(mesh.Slug(version), version)
}

// route writes where calls of <service>.<domain> go. Calls that no rule matches go to all versions.
func (b *builder) route(s *space, p *presence, t *target, ambient bool) {
	if !b.routable(s, p, t, ambient) {
		return
	}
	ns, seen := b.home(p)
	var rules []*mesh.Node
	for i := range t.route.Rules {
		r := &t.route.Rules[i]
		var matches, to []*mesh.Node
		for j := range r.Match {
			matches = append(matches, matchOf(&r.Match[j]))
		}
		for _, x := range r.To {
			to = append(to, fields("destination", fields("host", t.Hostname(), "subset", subset(x.Version)), "weight", x.Weight))
		}
		rules = append(rules, fields("name", r.Name, "match", matches, "route", to))
	}
	if last := t.route.Rules[len(t.route.Rules)-1]; len(last.Match) > 0 {
		rules = append(rules, fields("route", []*mesh.Node{fields("destination", fields("host", t.Hostname()))}))
	}
	spec := fields("hosts", []string{t.Hostname()}, "gateways", []string{"mesh"}, "exportTo", seen, "http", rules)
	b.add(s, p.cluster.Name, t.route.Mode, networkVersion, "VirtualService", ns, name(s.g.Name, t.Name), "spec", spec)
}

// routable tells of what a policy asks for and cannot have, and reports whether it can be written.
func (b *builder) routable(s *space, p *presence, t *target, ambient bool) bool {
	c := p.cluster.Name
	for _, v := range t.route.Versions() {
		if !slices.Contains(t.versions, v) {
			b.warn(s, c, t.Name, "NoSuchVersion", "no instance has version %s: calls that TrafficPolicy %s sends to it fail", v, t.route.Name)
		}
	}
	for _, q := range t.ports {
		if !isHTTP(q.protocol) {
			b.warn(s, c, t.Name, "NotHTTP", "port %d is not known as HTTP, by appProtocol or by its name: TrafficPolicy %s does not change calls to it", q.number, t.route.Name)
		}
	}
	if ambient {
		b.warn(s, c, t.Name, "NeedsWaypoint", "ztunnel carries bytes and knows of no headers and shares: TrafficPolicy %s is not written", t.route.Name)
	}
	return !ambient && len(t.route.Rules) > 0
}

func matchOf(m *traffic.Match) *mesh.Node {
	out := fields()
	if m.Path != nil {
		out.Fields = append(out.Fields, mesh.Entry("uri", textOf(m.Path)))
	}
	switch len(m.Methods) {
	case 0:
	case 1:
		out.Fields = append(out.Fields, mesh.Entry("method", fields("exact", m.Methods[0])))
	default:
		out.Fields = append(out.Fields, mesh.Entry("method", fields("regex", alternatives(m.Methods))))
	}
	headers := fields()
	for i := range m.Headers {
		headers.Fields = append(headers.Fields, mesh.Entry(m.Headers[i].Name, textOf(&m.Headers[i].Text)))
	}
	if len(headers.Fields) > 0 {
		out.Fields = append(out.Fields, mesh.Entry("headers", headers))
	}
	return out
}

func alternatives(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, regexp.QuoteMeta(w))
	}
	return strings.Join(out, "|")
}

// textOf returns a comparison as Istio writes it; an empty one asks for presence.
func textOf(t *traffic.Text) *mesh.Node {
	switch t.Type {
	case traffic.Exact:
		return fields("exact", t.Value)
	case traffic.Prefix:
		return fields("prefix", t.Value)
	case traffic.Regex:
		return fields("regex", t.Value)
	}
	return fields()
}
