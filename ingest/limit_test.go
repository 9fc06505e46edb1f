package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

func TestSeriesLimitHarmsOnlyTheOffender(t *testing.T) {
	// Broken: a sender with exploding labels would take the place of others' series.
	for name, c := range map[string]struct {
		limits ingest.Limits
		want   ingest.Reason
		kept   int
	}{
		"series":            {ingest.Limits{SenderSeries: 10}, ingest.SeriesLimit, 10},
		"namespace":         {ingest.Limits{NamespaceSeries: 10}, ingest.SeriesLimit, 10},
		"bytes":             {ingest.Limits{SenderBytes: 1000}, ingest.DictionaryLimit, 52},
		"namespace's bytes": {ingest.Limits{NamespaceBytes: 1000}, ingest.DictionaryLimit, 52},
	} {
		h := newHouse(t, c.limits)
		h.SetObjectives(1, []slo.Objective{objective(t, "bad", "s", "m"), objective(t, "good", "s", "m")})
		var lss []bus.Labels
		for i := range 100 {
			lss = append(lss, series("m", "i", fmt.Sprintf("%04d", i)))
		}
		out := h.send(t, ingest.Sender{Name: "bad", GlobalNamespace: "bad"}, 1, lss...)
		if out.Kept != c.kept || out.Refused[c.want] != 100-c.kept {
			t.Errorf("%s: offender %+v", name, out)
		}
		if out := h.send(t, ingest.Sender{Name: "good", GlobalNamespace: "good"}, 1, lss[:10]...); out.Kept != 10 {
			t.Errorf("%s: the other sender %+v", name, out)
		}
		got := read(t, 16, h.log.stored)
		if len(got.Refused) != 1 {
			t.Errorf("%s: the stage was told %d times that it misses series, want once", name, len(got.Refused))
		}
	}
}

func TestNewSeriesPerMinuteAreBounded(t *testing.T) {
	// Broken: endless churn of series would load the log with labels, or series that are gone would be remembered for ever.
	h := kept(t, ingest.Limits{SenderSeries: 100, NewSeriesPerMinute: 6, ForgetAfter: bus.Minute})
	next := 0
	send := func(n int) ingest.Outcome {
		var lss []bus.Labels
		for range n {
			next++
			lss = append(lss, series("m", "i", fmt.Sprint(next)))
		}
		return h.send(t, ingest.Sender{Name: "s"}, 1, lss...)
	}
	if out := send(100); out.Kept != 100 {
		t.Fatalf("the first burst: %+v", out)
	}
	for range 180 { // any arrival drives the search for unused series
		h.pass(bus.Second)
		h.send(t, ingest.Sender{Name: "s"}, 1, series("up"))
	}
	if s := h.Stats(); s.Series != 0 || s.Forgotten != 100 || s.Bytes != 0 {
		t.Fatalf("unused series are still kept: %+v", s)
	}
	if out := send(100); out.Kept != 18 || out.Refused[ingest.NewSeriesLimit] != 82 {
		t.Errorf("after three minutes at six a minute: %+v", out)
	}
}

func TestTenMillionSeriesTakeBoundedMemory(t *testing.T) {
	// Broken: a sender with endless names would take the memory, or push other senders' series out of the filter.
	h := newHouse(t, ingest.Limits{SenderSeries: 1000, FilterBytes: 1 << 20})
	h.SetObjectives(1, []slo.Objective{objective(t, "", "s", "m")})
	other := ingest.Sender{Name: "other"}
	var lss []bus.Labels
	for i := range 1000 {
		lss = append(lss, series([]string{"m", "x"}[i%2], "i", fmt.Sprint(i)))
	}
	h.send(t, other, 1, lss...)
	total := 10_000_000
	if testing.Short() {
		total = 500_000
	}
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	bad := ingest.Sender{Name: "bad"}
	ls := series("m", "i", "")
	key := make([]byte, 0, 32)
	for i := 0; i < total; {
		a := h.Begin(bad)
		for range 10_000 {
			ls[0].Value, ls[1].Value = []string{"m", "x"}[i%2], "same"
			key = fmt.Appendf(key[:0], "%d", i)
			ref, known := a.Ref(key)
			if !known {
				ref, _ = a.Learn(key, ls, 0)
			}
			a.Add(ref, h.now, 0, 1)
			i++
		}
		if _, err := a.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.log.stored = h.log.stored[:0]
		h.pass(bus.Millisecond)
	}
	if grown := heap() - before; grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	learned := h.Stats().Learned
	if out := h.send(t, other, 1, lss...); out.Kept != 500 || out.Refused.Total() != 0 {
		t.Errorf("the other sender: %+v", out)
	}
	if n := h.Stats().Learned - learned; n > 300 {
		t.Errorf("%d of the other sender's 500 filtered series had to be matched again", n)
	}
}

func TestQuotaIsPerSender(t *testing.T) {
	// Broken: a quota would not hold, or would stop those who keep to it.
	h := kept(t, ingest.Limits{SamplesPerMinute: 60})
	send := func(name string, n int) error {
		a := h.Begin(ingest.Sender{Name: name})
		for range n {
			give(a, series("m"), h.clock(), 0, 1)
		}
		_, err := a.Commit(context.Background())
		return err
	}
	if err := send("a", 60); err != nil {
		t.Fatal(err)
	}
	if err := send("a", 1); !errors.Is(err, ingest.ErrQuota) {
		t.Errorf("over the quota: %v", err)
	}
	if err := send("b", 60); err != nil {
		t.Errorf("another sender: %v", err)
	}
	h.pass(10 * bus.Second)
	if err := send("a", 10); err != nil {
		t.Errorf("after ten seconds: %v", err)
	}
}

func TestSendersAndSourcesAreBounded(t *testing.T) {
	// Broken: names of senders or replicas that are made up would fill memory.
	h := kept(t, ingest.Limits{Senders: 2, Sources: 3})
	h.send(t, ingest.Sender{Name: "a"}, 1, series("m"))
	h.send(t, ingest.Sender{Name: "b"}, 1, series("up"))
	a := h.Begin(ingest.Sender{Name: "c"})
	give(a, series("m"), t0, 0, 1)
	if out, err := a.Commit(context.Background()); !errors.Is(err, ingest.ErrSenders) || out.Refused[ingest.SenderLimit] != 1 {
		t.Errorf("a sender too many: %+v, %v", out, err)
	}
	var lss []bus.Labels
	for i := range 5 {
		lss = append(lss, series("m", "__replica__", fmt.Sprint(i)))
	}
	if out := h.send(t, ingest.Sender{Name: "a"}, 1, lss...); out.Kept != 2 || out.Refused[ingest.SourceLimit] != 3 {
		t.Errorf("sources: %+v", out)
	}
	h.pass(bus.Hour)
	if out := h.send(t, ingest.Sender{Name: "c"}, 1, series("m")); out.Kept != 1 {
		t.Errorf("a new sender after an old one was gone for an hour: %+v", out)
	}
	if got := h.Senders(); len(got) != 2 || got[0].Name != "a" || got[0].Series != 0 || got[1].Series != 1 || got[1].Name != "c" {
		t.Errorf("senders: %+v", got)
	}
}
