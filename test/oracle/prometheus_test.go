package oracle

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"evenkeel.dev/bus"
)

// A prometheus is Prometheus' storage, as a server of its own settings has it, and its query engine.
type prometheus struct {
	db     *tsdb.DB
	engine *promql.Engine
	refs   []storage.SeriesRef
	labels []labels.Labels
	index  map[string]int // series by metric, pod and code
}

// newPrometheus opens an empty storage in a folder. It keeps everything in its head, so that a scenario of a month is not compacted
// while it is written; what it accepts is the same.
func newPrometheus(dir string, ss []series) (*prometheus, error) {
	o := tsdb.DefaultOptions()
	o.WALSegmentSize = -1
	db, err := tsdb.Open(dir, nil, nil, o, nil)
	if err != nil {
		return nil, err
	}
	db.DisableCompactions()
	p := &prometheus{db: db, refs: make([]storage.SeriesRef, len(ss)), index: map[string]int{},
		engine: promql.NewEngine(promql.EngineOpts{MaxSamples: math.MaxInt32, Timeout: time.Minute})}
	for i := range ss {
		b := labels.NewScratchBuilder(5)
		for _, l := range ss[i].labels() {
			b.Add(l.Name, l.Value)
		}
		b.Sort()
		p.labels = append(p.labels, b.Labels())
		p.index[ss[i].metric+"/"+ss[i].pod+"/"+ss[i].code] = i
	}
	return p, nil
}

// send appends the samples of one moment; what Prometheus refuses is refused.
func (p *prometheus) send(samples []sample) error {
	a := p.db.Appender(context.Background())
	for _, s := range samples {
		ref, err := a.Append(p.refs[s.series], p.labels[s.series], int64(s.t), s.v)
		switch {
		case err == nil:
			p.refs[s.series] = ref
		case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		default:
			return errors.Join(err, a.Rollback())
		}
	}
	return a.Commit()
}

// kept returns the times of what the storage holds of each series.
func (p *prometheus) kept() (map[int]map[bus.Time]bool, error) {
	q, err := p.db.Querier(0, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	out := map[int]map[bus.Time]bool{}
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "job", "checkout"))
	for set.Next() {
		ts := map[bus.Time]bool{}
		it := set.At().Iterator(nil)
		for it.Next() != chunkenc.ValNone {
			ts[bus.Time(it.AtT())] = true
		}
		if err := it.Err(); err != nil {
			return nil, err
		}
		out[p.seriesOf(set.At().Labels())] = ts
	}
	return out, set.Err()
}

func (p *prometheus) seriesOf(ls labels.Labels) int {
	return p.index[ls.Get("__name__")+"/"+ls.Get("pod")+"/"+ls.Get("code")]
}

// ask evaluates a query at the end of a span.
func (p *prometheus) ask(q string, s span) (promql.Vector, error) {
	iq, err := p.engine.NewInstantQuery(context.Background(), p.db, nil, q, time.UnixMilli(s.to*1000+999))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q, err)
	}
	defer iq.Close()
	r := iq.Exec(context.Background())
	if r.Err != nil {
		return nil, fmt.Errorf("%s: %w", q, r.Err)
	}
	v, err := r.Vector()
	return append(promql.Vector(nil), v...), err
}

// within writes the range of a span, which then holds the same samples.
func (s span) within() string { return strconv.FormatInt(s.to-s.from+1, 10) + "s" }

// increases returns increase() of each series that has one.
func (p *prometheus) increases(s span) (map[int]float64, error) {
	out := map[int]float64{}
	for _, metric := range []string{requests, failures} {
		v, err := p.ask(fmt.Sprintf("increase(%s[%s])", metric, s.within()), s)
		if err != nil {
			return nil, err
		}
		for _, one := range v {
			out[p.index[metric+"/"+one.Metric.Get("pod")+"/"+one.Metric.Get("code")]] = one.F
		}
	}
	return out, nil
}

// ratio asks for what Prometheus users compute: bad / total. It is NaN where nothing was counted.
func (p *prometheus) ratio(d *definition, s span) (float64, error) {
	total := query(d.total, "increase", s.within())
	bad := query(d.first, "increase", s.within())
	if d.good {
		bad = "(" + total + ") - (" + bad + ")"
	}
	v, err := p.ask("("+bad+") / ("+total+")", s)
	if err != nil || len(v) != 1 {
		return 0, errors.Join(err, fmt.Errorf("%d results", len(v)))
	}
	return v[0].F, nil
}

// extrapolated returns what increase() makes of samples in a span: their rise, made longer towards the ends of the range. It is
// written from the documentation of rate() and the comments in Prometheus' source, to tell by how much the ends change the result.
func extrapolated(in []increment, s span) (risen, result float64) {
	first, last, n := in[0], in[len(in)-1], float64(len(in)-1)
	risen = last.v - first.v
	for k, i := range in[1:] {
		if i.v < in[k].v {
			risen += in[k].v
		}
	}
	sampled := float64(last.t-first.t) / 1000
	spacing := sampled / n
	toStart := float64(int64(first.t)-(s.from*1000-1)) / 1000
	toEnd := float64(s.to*1000+999-int64(last.t)) / 1000
	if toStart >= 1.1*spacing {
		toStart = spacing / 2
	}
	if toEnd >= 1.1*spacing {
		toEnd = spacing / 2
	}
	if risen > 0 && first.v >= 0 { // never back beyond the time at which the counter would have been zero
		toStart = min(toStart, sampled*(first.v/risen))
	}
	return risen, risen * ((sampled + toStart + toEnd) / sampled)
}
