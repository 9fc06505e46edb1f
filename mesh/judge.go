package mesh

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evenkeel.dev/bus"
)

// A plan is what an accepted proposal changes.
type plan struct {
	set       []Definition // changed ones only, in the order of their refs
	deleted   []Ref        // in order
	deletions map[string]deletions
}

// judge decides about a proposal and changes nothing.
func (c *Catalogue) judge(p *Proposal, now bus.Time) (*plan, *refusal) {
	pl := &plan{deletions: c.deleting}
	if no := c.judgeExpectations(p); no != nil {
		return nil, no
	}
	for i := range p.Set {
		d := p.Set[i]
		changed, no := c.judgeSet(p, &d)
		if no != nil {
			return nil, no
		}
		if changed {
			pl.set = append(pl.set, d)
		}
	}
	slices.SortFunc(pl.set, func(a, b Definition) int { return a.Ref.Compare(b.Ref) })
	for _, r := range p.Delete {
		old, ok := c.byRef[r]
		switch {
		case !ok: // gone already, as wished
		case old.ManagedBy != p.ManagedBy && !p.TakeOwnership:
			return nil, ownedByOther(r, old.ManagedBy)
		default:
			pl.deleted = append(pl.deleted, r)
		}
	}
	slices.SortFunc(pl.deleted, Ref.Compare)
	for _, check := range []func(*Proposal, *plan, bus.Time) *refusal{c.judgeBounds, c.judgeReferences, c.judgeInhabited, c.judgeClaims, c.judgeDeletions} {
		if no := check(p, pl, now); no != nil {
			return nil, no
		}
	}
	return pl, nil
}

func (c *Catalogue) judgeExpectations(p *Proposal) *refusal {
	for _, e := range p.Expect {
		var revision uint64
		if d, ok := c.byRef[e.Ref]; ok {
			revision = d.Revision
		}
		switch {
		case revision == e.Revision:
		case e.Revision == 0:
			return refuse(ReasonConflict, "%s exists already, at revision %d: read it first", e.Ref, revision)
		case revision == 0:
			return refuse(ReasonConflict, "%s was deleted since it was read at revision %d", e.Ref, e.Revision)
		default:
			return refuse(ReasonConflict, "%s is at revision %d and not %d: somebody has changed it since it was read", e.Ref, revision, e.Revision)
		}
	}
	return nil
}

// judgeSet reports whether d would change the catalogue, and completes it with who owns it.
func (c *Catalogue) judgeSet(p *Proposal, d *Definition) (bool, *refusal) {
	d.ManagedBy, d.Author = p.ManagedBy, p.Author
	old, ok := c.byRef[d.Ref]
	if !ok {
		return true, nil
	}
	if old.ManagedBy != p.ManagedBy && !p.TakeOwnership {
		if !old.sameText(d) {
			return false, ownedByOther(d.Ref, old.ManagedBy)
		}
		d.ManagedBy, d.Author = old.ManagedBy, old.Author // only compiled anew
	}
	return old.ManagedBy != d.ManagedBy || !old.sameText(d) || !old.sameCompiled(d), nil
}

// sameText reports whether both say the same, as somebody wrote it.
func (d *Definition) sameText(o *Definition) bool {
	return d.Digest == o.Digest && d.Source == o.Source && d.GlobalNamespace == o.GlobalNamespace && maps.Equal(d.Labels, o.Labels)
}

// sameCompiled reports whether both mean the same to stages and to other definitions.
func (d *Definition) sameCompiled(o *Definition) bool {
	return bytes.Equal(d.Compiled, o.Compiled) && slices.Equal(d.References, o.References) && slices.Equal(d.Claims, o.Claims)
}

func ownedByOther(r Ref, owner string) *refusal {
	return refuse(ReasonOwnedByOther, "%s is managed by %s: change it there, or take ownership", r, owner)
}

func (c *Catalogue) judgeBounds(_ *Proposal, pl *plan, _ bus.Time) *refusal {
	n, size := len(c.byRef)-len(pl.deleted), c.bytes
	for _, r := range pl.deleted {
		size -= sizeOf(c.byRef[r])
	}
	for i := range pl.set {
		if old, ok := c.byRef[pl.set[i].Ref]; ok {
			n--
			size -= sizeOf(old)
		}
		n++
		size += sizeOf(&pl.set[i])
	}
	// What makes a full catalogue smaller is always accepted.
	if n > c.bounds.Definitions && n > len(c.byRef) {
		return refuse(ReasonTooMany, "the catalogue would hold %d definitions; its bound is %d", n, c.bounds.Definitions)
	}
	if size > c.bounds.Bytes && size > c.bytes {
		return refuse(ReasonTooMany, "the definitions would take %d bytes; the bound is %d", size, c.bounds.Bytes)
	}
	return nil
}

// judgeReferences refuses a plan after which something refers to what is not there.
func (c *Catalogue) judgeReferences(_ *Proposal, pl *plan, _ bus.Time) *refusal {
	set, deleted := map[Ref]bool{}, map[Ref]bool{}
	for i := range pl.set {
		set[pl.set[i].Ref] = true
	}
	for _, r := range pl.deleted {
		deleted[r] = true
	}
	for i := range pl.set {
		d := &pl.set[i]
		for _, r := range d.References {
			switch {
			case set[r]:
			case deleted[r]:
				return refuse(ReasonReferenced, "%s refers to %s, which the same proposal deletes", d.Ref, r)
			case c.byRef[r] == nil:
				return refuse(ReasonMissingReference, "%s refers to %s, which is not there", d.Ref, r)
			}
		}
	}
	for _, r := range pl.deleted {
		var users []string
		for _, u := range slices.SortedFunc(maps.Keys(c.users[r]), Ref.Compare) {
			if !deleted[u] && !set[u] {
				users = append(users, u.String())
			}
		}
		if len(users) > 0 {
			return refuse(ReasonReferenced, "%s cannot be deleted: %s refer to it; change or delete those first", r, some(users, 3))
		}
	}
	return nil
}

// some names the first ones.
func some(names []string, most int) string {
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// judgeClaims refuses a plan after which two definitions hold the same claim.
func (c *Catalogue) judgeClaims(_ *Proposal, pl *plan, _ bus.Time) *refusal {
	going, taken := map[Ref]bool{}, map[string]Ref{}
	for _, r := range pl.deleted {
		going[r] = true
	}
	for i := range pl.set {
		going[pl.set[i].Ref] = true
	}
	for i := range pl.set {
		d := &pl.set[i]
		for _, name := range d.Claims {
			holder, ok := taken[name]
			if !ok {
				holder, ok = c.claims[name]
				ok = ok && !going[holder]
			}
			if ok && holder != d.Ref {
				return refuse(ReasonConflict, "%s and %s are both %q: rename one of them", d.Ref, holder, name)
			}
			taken[name] = d.Ref
		}
	}
	return nil
}

// judgeDeletions holds back a directory or a cluster that would lose more than half of what it owned, and keeps count of the window.
func (c *Catalogue) judgeDeletions(p *Proposal, pl *plan, now bus.Time) *refusal {
	if len(pl.deleted) == 0 || !strings.HasPrefix(p.ManagedBy, OwnerDirectory) && !strings.HasPrefix(p.ManagedBy, OwnerCluster) {
		return nil
	}
	next := map[string]deletions{}
	for dir, d := range c.deleting {
		if now-d.Since < deletionWindow {
			next[dir] = d
		}
	}
	w, ok := next[p.ManagedBy]
	if !ok {
		w = deletions{Since: now, Owned: c.owned[p.ManagedBy]}
	}
	w.Deleted += len(pl.deleted)
	if !p.Confirmed && w.Owned > 3 && 2*w.Deleted > w.Owned {
		return refuse(ReasonTooManyDeletions, "%s would delete %d of the %d definitions that it owned ten minutes ago, or since; more than half needs a yes: is the source whole?", p.ManagedBy, w.Deleted, w.Owned)
	}
	if p.Confirmed {
		delete(next, p.ManagedBy) // a person has looked; counting begins again
	} else {
		next[p.ManagedBy] = w
	}
	pl.deletions = next
	return nil
}
