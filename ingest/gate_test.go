package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
	"github.com/google/go-cmp/cmp"
)

func TestOnlyWhatIsNeededIsWritten(t *testing.T) {
	// Broken: an SLO would miss its counters, or the log would fill with series that nobody asked for.
	h := newHouse(t, ingest.Limits{})
	h.SetObjectives(7, []slo.Objective{objective(t, "shop", "checkout", "http_requests_total", "service", "checkout")})
	out := h.send(t, ingest.Sender{Name: "prom", GlobalNamespace: "shop"}, 5,
		series("http_requests_total", "service", "checkout", "code", "200"),
		series("http_requests_total", "service", "cart"),
		series("up"))
	if diff := cmp.Diff(ingest.Outcome{Seq: 1, Kept: 1, Filtered: 2}, out); diff != "" {
		t.Errorf("outcome: %s", diff)
	}
	got := read(t, bus.DefaultPartitions, h.log.stored)
	want := []point{{Partition: bus.Partition("shop", "checkout", bus.DefaultPartitions), Labels: `http_requests_total{code="200", service="checkout"}`,
		Namespace: "shop", Source: "prom/shop//", Time: t0, Value: 5}}
	if diff := cmp.Diff(want, got.Points); diff != "" {
		t.Error(diff)
	}
	if f := got.Frames[0]; f.Catalogue != 7 || f.Writer != 100 || f.Number != 1 {
		t.Errorf("frame head: catalogue %d writer %d number %d", f.Catalogue, f.Writer, f.Number)
	}
	if s := h.Stats(); s.Kept != 1 || s.Filtered != 2 || s.Learned != 3 || s.Series != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestSeriesOfValuesAreKept(t *testing.T) {
	// Broken: an SLO over values (thresholdMetric, raw ratio) would never have data, since nobody knew that its series matters.
	h := newHouse(t, ingest.Limits{})
	o := objective(t, "shop", "checkout", "queue_length")
	o.SLI = slo.SLI{Gauge: &slo.Gauge{Selector: o.SLI.Good.Terms[0].Selector, Op: slo.OpLess, Value: slo.MustDecimal("5")}}
	h.SetObjectives(1, []slo.Objective{o})
	out := h.send(t, ingest.Sender{Name: "prom", GlobalNamespace: "shop"}, 5, series("queue_length"), series("up"))
	if out.Kept != 1 || out.Filtered != 1 {
		t.Errorf("outcome: %+v", out)
	}
}

func TestSeriesOfSeveralServicesGoesToEachPartition(t *testing.T) {
	// Broken: two SLOs that share a series would not both count it.
	h := newHouse(t, ingest.Limits{})
	h.SetObjectives(1, []slo.Objective{objective(t, "shop", "a", "m"), objective(t, "shop", "b", "m"), objective(t, "other", "a", "m")})
	h.send(t, ingest.Sender{Name: "s", GlobalNamespace: "shop"}, 1, series("m"))
	want := map[int]bool{bus.Partition("shop", "a", 16): true, bus.Partition("shop", "b", 16): true}
	got := map[int]bool{}
	for _, p := range read(t, 16, h.log.stored).Points {
		got[p.Partition] = true
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 2 {
		t.Error(diff)
	}
}

func TestFilteredSeriesMoveTimeOnceASecond(t *testing.T) {
	// Broken: the watermark of a source whose series nobody needs would stand still, or each of its requests would cost a write.
	h := newHouse(t, ingest.Limits{})
	for range 3 {
		h.send(t, ingest.Sender{Name: "prom"}, 1, series("up"))
	}
	if got := len(h.log.stored); got != 1 {
		t.Errorf("%d frames for three requests of one moment, want 1", got)
	}
	h.pass(bus.Second)
	h.send(t, ingest.Sender{Name: "prom"}, 1, series("up"))
	got := read(t, 16, h.log.stored)
	if got.Newest["prom///"] != t0+bus.Second || len(got.Points) != 0 {
		t.Errorf("newest %v, points %v", got.Newest, got.Points)
	}
}

func TestNewDefinitionSeesSeriesThatExist(t *testing.T) {
	// Broken: an SLO that is added while its service runs would stay without data until the sender restarts.
	h := newHouse(t, ingest.Limits{})
	s := ingest.Sender{Name: "prom"}
	h.SetObjectives(1, []slo.Objective{objective(t, "g", "old", "m")})
	h.send(t, s, 1, series("m"), series("n"))
	h.SetObjectives(2, []slo.Objective{objective(t, "g", "old", "m"), objective(t, "g", "new", "n"), objective(t, "g", "third", "m")})
	before := len(h.log.stored)
	out := h.send(t, s, 2, series("m"), series("n"))
	if out.Kept != 2 || out.Filtered != 0 {
		t.Errorf("outcome %+v", out)
	}
	got := read(t, 16, h.log.stored[before-1:])
	parts := map[string]int{}
	for _, p := range got.Points {
		if p.Value == 2 {
			parts[p.Labels]++
		}
	}
	if diff := cmp.Diff(map[string]int{"m{}": 2, "n{}": 1}, parts); diff != "" {
		t.Error(diff)
	}
	if n := h.Stats().Series; n != 2 {
		t.Errorf("%d series are kept, want 2: a known one must keep its place", n)
	}
	h.SetObjectives(3, nil)
	if out := h.send(t, s, 3, series("m"), series("n")); out.Kept != 0 || h.Stats().Series != 0 {
		t.Errorf("after all definitions were deleted: %+v, %d series", out, h.Stats().Series)
	}
}

func TestLiveRefsAreAnnouncedAgain(t *testing.T) {
	// Broken: a reader that starts in the middle of the log would not learn what a ref means, or all labels would come in one burst.
	h := newHouse(t, ingest.Limits{})
	h.SetObjectives(1, []slo.Objective{objective(t, "g", "s", "m")})
	var lss []bus.Labels
	for i := range 100 {
		lss = append(lss, series("m", "i", fmt.Sprint(i)))
	}
	send := func() int {
		before := h.Stats().Announced
		h.send(t, ingest.Sender{Name: "prom"}, 1, lss...)
		return int(h.Stats().Announced - before)
	}
	if n := send(); n != 100 {
		t.Fatalf("first sight announced %d of 100", n)
	}
	total, most := 0, 0
	for range 20 {
		h.pass(15 * bus.Second)
		n := send()
		total, most = total+n, max(most, n)
	}
	if total != 100 || most > 20 {
		t.Errorf("within five minutes %d were announced again, at most %d at once; want each once, spread", total, most)
	}
	h.SetObjectives(2, []slo.Objective{objective(t, "g", "s", "m")})
	if n := send(); n != 100 {
		t.Errorf("a new revision announced %d of 100", n)
	}
	read(t, 16, h.log.stored)
}

func TestReplicasAreOneSeriesOfTwoSources(t *testing.T) {
	// Broken: an HA pair of senders would be counted twice.
	h := newHouse(t, ingest.Limits{})
	h.SetObjectives(1, []slo.Objective{objective(t, "g", "s", "m")})
	for _, r := range []string{"a", "b"} {
		h.send(t, ingest.Sender{Name: "prom"}, 1, series("m", "cluster", "eu", "__replica__", r))
	}
	got := read(t, 16, h.log.stored)
	if len(got.Points) != 2 || got.Points[0].Labels != `m{cluster="eu"}` || got.Points[1].Labels != got.Points[0].Labels {
		t.Fatalf("points %+v", got.Points)
	}
	if got.Points[0].Source != "prom//eu/a" || got.Points[1].Source != "prom//eu/b" {
		t.Errorf("sources %s, %s", got.Points[0].Source, got.Points[1].Source)
	}
}

func TestIdentityStandsOverLabels(t *testing.T) {
	// Broken: a sender could speak for another tenant's global namespace or cluster (SAFETY 14).
	h := newHouse(t, ingest.Limits{})
	h.SetObjectives(1, []slo.Objective{objective(t, "shop", "s", "m"), objective(t, "bank", "s", "m")})
	a := h.Begin(ingest.Sender{Name: "prom", GlobalNamespace: "shop", Cluster: "eu"})
	for _, c := range []struct {
		ls   bus.Labels
		want ingest.Reason
	}{
		{series("m", "global_namespace", "bank"), ingest.NamespaceMismatch},
		{series("m", "cluster", "us"), ingest.ClusterMismatch},
		{series("m", "zone", "1"), 0},
	} {
		err := give(a, c.ls, t0, 0, 1)
		var se *ingest.SeriesError
		if got := errors.As(err, &se); got != (c.want != 0) || got && se.Reason != c.want {
			t.Errorf("%v: %v, want %v", c.ls, err, c.want)
		}
	}
	out := h.commit(t, a)
	if out.Kept != 1 || out.Refused[ingest.NamespaceMismatch] != 1 || out.Refused[ingest.ClusterMismatch] != 1 {
		t.Errorf("outcome %+v", out)
	}
	got := read(t, 16, h.log.stored)
	want := []point{{Partition: bus.Partition("shop", "s", 16), Labels: `m{cluster="eu", zone="1"}`, Namespace: "shop", Source: "prom/shop/eu/", Time: t0, Value: 1}}
	if diff := cmp.Diff(want, got.Points); diff != "" {
		t.Error(diff)
	}
}

func TestSendersDoNotShareRefs(t *testing.T) {
	// Broken: equal bytes of two tenants would be taken for one series.
	h := newHouse(t, ingest.Limits{})
	h.SetObjectives(1, []slo.Objective{objective(t, "a", "s", "m"), objective(t, "b", "s", "m")})
	for i, ns := range []string{"a", "b"} {
		h.send(t, ingest.Sender{Name: "same", GlobalNamespace: ns}, float64(i), series("m"))
	}
	got := read(t, 16, h.log.stored)
	if len(got.Points) != 2 || got.Points[0].Namespace != "a" || got.Points[1].Namespace != "b" {
		t.Errorf("points %+v", got.Points)
	}
}

func TestBadSamplesDoNotStopGoodOnes(t *testing.T) {
	// Broken: one sample of 1970 would lose a whole scrape, or poison the watermark of its source.
	h := newHouse(t, ingest.Limits{})
	h.SetObjectives(1, []slo.Objective{objective(t, "g", "s", "m")})
	a := h.Begin(ingest.Sender{Name: "prom"})
	stale := math.Float64frombits(ingest.StaleMarker)
	for _, s := range []struct {
		t bus.Time
		v float64
	}{{t0, 1}, {0, 2}, {-5, 2}, {t0 + 61*bus.Second, 3}, {4_102_444_800_000, 3}, {math.MaxInt64, 3}, {math.MinInt64, 3}, {t0 + bus.Minute, 4},
		{t0 - 2*bus.Hour, 5}, {t0, math.NaN()}, {t0, math.Inf(1)}, {t0, stale}} {
		give(a, series("m"), s.t, 0, s.v)
		give(a, series("other"), s.t, 0, s.v)
	}
	out := h.commit(t, a)
	want := ingest.Outcome{Seq: 1, Kept: 4, Filtered: 12, NotFinite: 2}
	want.Refused[ingest.TooOld] = 3
	want.Refused[ingest.TooFarAhead] = 3
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
	got := read(t, 16, h.log.stored)
	var vs []string
	for _, p := range got.Points {
		vs = append(vs, fmt.Sprint(p.Value))
	}
	if s := strings.Join(vs, " "); s != "1 4 5 NaN" {
		t.Errorf("kept %s", s)
	}
	if got.Newest["prom///"] != t0+bus.Minute {
		t.Errorf("newest %s", got.Newest["prom///"])
	}
}

func TestLabelsOutOfBoundsAreRefused(t *testing.T) {
	// Broken: hostile labels would fill memory or the log, or would break what reads the log.
	h := newHouse(t, ingest.Limits{})
	h.SetObjectives(1, []slo.Objective{objective(t, "g", "s", "m")})
	many := series("m")
	for i := range 1_000_000 {
		many = append(many, bus.Label{Name: fmt.Sprint("l", i), Value: "v"})
	}
	big := strings.Repeat("x", 4000)
	for name, c := range map[string]struct {
		ls   bus.Labels
		want ingest.Reason
	}{
		"a million labels": {many, ingest.LabelsTooMany},
		"long name":        {series("m", strings.Repeat("n", 5000), "v"), ingest.LabelsTooLong},
		"long value":       {series("m", "a", strings.Repeat("v", 1<<20)), ingest.LabelsTooLong},
		"long in all":      {series("m", "a", big, "b", big, "c", big, "d", big, "e", big), ingest.LabelsTooLong},
		"no name":          {bus.Labels{{Name: "a", Value: "b"}}, ingest.NameMissing},
		"empty name":       {series("m", "", "v"), ingest.LabelsInvalid},
		"twice":            {series("m", "a", "1", "b", "2", "a", "1"), ingest.LabelsInvalid},
		"long replica":     {series("m", "__replica__", strings.Repeat("v", 300)), ingest.LabelsTooLong},
		"no UTF-8":         {series("m", "a", "\xff"), ingest.LabelsInvalid},
	} {
		a := h.Begin(ingest.Sender{Name: "prom"})
		ref, err := a.Learn([]byte(name), c.ls, 0)
		var se *ingest.SeriesError
		if !errors.As(err, &se) || se.Reason != c.want || len(err.Error()) > 200 {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		a.Add(ref, t0, 0, 1)
		if out, err := a.Commit(context.Background()); err != nil || out.Refused[c.want] != 1 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	// Broken: a wrong setting would show as a panic or as lost data under load.
	now := func() bus.Time { return t0 }
	writer := func() uint64 { return 1 }
	for name, c := range map[string]ingest.Config{
		"no log":         {Writer: 1, NewWriter: writer, Now: now},
		"no writer":      {Log: &recorder{}, NewWriter: writer, Now: now},
		"partitions":     {Log: &recorder{}, Writer: 1, NewWriter: writer, Now: now, Partitions: 65},
		"labels":         {Log: &recorder{}, Writer: 1, NewWriter: writer, Now: now, Limits: ingest.Limits{Labels: 1000}},
		"frame":          {Log: &recorder{}, Writer: 1, NewWriter: writer, Now: now, Limits: ingest.Limits{FrameMax: 1000}},
		"negative limit": {Log: &recorder{}, Writer: 1, NewWriter: writer, Now: now, Limits: ingest.Limits{Series: -1}},
	} {
		if _, err := ingest.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
