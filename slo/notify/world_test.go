package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

const start = bus.Time(1_800_000_000_000) // a whole minute

// A world runs a stage by hand.
type world struct {
	t     testing.TB
	s     *Stage
	seq   uint64
	now   bus.Time
	log   bytes.Buffer // all outputs
	sent  []Delivery   // alert deliveries not yet taken by a test
	dogs  []Delivery
	other []bus.Draft // neither
}

func newWorld(t testing.TB, c Config) *world {
	return &world{t: t, s: New(c), now: start}
}

func (w *world) step(subject string, h bus.Header, v any) {
	w.t.Helper()
	var data []byte
	switch v := v.(type) {
	case nil:
	case string:
		data = []byte(v)
	default:
		var err error
		if data, err = json.Marshal(v); err != nil {
			w.t.Fatal(err)
		}
	}
	w.seq++
	drafts, err := w.s.Step(&bus.Record{Seq: w.seq, Time: w.now, Subject: subject, Header: h, Data: data})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range drafts {
		d := &drafts[i]
		fmt.Fprintf(&w.log, "%d %s %d %v %s\n", w.seq, d.Subject, d.To, d.Event, d.Data)
		del, ok, err := DecodeDelivery(bus.Message{Subject: d.Subject, Data: d.Data})
		switch {
		case err != nil:
			w.t.Fatal(err)
		case ok && del.Kind != KindWatchdog:
			w.sent = append(w.sent, del)
		case ok:
			w.dogs = append(w.dogs, del)
		default:
			w.other = append(w.other, *d)
		}
	}
}

// seconds lets time go on, a tick a second.
func (w *world) seconds(n int) {
	w.t.Helper()
	for range n {
		w.now += bus.Second
		w.step(bus.SubjectTick, nil, nil)
	}
}

func (w *world) target(gns, name, typ string, change func(*Target)) {
	w.t.Helper()
	t := Target{Name: name, Type: typ, URL: "https://" + name + ".example.com/hook", SecretFrom: map[bool]string{true: "env:KEY"}[typ == TypePagerDuty]}
	if typ == TypeEmail {
		t.URL, t.SecretFrom, t.Mail = "", "env:KEY", &MailTarget{To: []string{"On call <oncall@example.com>", "second@example.com"}, From: "Evenkeel <evenkeel@example.org>", SMTP: "mail.example.com:587"}
	}
	if change != nil {
		change(&t)
	}
	compiled, err := json.Marshal(t)
	if err != nil {
		w.t.Fatal(err)
	}
	d := mesh.Definition{Ref: targetRef(gns, name), GlobalNamespace: gns, Compiled: compiled}
	w.step(mesh.SubjectChange, nil, mesh.Change{Accepted: true, Set: []mesh.Definition{d}})
}

func (w *world) removeTarget(gns, name string) {
	w.t.Helper()
	w.step(mesh.SubjectChange, nil, mesh.Change{Accepted: true, Deleted: []mesh.Ref{targetRef(gns, name)}})
}

func targetRef(gns, name string) mesh.Ref {
	return mesh.Ref{APIVersion: "openslo/v1", Kind: KindTarget, Namespace: gns, Name: name}
}

// alert steps an alert event; names are the targets that it names.
func (w *world) alert(id, state string, names ...string) {
	w.t.Helper()
	w.event(testAlert(id, state, w.now, names...))
}

func (w *world) event(e slo.AlertEvent) {
	w.t.Helper()
	h := bus.Header{{Name: "ce-id", Value: fmt.Sprint("slo.3.", w.seq+1)}, {Name: "ce-source", Value: "/evenkeel/slo/3"}, {Name: "ce-type", Value: slo.AlertEventType}, {Name: "ce-subject", Value: e.GlobalNamespace + "/" + e.Service + "/" + e.SLO}, {Name: "ce-time", Value: w.now.String()}}
	w.step(bus.EventSubject("slo", "alert", e.GlobalNamespace, e.Service, e.SLO), h, e)
}

func testAlert(id, state string, now bus.Time, names ...string) slo.AlertEvent {
	ratio := 0.372
	e := slo.AlertEvent{
		ID: id, GlobalNamespace: "shop", Service: "checkout", SLO: "availability", Tier: "page", Severity: "page", State: state, Reason: "BurnRateHigh", StartsAt: now.String(),
		Objective: slo.MustDecimal("0.999"), Window: slo.Window{Type: "rolling", Duration: slo.Duration(30 * bus.Day)},
		Pair:   &slo.AlertPair{Long: slo.Duration(bus.Hour), Short: slo.Duration(5 * bus.Minute), Factor: slo.MustDecimal("14.4"), LongRate: 23.456, ShortRate: 30.1},
		Budget: slo.Budget{Total: 1000, Consumed: 628, Remaining: 372, RemainingRatio: &ratio}, Notify: names, Runbook: "https://runbooks.example.com/checkout?a=1&b=2",
	}
	if state == slo.AlertResolved {
		e.Reason, e.EndsAt = "BurnRateLow", now.String()
	}
	return e
}

// take returns what was ordered since the last take.
func (w *world) take() []Delivery {
	ds := w.sent
	w.sent = nil
	return ds
}

// one takes the single delivery that must have been ordered.
func (w *world) one(state string, attempt int) Delivery {
	w.t.Helper()
	ds := w.take()
	if len(ds) != 1 || ds[0].Alert.State != state || ds[0].Attempt != attempt {
		w.t.Fatalf("ordered %s, want one %s with attempt %d", brief(ds), state, attempt)
	}
	return ds[0]
}

func (w *world) none() {
	w.t.Helper()
	if ds := w.take(); len(ds) > 0 {
		w.t.Fatalf("ordered %s, want nothing", brief(ds))
	}
}

func brief(ds []Delivery) string {
	var b bytes.Buffer
	for _, d := range ds {
		if d.Group != nil {
			fmt.Fprintf(&b, "[%s", d.Target.Name)
			for _, a := range d.Group.Alerts {
				fmt.Fprintf(&b, " %s:%s", a.ID, a.State)
			}
			fmt.Fprintf(&b, " +%d %d]", d.Group.Truncated, d.Attempt)
			continue
		}
		fmt.Fprintf(&b, "[%s %s %d %s]", d.Target.Name, d.Alert.State, d.Attempt, d.Alert.ID)
	}
	return b.String()
}

func (w *world) result(d Delivery, outcome string, change func(*Result)) {
	w.t.Helper()
	r := Result{ID: d.ID, Attempt: d.Attempt, Outcome: outcome}
	if change != nil {
		change(&r)
	}
	w.step(SubjectResult, nil, r)
}

// events returns the data of the public events of a type since the last call.
func events[T any](w *world, typ string) []T {
	w.t.Helper()
	var out []T
	var rest []bus.Draft
	for _, d := range w.other {
		if d.Event == nil || d.Event.Type != typ {
			rest = append(rest, d)
			continue
		}
		var v T
		if err := json.Unmarshal(d.Data, &v); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, v)
	}
	w.other = rest
	return out
}

func (w *world) lates() int {
	n := 0
	for _, d := range w.other {
		if d.Subject == SubjectLate {
			n++
		}
	}
	return n
}

// holds returns what was held since the last call, as "alert reason silence".
func (w *world) holds() []string {
	w.t.Helper()
	var out []string
	var rest []bus.Draft
	for _, d := range w.other {
		if d.Subject != SubjectHeld {
			rest = append(rest, d)
			continue
		}
		var h Hold
		if err := json.Unmarshal(d.Data, &h); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, strings.TrimSpace(h.Alert+" "+h.Reason+" "+h.Silence))
	}
	w.other = rest
	return out
}

// tier steps an event of another tier, whose name is its severity.
func (w *world) tier(id, state, tier string, names ...string) {
	w.t.Helper()
	e := testAlert(id, state, w.now, names...)
	e.Tier, e.Severity = tier, tier
	w.event(e)
}

// silence asks for a silence of the service of all test alerts.
func (w *world) silence(id string, length bus.Time, change func(*SilenceRequest)) {
	w.t.Helper()
	r := SilenceRequest{Action: SilenceAdd, ID: id, GlobalNamespace: "shop", Service: "checkout", For: length, Reason: "planned work", Author: "alice"}
	if change != nil {
		change(&r)
	}
	w.step(SubjectSilenceRequest, nil, r)
}

func (w *world) expire(id string) {
	w.t.Helper()
	w.step(SubjectSilenceRequest, nil, SilenceRequest{Action: SilenceExpire, ID: id, Author: "bob"})
}
