package rules

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A store holds all series in memory, for the query engine. It belongs to one goroutine at a time.
type store struct {
	byName map[string][]*series
	byKey  map[string]*series
	key    []byte
	made   int // samples, by rules
}

// A series is one of the input, or one that a rule makes.
type series struct {
	labels  labels.Labels
	samples samples
	input   bool
}

func newStore(rs []slo.Recording) *store {
	s := &store{byName: map[string][]*series{}, byKey: map[string]*series{}}
	for i := range rs {
		b := labels.NewScratchBuilder(len(rs[i].Labels))
		for _, l := range rs[i].Labels {
			b.Add(l.Name, l.Value)
		}
		b.Sort()
		one := s.series(b.Labels())
		one.input, one.samples = true, make(samples, len(rs[i].Times))
		for k, t := range rs[i].Times {
			one.samples[k] = sample{int64(t), rs[i].Values[k]}
		}
	}
	return s
}

// series returns the series of labels, made if need be.
func (s *store) series(ls labels.Labels) *series {
	s.key = ls.Bytes(s.key[:0])
	one := s.byKey[string(s.key)]
	if one == nil {
		one = &series{labels: ls}
		s.byKey[string(s.key)] = one
		name := ls.Get(labels.MetricName)
		s.byName[name] = append(s.byName[name], one)
	}
	return one
}

// append keeps what a rule has made. Of several samples of one time the first stays, as in Prometheus.
func (s *store) append(ls labels.Labels, t bus.Time, v float64) error {
	one := s.series(ls)
	switch n := len(one.samples); {
	case one.input:
		return fmt.Errorf("the rule makes the series %s, which stands in input_series too", ls)
	case n > 0 && one.samples[n-1].t >= int64(t):
		return nil
	}
	if s.made++; s.made > maxSamples {
		return fmt.Errorf("the rules make more than %d samples", maxSamples)
	}
	one.samples = append(one.samples, sample{int64(t), v})
	return nil
}

// Querier implements [storage.Queryable].
func (s *store) Querier(from, to int64) (storage.Querier, error) { return &querier{s, from, to}, nil }

// A querier looks at a part of the time.
type querier struct {
	store    *store
	from, to int64 // both included
}

// Select implements [storage.Querier].
func (q *querier) Select(_ context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	from, to := q.from, q.to
	if hints != nil {
		from, to = max(from, hints.Start), min(to, hints.End)
	}
	set := &seriesSet{}
	add := func(all []*series) {
		for _, one := range all {
			if matches(one.labels, ms) {
				if v := one.within(from, to); len(v.samples) > 0 {
					set.found = append(set.found, v)
				}
			}
		}
	}
	if i := slices.IndexFunc(ms, func(m *labels.Matcher) bool { return m.Name == labels.MetricName && m.Type == labels.MatchEqual }); i >= 0 {
		add(q.store.byName[ms[i].Value])
	} else {
		for _, all := range q.store.byName { // sorted below
			add(all)
		}
		sorted = true
	}
	if sorted {
		slices.SortFunc(set.found, func(a, b view) int { return labels.Compare(a.labels, b.labels) })
	}
	return set
}

func matches(ls labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// LabelValues and LabelNames are asked for by the API of a server only.
func (*querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements [storage.Querier].
func (*querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements [storage.Querier].
func (*querier) Close() error { return nil }

type seriesSet struct {
	found []view
	next  int
}

func (s *seriesSet) Next() bool                        { s.next++; return s.next <= len(s.found) }
func (s *seriesSet) At() storage.Series                { return &s.found[s.next-1] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// A view is a series within a part of the time.
type view struct {
	labels  labels.Labels
	samples samples
}

func (s *series) within(from, to int64) view {
	i := s.samples.after(from)
	return view{s.labels, s.samples[i:max(i, s.samples.after(to+1))]}
}

// Labels implements [storage.Series].
func (v *view) Labels() labels.Labels { return v.labels }

// Iterator implements [storage.Series].
func (v *view) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	return storage.NewListSeriesIterator(v.samples)
}

// A sample is one of a float, as the query engine takes it.
type sample struct {
	t int64
	v float64
}

func (s *sample) T() int64                    { return s.t }
func (*sample) ST() int64                     { return 0 } // the notation of tests has none
func (s *sample) F() float64                  { return s.v }
func (*sample) H() *histogram.Histogram       { return nil }
func (*sample) FH() *histogram.FloatHistogram { return nil }
func (*sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s *sample) Copy() chunks.Sample         { c := *s; return &c }

// samples implements [storage.Samples].
type samples []sample

func (s samples) Get(i int) chunks.Sample { return &s[i] }
func (s samples) Len() int                { return len(s) }

// after returns the place of the first sample at or after t.
func (s samples) after(t int64) int {
	i, _ := slices.BinarySearchFunc(s, t, func(one sample, t int64) int { return cmp.Compare(one.t, t) })
	return i
}
