package slo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

func someStatuses(t testing.TB) (*sim, *StatusFrame) {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	for i := range 900 {
		s.send(prom, point{series: "200", t: s.now, v: float64(100 * i)}, point{series: "500", t: s.now, v: float64(i)})
		s.flush()
		s.run(1)
	}
	return s, &StatusFrame{Partition: 0, At: s.now, AsOf: Moment(s.stage.closed * 1000), Parts: 1, Statuses: []Status{s.status()}, Removed: []StatusKey{{"a", "b", "c"}}}
}

// A user of the API would see other numbers than the stage has, or none: a status frame tells everything again.
func TestStatusFrameRoundTrip(t *testing.T) {
	_, f := someStatuses(t)
	b := EncodeStatusFrame(f)
	t.Logf("%d bytes for one SLO", len(b))
	if len(b) > 220 {
		t.Errorf("%d bytes for one SLO", len(b))
	}
	got, err := DecodeStatusFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	f.Statuses[0].Coverage = got.Statuses[0].Coverage // in millionths
	if d := cmp.Diff(f, got, cmp.AllowUnexported(Decimal{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A client written against the API would break: the shape of a status in JSON.
func TestStatusJSON(t *testing.T) {
	_, f := someStatuses(t)
	got, err := json.MarshalIndent(f.Statuses[0], "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "status.json", append(got, '\n'))
	var back Status
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f.Statuses[0], back, cmp.AllowUnexported(Decimal{})); d != "" {
		t.Errorf("read back (-want +got):\n%s", d)
	}
}

// A subscriber of alerts or of changes of state would break: the shape of the public events and of the detail in JSON.
func TestEventsJSON(t *testing.T) {
	s, _ := someStatuses(t)
	var out []byte
	for _, d := range s.drafts {
		if d.Event == nil && !strings.HasPrefix(d.Subject, bus.SubjectDetail) {
			continue
		}
		out = append(out, d.Subject...)
		out = append(out, '\n')
		out = append(out, d.Data...)
		out = append(out, '\n')
	}
	golden(t, "events.json", out)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// A console would show SLOs that are gone, miss new ones, or call old numbers new.
func TestView(t *testing.T) {
	s := newSim(t)
	second := simObjective(t, "0.99", "7d")
	second.Name = "second"
	s.define(simObjective(t, "0.999", "30d"), second)
	v := NewView(0)
	n := 0
	show := func() []Item {
		for ; n < len(s.drafts); n++ {
			if err := v.Apply(&bus.Record{Time: s.now, Subject: s.drafts[n].Subject, Data: s.drafts[n].Data}); err != nil {
				t.Fatal(err)
			}
		}
		return v.List()
	}
	s.run(1)
	if got := show(); len(got) != 2 || got[0].Name != "availability" || got[1].Name != "second" {
		t.Fatalf("a second after they were defined: %+v", got)
	}
	s.define(second)
	s.run(1)
	if got := show(); len(got) != 1 || got[0].Name != "second" {
		t.Errorf("a second after one was deleted: %+v", got)
	}
	at := s.now
	s.run(25)
	show()
	if it, ok := v.Get("shop", "checkout", "second"); !ok || it.Age > 10*bus.Second {
		t.Errorf("it was told %d ms ago", it.Age)
	}
	if err := v.Apply(&bus.Record{Time: at + 10*bus.Minute, Subject: bus.SubjectTick}); err != nil {
		t.Fatal(err)
	}
	if it, _ := v.Get("shop", "checkout", "second"); it.Age < 9*bus.Minute {
		t.Errorf("a partition that stands still shows age %d", it.Age)
	}
	if err := v.Apply(&bus.Record{Subject: SubjectStatusFrame + "0", Data: []byte("rubbish")}); err == nil {
		t.Error("rubbish was taken")
	}
	small := NewView(1)
	f := &StatusFrame{Parts: 1, Statuses: []Status{s.status2("second"), s.status2("second")}}
	f.Statuses[1].Name = "third"
	if err := small.Apply(&bus.Record{Subject: SubjectStatusFrame + "0", Data: EncodeStatusFrame(f)}); err != nil || len(small.List()) != 1 || small.Refused() != 1 {
		t.Errorf("a full view: %v, %d items, %d refused", err, len(small.List()), small.Refused())
	}
}

// A counter of events would fall, begin anew with each status, or hold what the engine never counted.
func TestViewCounts(t *testing.T) {
	v, k := NewView(0), StatusKey{"g", "s", "n"}
	tell := func() {
		f := &StatusFrame{Statuses: []Status{{GlobalNamespace: "g", Service: "s", Name: "n", Objective: MustDecimal("0.9"), Window: rolling(Duration(bus.Day))}}}
		if err := v.Apply(&bus.Record{Subject: SubjectStatusFrame + "0", Data: EncodeStatusFrame(f)}); err != nil {
			t.Fatal(err)
		}
	}
	minute := func(e LedgerEntry) {
		e.StatusKey = k
		if err := v.Apply(&bus.Record{Subject: SubjectLedgerFrame + "0", Data: EncodeLedgerFrame(&LedgerFrame{Entries: []LedgerEntry{e}})}); err != nil {
			t.Fatal(err)
		}
	}
	minute(LedgerEntry{Good: 5, Total: 5}) // of an SLO that is not known yet
	tell()
	minute(LedgerEntry{Good: 9, Total: 10, LateGood: 0, LateTotal: 2})
	tell()
	minute(LedgerEntry{Good: 1, Total: 1, LateGood: -50, LateTotal: -60}) // excluded afterwards
	if it, _ := v.Get("g", "s", "n"); it.Counted != (Events{Good: 9, Total: 12}) {
		t.Errorf("counted %+v", it.Counted)
	}
	if err := v.Apply(&bus.Record{Subject: SubjectLedgerFrame + "0", Data: []byte("rubbish")}); err == nil {
		t.Error("rubbish was taken")
	}
}

func (s *sim) status2(name string) Status {
	return s.stage.byKey["shop\x00checkout\x00"+name].status(s.stage.closed)
}

// A rotten frame would take every console with it.
func FuzzDecodeStatusFrame(f *testing.F) {
	_, frame := someStatuses(f)
	f.Add(EncodeStatusFrame(frame))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := DecodeStatusFrame(b)
		if err != nil {
			return
		}
		for i := range got.Statuses {
			if _, err := json.Marshal(got.Statuses[i]); err != nil {
				t.Fatal(err)
			}
		}
		if len(got.Statuses) > len(b) {
			t.Fatalf("%d statuses of %d bytes", len(got.Statuses), len(b))
		}
	})
}

// A rotten ledger frame would take the stage of composites with it, or make it want memory without end.
func FuzzDecodeLedgerFrame(f *testing.F) {
	f.Add(EncodeLedgerFrame(&LedgerFrame{Minute: simStart, Entries: []LedgerEntry{{StatusKey: StatusKey{"a", "b", "c"}, Good: 1, Total: 2, Late: []LateMinute{{simStart - bus.Minute, 1, 2}}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if frame, err := DecodeLedgerFrame(b); err == nil {
			if _, err := DecodeLedgerFrame(EncodeLedgerFrame(frame)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
