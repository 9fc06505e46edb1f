package ingest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

const t0 = bus.Time(1_800_000_000_000)

// A recorder is a log that keeps what it stores, and fails where a test says so.
type recorder struct {
	mu     sync.Mutex
	stored [][]byte
	fail   func(attempt int) (store bool, err error) // nil: store
	tries  int
	block  chan struct{} // if set, each append waits for one value
}

func (r *recorder) Append(_ context.Context, m bus.Message) (uint64, error) {
	if r.block != nil {
		<-r.block
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	store, err := true, error(nil)
	if r.fail != nil {
		store, err = r.fail(r.tries)
	}
	if store {
		r.stored = append(r.stored, append([]byte(nil), m.Data...))
	}
	return uint64(len(r.stored)), err
}

// A point is one sample as a reader of the log sees it.
type point struct {
	Partition int
	Labels    string
	Namespace string
	Source    string
	Time      bus.Time
	Start     bus.Time
	Value     float64
}

// A replay is what a reader makes of stored frames: it holds them to the rules of frames.
type replay struct {
	Points   []point
	Newest   map[string]bus.Time // by source
	Refused  []string            // labels of refused series
	Frames   []*bus.Frame
	announce int
}

func read(t *testing.T, partitions int, stored [][]byte) *replay {
	t.Helper()
	type refKey struct {
		writer    uint64
		partition int
		ref       uint32
	}
	out := &replay{Newest: map[string]bus.Time{}}
	known := map[refKey]bus.Announcement{}
	last := map[uint64]uint64{}
	for _, b := range stored {
		f := bus.DecodeFrame(b)
		if f.Err != nil {
			t.Fatalf("frame: %v", f.Err)
		}
		if f.Number <= last[f.Writer] {
			continue // a duplicate, as readers must skip it
		}
		if f.Number != last[f.Writer]+1 {
			t.Fatalf("writer %x jumps from frame %d to %d", f.Writer, last[f.Writer], f.Number)
		}
		last[f.Writer] = f.Number
		out.Frames = append(out.Frames, f)
		name := func(i int) string {
			s := f.Sources[i]
			return fmt.Sprintf("%s/%s/%s/%s", s.Sender, s.GlobalNamespace, s.Cluster, s.Replica)
		}
		for i := range f.Sources {
			out.Newest[name(i)] = max(out.Newest[name(i)], f.Sources[i].Newest)
		}
		for p := range partitions {
			var sr bus.SectionReader
			as, err := sr.Reset(f.Section(p))
			if err != nil {
				t.Fatalf("section %d: %v", p, err)
			}
			for _, a := range as {
				if a.Flags&bus.SeriesRefused != 0 {
					out.Refused = append(out.Refused, a.Labels.String())
					continue
				}
				out.announce++
				k := refKey{f.Writer, p, a.Ref}
				if old, ok := known[k]; ok && old.ID != a.ID {
					t.Fatalf("ref %d of writer %x is two series: %s and %s", a.Ref, f.Writer, old.Labels, a.Labels)
				}
				known[k] = a
			}
			var b bus.Block
			for sr.Next(&b) {
				for i, ref := range b.Refs {
					a, ok := known[refKey{f.Writer, p, ref}]
					if !ok {
						t.Fatalf("frame %d: ref %d in partition %d was never announced", f.Number, ref, p)
					}
					pt := point{Partition: p, Labels: a.Labels.String(), Namespace: a.GlobalNamespace, Source: name(b.Source), Time: b.Times[i], Value: b.Values[i]}
					if len(b.Starts) > 0 {
						pt.Start = b.Starts[i]
					}
					out.Points = append(out.Points, pt)
				}
			}
			if err := sr.Err(); err != nil {
				t.Fatalf("section %d: %v", p, err)
			}
		}
	}
	return out
}

// A house is a gate with a clock and a log that a test controls.
type house struct {
	*ingest.Gate
	log recorder
	now bus.Time
	mu  sync.Mutex
}

func newHouse(t testing.TB, l ingest.Limits) *house {
	t.Helper()
	return newHouseAs(t, l, 100)
}

// newHouseAs is a house whose first writer has this number.
func newHouseAs(t testing.TB, l ingest.Limits, writer uint64) *house {
	t.Helper()
	h := &house{now: t0}
	g, err := ingest.New(ingest.Config{Log: &h.log, Writer: writer, NewWriter: func() uint64 { writer++; return writer }, Now: h.clock, Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	h.Gate = g
	return h
}

func (h *house) clock() bus.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) pass(d bus.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now += d
}

// objective returns an SLO whose total is the selector in Prometheus' notation of name and label pairs.
func objective(t testing.TB, space, service, metric string, pairs ...string) slo.Objective {
	t.Helper()
	ms := []bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: metric}}
	for i := 0; i+1 < len(pairs); i += 2 {
		ms = append(ms, bus.Matcher{Name: pairs[i], Type: bus.MatchEqual, Value: pairs[i+1]})
	}
	sel, err := bus.NewSelector(ms)
	if err != nil {
		t.Fatal(err)
	}
	e := slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: sel}}}
	return slo.Objective{GlobalNamespace: space, Service: service, Name: service + "-slo", SLI: slo.SLI{Good: &e, Total: e}, Definition: mesh.Ref{Name: service}}
}

func series(metric string, pairs ...string) bus.Labels {
	ls := bus.Labels{{Name: "__name__", Value: metric}}
	for i := 0; i+1 < len(pairs); i += 2 {
		ls = append(ls, bus.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return ls
}

// give offers one sample the way a shell does and returns why the series was refused.
func give(a *ingest.Arrival, ls bus.Labels, t, start bus.Time, v float64) error {
	key := []byte(fmt.Sprint(ls))
	ref, known := a.Ref(key)
	var err error
	if !known {
		ref, err = a.Learn(key, ls, 0)
	}
	a.Add(ref, t, start, v)
	return err
}

func (h *house) commit(t testing.TB, a *ingest.Arrival) ingest.Outcome {
	t.Helper()
	out, err := a.Commit(context.Background())
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return out
}

// send is one arrival of one sample of each series.
func (h *house) send(t testing.TB, s ingest.Sender, v float64, lss ...bus.Labels) ingest.Outcome {
	t.Helper()
	a := h.Begin(s)
	for _, ls := range lss {
		give(a, append(bus.Labels(nil), ls...), h.clock(), 0, v)
	}
	return h.commit(t, a)
}
