package slo

import (
	"evenkeel.dev/bus"
)

// Many senders give no start timestamps (Prometheus before 3.0 has none to send), and a counter with labels is often born with the
// first event that it counts: the series code="500" comes into being with the first error. Its first value is then the number of
// events since its target was last seen without it, if that can be proven. A family is the witness.

// maxFamilies bounds the families to about 13 MB in a partition. Over it a first sample counts nothing, as if it were not proven.
const maxFamilies = 1 << 17

// placeLabels are, beside job and instance, the labels by which senders with one identity commonly tell apart targets that have the
// same address. The label cluster is part of the source.
var placeLabels = [...]string{"datacenter", "dc", "env", "environment", "prometheus", "region", "zone"}

// A family is the series of one metric that one target shows: of one global namespace, with the same values of the labels job and
// instance and of those in placeLabels. The metric belongs to it since a sender may begin to send another metric of a target, with
// all that it ever counted, when somebody changes its relabelling.
//
// Its times say when, in event time, a value of one of its series was seen: the two newest, and one or two older ones, but for the first each
// at least a rung before the next, for series that come through a slower shard of their sender. They are of one source; when another one is
// counted they begin anew.
type family struct {
	id     bus.SeriesID
	source *source
	seen   [4]bus.Time // newest first; one that is not known repeats the one before it
	series uint32      // how many belong to it
}

// rung is the least distance of the older times of a family: a shard may lag by that much and its series can still be proven.
const rung = 2 * bus.Minute

// touch notes that a value of the family was seen.
func (f *family) touch(c *source, t bus.Time) {
	at := &f.seen
	switch {
	case f.source != c:
		f.source, *at = c, [4]bus.Time{t, t, t, t}
	case t > at[0]:
		// The very first time proves nothing where it is that of the first contact: the one after it is kept at once.
		if at[1]-at[2] >= rung || at[2] == at[3] && at[1] > at[2] {
			at[2], at[3] = at[1], at[2]
		}
		at[0], at[1] = t, at[0]
	}
}

// before returns the newest time that is known, before t, at which the family was seen; false when it was not within maxAge.
func (f *family) before(t bus.Time) (bus.Time, bool) {
	for _, at := range f.seen {
		if at < t {
			return at, t-at <= maxAge
		}
	}
	return 0, false
}

// born reports whether a series without start timestamp, whose first value is of t, was surely absent within maxAge before t, while
// everything that it would have shown would have been counted. Its family was seen at an earlier time t0, through the same source.
// A sender sends the samples of one series in their order, so that the series had none at t0, unless
//
//   - it was not needed yet: t0 must come after all that was matched with a catalogue without one of its SLOs (see [Stage.outdated]);
//   - its sample was lost or refused: t0 must come after all that may be missing;
//   - it has been forgotten: it must come within seriesExpiry. A counter that a target hides for longer and then shows again, with
//     what it had counted, cannot be told from a new one.
func (s *Stage) born(se *series, c *source, t bus.Time) bool {
	if se.family == 0 || se.flags&seriesMet != 0 || s.now-t > seriesExpiry {
		return false
	}
	f := &s.families[se.family-1]
	seen, ok := f.before(t)
	if !ok || f.source != c || seen <= s.unseen {
		return false
	}
	for _, tg := range s.lists[se.list].targets {
		tr := s.trackers[tg.slot]
		if seen <= tr.unproven || tr.limitAt > 0 && seen <= tr.limitAt+limitHold {
			return false
		}
	}
	return true
}

// meet notes that a series has shown something that is no value, before its first value: it may be old.
func (se *series) meet() {
	if se.flags&seriesHas == 0 {
		se.flags |= seriesMet
	}
}

// blind notes that samples are missing, which may be of any time that ingest lets pass until now.
func (s *Stage) blind() { s.unseen = max(s.unseen, s.now+maxAhead) }

// require notes at which revision of the catalogue an SLI was defined. What came until then was matched without it.
func (s *Stage) require(t *tracker, revision uint64) {
	t.revision, t.unproven = revision, s.now
	s.revision = max(s.revision, revision)
}

// stray is how far a source's time may move without a frame that says so, and a little more.
const stray = 2 * bus.Second

// outdated notes what arrivals were matched with a catalogue without some SLI: those of an older frame, which may have held series
// that were dropped as not needed. The first frame of a writer that is new enough is treated like one before it, since arrivals
// that began earlier may still be on their way; they are no newer than the log's time or the frame.
func (s *Stage) outdated(w *writer, f *bus.Frame) {
	revision := min(w.catalogue, f.Catalogue)
	w.catalogue = max(w.catalogue, f.Catalogue)
	if revision >= s.revision {
		return
	}
	to := s.now
	for i := range f.Sources {
		to = max(to, min(f.Sources[i].Newest, s.now+maxAhead))
	}
	for _, t := range s.order {
		if t.revision > revision {
			t.unproven = max(t.unproven, to+stray)
		}
	}
}

// join makes a counter part of its family, when it has the labels of one.
func (s *Stage) join(se *series, a *bus.Announcement, labels bus.Labels) {
	if se.family > 0 || se.flags&(seriesDelta|seriesGauge) != 0 || labels.Get("job") == "" || labels.Get("instance") == "" {
		return
	}
	id := familyOf(a.GlobalNamespace, labels)
	i, ok := s.byFamily[id]
	if !ok {
		if len(s.byFamily) >= maxFamilies {
			return
		}
		i = s.newFamily(id)
	}
	s.families[i].series++
	se.family = i + 1
}

func familyOf(gns string, labels bus.Labels) bus.SeriesID {
	key := make(bus.Labels, 0, 3+len(placeLabels))
	add := func(name string) {
		if v := labels.Get(name); v != "" {
			key = append(key, bus.Label{Name: name, Value: v})
		}
	}
	add("__name__")
	add("job")
	add("instance")
	for _, name := range placeLabels {
		add(name)
	}
	return bus.IdentifySeries(gns, key.Sort())
}

func (s *Stage) newFamily(id bus.SeriesID) uint32 {
	var i uint32
	if n := len(s.noFamilies); n > 0 {
		i, s.noFamilies = s.noFamilies[n-1], s.noFamilies[:n-1]
	} else {
		i = uint32(len(s.families))
		s.families = append(s.families, family{})
	}
	s.families[i] = family{id: id}
	s.byFamily[id] = i
	return i
}

// leave takes a series out of its family, which goes with its last one.
func (s *Stage) leave(se *series) {
	if se.family == 0 {
		return
	}
	i := se.family - 1
	f := &s.families[i]
	if f.series--; f.series == 0 {
		delete(s.byFamily, f.id)
		*f = family{}
		s.noFamilies = append(s.noFamilies, i)
	}
	se.family = 0
}
