package bus_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"evenkeel.dev/bus"
)

// An SLO would miss series, or count them twice: whatever selectors there are, the index leads to each that matches, once.
func TestSelectorIndexFindsAll(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	names, values := []string{"a", "b", "c"}, []string{"", "1", "2", "3"}
	types := []bus.MatchType{bus.MatchEqual, bus.MatchEqual, bus.MatchNotEqual, bus.MatchRegexp, bus.MatchNotRegexp}
	for range 200 {
		var all []bus.Selector
		for range rnd.IntN(40) {
			ms := []bus.Matcher{{Name: "__name__", Type: types[rnd.IntN(len(types))], Value: fmt.Sprint("m", rnd.IntN(3))}}
			for range rnd.IntN(4) {
				ms = append(ms, bus.Matcher{Name: names[rnd.IntN(3)], Type: types[rnd.IntN(len(types))], Value: values[rnd.IntN(4)]})
			}
			s, err := bus.NewSelector(ms)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		x := bus.NewSelectorIndex(all, func(s *bus.Selector) bus.Selector { return *s })
		for range 50 {
			ls := bus.Labels{{Name: "__name__", Value: fmt.Sprint("m", rnd.IntN(4))}}
			for _, n := range names {
				if v := values[rnd.IntN(4)]; v != "" {
					ls = append(ls, bus.Label{Name: n, Value: v})
				}
			}
			var want, got []string
			for _, s := range all {
				if s.Matches(ls) {
					want = append(want, s.String())
				}
			}
			x.Candidates(ls, func(s *bus.Selector) {
				if s.Matches(ls) {
					got = append(got, s.String())
				}
			})
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				t.Fatalf("%v: got %v, want %v", ls, got, want)
			}
		}
	}
}
