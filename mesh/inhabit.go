package mesh

import (
	"fmt"
	"iter"
	"slices"

	"evenkeel.dev/bus"
)

// inhabitantsNamed is how many of those that stand in a global namespace a refusal lists: a screenful. A dry run lists them all.
const inhabitantsNamed = 20

// defines returns the name of the global namespace that the object defines, or "".
func (r Ref) defines() string {
	if r.Kind == KindGlobalNamespace.Kind && r.APIVersion == KindGlobalNamespace.APIVersion {
		return r.Name
	}
	return ""
}

// Inside returns what stands in the global namespace that r defines, in order and with r itself at the end; of another kind of object it
// is r alone.
func Inside(r Ref, existing []Definition) []Ref {
	var out []Ref
	for i := range existing {
		if d := &existing[i]; d.Ref != r && r.defines() != "" && d.GlobalNamespace == r.defines() {
			out = append(out, d.Ref)
		}
	}
	slices.SortFunc(out, Ref.Compare)
	return append(out, r)
}

// Inhabited returns why the catalogue would refuse to delete a global namespace, for a dry run; "" where it would not.
func Inhabited(p *Proposal, existing []Definition) string {
	no := inhabited(p.Delete, func(yield func(*Definition) bool) {
		for i := range existing {
			if d := &existing[i]; !slices.Contains(p.Delete, d.Ref) && !yield(d) {
				return
			}
		}
	})
	if no == nil {
		return ""
	}
	return no.message
}

// judgeInhabited refuses to delete a global namespace in which something would still stand. That nothing defines a global namespace is no
// mistake otherwise: an SLO may name one that nobody has described.
func (c *Catalogue) judgeInhabited(_ *Proposal, pl *plan, _ bus.Time) *refusal {
	changed := map[Ref]bool{}
	for _, r := range pl.deleted {
		changed[r] = true
	}
	for i := range pl.set {
		changed[pl.set[i].Ref] = true
	}
	return inhabited(pl.deleted, func(yield func(*Definition) bool) {
		for i := range pl.set {
			if !yield(&pl.set[i]) {
				return
			}
		}
		for r, d := range c.byRef { // in any order: what is found is sorted
			if !changed[r] && !yield(d) {
				return
			}
		}
	})
}

// inhabited judges the global namespaces among gone, given all that will stand.
func inhabited(gone []Ref, standing iter.Seq[*Definition]) *refusal {
	names := map[string][]Ref{}
	for _, r := range gone {
		if name := r.defines(); name != "" {
			names[name] = nil
		}
	}
	if len(names) == 0 {
		return nil
	}
	for d := range standing {
		if name := d.GlobalNamespace; d.defines() == name {
			delete(names, name) // it stands under another namespace of metadata
		} else if in, ok := names[name]; ok {
			names[name] = append(in, d.Ref)
		}
	}
	for _, r := range gone {
		if in := names[r.defines()]; len(in) > 0 {
			return refuse(ReasonInhabited, "%s cannot be deleted: %s; delete those first, or all together with --cascade (--cascade --dry-run shows what)", r, inIt(in))
		}
	}
	return nil
}

// inIt says what stands there.
func inIt(refs []Ref) string {
	slices.SortFunc(refs, Ref.Compare)
	var names []string
	for _, r := range refs {
		names = append(names, r.String())
	}
	if len(names) == 1 {
		return names[0] + " stands in it"
	}
	return fmt.Sprintf("%d definitions stand in it: %s", len(names), some(names, inhabitantsNamed))
}
