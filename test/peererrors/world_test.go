package peererrors

import (
	"encoding/json"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// begin is a midnight in UTC.
const begin = bus.Time(1_799_971_200_000)

// A world is the slo stage with the log that feeds it and what it tells.
type world struct {
	t       testing.TB
	stage   *slo.Stage
	now     bus.Time
	seq     uint64
	frame   uint64
	builder bus.FrameBuilder
	refs    map[string]uint32
	view    *slo.View
	alerts  []string // tier and state
}

func newWorld(t testing.TB, o slo.Objective) *world {
	t.Helper()
	st, err := slo.NewStage(slo.Config{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, stage: st, now: begin, refs: map[string]uint32{}, view: slo.NewView(0)}
	compiled, err := json.Marshal([]slo.Objective{o})
	if err != nil {
		t.Fatal(err)
	}
	c := mesh.Change{Accepted: true, Revision: 1, Set: []mesh.Definition{{Ref: mesh.Ref{APIVersion: "openslo/v1", Kind: "SLO", Namespace: "default", Name: "a"}, Revision: 1, Compiled: compiled}}}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	w.step(bus.Record{Subject: mesh.SubjectChange, Data: data})
	return w
}

// expr is one selector.
func expr(t testing.TB, ms ...bus.Matcher) slo.Expr {
	t.Helper()
	s, err := bus.NewSelector(ms)
	if err != nil {
		t.Fatal(err)
	}
	return slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: s}}}
}

func is(name, value string) bus.Matcher {
	return bus.Matcher{Name: name, Type: bus.MatchEqual, Value: value}
}

// objective counts the metric requests: those with code 200 are good.
func objective(t testing.TB, target, window string) slo.Objective {
	t.Helper()
	length, err := slo.ParseDuration(window)
	if err != nil {
		t.Fatal(err)
	}
	good := expr(t, is("__name__", "requests"), is("code", "200"))
	return slo.Objective{
		GlobalNamespace: "shop", Service: "checkout", Name: "availability", Target: slo.MustDecimal(target),
		Window: slo.Window{Type: slo.WindowRolling, Duration: length}, Method: slo.MethodOccurrences, SLI: slo.SLI{Good: &good, Total: expr(t, is("__name__", "requests"))},
	}
}

func (w *world) step(r bus.Record) {
	w.seq++
	r.Seq, r.Time = w.seq, w.now
	drafts, err := w.stage.Step(&r)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range drafts {
		if d.Event != nil && d.Event.Type == slo.AlertEventType {
			var e slo.AlertEvent
			if err := json.Unmarshal(d.Data, &e); err != nil {
				w.t.Fatal(err)
			}
			w.alerts = append(w.alerts, e.Tier+" "+e.State)
		}
		if err := w.view.Apply(&bus.Record{Time: w.now, Subject: d.Subject, Data: d.Data}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// add puts a sample of a series into the open frame.
func (w *world) add(t bus.Time, v float64, metric string, labels ...string) {
	ls := bus.Labels{{Name: "__name__", Value: metric}}
	key := metric
	for i := 0; i < len(labels); i += 2 {
		ls = append(ls, bus.Label{Name: labels[i], Value: labels[i+1]})
		key += "," + labels[i] + "=" + labels[i+1]
	}
	ref, ok := w.refs[key]
	if !ok {
		ref = uint32(len(w.refs))
		w.refs[key] = ref
		w.builder.Announce(0, ref, 0, "", ls.Sort().Append(nil))
	}
	w.builder.Add(0, w.builder.Source(bus.Source{Sender: "prometheus", Newest: t}), ref, t, 0, v)
}

// flush sends the open frame.
func (w *world) flush() {
	w.frame++
	data := w.builder.Seal(nil, 7, w.frame, 1)
	w.builder.Reset()
	f := bus.DecodeFrame(data)
	w.step(bus.Record{Subject: bus.SubjectFrame + "w", Data: data, Frame: f, Section: f.Section(0)})
}

// pass lets time go on, with a tick every ten seconds, or in every second of a shorter time.
func (w *world) pass(d bus.Time) {
	every := 10 * bus.Second
	if d < every {
		every = bus.Second
	}
	for end := w.now + d; w.now < end; {
		w.now += min(every, end-w.now)
		w.step(bus.Record{Subject: bus.SubjectTick})
	}
}

// traffic sends counters every interval, good and bad being what comes in each, and returns what was counted at the end of each.
func (w *world) traffic(from history, interval bus.Time, n int, of func(i int) (good, bad float64)) history {
	h := from
	for i := range n {
		good, bad := of(i)
		last := h.last()
		h = append(h, reading{last.good + good, last.total + good + bad})
		w.add(w.now, h.last().good, "requests", "code", "200")
		w.add(w.now, h.last().total-h.last().good, "requests", "code", "500")
		w.flush()
		w.pass(interval)
	}
	return h
}

// status returns what the newest status frame says.
func (w *world) status() slo.Status {
	w.t.Helper()
	for range 12 {
		w.now += bus.Second
		w.step(bus.Record{Subject: bus.SubjectTick})
	}
	it, ok := w.view.Get("shop", "checkout", "availability")
	if !ok {
		w.t.Fatal("no status was told")
	}
	return it.Status
}

// A reading is what the counters show.
type reading struct{ good, total float64 }

// A history is what the counters showed, one reading each interval.
type history []reading

func (h history) last() reading {
	if len(h) == 0 {
		return reading{}
	}
	return h[len(h)-1]
}

// errorRatio is the share of bad events in the last steps before and including i, as sum(rate(bad[w])) / sum(rate(total[w])) reads it;
// NaN where nothing came, since that is 0 / 0.
func (h history) errorRatio(i, steps int) float64 {
	a, b := h[max(0, i-steps)], h[i]
	total := b.total - a.total
	return (total - (b.good - a.good)) / total
}
