package slo

import (
	"encoding/json"
	"strings"
	"testing"

	"evenkeel.dev/bus"
)

// bucketObjective counts as good what has at most the bound.
func bucketObjective(t testing.TB, le string) Objective {
	o := simObjective(t, "0.99", "30d")
	one := MustDecimal("1")
	o.SLI = SLI{
		Good:  &Expr{Terms: []Term{{Factor: one, Selector: selectorOf(t, "__name__", "d_bucket", "job", "shop", "le", le)}}},
		Total: Expr{Terms: []Term{{Factor: one, Selector: selectorOf(t, "__name__", "d_count", "job", "shop")}}},
	}
	return o
}

// histogram tells of the buckets that ingest has seen, and sends the count.
func (s *sim) histogram(v float64, les ...string) {
	series := func(name string, pairs ...string) []byte {
		ls := bus.Labels{{Name: "__name__", Value: name}, {Name: "job", Value: "shop"}}
		for i := 0; i < len(pairs); i += 2 {
			ls = append(ls, bus.Label{Name: pairs[i], Value: pairs[i+1]})
		}
		return ls.Sort().Append(nil)
	}
	for _, le := range les {
		if strings.HasPrefix(le, "!") {
			s.b.Announce(0, 2, 0, "", series("d_bucket", "le", le[1:]))
			continue
		}
		s.b.Announce(0, 0, bus.SeriesRefused|bus.SeriesBeside, "", series("d_bucket", "le", le))
	}
	s.b.Announce(0, 1, 0, "", series("d_count"))
	src := bus.Source{Sender: "p", Newest: s.now}
	s.b.Add(0, s.b.Source(src), 1, s.now, 0, v)
	s.flush()
}

func (s *sim) details(reason string) []string {
	var out []string
	for _, d := range s.drafts {
		var e DefinitionDetail
		if d.Subject == SubjectDefinitionDetail && json.Unmarshal(d.Data, &e) == nil && e.Reason == reason {
			out = append(out, e.Message)
		}
	}
	return out
}

// An SLO over a bound that no bucket has would count nothing as good, page, and nobody would know why.
func TestNoSuchBucket(t *testing.T) {
	for name, c := range map[string]struct {
		bound string
		les   []string
		want  string // message; "" where the bucket is there
	}{
		"between":         {"0.25", []string{"0.1", "0.05", "0.5", "1", "+Inf"}, `no series that d_bucket{job="shop"} selects has le="0.25"; the bounds beside it are "0.1" and "0.5"`},
		"written another": {"1", []string{"0.5", "1.0", "+Inf"}, `no series that d_bucket{job="shop"} selects has le="1"; the bucket of this bound is written le="1.0"`},
		"below all":       {"0.01", []string{"+Inf", "0.5"}, `no series that d_bucket{job="shop"} selects has le="0.01"; the least bound is "0.5"`},
		"there":           {"0.25", []string{"0.1", "!0.25", "0.5"}, ""},
		"none seen":       {"0.25", nil, ""},
	} {
		s := newSim(t)
		s.define(bucketObjective(t, c.bound))
		for i := range 20 {
			les := c.les
			if i != 1 {
				les = nil
			}
			s.histogram(float64(10*i), les...)
			s.run(10)
		}
		got, want := strings.Join(s.details(ReasonNoSuchBucket), "\n"), c.want
		if got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
		if st := s.status(); (st.Reason == ReasonNoSuchBucket) != (c.want != "") {
			t.Errorf("%s: %s %s", name, st.State, st.Reason)
		}
		if c.want == "" {
			continue
		}
		state, err := s.stage.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.stage.Restore(state); err != nil {
			t.Fatal(err)
		}
		s.run(10)
		if st := s.status(); st.Reason != ReasonNoSuchBucket {
			t.Errorf("%s: after a restart %s %s", name, st.State, st.Reason)
		}
		s.histogram(1000, "!"+c.bound) // the service has it now
		s.run(10)
		if st := s.status(); st.Reason == ReasonNoSuchBucket {
			t.Errorf("%s: %s %s, although the bucket is there", name, st.State, st.Reason)
		}
	}
}
