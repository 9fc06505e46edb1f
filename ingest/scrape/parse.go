package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

// An arrival takes what a scrape brought; [ingest.Arrival] is one.
type arrival interface {
	RefHash(h ingest.Hash) (ingest.Ref, bool)
	LearnHash(h ingest.Hash, ls bus.Labels, flags uint64) (ingest.Ref, error)
	Add(r ingest.Ref, t, start bus.Time, v float64)
}

// An exposition reads the bodies of one target. What it remembers between scrapes are the series that some definition needs.
type exposition struct {
	job    *Job
	target bus.Labels
	hash   func([]byte) ingest.Hash
	prefix ingest.Hash // of the target

	out     arrival
	parser  textparse.Parser
	at      bus.Time
	number  uint64 // of the scrape
	series  map[ingest.Hash]*seen
	ids     map[string]*seen // by canonical labels: the same as in series
	family  []byte
	kind    model.MetricType
	pending []pendingSample
	created map[string]bus.Time // by the labels of the group
	count   counts

	labels bus.Labels // scratch
}

// A seen series has been in an earlier scrape without a timestamp of its own. A target may write one series in another way each
// time, for example its labels in another order; so series are told apart by their labels, and hash is that of the last way.
type seen struct {
	hash   ingest.Hash
	id     string
	labels bus.Labels
	flags  uint64
	first  uint64 // number of the first scrape that had it
	number uint64 // and of the last
}

// A pendingSample waits for the "_created" line of its group, which follows it.
type pendingSample struct {
	ref   ingest.Ref
	t     bus.Time
	v     float64
	group string
}

// counts say what a scrape brought.
type counts struct {
	samples  int // in the exposition
	offered  int // of them, offered to the gate
	added    int // series at first sight
	overLong int // series skipped for a limit on labels
}

var (
	errSamples  = errors.New("more samples than sampleLimit")
	errSyntax   = errors.New("syntax")
	errProtobuf = errors.New("the target answers in protobuf, which was not asked for")
)

// read offers all samples of a body. After an error the arrival must be dropped, and it is as if nothing had been read.
func (e *exposition) read(out arrival, body []byte, contentType string, at bus.Time) error {
	err := e.parse(out, body, contentType, at)
	if err != nil {
		for _, s := range e.series {
			if s.first == e.number {
				e.forget(s)
			}
		}
	}
	return err
}

func (e *exposition) parse(out arrival, body []byte, contentType string, at bus.Time) error {
	e.out, e.at, e.count, e.number = out, at, counts{}, e.number+1
	e.family, e.kind = e.family[:0], model.MetricTypeUnknown
	e.pending, e.created = e.pending[:0], nil
	defer func() { e.out, e.parser = nil, nil }()
	if media, _, err := mime.ParseMediaType(contentType); err == nil && media == "application/vnd.google.protobuf" {
		return errProtobuf
	}
	p, err := textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{FallbackContentType: "text/plain"})
	if p == nil {
		return fmt.Errorf("%w: %s", errSyntax, cut(err.Error(), maxErrorText))
	}
	e.parser = p
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			e.flush()
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %s", errSyntax, cut(err.Error(), maxErrorText))
		}
		if err := e.entry(entry); err != nil {
			return err
		}
	}
}

// maxErrorText bounds what is shown of a parser's error, which quotes the exposition.
const maxErrorText = 200

func (e *exposition) entry(entry textparse.Entry) error {
	switch entry {
	case textparse.EntryType:
		name, kind := e.parser.Type()
		e.flush()
		e.family, e.kind = append(e.family[:0], name...), kind
	case textparse.EntrySeries:
		if e.job.SampleLimit > 0 && e.count.samples >= e.job.SampleLimit {
			return fmt.Errorf("%w, %d", errSamples, e.job.SampleLimit)
		}
		e.count.samples++
		text, own, v := e.parser.Series()
		e.sample(text, own, v)
	}
	return nil
}

func (e *exposition) sample(text []byte, own *int64, v float64) {
	t := e.at
	if own != nil && !e.job.IgnoreTimestamps {
		t = bus.Time(*own)
	} else {
		own = nil
	}
	name := metricName(text)
	if e.isCreated(name) {
		e.noteCreated(v)
		return
	}
	flags := e.flags(name)
	h := e.prefix.Join(e.hash(text))
	if flags != 0 {
		h = h.Join(ingest.Hash{A: flags, B: flags})
	}
	ref, known := e.out.RefHash(h)
	if !known {
		ls, ok := e.seriesLabels()
		if !ok {
			e.count.overLong++
			return
		}
		e.count.added++
		ref, _ = e.out.LearnHash(h, ls, flags) // a refused ref counts the sample, which is all there is to do
	}
	e.count.offered++
	if own == nil && ref.Kept() {
		e.remember(h, flags)
	}
	if ref.Kept() && e.hasStart(name) {
		e.pending = append(e.pending, pendingSample{ref: ref, t: t, v: v, group: e.group()})
		return
	}
	e.out.Add(ref, t, 0, v)
}

// remember notes a kept series, so that its end can be told.
func (e *exposition) remember(h ingest.Hash, flags uint64) {
	if s := e.series[h]; s != nil {
		s.number = e.number
		return
	}
	ls, ok := e.seriesLabels()
	if !ok {
		return
	}
	id := string(ls.Append(nil))
	s := e.ids[id]
	if s == nil {
		s = &seen{id: id, flags: flags, first: e.number, labels: make(bus.Labels, len(ls))}
		for i, l := range ls {
			s.labels[i] = bus.Label{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)}
		}
		e.ids[id] = s
	} else {
		delete(e.series, s.hash)
	}
	s.hash, s.number = h, e.number
	e.series[h] = s
}

// forget drops a series that has ended.
func (e *exposition) forget(s *seen) {
	delete(e.series, s.hash)
	delete(e.ids, s.id)
}

// flags tells gauges from all else. A series without a type may be a counter.
func (e *exposition) flags(name []byte) uint64 {
	switch e.kind {
	case model.MetricTypeGauge, model.MetricTypeInfo, model.MetricTypeStateset, model.MetricTypeGaugeHistogram:
		if bytes.HasPrefix(name, e.family) {
			return bus.SeriesGauge
		}
	case model.MetricTypeSummary:
		if bytes.Equal(name, e.family) { // quantiles
			return bus.SeriesGauge
		}
	}
	return 0
}

// hasStart reports whether a "_created" line may follow that holds for the sample.
func (e *exposition) hasStart(name []byte) bool {
	if _, openMetrics := e.parser.(*textparse.OpenMetricsParser); !openMetrics {
		return false
	}
	switch e.kind {
	case model.MetricTypeCounter, model.MetricTypeHistogram, model.MetricTypeSummary:
		return len(name) > len(e.family) && bytes.HasPrefix(name, e.family)
	}
	return false
}

func (e *exposition) isCreated(name []byte) bool {
	return len(name) == len(e.family)+len("_created") && string(name[len(e.family):]) == "_created" && e.hasStart(name)
}

func (e *exposition) noteCreated(seconds float64) {
	if len(e.pending) == 0 || !(seconds > 0 && seconds < math.MaxInt64/2000) {
		return
	}
	if e.created == nil {
		e.created = map[string]bus.Time{}
	}
	e.created[e.group()] = bus.Time(seconds * 1000)
}

// group returns what tells the samples of one point of a family from those of another: their labels in the exposition.
func (e *exposition) group() string {
	var ls labels.Labels
	e.parser.Labels(&ls)
	var b []byte
	ls.Range(func(l labels.Label) {
		bucket := l.Name == labels.BucketLabel && e.kind == model.MetricTypeHistogram
		quantile := l.Name == "quantile" && e.kind == model.MetricTypeSummary
		if l.Name != labels.MetricName && !bucket && !quantile {
			b = append(append(append(append(b, l.Name...), 0xff), l.Value...), 0xff)
		}
	})
	return string(b)
}

// flush gives the samples that waited for their start to the arrival.
func (e *exposition) flush() {
	for _, p := range e.pending {
		start := e.created[p.group]
		if start > p.t {
			start = 0 // a clock that is ahead: the value counts, its start is not known
		}
		e.out.Add(p.ref, p.t, start, p.v)
	}
	clear(e.pending)
	e.pending, e.created = e.pending[:0], nil
}

// seriesLabels returns the labels of the current series with those of the target, or false when they are over the job's limits.
// The result is used again.
func (e *exposition) seriesLabels() (bus.Labels, bool) {
	var ls labels.Labels
	e.parser.Labels(&ls)
	e.labels = e.labels[:0]
	ls.Range(func(l labels.Label) { e.labels = append(e.labels, bus.Label{Name: l.Name, Value: l.Value}) })
	e.labels = withTarget(e.labels, e.target, e.job.HonorLabels)
	return e.labels, e.withinLimits(e.labels)
}

func (e *exposition) withinLimits(ls bus.Labels) bool {
	over := func(n, limit int) bool { return limit > 0 && n > limit }
	if over(len(ls), e.job.LabelLimit) {
		return false
	}
	for _, l := range ls {
		if over(len(l.Name), e.job.LabelNameLimit) || over(len(l.Value), e.job.LabelValueLimit) {
			return false
		}
	}
	return true
}

// withTarget adds the target's labels. Where the exposition has one of them, it is renamed to exported_<name> until nothing has
// that name, or it wins.
func withTarget(ls, target bus.Labels, honor bool) bus.Labels {
	own := len(ls)
	for _, t := range target {
		taken := -1
		for i := range ls[:own] {
			if ls[i].Name == t.Name && ls[i].Value != "" {
				taken = i
			}
		}
		if taken >= 0 && honor {
			continue
		}
		if taken >= 0 {
			name := "exported_" + t.Name
			for ls.Get(name) != "" || target.Get(name) != "" {
				name = "exported_" + name
			}
			ls[taken].Name = name
		}
		ls = append(ls, t)
	}
	return ls.Sort()
}

// metricName returns the name at the beginning of a series' text: name{…} or {"name",…}.
func metricName(text []byte) []byte {
	if len(text) > 1 && text[0] == '{' && text[1] == '"' {
		name, _, _ := bytes.Cut(text[2:], []byte{'"'})
		return name
	}
	name, _, _ := bytes.Cut(text, []byte{'{'})
	return name
}
