package slo

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

var update = flag.Bool("update", false, "write golden files anew")

// workload makes the records of half an hour with everything that can happen: two SLOs, replicas, resets, gaps, damage, an absence,
// changes of definitions.
func workload(t testing.TB, seed uint64, seconds int) []bus.Record {
	rnd := rand.New(rand.NewPCG(seed, 5))
	s := newSim(t)
	second := simObjective(t, "0.95", "7d")
	second.Name = "second"
	second.Alerting.Tiers = []Tier{{Name: "page", Severity: "page", Pairs: []BurnPair{{Long: Duration(10 * bus.Minute), Short: Duration(bus.Minute), Factor: MustDecimal("2")}}}}
	s.define(append(timed(t), simObjective(t, "0.999", "30d"), second)...)
	sources := []bus.Source{prom, {Sender: "p", Cluster: "eu", Replica: "a"}, {Sender: "p", Cluster: "eu", Replica: "b"}, {Sender: "otel"}}
	codes := []string{"200@a", "500@a", "404"}
	values := map[string]float64{}
	for i := range seconds {
		s.now += bus.Second
		if rnd.IntN(300) == 0 {
			s.now += bus.Time(rnd.IntN(400)) * bus.Second
		}
		for k, src := range sources {
			if rnd.IntN(5) > 0 || k == 1 && i > seconds/2 {
				continue
			}
			for _, code := range append(codes, fmt.Sprint(500+i/40, "@a")) { // one is born now and then
				if k == 0 || k == 3 {
					code, _, _ = strings.Cut(code, "@")
					code += "/" + src.Sender + "@b"
				}
				if strings.HasPrefix(code, "200") || i/300%2 == 1 { // troubles come and go every five minutes
					values[code] += float64(rnd.IntN(50)) + 0.25*float64(rnd.IntN(2))
				}
				if rnd.IntN(200) == 0 {
					values[code] = 0
				}
				start := bus.Time(0)
				if i/300%2 == 1 {
					start = s.now - bus.Time(rnd.IntN(100))*bus.Minute
				}
				s.send(src, point{series: code, t: s.now - bus.Time(rnd.IntN(9000)), v: values[code], start: start})
			}
		}
		if i%7 == 0 {
			for k, le := range []string{"0.1", "0.25", "0.5", "+Inf"} {
				if i > seconds/3 && k == 1 {
					continue // a bound is given up
				}
				values[le] += float64((k + 1) * rnd.IntN(9))
				s.send(prom, point{series: "le=" + le + "@b", t: s.now, v: values[le]})
			}
		}
		if !s.b.Empty() {
			s.flush()
		}
		trouble(t, s, rnd, second)
		s.tick()
	}
	return s.records
}

// timed returns objectives of the other methods and windows; the daily one begins anew ten minutes after simStart.
func timed(t testing.TB) []Objective {
	daily := simObjective(t, "0.99", "30d")
	daily.Name = "daily"
	daily.Window = NewCalendarWindow(Calendar{Unit: UnitDay, Count: 1, Start: "2027-01-01 08:10:00", Zone: Zone{Name: "UTC", Offsets: []Offset{{}}}})
	extra(Tier{Name: "half", Severity: SeverityTicket, Spent: decimalPtr("0.5")}, Tier{Name: "ends", Severity: SeverityPage, Exhaustion: Duration(2 * bus.Hour)},
		Tier{Name: "no-data", Severity: SeverityTicket, Absent: Duration(bus.Minute)})(&daily)
	daily.Alerting.Disabled = false
	slices := simObjective(t, "0.9", "7d")
	slices.Name, slices.Method, slices.Slice, slices.OnNoData = "slices", MethodTimeslices, &Slice{Length: Duration(10 * bus.Second), Target: MustDecimal("0.8")}, NoDataBad
	ratio := daily
	ratio.Name, ratio.Method, ratio.Slice, ratio.OnNoData = "ratio", MethodRatioTimeslices, &Slice{Length: Duration(bus.Minute)}, NoDataExclude
	held := slices
	held.Name, held.OnNoData = "held", NoDataHold
	grouped := simObjective(t, "0.99", "7d")
	grouped.Name, grouped.GroupBy, grouped.MaxGroups, grouped.GroupAlerts = "grouped", []string{"instance", "code"}, 4, GroupAlertsBoth
	fast := latencyObjective(t, "0.25")
	fast.Name, fast.Percentiles, fast.GroupBy = "fast", true, []string{"instance"}
	guessed := latencyObjective(t, "0.3")
	guessed.Name, guessed.SLI.Interpolate, guessed.Window = "guessed", true, daily.Window
	least := slices
	least.Name, least.SLI = "least", SLI{Gauge: &Gauge{Selector: slices.SLI.Total.Terms[0].Selector, Op: OpGreater, Value: MustDecimal("100"), Over: OverLeast}}
	return []Objective{daily, slices, ratio, held, grouped, fast, guessed, least}
}

func trouble(t testing.TB, s *sim, rnd *rand.Rand, second Objective) {
	ref := mesh.Ref{APIVersion: "openslo/v1", Kind: "SLO", Namespace: "default", Name: "b"}
	third := second
	third.Name = "third"
	switch rnd.IntN(400) {
	case 0:
		s.frames++
	case 1:
		s.step(bus.Record{Subject: bus.SubjectGap, Missing: 3})
	case 2:
		s.step(bus.Record{Subject: bus.SubjectFrame + "w", Frame: bus.DecodeFrame([]byte("damaged"))})
	case 3:
		s.defineAs(ref, third)
	case 4:
		third.Window.Duration = Duration(28 * bus.Day)
		s.defineAs(ref, third)
	case 5:
		third.SLI.Total = *third.SLI.Good
		s.defineAs(ref, third)
	case 14, 15:
		third = latencyObjective(t, "0.5")
		third.Name, third.Percentiles = "third", rnd.IntN(2) == 0
		s.defineAs(ref, third)
	case 9:
		s.catalogue++
	case 6:
		s.change(mesh.Change{Accepted: true, Deleted: []mesh.Ref{ref}})
	case 10, 11, 12:
		x := Exclusion{GlobalNamespace: "shop", Services: []string{"*"}, Reason: "maintenance"}
		if from := secondOf(s.now) - int64(rnd.IntN(600)); rnd.IntN(2) == 0 {
			x.Once = []Span{{from, from + 1 + int64(rnd.IntN(900))}}
		} else {
			x.SLOs, x.Recurring = []string{"second", "slices", "daily"}, &Recurrence{Start: "2027-01-01 08:20:00", Duration: Duration(7 * bus.Minute), Zone: utcZone, Rule: "FREQ=DAILY"}
		}
		s.exclude(fmt.Sprint("x", rnd.IntN(3)), x)
	case 13:
		s.change(mesh.Change{Accepted: true, Deleted: []mesh.Ref{exclusionRef(fmt.Sprint("x", rnd.IntN(3)))}})
	case 17, 18:
		if tr := s.stage.byKey[keyOf(&second)]; tr != nil {
			at := floorDiv(tr.began(), 60)
			s.backfill(second, at-30, at, PastMinute{at - 20, 5, 7, 60}, PastMinute{at - 2, 1.5, 3, 30})
		}
	case 7, 8:
		for code, n := range map[string]uint32{"200@a": 0} { // announced again
			if r, ok := s.refs[code]; ok {
				n = r
			}
			s.announce(code, n, 0)
		}
	}
}

// play steps through records and returns everything that came out, as bytes.
func playRecords(t testing.TB, s *Stage, rs []bus.Record) []byte {
	var out bytes.Buffer
	for i := range rs {
		ds, err := s.Step(&rs[i])
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			out.WriteString(d.Subject)
			if d.Event != nil {
				out.WriteString(d.Event.Type + d.Event.Subject + d.Event.Time.String())
			}
			out.Write(d.Data)
		}
	}
	return out.Bytes()
}

func newTestStage(t testing.TB) *Stage {
	s, err := NewStage(Config{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func snapshotOf(t testing.TB, s *Stage) []byte {
	b, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A user would be paged twice or see other counts after a restart: cut at any record, snapshot, restore, and nothing changes; run
// twice, and everything is the same.
func TestCutAnywhereChangesNothing(t *testing.T) {
	for seed := range uint64(6) {
		rs := workload(t, seed, 1500)
		whole := newTestStage(t)
		want := playRecords(t, whole, rs)
		if again := playRecords(t, newTestStage(t), rs); !bytes.Equal(want, again) {
			t.Fatalf("seed %d: running twice gives another output", seed)
		}
		end := snapshotOf(t, whole)
		rnd := rand.New(rand.NewPCG(seed, 6))
		for range 8 {
			cut := rnd.IntN(len(rs))
			first := newTestStage(t)
			got := playRecords(t, first, rs[:cut])
			state := snapshotOf(t, first)
			second := newTestStage(t)
			if err := second.Restore(state); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(state, snapshotOf(t, second)) {
				t.Fatalf("seed %d: the state restored at %d is another", seed, cut)
			}
			got = append(got, playRecords(t, second, rs[cut:])...)
			if !bytes.Equal(want, got) {
				t.Fatalf("seed %d: cut at %d of %d, the output is another", seed, cut, len(rs))
			}
			if !bytes.Equal(end, snapshotOf(t, second)) {
				t.Fatalf("seed %d: cut at %d of %d, the end state is another", seed, cut, len(rs))
			}
		}
	}
}

// A user who upgrades would lose all counts: states of each version that is known, kept in files, are read for good.
func TestRestoreOfEachVersion(t *testing.T) {
	for v := 1; v <= snapshotVersion; v++ {
		t.Run(fmt.Sprint(v), func(t *testing.T) { restoreVersion(t, fmt.Sprintf("snapshot_v%d", v)) })
	}
}

func restoreVersion(t *testing.T, name string) {
	path := filepath.Join("testdata", name+".golden")
	if _, err := os.Stat(path); *update && err != nil { // an old version's file is never written anew
		s := newTestStage(t)
		playRecords(t, s, workload(t, 1, 300))
		if err := os.WriteFile(path, snapshotOf(t, s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	state, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := newTestStage(t)
	if err := old.Restore(state); err != nil {
		t.Fatal(err)
	}
	again := newTestStage(t)
	if err := again.Restore(snapshotOf(t, old)); err != nil {
		t.Fatalf("written in today's version it cannot be read: %v", err)
	}
	if !bytes.Equal(snapshotOf(t, old), snapshotOf(t, again)) {
		t.Error("written in today's version it is another state")
	}
	var got []byte
	for _, tr := range old.order {
		b, err := json.MarshalIndent(tr.status(old.closed), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(append(got, b...), '\n')
	}
	golden(t, name+".json", got)
}

// A state for another partition, cut or rotten, would make an SLO count from nonsense: it is refused and the stage stays empty.
func TestRestoreRefuses(t *testing.T) {
	s := newTestStage(t)
	playRecords(t, s, workload(t, 2, 200))
	state := snapshotOf(t, s)
	for _, n := range []int{0, 3, 10, len(state) / 2, len(state) - 1} {
		if err := newTestStage(t).Restore(state[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken", n, len(state))
		}
	}
	other, err := NewStage(Config{Partition: 1, Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Restore(state); err == nil {
		t.Error("another partition's state was taken")
	}
}

// A rotten snapshot would take the process with it instead of stopping its partition.
func FuzzRestore(f *testing.F) {
	s := newTestStage(f)
	playRecords(f, s, workload(f, 3, 120))
	f.Add(snapshotOf(f, s))
	f.Add([]byte("\x03EKO\x01"))
	f.Add([]byte("\x03EKO\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newTestStage(t)
		if s.Restore(b) != nil {
			return
		}
		if _, err := s.Snapshot(); err != nil {
			t.Fatal(err)
		}
	})
}
