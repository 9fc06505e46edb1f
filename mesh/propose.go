package mesh

import (
	"encoding/json"
	"fmt"
)

// A Wish is what a source of definitions wants the catalogue to become, before it is cut into proposals.
type Wish struct {
	ID            string // random; the proposal gets it
	Author        string
	ManagedBy     string
	TakeOwnership bool
	Confirmed     bool
	Set           []Definition // what a [Compiler] returned
	Delete        []Ref
}

// Propose makes the next proposal of a wish, given the catalogue as it was read for compiling. It drops what stands already, puts
// what others refer to first, expects of everything that it touches or leans on the revision that was read, and stays within the
// bounds. More says that the wish did not fit into one: then read, compile and propose again after the answer, with another ID,
// until Propose returns nothing to do (a proposal without Set and Delete). The same loop answers a Conflict. Deletions come last.
func Propose(w Wish, existing []Definition, b Bounds) (p Proposal, more bool, err error) {
	b.defaults()
	p = Proposal{ID: w.ID, Author: w.Author, ManagedBy: w.ManagedBy, TakeOwnership: w.TakeOwnership, Confirmed: w.Confirmed}
	now := map[Ref]*Definition{}
	for i := range existing {
		now[existing[i].Ref] = &existing[i]
	}
	size := 1024 + len(w.ID) + len(w.Author) + len(w.ManagedBy)
	expected := map[Ref]bool{}
	expect := func(r Ref) int {
		if expected[r] {
			return 0
		}
		expected[r] = true
		e := Expectation{Ref: r}
		if d := now[r]; d != nil {
			e.Revision = d.Revision
		}
		p.Expect = append(p.Expect, e)
		return 128 + len(r.APIVersion) + len(r.Kind) + len(r.Namespace) + len(r.Name)
	}
	coming := map[Ref]bool{}
	for _, d := range inOrder(w.Set) {
		old := now[d.Ref]
		if old != nil && stands(old, &d, &w) {
			continue
		}
		encoded, err := json.Marshal(d)
		if err != nil {
			return p, false, fmt.Errorf("encode %s: %w", d.Ref, err)
		}
		if size+len(encoded) > b.ProposalBytes*3/4 && len(p.Set) > 0 || len(p.Set) == b.ProposalDefinitions {
			return p, true, nil
		}
		size += len(encoded) + expect(d.Ref)
		coming[d.Ref] = true
		for _, r := range d.References {
			if !coming[r] {
				size += expect(r)
			}
		}
		p.Set = append(p.Set, d)
	}
	for _, r := range w.Delete {
		if now[r] == nil {
			continue
		}
		if size > b.ProposalBytes*3/4 || len(p.Set)+len(p.Delete) == b.ProposalDefinitions {
			return p, true, nil
		}
		size += 2 * expect(r)
		p.Delete = append(p.Delete, r)
	}
	return p, false, nil
}

// stands reports whether setting d would change nothing.
func stands(old, d *Definition, w *Wish) bool {
	return old.sameText(d) && old.sameCompiled(d) && (old.ManagedBy == w.ManagedBy || !w.TakeOwnership)
}

// inOrder returns definitions so that each stands behind those of the same list that it refers to.
func inOrder(ds []Definition) []Definition {
	index := map[Ref]int{}
	for i := range ds {
		index[ds[i].Ref] = i
	}
	out, done := make([]Definition, 0, len(ds)), make([]bool, len(ds))
	var visit func(i int)
	visit = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		for _, r := range ds[i].References {
			if j, ok := index[r]; ok {
				visit(j)
			}
		}
		out = append(out, ds[i])
	}
	for i := range ds {
		visit(i)
	}
	return out
}
