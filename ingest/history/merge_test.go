package history

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"evenkeel.dev/bus"
)

// A row is one sample, for comparison.
type row struct {
	T      bus.Time
	Series string
	V      float64
}

func rowsOf(t testing.TB, s *slice) []row {
	t.Helper()
	if err := s.seal(); err != nil {
		t.Fatal(err)
	}
	var out []row
	last := bus.Time(-1)
	err := s.merge(t.Context(), func(m *Moment) error {
		if m.Time <= last {
			t.Errorf("moment %d comes after %d", m.Time, last)
		}
		last = m.Time
		for i, se := range m.Series {
			out = append(out, row{m.Time, se.Labels.String(), m.Values[i]})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func encoded(t testing.TB, times []int64, values []float64) chunk {
	c := chunkenc.NewXORChunk()
	a, err := c.Appender()
	if err != nil {
		t.Fatal(err)
	}
	for i := range times {
		a.Append(0, times[i], values[i])
	}
	return chunk{min: times[0], max: times[len(times)-1], encoding: chunkenc.EncXOR, data: c.Bytes()}
}

// A replay would count samples twice, not at all or in the wrong order: chunks of any form, overlapping or reaching beyond the slice,
// come out as all samples of the slice, each once, by time and then by labels.
func TestMergeEqualsSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		from, to := bus.Time(1_000_000), bus.Time(1_000_000+rng.Int64N(50_000)+1)
		s := newSlice(from, to, 1<<30)
		var want []row
		for n := range rng.IntN(8) {
			ls := bus.Labels{{Name: "__name__", Value: "m"}, {Name: "n", Value: string(rune('a' + n))}}
			c, err := s.columnOf(0, ls, 0)
			if err != nil {
				t.Fatal(err)
			}
			all := map[int64]float64{}
			for range rng.IntN(5) {
				var times []int64
				for at := int64(from) - 5_000 + rng.Int64N(60_000); len(times) < 1+rng.IntN(40); at += 1 + rng.Int64N(2_000) {
					times = append(times, at)
				}
				values := make([]float64, len(times))
				for i, at := range times {
					if v, ok := all[at]; ok {
						values[i] = v
						continue
					}
					values[i] = float64(rng.IntN(1000))
					all[at] = values[i]
				}
				if rng.IntN(2) == 0 {
					err = s.addPlain(c, times, values)
				} else {
					err = s.addChunk(c, encoded(t, times, values))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			for at, v := range all {
				if bus.Time(at) >= from && bus.Time(at) < to {
					want = append(want, row{bus.Time(at), ls.String(), v})
				}
			}
		}
		slices.SortFunc(want, func(a, b row) int {
			if a.T != b.T {
				return cmp.Compare(a.T, b.T)
			}
			return cmp.Compare(a.Series, b.Series)
		})
		if diff := gocmp.Diff(want, rowsOf(t, s)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// A counter that began anew with a higher value would be counted too low: start timestamps of newer chunks are given on, overlapping or not.
func TestStartTimestamps(t *testing.T) {
	for _, overlap := range []bool{false, true} {
		s := newSlice(0, 1000, 1<<20)
		c, err := s.columnOf(0, bus.Labels{{Name: "__name__", Value: "m"}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		x := chunkenc.NewXOR2Chunk()
		a, err := x.Appender()
		if err != nil {
			t.Fatal(err)
		}
		a.Append(5, 10, 1)
		a.Append(15, 20, 1)
		if err := s.addChunk(c, chunk{min: 10, max: 20, encoding: chunkenc.EncXOR2, data: x.Bytes()}); err != nil {
			t.Fatal(err)
		}
		if overlap {
			if err := s.addPlain(c, []int64{12}, []float64{2}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.seal(); err != nil {
			t.Fatal(err)
		}
		got := map[bus.Time]bus.Time{}
		err = s.merge(t.Context(), func(m *Moment) error {
			if len(m.Starts) > 0 {
				got[m.Time] = m.Starts[0]
			}
			return nil
		})
		if diff := gocmp.Diff(map[bus.Time]bus.Time{10: 5, 20: 15}, got); diff != "" || err != nil || !s.starts {
			t.Errorf("overlap %v: %v (-want +got):\n%s", overlap, err, diff)
		}
	}
}

// A slice with more samples than are decoded at once would lose or repeat some where the parts meet.
func TestMergeInParts(t *testing.T) {
	const series, each = 40, 10_000
	s := newSlice(0, each*1000, 1<<30)
	for n := range series {
		c, err := s.columnOf(0, bus.Labels{{Name: "__name__", Value: "m"}, {Name: "n", Value: string(rune('0' + n))}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		var times []int64
		var values []float64
		for i := range int64(each) {
			times, values = append(times, i*1000+int64(n%3)), append(values, float64(i))
		}
		if err := s.addPlain(c, times, values); err != nil {
			t.Fatal(err)
		}
	}
	if s.samples <= partSamples {
		t.Fatalf("%d samples fit into one part", s.samples)
	}
	if got := rowsOf(t, s); len(got) != series*each {
		t.Errorf("%d of %d samples came out", len(got), series*each)
	}
}

// A query for a good part of a total would be read twice over the line.
func TestReduce(t *testing.T) {
	sel := func(ms ...bus.Matcher) bus.Selector {
		s, err := bus.NewSelector(ms)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	name, service := bus.Matcher{Name: "__name__", Type: "=", Value: "m"}, bus.Matcher{Name: "s", Type: "=", Value: "x"}
	good, other := bus.Matcher{Name: "code", Type: "!~", Value: "5.."}, bus.Matcher{Name: "s", Type: "=", Value: "y"}
	var got []string
	for _, s := range reduce([]bus.Selector{sel(name, service), sel(name, service, good), sel(good, service, name), sel(name, other), sel(service, name)}) {
		got = append(got, s.String())
	}
	if diff := gocmp.Diff([]string{`m{s="x"}`, `m{s="y"}`}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The HTTP API would refuse a selector, or select something else.
func TestPromQL(t *testing.T) {
	for _, c := range []struct {
		matchers []bus.Matcher
		want     string
	}{
		{[]bus.Matcher{{Name: "__name__", Type: "=", Value: "up"}}, `up{}`},
		{[]bus.Matcher{{Name: "__name__", Type: "=", Value: "a:b_total"}, {Name: "code", Type: "!~", Value: `5..|"\d`}}, `a:b_total{code!~"5..|\"\\d"}`},
		{[]bus.Matcher{{Name: "__name__", Type: "=~", Value: "a.*"}, {Name: "x", Type: "!=", Value: ""}}, `{__name__=~"a.*",x!=""}`},
		{[]bus.Matcher{{Name: "__name__", Type: "=", Value: "http.requests"}, {Name: "service.name", Type: "=", Value: "shop"}}, `{"http.requests","service.name"="shop"}`},
		{[]bus.Matcher{{Name: "job", Type: "=", Value: "a\nb"}}, `{job="a\nb"}`},
	} {
		s, err := bus.NewSelector(c.matchers)
		if err != nil {
			t.Fatal(err)
		}
		if got := promQL(s); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
