package mesh_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

var update = flag.Bool("update", false, "write golden files")

func ref(kind, name string) mesh.Ref {
	return mesh.Ref{APIVersion: "openslo/v1", Kind: kind, Namespace: "default", Name: name}
}

// define makes a definition whose text is told by version and that refers to others.
func define(kind, name, version string, refs ...mesh.Ref) mesh.Definition {
	spec := json.RawMessage(fmt.Sprintf(`{"kind":%q,"name":%q,"version":%q}`, kind, name, version))
	return mesh.Definition{
		Ref: ref(kind, name), GlobalNamespace: "default", Spec: spec, Digest: mesh.Digest(spec),
		Source: "version: " + version + "\n", Compiled: json.RawMessage(fmt.Sprintf(`{"v":%q}`, version)), References: refs,
	}
}

// A desk proposes to a catalogue and counts sequence and time.
type desk struct {
	t   *testing.T
	c   *mesh.Catalogue
	seq uint64
	now bus.Time
}

func newDesk(t *testing.T, b mesh.Bounds) *desk {
	return &desk{t: t, c: mesh.NewCatalogue(b), now: 1_700_000_000_000}
}

func (d *desk) send(data []byte) []bus.Draft {
	d.t.Helper()
	d.seq++
	d.now += bus.Second
	out, err := d.c.Step(&bus.Record{Seq: d.seq, Time: d.now, Subject: mesh.SubjectProposal, Data: data})
	if err != nil {
		d.t.Fatalf("step: %v", err)
	}
	return out
}

func (d *desk) propose(p mesh.Proposal) (mesh.Change, []mesh.DefinitionEvent) {
	d.t.Helper()
	if p.ID == "" {
		p.ID = fmt.Sprintf("p%d", d.seq+1)
	}
	if p.ManagedBy == "" {
		p.ManagedBy, p.Author = "api", "ann"
	}
	data, err := json.Marshal(p)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.read(d.send(data))
}

func (d *desk) read(ds []bus.Draft) (mesh.Change, []mesh.DefinitionEvent) {
	d.t.Helper()
	var ch mesh.Change
	var events []mesh.DefinitionEvent
	if len(ds) == 0 || ds[0].Subject != mesh.SubjectChange || ds[0].To != bus.All {
		d.t.Fatalf("the first draft is no change to all: %+v", ds)
	}
	if err := json.Unmarshal(ds[0].Data, &ch); err != nil {
		d.t.Fatal(err)
	}
	for _, dr := range ds[1:] {
		var e mesh.DefinitionEvent
		if err := json.Unmarshal(dr.Data, &e); err != nil {
			d.t.Fatal(err)
		}
		if dr.Event == nil || dr.Event.Type != mesh.DefinitionEventType {
			d.t.Fatalf("event without its type: %+v", dr)
		}
		events = append(events, e)
	}
	return ch, events
}

// want checks the reason of an answer.
func (d *desk) want(p mesh.Proposal, reason, message string) mesh.Change {
	d.t.Helper()
	ch, _ := d.propose(p)
	if ch.Reason != reason || !strings.Contains(ch.Message, message) {
		d.t.Fatalf("answer %s %q, want %s %q", ch.Reason, ch.Message, reason, message)
	}
	if ch.Accepted != (reason == mesh.ReasonAccepted || reason == mesh.ReasonUnchanged) {
		d.t.Fatalf("accepted is %t with reason %s", ch.Accepted, ch.Reason)
	}
	return ch
}

// A change would not reach stages or subscribers, or would carry a wrong generation.
func TestChangesAndEvents(t *testing.T) {
	d := newDesk(t, mesh.Bounds{})
	sli := define("SLI", "good", "1")
	slo := define("SLO", "checkout", "1", sli.Ref)
	ch, events := d.propose(mesh.Proposal{Set: []mesh.Definition{slo, sli}})
	if !ch.Accepted || ch.Revision != 1 || len(ch.Set) != 2 || ch.Set[0].Kind != "SLI" || ch.Set[0].Generation != 1 {
		t.Fatalf("change: %+v", ch)
	}
	if len(events) != 2 || events[1].Action != mesh.ActionCreated || events[1].Author != "ann" || events[1].Digest != slo.Digest {
		t.Fatalf("events: %+v", events)
	}

	// Only the text between the fields changed: a revision, no generation.
	slo.Source += "# comment\n"
	ch, events = d.propose(mesh.Proposal{Set: []mesh.Definition{slo, sli}})
	if len(ch.Set) != 1 || ch.Set[0].Revision != 2 || ch.Set[0].Generation != 1 || len(events) != 1 || events[0].Action != mesh.ActionUpdated {
		t.Fatalf("change of a comment: %+v %+v", ch, events)
	}

	ch, _ = d.propose(mesh.Proposal{Set: []mesh.Definition{define("SLO", "checkout", "2", sli.Ref)}})
	if ch.Set[0].Generation != 2 || d.c.Revision() != 3 {
		t.Fatalf("change of the spec: %+v", ch)
	}
	ch, events = d.propose(mesh.Proposal{Delete: []mesh.Ref{slo.Ref}})
	if len(ch.Deleted) != 1 || events[0].Action != mesh.ActionDeleted || events[0].Generation != 2 {
		t.Fatalf("deletion: %+v %+v", ch, events)
	}
	if _, ok := d.c.Get(slo.Ref); ok || len(d.c.List()) != 1 {
		t.Fatal("the deleted definition is still there")
	}
}

// The subject of an event would not be the one that is promised to subscribers.
func TestEventSubject(t *testing.T) {
	d := newDesk(t, mesh.Bounds{})
	def := define("SLO", "checkout", "1")
	def.GlobalNamespace = "shop"
	data, err := json.Marshal(mesh.Proposal{ID: "a", ManagedBy: "api", Set: []mesh.Definition{def}})
	if err != nil {
		t.Fatal(err)
	}
	out := d.send(data)
	if got := bus.PublicSubject(out[1].Subject); got != "evenkeel.mesh.definition.shop.slo.checkout" {
		t.Errorf("subject %s", got)
	}
	if got := out[1].Event.Subject; got != "shop/slo/checkout" {
		t.Errorf("event subject %s", got)
	}
}

// A proposal that is sent twice, since its answer was lost, would change things twice.
func TestRepeatedAndUnchanged(t *testing.T) {
	d := newDesk(t, mesh.Bounds{Answers: 2})
	p := mesh.Proposal{ID: "one", Set: []mesh.Definition{define("SLO", "a", "1")}}
	first := d.want(p, mesh.ReasonAccepted, "")
	d.want(mesh.Proposal{ID: "two", Set: []mesh.Definition{define("SLO", "a", "2")}}, mesh.ReasonAccepted, "")
	again := d.want(p, mesh.ReasonAccepted, "")
	if again.Revision != first.Revision || len(again.Set) != 0 || d.c.Revision() != 2 {
		t.Fatalf("repeated: %+v, catalogue at %d", again, d.c.Revision())
	}
	d.want(mesh.Proposal{Set: []mesh.Definition{define("SLO", "a", "2")}}, mesh.ReasonUnchanged, "")
	d.want(mesh.Proposal{Delete: []mesh.Ref{ref("SLO", "nothing")}}, mesh.ReasonUnchanged, "")
	if d.c.Revision() != 2 {
		t.Fatalf("an unchanged proposal raised the revision to %d", d.c.Revision())
	}
	if s := d.c.Stats(); s.Repeated != 1 || s.Unchanged != 2 || s.Accepted != 2 {
		t.Errorf("stats: %+v", s)
	}
}

// Somebody's change would overwrite another's that he has not seen, or take an object from its owner.
func TestConflictAndOwnership(t *testing.T) {
	d := newDesk(t, mesh.Bounds{})
	a := define("SLO", "a", "1")
	d.want(mesh.Proposal{ManagedBy: "dir:config", Author: "dir", Set: []mesh.Definition{a}}, mesh.ReasonAccepted, "")
	d.want(mesh.Proposal{ManagedBy: "dir:config", Set: []mesh.Definition{a}, Expect: []mesh.Expectation{{Ref: a.Ref}}}, mesh.ReasonConflict, "exists already")
	d.want(mesh.Proposal{ManagedBy: "dir:config", Set: []mesh.Definition{a}, Expect: []mesh.Expectation{{Ref: a.Ref, Revision: 7}}}, mesh.ReasonConflict, "at revision 1 and not 7")
	d.want(mesh.Proposal{ManagedBy: "dir:config", Set: []mesh.Definition{a}, Expect: []mesh.Expectation{{Ref: ref("SLO", "b"), Revision: 1}}}, mesh.ReasonConflict, "was deleted")
	d.want(mesh.Proposal{Set: []mesh.Definition{define("SLO", "a", "2")}}, mesh.ReasonOwnedByOther, "dir:config")
	d.want(mesh.Proposal{Delete: []mesh.Ref{a.Ref}}, mesh.ReasonOwnedByOther, "dir:config")

	// Compiled anew because of something else: the owner stays.
	a.Compiled = json.RawMessage(`{"v":"other"}`)
	ch := d.want(mesh.Proposal{Set: []mesh.Definition{a}}, mesh.ReasonAccepted, "")
	if ch.Set[0].ManagedBy != "dir:config" || ch.Set[0].Author != "dir" || ch.Set[0].Generation != 2 {
		t.Fatalf("compiled anew: %+v", ch.Set[0])
	}
	ch = d.want(mesh.Proposal{TakeOwnership: true, Set: []mesh.Definition{a}}, mesh.ReasonAccepted, "")
	if ch.Set[0].ManagedBy != "api" {
		t.Fatalf("ownership was not taken: %+v", ch.Set[0])
	}
	d.want(mesh.Proposal{ManagedBy: "dir:config", Delete: []mesh.Ref{a.Ref}}, mesh.ReasonOwnedByOther, "api")
}

// An SLO would be left without the SLI it counts by, or a stage would get two objectives of one name.
func TestReferencesAndClaims(t *testing.T) {
	d := newDesk(t, mesh.Bounds{})
	sli := define("SLI", "good", "1")
	slo := define("SLO", "checkout", "1", sli.Ref)
	slo.Claims = []string{"slo/default/shop/checkout"}
	d.want(mesh.Proposal{Set: []mesh.Definition{slo}}, mesh.ReasonMissingReference, "SLO default/checkout refers to SLI default/good")
	d.want(mesh.Proposal{Set: []mesh.Definition{slo, sli}}, mesh.ReasonAccepted, "")
	d.want(mesh.Proposal{Delete: []mesh.Ref{sli.Ref}}, mesh.ReasonReferenced, "SLO default/checkout")
	d.want(mesh.Proposal{Set: []mesh.Definition{define("SLO", "checkout", "2", sli.Ref)}, Delete: []mesh.Ref{sli.Ref}}, mesh.ReasonReferenced, "the same proposal deletes")

	other := define("SLO", "other", "1")
	other.Claims = slo.Claims
	d.want(mesh.Proposal{Set: []mesh.Definition{other}}, mesh.ReasonConflict, "slo/default/shop/checkout")
	// The one that held the name lets it go in the same proposal.
	d.want(mesh.Proposal{Set: []mesh.Definition{other}, Delete: []mesh.Ref{slo.Ref}}, mesh.ReasonAccepted, "")
	d.want(mesh.Proposal{Delete: []mesh.Ref{sli.Ref}}, mesh.ReasonAccepted, "")
	d.want(mesh.Proposal{Set: []mesh.Definition{slo, sli}}, mesh.ReasonConflict, "SLO default/other")
}

// An unmounted folder, or a cluster that was set up anew, would delete all objectives of a company, at once or one by one.
func TestHalfAtOnce(t *testing.T) {
	for _, source := range []string{"dir:config", "cluster:eu-1"} {
		t.Run(source, func(t *testing.T) { halfAtOnce(t, source) })
	}
}

func halfAtOnce(t *testing.T, source string) {
	d := newDesk(t, mesh.Bounds{})
	var set []mesh.Definition
	for i := range 6 {
		set = append(set, define("SLO", fmt.Sprintf("s%d", i), "1"))
	}
	dir := mesh.Proposal{ManagedBy: source, Set: set}
	d.want(dir, mesh.ReasonAccepted, "")
	remove := func(from, to int) mesh.Proposal {
		p := mesh.Proposal{ManagedBy: source}
		for i := from; i < to; i++ {
			p.Delete = append(p.Delete, set[i].Ref)
		}
		return p
	}
	d.want(remove(0, 4), mesh.ReasonTooManyDeletions, "4 of the 6")
	d.want(remove(0, 3), mesh.ReasonAccepted, "")
	d.want(remove(3, 4), mesh.ReasonTooManyDeletions, "4 of the 6")
	d.now += 10 * bus.Minute
	d.want(remove(3, 4), mesh.ReasonAccepted, "") // it owns three now, and the window is over
	p := remove(4, 6)
	p.Confirmed = true
	d.want(p, mesh.ReasonAccepted, "")
	d.want(dir, mesh.ReasonAccepted, "")
	byPerson := remove(0, 6)
	byPerson.ManagedBy, byPerson.TakeOwnership = "api", true
	d.want(byPerson, mesh.ReasonAccepted, "") // who names each by hand means it
}

// One proposal would stop the stage, or fill the memory of all processes.
func TestBadProposals(t *testing.T) {
	d := newDesk(t, mesh.Bounds{Definitions: 3, DefinitionBytes: 2000, ProposalBytes: 8000, ProposalDefinitions: 4, Bytes: 3000})
	good := define("SLO", "a", "1")
	for _, c := range []struct {
		data, id, reason, message string
	}{
		{`{"id":"x1","set":[{]`, "", mesh.ReasonInvalid, "cannot be read"},
		{`{"id":"x2","sett":[]}`, "x2", mesh.ReasonInvalid, `unknown field "sett"`},
		{`{"id":"x3"}`, "x3", mesh.ReasonInvalid, "managing source"},
		{`{"managedBy":"api"}`, "", mesh.ReasonInvalid, "no id"},
		{`{"id":"` + strings.Repeat("i", 200) + `","managedBy":"api"}`, "", mesh.ReasonInvalid, "no id"},
		{strings.Repeat(" ", 9000), "", mesh.ReasonTooMany, "9000 bytes"},
	} {
		ch, _ := d.read(d.send([]byte(c.data)))
		if ch.Accepted || ch.Reason != c.reason || !strings.Contains(ch.Message, c.message) || ch.Proposal != c.id {
			t.Errorf("%.40s: %+v", c.data, ch)
		}
	}
	broken := good
	broken.Digest = mesh.Digest([]byte("other"))
	d.want(mesh.Proposal{Set: []mesh.Definition{broken}}, mesh.ReasonInvalid, "digest")
	nameless := good
	nameless.Name = ""
	d.want(mesh.Proposal{Set: []mesh.Definition{nameless}}, mesh.ReasonInvalid, "must all be set")
	d.want(mesh.Proposal{Set: []mesh.Definition{good, good}}, mesh.ReasonInvalid, "twice")
	d.want(mesh.Proposal{Set: []mesh.Definition{good}, Delete: []mesh.Ref{good.Ref}}, mesh.ReasonInvalid, "twice")
	large := good
	large.Source = strings.Repeat("x", 2000)
	d.want(mesh.Proposal{Set: []mesh.Definition{large}}, mesh.ReasonTooMany, "at most 2000")
	many := mesh.Proposal{Set: []mesh.Definition{good, define("SLO", "b", "1"), define("SLO", "c", "1"), define("SLO", "d", "1")}}
	d.want(many, mesh.ReasonTooMany, "its bound is 3")
	many.Delete = []mesh.Ref{ref("SLO", "e")}
	d.want(many, mesh.ReasonTooMany, "propose in parts")
	for _, name := range []string{"a", "b"} {
		def := define("SLO", name, "1")
		def.Source = strings.Repeat("x", 700)
		d.want(mesh.Proposal{Set: []mesh.Definition{def}}, mesh.ReasonAccepted, "")
	}
	def := define("SLO", "c", "1")
	def.Source = strings.Repeat("x", 700)
	d.want(mesh.Proposal{Set: []mesh.Definition{def}}, mesh.ReasonTooMany, "the bound is 3000")
	if d.c.Revision() != 2 {
		t.Errorf("what was refused raised the revision to %d", d.c.Revision())
	}
}

// A folder of more definitions than fit into one proposal would never be loaded, or in an order that is refused.
func TestProposeInParts(t *testing.T) {
	b := mesh.Bounds{ProposalBytes: 6000, ProposalDefinitions: 10}
	d := newDesk(t, b)
	w := mesh.Wish{Author: "dir", ManagedBy: "dir:config"}
	for i := range 30 {
		sli := define("SLI", fmt.Sprintf("i%02d", i), "1")
		w.Set = append(w.Set, define("SLO", fmt.Sprintf("o%02d", i), "1", sli.Ref), sli)
	}
	run := func(w mesh.Wish) (parts int) {
		t.Helper()
		for {
			w.ID = fmt.Sprintf("w%d", d.seq)
			p, more, err := mesh.Propose(w, d.c.List(), b)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Set)+len(p.Delete) == 0 {
				return parts
			}
			if parts++; parts > 100 {
				t.Fatal("it never ends")
			}
			d.want(p, mesh.ReasonAccepted, "")
			if !more {
				return parts
			}
		}
	}
	if parts := run(w); parts < 6 || len(d.c.List()) != 60 {
		t.Fatalf("%d parts, %d definitions", parts, len(d.c.List()))
	}
	if parts := run(w); parts != 0 {
		t.Fatalf("what stands already is proposed again, in %d parts", parts)
	}
	var gone []mesh.Ref
	for _, s := range w.Set[:2] {
		gone = append(gone, s.Ref)
	}
	run(mesh.Wish{Author: "dir", ManagedBy: "dir:config", Set: []mesh.Definition{define("SLO", "o02", "2", ref("SLI", "i02"))}, Delete: gone})
	if len(d.c.List()) != 58 {
		t.Fatalf("%d definitions after the deletion", len(d.c.List()))
	}

	// Somebody else was faster: the answer is a conflict and not a lost change.
	read := d.c.List()
	d.want(mesh.Proposal{ManagedBy: "dir:config", Set: []mesh.Definition{define("SLO", "o03", "2", ref("SLI", "i03"))}}, mesh.ReasonAccepted, "")
	p, _, err := mesh.Propose(mesh.Wish{ID: "late", ManagedBy: "dir:config", Set: []mesh.Definition{define("SLO", "o03", "3", ref("SLI", "i03"))}}, read, b)
	if err != nil {
		t.Fatal(err)
	}
	d.want(p, mesh.ReasonConflict, "SLO default/o03")
}

// inside makes a definition that stands in a global namespace; the kind GlobalNamespace defines one.
func inside(kind, name, gns string, refs ...mesh.Ref) mesh.Definition {
	d := define(kind, name, "1", refs...)
	d.GlobalNamespace = gns
	if kind == mesh.KindGlobalNamespace.Kind {
		d.APIVersion = mesh.KindGlobalNamespace.APIVersion
	}
	return d
}

// A boundary would vanish from under the objectives that stand in it; or a cascade would take what nobody was shown.
func TestGlobalNamespaceIsNotDeletedFromUnderOthers(t *testing.T) {
	d := newDesk(t, mesh.Bounds{})
	shop, slo, exclusion := inside("GlobalNamespace", "shop", "shop"), inside("SLO", "checkout", "shop"), inside("Exclusion", "night", "shop")
	d.want(mesh.Proposal{Set: []mesh.Definition{slo}}, mesh.ReasonAccepted, "") // names what nobody has defined
	d.want(mesh.Proposal{Set: []mesh.Definition{shop, exclusion, inside("SLO", "else", "other")}}, mesh.ReasonAccepted, "")
	d.want(mesh.Proposal{Delete: []mesh.Ref{shop.Ref}}, mesh.ReasonInhabited, "2 definitions stand in it: Exclusion default/night, SLO default/checkout")
	d.want(mesh.Proposal{Delete: []mesh.Ref{shop.Ref, slo.Ref}}, mesh.ReasonInhabited, "Exclusion default/night stands in it")
	// What comes in the same proposal counts, and what goes elsewhere does not.
	d.want(mesh.Proposal{Delete: []mesh.Ref{shop.Ref, slo.Ref, exclusion.Ref}, Set: []mesh.Definition{inside("SLO", "new", "shop")}}, mesh.ReasonInhabited, "SLO default/new stands in it")
	all := mesh.Inside(shop.Ref, d.c.List())
	if len(all) != 3 || all[2] != shop.Ref {
		t.Errorf("inside: %v", all)
	}
	if no := mesh.Inhabited(&mesh.Proposal{Delete: all}, d.c.List()); no != "" {
		t.Errorf("all together: %s", no)
	}
	if no := mesh.Inhabited(&mesh.Proposal{Delete: all[2:]}, d.c.List()); !strings.Contains(no, "2 definitions") {
		t.Errorf("dry run: %q", no)
	}
	moved := inside("Exclusion", "night", "other")
	ch, events := d.propose(mesh.Proposal{Delete: []mesh.Ref{slo.Ref, shop.Ref}, Set: []mesh.Definition{moved}})
	if !ch.Accepted || len(ch.Deleted) != 2 || len(events) != 3 {
		t.Errorf("%+v, %d events", ch, len(events))
	}
	// From one namespace of metadata to another it is the same global namespace.
	again := inside("GlobalNamespace", "shop", "shop")
	again.Namespace = "platform"
	d.want(mesh.Proposal{Set: []mesh.Definition{shop, slo}}, mesh.ReasonAccepted, "")
	d.want(mesh.Proposal{Set: []mesh.Definition{again}, Delete: []mesh.Ref{shop.Ref}}, mesh.ReasonAccepted, "")
}
