package oracle

import (
	"encoding/json"
	"fmt"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/promql"
)

// An engine is the slo stage with the log that would feed it.
type engine struct {
	stage   *slo.Stage
	now     bus.Time
	seq     uint64
	frame   uint64
	builder bus.FrameBuilder
	told    int      // series that are announced
	again   bus.Time // when all were announced last
	view    *slo.View
}

// query writes an expression as people do.
func query(ts []term, function, within string) string {
	var parts []string
	for _, t := range ts {
		parts = append(parts, fmt.Sprintf("%s * (sum(%s(%s[%s])) or vector(0))", t.factor, function, t.selector, within))
	}
	return strings.Join(parts, " + ")
}

func (d *definition) objective() (slo.Objective, error) {
	o := slo.Objective{GlobalNamespace: "shop", Service: "checkout", Name: "availability", Target: slo.MustDecimal(d.target), Window: d.window, Method: slo.MethodOccurrences}
	first, err := promql.Compile(query(d.first, "rate", "5m"))
	if err != nil {
		return o, err
	}
	if o.SLI.Total, err = promql.Compile(query(d.total, "rate", "5m")); err != nil {
		return o, err
	}
	if o.SLI.Bad = &first; d.good {
		o.SLI.Good, o.SLI.Bad = &first, nil
	}
	if d.slice > 0 {
		o.Method, o.OnNoData, o.Slice = slo.MethodTimeslices, d.noData, &slo.Slice{Length: slo.Duration(d.slice * 1000), Target: slo.MustDecimal(d.reach)}
		if d.ratio {
			o.Method = slo.MethodRatioTimeslices
		}
	}
	return o, o.Validate()
}

func newEngine(d *definition) (*engine, error) {
	st, err := slo.NewStage(slo.Config{Partitions: 1})
	if err != nil {
		return nil, err
	}
	e := &engine{stage: st, now: start}
	o, err := d.objective()
	if err != nil {
		return nil, err
	}
	compiled, err := json.Marshal([]slo.Objective{o})
	if err != nil {
		return nil, err
	}
	c := mesh.Change{Accepted: true, Revision: 1, Set: []mesh.Definition{{Ref: mesh.Ref{APIVersion: "openslo/v1", Kind: "SLO", Namespace: "default", Name: "a"}, Revision: 1, Compiled: compiled}}}
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return e, e.step(bus.Record{Subject: mesh.SubjectChange, Data: data})
}

func (e *engine) step(r bus.Record) error {
	e.seq++
	r.Seq, r.Time = e.seq, e.now
	drafts, err := e.stage.Step(&r)
	if err != nil || e.view == nil {
		return err
	}
	for _, d := range drafts {
		if err := e.view.Apply(&bus.Record{Time: e.now, Subject: d.Subject, Data: d.Data}); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) tick() error { return e.step(bus.Record{Subject: bus.SubjectTick}) }

// send sends the samples of one moment as one frame.
func (e *engine) send(ss []series, samples []sample) error {
	e.now = max(e.now, samples[0].at)
	if e.now-e.again >= 5*bus.Minute {
		e.told, e.again = 0, e.now
	}
	for ; e.told < len(ss); e.told++ {
		e.builder.Announce(0, uint32(e.told), 0, "", ss[e.told].labels().Append(nil))
	}
	for _, s := range samples {
		src := e.builder.Source(bus.Source{Sender: ss[s.series].sender, Newest: s.t})
		e.builder.Add(0, src, uint32(s.series), s.t, s.start, s.v)
	}
	e.frame++
	data := e.builder.Seal(nil, 7, e.frame, 1)
	e.builder.Reset()
	f := bus.DecodeFrame(data)
	if err := e.step(bus.Record{Subject: bus.SubjectFrame + "w", Data: data, Frame: f, Section: f.Section(0)}); err != nil {
		return err
	}
	return e.tick()
}

// restore goes on with a stage made from the snapshot.
func (e *engine) restore() error {
	state, err := e.stage.Snapshot()
	if err != nil {
		return err
	}
	if e.stage, err = slo.NewStage(slo.Config{Partitions: 1}); err != nil {
		return err
	}
	return e.stage.Restore(state)
}

// finish lets time go on until everything is counted, and returns what the status frames then say.
func (e *engine) finish(newest bus.Time) (slo.Status, error) {
	e.view = slo.NewView(0)
	for range 200 {
		e.now += 10 * bus.Second
		if err := e.tick(); err != nil {
			return slo.Status{}, err
		}
		if it, ok := e.view.Get("shop", "checkout", "availability"); ok && it.AsOf.Time() > newest {
			return it.Status, nil
		}
	}
	return slo.Status{}, fmt.Errorf("not everything is counted half an hour after the last sample")
}
