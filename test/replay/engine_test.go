package replay

import (
	"encoding/json"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// An engine is a stage that is fed as a live log does it: what arrives has a record time of its own, later than its event time.
type engine struct {
	t       testing.TB
	stage   bus.Stage
	now     bus.Time // of the last tick
	frames  uint64
	builder bus.FrameBuilder
	alerts  []string // "tier state time"
	log     []bus.Message
	told    map[int]bus.Time // when a ref was announced
}

func newEngine(t testing.TB, d app.ReplayDefinitions) *engine {
	spec, err := slo.Spec(1, slo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, stage: spec.New(0), now: bus.Time(begin), told: map[int]bus.Time{}}
	change := mesh.Change{Accepted: true, Revision: 1}
	for _, one := range d.Set {
		one.Revision = 1
		change.Set = append(change.Set, one)
	}
	data, err := json.Marshal(change)
	if err != nil {
		t.Fatal(err)
	}
	e.step(&bus.Record{Time: e.now, Subject: mesh.SubjectChange, Data: data})
	return e
}

func (e *engine) step(r *bus.Record) {
	e.log = append(e.log, bus.Message{Time: r.Time, Subject: r.Subject, Data: r.Data})
	drafts, err := e.stage.Step(r)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, d := range drafts {
		var a slo.AlertEvent
		if d.Event == nil || d.Event.Type != slo.AlertEventType || json.Unmarshal(d.Data, &a) != nil {
			continue
		}
		switch a.State {
		case slo.AlertFiring:
			e.alerts = append(e.alerts, a.Tier+" "+a.State+" "+a.StartsAt)
		case slo.AlertResolved:
			e.alerts = append(e.alerts, a.Tier+" "+a.State+" "+a.EndsAt)
		}
	}
}

// until ticks up to a time.
func (e *engine) until(t bus.Time) {
	for e.now+bus.Second <= t {
		e.now += bus.Second
		e.step(&bus.Record{Time: e.now, Subject: bus.SubjectTick})
	}
}

// send puts one sample into a frame of its own, which arrives at a time.
func (e *engine) send(at bus.Time, ref int, labels map[string]string, t bus.Time, v float64) {
	ls := bus.Labels{}
	for _, p := range pairs(labels) {
		ls = append(ls, bus.Label{Name: p.Name, Value: p.Value})
	}
	if last, ok := e.told[ref]; !ok || at >= last+5*bus.Minute { // as the gate does
		e.told[ref] = at
		e.builder.Announce(0, uint32(ref), 0, "", ls.Append(nil))
	}
	e.builder.Add(0, e.builder.Source(bus.Source{Sender: "prometheus", Newest: t}), uint32(ref), t, 0, v)
	e.frames++
	data := e.builder.Seal(nil, 7, e.frames, 1)
	e.builder.Reset()
	f := bus.DecodeFrame(data)
	e.step(&bus.Record{Time: at, Subject: bus.SubjectFrame + "w", Data: data, Frame: f, Section: f.Section(0)})
}
