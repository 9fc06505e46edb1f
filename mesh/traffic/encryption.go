package traffic

import (
	"fmt"
	"strings"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// Modes of encryption.
const (
	Strict     = "Strict"     // plain calls are refused
	Permissive = "Permissive" // both are taken, and encrypted where both sides can
	Disabled   = "Disabled"   // nothing is encrypted
)

// An Encryption is an EncryptionPolicy, compiled.
type Encryption struct {
	Name            string      `json:"name"`
	GlobalNamespace string      `json:"globalNamespace"`
	Mode            string      `json:"mode"` // Observe, Approve or Automatic
	Inside          string      `json:"inside"`
	NorthSouth      *NorthSouth `json:"northSouth,omitempty"`
	Exceptions      []Exception `json:"exceptions,omitempty"`
}

// NorthSouth is how calls from outside come in.
type NorthSouth struct {
	Mode       string    `json:"mode"`
	MinTLS     string    `json:"minTLSVersion"`     // 1.2 or 1.3
	ClientCert string    `json:"clientCertificate"` // None, Optional or Required
	Gateways   []Gateway `json:"gateways,omitempty"`
}

// A Gateway is where calls from outside come in.
type Gateway struct {
	Name      string            `json:"name"`
	Cluster   string            `json:"cluster,omitempty"` // "": in each cluster that has members in the namespace
	Namespace string            `json:"namespace"`         // of the object, among the members
	Selector  map[string]string `json:"selector"`          // of the gateway's instances
	Hosts     []string          `json:"hosts"`
	Secret    string            `json:"secret,omitempty"` // of the certificate, in the namespace of the gateway's instances
}

// An Exception is another mode for a part of the global namespace, until it expires. Empty fields are any.
type Exception struct {
	Cluster   string   `json:"cluster,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
	Service   string   `json:"service,omitempty"`
	Port      int      `json:"port,omitempty"` // of the instances
	Mode      string   `json:"mode"`
	Expires   bus.Time `json:"expires"`
	Reason    string   `json:"reason"`
}

// scope tells exceptions apart, and rank says which of several that fit counts: the one that says most, a port saying more than a service, that more than a
// namespace, that more than a cluster.
func (x *Exception) scope() string {
	return fmt.Sprintf("%s/%s/%s/%d", x.Cluster, x.Namespace, x.Service, x.Port)
}

func (x *Exception) rank() int {
	rank := 0
	for i, said := range []bool{x.Cluster != "", x.Namespace != "", x.Service != "", x.Port != 0} {
		if said {
			rank |= 1 << i
		}
	}
	return rank
}

func (x *Exception) fits(p member.Place, port int) bool {
	return (x.Cluster == "" || x.Cluster == p.Cluster) && (x.Namespace == "" || x.Namespace == p.Namespace) && (x.Service == "" || x.Service == p.Service) && (x.Port == 0 || x.Port == port)
}

// At returns the mode of a port of a service at a time, and the exception that says so, or nil. Port 0 is what holds for ports that nothing is said of, and
// a place without a service what holds in its namespace.
func (e *Encryption) At(p member.Place, port int, now bus.Time) (string, *Exception) {
	var best *Exception
	for i := range e.Exceptions {
		if x := &e.Exceptions[i]; now < x.Expires && x.fits(p, port) && (best == nil || x.rank() > best.rank()) {
			best = x
		}
	}
	if best == nil {
		return e.Inside, nil
	}
	return best.Mode, best
}

// Bounds of a policy.
const (
	maxExceptions = 100
	maxGateways   = 16
	maxHosts      = 32
)

type encryptionObject struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   mesh.Metadata  `json:"metadata"`
	Spec       encryptionSpec `json:"spec"`
}

type encryptionSpec struct {
	GlobalNamespace string `json:"globalNamespace"`
	Mode            string `json:"mode"`
	Inside          struct {
		Mode string `json:"mode"`
	} `json:"inside"`
	NorthSouth *northSouth `json:"northSouth"`
	Exceptions []exception `json:"exceptions"`
}

type northSouth struct {
	Mode       string    `json:"mode"`
	MinTLS     string    `json:"minTLSVersion"`
	ClientCert string    `json:"clientCertificate"`
	Gateways   []gateway `json:"gateways"`
}

type gateway struct {
	Name      string            `json:"name"`
	Cluster   string            `json:"cluster"`
	Namespace string            `json:"namespace"`
	Selector  map[string]string `json:"selector"`
	Hosts     []string          `json:"hosts"`
	SecretRef struct {
		Name string `json:"name"`
	} `json:"secretRef"`
}

type exception struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	Port      int    `json:"port"`
	Mode      string `json:"mode"`
	Expires   string `json:"expires"`
	Reason    string `json:"reason"`
}

func (r *run) encryption() mesh.Definition {
	var o encryptionObject
	r.Problems = append(r.Problems, r.Decode("", &o)...)
	s := &o.Spec
	e := Encryption{Name: r.Name, GlobalNamespace: r.globalNamespace(s.GlobalNamespace)}
	def, ok := r.begin(o.Metadata, e.GlobalNamespace, "it has inside: {mode: Strict}")
	if !ok {
		return def
	}
	e.Mode = r.mode(s.Mode)
	if r.Value("spec.inside") == nil {
		r.Missing("spec.inside", "write for example inside: {mode: Permissive}")
	} else if r.Holds("spec.inside", mesh.NodeMap) {
		e.Inside = r.encryptionMode("spec.inside.mode", s.Inside.Mode)
	}
	e.NorthSouth = r.northSouth(s.NorthSouth)
	e.Exceptions = r.exceptions(s.Exceptions, e.Inside)
	return r.finish(def, "encryption/"+e.GlobalNamespace, "spec.globalNamespace", fmt.Sprintf("the encryption of the global namespace %s", e.GlobalNamespace), e)
}

func (r *run) encryptionMode(path, value string) string {
	return r.Choice(path, value, "", Strict, Permissive, Disabled)
}

func (r *run) northSouth(s *northSouth) *NorthSouth {
	const path = "spec.northSouth"
	if s == nil || !r.Holds(path, mesh.NodeMap) {
		return nil
	}
	out := &NorthSouth{
		Mode: r.encryptionMode(path+".mode", s.Mode), MinTLS: r.Choice(path+".minTLSVersion", s.MinTLS, "1.2", "1.2", "1.3"),
		ClientCert: r.Choice(path+".clientCertificate", s.ClientCert, "None", "None", "Optional", "Required"),
	}
	if out.Mode == Disabled {
		for _, field := range []string{".minTLSVersion", ".clientCertificate"} {
			if r.Value(path+field) != nil {
				r.Warn(path+field, field[1:]+" says nothing where mode is Disabled", "leave it out")
			}
		}
	}
	if !r.Bound(path+".gateways", len(s.Gateways), maxGateways) {
		return out
	}
	names := map[string]bool{}
	for i := range s.Gateways {
		at := fmt.Sprintf("%s.gateways[%d]", path, i)
		g := r.gateway(at, &s.Gateways[i], out.Mode)
		if names[g.Name] {
			r.Wrong(at+".name", fmt.Sprintf("the gateway %q stands twice", g.Name), "rename one")
		}
		names[g.Name] = true
		out.Gateways = append(out.Gateways, g)
	}
	return out
}

func (r *run) gateway(path string, s *gateway, mode string) Gateway {
	g := Gateway{Name: s.Name, Cluster: s.Cluster, Namespace: s.Namespace, Selector: s.Selector, Secret: s.SecretRef.Name}
	if r.text(path+".name", "name the gateway") {
		r.Label(path+".name", "the gateway", s.Name)
	}
	r.Label(path+".cluster", "the cluster", s.Cluster)
	if r.text(path+".namespace", "name a namespace of the global namespace, where the object shall stand") {
		r.Label(path+".namespace", "the namespace", s.Namespace)
	}
	if len(s.Selector) == 0 {
		r.Missing(path+".selector", "write for example selector: {istio: ingressgateway}")
	}
	r.Bound(path+".selector", len(s.Selector), maxGateways)
	if len(s.Hosts) == 0 {
		r.Missing(path+".hosts", "write for example hosts: [shop.example.com]")
	}
	if r.Bound(path+".hosts", len(s.Hosts), maxHosts) {
		for i, h := range s.Hosts {
			g.Hosts = append(g.Hosts, r.host(fmt.Sprintf("%s.hosts[%d]", path, i), h))
		}
	}
	switch {
	case mode == Disabled && r.Value(path+".secretRef") != nil:
		r.Warn(path+".secretRef", "a certificate is not used where mode is Disabled", "leave it out")
	case mode == Disabled:
	case r.Value(path+".secretRef") == nil:
		r.Missing(path+".secretRef", "name the secret of the certificate: secretRef: {name: shop-tls}")
	case r.text(path+".secretRef.name", "name the secret of the certificate"):
		r.Label(path+".secretRef.name", "the secret", g.Secret)
	}
	return g
}

// host checks a name under which calls come in; its first label may be "*".
func (r *run) host(path, host string) string {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if !r.Holds(path, mesh.NodeString) {
		return name
	}
	if len(name) > 253 {
		r.Wrong(path, fmt.Sprintf("the host has %d characters; at most 253 are allowed", len(name)), "")
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(name, "*."), ".") {
		if hint := mesh.LabelHint(label); hint != "" {
			r.Wrong(path, fmt.Sprintf("%q is no name of a host: its part %q is not a DNS label", host, label), hint)
			break
		}
	}
	return name
}

func (r *run) exceptions(xs []exception, inside string) []Exception {
	const path = "spec.exceptions"
	if !r.Bound(path, len(xs), maxExceptions) {
		return nil
	}
	var out []Exception
	scopes := map[string]int{}
	for i := range xs {
		at, s := fmt.Sprintf("%s[%d]", path, i), &xs[i]
		x := Exception{Cluster: s.Cluster, Namespace: s.Namespace, Service: s.Service, Port: s.Port, Mode: r.encryptionMode(at+".mode", s.Mode), Reason: strings.TrimSpace(s.Reason)}
		r.Label(at+".cluster", "the cluster", s.Cluster)
		r.Label(at+".namespace", "the namespace", s.Namespace)
		r.Label(at+".service", "the service", s.Service)
		r.port(at+".port", s.Port)
		r.text(at+".reason", "say why; it is shown beside what is let through")
		x.Expires = r.expires(at+".expires", s.Expires)
		switch first, twice := scopes[x.scope()]; {
		case x.rank() == 0 && r.Clean():
			r.Wrong(at, "the exception is for everything", "name a cluster, a namespace, a service or a port; what is for all is inside.mode")
		case twice && x.rank() != 0:
			r.Wrong(at, fmt.Sprintf("it is for the same as exceptions[%d]", first), "join them")
		case x.Mode != "" && x.Mode == inside && len(xs) == 1:
			r.Warn(at+".mode", fmt.Sprintf("it changes nothing: inside.mode is %s as well", inside), "leave it out")
		}
		scopes[x.scope()] = i
		out = append(out, x)
	}
	return out
}

// expires reads a time as in RFC 3339.
func (r *run) expires(path, text string) bus.Time {
	if !r.text(path, "every exception ends: write for example expires: 2027-03-31T00:00:00Z") {
		return 0
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		r.Wrong(path, fmt.Sprintf("%q is no time as in RFC 3339", text), "write for example 2027-03-31T00:00:00Z")
		return 0
	}
	return bus.TimeOf(at)
}
