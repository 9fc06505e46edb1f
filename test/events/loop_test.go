package events

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/cloudevents"
	"evenkeel.dev/bus/webhook"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/notify"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
)

// A heard is one request that a receiver took.
type heard struct {
	path   string
	header http.Header
	body   string
}

// receivers stand in for Alertmanager, PagerDuty, Slack and others, one path each. Each refuses the first request with 503.
type receivers struct {
	*httptest.Server
	mu    sync.Mutex
	tried map[string]int
	ch    chan heard
}

func newReceivers(t *testing.T) *receivers {
	r := &receivers{tried: map[string]int{}, ch: make(chan heard, 1000)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.tried[q.URL.Path]++
		first := r.tried[q.URL.Path] == 1
		r.mu.Unlock()
		if first {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		r.ch <- heard{q.URL.Path, q.Header, string(body)}
	}))
	t.Cleanup(r.Close)
	return r
}

// startNotify joins the stage, a log in memory and the sender as the program does.
func startNotify(t *testing.T, log *bus.Memory, secrets map[string]string) {
	renderer := notify.Renderer{ExternalURL: "https://evenkeel.example.com"}
	sender, err := webhook.New(webhook.Config{
		Subject: notify.SubjectResult, Append: log.Append,
		Resolve: func(ref string) (string, error) {
			if v, ok := secrets[ref]; ok {
				return v, nil
			}
			return "", fmt.Errorf("no %s", ref)
		},
		Request: func(m bus.Message) (webhook.Request, bool, error) {
			d, ok, err := notify.DecodeDelivery(m)
			if !ok || err != nil {
				return webhook.Request{}, ok, err
			}
			return webhook.Request{
				ID: d.ID, Attempt: d.Attempt, Receiver: d.TargetKey, Key: d.Key(), Follows: d.Follows, NotAfter: d.NotAfter,
				URL: d.Target.Endpoint(), URLFrom: d.Target.URLFrom, SecretFrom: d.Target.SecretFrom, Sign: d.Target.Signed(), AllowPrivate: d.Target.AllowPrivate,
				Render: func(secret string) (webhook.Content, error) {
					c, err := renderer.Render(d, secret)
					return webhook.Content(c), err
				},
			}, true, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := sender.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		err := bus.Run(ctx, bus.RunConfig{Log: log, Spec: notify.Spec(notify.Config{}), OnCommit: func(_ bus.Checkpoint, ms []bus.Message) { sender.Handle(ms) }})
		if ctx.Err() == nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func appendJSON(t *testing.T, log *bus.Memory, subject string, h bus.Header, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(context.Background(), bus.Message{Subject: subject, Header: h, Data: data}); err != nil {
		t.Fatal(err)
	}
}

func alertEvent(state string, at bus.Time) slo.AlertEvent {
	e := slo.AlertEvent{
		ID: "5f1c", GlobalNamespace: "shop", Service: "checkout", SLO: "availability", Tier: "page", Severity: "page", State: state, Reason: "BurnRateHigh", StartsAt: at.String(),
		Objective: slo.MustDecimal("0.999"), Window: slo.Window{Type: "rolling", Duration: slo.Duration(30 * bus.Day)},
	}
	if state == slo.AlertResolved {
		e.EndsAt = at.String()
	}
	return e
}

// awaitPaths collects requests until each path was heard, and returns the first of each; ticks go on meanwhile.
func (r *receivers) awaitPaths(t *testing.T, log *bus.Memory, paths []string, fits func(heard) bool) map[string]heard {
	t.Helper()
	got := map[string]heard{}
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(got) < len(paths) {
		select {
		case h := <-r.ch:
			if _, ok := got[h.path]; !ok && fits(h) {
				got[h.path] = h
			}
		case now := <-tick.C:
			log.SetTime(bus.TimeOf(now))
			appendJSON(t, log, bus.SubjectTick, nil, nil)
		case <-deadline:
			t.Fatalf("heard only %d of %v", len(got), paths)
		}
	}
	return got
}

func TestFromLogToReceivers(t *testing.T) {
	// The parts would each work and no page would leave the house: the stage, the sender and each receiver, which is down at first.
	r := newReceivers(t)
	log := bus.NewMemory()
	log.SetTime(bus.TimeOf(time.Now()))
	secrets := map[string]string{"env:SLACK": r.URL + "/slack/T0/B0/secretpath", "env:KEY": "routingkey", "env:SIGN": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
	startNotify(t, log, secrets)
	targets := []notify.Target{
		{Name: "webhook", Type: notify.TypeAlertmanagerWebhook, URL: r.URL + "/webhook", SecretFrom: "env:SIGN", NoWatchdog: true},
		{Name: "am", Type: notify.TypeAlertmanager, URL: r.URL + "/am/", NoWatchdog: true},
		{Name: "pager", Type: notify.TypePagerDuty, URL: r.URL + "/pager", SecretFrom: "env:KEY"},
		{Name: "chat", Type: notify.TypeSlack, URLFrom: "env:SLACK"},
		{Name: "events", Type: notify.TypeCloudEvents, URL: r.URL + "/events", NoWatchdog: true},
	}
	change := mesh.Change{Accepted: true}
	for _, target := range targets {
		target.AllowPrivate, target.Default = true, true
		compiled, err := json.Marshal(target)
		if err != nil {
			t.Fatal(err)
		}
		change.Set = append(change.Set, mesh.Definition{Ref: mesh.Ref{Kind: notify.KindTarget, Namespace: "default", Name: target.Name}, GlobalNamespace: "shop", Compiled: compiled})
	}
	appendJSON(t, log, mesh.SubjectChange, nil, change)
	header := bus.Header{{Name: "ce-id", Value: "slo.3.1"}, {Name: "ce-source", Value: "/evenkeel/slo/3"}, {Name: "ce-subject", Value: "shop/checkout/availability"}, {Name: "ce-time", Value: "2026-01-02T15:04:05.000Z"}}
	subject := bus.EventSubject("slo", "alert", "shop", "checkout", "availability")
	appendJSON(t, log, subject, header, alertEvent(slo.AlertFiring, bus.TimeOf(time.Now())))
	paths := []string{"/webhook", "/am/api/v2/alerts", "/pager", "/slack/T0/B0/secretpath", "/events"}
	firing := r.awaitPaths(t, log, paths, func(heard) bool { return true })
	checkReceived(t, firing)

	header[0].Value = "slo.3.2"
	appendJSON(t, log, subject, header, alertEvent(slo.AlertResolved, bus.TimeOf(time.Now())))
	resolved := r.awaitPaths(t, log, paths, func(h heard) bool { return h.header.Get("Webhook-Id") != firing[h.path].header.Get("Webhook-Id") })
	for path, mark := range map[string]string{"/webhook": `"status":"resolved"`, "/pager": `"event_action":"resolve"`, "/slack/T0/B0/secretpath": "Resolved", "/events": `"state":"resolved"`} {
		if !strings.Contains(resolved[path].body, mark) {
			t.Errorf("%s heard no end: %s", path, resolved[path].body)
		}
	}
	checkNoSecret(t, log, []string{"secretpath", "routingkey", "whsec_"})
}

// checkReceived looks at what each receiver took, as that receiver would.
func checkReceived(t *testing.T, firing map[string]heard) {
	t.Helper()
	var payload struct {
		Alerts []struct {
			Labels      model.LabelSet
			Fingerprint string
		}
	}
	if err := json.Unmarshal([]byte(firing["/webhook"].body), &payload); err != nil || len(payload.Alerts) != 1 {
		t.Fatal(err, firing["/webhook"].body)
	}
	if a := payload.Alerts[0]; a.Fingerprint != a.Labels.Fingerprint().String() {
		t.Errorf("fingerprint %s, Alertmanager computes %s", a.Fingerprint, a.Labels.Fingerprint())
	}
	if firing["/webhook"].header.Get("Webhook-Signature") == "" || firing["/pager"].header.Get("Webhook-Signature") != "" {
		t.Error("signed is not what has a signing secret")
	}
	if !strings.Contains(firing["/pager"].body, `"routing_key":"routingkey"`) {
		t.Error("the pager got no routing key")
	}
	h := bus.Header{}
	for name, values := range firing["/events"].header {
		h = append(h, bus.Field{Name: name, Value: values[0]})
	}
	e, err := cloudevents.From(h, []byte(firing["/events"].body))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"slo.3.1", "/evenkeel/slo/3", slo.AlertEventType, "shop/checkout/availability", "2026-01-02T15:04:05.000Z"}, []string{e.ID, e.Source, e.Type, e.Subject, e.Time}); diff != "" {
		t.Error(diff)
	}
}

// checkNoSecret reads the whole log.
func checkNoSecret(t *testing.T, log *bus.Memory, secrets []string) {
	t.Helper()
	r, err := log.Open(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for {
		m, err := r.Next(context.Background(), false)
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			break
		}
		n++
		for _, s := range secrets {
			if strings.Contains(string(m.Data), s) {
				t.Errorf("message %d on %s holds %q: %s", m.Seq, m.Subject, s, m.Data)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d messages looked at", n)
	}
}
