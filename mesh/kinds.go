package mesh

import (
	"fmt"
	"slices"
	"strings"
)

// A Kind names a kind of definition.
type Kind struct {
	APIVersion string // for example "openslo/v1"
	Kind       string
}

// A Compiler turns documents of its kinds into definitions.
type Compiler interface {
	// Kinds lists what it takes.
	Kinds() []Kind
	// Compile checks docs and returns a definition for each, and one more for each definition of existing whose compiled form
	// changes by them (an SLO whose SLI is in docs). Existing is what will stand beside docs: the catalogue without what the same
	// proposal deletes. With problems that are no warnings the definitions are not to be used.
	Compile(docs []Document, existing []Definition) ([]Definition, []Problem)
}

// Kinds is the list of all compilers: the one validator for every source of definitions. Make it with [NewKinds].
type Kinds struct {
	compilers []Compiler
	byKind    map[Kind]int
	known     []Kind // in the order of the compilers
}

// NewKinds joins compilers. Two that take the same kind are refused.
func NewKinds(cs ...Compiler) (*Kinds, error) {
	k := &Kinds{compilers: cs, byKind: map[Kind]int{}}
	for i, c := range cs {
		for _, kind := range c.Kinds() {
			if _, ok := k.byKind[kind]; ok {
				return nil, fmt.Errorf("mesh: two compilers take %s %s", kind.APIVersion, kind.Kind)
			}
			k.byKind[kind] = i
			k.known = append(k.known, kind)
		}
	}
	return k, nil
}

// Known returns the kinds that are taken.
func (k *Kinds) Known() []Kind { return slices.Clone(k.known) }

// Compile checks and compiles documents of any known kind, as [Compiler] says. An unknown apiVersion or kind, and an object that
// stands in the documents twice, are problems. The problems are sorted by place.
func (k *Kinds) Compile(docs []Document, existing []Definition) ([]Definition, []Problem) {
	var problems []Problem
	parts := make([][]Document, len(k.compilers))
	first := map[Ref]*Document{}
	for i := range docs {
		d := &docs[i]
		c, ok := k.byKind[Kind{d.APIVersion, d.Kind}]
		if !ok {
			problems = append(problems, k.unknown(d))
			continue
		}
		if other, ok := first[d.Ref()]; ok {
			line, _ := other.At("metadata.name")
			problems = append(problems, d.Problem("metadata.name", fmt.Sprintf("%s is defined twice", d.Ref()), fmt.Sprintf("it stands in %s, line %d, as well", other.File, line)))
			continue
		}
		first[d.Ref()] = d
		parts[c] = append(parts[c], *d)
	}
	var out []Definition
	for i, c := range k.compilers {
		if len(parts[i]) == 0 {
			continue
		}
		ds, ps := c.Compile(parts[i], existing)
		out, problems = append(out, ds...), append(problems, ps...)
	}
	return out, SortProblems(problems)
}

func (k *Kinds) unknown(d *Document) Problem {
	var versions, kinds []string
	for _, kind := range k.known {
		if !slices.Contains(versions, kind.APIVersion) {
			versions = append(versions, kind.APIVersion)
		}
		if kind.APIVersion == d.APIVersion {
			kinds = append(kinds, kind.Kind)
		}
	}
	if len(kinds) == 0 {
		return d.Problem("apiVersion", fmt.Sprintf("unknown apiVersion %q", shorten(d.APIVersion)), didYouMean(d.APIVersion, versions))
	}
	return d.Problem("kind", fmt.Sprintf("unknown kind %q of %s", shorten(d.Kind), d.APIVersion), didYouMean(d.Kind, kinds))
}

// String returns "Kind namespace/name".
func (r Ref) String() string { return r.Kind + " " + r.Namespace + "/" + r.Name }

// Compare orders refs by API version, kind, namespace and name.
func (r Ref) Compare(o Ref) int {
	for _, c := range [...]int{
		strings.Compare(r.APIVersion, o.APIVersion), strings.Compare(r.Kind, o.Kind),
		strings.Compare(r.Namespace, o.Namespace), strings.Compare(r.Name, o.Name),
	} {
		if c != 0 {
			return c
		}
	}
	return 0
}

// HeldClaims returns who holds each claim beside docs: those of existing that docs do not replace.
func HeldClaims(docs []Document, existing []Definition) map[string]Ref {
	fresh := map[Ref]bool{}
	for i := range docs {
		fresh[docs[i].Ref()] = true
	}
	claims := map[string]Ref{}
	for i := range existing {
		if fresh[existing[i].Ref] {
			continue
		}
		for _, name := range existing[i].Claims {
			claims[name] = existing[i].Ref
		}
	}
	return claims
}

// OfKind returns the kind of the object.
func (r Ref) OfKind() Kind { return Kind{r.APIVersion, r.Kind} }
