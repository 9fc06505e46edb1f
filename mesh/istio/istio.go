// Package istio compiles global namespaces and their policies into objects of Kubernetes: of Istio with sidecars, of Istio in ambient mode, or of the Gateway API alone. It is pure:
// the same input gives the same objects in the same order, byte for byte, and nothing is applied here.
//
// For each cluster that has members of a global namespace, and only in its member namespaces (but for the secret istio-system/cacerts, which istiod reads nowhere else):
//
//   - PeerAuthentication: how the members take calls, with exceptions of services and ports;
//   - AuthorizationPolicy, where identities of others could otherwise call them: see [Explain]. It is DENY with notPrincipals, and not ALLOW: policies of ALLOW add up, so that ours
//     would let in whom a user's own, narrower one keeps out, while a DENY only takes away. It names principals: ["*"] as well, so that it looks at callers with an
//     identity only: health probes and callers without mTLS are the business of PeerAuthentication, and meet the same exceptions there;
//   - ServiceEntry and DestinationRule of <service>.<domain>, with the ready instances of all member clusters inline. No WorkloadEntry is made: one with the labels of a service's
//     instances would be picked by the Service object of the user, too, and draw calls that never left the cluster;
//   - VirtualService of <service>.<domain> by TrafficPolicy, so that no VirtualService of the user for the Service object is in its way; with the Gateway API an HTTPRoute of
//     the Service object, and a Service object for each version;
//   - Gateway for calls from outside.
//
// Each [Object] says by its Mode whether it may be applied. What cannot be done as it was wished is a [Warning], never left out in silence.
package istio

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/discovery"
	"evenkeel.dev/mesh/member"
	"evenkeel.dev/mesh/traffic"
)

// An Output compiles for one kind of data plane.
type Output interface {
	// Name is how it is called in settings.
	Name() string
	// Compile returns the objects of all clusters.
	Compile(in *Input) Result
}

// Outputs returns all of them: sidecar, ambient, gateway-api and none.
func Outputs() []Output { return []Output{sidecar{}, ambient{}, gatewayAPI{}, none{}} }

// An Input is all that objects are made of.
type Input struct {
	GlobalNamespaces []member.GlobalNamespace
	View             discovery.View
	Encryption       []traffic.Encryption
	Routing          []traffic.Routing
	Now              bus.Time

	CACerts map[string]map[string][]byte // by cluster: the data of istio-system/cacerts; see mesh/identity
	// Gateways are the namespaces whose gateways may call members and see their names; istio-system and istio-ingress where none is named.
	Gateways []string
	// GatewayClass is that of gateways that are made for the Gateway API; istio where none is named.
	GatewayClass string
}

// systemNamespace is where istiod is.
const systemNamespace = "istio-system"

// A Result is what was compiled.
type Result struct {
	Objects  []Object  // by cluster, kind, namespace, name
	Warnings []Warning // in order
	Until    bus.Time  // when an exception ends and it is to be compiled anew; 0: none does
}

// An Object is one of Kubernetes in one cluster.
type Object struct {
	Cluster         string
	GlobalNamespace string
	Mode            string // Observe, Approve or Automatic
	APIVersion      string
	Kind            string
	Namespace       string
	Name            string
	Body            *mesh.Node // all of it
}

// String names the object, without what is in it: a secret has a key.
func (o Object) String() string {
	return fmt.Sprintf("%s %s/%s in %s", o.Kind, o.Namespace, o.Name, o.Cluster)
}

// JSON returns the object as canonical JSON.
func (o Object) JSON() []byte { return o.Body.AppendJSON(nil) }

// Labels of all objects: who looks for ours finds them, and nothing else is ours.
const (
	LabelManagedBy       = "evenkeel.dev/managed-by"
	LabelGlobalNamespace = "evenkeel.dev/global-namespace"
)

// labelVersion is on endpoints, with the version that they are of.
const labelVersion = "evenkeel.dev/version"

// A Warning is something that is not done as it was wished.
type Warning struct {
	Reason          string `json:"reason"`
	Cluster         string `json:"cluster,omitempty"`
	GlobalNamespace string `json:"globalNamespace"`
	Subject         string `json:"subject,omitempty"` // a service, namespace, gateway or version
	Why             string `json:"why"`               // for people
}

// A builder collects what is compiled.
type builder struct {
	*plan
	out      Result
	warnings map[Warning]bool
}

func (b *builder) warn(s *space, cluster, subject, reason, format string, args ...any) {
	w := Warning{reason, cluster, s.g.Name, subject, fmt.Sprintf(format, args...)}
	if !b.warnings[w] {
		b.warnings[w] = true
		b.out.Warnings = append(b.out.Warnings, w)
	}
}

// add makes an object of a spec.
func (b *builder) add(s *space, cluster, mode, apiVersion, kind, namespace, name, field string, spec *mesh.Node, labels ...string) {
	all := map[string]string{LabelManagedBy: "evenkeel", LabelGlobalNamespace: s.g.Name}
	for i := 0; i < len(labels); i += 2 {
		all[labels[i]] = labels[i+1]
	}
	body := fields("apiVersion", apiVersion, "kind", kind, "metadata", fields("name", name, "namespace", namespace, "labels", all), field, spec)
	if kind == "Secret" {
		body.Fields = append(body.Fields, mesh.Entry("type", mesh.Text("Opaque")))
	}
	b.out.Objects = append(b.out.Objects, Object{cluster, s.g.Name, mode, apiVersion, kind, namespace, name, body})
}

// compile runs one output over all global namespaces.
func compile(in *Input, each func(*builder, *space)) Result {
	b := &builder{plan: newPlan(in), warnings: map[Warning]bool{}}
	for _, s := range b.spaces {
		each(b, s)
		b.exceptions(s)
	}
	b.strangers()
	slices.SortStableFunc(b.out.Objects, func(a, o Object) int {
		return cmp.Or(strings.Compare(a.Cluster, o.Cluster), strings.Compare(a.Kind, o.Kind), strings.Compare(a.Namespace, o.Namespace), strings.Compare(a.Name, o.Name))
	})
	slices.SortStableFunc(b.out.Warnings, func(a, o Warning) int {
		return cmp.Or(strings.Compare(a.GlobalNamespace, o.GlobalNamespace), strings.Compare(a.Cluster, o.Cluster), strings.Compare(a.Reason, o.Reason), strings.Compare(a.Subject, o.Subject), strings.Compare(a.Why, o.Why))
	})
	return b.out
}

// strangers tells of policies for global namespaces that there are not.
func (b *builder) strangers() {
	tell := func(kind, policy, gns string) {
		if !slices.ContainsFunc(b.spaces, func(s *space) bool { return s.g.Name == gns }) {
			b.out.Warnings = append(b.out.Warnings, Warning{Reason: "NoSuchGlobalNamespace", GlobalNamespace: gns, Subject: policy, Why: kind + " " + policy + " is for a global namespace that there is not"})
		}
	}
	for i := range b.in.Encryption {
		tell("EncryptionPolicy", b.in.Encryption[i].Name, b.in.Encryption[i].GlobalNamespace)
	}
	for i := range b.in.Routing {
		tell("TrafficPolicy", b.in.Routing[i].Name, b.in.Routing[i].GlobalNamespace)
	}
}

// exceptions tells of those that have ended, and notes when the next one does.
func (b *builder) exceptions(s *space) {
	for i := range s.enc.Exceptions {
		x := &s.enc.Exceptions[i]
		if x.Expires <= b.in.Now {
			b.warn(s, x.Cluster, cmp.Or(x.Service, x.Namespace), "ExceptionEnded", "exceptions[%d] (%s) has ended on %s and holds no more", i, x.Reason, x.Expires.Std().Format("2006-01-02"))
		} else if b.out.Until == 0 || x.Expires < b.out.Until {
			b.out.Until = x.Expires
		}
	}
}

// fields builds a map of keys and values: texts, whole numbers, booleans, lists of texts or nodes, maps of texts, nodes. What is nil or empty but for texts and
// numbers is left out.
func fields(kv ...any) *mesh.Node {
	n := &mesh.Node{Kind: mesh.NodeMap}
	for i := 0; i < len(kv); i += 2 {
		if v := value(kv[i+1]); v != nil {
			n.Fields = append(n.Fields, mesh.Entry(kv[i].(string), v))
		}
	}
	return n
}

func value(v any) *mesh.Node {
	switch v := v.(type) {
	case string:
		return mesh.Text(v)
	case int:
		return mesh.Number(strconv.Itoa(v))
	case bool:
		return mesh.Bool(v)
	case *mesh.Node:
		return v
	case map[string]string:
		return mesh.Entries(v)
	case []string:
		var out []*mesh.Node
		for _, s := range v {
			out = append(out, mesh.Text(s))
		}
		return value(out)
	case []*mesh.Node:
		if len(v) == 0 {
			return nil
		}
		return mesh.List(v...)
	}
	panic(fmt.Sprintf("istio: a field of type %T", v)) // a mistake in this package
}

// name returns the name of an object of ours, which is a DNS label: the parts joined, or with a hash where they are too long, no labels, or could be taken apart in two ways.
func name(parts ...string) string {
	plain := "evenkeel-" + strings.Join(parts, "--")
	ok := mesh.LabelHint(plain) == ""
	for _, p := range parts {
		ok = ok && !strings.Contains(p, "--") && !strings.HasPrefix(p, "-") && !strings.HasSuffix(p, "-")
	}
	if ok {
		return plain
	}
	return hashed(mesh.Slug(plain), parts...)
}

// hashed returns a DNS label that begins as slug does and is another one for other parts. Like every name of ours it has "--" in it, by which mesh/discovery knows it.
func hashed(slug string, parts ...string) string {
	h := fnv.New64a()
	h.Write([]byte(strings.Join(parts, "\x00")))
	digest := "--" + hex.EncodeToString(h.Sum(nil))[:12]
	return strings.TrimRight(slug[:min(len(slug), 63-len(digest))], "-") + digest
}

// secrets writes the cacerts of clusters that have an own trust domain, or could.
func (b *builder) secrets(s *space) {
	for _, p := range s.presences {
		data := b.in.CACerts[p.cluster.Name]
		if len(data) == 0 {
			continue
		}
		if len(b.within[p.cluster.Name]) > 1 {
			b.warn(s, p.cluster.Name, "cacerts", "SharedCA", "the cluster serves %s: its mesh has one CA, and cannot sign for each of them", strings.Join(b.within[p.cluster.Name], " and "))
			continue
		}
		encoded := map[string]string{}
		for _, file := range slices.Sorted(maps.Keys(data)) {
			encoded[file] = base64.StdEncoding.EncodeToString(data[file])
		}
		b.add(s, p.cluster.Name, s.enc.Mode, "v1", "Secret", systemNamespace, "cacerts", "data", mesh.Entries(encoded))
	}
}
