package app

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/console"
	"evenkeel.dev/ingest"
	"evenkeel.dev/ingest/history"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/report"
)

// A ReplayConfig says what to replay: definitions over history.
type ReplayConfig struct {
	Definitions []ReplayDefinitions // one set, or two to compare
	Source      history.Source
	Log         *history.Log // in place of Source: the records of an engine, as they came
	From, Until bus.Time     // From is included, Until is not
	Step        bus.Time     // between points of the curves
	// Progress, if set, is told how far the replay has come.
	Progress func(at bus.Time, samples uint64)
}

// ReplayDefinitions is one set of compiled definitions (see [Check]).
type ReplayDefinitions struct {
	Name string
	Set  []mesh.Definition
}

// ErrNoObjective says that a set of definitions holds no SLO.
var ErrNoObjective = errors.New("there is no SLO in it")

// Replay drives the ingest gate and the slo stage, the same code as that of a running engine, with recorded time: an engine that is started
// at From with these definitions and no past. Each timestamp of the history becomes one arrival and one frame; each second of event
// time is one tick.
func Replay(ctx context.Context, c ReplayConfig) (*report.Report, error) {
	r, err := newReplay(c)
	if err != nil {
		return nil, err
	}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	return r.report(), nil
}

func newReplay(c ReplayConfig) (*replay, error) {
	r := &replay{config: c, now: c.From}
	if c.Log != nil {
		r.now -= announced
	}
	for _, d := range c.Definitions {
		l, err := newLane(d, r.now, c.From, c.Step)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Name, err)
		}
		r.lanes = append(r.lanes, l)
	}
	return r, nil
}

// run reads the history, takes it through the stages, and waits until all of it is counted.
func (r *replay) run(ctx context.Context) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	return r.finish()
}

// read takes the history through the stages.
func (r *replay) read(ctx context.Context) error {
	if r.config.Log != nil {
		return r.readLog(ctx)
	}
	var selectors []bus.Selector
	for _, l := range r.lanes {
		for i := range l.objectives {
			selectors = append(selectors, l.objectives[i].Selectors()...)
		}
	}
	q := history.Query{Selectors: selectors, From: r.config.From, To: r.config.Until}
	return r.config.Source.Read(ctx, q, func(m *history.Moment) error { return r.take(ctx, m) })
}

// A replay is one run over history.
type replay struct {
	config     ReplayConfig
	lanes      []*lane
	now        bus.Time // of the last tick
	last       bus.Time // of the last sample
	samples    uint64
	timestamps uint64

	rewriter rewriter           // of a log's frames
	used     []int              // partitions with SLOs
	ticked   func(now bus.Time) // if set, is told each tick after it
}

// take carries time forward to a moment, and its samples to all lanes.
func (r *replay) take(ctx context.Context, m *history.Moment) error {
	if err := r.tickBefore(m.Time); err != nil {
		return err
	}
	r.last = m.Time
	r.samples += uint64(len(m.Series))
	r.timestamps++
	for _, l := range r.lanes {
		if err := l.arrive(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// tickBefore ticks each second up to, and without, a time: what is of a whole second comes before its tick.
func (r *replay) tickBefore(t bus.Time) error {
	for next := r.now + bus.Second; next < t; next += bus.Second {
		r.now = next
		for _, l := range r.lanes {
			if err := l.tick(next); err != nil {
				return err
			}
		}
		if r.ticked != nil {
			r.ticked(next)
		}
		if r.config.Progress != nil && next%bus.Minute == 0 {
			r.config.Progress(next, r.samples)
		}
	}
	return nil
}

// settleFor bounds how long after the end the stage may wait for senders: two intervals, which it takes for five minutes at most.
const settleFor = 15 * bus.Minute

// finish ticks to the end, and then until all that was read is counted.
func (r *replay) finish() error {
	if err := r.tickBefore(r.config.Until + 1); err != nil {
		return err
	}
	for _, l := range r.lanes {
		l.collector.Settle()
	}
	for end := r.now + settleFor; r.now < end; {
		if err := r.tickBefore(r.now + bus.Second + 1); err != nil {
			return err
		}
		done := true
		for _, l := range r.lanes {
			done = done && l.counted(r.last)
		}
		if done {
			break
		}
	}
	return nil
}

// report puts together what the lanes have collected.
func (r *replay) report() *report.Report {
	o := r.origin()
	out := &report.Report{
		Version: report.Version, Source: report.Source{Kind: o.Kind, Place: o.Place, Protocol: o.Protocol},
		From: slo.Moment(r.config.From), Until: slo.Moment(r.config.Until), Samples: r.samples, Timestamps: r.timestamps, NotReproduced: r.notReproduced(),
	}
	for _, l := range o.Lacks {
		out.NotReproduced = append(out.NotReproduced, report.Note{Reason: l.Reason, Message: l.Message})
	}
	for _, l := range r.lanes {
		run := l.collector.Run(l.name)
		run.Notes = append(run.Notes, l.refusals()...)
		run.Counts = l.counts()
		out.Runs = append(out.Runs, run)
	}
	return out
}

func (r *replay) origin() history.Origin {
	if r.config.Log != nil {
		return r.config.Log.Origin()
	}
	return r.config.Source.Origin()
}

// notReproduced says what no history holds; an engine's own log lacks its beginning only.
func (r *replay) notReproduced() []report.Note {
	beginning := report.Note{Reason: "Beginning", Message: "The replay begins with empty windows, as an engine does that is started then: the first sample of each series counts nothing, and until windows are full they hold what there is."}
	if r.config.Log != nil {
		return []report.Note{beginning}
	}
	return []report.Note{
		beginning,
		{Reason: "ArrivalDelays", Message: "Samples arrive at their own timestamps. Live they come later, so that alerts may come later by what a sender's scraping, batching and retries took."},
		{Reason: "OrderWithinTimestamp", Message: "All samples of one timestamp arrive together. Live, good and total of one scrape may come in different requests."},
		{Reason: "Outages", Message: "The engine's and its senders' own outages are not in the history; it is replayed as if the engine had always run."},
	}
}

// A lane is a gate and the stages of one set of definitions.
type lane struct {
	name       string
	objectives []slo.Objective
	gate       *ingest.Gate
	stages     []partition
	stats      slo.Stats
	collector  *report.Collector
	ledger     func(*slo.LedgerFrame) // if set, is told each minute
	alert      func(*slo.AlertEvent)  // if set, is told each change of an alert

	from    bus.Time // what is drafted before it is not collected
	now     bus.Time // record time
	seq     uint64
	failure error // of a stage, inside the gate's append
	refused ingest.Refused
	labels  bus.Labels // scratch
	record  bus.Record
}

// A partition is a stage that has objectives.
type partition struct {
	number int
	stage  bus.Stage
}

// replaySender is who sends all history.
const replaySender = "replay"

func newLane(d ReplayDefinitions, begin, from, step bus.Time) (*lane, error) {
	l := &lane{name: d.Name, now: begin, from: from}
	var err error
	if l.objectives, err = Objectives(d); err != nil {
		return nil, err
	}
	if len(l.objectives) == 0 {
		return nil, ErrNoObjective
	}
	spec, err := slo.Spec(bus.DefaultPartitions, slo.Config{Stats: &l.stats})
	if err != nil {
		return nil, err
	}
	for n := range spec.Partitions {
		if slices.ContainsFunc(l.objectives, func(o slo.Objective) bool {
			return bus.Partition(o.GlobalNamespace, o.Service, spec.Partitions) == n
		}) {
			l.stages = append(l.stages, partition{n, spec.New(n)})
		}
	}
	l.collector = report.NewCollector(l.objectives, from, step)
	l.gate, err = ingest.New(ingest.Config{
		Log: l, Partitions: spec.Partitions, Writer: 1, Now: func() bus.Time { return l.now },
		NewWriter: func() uint64 { l.seq++; return 1<<32 + l.seq },
	})
	if err != nil {
		return nil, err
	}
	return l, l.define(d.Set)
}

// objectivesOf returns the SLOs of a definition, none where it is of another kind.
func objectivesOf(d *mesh.Definition) ([]slo.Objective, error) {
	if len(d.Compiled) == 0 || d.Compiled[0] != '[' {
		return nil, nil
	}
	var os []slo.Objective
	if err := json.Unmarshal(d.Compiled, &os); err != nil {
		return nil, fmt.Errorf("%s %s: %w", d.Kind, d.Name, err)
	}
	return os, nil
}

// define makes the definitions known, in the catalogue's words.
func (l *lane) define(set []mesh.Definition) error {
	change := mesh.Change{Accepted: true, Reason: mesh.ReasonAccepted, Revision: 1, Set: slices.Clone(set)}
	for i := range change.Set {
		change.Set[i].Revision = change.Revision
	}
	data, err := json.Marshal(change)
	if err != nil {
		return err
	}
	l.gate.SetObjectives(change.Revision, l.objectives)
	return l.step(bus.Record{Time: l.now, Subject: mesh.SubjectChange, Data: data}, nil)
}

// arrive gives the samples of one timestamp to the gate, as one arrival.
func (l *lane) arrive(ctx context.Context, m *history.Moment) error {
	l.now = m.Time
	a := l.gate.Begin(ingest.Sender{Name: replaySender})
	for i, s := range m.Series {
		h := ingest.Hash{A: binary.LittleEndian.Uint64(s.ID[:8]), B: binary.LittleEndian.Uint64(s.ID[8:])}
		ref, known := a.RefHash(h)
		if !known {
			l.labels = append(l.labels[:0], s.Labels...) // the gate changes them
			ref, _ = a.LearnHash(h, l.labels, s.Flags)   // a refused ref counts the sample
		}
		var start bus.Time
		if len(m.Starts) > 0 {
			start = m.Starts[i]
		}
		a.Add(ref, m.Time, start, m.Values[i])
	}
	out, err := a.Commit(ctx)
	for i, n := range out.Refused {
		l.refused[i] += n
	}
	return errors.Join(l.failure, err)
}

// Append implements [ingest.Log]: a frame goes to the stages at once.
func (l *lane) Append(_ context.Context, m bus.Message) (uint64, error) {
	f := bus.DecodeFrame(m.Data)
	err := l.step(bus.Record{Time: l.now, Subject: m.Subject, Data: m.Data}, f)
	if l.failure == nil {
		l.failure = err // an append that fails is tried again, which would not help
	}
	return l.seq, nil
}

func (l *lane) tick(t bus.Time) error {
	l.now = t
	return l.step(bus.Record{Time: t, Subject: bus.SubjectTick}, nil)
}

// step gives a record to all partitions and what they draft to the collector.
func (l *lane) step(r bus.Record, f *bus.Frame) error {
	l.seq++
	for i := range l.stages {
		p := &l.stages[i]
		l.record = r
		l.record.Seq = l.seq
		if f != nil {
			l.record.Frame, l.record.Section = f, f.Section(p.number)
		}
		drafts, err := p.stage.Step(&l.record)
		if err != nil {
			return fmt.Errorf("partition %d: %w", p.number, err)
		}
		for k := range drafts {
			if l.now < l.from {
				break
			}
			if err := l.collector.Take(p.number, l.now, &drafts[k]); err != nil {
				return fmt.Errorf("partition %d: %w", p.number, err)
			}
			if err := errors.Join(l.takeLedger(&drafts[k]), l.takeAlert(&drafts[k])); err != nil {
				return fmt.Errorf("partition %d: %w", p.number, err)
			}
		}
	}
	return nil
}

// counted reports whether every partition has counted what is of a time.
func (l *lane) counted(t bus.Time) bool {
	for i := range l.stages {
		if l.collector.AsOf(l.stages[i].number) <= t {
			return false
		}
	}
	return true
}

// counts says what became of the samples.
func (l *lane) counts() report.Counts {
	s := &l.stats
	return report.Counts{
		Samples: s.Samples.Load(), Duplicate: s.SamplesDuplicate.Load(), Disorder: s.SamplesDisorder.Load(), Bad: s.SamplesBad.Load(), Stale: s.SamplesStale.Load(),
		Resets: s.Resets.Load(), Born: s.SeriesBorn.Load(), Lumps: s.Lumps.Load(),
	}
}

// refusals says what the gate did not take, by reason.
func (l *lane) refusals() []report.Note {
	var out []report.Note
	for i, n := range l.refused {
		if n > 0 {
			out = append(out, report.Note{Reason: "Refused" + ingest.Reason(i).String(), Message: fmt.Sprintf("%d samples were refused, as live: %s", n, ingest.Reason(i))})
		}
	}
	return out
}

// ReplayFiles compiles files for a replay; problems are their mistakes.
func ReplayFiles(name string, files []console.File) (ReplayDefinitions, []mesh.Problem, error) {
	set, problems, err := Check(files)
	problems, _ = mesh.Mistakes(problems)
	return ReplayDefinitions{Name: name, Set: set}, problems, err
}
