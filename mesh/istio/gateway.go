package istio

import (
	"slices"
	"strconv"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/traffic"
)

const (
	gatewayAPIVersion = "gateway.networking.k8s.io/v1"
	defaultClass      = "istio"
	portHTTP          = 80
	portHTTPS         = 443
)

// gatewaysOf writes where calls from outside come in, in each cluster that a gateway is for.
func (b *builder) gatewaysOf(s *space, write func(*builder, *space, *presence, *traffic.Gateway)) {
	if s.enc.NorthSouth == nil {
		return
	}
	for i := range s.enc.NorthSouth.Gateways {
		g := &s.enc.NorthSouth.Gateways[i]
		found := false
		for _, p := range s.presences {
			c := p.cluster.Name
			if g.Cluster != "" && g.Cluster != c {
				continue
			}
			if !b.isMember(s, c, g.Namespace) {
				if g.Cluster != "" || slices.ContainsFunc(p.cluster.Namespaces, named(g.Namespace)) {
					b.warn(s, c, g.Name, "NotAMember", "namespace %s is no member in %s: the gateway is not written there", g.Namespace, c)
				}
				continue
			}
			found = true
			write(b, s, p, g)
		}
		if !found {
			b.warn(s, g.Cluster, g.Name, "GatewayNowhere", "no cluster has namespace %s as a member: the gateway is written nowhere", g.Namespace)
		}
	}
}

// open reports which of both ways a mode lets calls in by.
func open(mode string) (plain, tls bool) {
	return mode != traffic.Strict, mode != traffic.Disabled
}

// istioGateway writes a gateway as Istio has it. Only members may bind routes to its hosts: they are named with their namespaces.
func (b *builder) istioGateway(s *space, p *presence, g *traffic.Gateway) {
	ns := s.enc.NorthSouth
	var hosts []string
	for _, member := range p.whole {
		for _, h := range g.Hosts {
			hosts = append(hosts, member+"/"+h)
		}
	}
	plain, tls := open(ns.Mode)
	var servers []*mesh.Node
	if plain {
		servers = append(servers, fields("port", fields("number", portHTTP, "name", "http", "protocol", "HTTP"), "hosts", hosts))
	}
	if tls {
		mode := map[string]string{"None": "SIMPLE", "Optional": "OPTIONAL_MUTUAL", "Required": "MUTUAL"}[ns.ClientCert]
		least := map[string]string{"1.2": "TLSV1_2", "1.3": "TLSV1_3"}[ns.MinTLS]
		servers = append(servers, fields("port", fields("number", portHTTPS, "name", "https", "protocol", "HTTPS"), "hosts", hosts,
			"tls", fields("mode", mode, "credentialName", g.Secret, "minProtocolVersion", least)))
	}
	b.add(s, p.cluster.Name, s.enc.Mode, networkVersion, "Gateway", g.Namespace, name(s.g.Name, g.Name), "spec", fields("selector", g.Selector, "servers", servers))
}

// standardGateway writes a gateway of the Gateway API, whose instances its class makes.
func (b *builder) standardGateway(s *space, p *presence, g *traffic.Gateway) {
	ns, c := s.enc.NorthSouth, p.cluster.Name
	b.warn(s, c, g.Name, "SelectorNotPossible", "gateways of the Gateway API have instances of their own, in namespace %s: the selector says nothing, and the secret must be there", g.Namespace)
	plain, tls := open(ns.Mode)
	if tls && ns.MinTLS != "1.2" {
		b.warn(s, c, g.Name, "MinTLSNotPossible", "the Gateway API does not say which version of TLS is the least: minTLSVersion %s is not held", ns.MinTLS)
	}
	if tls && ns.ClientCert != "None" {
		b.warn(s, c, g.Name, "ClientCertificateNotPossible", "how clients prove themselves is not written for the Gateway API: clientCertificate %s is not held", ns.ClientCert)
	}
	from := fields("namespaces", fields("from", "Selector", "selector", fields("matchExpressions",
		[]*mesh.Node{fields("key", "kubernetes.io/metadata.name", "operator", "In", "values", p.whole)})))
	var listeners []*mesh.Node
	for i, h := range g.Hosts {
		n := strconv.Itoa(i)
		if plain {
			listeners = append(listeners, fields("name", "http-"+n, "hostname", h, "port", portHTTP, "protocol", "HTTP", "allowedRoutes", from))
		}
		if tls {
			listeners = append(listeners, fields("name", "https-"+n, "hostname", h, "port", portHTTPS, "protocol", "HTTPS",
				"tls", fields("mode", "Terminate", "certificateRefs", []*mesh.Node{fields("name", g.Secret)}), "allowedRoutes", from))
		}
	}
	class := b.in.GatewayClass
	if class == "" {
		class = defaultClass
	}
	b.add(s, c, s.enc.Mode, gatewayAPIVersion, "Gateway", g.Namespace, name(s.g.Name, g.Name), "spec", fields("gatewayClassName", class, "listeners", listeners))
}
