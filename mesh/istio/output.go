package istio

import (
	"evenkeel.dev/mesh/traffic"
)

// sidecar is Istio with a proxy in each instance: all that is described above.
type sidecar struct{}

func (sidecar) Name() string { return "sidecar" }

func (sidecar) Compile(in *Input) Result {
	return compile(in, func(b *builder, s *space) {
		b.secrets(s)
		b.peerAuthentications(s, true)
		b.isolations(s)
		b.names(s, false)
		b.gatewaysOf(s, (*builder).istioGateway)
	})
}

// ambient is Istio with ztunnel on each node. It tells callers by their identity and knows nothing of HTTP. Waypoints are not made, and where a user has some, they are told of:
// behind one the caller is the waypoint.
type ambient struct{}

func (ambient) Name() string { return "ambient" }

func (ambient) Compile(in *Input) Result {
	return compile(in, func(b *builder, s *space) {
		b.secrets(s)
		b.peerAuthentications(s, false)
		b.isolations(s)
		for _, p := range s.presences {
			if p.isolation.Setup == SetupShared {
				b.warn(s, p.cluster.Name, "", "WaypointsUnguarded", "who calls through a waypoint is seen as the waypoint: where members have one, others get in by it, unless a policy for the waypoint itself says otherwise")
			}
		}
		b.names(s, true)
		b.gatewaysOf(s, (*builder).istioGateway)
	})
}

// gatewayAPI is what the Gateway API can say alone: how calls come in from outside, and where calls of a Service object go within one cluster.
type gatewayAPI struct{}

func (gatewayAPI) Name() string { return "gateway-api" }

func (gatewayAPI) Compile(in *Input) Result {
	return compile(in, func(b *builder, s *space) {
		b.cannot(s, "The Gateway API has no words for it")
		for _, p := range s.presences {
			for i := range s.services {
				if x := &s.services[i]; s.routes[x.Name] != nil {
					b.httpRoutes(s, p, x, s.routes[x.Name])
				}
			}
			b.strayRoutes(s, p)
		}
		b.gatewaysOf(s, (*builder).standardGateway)
	})
}

// none is for clusters without a mesh: nothing is written, and what was asked for is told of.
type none struct{}

func (none) Name() string { return "none" }

func (none) Compile(in *Input) Result {
	return compile(in, func(b *builder, s *space) {
		const why = "Without a mesh nothing does it"
		b.cannot(s, why)
		for _, p := range s.presences {
			for _, x := range s.services {
				if r := s.routes[x.Name]; r != nil {
					b.warn(s, p.cluster.Name, x.Name, "RoutingNotPossible", "%s: TrafficPolicy %s changes nothing", why, r.Name)
				}
			}
			b.strayRoutes(s, p)
		}
		if s.enc.NorthSouth != nil && len(s.enc.NorthSouth.Gateways) > 0 {
			for _, p := range s.presences {
				b.warn(s, p.cluster.Name, "", "GatewayNotPossible", "%s: no gateway is made", why)
			}
		}
	})
}

// cannot tells of encryption, isolation and names, for outputs that have none of them.
func (b *builder) cannot(s *space, why string) {
	for _, p := range s.presences {
		c := p.cluster.Name
		if s.enc.Inside != traffic.Disabled {
			b.warn(s, c, "", "EncryptionNotPossible", "%s: calls are encrypted only where services do it themselves, and inside.mode %s is not held", why, s.enc.Inside)
		}
		b.warn(s, c, "", "IsolationNotPossible", "%s: whoever reaches a member may call it, unless a NetworkPolicy says otherwise", why)
		if len(s.services) > 0 {
			b.warn(s, c, "", "NamesNotPossible", "%s: names under %s are known only where the cluster's DNS asks elsewhere", why, s.g.Domain)
		}
	}
}
