package gns

import (
	"fmt"
	"net/netip"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/inventory"
)

const (
	maxEndpoints = 256
	maxPorts     = 32
)

// An externalObject is a document of kind ExternalService.
type externalObject struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   mesh.Metadata `json:"metadata"`
	Spec       externalSpec  `json:"spec"`
}

type externalSpec struct {
	GlobalNamespace string     `json:"globalNamespace"`
	Description     string     `json:"description"`
	Ports           []port     `json:"ports"`
	Endpoints       []endpoint `json:"endpoints"`
}

type port struct {
	Name        string `json:"name"`
	Port        int    `json:"port"`
	Protocol    string `json:"protocol"`
	AppProtocol string `json:"appProtocol"`
}

type endpoint struct {
	Address string `json:"address"`
	Version string `json:"version"`
	Region  string `json:"region"`
	Zone    string `json:"zone"`
}

// external compiles one document.
func (r *run) external(d *mesh.Document) mesh.Definition {
	var o externalObject
	r.Problems = append(r.Problems, d.Decode("", &o)...)
	s := &o.Spec
	gns := "default"
	if d.Value("spec.globalNamespace") != nil {
		r.Label("spec.globalNamespace", "the global namespace", s.GlobalNamespace)
		gns = s.GlobalNamespace
	}
	def := r.Begin(gns, o.Metadata.Labels)
	x := inventory.External{Namespace: d.Ref().Namespace, Name: d.Name, GlobalNamespace: gns, Labels: o.Metadata.Labels}
	r.Label("metadata.name", "the name of a service", d.Name)
	r.Claim(&def, "metadata.name", "external/"+gns+"/"+d.Name, fmt.Sprintf("the external service %q of global namespace %s", d.Name, gns), "join their endpoints, or rename one")
	r.describe(s.Description)
	if r.Bound("spec.ports", len(s.Ports), maxPorts) {
		for i := range s.Ports {
			x.Ports = append(x.Ports, r.port(d, fmt.Sprintf("spec.ports[%d]", i), &s.Ports[i]))
		}
	}
	if len(s.Endpoints) == 0 {
		r.Missing("spec.endpoints", "write for example endpoints: [{address: db.example.com}]")
	}
	if r.Bound("spec.endpoints", len(s.Endpoints), maxEndpoints) {
		for i := range s.Endpoints {
			x.Endpoints = append(x.Endpoints, r.endpoint(d, fmt.Sprintf("spec.endpoints[%d]", i), &s.Endpoints[i]))
		}
	}
	return r.Finish(def, x)
}

func (r *run) port(d *mesh.Document, path string, p *port) inventory.Port {
	if p.Port < 1 || p.Port > 65535 {
		r.Wrong(path+".port", fmt.Sprintf("port %d does not exist", p.Port), "it is from 1 to 65535")
	}
	return inventory.Port{Name: p.Name, Port: p.Port, Target: p.Port, Protocol: r.Choice(path+".protocol", p.Protocol, "TCP", "TCP", "UDP", "SCTP"), AppProtocol: p.AppProtocol}
}

func (r *run) endpoint(d *mesh.Document, path string, e *endpoint) inventory.Endpoint {
	if r.Text(path+".address", "write an IP address or a DNS name") {
		if _, err := netip.ParseAddr(e.Address); err != nil && !dnsName(e.Address) {
			r.Wrong(path+".address", fmt.Sprintf("%q is neither an IP address nor a DNS name", e.Address), "write for example 192.0.2.7 or db.example.com, without port and scheme")
		}
	}
	return inventory.Endpoint{Address: e.Address, Version: e.Version, Region: e.Region, Zone: e.Zone}
}

// dnsName reports whether s is a DNS name whose last label is no number, which an address with a digit too many would be.
func dnsName(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if mesh.LabelHint(l) != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
