package definition

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
)

// Reasons of the condition Accepted beside those of the catalogue ([mesh.ReasonOwnedByOther] and others).
const (
	ReasonAccepted    = "Accepted"
	ReasonInvalid     = "Invalid"     // the compilers refuse it; the message says where and what would be right
	ReasonNotAdmitted = "NotAdmitted" // no definitionsFrom admits this cluster and namespace
	ReasonNotTrusted  = "NotTrusted"  // it reaches beyond a global namespace, and the cluster is not trusted with that
	ReasonTooMany     = "TooMany"     // over a bound
)

// A verdict is what became of an object, as it was when it was judged.
type verdict struct {
	reason, message string
	globalNamespace string // where it stands, if it is accepted
}

// setAtOnce is how many objects are compiled and proposed together: what does not fit into a proposal is compiled again for the next one, so
// that larger numbers cost more than they save.
const setAtOnce = 200

// maxDeletions bounds the deletions of one pass, each of which asks the API server anew; the rest follows in the next one.
const maxDeletions = 200

// pass compares what the cluster holds with what the catalogue holds, and brings the catalogue up to it.
func (s *Source) pass(ctx context.Context) error {
	s.stats.Passes.Add(1)
	objects, err := s.objects()
	if err != nil {
		return err
	}
	s.learn(ctx)
	s.delete(ctx, objects)
	b := &batch{source: s, verdicts: map[mesh.Ref]verdict{}, objects: objects}
	existing, revision, _ := s.cfg.Read()
	for _, of := range b.open(existing) {
		for os := range slices.Chunk(of.objects, setAtOnce) {
			if err := b.set(ctx, of.author, os); err != nil {
				return err
			}
		}
	}
	s.whole, s.revision = true, revision
	if _, after, _ := s.cfg.Read(); after != revision {
		s.store.touch() // by ourselves, most likely; what was refused may be right now
	}
	existing, _, _ = s.cfg.Read()
	s.report(b, existing)
	return nil
}

// report hands the verdicts to who writes them, and counts them.
func (s *Source) report(b *batch, existing []mesh.Definition) {
	for i := range existing {
		d := &existing[i]
		if v, ok := b.verdicts[d.Ref]; ok && d.ManagedBy == s.owner && v.reason != ReasonAccepted {
			v.message += "\nwhat was taken of it before stands"
			v.globalNamespace = d.GlobalNamespace
			b.verdicts[d.Ref] = v
		}
	}
	for r := range s.warned {
		if b.objects[r] == nil {
			delete(s.warned, r)
		}
	}
	reasons := map[string]int{}
	wishes := make([]wish, 0, len(b.objects))
	for r, o := range b.objects {
		v, ok := b.verdicts[r]
		if !ok {
			continue
		}
		reasons[v.reason]++
		wishes = append(wishes, wish{o, v})
	}
	s.reasons.Store(&reasons)
	s.stats.Objects.Store(int64(len(b.objects)))
	slices.SortFunc(wishes, func(a, b wish) int { return a.object.ref().Compare(b.object.ref()) })
	s.status.take(wishes, s.cfg.State)
}

// objects returns what the informers hold.
func (s *Source) objects() (map[mesh.Ref]*object, error) {
	out := map[mesh.Ref]*object{}
	for _, r := range s.readers {
		if !r.informer.HasSynced() {
			continue
		}
		for _, v := range r.informer.GetStore().List() {
			o, ok := v.(*object)
			if !ok {
				return nil, fmt.Errorf("the cache of %s holds a %T", r.resource.plural, v)
			}
			out[o.ref()] = o
		}
	}
	return out, nil
}

// delete deletes what the cluster owns in the catalogue and holds no more. What cannot be deleted now keeps nothing else from being done.
func (s *Source) delete(ctx context.Context, objects map[mesh.Ref]*object) {
	gone, owned := s.missing(objects)
	if len(gone) == 0 {
		s.held("", 0)
		return
	}
	if owned > 3 && 2*len(gone) > owned {
		s.stats.Held.Add(1)
		s.held(fmt.Sprintf("%d of the %d definitions that the cluster owns are no longer in it; if that is meant, delete them with: evenkeel delete --take-ownership -n NAMESPACE KIND/NAME", len(gone), owned), len(gone))
		return
	}
	if len(gone) > maxDeletions {
		gone = gone[:maxDeletions]
		s.store.touch() // the rest
	}
	confirmed, err := s.confirm(ctx, gone)
	if err != nil {
		s.held(err.Error(), len(gone))
		return
	}
	confirmed, left := s.empty(confirmed)
	if len(confirmed) == 0 {
		if left == "" {
			left = "their CRD was removed, or made anew within ten minutes; or they are there again"
		}
		s.held(left, len(gone))
		return
	}
	w := mesh.Wish{ID: rand.Text(), Author: s.owner, ManagedBy: s.owner}
	if err := s.cfg.Change(ctx, w, func([]mesh.Definition) ([]mesh.Definition, []mesh.Ref) { return nil, confirmed }); err != nil {
		s.held(err.Error(), len(gone))
		return
	}
	s.held(left, len(gone)-len(confirmed))
	s.stats.Deleted.Add(uint64(len(confirmed)))
	s.cfg.Logger.Info("definitions deleted, which the cluster no longer holds", "deleted", len(confirmed))
}

// held says, once, why definitions stay that the cluster no longer holds.
func (s *Source) held(why string, n int) {
	s.stats.HeldObjects.Store(int64(n))
	if why != s.stay && why != "" {
		s.cfg.Logger.Error("definitions stay though the cluster no longer holds them", "definitions", n, "why", why)
	}
	s.stay = why
}

// missing returns what of the kinds that are read stands in the catalogue as the cluster's and is not in it, and how many it owns.
func (s *Source) missing(objects map[mesh.Ref]*object) (gone []mesh.Ref, owned int) {
	read := s.read()
	existing, _, _ := s.cfg.Read()
	for i := range existing {
		d := &existing[i]
		if d.ManagedBy != s.owner {
			continue
		}
		owned++
		if d.APIVersion == group.String() && read[d.Kind] != nil && objects[d.Ref] == nil {
			gone = append(gone, d.Ref)
		}
	}
	return gone, owned
}

// empty leaves out the global namespaces in which something would still stand, and says of one what.
func (s *Source) empty(gone []mesh.Ref) (out []mesh.Ref, left string) {
	existing, _, _ := s.cfg.Read()
	var boundaries []mesh.Ref
	for _, r := range gone {
		if r.Kind == mesh.KindGlobalNamespace.Kind {
			boundaries = append(boundaries, r)
		} else {
			out = append(out, r)
		}
	}
	for _, r := range boundaries {
		p := mesh.Proposal{Delete: append(slices.Clone(out), r)}
		if no := mesh.Inhabited(&p, existing); no != "" {
			left = no
			continue
		}
		out = append(out, r)
	}
	return out, left
}

// A batch is what one pass judges.
type batch struct {
	source   *Source
	objects  map[mesh.Ref]*object
	verdicts map[mesh.Ref]verdict
}

// Each author's objects are a proposal of their own, of which the catalogue notes the author. Names of authors cost nothing, so those of
// one pass are bounded.
const (
	maxAuthors     = 20
	severalAuthors = "several"
)

// ofAuthor are the objects of an author that need a compiler.
type ofAuthor struct {
	author  string
	objects []*object
}

// open judges what needs no compiler, and returns the rest by author: who stood first comes first.
func (b *batch) open(existing []mesh.Definition) []ofAuthor {
	s := b.source
	now := map[mesh.Ref]*mesh.Definition{}
	for i := range existing {
		now[existing[i].Ref] = &existing[i]
	}
	gate := newGate(s, existing)
	byAuthor := map[string][]*object{}
	for r, o := range b.objects {
		old := now[r]
		no, shut := gate.shut(o)
		switch {
		case old != nil && old.ManagedBy != s.owner:
			b.verdicts[r] = verdict{reason: mesh.ReasonOwnedByOther, message: fmt.Sprintf("it is managed by %s: change it there, or delete it there, and it is taken from here", old.ManagedBy)}
		case o.over != "":
			b.verdicts[r] = verdict{reason: ReasonTooMany, message: o.over}
		case shut:
			b.verdicts[r] = no
		case old != nil && old.Digest == o.digest && s.whole:
			v := gate.admit(old, o)
			v.message += s.warned[r]
			b.verdicts[r] = v
		default:
			byAuthor[o.author] = append(byAuthor[o.author], o)
		}
	}
	for i, name := range slices.Sorted(maps.Keys(byAuthor)) {
		if i >= maxAuthors {
			byAuthor[severalAuthors] = append(byAuthor[severalAuthors], byAuthor[name]...)
			delete(byAuthor, name)
		}
	}
	var out []ofAuthor
	for name, os := range byAuthor {
		slices.SortFunc(os, func(x, y *object) int {
			return cmp.Or(-cmp.Compare(btoi(now[x.ref()] != nil), btoi(now[y.ref()] != nil)), cmp.Compare(btoi(x.resource != &resources[0]), btoi(y.resource != &resources[0])),
				x.CreationTimestamp.Compare(y.CreationTimestamp.Time), x.ref().Compare(y.ref()))
		})
		out = append(out, ofAuthor{name, os})
	}
	slices.SortFunc(out, func(x, y ofAuthor) int { return strings.Compare(x.author, y.author) })
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// set proposes the objects of one author. What the catalogue refuses is halved until it is known which objects it was about.
func (b *batch) set(ctx context.Context, author string, os []*object) error {
	s := b.source
	verdicts := map[mesh.Ref]verdict{}
	changed := 0
	w := mesh.Wish{ID: rand.Text(), Author: s.owner + "/" + author, ManagedBy: s.owner}
	err := s.cfg.Change(ctx, w, func(existing []mesh.Definition) ([]mesh.Definition, []mesh.Ref) {
		clear(verdicts)
		set := s.judge(os, existing, verdicts)
		changed = len(set)
		return set, nil
	})
	var no *Refusal
	switch {
	case errors.As(err, &no) && len(os) > 1:
		half := len(os) / 2
		if err := b.set(ctx, author, os[:half]); err != nil {
			return err
		}
		return b.set(ctx, author, os[half:])
	case errors.As(err, &no):
		b.verdicts[os[0].ref()] = verdict{reason: no.Reason, message: no.Message}
		return nil
	case err != nil:
		return err
	}
	s.stats.Set.Add(uint64(changed))
	for r, v := range verdicts {
		b.verdicts[r] = v
		delete(s.warned, r)
		if v.reason == ReasonAccepted && v.message != "" {
			s.warned[r] = v.message
		}
	}
	return nil
}
