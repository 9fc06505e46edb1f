package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A Frame is one flush of one writer: whole arrivals, cut by partition. On the wire, numbers being uvarints unless said:
//
//	"EKF1", CRC-32C of all that follows (4 bytes LE), writer (8 bytes LE), number, catalogue revision,
//	sources: count, then each: sender, cluster, replica, global namespace (strings with length), newest event time (zigzag)
//	sections: count, then each: partition, length in bytes, section
//
// A section is
//
//	announcements: count, then each: ref, flags, global namespace, labels (Labels.Append)
//	blocks until its end, each: source, samples n, flags, base time (zigzag),
//	  n refs (zigzag difference to the one before), [n times (zigzag difference to base)], [n starts (zigzag time minus start; 0 is none)],
//	  n values (float64, 8 bytes LE)
//
// A ref belongs to one writer incarnation. Its labels stand in the first frame that uses it in that partition and are announced
// again every five minutes. Frame numbers of a writer rise by one, beginning with 1: a jump is a gap.
type Frame struct {
	Writer    uint64 // incarnation: random, new with every start of a writer
	Number    uint64
	Catalogue uint64 // revision of the catalogue that the arrivals were matched with
	Sources   []Source
	Err       error // why the frame cannot be trusted; then nothing else is set

	sections []frameSection
}

type frameSection struct {
	partition int
	data      []byte
}

// A Source is one stream of event time: a sender, or one replica of a highly available pair of senders.
type Source struct {
	Sender          string // identity of who sent, from its credentials
	Cluster         string // label "cluster", where the sender is a replica or names one
	Replica         string // label "__replica__", "" where there is none
	GlobalNamespace string // stamped from the sender's identity; "" for one that may speak for all
	Newest          Time   // newest event time of the source in this frame, of samples kept or dropped
}

// Flags of an announced series.
const (
	SeriesDelta = 1 << iota // values are increments (OTLP delta temporality), identified by start and time
	SeriesGauge             // values are no counter
)

// SeriesRefused is the flag of an announcement that gives no ref a meaning (its ref is 0): a series with these labels is needed and
// ingest has refused it, since a bound was reached. It has no samples; what counts it is incomplete.
const SeriesRefused = 1 << 8

// SeriesBeside is a flag beside SeriesRefused: nobody needs a series with these labels, and nothing was refused. It is a bucket of a
// classic histogram whose bound stands beside one that is needed, which may not exist.
const SeriesBeside = 1 << 9

// An Announcement gives a ref its labels.
type Announcement struct {
	Ref             uint32
	Flags           uint64
	GlobalNamespace string
	Labels          Labels
	ID              SeriesID
}

const (
	blockTimes  = 1 << 0
	blockStarts = 1 << 1
)

var (
	frameMagic = [4]byte{'E', 'K', 'F', '1'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	// ErrFrameDamaged says that a frame's checksum does not fit its bytes.
	ErrFrameDamaged = errors.New("bus: frame is damaged: its checksum does not fit")
	errFrameCut     = errors.New("bus: frame is cut short")
)

// DecodeFrame reads the head of a frame. It never panics and allocates no more than a few times the input's length. The
// sections refer to b.
func DecodeFrame(b []byte) *Frame {
	if len(b) < 8 || [4]byte(b[:4]) != frameMagic {
		return &Frame{Err: fmt.Errorf("bus: not a frame of a version that is known here")}
	}
	if crc32.Checksum(b[8:], castagnoli) != binary.LittleEndian.Uint32(b[4:8]) {
		return &Frame{Err: ErrFrameDamaged}
	}
	d := decoder{b: b[8:]}
	f := &Frame{Writer: d.fixed64(), Number: d.uvarint(), Catalogue: d.uvarint()}
	for n := d.count(6); n > 0 && !d.bad; n-- {
		f.Sources = append(f.Sources, Source{Sender: d.string(), Cluster: d.string(), Replica: d.string(), GlobalNamespace: d.string(), Newest: Time(d.varint())})
	}
	for n := d.count(2); n > 0 && !d.bad; n-- {
		p := d.uvarint()
		f.sections = append(f.sections, frameSection{partition: int(p), data: d.bytes(d.uvarint())})
	}
	if d.bad || len(d.b) != 0 {
		return &Frame{Err: errFrameCut}
	}
	return f
}

// Sections returns the parts of all partitions, in the order in which they stand.
func (f *Frame) Sections() []Section {
	out := make([]Section, 0, len(f.sections))
	for i := range f.sections {
		out = append(out, Section{data: f.sections[i].data})
	}
	return out
}

// Section returns the part of the frame for one partition; it is empty when there is none.
func (f *Frame) Section(partition int) Section {
	for i := range f.sections {
		if f.sections[i].partition == partition {
			return Section{data: f.sections[i].data}
		}
	}
	return Section{}
}

// A Section is one partition's part of a frame.
type Section struct{ data []byte }

// Empty reports whether the frame held nothing for the partition.
func (s Section) Empty() bool { return len(s.data) == 0 }

// A Block is a run of samples of one source, in columns. Refs, Times, Starts and Values have the same length; Starts is empty
// when no sample of the block has a start timestamp, and 0 in it means none. Its memory is used again by [SectionReader.Next].
type Block struct {
	Source int // index into Frame.Sources
	Refs   []uint32
	Times  []Time
	Starts []Time
	Values []float64
}

// A SectionReader walks a section without allocating per sample. The zero value is ready; Reset begins a section.
type SectionReader struct {
	d   decoder
	err error
}

// Reset begins to read s and returns its announcements, which must be taken before the samples. The announcements are new memory.
func (r *SectionReader) Reset(s Section) ([]Announcement, error) {
	r.d, r.err = decoder{b: s.data}, nil
	if s.Empty() {
		return nil, nil
	}
	var as []Announcement
	for n := r.d.count(4); n > 0 && !r.d.bad; n-- {
		a := Announcement{Ref: uint32(r.d.uvarint()), Flags: r.d.uvarint(), GlobalNamespace: r.d.string()}
		if r.d.bad {
			break
		}
		var err error
		if a.Labels, r.d.b, err = DecodeLabels(r.d.b); err != nil {
			r.err = err
			return nil, err
		}
		a.ID = IdentifySeries(a.GlobalNamespace, a.Labels)
		as = append(as, a)
	}
	if r.d.bad {
		r.err = errFrameCut
		return nil, r.err
	}
	return as, nil
}

// Next reads the next block into b and reports whether there was one; after false, Err says whether the section was whole.
func (r *SectionReader) Next(b *Block) bool {
	d := &r.d
	if r.err != nil || d.bad || len(d.b) == 0 {
		return false
	}
	b.Source = int(d.uvarint())
	n := d.count(9)
	flags := d.uvarint()
	base := Time(d.varint())
	b.Refs, b.Times, b.Starts, b.Values = b.Refs[:0], b.Times[:0], b.Starts[:0], b.Values[:0]
	ref := int64(0)
	for range n {
		ref += d.varint()
		b.Refs = append(b.Refs, uint32(ref))
	}
	for range n {
		t := base
		if flags&blockTimes != 0 {
			t += Time(d.varint())
		}
		b.Times = append(b.Times, t)
	}
	if flags&blockStarts != 0 {
		for i := range n {
			age := d.varint()
			if age == 0 {
				b.Starts = append(b.Starts, 0)
			} else {
				b.Starts = append(b.Starts, b.Times[i]-Time(age)+1)
			}
		}
	}
	raw := d.bytes(uint64(n) * 8)
	if d.bad {
		r.err = errFrameCut
		return false
	}
	for i := range n {
		b.Values = append(b.Values, math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:])))
	}
	return true
}

// Err returns why the walk ended early, or nil.
func (r *SectionReader) Err() error { return r.err }

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		v := uint64(d.b[0])
		d.b = d.b[1:]
		return v
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// count reads a number of things that take at least size bytes each, and refuses one that the rest cannot hold.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) fixed64() uint64 {
	b := d.bytes(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) string() string { return string(d.bytes(d.uvarint())) }

// A FrameBuilder collects arrivals into one frame. It is used again after Reset and then allocates nothing. The zero value is ready.
type FrameBuilder struct {
	sources  []Source
	sections []sectionBuilder // by order of first use
	index    []int            // partition -> position in sections plus one
	size     int
}

type sectionBuilder struct {
	partition int
	announced int
	announce  []byte
	blocks    []byte // finished blocks

	// the open block
	source int
	base   Time
	times  bool
	starts bool
	refs   []uint32
	ts     []Time
	ss     []Time
	vs     []float64
}

// blockMax keeps the scratch columns of readers small.
const blockMax = 4096

// Source returns the index of src in the frame, adding it or raising its newest time.
func (b *FrameBuilder) Source(src Source) int {
	for i := range b.sources {
		s := &b.sources[i]
		if s.Sender == src.Sender && s.Cluster == src.Cluster && s.Replica == src.Replica && s.GlobalNamespace == src.GlobalNamespace {
			s.Newest = max(s.Newest, src.Newest)
			return i
		}
	}
	b.sources = append(b.sources, src)
	b.size += 32 + len(src.Sender) + len(src.Cluster) + len(src.Replica)
	return len(b.sources) - 1
}

// Announce gives ref its labels (as [Labels.Append] encodes them) in a partition's section. It stands before all samples of the
// frame, whatever the order of calls.
func (b *FrameBuilder) Announce(partition int, ref uint32, flags uint64, globalNamespace string, labels []byte) {
	s := b.section(partition)
	s.announced++
	before := len(s.announce)
	s.announce = binary.AppendUvarint(s.announce, uint64(ref))
	s.announce = binary.AppendUvarint(s.announce, flags)
	s.announce = appendString(s.announce, globalNamespace)
	s.announce = append(s.announce, labels...)
	b.size += len(s.announce) - before
}

// Add adds a sample to a partition's section; start is 0 where there is none.
func (b *FrameBuilder) Add(partition, source int, ref uint32, t, start Time, v float64) {
	s := b.section(partition)
	if n := len(s.refs); n > 0 && (s.source != source || n == blockMax) {
		s.flush()
	}
	if len(s.refs) == 0 {
		s.source, s.base, s.times, s.starts = source, t, false, false
	}
	s.times = s.times || t != s.base
	s.starts = s.starts || start != 0
	s.refs = append(s.refs, ref)
	s.ts = append(s.ts, t)
	s.ss = append(s.ss, start)
	s.vs = append(s.vs, v)
	b.size += 11
}

// Len returns about how many bytes the frame has so far.
func (b *FrameBuilder) Len() int { return b.size }

// Empty reports whether nothing was added since the last Reset; a frame with sources alone is not empty, since it moves time.
func (b *FrameBuilder) Empty() bool { return len(b.sources) == 0 && len(b.sections) == 0 }

// Seal appends the finished frame to dst and returns it.
func (b *FrameBuilder) Seal(dst []byte, writer, number, catalogue uint64) []byte {
	start := len(dst)
	dst = append(dst, frameMagic[:]...)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, writer)
	dst = binary.AppendUvarint(dst, number)
	dst = binary.AppendUvarint(dst, catalogue)
	dst = binary.AppendUvarint(dst, uint64(len(b.sources)))
	for _, s := range b.sources {
		dst = appendString(dst, s.Sender)
		dst = appendString(dst, s.Cluster)
		dst = appendString(dst, s.Replica)
		dst = appendString(dst, s.GlobalNamespace)
		dst = binary.AppendVarint(dst, int64(s.Newest))
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.sections)))
	for i := range b.sections {
		s := &b.sections[i]
		s.flush()
		head := binary.AppendUvarint(nil, uint64(s.announced))
		dst = binary.AppendUvarint(dst, uint64(s.partition))
		dst = binary.AppendUvarint(dst, uint64(len(head)+len(s.announce)+len(s.blocks)))
		dst = append(dst, head...)
		dst = append(dst, s.announce...)
		dst = append(dst, s.blocks...)
	}
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+8:], castagnoli))
	return dst
}

// Reset empties the builder and keeps its memory.
func (b *FrameBuilder) Reset() {
	b.sources = b.sources[:0]
	for i := range b.sections {
		s := &b.sections[i]
		b.index[s.partition] = 0
		s.announced, s.announce, s.blocks = 0, s.announce[:0], s.blocks[:0]
		s.refs, s.ts, s.ss, s.vs = s.refs[:0], s.ts[:0], s.ss[:0], s.vs[:0]
	}
	b.sections = b.sections[:0]
	b.size = 0
}

func (b *FrameBuilder) section(partition int) *sectionBuilder {
	for partition >= len(b.index) {
		b.index = append(b.index, 0)
	}
	if i := b.index[partition]; i > 0 {
		return &b.sections[i-1]
	}
	if len(b.sections) < cap(b.sections) {
		b.sections = b.sections[:len(b.sections)+1] // its columns are empty since Reset
	} else {
		b.sections = append(b.sections, sectionBuilder{})
	}
	b.sections[len(b.sections)-1].partition = partition
	b.index[partition] = len(b.sections)
	b.size += 8
	return &b.sections[len(b.sections)-1]
}

func (s *sectionBuilder) flush() {
	if len(s.refs) == 0 {
		return
	}
	d := s.blocks
	d = binary.AppendUvarint(d, uint64(s.source))
	d = binary.AppendUvarint(d, uint64(len(s.refs)))
	flags := uint64(0)
	if s.times {
		flags |= blockTimes
	}
	if s.starts {
		flags |= blockStarts
	}
	d = binary.AppendUvarint(d, flags)
	d = binary.AppendVarint(d, int64(s.base))
	prev := int64(0)
	for _, r := range s.refs {
		d = binary.AppendVarint(d, int64(r)-prev)
		prev = int64(r)
	}
	if s.times {
		for _, t := range s.ts {
			d = binary.AppendVarint(d, int64(t-s.base))
		}
	}
	if s.starts {
		for i, st := range s.ss {
			if st == 0 {
				d = append(d, 0)
			} else {
				d = binary.AppendVarint(d, startAge(s.ts[i], st))
			}
		}
	}
	for _, v := range s.vs {
		d = binary.LittleEndian.AppendUint64(d, math.Float64bits(v))
	}
	s.blocks = d
	s.refs, s.ts, s.ss, s.vs = s.refs[:0], s.ts[:0], s.ss[:0], s.vs[:0]
}

// startAge is the age of a start timestamp plus one, so that 0 is left to say that there is none. A start in the future of its
// own sample has no meaning and is cut to the sample's time.
func startAge(t, start Time) int64 { return int64(max(t-start, 0)) + 1 }
