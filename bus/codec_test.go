package bus

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type sample struct {
	Partition, Source int
	Ref               uint32
	Time, Start       Time
	Value             float64
}

// randomFrame builds a frame of random samples and returns what went in.
func randomFrame(rng *rand.Rand, samplesMax int) ([]byte, []Source, []sample, map[uint32]Labels) {
	var b FrameBuilder
	sources := []Source{{Sender: "a", Newest: 5}, {Sender: "b", Cluster: "c", Replica: "1", GlobalNamespace: "shop", Newest: -7}}
	for _, s := range sources {
		b.Source(s)
	}
	labels := map[uint32]Labels{}
	var in []sample
	for range rng.IntN(samplesMax) {
		s := sample{Partition: rng.IntN(3), Source: rng.IntN(20) / 19, Ref: uint32(rng.IntN(200)), Time: Time(rng.Int64N(1000) + 1e12), Value: rng.NormFloat64()}
		if rng.IntN(3) == 0 {
			s.Start = s.Time - Time(rng.IntN(5000))
		}
		if labels[s.Ref] == nil {
			labels[s.Ref] = Labels{{"__name__", "m"}, {"i", string(rune('a' + s.Ref%26))}}
			for p := range 3 {
				b.Announce(p, s.Ref, SeriesDelta, "shop", labels[s.Ref].Append(nil))
			}
		}
		b.Add(s.Partition, s.Source, s.Ref, s.Time, s.Start, s.Value)
		in = append(in, s)
	}
	return b.Seal(nil, 42, 7, 3), sources, in, labels
}

// TestFrameRoundTrip: telemetry would reach the stages with another time, value or series than it was sent with.
func TestFrameRoundTrip(t *testing.T) {
	for seed := range uint64(30) {
		raw, sources, in, labels := randomFrame(rand.New(rand.NewPCG(seed, 1)), 3*blockMax)
		f := DecodeFrame(raw)
		if f.Err != nil || f.Writer != 42 || f.Number != 7 || f.Catalogue != 3 {
			t.Fatalf("seed %d: head %+v", seed, f)
		}
		if d := cmp.Diff(sources, f.Sources); d != "" {
			t.Fatalf("seed %d: sources (-want +got):\n%s", seed, d)
		}
		for p := range 3 {
			var want, got []sample
			for _, s := range in {
				if s.Partition == p {
					want = append(want, s)
				}
			}
			var r SectionReader
			as, err := r.Reset(f.Section(p))
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range as {
				if d := cmp.Diff(labels[a.Ref], a.Labels); d != "" || a.Flags != SeriesDelta || a.GlobalNamespace != "shop" || a.ID != IdentifySeries("shop", a.Labels) {
					t.Fatalf("seed %d: announcement %+v\n%s", seed, a, d)
				}
			}
			var b Block
			for r.Next(&b) {
				for i := range b.Refs {
					s := sample{Partition: p, Source: b.Source, Ref: b.Refs[i], Time: b.Times[i], Value: b.Values[i]}
					if len(b.Starts) > 0 {
						s.Start = b.Starts[i]
					}
					got = append(got, s)
				}
			}
			if d := cmp.Diff(want, got); r.Err() != nil || d != "" {
				t.Fatalf("seed %d, partition %d: %v (-want +got):\n%s", seed, p, r.Err(), d)
			}
		}
	}
}

// TestFrameDamage: a frame whose bytes have changed would be counted as if it were whole.
func TestFrameDamage(t *testing.T) {
	raw, _, _, _ := randomFrame(rand.New(rand.NewPCG(3, 1)), 3*blockMax)
	for _, at := range []int{0, 4, 8, 20, len(raw) / 2, len(raw) - 1} {
		b := append([]byte(nil), raw...)
		b[at] ^= 1
		if DecodeFrame(b).Err == nil {
			t.Errorf("a bit flipped at %d was not seen", at)
		}
	}
	for n := range 64 {
		if DecodeFrame(raw[:len(raw)*n/64]).Err == nil {
			t.Errorf("cut to %d/64 was not seen", n)
		}
	}
}

// FuzzFrame: hostile or damaged bytes would crash the process that reads LOG, or eat its memory.
func FuzzFrame(f *testing.F) {
	for seed := range uint64(4) {
		raw, _, _, _ := randomFrame(rand.New(rand.NewPCG(seed, 9)), 30)
		f.Add(raw)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		reseal(b) // else all but nothing gets past the checksum
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		frame := DecodeFrame(b)
		var block Block
		for i := range frame.sections {
			var r SectionReader
			if _, err := r.Reset(Section{data: frame.sections[i].data}); err != nil {
				continue
			}
			for r.Next(&block) {
			}
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 100*uint64(len(b))+1<<20 {
			t.Errorf("%d bytes were allocated for %d", grown, len(b))
		}
	})
}

// FuzzLabels: two series would become one, or a label be read as another.
func FuzzLabels(f *testing.F) {
	f.Add("a", "b", "c", "d", []byte{1, 2})
	f.Add("", "", "a", "", []byte{0x80, 0x80})
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string, junk []byte) {
		ls := Labels{{n1, v1}, {n2, v2}}.Sort()
		enc := ls.Append(nil)
		got, rest, err := DecodeLabels(append(enc, junk...))
		if err != nil || string(rest) != string(junk) || !cmp.Equal(append(Labels{}, ls...), append(Labels{}, got...)) {
			t.Fatalf("%v became %v (%v)", ls, got, err)
		}
		if ls, _, err := DecodeLabels(junk); err == nil && len(ls) > MaxLabels {
			t.Fatalf("%d labels", len(ls))
		}
	})
}

// FuzzToken: a right on one global namespace would reach another's events.
func FuzzToken(f *testing.F) {
	f.Add("shop", "Shop")
	f.Add("a_b", "a.b")
	f.Add("", "_")
	f.Add("_5f", "_")
	f.Fuzz(func(t *testing.T, a, b string) {
		ta, tb := Token(a), Token(b)
		if (ta == tb) != (a == b) {
			t.Fatalf("%q and %q became %q and %q", a, b, ta, tb)
		}
		if len(ta) == 0 || len(ta) > 63 {
			t.Fatalf("%q has %d bytes", ta, len(ta))
		}
		for i := range len(ta) {
			if !tokenByte(ta[i]) && ta[i] != '_' {
				t.Fatalf("%q has %q", ta, ta[i])
			}
		}
	})
}

// TestSelector: an SLO would count series that its query does not name, or miss some.
func TestSelector(t *testing.T) {
	ls := Labels{{"__name__", "http_requests_total"}, {"code", "503"}, {"job", "shop\nweb"}}
	for _, c := range []struct {
		ms   []Matcher
		want bool
	}{
		{nil, false},
		{[]Matcher{{"__name__", MatchEqual, "http_requests_total"}}, true},
		{[]Matcher{{"code", MatchRegexp, "5.."}}, true},
		{[]Matcher{{"code", MatchRegexp, "50"}}, false}, // anchored
		{[]Matcher{{"job", MatchRegexp, "shop.web"}}, true},
		{[]Matcher{{"code", MatchNotRegexp, "5.."}}, false},
		{[]Matcher{{"none", MatchEqual, ""}}, true}, // a missing label is empty
		{[]Matcher{{"none", MatchNotEqual, ""}}, false},
		{[]Matcher{{"none", MatchNotRegexp, "x|"}}, false},
		{[]Matcher{{"code", MatchEqual, "503"}, {"job", MatchNotEqual, "api"}}, true},
		{[]Matcher{{"code", MatchEqual, "503"}, {"job", MatchEqual, "api"}}, false},
	} {
		s, err := NewSelector(c.ms)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Matches(ls); got != c.want {
			t.Errorf("%s: %t", s, got)
		}
		b, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var back Selector
		if err := back.UnmarshalJSON(b); err != nil || back.Matches(ls) != c.want {
			t.Errorf("%s after JSON: %v", s, err)
		}
	}
	for _, m := range []Matcher{{"a", MatchRegexp, "("}, {"a", "~", "b"}} {
		if _, err := NewSelector([]Matcher{m}); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
}

// TestSubjects: subscribers would not find events where the documentation says.
func TestSubjects(t *testing.T) {
	if got := EventSubject("slo", "alert", "Shop", "check.out", ""); got != "log.event.slo.alert._53hop.check_2eout._" {
		t.Error(got)
	}
	if got := PublicSubject("log.event.slo.alert.shop"); got != "evenkeel.slo.alert.shop" {
		t.Error(got)
	}
	if got := PublicSubject("log.frame.1"); got != "" {
		t.Error(got)
	}
	counts := make([]int, 16)
	for i := range 16000 {
		counts[Partition("shop", string(rune('a'+i%26))+string(rune(i)), 16)]++
	}
	for p, n := range counts {
		if n < 700 || n > 1300 {
			t.Errorf("partition %d has %d of 16000 services", p, n)
		}
	}
}

func fill(b *FrameBuilder, n int) {
	b.Reset()
	src := b.Source(Source{Sender: "prometheus", Newest: 1e12})
	for i := range n {
		b.Add(i&15, src, uint32(i), 1e12, 0, float64(i))
	}
}

// TestFrameAllocations: each sample would cost an allocation, and the goal of 600 ns a sample be out of reach.
func TestFrameAllocations(t *testing.T) {
	const n = 10_000
	var b FrameBuilder
	buf := make([]byte, 0, 1<<20)
	fill(&b, n)
	b.Seal(buf, 1, 1, 1)
	if got := testing.AllocsPerRun(20, func() { fill(&b, n); b.Seal(buf, 1, 1, 1) }); got > 40 {
		t.Errorf("building a frame of %d samples allocates %v times", n, got)
	}
	fill(&b, n)
	f := DecodeFrame(b.Seal(nil, 1, 1, 1))
	var r SectionReader
	var block Block
	sum := 0.0
	read := func() {
		for p := range 16 {
			if _, err := r.Reset(f.Section(p)); err != nil {
				t.Fatal(err)
			}
			for r.Next(&block) {
				sum += block.Values[0]
			}
		}
	}
	read()
	if got := testing.AllocsPerRun(20, read); got != 0 {
		t.Errorf("reading a frame of %d samples allocates %v times", n, got)
	}
	if math.IsNaN(sum) {
		t.Error("NaN")
	}
}

// BenchmarkFrameBuilder prints what a sample costs on the way into a frame; allocations must be 0 per sample.
func BenchmarkFrameBuilder(b *testing.B) {
	const n = 10_000
	var fb FrameBuilder
	buf := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		fill(&fb, n)
		fb.Seal(buf, 1, 1, 1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
}

// BenchmarkSectionReader prints what a sample costs on the way out of a frame.
func BenchmarkSectionReader(b *testing.B) {
	const n = 10_000
	var fb FrameBuilder
	fill(&fb, n)
	f := DecodeFrame(fb.Seal(nil, 1, 1, 1))
	var r SectionReader
	var block Block
	b.ReportAllocs()
	for b.Loop() {
		for p := range 16 {
			r.Reset(f.Section(p))
			for r.Next(&block) {
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
}
