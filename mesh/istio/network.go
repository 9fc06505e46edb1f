package istio

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/discovery"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
	"evenkeel.dev/mesh/traffic"
)

const networkVersion = "networking.istio.io/v1"

// Labels that Istio reads on endpoints, and on the entry where the data plane is ztunnel.
const (
	labelTLSMode = "security.istio.io/tlsMode"
	labelTunnel  = "networking.istio.io/tunnel"
	labelAmbient = "istio.io/dataplane-mode"
)

// A port is one of <service>.<domain>.
type port struct {
	name     string
	number   int
	protocol string // as Istio writes it
	mode     string // of all sites, or "" where they differ
}

// A target is a service as one cluster calls it.
type target struct {
	*discovery.Service
	route     *traffic.Routing // or nil
	ports     []port
	endpoints []*mesh.Node
	versions  []string // of instances, ready or not
	answer    []string // whom callers expect to answer; none where that is not known of all
}

// target joins what is needed to call a service from a cluster.
func (b *builder) target(s *space, here *presence, x *discovery.Service, ambient bool) target {
	t := target{Service: x, route: s.routes[x.Name]}
	t.ports = b.ports(s, here, x)
	t.answer = b.identities(s, here, &t, ambient)
	for i := range x.Sites {
		site := &x.Sites[i]
		for _, inst := range site.Instances {
			t.versions = append(t.versions, inst.Version)
		}
		switch c := site.Cluster; {
		case c != here.cluster && c.Lost(b.in.Now, discovery.DropAfter):
			b.warn(s, here.cluster.Name, x.Name, "ClusterLost", "nothing was heard of cluster %s for long: its instances are not called", c.Name)
		case here.cluster.Reaches(c):
			t.endpoints = append(t.endpoints, b.direct(s, site, t.ports, ambient && len(t.answer) == 0)...)
		case ambient:
			b.warn(s, here.cluster.Name, x.Name, "NetworkNotPossible", "cluster %s is in another network, which is not written for ambient mode: its instances are not called", c.Name)
		case len(c.Gateways) == 0:
			b.warn(s, here.cluster.Name, x.Name, "NoGateway", "cluster %s is in another network, and no gateway between networks is known: its instances are not called", c.Name)
		default:
			t.endpoints = append(t.endpoints, b.through(site, t.ports)...)
		}
	}
	slices.Sort(t.versions)
	t.versions = slices.Compact(t.versions)
	return t
}

// ports returns the ports that can be written.
func (b *builder) ports(s *space, here *presence, x *discovery.Service) []port {
	var out []port
	for _, p := range x.Ports() {
		subject := x.Name + ":" + strconv.Itoa(p.Port)
		q := port{name: portName(&p), number: p.Port, protocol: protocol(&p)}
		named, first := false, true
		for i := range x.Sites {
			site := &x.Sites[i]
			at := slices.IndexFunc(site.Host.Ports, func(o inventory.Port) bool { return o.Port == p.Port })
			if at < 0 {
				continue
			}
			named = named || site.Host.Ports[at].Target == 0
			m, _ := s.enc.At(place(site.Cluster, site.Host), site.Host.Ports[at].Target, b.in.Now)
			if first {
				q.mode, first = m, false
			} else if m != q.mode {
				q.mode = ""
			}
		}
		switch {
		case p.Protocol != "" && p.Protocol != "TCP":
			b.warn(s, here.cluster.Name, subject, "ProtocolNotPossible", "meshes carry TCP only: the port, of %s, is left out of %s", p.Protocol, x.Hostname())
		case named:
			b.warn(s, here.cluster.Name, subject, "PortNamed", "its targetPort is a name: which number the instances listen on is not known, and the port is left out of %s", x.Hostname())
		case slices.ContainsFunc(out, func(o port) bool { return o.name == q.name }):
			q.name = "port-" + strconv.Itoa(p.Port)
			out = append(out, q)
		default:
			out = append(out, q)
		}
	}
	return out
}

func portName(p *inventory.Port) string {
	return cmp.Or(p.Name, "port-"+strconv.Itoa(p.Port))
}

// protocol returns what Istio calls the protocol of a port: by appProtocol, or else by what its name begins with, as Istio does.
func protocol(p *inventory.Port) string {
	word, _, _ := strings.Cut(p.Name, "-")
	switch strings.ToLower(cmp.Or(p.AppProtocol, word)) {
	case "http", "kubernetes.io/ws":
		return "HTTP"
	case "http2", "kubernetes.io/h2c":
		return "HTTP2"
	case "grpc":
		return "GRPC"
	case "https":
		return "HTTPS"
	case "tls":
		return "TLS"
	case "mongo":
		return "MONGO"
	}
	return "TCP"
}

func isHTTP(protocol string) bool {
	return protocol == "HTTP" || protocol == "HTTP2" || protocol == "GRPC"
}

// direct returns the ready instances of a site as endpoints, by wish with their accounts.
func (b *builder) direct(s *space, site *discovery.Site, ports []port, accounts bool) []*mesh.Node {
	numbers := map[string]string{}
	for _, p := range ports {
		for _, h := range site.Host.Ports {
			if h.Port == p.number {
				numbers[p.name] = strconv.Itoa(h.Target)
			}
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	base, _ := s.enc.At(place(site.Cluster, site.Host), 0, b.in.Now)
	var out []*mesh.Node
	for _, x := range site.Instances {
		if !discovery.Ready(x) {
			continue
		}
		labels := map[string]string{}
		if x.Version != "" {
			labels[labelVersion] = x.Version
		}
		if x.Sidecar && base != traffic.Disabled {
			labels[labelTLSMode] = "istio"
		}
		e := fields("address", x.IP, "ports", whole(numbers), "labels", mesh.Entries(labels))
		if accounts && x.Account != "" {
			e.Fields = append(e.Fields, mesh.Entry("serviceAccount", mesh.Text(x.Account)))
		}
		if region, zone := site.Cluster.Locality(x); region != "" {
			e.Fields = append(e.Fields, mesh.Entry("locality", mesh.Text(strings.TrimSuffix(region+"/"+zone, "/"))))
		}
		out = append(out, e)
	}
	return out
}

// through returns the gateways of another network, once for each version that is ready there: they pass calls on by the name that TLS asks for, without an end of their own.
func (b *builder) through(site *discovery.Site, ports []port) []*mesh.Node {
	ready := map[string]int{}
	for _, x := range site.Instances {
		if discovery.Ready(x) {
			ready[x.Version]++
		}
	}
	var out []*mesh.Node
	for _, g := range site.Cluster.Gateways {
		numbers := map[string]string{}
		for _, p := range ports {
			numbers[p.name] = strconv.Itoa(g.Port)
		}
		for _, version := range slices.Sorted(maps.Keys(ready)) {
			labels := map[string]string{labelTLSMode: "istio"}
			if version != "" {
				labels[labelVersion] = version
			}
			e := fields("address", g.IP, "ports", whole(numbers), "labels", mesh.Entries(labels), "weight", ready[version])
			if site.Cluster.Region != "" {
				e.Fields = append(e.Fields, mesh.Entry("locality", mesh.Text(site.Cluster.Region)))
			}
			out = append(out, e)
		}
	}
	return out
}

// whole returns a map of whole numbers, sorted by key.
func whole(numbers map[string]string) *mesh.Node {
	n := fields()
	for _, key := range slices.Sorted(maps.Keys(numbers)) {
		n.Fields = append(n.Fields, mesh.Entry(key, mesh.Number(numbers[key])))
	}
	return n
}

// home returns the namespace that objects about names stand in, and the namespaces that see them.
func (b *builder) home(p *presence) (string, []string) {
	seen := slices.Concat(p.namespaces, b.gateways)
	slices.Sort(seen)
	if len(p.whole) > 0 {
		return p.whole[0], slices.Compact(seen)
	}
	return p.namespaces[0], slices.Compact(seen)
}

// names writes <service>.<domain>, with its endpoints, how it is encrypted to, and its versions. routed says whether calls are sent by versions.
func (b *builder) names(s *space, ambient bool) {
	for _, p := range s.presences {
		for i := range s.services {
			t := b.target(s, p, &s.services[i], ambient)
			if len(t.ports) == 0 {
				b.warn(s, p.cluster.Name, t.Name, "NoPorts", "the service has no port that can be written: %s is not known", t.Hostname())
				continue
			}
			b.entry(s, p, &t, ambient)
			if !ambient {
				b.destination(s, p, &t)
			}
			if t.route != nil {
				b.route(s, p, &t, ambient)
			}
		}
		b.strayRoutes(s, p)
	}
}

// modeOf returns what may be done with the objects of a service: what its own policy says, or else that of the whole.
func (t *target) modeOf(s *space) string {
	if t.route != nil {
		return t.route.Mode
	}
	return s.enc.Mode
}

func (b *builder) entry(s *space, p *presence, t *target, ambient bool) {
	ns, seen := b.home(p)
	var ports []*mesh.Node
	for _, q := range t.ports {
		ports = append(ports, fields("number", q.number, "name", q.name, "protocol", q.protocol))
	}
	if len(t.endpoints) == 0 {
		b.warn(s, p.cluster.Name, t.Name, "NoneReady", "nothing of the service can be called from here: %s has no endpoints", t.Hostname())
	}
	var labels []string
	if ambient {
		if plain := outside(t); len(plain) > 0 {
			b.warn(s, p.cluster.Name, t.Name, "NotAmbient", "namespaces %s are not labelled %s=ambient: calls to %s are not encrypted", strings.Join(plain, ", "), labelAmbient, t.Hostname())
		} else if s.enc.Inside != traffic.Disabled {
			labels = []string{labelTunnel, "http"}
		}
	}
	spec := fields("hosts", []string{t.Hostname()}, "location", "MESH_INTERNAL", "resolution", "STATIC", "exportTo", seen, "ports", ports, "endpoints", t.endpoints)
	if len(t.answer) > 0 {
		spec.Fields = append(spec.Fields, mesh.Entry("subjectAltNames", value(t.answer)))
	}
	b.add(s, p.cluster.Name, t.modeOf(s), networkVersion, "ServiceEntry", ns, name(s.g.Name, t.Name), "spec", spec, labels...)
}

// outside lists the namespaces of a service's instances that ztunnel does not serve, as "cluster/namespace".
func outside(t *target) []string {
	var out []string
	for _, site := range t.Sites {
		for _, ns := range site.Cluster.Namespaces {
			if ns.Name == site.Host.Namespace && ns.Labels[labelAmbient] != "ambient" {
				out = append(out, site.Cluster.Name+"/"+ns.Name)
			}
		}
	}
	return out
}

// identities lists whom callers expect to answer, or nothing where that is not known of all. Then a sidecar takes any identity of the mesh, and ztunnel expects the account that an
// endpoint names, in the namespace of the entry and with its own trust domain.
func (b *builder) identities(s *space, here *presence, t *target, ambient bool) []string {
	if !ambient && !slices.ContainsFunc(t.ports, func(q port) bool { return q.mode != traffic.Disabled }) {
		return nil
	}
	home, _ := b.home(here)
	var out []string
	known := true
	for _, site := range t.Sites {
		for _, x := range site.Instances {
			if site.Cluster.TrustDomain != "" && x.Account != "" {
				out = append(out, "spiffe://"+site.Cluster.TrustDomain+"/ns/"+x.Namespace+"/sa/"+x.Account)
				continue
			}
			known = false
			switch c := site.Cluster.Name; {
			case !ambient:
				b.warn(s, here.cluster.Name, t.Name, "IdentityUnchecked", "the trust domain of cluster %s, or a service account there, is not known: callers of %s take any identity of the mesh for it", c, t.Hostname())
			case x.Account == "" || x.Namespace != home:
				b.warn(s, here.cluster.Name, t.Name, "IdentityRefused", "the trust domain of cluster %s, or a service account there, is not known, and instances are not in namespace %s: ztunnel refuses what they answer as %s", c, home, t.Hostname())
			}
		}
	}
	if !known {
		return nil
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// tlsMode returns what callers do for a mode; "" leaves it to Istio, which looks at each endpoint.
func tlsMode(mode string) string {
	return map[string]string{traffic.Strict: "ISTIO_MUTUAL", traffic.Disabled: "DISABLE"}[mode]
}

func (b *builder) destination(s *space, p *presence, t *target) {
	ns, seen := b.home(p)
	policy := fields()
	if rank(s.enc.Mode) >= rank(t.modeOf(s)) { // else the way calls are encrypted would change where only their way was to
		same := !slices.ContainsFunc(t.ports, func(q port) bool { return q.mode != t.ports[0].mode })
		var ports []*mesh.Node
		for _, q := range t.ports {
			if m := tlsMode(q.mode); m != "" && !same {
				ports = append(ports, fields("port", fields("number", q.number), "tls", fields("mode", m)))
			}
		}
		if m := tlsMode(t.ports[0].mode); m != "" && same {
			policy = fields("tls", fields("mode", m))
		} else if len(ports) > 0 {
			policy = fields("portLevelSettings", ports)
		}
	}
	spec := fields("host", t.Hostname(), "exportTo", seen)
	if len(policy.Fields) > 0 {
		spec.Fields = append(spec.Fields, mesh.Entry("trafficPolicy", policy))
	}
	all := slices.Clone(t.versions)
	if t.route != nil {
		all = append(all, t.route.Versions()...)
	}
	slices.Sort(all)
	var subsets []*mesh.Node
	for _, v := range slices.Compact(all) {
		if v != "" {
			subsets = append(subsets, fields("name", subset(v), "labels", fields(labelVersion, v)))
		}
	}
	if len(subsets) > 0 {
		spec.Fields = append(spec.Fields, mesh.Entry("subsets", mesh.List(subsets...)))
	}
	if len(policy.Fields)+len(subsets) > 0 {
		b.add(s, p.cluster.Name, t.modeOf(s), networkVersion, "DestinationRule", ns, name(s.g.Name, t.Name), "spec", spec)
	}
}

// strayRoutes tells of policies for services that there are not.
func (b *builder) strayRoutes(s *space, p *presence) {
	for _, service := range slices.Sorted(maps.Keys(s.routes)) {
		if !slices.ContainsFunc(s.services, func(x discovery.Service) bool { return x.Name == service }) {
			b.warn(s, "", service, "NoSuchService", "TrafficPolicy %s is for a service that the global namespace does not have", s.routes[service].Name)
		}
	}
}

// members returns whether a place is a member.
func (b *builder) isMember(s *space, cluster, namespace string) bool {
	return b.m.Of(member.Place{Cluster: cluster, Namespace: namespace}) == s.g.Name
}
