// Package traffic has the kinds EncryptionPolicy and TrafficPolicy of evenkeel.dev/v1beta1: how calls within a global namespace, and into it, are encrypted, and to
// which versions of a service they go. docs/encryption.md describes them for their users.
//
// A [Compiler] is strict: what is not understood is a problem with its place and never ignored. What it makes, [Encryption] and [Routing], is turned into objects for a cluster by
// mesh/istio. Nothing here reads a clock: an exception that is over counts no more because who asks says what time it is.
package traffic

import (
	"encoding/json"
	"fmt"
	"slices"
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
	claims := mesh.HeldClaims(docs, existing)
	var out []mesh.Definition
	var problems []mesh.Problem
	for i := range docs {
		r := &run{d: &docs[i], claims: claims}
		if docs[i].Kind == KindEncryption.Kind {
			out = append(out, r.encryption())
		} else {
			out = append(out, r.routing())
		}
		problems = append(problems, r.problems...)
	}
	return out, mesh.SortProblems(problems)
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

// A run compiles one document.
type run struct {
	d        *mesh.Document
	claims   map[string]mesh.Ref
	problems []mesh.Problem
}

func (r *run) wrong(path, message, hint string) {
	r.problems = append(r.problems, r.d.Problem(path, message, hint))
}

func (r *run) warn(path, message, hint string) {
	p := r.d.Problem(path, message, hint)
	p.Warning = true
	r.problems = append(r.problems, p)
}

// missing tells that nothing stands at a path, unless a misspelled name of it does, which is told already.
func (r *run) missing(path, hint string) {
	if !r.d.Misspelled(path, r.problems) {
		r.wrong(path, path+" is missing", hint)
	}
}

// text reports whether a string stands at a path, which must be. One of another type is told already.
func (r *run) text(path, hint string) bool {
	switch n := r.d.Value(path); {
	case n == nil:
		r.missing(path, hint)
		return false
	case n.Kind != mesh.NodeString:
		return false
	case strings.TrimSpace(n.Text) == "":
		r.wrong(path, path+" is empty", hint)
		return false
	}
	return true
}

// choice reads one of several words; def is what stands for nothing, and where it is "" something must be written.
func (r *run) choice(path, value, def string, known ...string) string {
	switch {
	case def == "" && r.d.Value(path) == nil:
		r.missing(path, "one of "+strings.Join(known, ", "))
	case !r.d.Holds(path, mesh.NodeString):
	case !slices.Contains(known, value):
		r.problems = append(r.problems, r.d.UnknownValue(path, value, known))
	default:
		return value
	}
	return def
}

// label checks a name that must be a DNS label, where a string is written, and reports whether it is one.
func (r *run) label(path, what, value string) bool {
	if !r.d.Holds(path, mesh.NodeString) {
		return false
	}
	hint := mesh.LabelHint(value)
	if hint != "" {
		r.wrong(path, fmt.Sprintf("%s %q is not a DNS label", what, value), hint)
	}
	return hint == ""
}

// bound tells of a list that is too long.
func (r *run) bound(path string, n, most int) bool {
	if n > most {
		r.wrong(path, fmt.Sprintf("%s has %d entries; at most %d are taken", path, n, most), "")
	}
	return n <= most
}

func (r *run) port(path string, port int) {
	if r.d.Holds(path, mesh.NodeNumber) && (port < 1 || port > 65535) {
		r.wrong(path, fmt.Sprintf("there is no port %d", port), "ports are from 1 to 65535")
	}
}

func (r *run) mode(value string) string {
	return r.choice("spec.mode", value, Observe, Observe, Approve, Automatic)
}

func (r *run) globalNamespace(value string) string {
	const path = "spec.globalNamespace"
	if r.label(path, "the global namespace", value) {
		return value
	}
	return "default"
}

// begin returns the definition without what it compiles to, and whether there is a spec to compile.
func (r *run) begin(m mesh.Metadata, globalNamespace, hint string) (mesh.Definition, bool) {
	d := r.d
	def := mesh.Definition{Ref: d.Ref(), GlobalNamespace: globalNamespace, Labels: m.Labels, Digest: mesh.Digest(d.JSON), Source: d.Source, Spec: d.JSON}
	if d.Value("spec") == nil {
		r.missing("spec", hint)
		return def, false
	}
	return def, d.Holds("spec", mesh.NodeMap)
}

// finish claims the name that only one definition may have, and encodes.
func (r *run) finish(def mesh.Definition, claim, path, what string, compiled any) mesh.Definition {
	if holder, ok := r.claims[claim]; ok && holder != r.d.Ref() {
		r.wrong(path, fmt.Sprintf("%s is that of %s already", what, holder), "change that one, or delete it")
	} else {
		r.claims[claim] = r.d.Ref()
		def.Claims = []string{claim}
	}
	if mistakes, _ := mesh.Mistakes(r.problems); len(mistakes) > 0 {
		return def
	}
	b, err := json.Marshal(compiled)
	if err != nil {
		panic(err) // structs of strings and numbers always encode
	}
	def.Compiled = b
	return def
}
