package mesh

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/bus"
)

// CatalogueSpec says how the bus runs the catalogue: one partition, which reads proposals, and ticks to say again what stands after a loss or to a new stage.
func CatalogueSpec() bus.Spec {
	return bus.Spec{Name: "catalogue", Partitions: 1, Reads: []string{SubjectProposal, bus.SubjectRepair, SubjectRestate, bus.SubjectTick}, New: func(int) bus.Stage { return NewCatalogue(Bounds{}) }}
}

// Bounds are the limits of a [Catalogue]; a zero field takes its default. All members of an installation must have the same.
type Bounds struct {
	Definitions         int // in the catalogue; default 100,000, ten times what the largest known installation of SLOs has
	Bytes               int // of all definitions; default 256 MiB, so that a snapshot and its copy fit into 1 GiB
	DefinitionBytes     int // of one; default 192 KiB: its source, spec and compiled form
	ProposalBytes       int // of one proposal; default 768 KiB, so that the answer fits NATS' default message of 1 MiB
	ProposalDefinitions int // set or deleted by one proposal; default 5,000
	Answers             int // remembered by proposal id; default 4,096
}

func (b *Bounds) defaults() {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&b.Definitions, 100_000}, {&b.Bytes, 256 << 20}, {&b.DefinitionBytes, 192 << 10},
		{&b.ProposalBytes, 768 << 10}, {&b.ProposalDefinitions, 5000}, {&b.Answers, 4096},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
}

// Catalogue is the stage that keeps the definitions. It answers each [Proposal], in the log's order, with one [Change], and emits
// one public event for each definition that changed:
//
//   - a proposal is taken as a whole or refused as a whole, with a reason and a message for people;
//   - a proposal whose id it has seen lately gets the same answer again, without Set and Deleted, and changes nothing;
//   - a definition has one managing source; another is refused unless it takes ownership. One exception: a definition whose text
//     is unchanged and that is only compiled anew, because something it refers to has changed, keeps its owner whoever proposes it;
//   - a directory or a cluster (ManagedBy "dir:…", "cluster:…") that owned more than three definitions deletes at most half of them within ten minutes
//     unless a person has confirmed it, so that an unmounted volume does not delete a company's objectives, be it file by file;
//   - what others refer to is not deleted, and what refers to nothing is not accepted;
//   - a global namespace is not deleted while anything stands in it that the same proposal does not delete, too.
//
// It is deterministic, and not safe for use by several goroutines at once; [bus.Follow] gives other processes a copy.
type Catalogue struct {
	bounds   Bounds
	revision uint64
	bytes    int
	byRef    map[Ref]*Definition
	users    map[Ref]map[Ref]bool // who refers to it
	claims   map[string]Ref
	owned    map[string]int // definitions by ManagedBy
	deleting map[string]deletions
	answers  map[string]Change // by proposal id
	order    []string          // ids of answers, oldest first
	sorted   []Ref             // refs in order; nil when it must be made again
	due      bool              // messages went missing, a repair was made, or a stage is new: say again what stands

	stats Stats
}

// Stats counts what the catalogue did since the process started.
type Stats struct {
	Accepted, Unchanged, Refused, Repeated, Gaps, Restated uint64
	Definitions, Bytes                                     int
}

// deletions are what a directory deleted since a moment, and what it owned then.
type deletions struct {
	Since   bus.Time `json:"since"`
	Owned   int      `json:"owned"`
	Deleted int      `json:"deleted"`
}

// deletionWindow is how long deletions of one directory are counted together.
const deletionWindow = 10 * bus.Minute

// NewCatalogue returns an empty catalogue.
func NewCatalogue(b Bounds) *Catalogue {
	b.defaults()
	c := &Catalogue{bounds: b}
	c.clear()
	return c
}

func (c *Catalogue) clear() {
	c.revision, c.bytes = 0, 0
	c.byRef, c.users, c.claims = map[Ref]*Definition{}, map[Ref]map[Ref]bool{}, map[string]Ref{}
	c.owned, c.deleting = map[string]int{}, map[string]deletions{}
	c.answers, c.order, c.sorted, c.due = map[string]Change{}, nil, nil, false
}

// Get returns a definition.
func (c *Catalogue) Get(r Ref) (Definition, bool) {
	d, ok := c.byRef[r]
	if !ok {
		return Definition{}, false
	}
	return *d, true
}

// List returns all definitions in the order of their refs. The slice is new; what the definitions point to is shared and must not
// be changed.
func (c *Catalogue) List() []Definition {
	out := make([]Definition, 0, len(c.byRef))
	for _, r := range c.refs() {
		out = append(out, *c.byRef[r])
	}
	return out
}

// Revision returns the number of accepted changes.
func (c *Catalogue) Revision() uint64 { return c.revision }

// Stats returns the counters.
func (c *Catalogue) Stats() Stats {
	s := c.stats
	s.Definitions, s.Bytes = len(c.byRef), c.bytes
	return s
}

func (c *Catalogue) refs() []Ref {
	if c.sorted == nil {
		c.sorted = make([]Ref, 0, len(c.byRef))
		for r := range c.byRef {
			c.sorted = append(c.sorted, r)
		}
		slices.SortFunc(c.sorted, Ref.Compare)
	}
	return c.sorted
}

// Step answers a proposal, and says again what stands after a loss. It never returns an error for what a proposal holds.
func (c *Catalogue) Step(r *bus.Record) ([]bus.Draft, error) {
	switch r.Subject {
	case bus.SubjectGap:
		c.stats.Gaps++ // a proposal that is lost has no answer; whoever made it asks again
		c.due = true
		return nil, nil
	case bus.SubjectRepair, SubjectRestate:
		c.due = true
		return nil, nil
	case bus.SubjectTick:
		if c.due {
			return c.restate()
		}
		return nil, nil
	case SubjectProposal:
	default:
		return nil, nil
	}
	p, err := decodeProposal(r.Data, c.bounds)
	if err != nil {
		c.stats.Refused++
		return drafts(Change{Proposal: p.ID, Reason: err.reason, Message: err.message, Revision: c.revision}, nil)
	}
	if a, ok := c.answers[p.ID]; ok {
		c.stats.Repeated++
		return drafts(a, nil)
	}
	ch, events := c.propose(&p, r.Time)
	c.remember(ch)
	return drafts(ch, events)
}

// propose judges and, if it is accepted, applies a proposal.
func (c *Catalogue) propose(p *Proposal, now bus.Time) (Change, []DefinitionEvent) {
	plan, no := c.judge(p, now)
	switch {
	case no != nil:
		c.stats.Refused++
		return Change{Proposal: p.ID, Reason: no.reason, Message: no.message, Revision: c.revision}, nil
	case len(plan.set) == 0 && len(plan.deleted) == 0:
		c.stats.Unchanged++
		return Change{Proposal: p.ID, Accepted: true, Reason: ReasonUnchanged, Revision: c.revision}, nil
	}
	c.stats.Accepted++
	return c.apply(p, plan, now)
}

func (c *Catalogue) apply(p *Proposal, pl *plan, now bus.Time) (Change, []DefinitionEvent) {
	c.revision++
	ch := Change{Proposal: p.ID, Accepted: true, Reason: ReasonAccepted, Revision: c.revision, Deleted: pl.deleted}
	var events []DefinitionEvent
	for _, r := range pl.deleted {
		old := c.byRef[r]
		c.drop(r)
		events = append(events, eventOf(ActionDeleted, old, c.revision, p.Author))
	}
	c.deleting = pl.deletions
	for i := range pl.set {
		d := new(Definition)
		*d = pl.set[i]
		d.Revision, d.Generation = c.revision, 1
		action := ActionCreated
		if old, ok := c.byRef[d.Ref]; ok {
			action, d.Generation = ActionUpdated, old.Generation
			if string(old.Spec) != string(d.Spec) || string(old.Compiled) != string(d.Compiled) {
				d.Generation++
			}
			c.drop(d.Ref)
		}
		c.put(d)
		ch.Set = append(ch.Set, *d)
		events = append(events, eventOf(action, d, c.revision, p.Author))
	}
	return ch, events
}

// put adds a definition, which must not be there, to all indexes.
func (c *Catalogue) put(d *Definition) {
	c.byRef[d.Ref], c.sorted = d, nil
	c.bytes += sizeOf(d)
	c.owned[d.ManagedBy]++
	for _, r := range d.References {
		if c.users[r] == nil {
			c.users[r] = map[Ref]bool{}
		}
		c.users[r][d.Ref] = true
	}
	for _, name := range d.Claims {
		c.claims[name] = d.Ref
	}
}

// drop takes a definition, which must be there, out of all indexes.
func (c *Catalogue) drop(r Ref) {
	d := c.byRef[r]
	delete(c.byRef, r)
	c.sorted = nil
	c.bytes -= sizeOf(d)
	if c.owned[d.ManagedBy]--; c.owned[d.ManagedBy] == 0 {
		delete(c.owned, d.ManagedBy)
	}
	for _, to := range d.References {
		if delete(c.users[to], r); len(c.users[to]) == 0 {
			delete(c.users, to)
		}
	}
	for _, name := range d.Claims {
		if c.claims[name] == r {
			delete(c.claims, name)
		}
	}
}

// remember keeps an answer for a proposal that arrives again.
func (c *Catalogue) remember(ch Change) {
	ch.Set, ch.Deleted = nil, nil
	if len(c.order) >= c.bounds.Answers {
		delete(c.answers, c.order[0])
		c.order = slices.Delete(c.order, 0, 1)
	}
	c.answers[ch.Proposal] = ch
	c.order = append(c.order, ch.Proposal)
}

// sizeOf is about how many bytes a definition takes in a snapshot.
func sizeOf(d *Definition) int { return len(d.Source) + len(d.Spec) + len(d.Compiled) + 512 }

// drafts encodes the answer and its events.
func drafts(ch Change, events []DefinitionEvent) ([]bus.Draft, error) {
	b, err := json.Marshal(ch)
	if err != nil {
		return nil, fmt.Errorf("encode change of proposal %s: %w", ch.Proposal, err)
	}
	out := append(make([]bus.Draft, 0, 1+len(events)), bus.Draft{Subject: SubjectChange, To: bus.All, Data: b})
	for i := range events {
		e := &events[i]
		b, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("encode event of %s: %w", e.Ref, err)
		}
		kind := strings.ToLower(e.Ref.Kind)
		out = append(out, bus.Draft{
			Subject: bus.EventSubject("mesh", "definition", e.GlobalNamespace, kind, e.Ref.Name),
			To:      bus.All,
			Event:   &bus.Event{Type: DefinitionEventType, Subject: e.GlobalNamespace + "/" + kind + "/" + e.Ref.Name},
			Data:    b,
		})
	}
	return out, nil
}
