package slo

import (
	"encoding/json"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// A sim feeds a stage as the log would.
type sim struct {
	t         testing.TB
	stage     *Stage
	now       bus.Time
	seq       uint64
	frames    uint64
	b         bus.FrameBuilder
	refs      map[string]uint32
	drafts    []bus.Draft
	records   []bus.Record
	good, bad float64            // what traffic has counted
	counts    map[string]float64 // what serve has counted
	// catalogue is the revision of frames.
	catalogue uint64
}

const simStart = bus.Time(1_800_000_000_000)

func newSim(t testing.TB) *sim {
	s, err := NewStage(Config{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &sim{t: t, stage: s, now: simStart, refs: map[string]uint32{}, counts: map[string]float64{}, catalogue: 1}
}

func selectorOf(t testing.TB, ms ...string) bus.Selector {
	var out []bus.Matcher
	for i := 0; i < len(ms); i += 2 {
		typ := bus.MatchEqual
		if len(ms[i+1]) > 0 && ms[i+1][0] == '~' {
			out = append(out, bus.Matcher{Name: ms[i], Type: bus.MatchRegexp, Value: ms[i+1][1:]})
			continue
		}
		out = append(out, bus.Matcher{Name: ms[i], Type: typ, Value: ms[i+1]})
	}
	s, err := bus.NewSelector(out)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func simObjective(t testing.TB, target, window string) Objective {
	w, err := ParseDuration(window)
	if err != nil {
		t.Fatal(err)
	}
	one := MustDecimal("1")
	return Objective{
		GlobalNamespace: "shop", Service: "checkout", Name: "availability", Target: MustDecimal(target),
		Window: Window{Type: WindowRolling, Duration: w}, Method: MethodOccurrences,
		SLI: SLI{
			Good:  &Expr{Terms: []Term{{Factor: one, Selector: selectorOf(t, "__name__", "requests", "code", "200")}}},
			Total: Expr{Terms: []Term{{Factor: one, Selector: selectorOf(t, "__name__", "requests")}}},
		},
	}
}

func (s *sim) define(os ...Objective) {
	s.defineAs(mesh.Ref{APIVersion: "openslo/v1", Kind: "SLO", Namespace: "default", Name: "a"}, os...)
}

func (s *sim) defineAs(ref mesh.Ref, os ...Objective) { s.set(ref, 1, os) }

// revise defines as of a revision of the catalogue.
func (s *sim) revise(revision uint64, os ...Objective) {
	s.set(mesh.Ref{APIVersion: "openslo/v1", Kind: "SLO", Namespace: "default", Name: "a"}, revision, os)
}

func (s *sim) set(ref mesh.Ref, revision uint64, os []Objective) {
	compiled, err := json.Marshal(os)
	if err != nil {
		s.t.Fatal(err)
	}
	s.change(mesh.Change{Accepted: true, Revision: revision, Set: []mesh.Definition{{Ref: ref, Revision: revision, Compiled: compiled}}})
}

func (s *sim) change(c mesh.Change) {
	data, err := json.Marshal(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.step(bus.Record{Subject: mesh.SubjectChange, Data: data})
}

func (s *sim) step(r bus.Record) []bus.Draft {
	s.seq++
	r.Seq, r.Time = s.seq, s.now
	s.records = append(s.records, r)
	ds, err := s.stage.Step(&r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.drafts = append(s.drafts, ds...)
	return ds
}

func (s *sim) tick() []bus.Draft { return s.step(bus.Record{Subject: bus.SubjectTick}) }

// A point is one sample of a test.
type point struct {
	series string // value of the label code, a name may follow after "/", and an instance after "@"
	t      bus.Time
	v      float64
	start  bus.Time
}

// send adds points to the open frame; flush ends it.
func (s *sim) send(src bus.Source, ps ...point) {
	for _, p := range ps {
		ref, ok := s.refs[p.series]
		if !ok {
			ref = uint32(len(s.refs))
			s.refs[p.series] = ref
			s.announce(p.series, ref, 0)
		}
		src.Newest = max(src.Newest, p.t)
		s.b.Add(0, s.b.Source(src), ref, p.t, p.start, p.v)
	}
}

func (s *sim) announce(series string, ref uint32, flags uint64) {
	code, instance, ok := strings.Cut(series, "@")
	ls := bus.Labels{{Name: "__name__", Value: "requests"}, {Name: "code", Value: code}}
	if le, ok := strings.CutPrefix(code, "le="); ok {
		ls = bus.Labels{{Name: "__name__", Value: "d_seconds_bucket"}, {Name: "le", Value: le}}
	}
	if ok {
		ls = append(ls, bus.Label{Name: "job", Value: "shop"}, bus.Label{Name: "instance", Value: instance})
	}
	ls = ls.Sort()
	s.b.Announce(0, ref, flags, "", ls.Append(nil))
}

func (s *sim) flush() []bus.Draft {
	s.frames++
	data := s.b.Seal(nil, 7, s.frames, s.catalogue)
	s.b.Reset()
	f := bus.DecodeFrame(data)
	if f.Err != nil {
		s.t.Fatal(f.Err)
	}
	return s.step(bus.Record{Subject: bus.SubjectFrame + "w", Data: data, Frame: f, Section: f.Section(0)})
}

// run lets time go on in ticks, each after one second.
func (s *sim) run(seconds int) {
	for range seconds {
		s.now += bus.Second
		s.tick()
	}
}

func (s *sim) status() Status {
	t := s.stage.byKey["shop\x00checkout\x00availability"]
	if t == nil {
		s.t.Fatal("no such SLO")
	}
	return t.status(s.stage.closed)
}

// alerts returns the alert events so far as "state reason".
func (s *sim) alerts() []string {
	var out []string
	for _, d := range s.drafts {
		if d.Event == nil || d.Event.Type != AlertEventType {
			continue
		}
		var e AlertEvent
		if err := json.Unmarshal(d.Data, &e); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, e.Tier+" "+e.State+" "+e.Reason)
	}
	return out
}
