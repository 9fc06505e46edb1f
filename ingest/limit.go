package ingest

import (
	"fmt"
	"sync"

	"evenkeel.dev/bus"
)

// Limits are the bounds of a [Gate]. A zero field means its default.
type Limits struct {
	Ahead   bus.Time // how far ahead of the clock a sample may be; default 60 s (SAFETY 11)
	Horizon bus.Time // how old a sample may be; default 24 h: a sender's backlog of hours passes, 1970 does not

	Labels     int // labels of one series; default 128, at most bus.MaxLabels
	NameBytes  int // bytes of a label's name; default 1 KiB
	ValueBytes int // bytes of a label's value; default 4 KiB
	TotalBytes int // bytes of all labels of a series; default 16 KiB

	// Series that some definition needs. A series takes about 130 bytes and its labels.
	SenderSeries       int // default 1,048,576
	NamespaceSeries    int // default 2,097,152
	Series             int // in all; default 4,194,304
	SenderBytes        int // bytes of labels; default 512 MiB
	NamespaceBytes     int // default 1 GiB
	Bytes              int // in all; default 2 GiB
	NewSeriesPerMinute int // per sender, once a first burst of SenderSeries is used up; default 100,000
	// ForgetAfter is how long a series may be unused before its memory is given back; default 30 min. It costs no count: the
	// series is known by its labels when it comes again.
	ForgetAfter bus.Time

	// FilterBytes is the fixed memory for series that nobody needs, 8 bytes each; default 16 MiB, about 2 million series.
	FilterBytes int
	// FilterPerMinute is how many of them one sender may add per minute, once a burst of half the filter is used up; those over
	// it are matched each time they come. So a sender with endless new names does not crowd out the others. Default 200,000.
	FilterPerMinute int

	Histograms int // native histograms that some definition looks into, up to 5 KiB each beside their series; default 65,536

	SamplesPerMinute int // quota of a sender; over it arrivals fail with ErrQuota; default none
	Senders          int // default 10,000
	Sources          int // clusters and replicas of one sender; default 256

	FrameBytes   int // a frame is closed when it has reached this; default 512 KiB
	FrameMax     int // no frame is larger; an arrival is split over several only where it does not fit in one; default 4 MiB
	WaitingBytes int // memory of arrivals that wait for the log; over it they fail with ErrBusy; default 128 MiB
}

func (l Limits) withDefaults() (Limits, error) {
	or := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	orTime := func(p *bus.Time, v bus.Time) {
		if *p == 0 {
			*p = v
		}
	}
	orTime(&l.Ahead, bus.Minute)
	orTime(&l.Horizon, bus.Day)
	orTime(&l.ForgetAfter, 30*bus.Minute)
	or(&l.Labels, 128)
	or(&l.NameBytes, 1<<10)
	or(&l.ValueBytes, 4<<10)
	or(&l.TotalBytes, 16<<10)
	or(&l.SenderSeries, 1<<20)
	or(&l.NamespaceSeries, 2<<20)
	or(&l.Series, 4<<20)
	or(&l.SenderBytes, 512<<20)
	or(&l.NamespaceBytes, 1<<30)
	or(&l.Bytes, 2<<30)
	or(&l.NewSeriesPerMinute, 100_000)
	or(&l.FilterBytes, 16<<20)
	or(&l.FilterPerMinute, 200_000)
	or(&l.Histograms, 1<<16)
	or(&l.Senders, 10_000)
	or(&l.Sources, 256)
	or(&l.FrameBytes, 512<<10)
	or(&l.FrameMax, 4<<20)
	or(&l.WaitingBytes, 128<<20)
	return l, l.check()
}

func (l Limits) check() error {
	switch {
	case l.Labels > bus.MaxLabels:
		return fmt.Errorf("ingest: Limits.Labels is %d; a frame takes at most %d", l.Labels, bus.MaxLabels)
	case l.FrameMax < 64<<10 || l.FrameBytes > l.FrameMax:
		return fmt.Errorf("ingest: Limits.FrameMax is %d; it must be at least 64 KiB and FrameBytes (%d) not above it", l.FrameMax, l.FrameBytes)
	case l.TotalBytes < 0 || (l.TotalBytes+(4<<10))*maxPartitions+2*headBytes > l.FrameMax:
		return fmt.Errorf("ingest: Limits.TotalBytes is %d; a series of this size does not fit %d times into Limits.FrameMax (%d)", l.TotalBytes, maxPartitions, l.FrameMax)
	}
	for _, n := range []int{l.Labels, l.NameBytes, l.ValueBytes, l.TotalBytes, l.SenderSeries, l.NamespaceSeries, l.Series, l.SenderBytes,
		l.NamespaceBytes, l.Bytes, l.NewSeriesPerMinute, l.FilterBytes, l.FilterPerMinute, l.Histograms, l.SamplesPerMinute, l.Senders, l.Sources,
		l.FrameBytes, l.WaitingBytes, int(l.Ahead), int(l.Horizon), int(l.ForgetAfter)} {
		if n < 0 {
			return fmt.Errorf("ingest: a limit is %d; it must not be negative", n)
		}
	}
	return nil
}

// A usage is how much of a bound is taken.
type usage struct {
	name          string
	series, bytes int
}

// bounds counts kept series; it is asked at first sight of a series and when one is forgotten, never per sample.
type bounds struct {
	mu     sync.Mutex
	limits Limits
	all    usage
	spaces map[string]*usage // by global namespace
}

// admit takes room for a series with n bytes of labels, or says which bound is in the way.
func (b *bounds) admit(s *sender, space string, n int, now bus.Time) (*usage, Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ns := b.spaces[space]
	if ns == nil {
		ns = &usage{name: space}
	}
	l := &b.limits
	switch {
	case s.used.series >= l.SenderSeries, ns.series >= l.NamespaceSeries, b.all.series >= l.Series:
		return nil, SeriesLimit
	case s.used.bytes+n > l.SenderBytes, ns.bytes+n > l.NamespaceBytes, b.all.bytes+n > l.Bytes:
		return nil, DictionaryLimit
	case !s.fresh.take(1, now, l.NewSeriesPerMinute, l.SenderSeries):
		return nil, NewSeriesLimit
	}
	for _, u := range []*usage{&s.used, ns, &b.all} {
		u.series++
		u.bytes += n
	}
	b.spaces[space] = ns
	return ns, 0
}

// release gives back the room of a series that is forgotten.
func (b *bounds) release(s *series) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range [3]*usage{&s.source.owner.used, s.space, &b.all} {
		u.series--
		u.bytes -= len(s.labels)
	}
	if s.space.series == 0 {
		delete(b.spaces, s.space.name)
	}
}

func (b *bounds) usage(s *sender) usage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.used
}

// A bucket lets through a burst and from then on so many per minute. Its zero value is full.
type bucket struct {
	spent int // below the burst
	last  bus.Time
}

// take takes n, or nothing and false. Time that falls counts as standing still.
func (b *bucket) take(n int, now bus.Time, perMinute, burst int) bool {
	if now > b.last {
		back := min(int64(now-b.last), int64(bus.Hour)) * int64(perMinute) / int64(bus.Minute)
		if back > 0 || b.spent == 0 {
			b.spent = max(b.spent-int(back), 0)
			b.last = now
		}
	}
	if b.spent+n > burst {
		return false
	}
	b.spent += n
	return true
}
