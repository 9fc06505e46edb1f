package slo

import (
	"fmt"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// steady sends two series for some seconds.
func (s *sim) steady(seconds int, v *float64) {
	for range seconds {
		*v += 10
		s.send(prom, point{series: "200", t: s.now, v: *v}, point{series: "500", t: s.now, v: 0})
		s.flush()
		s.run(1)
	}
}

// states returns the changes of state so far as "STATE Reason".
func (s *sim) reason() string {
	tr := s.stage.order[0]
	return tr.state + " " + tr.reason
}

// A user would trust a number that is missing something: lost frames, a new writer whose first frames are lost, a damaged frame, a gap
// in the log and unknown refs each turn the SLO to UNKNOWN with the reason, and it comes back.
func TestGaps(t *testing.T) {
	for want, trouble := range map[string]func(s *sim){
		ReasonGap:       func(s *sim) { s.frames += 2 },
		ReasonGap + " ": func(s *sim) { s.step(bus.Record{Subject: bus.SubjectGap, Missing: 1}) },
		ReasonDamagedFrame: func(s *sim) {
			s.step(bus.Record{Subject: bus.SubjectFrame + "w", Frame: bus.DecodeFrame([]byte("EKF1 and rubbish"))})
		},
		ReasonUnknownSeries: func(s *sim) { s.b.Add(0, s.b.Source(prom), 77, s.now, 0, 1) },
		ReasonGap + "  ": func(s *sim) {
			data := s.b.Seal(nil, 8, 3, 1)
			f := bus.DecodeFrame(data)
			s.step(bus.Record{Subject: bus.SubjectFrame + "x", Frame: f, Section: f.Section(0)})
		},
	} {
		s, v := newSim(t), 0.0
		s.define(simObjective(t, "0.999", "30d"))
		s.steady(60, &v)
		covered := s.status().Coverage
		trouble(s)
		s.steady(2, &v)
		if got := s.reason(); got != StateUnknown+" "+strings.TrimSpace(want) {
			t.Errorf("%s: %s", want, got)
		}
		s.steady(40, &v)
		if got := s.reason(); got != StateHealthy+" "+ReasonMeetsObjective {
			t.Errorf("after %s: %s", want, got)
		}
		if c := s.status().Coverage; c >= 0.999 || covered < 0.9 {
			t.Errorf("after %s the slices are not marked: coverage %v, was %v", want, c, covered)
		}
		if e := s.status().Events; e.Total < v-100 {
			t.Errorf("after %s: %v events of %v", want, e.Total, v)
		}
	}
}

// A user would see events twice when a frame's append was tried again after its answer was lost.
func TestRepeatedFrameChangesNothing(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	s.refs["200"] = 0
	s.announce("200", 0, bus.SeriesDelta)
	for range 20 {
		s.send(prom, point{series: "200", t: s.now, v: 5, start: s.now - 500})
		s.flush()
		last := s.records[len(s.records)-1]
		s.step(last)
		s.run(1)
	}
	s.run(20)
	if got := s.status(); got.Events.Good != 100 || got.State != StateHealthy {
		t.Errorf("%v good events of 100, %s %s", got.Events.Good, got.State, got.Reason)
	}
}

// A tenant over ingest's bound would see a number that lacks the refused series: the announcement of a refusal makes it UNKNOWN.
func TestRefusedSeries(t *testing.T) {
	s, v := newSim(t), 0.0
	s.define(simObjective(t, "0.999", "30d"))
	s.steady(30, &v)
	s.announce("503", 0, bus.SeriesRefused)
	s.steady(5, &v)
	if got := s.reason(); got != StateUnknown+" "+ReasonSeriesLimit {
		t.Error(got)
	}
	if v, _ := s.stage.writers[7], 0; v.lookup(0) < refSeries {
		t.Error("the refusal took the ref of a series")
	}
	s.steady(700, &v)
	if got := s.reason(); got != StateHealthy+" "+ReasonMeetsObjective {
		t.Errorf("eleven minutes later: %s", got)
	}
}

// An operator would see memory grow with every pod that ever was: what is silent for long is forgotten, and what comes back is new.
func TestSilentSeriesAreForgotten(t *testing.T) {
	s, v := newSim(t), 0.0
	s.define(simObjective(t, "0.999", "30d"))
	for i := range 200 {
		s.send(prom, point{series: fmt.Sprint("pod", i), t: s.now, v: 1})
	}
	s.steady(5, &v)
	if n := len(s.stage.byID); n != 202 {
		t.Fatalf("%d series", n)
	}
	for range 300 {
		s.now += bus.Minute
		s.steady(1, &v)
	}
	if n := len(s.stage.byID); n != 2 {
		t.Errorf("five hours later: %d series are remembered", n)
	}
	if n := s.stage.order[0].series; n != 2 {
		t.Errorf("five hours later: the SLO has %d series", n)
	}
	s.send(prom, point{series: "pod7", t: s.now, v: 1})
	s.flush()
	if s.stage.unknown != 0 || s.stage.Stats.SamplesUnknown.Load() != 1 {
		t.Errorf("the forgotten ref is not told as unknown")
	}
}

// A user would believe in an SLO that the stage could not take: what cannot be taken is told, and what was there stays.
func TestDefinitionsThatCannotBeTaken(t *testing.T) {
	s := newSim(t)
	s.stage.MaxObjectives = 2
	good := simObjective(t, "0.999", "30d")
	s.define(good)
	ref := func(name string) mesh.Ref {
		return mesh.Ref{APIVersion: "openslo/v1", Kind: "SLO", Namespace: "default", Name: name}
	}
	s.defineAs(ref("same-name"), good)
	bad := good
	bad.Method = "Magic"
	s.define(bad)
	s.change(mesh.Change{Accepted: true, Set: []mesh.Definition{{Ref: ref("a"), Compiled: []byte(`["x"]`)}}})
	s.step(bus.Record{Subject: mesh.SubjectChange, Data: []byte("{")})
	s.change(mesh.Change{Accepted: true, Set: []mesh.Definition{{Ref: ref("target"), Compiled: []byte(`{"url":"x"}`)}}})
	s.change(mesh.Change{Accepted: false, Deleted: []mesh.Ref{ref("a")}})
	for i := range 3 {
		o := good
		o.Name = fmt.Sprint("more", i)
		s.defineAs(ref(o.Name), o)
	}
	var told []string
	for _, d := range s.drafts {
		for _, reason := range []string{DefinitionRefused, DefinitionUnreadable} {
			if d.Subject == SubjectDefinitionDetail && strings.Contains(string(d.Data), `"reason":"`+reason+`"`) {
				told = append(told, reason)
			}
		}
	}
	want := []string{DefinitionRefused, DefinitionRefused, DefinitionUnreadable, DefinitionUnreadable, DefinitionRefused, DefinitionRefused}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", told, want)
	}
	if len(s.stage.order) != 2 || s.stage.byKey[keyOf(&good)].o.Method != MethodOccurrences {
		t.Errorf("%d SLOs", len(s.stage.order))
	}
}

// A service's SLO would be counted by no partition, or by two.
func TestSpecTakesEachObjectiveOnce(t *testing.T) {
	spec, err := Spec(4, Config{})
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for p := range spec.Partitions {
		s := spec.New(p).(*Stage)
		sm := &sim{t: t, stage: s, now: simStart, refs: map[string]uint32{}}
		var os []Objective
		for i := range 20 {
			o := simObjective(t, "0.999", "30d")
			o.Service = fmt.Sprint("service", i)
			os = append(os, o)
		}
		sm.define(os...)
		taken += len(s.order)
	}
	if taken != 20 {
		t.Errorf("20 objectives were taken %d times", taken)
	}
	if _, err := Spec(4, Config{Lateness: bus.Hour}); err == nil {
		t.Error("a lateness of an hour was taken")
	}
	o := simObjective(t, "0.999", "30d")
	if n := len(o.Selectors()); n != 2 {
		t.Errorf("%d selectors", n)
	}
}

// A sender whose clock is wrong would make everybody else's samples late, or its own count for the future.
func TestSampleFromTheFutureIsRefused(t *testing.T) {
	s, v := newSim(t), 0.0
	s.define(simObjective(t, "0.999", "30d"))
	s.steady(30, &v)
	s.send(bus.Source{Sender: "wrong"}, point{series: "404", t: s.now + bus.Hour, v: 1})
	s.flush()
	s.steady(30, &v)
	if lag := s.now - s.status().AsOf.Time(); lag > 8*bus.Second || lag < 4*bus.Second {
		t.Errorf("the watermark is %d ms behind", lag)
	}
	if n := s.stage.Stats.SamplesAhead.Load(); n != 1 {
		t.Errorf("%d samples refused", n)
	}
	if n := s.stage.Stats.SamplesLate.Load(); n != 0 {
		t.Errorf("%d samples of others are late", n)
	}
}
