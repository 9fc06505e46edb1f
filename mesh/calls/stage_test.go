package calls

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/logtest"
	"evenkeel.dev/mesh/inventory"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A world drives one stage and notes what it tells.
type world struct {
	t    testing.TB
	s    *Stage
	now  bus.Time
	n    uint64
	out  []bus.Draft
	tape []bus.Record
}

func newWorld(t testing.TB) *world { return &world{t: t, s: New(), now: 1_800_000_000_000} }

func (w *world) step(subject string, v any) []bus.Draft {
	w.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	r := bus.Record{Time: w.now, Subject: subject, Data: data}
	w.tape = append(w.tape, r)
	out, err := w.s.Step(&r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.out = append(w.out, out...)
	return out
}

// see sends what a writer counted in the last ten seconds.
func (w *world) see(counts ...Count) (out []bus.Draft) {
	w.t.Helper()
	w.now += 10 * bus.Second
	for _, o := range Split(Observation{Writer: "w", Number: w.n + 1, From: w.now - 10*bus.Second, To: w.now}, counts) {
		w.n = o.Number
		out = append(out, w.step(Subject("w"), o)...)
	}
	return out
}

func (w *world) tick(d bus.Time) (out []bus.Draft) {
	w.t.Helper()
	for range d / (10 * bus.Second) {
		w.now += 10 * bus.Second
		out = append(out, w.step(bus.SubjectTick, struct{}{})...)
	}
	return out
}

func (w *world) home(action, gns, service, cluster, namespace string) {
	w.t.Helper()
	w.step(bus.EventSubject("mesh", "service", gns, service, cluster, namespace), inventory.ServiceEvent{Action: action, GlobalNamespace: gns, Service: service, Cluster: cluster, Namespace: namespace})
}

func lines(ds []bus.Draft) string {
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintf(&b, "%s %s\n", bus.PublicSubject(d.Subject), d.Data)
	}
	return b.String()
}

func end(service string) End { return End{"eu-1", "shop", service} }

// calls are n calls from one service to another, as the called one reports them.
func counted(from, to string, n, failed uint64) Count {
	c := Count{Source: end(from), Destination: end(to), Version: "v1", Counts: Counts{Requests: n, Failed: failed, Mutual: n}}
	c.Latency[3], c.Latency[4], c.Latency[latencies-1] = n-n/50, n, n
	return c
}

func TestStory(t *testing.T) {
	// Who subscribes would not hear of a new dependency, of plaintext, or of a dependency that is gone, or would learn names of another global namespace.
	w := newWorld(t)
	var b strings.Builder
	tell := func(title string, ds []bus.Draft) { fmt.Fprintf(&b, "# %s\n%s", title, lines(ds)) }
	for _, svc := range []string{"web", "cart"} {
		w.home(inventory.ActionCreated, "shop", svc, "eu-1", "shop")
	}
	w.home(inventory.ActionCreated, "bank", "ledger", "us-1", "bank")
	tell("web calls cart", w.see(counted("web", "cart", 100, 3)))
	tell("and again, and another version", w.see(counted("web", "cart", 50, 0), Count{Source: end("web"), Destination: end("cart"), Version: "v2", Counts: Counts{Requests: 1, Mutual: 1}}))
	tell("somebody calls cart in plaintext", w.see(Count{Source: End{Service: Unknown}, Destination: end("cart"), Counts: Counts{Requests: 1, Plain: 1}}))
	tell("ledger of another global namespace calls cart, from a cluster by Istio's default name",
		w.see(Count{Source: End{"Kubernetes", "bank", "ledger"}, Destination: end("cart"), Counts: Counts{Requests: 1, Mutual: 1}}))
	tell("a sender bound to bank says that cart is called by another", w.see(Count{Source: End{"us-1", "bank", "spy"}, Destination: end("cart"), Side: SideSource, Stamp: "bank", Counts: Counts{Requests: 1000}}))
	tell("web calls a service of no global namespace", w.see(Count{Source: end("web"), Destination: End{"eu-1", "other", "mail"}, Side: SideSource, Counts: Counts{Requests: 1}}))
	tell("cart moves to the bank", nil)
	w.home(inventory.ActionDeleted, "shop", "cart", "eu-1", "shop")
	w.home(inventory.ActionCreated, "bank", "cart", "eu-1", "shop")
	tell("an hour of silence", w.tick(bus.Hour+bus.Minute))
	path := filepath.Join("testdata", "story.txt")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("rewrite with -update: %s", diff)
	}
}

func TestFigures(t *testing.T) {
	// People would see another rate, error ratio or p99 than there was, or calls twice that two sides report.
	w := newWorld(t)
	for range 30 { // five minutes
		dst := counted("web", "cart", 100, 3)
		src := dst
		src.Side, src.Mutual = SideSource, 0
		w.see(dst, src, Count{Source: end("web"), Destination: end("mail"), Side: SideSource, Counts: Counts{Requests: 10, Plain: 0}}, Count{Source: end("a"), Destination: end("b"), Side: SideTraces, Counts: Counts{Requests: 1, Failed: 1}})
	}
	got := w.s.Calls(15 * bus.Minute)
	if len(got) != 3 {
		t.Fatalf("%d edges, want 3: %+v", len(got), got)
	}
	cart := got[1]
	if cart.Requests != 3000 || cart.Failed != 90 || cart.RPS != 10 || *cart.ErrorRatio != 0.03 || *cart.MutualTLSRatio != 1 || cart.Seen != "destination" || *cart.P99Ms != 100 || cart.DurationSeconds != 300 {
		t.Errorf("cart: %+v", cart)
	}
	if mail := got[2]; mail.Requests != 300 || mail.Seen != "source" || mail.MutualTLSRatio != nil || mail.P99Ms != nil || *mail.ErrorRatio != 0 {
		t.Errorf("mail: %+v", mail)
	}
	if b := got[0]; b.Seen != "traces" || *b.ErrorRatio != 1 {
		t.Errorf("b: %+v", b)
	}
	w.tick(10 * bus.Minute)
	if got := w.s.Calls(5 * bus.Minute); len(got) != 0 {
		t.Errorf("after ten silent minutes the last five have %+v", got)
	}
	if got := w.s.Calls(bus.Hour); len(got) != 3 || got[1].Requests != 3000 {
		t.Errorf("after ten silent minutes the last hour has %+v", got)
	}
}

func TestRepeatsAndSpans(t *testing.T) {
	// A repeated observation would count twice, and what was sent late would all seem to have happened now.
	w := newWorld(t)
	w.see(counted("web", "cart", 100, 0))
	r := w.tape[len(w.tape)-1]
	if _, err := w.s.Step(&r); err != nil {
		t.Fatal(err)
	}
	if got := w.s.Calls(bus.Hour)[0]; got.Requests != 100 || w.s.stats.Repeated != 1 {
		t.Errorf("after a repeat: %+v", got)
	}
	w.now += 20 * bus.Minute
	w.step(Subject("w"), Split(Observation{Writer: "w", Number: 9, From: w.now - 20*bus.Minute, To: w.now}, []Count{counted("web", "cart", 20_000, 0)})[0])
	if hour := w.s.Calls(bus.Hour)[0]; hour.Requests != 20_100 {
		t.Errorf("in all: %+v", hour)
	}
	if five := w.s.Calls(5 * bus.Minute)[0]; five.Requests < 4000 || five.Requests > 5000 {
		t.Errorf("in the last five minutes: %+v", five)
	}
	w.now += 30 * bus.Minute // the log was away, and what was counted then comes now
	w.step(Subject("w"), Split(Observation{Writer: "w", Number: 10, From: w.now - 25*bus.Minute, To: w.now - 24*bus.Minute}, []Count{counted("late", "cart", 7, 0)})[0])
	if at := func(d bus.Time) (n uint64) {
		for _, v := range w.s.Calls(d) {
			n += v.Requests
		}
		return n
	}; at(15*bus.Minute) != 0 || at(30*bus.Minute) != 7 {
		t.Errorf("what comes late: %d in 15 minutes, %d in 30", at(15*bus.Minute), at(30*bus.Minute))
	}
	for _, bad := range []string{`{`, `{"v":2,"writer":"w","n":99}`, `{"v":1,"writer":"w","n":99,"names":["a"],"rows":[[0,0,0,0,0,0,0,0,1,0]]}`, `{"v":1,"writer":"w","n":99,"names":["a"],"rows":[[0]]}`} {
		r := bus.Record{Time: w.now, Subject: Subject("w"), Data: []byte(bad)}
		if out, err := w.s.Step(&r); err != nil || len(out) > 0 {
			t.Errorf("%s: %v %v", bad, out, err)
		}
	}
	if w.s.stats.Undecodable != 4 {
		t.Errorf("%d undecodable", w.s.stats.Undecodable)
	}
}

func TestSplit(t *testing.T) {
	// The log would refuse an observation for its size, or a part of the picture would be lost at the cut.
	var counts []Count
	for i := range EdgesMax {
		c := counted(fmt.Sprintf("web-%d\x01", i), fmt.Sprintf("cart-%d", i%300), uint64(i)<<40, 1)
		c.Principal = "spiffe://cluster.local/ns/shop/sa/" + fmt.Sprint(i)
		counts = append(counts, c)
	}
	var got []Count
	for i, o := range Split(Observation{Writer: "w", Number: 5, Over: 3}, counts) {
		b, err := json.Marshal(o)
		if err != nil || len(b) > 700<<10 || o.Number != uint64(5+i) || o.Over != 3 {
			t.Fatalf("part %d has number %d and %d bytes, %v", i, o.Number, len(b), err)
		}
		_, part, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
	}
	if diff := cmp.Diff(counts, got); diff != "" {
		t.Error(diff)
	}
}

func TestBound(t *testing.T) {
	// Endless new names would eat the memory of the engine, or nobody would be told that the picture is not whole.
	w := newWorld(t)
	for i := range 30 {
		var counts []Count
		for k := range 1000 {
			counts = append(counts, counted(fmt.Sprintf("web-%d-%d", i, k), "cart", 1, 0))
		}
		w.see(counts...)
	}
	if st := w.s.Stats(); st.Edges != EdgesMax || st.Over != 10_000 || !w.s.Over() {
		t.Errorf("%+v", st)
	}
	for i := range 40 {
		c := counted("web-0-0", "cart", 1, 0)
		c.Version = fmt.Sprint(i)
		w.see(c)
	}
	w.tick(bus.Hour + 2*bus.Minute)
	if st := w.s.Stats(); st.Edges != 0 || st.Calls != 0 || w.s.Over() || len(w.s.writers) != 0 {
		t.Errorf("after an hour: %+v", st)
	}
}

// churn does one thing of those that happen.
func (w *world) churn(rnd *rand.Rand) {
	name := func() string { return string(rune('a' + rnd.IntN(5))) }
	switch rnd.IntN(8) {
	case 0:
		w.tick(bus.Time(rnd.IntN(30)) * bus.Minute)
	case 1:
		w.home([]string{inventory.ActionCreated, inventory.ActionDeleted}[rnd.IntN(2)], []string{"shop", "bank"}[rnd.IntN(2)], name(), "eu-1", "shop")
	case 2:
		w.n = max(w.n, 1) - 1 // a repeat
		w.see(counted(name(), name(), 1, 0))
	default:
		c := counted(name(), name(), uint64(rnd.IntN(100)), uint64(rnd.IntN(3)))
		c.Caller, c.Version, c.Side, c.Stamp = name(), name(), Side(rnd.IntN(int(sides))), []string{"", "shop"}[rnd.IntN(2)]
		c.Plain = uint64(rnd.IntN(2))
		w.see(c, counted(name(), name(), 5, 1))
	}
}

func TestCutAnywhere(t *testing.T) {
	// A restart would make the stage tell or show something else than it would have.
	for seed := range uint64(20) {
		w, v, rnd := newWorld(t), newWorld(t), rand.New(rand.NewPCG(seed, 7))
		for i := range 150 {
			before, from := len(w.out), len(w.tape)
			w.churn(rnd)
			if i%7 == 3 {
				v.s = logtest.Restart(t, fmt.Sprintf("seed %d, step %d", seed, i), v.s, New())
			}
			got := logtest.Play(t, v.s, w.tape[from:])
			if diff := cmp.Diff(lines(w.out[before:]), lines(got)); diff != "" {
				t.Fatalf("seed %d, step %d: %s", seed, i, diff)
			}
			if diff := cmp.Diff(w.s.Calls(bus.Hour), v.s.Calls(bus.Hour)); diff != "" {
				t.Fatalf("seed %d, step %d: %s", seed, i, diff)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	// A broken observation would stop the stage, and with it the picture, for good.
	b, err := json.Marshal(Split(Observation{Writer: "w", Number: 1, To: 5}, []Count{counted("a", "b", 1, 1)})[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, []byte("x"))
	f.Fuzz(func(t *testing.T, data, rings []byte) {
		s := New()
		for _, r := range []bus.Record{{Time: 1_800_000_000_000, Subject: Subject("w"), Data: data}, {Time: 1_800_000_060_000, Subject: bus.SubjectTick}} {
			if _, err := s.Step(&r); err != nil {
				t.Fatal(err)
			}
		}
		s.Calls(bus.Hour)
		for err := error(nil); err == nil && len(rings) > 0; {
			_, rings, err = readRing(rings)
		}
	})
}

func BenchmarkCalls(b *testing.B) {
	// What one look at a full picture costs.
	w := newWorld(b)
	for range 60 {
		var counts []Count
		for i := range EdgesMax {
			counts = append(counts, counted(fmt.Sprintf("web-%d", i), fmt.Sprintf("cart-%d", i%1000), 1000, 10))
		}
		w.see(counts...)
		w.tick(50 * bus.Second)
	}
	for b.Loop() {
		w.s.Calls(bus.Hour)
	}
}

func BenchmarkEdge(b *testing.B) {
	// Each edge has something in every minute of the hour, from both proxies.
	for b.Loop() {
		w := newWorld(b)
		const edges = 2000
		for range 60 {
			var counts []Count
			for i := range edges {
				c := counted(fmt.Sprintf("web-%d", i), fmt.Sprintf("cart-%d", i%100), 1000, 10)
				c2 := c
				c2.Side = SideSource
				counts = append(counts, c, c2)
			}
			w.see(counts...)
			w.tick(50 * bus.Second)
		}
		state, err := w.s.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		cells := 0
		for _, c := range w.s.calls {
			for _, r := range c.versions {
				for i := range r {
					cells += cap(r[i])
				}
			}
		}
		b.ReportMetric(float64(len(state))/edges, "snapshot-B/edge")
		b.ReportMetric(float64(cells*80)/edges, "ring-B/edge")
	}
}
