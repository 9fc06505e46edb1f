package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"evenkeel.dev/slo"
	"github.com/google/go-cmp/cmp"
)

func TestBounds(t *testing.T) {
	// A storm of alerts would eat the memory of the process and with it all SLOs.
	w := newWorld(t, Config{AlertsMax: 10, DeadMax: 5, PerTickMax: 3})
	w.target("shop", "oncall", TypeSlack, nil)
	for i := range 30 {
		e := testAlert(fmt.Sprint("a", i), slo.AlertFiring, w.now)
		e.SLO = fmt.Sprint("slo", i)
		w.event(e)
	}
	st := w.s.Stats()
	if diff := cmp.Diff([]uint64{20, 20, 15}, []uint64{st.Overload, st.Dead, st.DeadDropped}); diff != "" {
		t.Error(diff)
	}
	if len(w.s.alerts) != 10 || len(w.s.dead.list) != 5 || w.s.dead.list[0].Alert.ID != "a25" {
		t.Errorf("%d alerts, %d dead letters", len(w.s.alerts), len(w.s.dead.list))
	}
	w.take()
	w.seconds(60)
	if n := len(w.take()); n != 3 {
		t.Errorf("%d orders by one tick", n)
	}
	w.seconds(3)
	if n := len(w.take()); n != 7 {
		t.Errorf("%d orders by the next", n)
	}
	big := testAlert("big", slo.AlertFiring, w.now)
	big.Annotations = map[string]string{"a": strings.Repeat("x", 100<<10)}
	w.s.c.AlertsMax = 100
	w.event(big)
	if dead := w.s.dead.list[4]; dead.Alert.ID != "big" || dead.Reason != DeadOverload || dead.Alert.Annotations != nil {
		t.Error("an event of 100 KiB is kept")
	}
}

func TestPairsAreBounded(t *testing.T) {
	// Alerts that name very many targets would eat the memory within the count of alerts.
	w := newWorld(t, Config{PairsMax: 3})
	for _, name := range []string{"a", "b"} {
		w.target("shop", name, TypeSlack, nil)
	}
	for i := range 3 {
		e := testAlert(fmt.Sprint("a", i), slo.AlertFiring, w.now, "a", "b")
		e.SLO = fmt.Sprint("slo", i)
		w.event(e)
	}
	if dead := events[DeadEvent](w, DeadEventType); len(w.take()) != 2 || len(dead) != 2 || dead[0].Reason != DeadOverload {
		t.Errorf("%+v", dead)
	}
}

func TestViewHoldsNoURL(t *testing.T) {
	// Whoever may look at the state of notifications could read webhook URLs, which are secrets.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, func(t *Target) { t.URL = "https://chat.example.com/secretpath" })
	w.alert("a1", slo.AlertFiring)
	w.result(w.one(slo.AlertFiring, 1), OutcomeRetry, func(r *Result) { r.Message = "no answer in time" })
	other := testAlert("a2", slo.AlertFiring, w.now, "gone")
	other.SLO = "other"
	w.event(other)
	v := w.s.View(1)
	b, err := json.Marshal(v)
	if err != nil || strings.Contains(string(b), "secretpath") || v.Targets[0].Host != "chat.example.com" {
		t.Errorf("%v %s", err, b)
	}
	if len(v.Pending) != 1 || v.Pending[0].Message != "no answer in time" || len(v.DeadLetters) != 1 {
		t.Errorf("%+v", v)
	}
}

func TestDeadLetterBytes(t *testing.T) {
	// Large dead letters would fill memory within their count.
	d := deadLetters{countMax: 100, bytesMax: 1000}
	dropped := 0
	for i := range 50 {
		dropped += d.add(DeadLetter{ID: fmt.Sprint(i), Size: 300})
	}
	if len(d.list) != 3 || d.bytes != 900 || dropped != 47 || d.list[0].ID != "47" {
		t.Errorf("%d letters of %d bytes, %d dropped", len(d.list), d.bytes, dropped)
	}
	if d.add(DeadLetter{ID: "huge", Size: 5000}) != 3 || len(d.list) != 1 {
		t.Error("the newest was dropped")
	}
}
