package watch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/slo"
)

const t0 = bus.Time(1_800_000_000_000)

// A book is a log that keeps observations of calls, and fails where a test says so.
type book struct {
	all  []bus.Message
	fail error
}

func (b *book) Append(_ context.Context, m bus.Message) (uint64, error) {
	if b.fail != nil {
		return 0, b.fail
	}
	b.all = append(b.all, bus.Message{Subject: m.Subject, Data: append([]byte(nil), m.Data...)})
	return uint64(len(b.all)), nil
}

// A house is a gate with a watcher behind it.
type house struct {
	t    testing.TB
	gate *ingest.Gate
	of   *Calls
	book *book
	now  bus.Time
}

func newHouse(t testing.TB, l Limits) *house {
	t.Helper()
	h := &house{t: t, book: &book{}, now: t0}
	h.of = New(Config{Log: h.book, Writer: 7, Limits: l})
	g, err := ingest.New(ingest.Config{Log: &book{}, Writer: 1, NewWriter: func() uint64 { return 2 }, Now: func() bus.Time { return h.now }, Watcher: h.of})
	if err != nil {
		t.Fatal(err)
	}
	h.gate = g
	return h
}

func labels(name string, pairs ...string) bus.Labels {
	ls := bus.Labels{{Name: "__name__", Value: name}}
	for i := 0; i+1 < len(pairs); i += 2 {
		ls = append(ls, bus.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return ls.Sort()
}

// request are the labels of Istio for calls from web to cart.
func request(more ...string) bus.Labels {
	return labels("istio_requests_total", append([]string{"reporter", "destination", "source_canonical_service", "web", "source_workload_namespace", "shop", "source_cluster", "eu-1",
		"destination_canonical_service", "cart", "destination_service_namespace", "shop", "destination_cluster", "eu-1", "destination_canonical_revision", "v1",
		"connection_security_policy", "mutual_tls", "source_principal", "spiffe://mesh/web", "response_code", "200"}, more...)...)
}

type sample struct {
	ls bus.Labels
	v  float64
}

func (h *house) send(s ingest.Sender, at bus.Time, flags uint64, samples ...sample) {
	h.t.Helper()
	a := h.gate.Begin(s)
	for _, x := range samples {
		key := []byte(fmt.Sprint(x.ls))
		ref, known := a.Ref(key)
		if !known {
			ref, _ = a.Learn(key, append(bus.Labels(nil), x.ls...), flags)
		}
		a.Add(ref, at, 0, x.v)
	}
	if _, err := a.Commit(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

// counts reports and returns all that was appended so far, without what was already returned.
func (h *house) counts() []calls.Count {
	h.t.Helper()
	if err := h.of.Report(context.Background(), h.now); err != nil {
		h.t.Fatal(err)
	}
	var out []calls.Count
	for _, m := range h.book.all {
		_, cs, err := calls.Decode(m.Data)
		if err != nil {
			h.t.Fatal(err)
		}
		out = append(out, cs...)
	}
	h.book.all = nil
	return out
}

func TestIstio(t *testing.T) {
	// The picture would have other numbers than the mesh's own metrics: starts, resets, repeats, failures, encryption.
	h := newHouse(t, Limits{})
	ok, bad := request(), request("response_code", "503", "connection_security_policy", "none", "source_principal", "unknown")
	buckets := func(le string) bus.Labels {
		ls := request("le", le)
		for i := range ls {
			if ls[i].Name == "__name__" {
				ls[i].Value = "istio_request_duration_milliseconds_bucket"
			}
		}
		return ls
	}
	s := ingest.Sender{Name: "prometheus"}
	at := func(v, w, b float64) {
		h.now += 15 * bus.Second
		all := []sample{{ok, v}, {bad, w}, {buckets("100"), b}, {buckets("30"), b}, {buckets("+Inf"), v}}
		h.send(s, h.now, 0, all...)
		h.send(s, h.now, 0, all...) // sent twice
	}
	at(1000, 50, 900)
	at(1100, 51, 990)
	at(20, 53, 10) // the first one restarted
	end := func(svc string) calls.End { return calls.End{Cluster: "eu-1", Namespace: "shop", Service: svc} }
	good := calls.Count{Source: end("web"), Destination: end("cart"), Version: "v1", Principal: "spiffe://mesh/web", Counts: calls.Counts{Requests: 120, Mutual: 120}}
	good.Latency[4] = 100
	good.Latency[len(good.Latency)-1] = 120
	want := []calls.Count{{Source: end("web"), Destination: end("cart"), Version: "v1", Counts: calls.Counts{Requests: 3, Failed: 3, Plain: 3}}, good}
	if diff := cmp.Diff(want, h.counts()); diff != "" {
		t.Error(diff)
	}
	if got := h.counts(); len(got) != 0 {
		t.Errorf("nothing came since, and %+v was told", got)
	}
	if st := h.gate.Stats(); st.Series != 0 || st.Kept != 0 || st.Frames == 0 || st.Filtered != 30 {
		t.Errorf("the gate: %+v", st)
	}
}

func TestServiceGraph(t *testing.T) {
	// Calls that only traces know would not show.
	h := newHouse(t, Limits{})
	of := func(name string, more ...string) bus.Labels {
		return labels("traces_service_graph_request_"+name, append([]string{"client", "web", "server", "cart", "server_k8s_namespace_name", "shop"}, more...)...)
	}
	user := labels("traces_service_graph_request_total", "client", "user", "server", "web")
	for n := range 4 {
		i := float64(n)
		h.now += 10 * bus.Second
		h.send(ingest.Sender{Name: "collector"}, h.now, 0, sample{of("total"), 100 * i}, sample{of("failed_total"), 4 * i}, sample{of("server_seconds_bucket", "le", "0.1"), 90 * i},
			sample{of("server_seconds_bucket", "le", "+Inf"), 100 * i}, sample{of("client_seconds_bucket", "le", "0.1"), 7 * i}, sample{user, i})
	}
	want := calls.Count{Source: calls.End{Service: "web"}, Destination: calls.End{Namespace: "shop", Service: "cart"}, Side: calls.SideTraces, Counts: calls.Counts{Requests: 300, Failed: 12}}
	want.Latency[4], want.Latency[len(want.Latency)-1] = 270, 300
	entry := calls.Count{Source: calls.End{Service: calls.Unknown}, Destination: calls.End{Service: "web"}, Side: calls.SideTraces, Counts: calls.Counts{Requests: 3}}
	if diff := cmp.Diff([]calls.Count{entry, want}, h.counts()); diff != "" {
		t.Error(diff)
	}
	delta := labels("traces_service_graph_request_total", "client", "a", "server", "b")
	for range 3 {
		h.now += 10 * bus.Second
		h.send(ingest.Sender{Name: "collector"}, h.now, bus.SeriesDelta, sample{delta, 5})
	}
	if got := h.counts(); len(got) != 1 || got[0].Requests != 15 {
		t.Errorf("deltas: %+v", got)
	}
}

func TestReplicasCountOnce(t *testing.T) {
	// With a pair of Prometheus servers every call would be seen twice.
	h := newHouse(t, Limits{})
	var sent float64
	for i := range 40 {
		h.now += 15 * bus.Second
		sent = float64(100 * i)
		if i < 20 { // then the first one dies
			h.send(ingest.Sender{Name: "a"}, h.now, 0, sample{request("__replica__", "one"), sent})
		}
		h.send(ingest.Sender{Name: "b"}, h.now-2*bus.Second, 0, sample{request("__replica__", "two"), sent - 10})
	}
	if got := h.counts(); len(got) != 1 || got[0].Requests != uint64(sent-10) {
		t.Errorf("got %+v, want %v", got, sent-10)
	}
}

func TestTrust(t *testing.T) {
	// SAFETY 14: a sender would write itself into another cluster or global namespace by its labels.
	h := newHouse(t, Limits{})
	shop := ingest.Sender{Name: "s", GlobalNamespace: "shop", Cluster: "real"}
	lie := request()
	cross := request("source_cluster", "far")
	own := request("reporter", "source", "destination_cluster", "far")
	for n := range 2 {
		i := float64(n)
		h.now += 15 * bus.Second
		h.send(shop, h.now, 0, sample{lie, i}, sample{cross, i}, sample{own, i})
	}
	for _, c := range h.counts() {
		mine, other := c.Destination, c.Source
		if c.Side == calls.SideSource {
			mine, other = other, mine
		}
		if c.Stamp != "shop" || mine.Cluster != "real" || other.Cluster != "real" && other.Cluster != "far" {
			t.Errorf("%+v", c)
		}
	}
}

func TestOldReadings(t *testing.T) {
	// After an outage of the sender hours of calls would seem to happen in this minute.
	h := newHouse(t, Limits{})
	s := ingest.Sender{Name: "prometheus"}
	h.send(s, h.now, 0, sample{request(), 10})
	h.now += 3 * bus.Hour
	for back := 3*bus.Hour - bus.Minute; back > 0; back -= bus.Minute {
		h.send(s, h.now-back, 0, sample{request(), 10 + float64(3*bus.Hour-back)})
	}
	if got := h.counts(); len(got) != 1 || got[0].Requests != uint64(5*bus.Minute) {
		t.Errorf("%+v", got)
	}
}

func TestFailingLog(t *testing.T) {
	// What could not be appended would be lost, or count twice when it comes again.
	h := newHouse(t, Limits{})
	s := ingest.Sender{Name: "prometheus"}
	h.send(s, h.now, 0, sample{request(), 10})
	h.book.fail = errors.New("away")
	for i := range 6 {
		h.now += 10 * bus.Second
		h.send(s, h.now, 0, sample{request(), 20 + 10*float64(i)})
		if h.of.Report(context.Background(), h.now) == nil {
			t.Fatal("no error")
		}
	}
	h.book.fail = nil
	total, number := uint64(0), uint64(0)
	if err := h.of.Report(context.Background(), h.now); err != nil {
		t.Fatal(err)
	}
	if err := h.of.Report(context.Background(), h.now+bus.Second); err != nil {
		t.Fatal(err)
	}
	for _, m := range h.book.all {
		o, cs, err := calls.Decode(m.Data)
		if err != nil || o.Number != number+1 {
			t.Fatalf("%+v: %v", o, err)
		}
		number = o.Number
		for _, c := range cs {
			total += c.Requests
		}
	}
	if total != 60 || number != 2 {
		t.Errorf("%d requests in %d observations, want 60 in 2", total, number)
	}
}

func TestBounds(t *testing.T) {
	// A sender with endless names would take the memory of all, or what is needed for an SLO would be refused for the picture's sake.
	h := newHouse(t, Limits{Edges: 10, SenderSeries: 40, Series: 60})
	sel, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: "istio_requests_total"}, {Name: "response_code", Type: bus.MatchEqual, Value: "200"}})
	if err != nil {
		t.Fatal(err)
	}
	needed := func(revision uint64, some bool) {
		var os []slo.Objective
		if some {
			e := slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: sel}}}
			os = []slo.Objective{{Service: "s", Name: "n", SLI: slo.SLI{Good: &e, Total: e}}}
		}
		h.gate.SetObjectives(revision, os)
	}
	var all []sample
	for i := range 100 {
		all = append(all, sample{request("source_canonical_service", fmt.Sprint("web-", i%20), "pod", fmt.Sprint(i)), 1})
		all = append(all, sample{request("source_canonical_service", fmt.Sprint("web-", i%20), "pod", fmt.Sprint(i), "response_code", "404"), 1})
	}
	for _, s := range []string{"a", "b"} {
		h.send(ingest.Sender{Name: s, Cluster: s}, h.now, 0, all...)
	}
	if st := h.of.Stats(); st.Series > 60 || st.Edges > 10 || st.Over == 0 {
		t.Errorf("%+v", st)
	}
	for i := range 6 {
		needed(uint64(i+1), i%2 == 0)
		h.now += 15 * bus.Second
		h.send(ingest.Sender{Name: "a", Cluster: "a"}, h.now, 0, all...)
		want := 100 * ((i + 1) % 2)
		if st := h.gate.Stats(); st.Series != want {
			t.Errorf("definition %d: the gate keeps %d series, want %d", i, st.Series, want)
		}
	}
	h.now += bus.Hour
	for range 300 { // each arrival sweeps a part
		h.now += bus.Second
		h.send(ingest.Sender{Name: "c"}, h.now, 0, sample{labels("up"), 1})
	}
	if st := h.of.Stats(); st.Series != 0 || st.Edges != 0 || len(h.of.senders) != 0 || len(h.of.counters) != 0 {
		t.Errorf("after an hour: %+v", st)
	}
}

func TestDefinitionsDoNotDisturb(t *testing.T) {
	// With each change of definitions the picture would lose calls, or bounds would keep out for ever what once had no room.
	h := newHouse(t, Limits{SenderSeries: 1})
	sel, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: "istio_requests_total"}})
	if err != nil {
		t.Fatal(err)
	}
	e := slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: sel}}}
	other := request("source_canonical_service", "other")
	for i := range 6 {
		var os []slo.Objective
		if i%3 == 1 {
			os = []slo.Objective{{Service: "s", Name: "n", SLI: slo.SLI{Good: &e, Total: e}}}
		}
		h.gate.SetObjectives(uint64(i+1), os)
		h.now += 15 * bus.Second
		h.send(ingest.Sender{Name: "a"}, h.now, 0, sample{request(), 100 * float64(i)}, sample{other, 1})
	}
	if got := h.counts(); len(got) != 1 || got[0].Requests != 500 {
		t.Errorf("%+v, want 500", got)
	}
	h.of.config.Limits.SenderSeries = 2
	for i := range 3 {
		h.now += 15 * bus.Second
		h.send(ingest.Sender{Name: "a"}, h.now, 0, sample{other, 10 * float64(i)})
		if i == 0 {
			h.gate.Reconsider()
		}
	}
	if got := h.counts(); len(got) != 1 || got[0].Requests != 10 || got[0].Source.Service != "other" {
		t.Errorf("after there was room: %+v", got)
	}
}

// steady is a house that watches n series of n/100 edges.
func steady(t testing.TB, n int) (*house, []sample) {
	h := newHouse(t, Limits{})
	all := make([]sample, n)
	for i := range all {
		all[i] = sample{request("source_canonical_service", fmt.Sprint("web-", i/100), "pod", fmt.Sprint(i%100)), 0}
	}
	h.send(ingest.Sender{Name: "s"}, h.now, 0, all...)
	return h, all
}

func TestAllocatesNothingPerSample(t *testing.T) {
	// Watching would feed the garbage collector with each sample of the mesh.
	h, all := steady(t, 2000)
	keys := make([][]byte, len(all))
	for i := range all {
		keys[i] = []byte(fmt.Sprint(all[i].ls))
	}
	v := 0.0
	if n := testing.AllocsPerRun(50, func() { h.pass(keys, &v) }); n > 20 {
		t.Errorf("%v allocations for an arrival of 2000 samples", n)
	}
}

func (h *house) pass(keys [][]byte, v *float64) {
	h.now += 15
	*v++
	a := h.gate.Begin(ingest.Sender{Name: "s"})
	for _, k := range keys {
		ref, _ := a.Ref(k)
		a.Add(ref, h.now, 0, *v)
	}
	if _, err := a.Commit(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

func BenchmarkWatched100k(b *testing.B) {
	const n, size = 100_000, 2000
	h, all := steady(b, n)
	keys := make([][]byte, n)
	for i := range all {
		keys[i] = []byte(fmt.Sprint(all[i].ls))
	}
	b.ReportAllocs()
	b.ResetTimer()
	v := 0.0
	for i := range b.N {
		at := i * size % n
		h.pass(keys[at:at+size], &v)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/sample")
}

func BenchmarkMemory(b *testing.B) {
	// What a watched series takes, with its place in the gate's table; there are 100 to an edge.
	for b.Loop() {
		const n = 100_000
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		h := newHouse(b, Limits{})
		for i := range n {
			h.send(ingest.Sender{Name: "s"}, h.now, 0, sample{request("source_canonical_service", fmt.Sprint("web-", i/100), "pod", fmt.Sprint(i%100)), 0})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc-(16<<20))/n, "B/series") // less the filter of fixed size
		runtime.KeepAlive(h)
	}
}
