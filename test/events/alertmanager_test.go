//go:build peers

package events

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/notify"
	"evenkeel.dev/test/peer"
	"github.com/google/go-cmp/cmp"
)

// A payload is the part of Alertmanager's webhook form that must be the same whether Alertmanager or Evenkeel posts it.
type payload struct {
	Version     string            `json:"version"`
	Status      string            `json:"status"`
	GroupLabels map[string]string `json:"groupLabels"`
	Alerts      []struct {
		Status       string            `json:"status"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		GeneratorURL string            `json:"generatorURL"`
		Fingerprint  string            `json:"fingerprint"`
	} `json:"alerts"`
}

func TestRealAlertmanager(t *testing.T) {
	// Alertmanager would refuse our posts, let a firing alert end, or tell something else than we do to the same receiver.
	heard := make(chan payload, 100)
	receiver := func(w http.ResponseWriter, r *http.Request) {
		var p payload
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		heard <- p
	}
	theirs, ours := httptest.NewServer(http.HandlerFunc(receiver)), httptest.NewServer(http.HandlerFunc(receiver))
	defer theirs.Close()
	defer ours.Close()
	_, am := peer.StartAlertmanager(t, theirs.URL)
	log := bus.NewMemory()
	log.SetTime(bus.TimeOf(time.Now()))
	startNotify(t, log, nil)
	change := mesh.Change{Accepted: true}
	for _, target := range []notify.Target{{Name: "am", Type: notify.TypeAlertmanager, URL: am}, {Name: "hook", Type: notify.TypeAlertmanagerWebhook, URL: ours.URL}} {
		target.AllowPrivate, target.NoWatchdog, target.Default = true, true, true
		compiled, err := json.Marshal(target)
		if err != nil {
			t.Fatal(err)
		}
		change.Set = append(change.Set, mesh.Definition{Ref: mesh.Ref{Kind: notify.KindTarget, Namespace: "default", Name: target.Name}, GlobalNamespace: "shop", Compiled: compiled})
	}
	appendJSON(t, log, mesh.SubjectChange, nil, change)
	start := bus.TimeOf(time.Now())
	for _, state := range []string{slo.AlertFiring, slo.AlertResolved} {
		e := alertEvent(state, start)
		e.Runbook, e.Annotations = "https://runbooks.example.com/checkout", map[string]string{"team-name": "payments"}
		if state == slo.AlertResolved {
			e.EndsAt = bus.TimeOf(time.Now()).String()
		}
		log.SetTime(bus.TimeOf(time.Now()))
		appendJSON(t, log, bus.EventSubject("slo", "alert", "shop", "checkout", "availability"), nil, e)
		first, second := next(t, heard), next(t, heard)
		if first.Status != state || len(first.Alerts) != 1 || first.Alerts[0].Labels["slo"] != "availability" {
			t.Errorf("%+v", first)
		}
		first.GroupLabels, second.GroupLabels = nil, nil // how Alertmanager groups is its own affair
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("%s: ours and Alertmanager's differ: %s", state, diff)
		}
	}
}

func next(t *testing.T, heard chan payload) payload {
	t.Helper()
	select {
	case p := <-heard:
		return p
	case <-time.After(60 * time.Second):
		t.Fatal("nothing heard for a minute")
		return payload{}
	}
}
