// Package traffic has the kinds EncryptionPolicy and TrafficPolicy of evenkeel.dev/v1beta1: how calls within a global namespace, and into it, are encrypted, and to
// which versions of a service they go. docs/encryption.md describes them for their users.
//
// A [Compiler] is strict: what is not understood is a problem with its place and never ignored. What it makes, [Encryption] and [Routing], is turned into objects for a cluster by
// mesh/istio. Nothing here reads a clock: an exception that is over counts no more because who asks says what time it is.
package traffic

import (
	"fmt"
	"strings"

	"evenkeel.dev/mesh"
)

// The kinds.
var (
	KindEncryption = mesh.Kind{APIVersion: mesh.KindGlobalNamespace.APIVersion, Kind: "EncryptionPolicy"}
	KindRouting    = mesh.Kind{APIVersion: mesh.KindGlobalNamespace.APIVersion, Kind: "TrafficPolicy"}
)

// What may be done without a person, of every kind that acts.
const (
	Observe   = "Observe"
	Approve   = "Approve"
	Automatic = "Automatic"
)

// A Compiler compiles both kinds. It has no state; use it from any goroutine.
type Compiler struct{}

// New returns a Compiler.
func New() *Compiler { return &Compiler{} }

// Kinds lists what it takes.
func (*Compiler) Kinds() []mesh.Kind { return []mesh.Kind{KindEncryption, KindRouting} }

// Form returns what documents of a kind are decoded into: test/crds makes schemas of it.
func (*Compiler) Form(k mesh.Kind) any {
	if k == KindEncryption {
		return new(encryptionObject)
	}
	return new(routingObject)
}

// Compile checks docs and returns their definitions in the order of docs. The Compiled of an EncryptionPolicy is an [Encryption], that of a TrafficPolicy a [Routing].
func (*Compiler) Compile(docs []mesh.Document, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	r := &run{mesh.Reading{Claims: mesh.HeldClaims(docs, existing)}}
	var out []mesh.Definition
	for i := range docs {
		r.Turn(&docs[i])
		if docs[i].Kind == KindEncryption.Kind {
			out = append(out, r.encryption())
		} else {
			out = append(out, r.routing())
		}
	}
	return out, mesh.SortProblems(r.Problems)
}

// Decode returns what definitions compile to; those of other kinds are passed over.
func Decode(ds []mesh.Definition) (es []Encryption, rs []Routing, err error) {
	for i := range ds {
		d := &ds[i]
		if len(d.Compiled) == 0 {
			continue
		}
		switch d.OfKind() {
		case KindEncryption:
			e, err := mesh.Compiled[Encryption](d)
			if err != nil {
				return nil, nil, err
			}
			es = append(es, e)
		case KindRouting:
			r, err := mesh.Compiled[Routing](d)
			if err != nil {
				return nil, nil, err
			}
			rs = append(rs, r)
		}
	}
	return es, rs, nil
}

// A run is one call of Compile.
type run struct {
	mesh.Reading
}

// text reports whether more than blanks stand at a path, which must.
func (r *run) text(path, hint string) bool {
	if !r.Text(path, hint) {
		return false
	}
	if strings.TrimSpace(r.Value(path).Text) == "" {
		r.Wrong(path, path+" is empty", hint)
		return false
	}
	return true
}

func (r *run) port(path string, port int) {
	if r.Holds(path, mesh.NodeNumber) && (port < 1 || port > 65535) {
		r.Wrong(path, fmt.Sprintf("there is no port %d", port), "ports are from 1 to 65535")
	}
}

func (r *run) mode(value string) string {
	return r.Choice("spec.mode", value, Observe, Observe, Approve, Automatic)
}

func (r *run) globalNamespace(value string) string {
	const path = "spec.globalNamespace"
	if r.Label(path, "the global namespace", value) {
		return value
	}
	return "default"
}

// begin returns the definition without what it compiles to, and whether there is a spec to compile.
func (r *run) begin(m mesh.Metadata, globalNamespace, hint string) (mesh.Definition, bool) {
	def := r.Begin(globalNamespace, m.Labels)
	if r.Value("spec") == nil {
		r.Missing("spec", hint)
		return def, false
	}
	return def, r.Holds("spec", mesh.NodeMap)
}

// finish claims the name that only one definition may have, and encodes.
func (r *run) finish(def mesh.Definition, claim, path, what string, compiled any) mesh.Definition {
	r.Claim(&def, path, claim, what, "change that one, or delete it")
	return r.Finish(def, compiled)
}
