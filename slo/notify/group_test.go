package notify

import (
	"fmt"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// grouped is a world with one target that groups by service.
func grouped(t *testing.T, c Config) *world {
	w := newWorld(t, c)
	w.target("shop", "chat", TypeSlack, func(t *Target) { t.GroupBy, t.GroupWait = []string{GroupByService}, slo.Duration(10*bus.Second) })
	return w
}

func (w *world) named(id, state, name string) {
	w.t.Helper()
	e := testAlert(id, state, w.now)
	e.SLO = name
	w.event(e)
}

func (w *world) wantSent(want string) []Delivery {
	w.t.Helper()
	ds := w.take()
	if got := brief(ds); got != want {
		w.t.Fatalf("ordered %s, want %s", got, want)
	}
	return ds
}

func TestGroups(t *testing.T) {
	// One outage would be told in as many messages as there are SLOs; or some of them in none.
	w := grouped(t, Config{})
	w.named("a1", slo.AlertFiring, "x")
	w.seconds(5)
	w.named("a2", slo.AlertFiring, "y")
	other := testAlert("b1", slo.AlertFiring, w.now)
	other.Service = "payments"
	w.event(other)
	w.none()
	w.seconds(4)
	w.named("a3", slo.AlertFiring, "z")
	w.named("a3", slo.AlertResolved, "z") // over before anything was told
	w.seconds(1)
	first := w.wantSent("[chat a1:firing a2:firing +0 1]")[0]
	w.seconds(5)
	second := w.wantSent("[chat b1:firing +0 1]")[0]
	if w.lates() != 1 {
		t.Errorf("%d late", w.lates())
	}
	w.result(first, OutcomeDelivered, nil)
	w.result(second, OutcomeDelivered, nil)
	w.named("a1", slo.AlertResolved, "x")
	w.seconds(9)
	w.named("a4", slo.AlertFiring, "v")
	w.seconds(1)
	mixed := w.wantSent("[chat a4:firing a1:resolved +0 1]")[0]
	if mixed.Replies[0] != first.ID || mixed.Key() != first.Key() {
		t.Errorf("answers to %v", mixed.Replies)
	}
	w.result(mixed, OutcomeDelivered, nil)
	w.seconds(600)
	w.none()
	if len(w.s.alerts) != 3 || len(w.s.groups) != 0 || w.s.Stats().Groups != 3 || w.s.Stats().Grouped != 5 {
		t.Errorf("%d alerts, %d groups, %+v", len(w.s.alerts), len(w.s.groups), w.s.Stats())
	}
	checkIndexes(t, w.s)
}

func TestGroupIsTriedAgainAsOne(t *testing.T) {
	// A receiver that was away for a second would get a message for each alert.
	w := grouped(t, Config{MaxAttempts: 3})
	for i := range 5 {
		w.named(fmt.Sprint("a", i), slo.AlertFiring, fmt.Sprint("slo", i))
	}
	w.seconds(10)
	d := w.wantSent("[chat a0:firing a1:firing a2:firing a3:firing a4:firing +0 1]")[0]
	w.result(d, OutcomeRetry, nil)
	w.seconds(1)
	again := w.wantSent("[chat a0:firing a1:firing a2:firing a3:firing a4:firing +0 2]")[0]
	if again.ID != d.ID {
		t.Error("the repetition has another ID")
	}
	w.seconds(60) // no result
	third := w.wantSent("[chat a0:firing a1:firing a2:firing a3:firing a4:firing +0 3]")[0]
	w.result(again, OutcomeDelivered, nil) // late: it got there all the same
	w.named("a0", slo.AlertResolved, "slo0")
	w.result(third, OutcomeRetry, nil)
	w.seconds(2)
	ds := w.take()
	if len(ds) > 2 {
		t.Fatalf("ordered %s", brief(ds))
	}
	for _, d := range ds {
		w.result(d, OutcomeRejected, nil)
	}
	w.seconds(10)
	for _, d := range w.take() {
		w.result(d, OutcomeRejected, nil)
	}
	dead := events[DeadEvent](w, DeadEventType)
	if len(dead) != 5 || len(w.s.dead.list) != 5 {
		t.Errorf("%d dead letters: each alert of a group has its own", len(dead))
	}
	checkIndexes(t, w.s)
}

func TestGroupsAreBounded(t *testing.T) {
	// A storm would make a message that no receiver takes, or that the log refuses.
	w := grouped(t, Config{GroupMax: 3, GroupBytesMax: 1 << 20})
	for i := range 10 {
		w.named(fmt.Sprint("a", i), slo.AlertFiring, fmt.Sprint("slo", i))
	}
	w.seconds(10)
	d := w.wantSent("[chat a0:firing a1:firing a2:firing +7 1]")[0]
	w.result(d, OutcomeDelivered, nil)
	for _, a := range w.s.alerts {
		if !a.Pairs[0].Told {
			t.Errorf("%s is counted in the message and not told", a.Event.ID)
		}
	}
	small := grouped(t, Config{GroupBytesMax: 1})
	small.named("a1", slo.AlertFiring, "x")
	small.named("a2", slo.AlertFiring, "y")
	small.seconds(10)
	small.wantSent("[chat a1:firing +1 1]") // one at least
}

func TestWhatHappensWhileAGroupWaits(t *testing.T) {
	// A silence or a page that comes meanwhile would hold nothing; a target that changes would never be told.
	w := grouped(t, Config{})
	w.tier("t1", slo.AlertFiring, "ticket")
	w.tier("p1", slo.AlertFiring, "page")
	w.named("a1", slo.AlertFiring, "x")
	w.silence("s1", bus.Minute, func(r *SilenceRequest) { r.SLO = "x" })
	w.seconds(10)
	d := w.wantSent("[chat p1:firing +0 1]")[0]
	w.wantHolds("a1 Silenced s1", "t1 Inhibited")
	w.result(d, OutcomeDelivered, nil)
	w.seconds(50) // the silence ends
	w.none()
	w.target("shop", "chat", TypeSlack, nil)
	w.seconds(10)
	w.wantSent("[chat firing 1 a1]")
	w.tier("p1", slo.AlertResolved, "page")
	w.wantSent("[chat resolved 1 p1]")
	w.seconds(1)
	w.wantSent("[chat firing 1 t1]")
	checkIndexes(t, w.s)
}

func TestTargetGoesWhileAGroupWaits(t *testing.T) {
	// The stage would stop at a group without a target.
	w := grouped(t, Config{})
	w.named("a1", slo.AlertFiring, "x")
	w.removeTarget("shop", "chat")
	w.seconds(20)
	w.none()
	if len(w.s.groups) != 0 {
		t.Error("the group is kept")
	}
}

func TestManyGroupsAtOnce(t *testing.T) {
	// One step would give more orders than the log takes in a batch.
	w := grouped(t, Config{PerTickMax: 2})
	for i := range 5 {
		e := testAlert(fmt.Sprint("a", i), slo.AlertFiring, w.now)
		e.Service = fmt.Sprint("service", i)
		w.event(e)
	}
	w.seconds(10)
	for _, want := range []int{2, 2, 1, 0} {
		if ds := w.take(); len(ds) != want {
			t.Errorf("%d orders, want %d", len(ds), want)
		}
		w.seconds(1)
	}
}
