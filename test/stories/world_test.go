package stories

import (
	"encoding/json"
	"fmt"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// A world is the stage with a writer and a clock.
type world struct {
	stage   *slo.Stage
	joint   *slo.Composites   // nil before the first journey
	files   map[string]string // of definitions, by name
	begin   bus.Time
	hushed  bool // changes of state are not told
	now     bus.Time
	seq     uint64
	frame   uint64
	builder bus.FrameBuilder
	refs    map[string]uint32
	sent    map[string]bus.Time
	next    uint32
	told    bus.Time // when all series were announced last
	log     strings.Builder
	states  map[string]string
}

func newWorld() (*world, error) {
	st, err := slo.NewStage(slo.Config{Partitions: 1})
	if err != nil {
		return nil, err
	}
	const begin = bus.Time(1_800_000_000_000)
	return &world{stage: st, begin: begin, now: begin, refs: map[string]uint32{}, sent: map[string]bus.Time{}, states: map[string]string{}}, nil
}

func (w *world) clock(t bus.Time) string {
	s := int64((t - w.begin) / bus.Second)
	sign := ""
	if s < 0 {
		sign, s = "-", -s
	}
	return fmt.Sprintf("%s%d:%02d:%02d", sign, s/3600, s/60%60, s%60)
}

func (w *world) say(format string, args ...any) {
	fmt.Fprintf(&w.log, "%8s  %s\n", w.clock(w.now), fmt.Sprintf(format, args...))
}

func (w *world) step(r bus.Record) error {
	w.seq++
	r.Seq, r.Time = w.seq, w.now
	drafts, err := w.stage.Step(&r)
	if err != nil {
		return err
	}
	if drafts, err = w.joined(&r, drafts); err != nil {
		return err
	}
	for _, d := range drafts {
		if err := w.tell(d); err != nil {
			return err
		}
	}
	return nil
}

// joined hands what the stage writes into the ledger to the one of composites, where the story has any, then the record.
func (w *world) joined(r *bus.Record, drafts []bus.Draft) ([]bus.Draft, error) {
	if w.joint == nil {
		return drafts, nil
	}
	out := drafts
	feed := func(r bus.Record) error {
		r.Time = w.now
		more, err := w.joint.Step(&r)
		out = append(out, more...)
		return err
	}
	for _, d := range drafts {
		if strings.HasPrefix(d.Subject, slo.SubjectLedgerFrame) {
			if err := feed(bus.Record{Subject: d.Subject, Data: d.Data}); err != nil {
				return nil, err
			}
		}
	}
	if r.Frame == nil {
		return out, feed(*r)
	}
	return out, nil
}

// tell writes a draft that a person would care for.
func (w *world) tell(d bus.Draft) error {
	switch {
	case d.Event != nil && d.Event.Type == slo.AlertEventType:
		var e slo.AlertEvent
		if err := json.Unmarshal(d.Data, &e); err != nil {
			return err
		}
		line := fmt.Sprintf("alert %s %s %s %s", e.SLO, e.Tier, e.State, e.Reason)
		if e.Pair != nil {
			line += fmt.Sprintf(" %s/%s %.1f/%.1f over %s", e.Pair.Long, e.Pair.Short, e.Pair.LongRate, e.Pair.ShortRate, e.Pair.Factor)
		}
		line += ", began " + w.clockOf(e.StartsAt)
		if e.EndsAt != "" {
			line += ", ended " + w.clockOf(e.EndsAt)
		}
		w.say("%s", line)
	case d.Event != nil && d.Event.Type == slo.StatusEventType:
		if w.hushed {
			return nil
		}
		var e slo.StatusEvent
		if err := json.Unmarshal(d.Data, &e); err != nil {
			return err
		}
		w.say("state %s %s %s", e.Name, e.State, e.Reason)
	case d.Event != nil && d.Event.Type == slo.CorrectionEventType:
		var e slo.CorrectionEvent
		if err := json.Unmarshal(d.Data, &e); err != nil {
			return err
		}
		w.tellCorrection(&e)
	case d.Subject == slo.SubjectDefinitionDetail:
		var e slo.DefinitionDetail
		if err := json.Unmarshal(d.Data, &e); err != nil {
			return err
		}
		w.say("definition %s %s %s", e.SLO, e.Reason, e.Message)
	}
	return nil
}

// tellCorrection writes a correction, and which alerts it shows in another light. Of late samples there is one in each minute; those that
// show none are left out.
func (w *world) tellCorrection(e *slo.CorrectionEvent) {
	why := ""
	switch {
	case e.Why != "":
		why = ": " + e.Why
	case e.Reason == slo.ReasonLateData && len(e.Alerts) == 0:
		return
	}
	w.say("correction %s %s %s..%s: %.10g of %.10g good become %.10g of %.10g, error at most %g%s", e.SLO, e.Reason, w.clock(e.From.Time()), w.clock(e.Until.Time()),
		e.Before.Events.Good, e.Before.Events.Total, e.After.Events.Good, e.After.Events.Total, e.ErrorMax, why)
	would := map[bool]string{true: "would have", false: "would not have"}
	for _, a := range e.Alerts {
		w.say("in hindsight alert %s %s %s fired at %s", e.SLO, a.Tier, would[a.WouldFire], w.clock(a.At.Time()))
	}
}

func (w *world) clockOf(rfc3339 string) string {
	var m slo.Moment
	if err := m.UnmarshalText([]byte(rfc3339)); err != nil {
		return rfc3339
	}
	return w.clock(m.Time())
}

func (w *world) tick() error { return w.step(bus.Record{Subject: bus.SubjectTick}) }

func (w *world) run(d bus.Time) error {
	for end := w.now + d; w.now < end; {
		w.now += bus.Second
		if err := w.tick(); err != nil {
			return err
		}
	}
	return nil
}

// add puts a sample into the open frame.
func (w *world) add(src bus.Source, series string, t, start bus.Time, v float64) error {
	ref, ok := w.refs[series]
	if !ok {
		ls, err := labelsOf(series)
		if err != nil {
			return err
		}
		ref = w.next
		w.next++
		w.refs[series] = ref
		w.builder.Announce(0, ref, 0, "", ls.Append(nil))
	}
	src.Newest = t
	w.sent[series] = w.now
	w.builder.Add(0, w.builder.Source(src), ref, t, start, v)
	return nil
}

// again announces all series of the last hour in the open frame, as writers do every five minutes and after a change of definitions.
func (w *world) again() error {
	w.told = w.now
	for _, series := range sortedKeys(w.refs) {
		if w.now-w.sent[series] > bus.Hour {
			delete(w.refs, series)
			continue
		}
		ref := w.refs[series]
		ls, err := labelsOf(series)
		if err != nil {
			return err
		}
		w.builder.Announce(0, ref, 0, "", ls.Append(nil))
	}
	return nil
}

func (w *world) flush(damage bool) error {
	if w.builder.Empty() {
		return nil
	}
	if w.now-w.told >= 5*bus.Minute {
		if err := w.again(); err != nil {
			return err
		}
	}
	w.frame++
	data := w.builder.Seal(nil, 7, w.frame, 1)
	w.builder.Reset()
	if damage {
		data[len(data)-1] ^= 1
	}
	f := bus.DecodeFrame(data)
	return w.step(bus.Record{Subject: bus.SubjectFrame + "w", Data: data, Frame: f, Section: f.Section(0)})
}

func (w *world) define(ref mesh.Ref, os ...slo.Objective) error {
	compiled, err := json.Marshal(os)
	if err != nil {
		return err
	}
	c := mesh.Change{Accepted: true, Set: []mesh.Definition{{Ref: ref, Compiled: compiled}}}
	if len(os) == 0 {
		c = mesh.Change{Accepted: true, Deleted: []mesh.Ref{ref}}
	}
	if err := w.change(c); err != nil {
		return err
	}
	return w.again()
}

func (w *world) change(c mesh.Change) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return w.step(bus.Record{Subject: mesh.SubjectChange, Data: data})
}

func exclusionOf(name string) mesh.Ref {
	return mesh.Ref{APIVersion: slo.ExclusionVersion, Kind: slo.KindExclusion, Namespace: "default", Name: name}
}

// commandExclude takes lines "once FROM..UNTIL", counted from the script's begin.
func (w *world) commandExclude(name string, block []string) error {
	x := slo.Exclusion{GlobalNamespace: "shop", Services: []string{"checkout"}, Reason: "maintenance"}
	for _, line := range block {
		f := strings.Fields(line)
		s, err := parseSpell(f[1])
		if err != nil {
			return err
		}
		x.Once = append(x.Once, slo.Span{From: int64((w.begin + s.from) / bus.Second), Until: int64((w.begin + s.to) / bus.Second)})
	}
	compiled, err := json.Marshal(x)
	if err != nil {
		return err
	}
	return w.change(mesh.Change{Accepted: true, Set: []mesh.Definition{{Ref: exclusionOf(name), Compiled: compiled}}})
}
