package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/gns"
)

// definitions implements [console.Definitions] on the catalogue.
type definitions struct {
	catalogue *catalogue
	kinds     *mesh.Kinds
}

// managedByAPI owns what comes over the HTTP API.
const managedByAPI = "api"

// tries bounds how often a change is made anew because somebody else was faster.
const tries = 8

// wish is a change before it is compiled against the catalogue.
type wish struct {
	mesh.Wish
	by      console.Identity
	compile func(existing []mesh.Definition) ([]mesh.Definition, []mesh.Ref, []mesh.Problem)
	expect  *uint64
	dryRun  bool
	diff    bool
	whole   bool // in one change or not at all
}

// outcome is what came of a wish.
type outcome struct {
	problems []mesh.Problem // mistakes
	warnings []mesh.Problem
	actions  []console.ObjectAction // of what was or would be changed
	revision uint64
}

// carry compiles, proposes, and does so again where the catalogue has moved meanwhile or the wish did not fit into one proposal. What was compiled
// stands for all parts of a wish as long as nobody else changes the catalogue between them.
func (d *definitions) carry(ctx context.Context, w wish) (outcome, error) {
	var out outcome
	if err := d.ready(ctx); err != nil {
		return out, err
	}
	compiled, fresh := uint64(0), false // the revision that was compiled against
	for n := 0; ; n++ {
		existing, revision, _ := d.catalogue.read()
		out.revision = revision
		if !fresh || revision != compiled {
			var problems []mesh.Problem
			w.Set, w.Delete, problems = w.compile(existing)
			if out.problems, out.warnings = mesh.Mistakes(problems); len(out.problems) > 0 {
				return out, nil
			}
			compiled = revision
		}
		more, ch, err := d.part(ctx, &w, &out, existing)
		switch {
		case err != nil:
			return out, err
		case ch == nil:
			return out, nil
		case !ch.Accepted && ch.Reason == mesh.ReasonConflict && w.expect == nil && n < tries:
			fresh = false // somebody was faster: read again
			continue
		case !ch.Accepted:
			return out, refusal(*ch)
		}
		out.revision = ch.Revision
		if !more {
			return out, nil
		}
		fresh = ch.Revision == compiled+1 // nothing but this part has changed
		compiled, n = ch.Revision, 0
	}
}

// part proposes the next part of a wish and notes what it did. The change is nil where there is nothing more to do.
func (d *definitions) part(ctx context.Context, w *wish, out *outcome, existing []mesh.Definition) (more bool, ch *mesh.Change, err error) {
	w.ID = rand.Text()
	before := index(existing)
	if err := allowed(*w, before); err != nil {
		return false, nil, err
	}
	p, more, err := w.proposal(existing)
	if err != nil {
		return false, nil, err
	}
	if no := mesh.Inhabited(&p, existing); w.dryRun && no != "" {
		return false, nil, console.Fail(http.StatusConflict, mesh.ReasonInhabited, no, nil)
	}
	if w.dryRun || len(p.Set)+len(p.Delete) == 0 {
		out.add(p, before, w.diff)
		return false, nil, nil
	}
	if more && w.whole {
		return false, nil, console.Fail(http.StatusUnprocessableEntity, mesh.ReasonTooMany, fmt.Sprintf("%d definitions are too many for one change; delete some of them first", len(w.Delete)), nil)
	}
	answer, err := d.catalogue.propose(ctx, p)
	if err != nil {
		return false, nil, err
	}
	if answer.Accepted {
		out.add(p, before, w.diff)
	}
	return more, &answer, nil
}

// proposal is the next part of the wish; a dry run is shown whole.
func (w *wish) proposal(existing []mesh.Definition) (mesh.Proposal, bool, error) {
	var b mesh.Bounds
	if w.dryRun {
		b.ProposalBytes, b.ProposalDefinitions = 1<<40, 1<<30
	}
	p, more, err := mesh.Propose(w.Wish, existing, b)
	if w.expect != nil {
		for i := range p.Expect {
			if slices.ContainsFunc(w.Set, func(d mesh.Definition) bool { return d.Ref == p.Expect[i].Ref }) {
				p.Expect[i].Revision = *w.expect
			}
		}
	}
	return p, more, err
}

// ready refuses while the copy of the catalogue is not current.
func (d *definitions) ready(ctx context.Context) error {
	if _, _, ok := d.catalogue.read(); ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if d.catalogue.await(ctx, 0) != nil {
		return console.Fail(http.StatusServiceUnavailable, "NotReady", "the definitions have not been read yet; try again", nil)
	}
	return nil
}

// index finds definitions by their refs.
func index(ds []mesh.Definition) map[mesh.Ref]*mesh.Definition {
	out := make(map[mesh.Ref]*mesh.Definition, len(ds))
	for i := range ds {
		out[ds[i].Ref] = &ds[i]
	}
	return out
}

// allowed refuses what reaches beyond the rights of an identity that is bound to global namespaces.
func allowed(w wish, before map[mesh.Ref]*mesh.Definition) error {
	check := func(d *mesh.Definition) error {
		switch {
		case !w.by.Sees(d.GlobalNamespace):
			return console.Fail(http.StatusForbidden, "Forbidden", w.by.Name+" may not change "+d.Ref.String()+" of global namespace "+d.GlobalNamespace, nil)
		case len(w.by.GlobalNamespaces) > 0 && gns.Outreaches(d):
			return console.Fail(http.StatusForbidden, "Forbidden", w.by.Name+" is bound to global namespaces and may not change "+d.Ref.String()+", which reaches beyond them", nil)
		}
		return nil
	}
	refs := slices.Clone(w.Delete)
	for i := range w.Set {
		if err := check(&w.Set[i]); err != nil {
			return err
		}
		refs = append(refs, w.Set[i].Ref)
	}
	for _, r := range refs {
		if old := before[r]; old != nil {
			if err := check(old); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *outcome) add(p mesh.Proposal, before map[mesh.Ref]*mesh.Definition, diff bool) {
	for i := range p.Set {
		d := &p.Set[i]
		a, source := console.ObjectAction{Ref: d.Ref, Action: console.ActionCreated}, ""
		if old := before[d.Ref]; old != nil {
			a.Action, source = console.ActionConfigured, old.Source
		}
		if name := d.Ref.String(); diff {
			a.Diff = console.Diff("engine: "+name, source, "file: "+name, d.Source)
		}
		o.actions = append(o.actions, a)
	}
	for _, r := range p.Delete {
		o.actions = append(o.actions, console.ObjectAction{Ref: r, Action: console.ActionDeleted})
	}
}

// refusal turns the catalogue's no into an answer of the API.
func refusal(ch mesh.Change) error {
	status := http.StatusConflict
	switch ch.Reason {
	case mesh.ReasonInvalid, mesh.ReasonTooMany, mesh.ReasonMissingReference:
		status = http.StatusUnprocessableEntity
	}
	return console.Fail(status, ch.Reason, ch.Message, nil)
}

// List implements [console.Definitions].
func (d *definitions) List(ctx context.Context) ([]mesh.Definition, uint64, error) {
	if err := d.ready(ctx); err != nil {
		return nil, 0, err
	}
	ds, revision, _ := d.catalogue.read()
	return ds, revision, nil
}

// Apply implements [console.Definitions].
func (d *definitions) Apply(ctx context.Context, r console.ApplyRequest) (console.ApplyAnswer, error) {
	docs, _ := Documents(r.Files)
	w := wish{
		Wish: mesh.Wish{Author: r.By.Name, ManagedBy: managedByAPI, TakeOwnership: r.TakeOwnership}, by: r.By, expect: r.ExpectRevision, dryRun: r.DryRun, diff: r.Diff,
		compile: func(existing []mesh.Definition) ([]mesh.Definition, []mesh.Ref, []mesh.Problem) {
			ds, ps := compile(d.kinds, r.Files, existing)
			return ds, nil, ps
		},
	}
	o, err := d.carry(ctx, w)
	return console.ApplyAnswer{Objects: withUnchanged(docs, o.actions), Problems: o.problems, Warnings: o.warnings, Revision: o.revision, DryRun: r.DryRun}, err
}

// withUnchanged puts the objects of the request first, in its order, and then what else was changed by them.
func withUnchanged(docs []mesh.Ref, actions []console.ObjectAction) []console.ObjectAction {
	changed := make(map[mesh.Ref]console.ObjectAction, len(actions))
	for _, a := range actions {
		changed[a.Ref] = a
	}
	out, named := []console.ObjectAction{}, map[mesh.Ref]bool{}
	for _, r := range docs {
		a, ok := changed[r]
		if !ok {
			a = console.ObjectAction{Ref: r, Action: console.ActionUnchanged}
		}
		out, named[r] = append(out, a), true
	}
	for _, a := range actions {
		if !named[a.Ref] {
			out = append(out, a)
		}
	}
	return out
}

// Delete implements [console.Definitions].
func (d *definitions) Delete(ctx context.Context, r console.DeleteRequest) (console.ApplyAnswer, error) {
	w := wish{
		Wish: mesh.Wish{Author: r.By.Name, ManagedBy: managedByAPI, TakeOwnership: r.TakeOwnership, Confirmed: r.Confirmed}, by: r.By, dryRun: r.DryRun, whole: r.Cascade,
		compile: func(existing []mesh.Definition) ([]mesh.Definition, []mesh.Ref, []mesh.Problem) {
			if !r.Cascade {
				return nil, r.Refs, nil
			}
			var all []mesh.Ref
			for _, ref := range r.Refs {
				all = append(all, mesh.Inside(ref, existing)...)
			}
			return nil, all, nil
		},
	}
	o, err := d.carry(ctx, w)
	if o.actions == nil {
		o.actions = []console.ObjectAction{}
	}
	return console.ApplyAnswer{Objects: o.actions, Revision: o.revision, DryRun: r.DryRun}, err
}
