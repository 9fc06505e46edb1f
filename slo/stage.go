package slo

import (
	"fmt"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// StageName is the name of the stage in checkpoints and headers.
const StageName = "slo"

// A Config says which partition a [Stage] is and what its bounds are. Zero values mean the defaults.
type Config struct {
	Partition  int
	Partitions int // default bus.DefaultPartitions

	// Lateness is how long a slice waits for samples of its own time; default 5 s, at most 20 s.
	Lateness bus.Time
	// MaxSeriesPerSLO bounds the series that one SLO may match; default 200,000. Over it the SLO is UNKNOWN, reason SeriesLimit.
	MaxSeriesPerSLO int
	// MaxSeries bounds the series of the partition, about 100 bytes each; default 2,000,000.
	MaxSeries int
	// MaxObjectives bounds the objectives of the partition, about 20 KiB each; default 20,000.
	MaxObjectives int
	// MaxGroups bounds the SLOs of groups of the partition, which come beside those; default half of MaxObjectives.
	MaxGroups int
	// Stats, if set, is counted in; partitions may share it.
	Stats *Stats

	joint bool // it counts composites
}

func (c Config) validate() (Config, error) {
	if c.Partitions == 0 {
		c.Partitions = bus.DefaultPartitions
	}
	if c.Lateness == 0 {
		c.Lateness = 5 * bus.Second
	}
	if c.MaxSeriesPerSLO == 0 {
		c.MaxSeriesPerSLO = 200_000
	}
	if c.MaxSeries == 0 {
		c.MaxSeries = 2_000_000
	}
	if c.MaxObjectives == 0 {
		c.MaxObjectives = 20_000
	}
	if c.MaxGroups == 0 {
		c.MaxGroups = (c.MaxObjectives + 1) / 2
	}
	if c.Stats == nil {
		c.Stats = new(Stats)
	}
	switch {
	case c.Partitions < 0 || c.Partition < 0 || c.Partition >= c.Partitions:
		return c, fmt.Errorf("slo: partition %d of %d: it must be from 0 to one below their number", c.Partition, c.Partitions)
	case c.Lateness < 0 || c.Lateness > 20*bus.Second:
		return c, fmt.Errorf("slo: lateness %d ms: it must be above 0 and at most 20 s", c.Lateness)
	case c.MaxSeriesPerSLO < 0 || c.MaxSeries < 0 || c.MaxObjectives < 0 || c.MaxGroups < 0:
		return c, fmt.Errorf("slo: a bound is negative")
	}
	return c, nil
}

// A Stage counts the objectives of one partition. It is not safe for several goroutines.
type Stage struct {
	Config
	now     bus.Time // of the record at hand
	started bool     // a frame was taken

	trackers   []*tracker // by slot
	order      []*tracker // by key
	byKey      map[string]*tracker
	groupCount int    // of trackers that are groups of another one
	defined    uint32 // rises when terms change
	terms      *bus.SelectorIndex[term]

	exclusions []*exclusion // by definition

	series    []series
	ids       []bus.SeriesID
	byID      map[bus.SeriesID]uint32
	free      []uint32
	dropped   []uint32
	lists     []targetList
	listIndex map[string]uint32

	families   []family
	byFamily   map[bus.SeriesID]uint32
	noFamilies []uint32 // free places
	unseen     bus.Time // event time up to which samples may be missing
	revision   uint64   // newest at which an SLI of the partition was defined

	writers map[uint64]*writer
	pages   int
	sources map[sourceKey]*source

	groups      []*group
	groupIndex  map[sourceKey]uint16
	shadows     []shadow
	freeShadows []uint32
	handovers   map[uint32]handover

	closed    int64    // seconds of event time before it are closed
	pendingTo int64    // newest second that ever waited
	lastTick  bus.Time // record time
	hold      bus.Time // event time before which nothing fires, since the engine was away
	lastSweep int64
	lastFull  int64
	removed   []string // keys of SLOs to tell as removed

	out          []bus.Draft // of the step at hand
	tally        tally
	unknown      uint64
	frameSources []*source
	found        []target
	reader       bus.SectionReader
	columns      bus.Block
}

// NewStage returns an empty stage for one partition.
func NewStage(cfg Config) (*Stage, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	s := &Stage{Config: cfg}
	s.reset()
	return s, nil
}

func (s *Stage) reset() {
	*s = Stage{
		Config: s.Config, byKey: map[string]*tracker{}, byID: map[bus.SeriesID]uint32{}, byFamily: map[bus.SeriesID]uint32{}, lists: []targetList{{}}, listIndex: map[string]uint32{"": 0},
		writers: map[uint64]*writer{}, sources: map[sourceKey]*source{}, groupIndex: map[sourceKey]uint16{}, handovers: map[uint32]handover{},
	}
	s.index()
}

// Step implements [bus.Stage].
func (s *Stage) Step(r *bus.Record) ([]bus.Draft, error) {
	s.now, s.out = r.Time, nil
	if s.closed == 0 {
		s.closed = max(1, secondOf(s.now-s.Lateness-standstill))
	}
	switch {
	case r.Frame != nil:
		s.frame(r)
	case r.Is(bus.SubjectTick):
		s.tick()
	case r.Subject == bus.SubjectGap:
		s.Stats.MessagesMissing.Add(r.Missing)
		s.blind()
		s.markAll(ReasonGap)
	case r.Is(mesh.SubjectChange):
		s.redefine(r.Data)
	case r.Is(SubjectBackfill):
		s.backfill(r.Data)
	}
	s.tally.publish(s.Stats)
	return s.out, nil
}

// frame takes telemetry.
func (s *Stage) frame(r *bus.Record) {
	f := r.Frame
	if f.Err != nil {
		s.damaged()
		return
	}
	w, missing := s.writer(f)
	if w == nil {
		return
	}
	sources := s.observe(f)
	if missing > 0 {
		s.missed(w, missing)
	}
	s.outdated(w, f)
	s.elect(sources)
	as, err := s.reader.Reset(r.Section)
	if err == nil {
		for i := range as {
			s.announce(w, &as[i])
		}
		err = s.samples(w, sources)
	}
	if err != nil {
		s.damaged()
	}
	if s.unknown > 0 {
		s.Stats.SamplesUnknown.Add(s.unknown)
		s.unknown = 0
		s.blind()
		s.markWriter(w, ReasonUnknownSeries)
	}
	if to := secondOf(s.watermark()); to-s.closed > jump {
		s.advance(to)
	}
}

// jump is how many seconds the watermark may move between ticks; a backlog moves it more, and is evaluated as it comes.
const jump = 20

func (s *Stage) damaged() {
	s.Stats.FramesDamaged.Add(1)
	s.blind()
	s.markAll(ReasonDamagedFrame)
}

func (s *Stage) samples(w *writer, sources []*source) error {
	for s.reader.Next(&s.columns) {
		if s.columns.Source < 0 || s.columns.Source >= len(sources) {
			return bus.ErrFrameDamaged
		}
		c := sources[s.columns.Source]
		s.tally.samples += uint64(len(s.columns.Refs))
		s.block(w, c, &s.columns)
	}
	return s.reader.Err()
}

// catchUp makes room in the bins for a second, while a frame is being counted that holds more time than the bins do: the frames of a
// backlog do. It closes no more than it must, so that alerts are looked at with all that came before.
func (s *Stage) catchUp(second int64) {
	s.advance(min(secondOf(s.watermark()), second-pendingBins/2))
}

// advance closes all seconds before to. Where data waits it goes in steps of ten seconds, and never over the end of a minute, and
// looks at the alerts after each: what begins and ends in a backlog is seen.
func (s *Stage) advance(to int64) {
	if s.closed >= to {
		return
	}
	limit := behindAfter + s.skew()
	for s.closed < to {
		next := to
		if s.closed <= s.pendingTo {
			next = min(next, (s.closed/60+1)*60)
			if to-s.closed > completeSlice {
				next = min(next, (s.closed/completeSlice+1)*completeSlice)
			}
		}
		at := bus.Time(next) * bus.Second
		behind := s.now-at > limit || at < s.hold
		for _, t := range s.order {
			t.close(s.closed, next)
			t.endGap(next)
			s.watch(t, at, behind)
		}
		minute := s.closed / 60
		s.closed = next
		if next/60 > minute {
			s.emitLedger(minute)
		}
	}
}

// tick evaluates.
func (s *Stage) tick() {
	s.noteTick()
	s.failover()
	s.advance(secondOf(s.watermark()))
	for _, t := range s.order {
		s.watchAbsence(t)
		s.learn(t)
		previous := t.state
		if t.judge(s.closed, s.now) {
			t.dirty = true
			st := t.figures(s.closed, s.now)
			st.derive()
			s.emitEvent("status", StatusEventType, &t.o, s.now, StatusEvent{Previous: previous, Status: st})
			if st.Message != "" {
				s.defineDetail(t, t.reason, st.Message)
			}
		}
	}
	s.emitStatus()
	if n := int64(s.now / sweepEvery); n != s.lastSweep {
		s.lastSweep = n
		s.sweep()
	}
}

// noteTick notes that the engine was away, when a tick shows it.
func (s *Stage) noteTick() {
	if s.lastTick > 0 && s.now-s.lastTick > awayAfter {
		s.hold = s.now
		s.Stats.Away.Add(1)
	}
	s.lastTick = s.now
}

const sweepEvery = 5 * bus.Minute

// Spec describes the stage to [bus.Run]. The configuration is validated once here; cfg.Partition is ignored.
func Spec(partitions int, cfg Config) (bus.Spec, error) {
	cfg.Partitions, cfg.Partition = partitions, 0
	if _, err := NewStage(cfg); err != nil {
		return bus.Spec{}, err
	}
	return bus.Spec{
		Name:       StageName,
		Partitions: partitions,
		Reads:      []string{bus.SubjectFrame, bus.SubjectTick, mesh.SubjectChange, SubjectBackfill},
		New: func(partition int) bus.Stage {
			c := cfg
			c.Partition = partition
			s, err := NewStage(c)
			if err != nil {
				panic(err) // the same bounds were accepted above
			}
			return s
		},
	}, nil
}
