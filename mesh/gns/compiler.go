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
	"fmt"

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
	r := &run{Reading: mesh.Reading{Claims: mesh.HeldClaims(docs, existing)}}
	r.standing(docs, existing)
	var out []mesh.Definition
	for i := range docs {
		r.Turn(&docs[i])
		compile := map[string]func(*mesh.Document) mesh.Definition{
			mesh.KindGlobalNamespace.Kind: r.globalNamespace, mesh.KindResourceGroup.Kind: r.group, mesh.KindCluster.Kind: r.cluster, mesh.KindExternalService.Kind: r.external,
		}[docs[i].Kind]
		out = append(out, compile(&docs[i]))
	}
	r.overlaps()
	return out, mesh.SortProblems(r.Problems)
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
	mesh.Reading
	others []standing // of the catalogue
	fresh  []standing // of docs
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

func (r *run) describe(text string) {
	if n := len([]rune(text)); n > maxText {
		r.Wrong("spec.description", fmt.Sprintf("the description has %d characters; at most %d are taken", n, maxText), "")
	}
}
