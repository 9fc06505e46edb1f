package history

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"evenkeel.dev/bus"
)

// Bounds of an OpenMetrics file. Its length has none.
const (
	fileBytes  = 512 << 20 // of labels and compressed samples that some selector needs
	blockBytes = 1 << 20   // that are parsed at once
	maxLine    = 256 << 10
	cutChunk   = 240 // samples
)

// OpenMetrics reads a text file whose samples have timestamps, in order of time within each series, as `promtool tsdb create-blocks-from
// openmetrics` takes it. Series may stand in any order.
type OpenMetrics struct{ name string }

// NewOpenMetrics returns a source for a file.
func NewOpenMetrics(name string) *OpenMetrics { return &OpenMetrics{name: name} }

// Origin implements [Source].
func (o *OpenMetrics) Origin() Origin {
	return Origin{Kind: "openmetrics", Place: o.name, Protocol: ProtocolFile, Lacks: []Lack{
		{LackStartTimestamps, "Start timestamps (_created) of the file are not used: a counter that began anew is seen by its falling value only."},
		{LackStalenessMarkers, "A file has no staleness markers: where a series ended is not known, only that no more samples came."},
	}}
}

// Span reads the file once and returns the times of its first and its last sample.
func (o *OpenMetrics) Span(ctx context.Context) (first, last bus.Time, err error) {
	f, err := os.Open(o.name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	l := newLoader(o.name, Query{})
	if err := l.load(ctx, f); err != nil {
		return 0, 0, err
	}
	if l.first > l.final {
		return 0, 0, fmt.Errorf("%s holds no sample", o.name)
	}
	return l.first, l.final, nil
}

// Read implements [Source].
func (o *OpenMetrics) Read(ctx context.Context, q Query, take func(*Moment) error) error {
	f, err := os.Open(o.name)
	if err != nil {
		return err
	}
	defer f.Close()
	s, err := loadFile(ctx, o.name, f, q)
	if err != nil {
		return err
	}
	return s.merge(ctx, take)
}

func loadFile(ctx context.Context, name string, r io.Reader, q Query) (*slice, error) {
	l := newLoader(name, q)
	if err := l.load(ctx, r); err != nil {
		return nil, err
	}
	if err := l.finish(); err != nil {
		return nil, err
	}
	if err := l.slice.seal(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l.slice, nil
}

// A loader reads the file block by block into one slice.
type loader struct {
	name    string
	query   Query
	slice   *slice
	known   map[string]*entry // by the text of the series
	last    *entry
	symbols *labels.SymbolTable
	ended   bool // "# EOF" came

	family []byte // metric name of the last TYPE line
	kind   model.MetricType
	typed  []byte // that line

	first, final bus.Time // of all samples
}

// An entry is a series of the file.
type entry struct {
	text   string
	column *column // nil where no selector needs it
	begun  bool
	at     int64 // of its last sample
	tail   *chunkenc.XORChunk
	append chunkenc.Appender
	n      int
	min    int64
	max    int64
}

func newLoader(name string, q Query) *loader {
	return &loader{name: name, query: q, slice: newSlice(q.From, q.To, fileBytes), known: map[string]*entry{}, symbols: labels.NewSymbolTable(), first: math.MaxInt64}
}

func (l *loader) load(ctx context.Context, r io.Reader) error {
	b := bufio.NewReaderSize(r, maxLine)
	var block []byte
	first, line := 1, 0 // numbers of the block's first line and of the last one read
	for !l.ended {
		text, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%s:%d: the line has over %d bytes", l.name, line+1, maxLine)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		if len(text) > 0 {
			line++
			l.ended = string(bytes.TrimRight(text, "\r\n")) == "# EOF"
			if !l.ended {
				block = append(block, text...)
			}
		}
		cut := err != nil && !l.ended
		if len(block) < blockBytes && !cut && !l.ended {
			continue
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := l.parse(block, first); err != nil {
			return err
		}
		if cut {
			return fmt.Errorf("%s:%d: the file does not end with the line \"# EOF\" that OpenMetrics wants; it may be cut", l.name, line)
		}
		block, first = block[:0], line+1
	}
	return nil
}

// parse reads whole lines as if they were a file of their own, the last TYPE line before them. Each entry is one line.
func (l *loader) parse(text []byte, line int) error {
	if len(text) == 0 {
		return nil
	}
	whole := make([]byte, 0, len(l.typed)+len(text)+8)
	if len(l.typed) > 0 {
		whole = append(whole, l.typed...)
		line--
	}
	whole = append(whole, text...)
	if whole[len(whole)-1] != '\n' {
		whole = append(whole, '\n')
	}
	whole = append(whole, "# EOF\n"...)
	p := textparse.NewOpenMetricsParser(whole, l.symbols)
	for ; ; line++ {
		kind, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %s", l.name, line, cut(err.Error()))
		}
		switch kind {
		case textparse.EntryType:
			name, t := p.Type()
			l.family, l.kind = append(l.family[:0], name...), t
			l.typed = fmt.Appendf(l.typed[:0], "# TYPE %s %s\n", typeName(name), t)
		case textparse.EntrySeries:
			if err := l.sample(p); err != nil {
				return fmt.Errorf("%s:%d: %w", l.name, line, err)
			}
		}
	}
}

// typeName writes a metric's name as TYPE lines have it.
func typeName(name []byte) string {
	if legacyName(string(name), true) {
		return string(name)
	}
	return quoteQL(string(name))
}

func (l *loader) sample(p textparse.Parser) error {
	text, at, v := p.Series()
	e := l.last
	if e == nil || e.text != string(text) {
		if e = l.known[string(text)]; e == nil {
			var err error
			if e, err = l.learn(p, string(text)); err != nil {
				return err
			}
		}
		l.last = e
	}
	switch {
	case at == nil:
		return fmt.Errorf("the sample of %s has no timestamp; write it, in seconds, after the value", cut(e.text))
	case e.begun && *at <= e.at:
		return fmt.Errorf("the sample of %s is at %s, and the one before it at %s; within a series time must rise", cut(e.text), bus.Time(*at), bus.Time(e.at))
	}
	e.begun, e.at = true, *at
	l.first, l.final = min(l.first, bus.Time(*at)), max(l.final, bus.Time(*at))
	if e.column == nil || *at < int64(l.query.From) || *at >= int64(l.query.To) {
		return nil
	}
	return l.keep(e, *at, v)
}

// learn looks at a series for the first time.
func (l *loader) learn(p textparse.Parser, text string) (*entry, error) {
	var own labels.Labels
	p.Labels(&own)
	var ls bus.Labels
	own.Range(func(lb labels.Label) {
		ls = append(ls, bus.Label{Name: strings.Clone(lb.Name), Value: strings.Clone(lb.Value)})
	})
	ls = ls.Sort()
	if len(ls) > bus.MaxLabels {
		return nil, fmt.Errorf("the series has %d labels; at most %d", len(ls), bus.MaxLabels)
	}
	e := &entry{text: text}
	l.known[text] = e
	if err := l.slice.take(2*len(text) + 160); err != nil {
		return nil, l.full()
	}
	if !l.query.wants(ls) {
		return e, nil
	}
	c, err := l.slice.columnOf(0, ls, l.flags(ls.Get(labels.MetricName)))
	if err != nil {
		return nil, l.full()
	}
	e.column = c
	return e, nil
}

// flags tells gauges from all else. A series without a type may be a counter.
func (l *loader) flags(name string) uint64 {
	if !strings.HasPrefix(name, string(l.family)) || len(l.family) == 0 {
		return 0
	}
	switch l.kind {
	case model.MetricTypeGauge, model.MetricTypeInfo, model.MetricTypeStateset, model.MetricTypeGaugeHistogram:
		return bus.SeriesGauge
	case model.MetricTypeSummary:
		if name == string(l.family) { // quantiles
			return bus.SeriesGauge
		}
	}
	return 0
}

func (l *loader) full() error {
	return fmt.Errorf("the file holds more than %d MiB of series and compressed samples; cut it by time, or narrow the selectors", fileBytes>>20)
}

// keep adds a sample to the compressed end of its series.
func (l *loader) keep(e *entry, t int64, v float64) error {
	if e.append == nil {
		e.tail, e.n, e.min = chunkenc.NewXORChunk(), 0, t
		var err error
		if e.append, err = e.tail.Appender(); err != nil {
			return err
		}
	}
	e.append.Append(0, t, v)
	e.n, e.max = e.n+1, t
	if e.n == cutChunk {
		return l.shut(e)
	}
	return nil
}

// shut ends the chunk of a series.
func (l *loader) shut(e *entry) error {
	if e.append == nil {
		return nil
	}
	e.tail.Compact()
	k := chunk{min: e.min, max: e.max, encoding: chunkenc.EncXOR, data: e.tail.Bytes()}
	e.tail, e.append = nil, nil
	if l.slice.take(cap(k.data)) != nil || l.slice.addChunk(e.column, k) != nil {
		return l.full()
	}
	return nil
}

func (l *loader) finish() error {
	for _, e := range l.known { // each goes into its own column
		if err := l.shut(e); err != nil {
			return err
		}
	}
	return nil
}
