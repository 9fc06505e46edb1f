package logtest

import (
	"bytes"
	"testing"

	"evenkeel.dev/bus"
)

// Play gives records to a stage and returns what it drafts.
func Play(t testing.TB, s bus.Stage, records []bus.Record) []bus.Draft {
	t.Helper()
	var out []bus.Draft
	for i := range records {
		r := records[i] // a stage may keep or change what it is given
		ds, err := s.Step(&r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ds...)
	}
	return out
}

// Restart is what a restart does to a stage: its state goes into fresh, which is returned. It must come out of that again as the same bytes;
// when says in a failure where the test was.
func Restart[S bus.Stage](t testing.TB, when string, old, fresh S) S {
	t.Helper()
	state, err := old.Snapshot()
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if err := fresh.Restore(state); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if again, err := fresh.Snapshot(); err != nil || !bytes.Equal(state, again) {
		t.Fatalf("%s: the snapshot of a restored stage is another one (%v)\n%s\n%s", when, err, state, again)
	}
	return fresh
}
