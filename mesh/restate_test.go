package mesh_test

import (
	"encoding/json"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// If it fails, a stage that has lost a change of definitions never hears of it again: its SLOs are gone without a word.
func TestCatalogueRestates(t *testing.T) {
	d := newDesk(t, mesh.Bounds{ProposalBytes: 4096})
	step := func(subject string) []mesh.Change {
		t.Helper()
		d.seq++
		d.now += bus.Second
		out, err := d.c.Step(&bus.Record{Seq: d.seq, Time: d.now, Subject: subject})
		if err != nil {
			t.Fatal(err)
		}
		var cs []mesh.Change
		for _, dr := range out {
			var c mesh.Change
			if err := json.Unmarshal(dr.Data, &c); err != nil || dr.Subject != mesh.SubjectChange || dr.Event != nil {
				t.Fatalf("draft %s (%v): %v", dr.Subject, dr.Event, err)
			}
			cs = append(cs, c)
		}
		return cs
	}
	if cs := append(step(bus.SubjectGap), step(bus.SubjectTick)...); len(cs) != 0 {
		t.Errorf("an empty catalogue restates %d changes", len(cs))
	}
	for _, n := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		d.propose(mesh.Proposal{Set: []mesh.Definition{define("SLO", n, "1")}})
	}
	if cs := step(bus.SubjectTick); len(cs) != 0 {
		t.Errorf("a tick alone restates %d changes", len(cs))
	}
	for _, cause := range []string{bus.SubjectGap, bus.SubjectRepair} {
		before := d.c.Revision()
		if cs := append(step(cause), step(cause)...); len(cs) != 0 {
			t.Errorf("%s: restated before the tick", cause)
		}
		state, err := d.c.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.c.Restore(state); err != nil { // what is due survives a restart
			t.Fatal(err)
		}
		cs := step(bus.SubjectTick)
		names := ""
		for _, c := range cs {
			if !c.Accepted || c.Reason != mesh.ReasonRestated || c.Revision != before+1 || len(c.Deleted) > 0 {
				t.Errorf("%s: change %+v", cause, c)
			}
			for _, def := range c.Set {
				names += def.Name
				if def.Source != "" || len(def.Compiled) == 0 || def.Revision == c.Revision {
					t.Errorf("%s: definition %+v", cause, def)
				}
			}
		}
		if names != "abcdefghij" || len(cs) < 2 {
			t.Errorf("%s: %d changes restate %q", cause, len(cs), names)
		}
		if cs := step(bus.SubjectTick); len(cs) != 0 {
			t.Errorf("%s: restated twice", cause)
		}
	}
}
