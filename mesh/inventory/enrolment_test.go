package inventory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

func tokenSum(n int) string { return fmt.Sprintf("%064x", n) }

func (w *world) attach(cluster string, token int, detach bool) {
	w.t.Helper()
	w.define(mesh.KindCluster, cluster, ClusterSpec{Name: cluster, Detach: detach, Agent: &AgentSpec{TokenSum: tokenSum(token), Expires: 1_800_000_000_000 + bus.Hour}})
}

// enrol asks, and returns the reason of the answer with what was told of it.
func (w *world) enrol(cluster string, token int, key string) (reason, told string) {
	w.t.Helper()
	out := w.step(SubjectEnrolment, EnrolmentRequest{Version: EnrolmentVersion, ID: "q", Cluster: cluster, TokenSum: tokenSum(token), Key: key, From: "192.0.2.1"})
	var a Enrolled
	var e EnrolmentEvent
	for _, d := range out {
		switch d.Subject {
		case SubjectEnrolled:
			if err := json.Unmarshal(d.Data, &a); err != nil {
				w.t.Fatal(err)
			}
		case bus.EventSubject("mesh", "enrolment", Organisation, cluster):
			if err := json.Unmarshal(d.Data, &e); err != nil {
				w.t.Fatal(err)
			}
			told = e.Action
		}
	}
	if a.ID != "q" || a.Cluster != cluster || a.Accepted != (a.Reason == EnrolmentAccepted || a.Reason == EnrolmentRepeated) {
		w.t.Fatalf("answer %+v", a)
	}
	if told != "" && (e.Reason != a.Reason || (told == ActionAccepted) != a.Accepted) {
		w.t.Fatalf("answer %+v, told %+v", a, e)
	}
	return a.Reason, told
}

// A token would open a cluster twice, too late or for somebody else, or its owner would be turned away (SAFETY 14).
func TestEnrolment(t *testing.T) {
	const accepted, refused = "accepted", "refused"
	hour := int(bus.Hour / bus.Second)
	for _, c := range []struct {
		name         string
		before       func(w *world)
		cluster      string
		token        int
		key          string
		reason, told string
	}{
		{"the right token", nil, "eu-1", 1, "UA", EnrolmentAccepted, accepted},
		{"no such cluster", nil, "eu-9", 1, "UA", RefusedNoCluster, refused},
		{"a cluster without an agent", func(w *world) { w.define(mesh.KindCluster, "eu-3", ClusterSpec{Name: "eu-3"}) }, "eu-3", 1, "UA", RefusedNoAgent, refused},
		{"a wrong token", nil, "eu-1", 7, "UA", RefusedTokenWrong, refused},
		{"the token of another cluster", nil, "eu-1", 2, "UA", RefusedTokenWrong, refused},
		{"no key", nil, "eu-1", 1, "", RefusedKeyMissing, refused},
		{"just in time", func(w *world) { w.tick(hour) }, "eu-1", 1, "UA", EnrolmentAccepted, accepted},
		{"too late", func(w *world) { w.tick(hour + 1) }, "eu-1", 1, "UA", RefusedExpired, refused},
		{"a second time, the same agent", func(w *world) { w.enrol("eu-1", 1, "UA") }, "eu-1", 1, "UA", EnrolmentRepeated, ""},
		{"the same agent after its token's end", func(w *world) { w.enrol("eu-1", 1, "UA"); w.tick(hour + 1) }, "eu-1", 1, "UA", EnrolmentRepeated, ""},
		{"a second time, another agent", func(w *world) { w.enrol("eu-1", 1, "UA") }, "eu-1", 1, "UB", RefusedTokenUsed, refused},
		{"another agent after the token's end", func(w *world) { w.enrol("eu-1", 1, "UA"); w.tick(hour + 1) }, "eu-1", 1, "UB", RefusedTokenUsed, refused},
		{"a key that speaks for another cluster", func(w *world) { w.enrol("eu-2", 2, "UA") }, "eu-1", 1, "UA", RefusedKeyTaken, refused},
		{"a cluster that is to leave", func(w *world) { w.attach("eu-1", 1, true) }, "eu-1", 1, "UA", RefusedDetaching, refused},
		{"a new token, a new agent", func(w *world) { w.enrol("eu-1", 1, "UA"); w.attach("eu-1", 3, false) }, "eu-1", 3, "UB", EnrolmentAccepted, accepted},
		{"the old token after a new one", func(w *world) { w.enrol("eu-1", 1, "UA"); w.attach("eu-1", 3, false) }, "eu-1", 1, "UA", RefusedTokenWrong, refused},
		{"a used token, the cluster defined again", func(w *world) {
			w.enrol("eu-1", 1, "UA")
			w.undefine(mesh.KindCluster, "eu-1")
			w.attach("eu-1", 1, false)
		}, "eu-1", 1, "UB", RefusedTokenUsed, refused},
	} {
		w := newWorld(t)
		w.attach("eu-1", 1, false)
		w.attach("eu-2", 2, false)
		if c.before != nil {
			c.before(w)
		}
		if reason, told := w.enrol(c.cluster, c.token, c.key); reason != c.reason || told != c.told {
			t.Errorf("%s: %s, told %q; want %s, %q", c.name, reason, told, c.reason, c.told)
		}
	}
}

// An agent would keep its right after its cluster was taken away or given to another, or lose it in a restart.
func TestAgents(t *testing.T) {
	w := newWorld(t)
	agents := func() string {
		var all []string
		for _, a := range w.s.Agents() {
			all = append(all, a.Cluster+"="+a.Key)
		}
		return strings.Join(all, " ")
	}
	want := func(what, all string) {
		t.Helper()
		if got := agents(); got != all {
			t.Errorf("%s: %q may speak, want %q", what, got, all)
		}
		before, err := w.s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.s.Restore(before); err != nil {
			t.Fatal(err)
		}
		after, err := w.s.Snapshot()
		if err != nil || !bytes.Equal(before, after) || agents() != all {
			t.Errorf("%s: another state after a restart: %v\n%s", what, err, cmp.Diff(string(before), string(after)))
		}
	}
	w.attach("eu-2", 2, false)
	w.attach("eu-1", 1, false)
	want("nobody has enrolled", "")
	w.enrol("eu-2", 2, "UB")
	w.enrol("eu-1", 1, "UA")
	w.enrol("eu-1", 1, "UC")
	want("both have enrolled, and a thief", "eu-1=UA eu-2=UB")
	w.attach("eu-2", 2, true)
	want("one shall leave", "eu-1=UA eu-2=UB")
	w.attach("eu-1", 5, false)
	want("a new token", "eu-2=UB")
	w.undefine(mesh.KindCluster, "eu-2")
	want("the other one has left", "")
	w.tick(2 * int(bus.Hour/bus.Second))
	w.attach("eu-2", 6, false)
	if n := len(w.s.enrolments); n != 0 {
		t.Errorf("%d enrolments are kept whose tokens nobody can use", n)
	}
}

// A request that is no request would stop the stage, or fill the log with what nobody can read.
func TestEnrolmentUndecodable(t *testing.T) {
	w := newWorld(t)
	for _, q := range []any{[]byte("{"), EnrolmentRequest{Version: 2, Cluster: "eu-1"}, EnrolmentRequest{Version: 1}, EnrolmentRequest{Version: 1, Cluster: strings.Repeat("x", 300)}} {
		if out := w.step(SubjectEnrolment, q); len(out) != 0 {
			t.Errorf("%v: %s", q, lines(out))
		}
	}
	if n := w.s.Stats().Undecodable; n != 4 {
		t.Errorf("%d are counted", n)
	}
}

// A cluster that leaves would stay for ever, or be given up before its agent has had the time to leave.
func TestLeaving(t *testing.T) {
	w := newWorld(t)
	leaving := func(what string, want ...string) {
		t.Helper()
		if got := w.s.Leaving(); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v may go, want %v", what, got, want)
		}
	}
	for i, name := range []string{"a", "b", "c", "d"} {
		w.attach(name, i+1, false)
		if name != "c" {
			w.enrol(name, i+1, "U"+name)
			w.see(listing(name, "o", pod("cart-1", "v1", StateHealthy)))
		}
	}
	leaving("nobody is asked to")
	for i, name := range []string{"a", "b", "c"} {
		w.attach(name, i+1, true)
	}
	leaving("no agent speaks for c", "c")
	w.see(Observation{Cluster: "a", Observer: "bye", Phase: PhaseLeft})
	leaving("a has said so", "a", "c")
	w.tick(int(DetachTimeout / bus.Second))
	leaving("b may still come", "a", "c")
	w.tick(2)
	leaving("b is given up", "a", "b", "c")
	for _, name := range []string{"a", "b", "c"} {
		w.undefine(mesh.KindCluster, name)
	}
	leaving("all have left")
	if got := w.s.Clusters(); len(got) != 1 || got[0].Name != "d" {
		t.Errorf("left behind: %+v", got)
	}
	if got := w.s.Standing("d"); got.Observer != "o" || got.Spec == nil || got.Missed || w.s.Standing("a").Spec != nil {
		t.Errorf("%+v", got)
	}
}
