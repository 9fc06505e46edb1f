// Package gns compiles the kinds GlobalNamespace, ResourceGroup, Cluster and ExternalService of evenkeel.dev/v1beta1, and reads inventories to try them on.
// docs/global-namespaces.md describes them for their users.
//
// It is strict: what is not understood is a problem with its place and never ignored. Where a choice was to be made:
//
//   - two global namespaces whose conditions can match the same place are a warning and no mistake. Nobody is harmed by it: a place that
//     two would admit is in neither (mesh/member). To move a namespace from one to the other needs both for a while, and a mistake would
//     let whoever came first with a wide prefix keep all others from defining theirs. Where it must not be, check --strict refuses it;
//   - two that have one domain, or one name in two namespaces of metadata, are a mistake: <service>.<domain> must mean one thing. Domains
//     are compared in lower case and without a dot at the end;
//   - a domain that is a public suffix (co.uk) is a mistake, since it would take the names of everybody under it; one under a suffix
//     (shop.example.com) is a warning, since who owns it may mean it so. The suffixes are publicsuffix.org's, as they were when the
//     library was released;
//   - mTLS is Permissive where nothing is written, as in Istio: a definition that says nothing must not refuse calls.
package gns

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// Bounds of what is defined.
const (
	maxNamespaces  = 500 // global namespaces; each is compared with all others
	maxConditions  = 32
	maxEntries     = 100 // of definitionsFrom and acceptedFrom
	maxExpressions = 16  // of a label selector
	maxValues      = 64  // of an expression
	maxText        = 1050
	maxOverlaps    = 20 // told of one definition
)

// A Compiler compiles all four kinds. It has no state; use it from any goroutine.
type Compiler struct{}

// New returns a Compiler.
func New() *Compiler { return &Compiler{} }

// Kinds lists what it takes.
func (*Compiler) Kinds() []mesh.Kind {
	return []mesh.Kind{mesh.KindGlobalNamespace, mesh.KindResourceGroup, mesh.KindCluster, mesh.KindExternalService}
}

// Form returns a pointer to what a document of one of the kinds is decoded into: its fields are all that there are.
func (*Compiler) Form(k mesh.Kind) any {
	switch k {
	case mesh.KindResourceGroup:
		return new(groupObject)
	case mesh.KindCluster:
		return new(clusterObject)
	case mesh.KindExternalService:
		return new(externalObject)
	}
	return new(namespaceObject)
}

// Compile checks docs and returns their definitions in the order of docs. The Compiled of a GlobalNamespace is a
// [member.GlobalNamespace], that of a ResourceGroup a [member.Group], that of a Cluster an [inventory.ClusterSpec], that of an ExternalService an
// [inventory.External].
func (*Compiler) Compile(docs []mesh.Document, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	r := &run{claims: mesh.HeldClaims(docs, existing)}
	r.standing(docs, existing)
	var out []mesh.Definition
	for i := range docs {
		r.from = len(r.problems)
		compile := map[string]func(*mesh.Document) mesh.Definition{
			mesh.KindGlobalNamespace.Kind: r.globalNamespace, mesh.KindResourceGroup.Kind: r.group, mesh.KindCluster.Kind: r.cluster, mesh.KindExternalService.Kind: r.external,
		}[docs[i].Kind]
		out = append(out, compile(&docs[i]))
	}
	r.overlaps()
	return out, mesh.SortProblems(r.problems)
}

// Decode returns what definitions compile to; those of other kinds are passed over.
func Decode(ds []mesh.Definition) (namespaces []member.GlobalNamespace, groups []member.Group, err error) {
	for i := range ds {
		d := &ds[i]
		if len(d.Compiled) == 0 {
			continue
		}
		switch d.OfKind() {
		case mesh.KindGlobalNamespace:
			g, err := mesh.Compiled[member.GlobalNamespace](d)
			if err != nil {
				return nil, nil, err
			}
			namespaces = append(namespaces, g)
		case mesh.KindResourceGroup:
			g, err := mesh.Compiled[member.Group](d)
			if err != nil {
				return nil, nil, err
			}
			groups = append(groups, g)
		}
	}
	return namespaces, groups, nil
}

// Outreaches reports whether a definition says something about more than the global namespace that it stands in: who may change only that
// one must not change it. A global namespace says who else joins, a cluster may hold members of several; a group of the organisation looks into all.
func Outreaches(d *mesh.Definition) bool {
	switch d.OfKind() {
	case mesh.KindGlobalNamespace, mesh.KindCluster:
		return true
	case mesh.KindResourceGroup:
		g, err := mesh.Compiled[member.Group](d)
		return err != nil || g.GlobalNamespace == ""
	}
	return false
}

// A run is one call of Compile.
type run struct {
	claims   map[string]mesh.Ref
	others   []standing // of the catalogue
	fresh    []standing // of docs
	problems []mesh.Problem
	from     int // where the problems of the document begin that is looked at
}

// A standing global namespace is one to compare with; d is nil where it is in the catalogue.
type standing struct {
	ref mesh.Ref
	d   *mesh.Document
	g   member.GlobalNamespace
}

// standing collects the global namespaces of the catalogue that docs do not replace.
func (r *run) standing(docs []mesh.Document, existing []mesh.Definition) {
	fresh := map[mesh.Ref]bool{}
	for i := range docs {
		fresh[docs[i].Ref()] = true
	}
	for i := range existing {
		d := &existing[i]
		if fresh[d.Ref] || d.OfKind() != mesh.KindGlobalNamespace {
			continue
		}
		if g, err := mesh.Compiled[member.GlobalNamespace](d); err == nil { // what a later version wrote is not compared with
			r.others = append(r.others, standing{d.Ref, nil, g})
		}
	}
}

// misspelled reports whether a wrong spelling of the field at path has been told of this document.
func (r *run) misspelled(d *mesh.Document, path string) bool {
	return d.Misspelled(path, r.problems[r.from:])
}

func (r *run) add(d *mesh.Document, path, message, hint string) {
	r.problems = append(r.problems, d.Problem(path, message, hint))
}

func (r *run) warn(d *mesh.Document, path, message, hint string) {
	p := d.Problem(path, message, hint)
	p.Warning = true
	r.problems = append(r.problems, p)
}

// mistaken reports whether a mistake was told of the document that is looked at.
func (r *run) mistaken() bool {
	mistakes, _ := mesh.Mistakes(r.problems[r.from:])
	return len(mistakes) > 0
}

// text reports whether a string stands at a path. That nothing stands there it tells, unless a misspelled name of it does, which is told
// already, and so is a value of another kind.
func (r *run) text(d *mesh.Document, path, hint string) bool {
	switch n := d.Value(path); {
	case n == nil:
		if !r.misspelled(d, path) {
			r.add(d, path, path+" is missing", hint)
		}
		return false
	case n.Kind != mesh.NodeString:
		return false
	case n.Text == "":
		r.add(d, path, path+" is empty", hint)
		return false
	}
	return true
}

// choice reads one of several words; def is what stands for nothing, and where it is "" something must be written.
func (r *run) choice(d *mesh.Document, path, value, def string, known ...string) string {
	switch {
	case def == "" && d.Value(path) == nil:
		r.text(d, path, "one of "+strings.Join(known, ", "))
	case !d.Holds(path, mesh.NodeString):
	case !slices.Contains(known, value):
		r.problems = append(r.problems, d.UnknownValue(path, value, known))
	default:
		return value
	}
	return def
}

// label checks a name that must be a DNS label, where a string is written.
func (r *run) label(d *mesh.Document, path, what, value string) {
	if !d.Holds(path, mesh.NodeString) {
		return
	}
	if hint := mesh.LabelHint(value); hint != "" {
		r.add(d, path, fmt.Sprintf("%s %q is not a DNS label", what, value), hint)
	}
}

// bound tells of a list that is too long.
func (r *run) bound(d *mesh.Document, path string, n, most int) bool {
	if n > most {
		r.add(d, path, fmt.Sprintf("%s has %d entries; at most %d are taken", path, n, most), "")
	}
	return n <= most
}

func (r *run) describe(d *mesh.Document, text string) {
	if n := len([]rune(text)); n > maxText {
		r.add(d, "spec.description", fmt.Sprintf("the description has %d characters; at most %d are taken", n, maxText), "")
	}
}

// claim holds a name that only one definition may have.
func (r *run) claim(d *mesh.Document, def *mesh.Definition, path, name, what, hint string) {
	if holder, ok := r.claims[name]; ok && holder != d.Ref() {
		r.add(d, path, fmt.Sprintf("%s is that of %s already", what, holder), hint)
		return
	}
	r.claims[name] = d.Ref()
	def.Claims = append(def.Claims, name)
}

// finish returns the definition with its compiled form, unless there were mistakes.
func (r *run) finish(def mesh.Definition, compiled any) mesh.Definition {
	if r.mistaken() {
		return def
	}
	b, err := json.Marshal(compiled)
	if err != nil {
		panic(err) // structs of strings and numbers always encode
	}
	def.Compiled = b
	slices.Sort(def.Claims)
	return def
}

func begin(d *mesh.Document, gns string, labels map[string]string) mesh.Definition {
	return mesh.Definition{Ref: d.Ref(), GlobalNamespace: gns, Labels: labels, Digest: mesh.Digest(d.JSON), Source: d.Source, Spec: d.JSON}
}
