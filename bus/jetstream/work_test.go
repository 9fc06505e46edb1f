package jetstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"evenkeel.dev/bus"
)

// adder is a stage that adds up the numbers it reads and tells each sum.
type adder struct {
	sum   uint64
	panic bool
}

func (a *adder) Step(r *bus.Record) ([]bus.Draft, error) {
	switch {
	case r.Is("log.result.panic"):
		if a.panic {
			panic("made to")
		}
		return nil, nil
	case !r.Is("log.result.add"):
		return nil, nil
	}
	a.sum += binary.LittleEndian.Uint64(r.Data)
	return []bus.Draft{{Subject: "log.event.add.sum", Event: &bus.Event{Type: "sum", Subject: "sum"}, To: bus.All, Data: fmt.Appendf(nil, "%d", a.sum)}}, nil
}
func (a *adder) Snapshot() ([]byte, error) { return binary.LittleEndian.AppendUint64(nil, a.sum), nil }
func (a *adder) Restore(b []byte) error {
	if len(b) != 8 {
		return errors.New("not a snapshot of an adder")
	}
	a.sum = binary.LittleEndian.Uint64(b)
	return nil
}

func adderSpec(partitions int, panics bool) bus.Spec {
	return bus.Spec{Name: "add", Partitions: partitions, Reads: []string{"log.result.", bus.SubjectTick}, New: func(int) bus.Stage { return &adder{panic: panics} }}
}

func number(n uint64) bus.Message {
	return bus.Message{Subject: "log.result.add", Data: binary.LittleEndian.AppendUint64(nil, n)}
}

func mustAppend(t *testing.T, l *Log, m bus.Message) uint64 {
	t.Helper()
	seq, err := l.Append(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// eventually waits until the condition holds, and fails after the patience.
func eventually(t *testing.T, patience time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !cond() {
		if time.Since(start) > patience {
			t.Fatalf("not within %s: %s", patience, what)
		}
		if wait(t.Context(), 20*time.Millisecond) != nil {
			t.Fatal("the test has ended")
		}
	}
	return time.Since(start)
}

// process is what one process of the installation runs.
type process struct {
	log     *Log
	members *Members
	worker  *Worker
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

func startProcess(t *testing.T, s *Server, id string, spec bus.Spec) *process {
	t.Helper()
	p := &process{log: openTestLog(t, Config{Server: s, Stages: []StageInfo{{spec.Name, spec.Partitions}}})}
	var err error
	if p.members, err = Join(t.Context(), MembersConfig{Log: p.log, ID: id, Roles: []string{spec.Name, RoleTick}}); err != nil {
		t.Fatal(err)
	}
	if p.worker, err = NewWorker(WorkConfig{Log: p.log, Members: p.members, Stages: []StageWork{{Spec: spec}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.wg.Go(func() { p.worker.Run(ctx) })
	p.wg.Go(func() { p.log.RunTicks(ctx, p.members) })
	t.Cleanup(func() { p.cancel(); p.wg.Wait(); p.members.Leave() })
	return p
}

// die is what SIGKILL does to a process, as far as others see it: it falls silent.
func (p *process) die() {
	p.log.conn.Close()
	p.cancel()
	p.wg.Wait()
}

func running(ps ...*process) int {
	n := 0
	for _, p := range ps {
		for _, h := range p.worker.Health() {
			if h.State == StateRunning {
				n++
			}
		}
	}
	return n
}

// TestTakeover: when a process dies its services' budgets and alerts would stand still for longer than 10 seconds.
func TestTakeover(t *testing.T) {
	t.Parallel()
	const partitions = 6
	s := startTestServer(t, t.TempDir())
	a := startProcess(t, s, "a", adderSpec(partitions, false))
	eventually(t, 10*time.Second, "one process runs all", func() bool { return running(a) == partitions })
	b := startProcess(t, s, "b", adderSpec(partitions, false))
	eventually(t, 10*time.Second, "two processes share", func() bool {
		return running(a) > 0 && running(b) > 0 && running(a, b) == partitions
	})
	for n := range 20 {
		mustAppend(t, b.log, number(uint64(n)))
	}
	a.die()
	took := eventually(t, 10*time.Second, "the other one runs all", func() bool { return running(b) == partitions })
	t.Logf("taken over after %s", took)
	mustAppend(t, b.log, number(10))
	eventually(t, 10*time.Second, "each partition has the sum", func() bool {
		for n := range partitions {
			m, err := b.log.lastMsg(t.Context(), streamLog, bus.SubjectCommit+fmt.Sprint("add.", n))
			cp, herr := b.log.Head(t.Context(), "add", n)
			if err != nil || herr != nil || m == nil || cp.Outputs != 21 {
				return false
			}
		}
		return true
	})
	c := startProcess(t, s, "c", adderSpec(partitions, false))
	eventually(t, 10*time.Second, "shared again", func() bool { return running(c) > 0 && running(b, c) == partitions })
	c.cancel()
	c.wg.Wait()
	c.members.Leave()
	took = eventually(t, 3*time.Second, "a clean leave is taken over at once", func() bool { return running(b) == partitions })
	t.Logf("taken over after %s from one that left", took)
}

// TestPanic: a mistake in one stage would take the whole process down.
func TestPanic(t *testing.T) {
	t.Parallel()
	s := startTestServer(t, t.TempDir())
	p := startProcess(t, s, "a", adderSpec(1, true))
	eventually(t, 10*time.Second, "it runs", func() bool { return running(p) == 1 })
	mustAppend(t, p.log, bus.Message{Subject: "log.result.panic"})
	eventually(t, 10*time.Second, "the panic is told", func() bool {
		h := p.worker.Health()[0]
		return h.State == StateFailed && strings.Contains(h.Err, "panic") && h.Restarts > 1
	})
	if n := p.log.Stats().Panics; n < 2 {
		t.Errorf("%d panics are counted", n)
	}
}

// TestTicks: nothing would ever be evaluated, or twice a second.
func TestTicks(t *testing.T) {
	t.Parallel()
	s := startTestServer(t, t.TempDir())
	a := startProcess(t, s, "a", adderSpec(1, false))
	startProcess(t, s, "b", adderSpec(1, false))
	r, err := a.log.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var times []bus.Time
	for len(times) < 4 {
		m, err := r.Next(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == bus.SubjectTick {
			times = append(times, m.Time)
		}
	}
	if d := times[3] - times[1]; d < 1500*bus.Millisecond || d > 4*bus.Second {
		t.Errorf("two ticks took %d ms", d)
	}
}

// TestRetain: LOG would grow until it is full, or lose what a stage or EVENTS still needs.
func TestRetain(t *testing.T) {
	s := startTestServer(t, t.TempDir())
	l := openTestLog(t, Config{Server: s, Stages: []StageInfo{{"add", 1}, {"other", 1}}, Sizes: Sizes{ReserveAge: time.Nanosecond}})
	for n := range 50 {
		mustAppend(t, l, number(uint64(n)))
	}
	run(t, l, 50)
	if r, err := l.Retain(t.Context()); err != nil || r.Purged != 0 || r.By != "other.0" {
		t.Fatalf("a stage that has not begun holds everything: %+v, %v", r, err)
	}
	l.config.Stages = l.config.Stages[:1]
	eventually(t, 20*time.Second, "EVENTS has taken all and LOG is purged", func() bool {
		r, err := l.Retain(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r.Purged > 0
	})
	first := l.mustInfo(t).State.FirstSeq
	cp, err := l.Head(t.Context(), "add", 0)
	if err != nil {
		t.Fatal(err)
	}
	if first < 2 || first > cp.Snapshot.Position.Seq {
		t.Fatalf("LOG begins at %d, the snapshot stands at %d", first, cp.Snapshot.Position.Seq)
	}
	mustAppend(t, l, number(1))
	for n := range uint64(4) {
		name, err := l.PutSnapshot(t.Context(), "add", 0, n%2*1000, []byte("left over"))
		if err != nil || name == "" {
			t.Fatal(err)
		}
	}
	if r, err := l.Retain(t.Context()); err != nil || r.Snapshots != 2 {
		t.Errorf("of four snapshots that nothing refers to two are older than the newest: %+v, %v", r, err)
	}
	if _, err := l.GetSnapshot(t.Context(), cp.Snapshot); err != nil {
		t.Errorf("the snapshot that the checkpoint refers to: %v", err)
	}
	run(t, l, 51)
	eventually(t, 20*time.Second, "EVENTS has every sum, though LOG was purged meanwhile", func() bool {
		i, err := l.info(t.Context(), streamEvents)
		return err == nil && i.State.Msgs == 51
	})
	var sums []string
	err = l.Events(t.Context(), EventsFrom{Seq: 1, Stop: true}, "evenkeel.add.>", func(e Event) error {
		sums = append(sums, string(e.Data))
		return nil
	})
	if err != nil || len(sums) != 51 || sums[49] != "1225" {
		t.Fatalf("events: %d, %v", len(sums), err)
	}
}

// run runs the adder until so many outputs are committed.
func run(t *testing.T, l *Log, outputs uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := false
	err := bus.Run(ctx, bus.RunConfig{Log: l, Spec: adderSpec(1, false), OnCommit: func(cp bus.Checkpoint, _ []bus.Message) {
		if cp.Outputs >= outputs && cp.Snapshot.Name != "" {
			done = true
			cancel()
		}
	}})
	if !done {
		t.Fatalf("run ended with %v", err)
	}
}

// TestEvents: who asks for the events since a moment would miss some or get those before.
func TestEvents(t *testing.T) {
	l := openTestLog(t, Config{Server: startTestServer(t, t.TempDir())})
	var cp bus.Checkpoint
	for i := range 5 {
		next := bus.Checkpoint{Version: 1, Stage: "slo", Number: cp.Number + 1, Previous: cp.Sum()}
		e := event(fmt.Sprintf("log.event.slo.alert.g%d", i%2), fmt.Sprint(i))
		e.Header[2].Value = bus.TimeOf(time.Now()).Std().Add(time.Duration(i-5) * time.Minute).Format(time.RFC3339Nano)
		if err := l.Commit(t.Context(), bus.Commit{Checkpoint: next, Messages: []bus.Message{e}}); err != nil {
			t.Fatal(err)
		}
		cp = next
	}
	collect := func(from EventsFrom, filter string) string {
		var out strings.Builder
		if err := l.Events(t.Context(), from, filter, func(e Event) error { out.Write(e.Data); return nil }); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	eventually(t, 10*time.Second, "EVENTS has them", func() bool {
		i, err := l.info(t.Context(), streamEvents)
		return err == nil && i.State.Msgs == 5
	})
	for _, c := range []struct {
		from   EventsFrom
		filter string
		want   string
	}{
		{EventsFrom{Seq: 1, Stop: true}, "", "01234"}, {EventsFrom{Seq: 3, Stop: true}, "", "234"}, {EventsFrom{Seq: 1, Stop: true}, "evenkeel.slo.alert.g1", "13"},
		{EventsFrom{Time: bus.TimeOf(time.Now().Add(-150 * time.Second)), Stop: true}, "", "34"}, {EventsFrom{Seq: 9, Stop: true}, "", ""}, {EventsFrom{Seq: 1, Stop: true}, "evenkeel.no", ""},
	} {
		if got := collect(c.from, c.filter); got != c.want {
			t.Errorf("%+v %s: got %q, want %q", c.from, c.filter, got, c.want)
		}
	}
	done := errors.New("done")
	got := make(chan Event, 1)
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		ended <- l.Events(ctx, EventsFrom{}, "", func(e Event) error { got <- e; return done })
	}()
	eventually(t, 5*time.Second, "the tail is there", func() bool {
		i, err := l.info(t.Context(), streamEvents)
		return err == nil && i.State.Consumers > 0
	})
	next := bus.Checkpoint{Version: 1, Stage: "slo", Number: cp.Number + 1, Previous: cp.Sum()}
	if err := l.Commit(t.Context(), bus.Commit{Checkpoint: next, Messages: []bus.Message{event("log.event.slo.alert.g9", "new")}}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, done) {
		t.Fatal(err)
	}
	if e := <-got; string(e.Data) != "new" || e.Header.Get("ce-id") != "slo.1.7" {
		t.Errorf("got %+v", e)
	}
}

// TestLedger: a report would lack minutes, count those of other months, or wait for ever.
func TestLedger(t *testing.T) {
	l := openTestLog(t, Config{Server: startTestServer(t, t.TempDir())})
	began := bus.TimeOf(time.Now())
	next := bus.Checkpoint{Version: 1, Stage: "slo", Number: 1}
	var ms []bus.Message
	for i := range 3 {
		m := event(fmt.Sprintf("log.ledger.slo.%d", i), fmt.Sprint(i))
		ms = append(ms, m)
	}
	if err := l.Commit(t.Context(), bus.Commit{Checkpoint: next, Messages: ms}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "LEDGER has them", func() bool {
		i, err := l.info(t.Context(), streamLedger)
		return err == nil && i.State.Msgs == 3
	})
	for _, c := range []struct {
		from, until bus.Time
		want        string
	}{{began - bus.Hour, began + bus.Hour, "012"}, {began - bus.Hour, began - bus.Minute, ""}, {began + bus.Hour, began + 2*bus.Hour, ""}} {
		got := ""
		damaged, err := l.Ledger(t.Context(), c.from, c.until, func(data []byte) error { got += string(data); return nil })
		if err != nil || damaged != 0 || got != c.want {
			t.Errorf("from %s until %s: %q, %d damaged, %v; want %q", c.from, c.until, got, damaged, err, c.want)
		}
	}
	if k, err := l.Kept(t.Context()); err != nil || k != (Kept{}) {
		t.Errorf("kept %+v, %v; nothing was dropped", k, err)
	}
	// Of events since a moment after the last one there are none: the question must end.
	if err := l.Events(t.Context(), EventsFrom{Time: began + bus.Hour, Stop: true}, "", func(Event) error { return nil }); err != nil {
		t.Error(err)
	}
}
