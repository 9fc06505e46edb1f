package definition

import (
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// judge compiles objects and returns the definitions of those that are taken; what became of each stands in verdicts. An object with a
// mistake is left out and the rest compiled anew, since what remains may lean on it.
func (s *Source) judge(os []*object, existing []mesh.Definition, verdicts map[mesh.Ref]verdict) []mesh.Definition {
	gate := newGate(s, existing)
	byFile := map[string]*object{}
	var docs []mesh.Document
	for _, o := range os {
		r := o.ref()
		if i, found := slices.BinarySearchFunc(existing, r, func(d mesh.Definition, r mesh.Ref) int { return d.Ref.Compare(r) }); found && existing[i].ManagedBy != s.owner {
			verdicts[r] = verdict{reason: mesh.ReasonOwnedByOther, message: fmt.Sprintf("it is managed by %s: change it there, or delete it there, and it is taken from here", existing[i].ManagedBy)}
			continue
		}
		d, ps := o.document(s.cfg.Format)
		if len(ps) > 0 {
			verdicts[r] = verdict{reason: ReasonInvalid, message: told(ps)}
			continue
		}
		byFile[d.File] = o
		docs = append(docs, d)
	}
	for len(docs) > 0 {
		set, problems := s.cfg.Kinds.Compile(docs, existing)
		refused := s.refused(docs, set, problems, gate, byFile, existing)
		if len(refused) == 0 {
			s.accept(docs, set, problems, verdicts)
			return set
		}
		docs = slices.DeleteFunc(docs, func(d mesh.Document) bool {
			v, ok := refused[d.File]
			if ok {
				verdicts[d.Ref()] = v
			}
			return ok
		})
	}
	return nil
}

// refused returns what is not taken of docs, by file. It is never empty while there are mistakes.
func (s *Source) refused(docs []mesh.Document, set []mesh.Definition, problems []mesh.Problem, gate *gate, byFile map[string]*object, existing []mesh.Definition) map[string]verdict {
	out := map[string]verdict{}
	mistakes, _ := mesh.Mistakes(problems)
	byDoc := map[string][]mesh.Problem{}
	for _, p := range mistakes {
		byDoc[p.File] = append(byDoc[p.File], p)
	}
	for i := range docs {
		if ps := byDoc[docs[i].File]; len(ps) > 0 {
			out[docs[i].File] = verdict{reason: ReasonInvalid, message: told(ps)}
		}
	}
	if len(mistakes) > 0 {
		if len(out) == 0 { // they are about what stands already, and which of docs they come from is not known: the newest waits
			out[docs[len(docs)-1].File] = verdict{reason: ReasonInvalid, message: told(mistakes)}
		}
		return out
	}
	compiled := map[mesh.Ref]*mesh.Definition{}
	for i := range set {
		compiled[set[i].Ref] = &set[i]
	}
	for i := range docs {
		d := &docs[i]
		def := compiled[d.Ref()]
		if def == nil {
			out[d.File] = verdict{reason: ReasonInvalid, message: "its compiler returned nothing"}
			continue
		}
		if v := gate.admit(def, byFile[d.File]); v.reason != ReasonAccepted {
			out[d.File] = v
		} else if missing, ok := lacking(def, compiled, existing); ok {
			out[d.File] = verdict{reason: mesh.ReasonMissingReference, message: fmt.Sprintf("it refers to %s, which is not there", missing)}
		}
	}
	return out
}

// lacking returns what a definition refers to and is not there.
func lacking(def *mesh.Definition, compiled map[mesh.Ref]*mesh.Definition, existing []mesh.Definition) (mesh.Ref, bool) {
	for _, r := range def.References {
		_, there := slices.BinarySearchFunc(existing, r, func(d mesh.Definition, r mesh.Ref) int { return d.Ref.Compare(r) })
		if compiled[r] == nil && !there {
			return r, true
		}
	}
	return mesh.Ref{}, false
}

// accept notes what is taken, with its warnings.
func (s *Source) accept(docs []mesh.Document, set []mesh.Definition, problems []mesh.Problem, verdicts map[mesh.Ref]verdict) {
	warnings := map[string][]mesh.Problem{}
	for _, p := range problems {
		warnings[p.File] = append(warnings[p.File], p)
	}
	boundary := map[mesh.Ref]string{}
	for i := range set {
		boundary[set[i].Ref] = set[i].GlobalNamespace
	}
	for i := range docs {
		r := docs[i].Ref()
		verdicts[r] = verdict{reason: ReasonAccepted, message: told(warnings[docs[i].File]), globalNamespace: boundary[r]}
	}
}

// told puts problems into words, without places: what the API server keeps has no lines.
func told(ps []mesh.Problem) string {
	const most, bytes = 10, 4096
	var b strings.Builder
	for i, p := range ps {
		if i == most {
			fmt.Fprintf(&b, "\nand %d more", len(ps)-most)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		if p.Path != "" && !strings.Contains(p.Message, p.Path) {
			b.WriteString(p.Path + ": ")
		}
		p.File, p.Line = "", 0
		b.WriteString(strings.TrimSpace(p.String()))
	}
	return strings.ToValidUTF8(b.String()[:min(b.Len(), bytes)], "")
}

// A gate says which definitions may come from the cluster.
type gate struct {
	source *Source
	byName map[string]*member.GlobalNamespace
}

func newGate(s *Source, existing []mesh.Definition) *gate {
	g := &gate{s, map[string]*member.GlobalNamespace{}}
	for i := range existing {
		d := &existing[i]
		if d.OfKind() != mesh.KindGlobalNamespace {
			continue
		}
		if n, err := mesh.Compiled[member.GlobalNamespace](d); err == nil && n.Name != "" { // one that a later version wrote admits nobody
			g.byName[n.Name] = &n
		}
	}
	return g
}

// shut judges an object by what it says it is for, before anything is compiled: what is not admitted must not hold a name that somebody
// else may have.
func (g *gate) shut(o *object) (verdict, bool) {
	if o.resource.cluster || o.organisation {
		if g.source.cfg.Trusted {
			return verdict{}, false
		}
		return g.untrusted(o.resource.kind), true
	}
	v := g.from(o.boundary, o)
	return v, v.reason != ReasonAccepted
}

func (g *gate) untrusted(kind string) verdict {
	return verdict{reason: ReasonNotTrusted, message: fmt.Sprintf("a %s that reaches beyond one global namespace is taken from trusted clusters only, and %s is none", kind, g.source.cfg.Cluster)}
}

// admit judges a definition that compiles.
func (g *gate) admit(def *mesh.Definition, o *object) verdict {
	switch outreaches := g.source.cfg.Outreaches(def); {
	case outreaches && !g.source.cfg.Trusted:
		return g.untrusted(def.Kind)
	case outreaches:
		return verdict{reason: ReasonAccepted, globalNamespace: def.GlobalNamespace}
	}
	return g.from(def.GlobalNamespace, o)
}

// from judges whether a global namespace admits the object's cluster and namespace.
func (g *gate) from(name string, o *object) verdict {
	s, n := g.source, g.byName[name]
	switch {
	case n == nil:
		return verdict{reason: ReasonNotAdmitted, message: fmt.Sprintf("no GlobalNamespace %s is defined, so no cluster may hold definitions for it; define it, with definitionsFrom: [{cluster: %s, namespace: %s}]", name, s.cfg.Cluster, o.Namespace)}
	case !n.MayDefine(s.cfg.Cluster, o.Namespace):
		return verdict{reason: ReasonNotAdmitted, message: fmt.Sprintf("definitionsFrom of the GlobalNamespace %s does not admit namespace %s of cluster %s", name, o.Namespace, s.cfg.Cluster)}
	}
	return verdict{reason: ReasonAccepted, globalNamespace: name}
}
