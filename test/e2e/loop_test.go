//go:build peers

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"evenkeel.dev/test/peer"
)

// policy is an alert policy with windows that a test can wait for: the page fires when the burn rate is above 5 over two minutes and
// over one.
const policy = `apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: page}
spec:
  alertWhenResolved: true
  conditions:
  - kind: AlertCondition
    metadata: {name: page}
    spec:
      severity: page
      condition: {kind: burnrate, op: gt, threshold: 5, lookbackWindow: 2m}
  notificationTargets: [{targetRef: alertmanager}, {targetRef: hook}]
---
`

func target(name, kind, url string) string {
	return fmt.Sprintf("apiVersion: openslo/v1\nkind: AlertNotificationTarget\nmetadata: {name: %s, annotations: {evenkeel.dev/url: %q, evenkeel.dev/allow-private: \"true\"}}\nspec: {target: %s}\n---\n", name, url, kind)
}

// A subscriber is a plain NATS client: a core subscription, as `nats sub` makes it.
type subscriber struct {
	mu     sync.Mutex
	events []event
}

type event struct {
	Tier, State, Reason string
	id                  string
}

func subscribe(t *testing.T, e *peer.Evenkeel) *subscriber {
	t.Helper()
	s := &subscriber{}
	conn, err := nats.Connect(e.NATS, nats.Token(e.Token("admin")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	_, err = conn.Subscribe("evenkeel.slo.alert.>", func(m *nats.Msg) {
		var ev event
		if err := json.Unmarshal(m.Data, &ev); err != nil {
			t.Errorf("event on %s: %v", m.Subject, err)
		}
		if m.Header.Get("ce-specversion") != "1.0" || m.Header.Get("ce-type") != "dev.evenkeel.slo.alert.v1" {
			t.Errorf("event on %s is no CloudEvent in binary mode: %v", m.Subject, m.Header)
		}
		ev.id = m.Header.Get("ce-id")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, ev)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.FlushTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	return s
}

// states returns how often the tier entered each state.
func (s *subscriber) states(tier string) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, e := range s.events {
		if e.Tier == tier {
			out[e.State]++
		}
	}
	delete(out, "pending")
	delete(out, "inactive")
	return out
}

// The whole promise of the first ten minutes: a Prometheus that somebody already has, an SLO file, and a burst of errors. If it fails,
// nobody is paged, or somebody twice, or the budget is not what the service really did.
func TestPeersLoop(t *testing.T) {
	prometheus := peer.DebianPrometheus(t)
	shop := startExporter(t, "shop")
	hook := startReceiver(t)
	_, am := peer.StartAlertmanager(t, hook.URL+"/alertmanager")
	config := peer.WriteConfig(t, map[string]string{"shop.yaml": peer.SLO("shop", "availability", "0.99", "  alertPolicies: [{alertPolicyRef: page}]\n") +
		policy + target("alertmanager", "alertmanager", am) + target("hook", "alertmanager-webhook", hook.URL+"/hook")})

	e := peer.StartEvenkeel(t, peer.EvenkeelConfig{Config: config})
	e.WaitReady(time.Minute)
	events := subscribe(t, e)
	peer.Prometheus{Path: prometheus, Targets: []string{strings.TrimPrefix(shop.URL, "http://")}, WriteTo: e.WriteURL(), BearerToken: e.Token("sender")}.Start(t)
	peer.Until(t, time.Minute, "the SLO counts", func() error { return counted(e, 0, 0) })
	peer.Until(t, time.Minute, "the exporter was scraped twice", func() error {
		if _, _, n := shop.counts(); n < 2 {
			return fmt.Errorf("%d scrapes", n)
		}
		return nil
	})

	shop.traffic(t.Context(), 5*time.Second, 5, 0)
	shop.traffic(t.Context(), 8*time.Second, 1, 4) // the burst
	once := map[string]int{"firing": 1}
	peer.Until(t, time.Minute, "the page fires everywhere", func() error { return everywhere(events, hook, once) })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		shop.traffic(ctx, 10*time.Minute, 5, 0)
	}()
	once["resolved"] = 1
	peer.Until(t, 6*time.Minute, "the page is resolved everywhere", func() error { return everywhere(events, hook, once) })
	select { // a second notification would come soon after the first
	case <-time.After(15 * time.Second):
	case <-t.Context().Done():
	}
	stop()
	<-done
	if err := everywhere(events, hook, once); err != nil {
		t.Errorf("some time later: %v", err)
	}

	good, bad, _ := shop.counts()
	peer.Until(t, time.Minute, "the budget equals the exporter's own count", func() error { return counted(e, good, good+bad) })
	if t.Failed() {
		t.Logf("the receiver heard: %+v", hook.all())
	}
}

// counted returns nil when good, total and the budget of the SLO are exactly those.
func counted(e *peer.Evenkeel, good, total int) error {
	all, err := e.Statuses()
	if err != nil {
		return err
	}
	s, ok := all["shop/availability"]
	if !ok {
		return fmt.Errorf("there is no SLO shop/availability yet: %v", all)
	}
	if s.Events.Good != float64(good) || s.Events.Total != float64(total) || s.Budget.Consumed != float64(total-good) {
		return fmt.Errorf("good %v, total %v, consumed %v; the exporter has %d, %d, %d (%s %s)",
			s.Events.Good, s.Events.Total, s.Budget.Consumed, good, total, total-good, s.State, s.Reason)
	}
	return nil
}

// everywhere returns nil when the subscriber, the webhook and the receiver behind Alertmanager all heard of the page just so often.
func everywhere(events *subscriber, hook *receiver, want map[string]int) error {
	for name, got := range map[string]map[string]int{"NATS": events.states("page"), "webhook": hook.about("/hook", "page"), "Alertmanager": hook.about("/alertmanager", "page")} {
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("%s heard of the page (-want +got):\n%s", name, diff)
		}
	}
	return nil
}
