package report

import (
	"fmt"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// SpanMax is the longest time that one report is about: as long as minutes are kept.
const SpanMax = 400 * bus.Day

// A Span is the time that a report is about, in whole minutes, and the time before it that it is compared with.
type Span struct {
	Month  string // "2026-10"; "" where it is another time
	Zone   slo.Zone
	From   bus.Time
	Until  bus.Time
	Before bus.Time // its beginning; it ends where the span begins
	Now    bus.Time
}

// NewSpan reads a month, or a beginning and an end: durations before now, times in RFC 3339, or days that begin at midnight in the zone. Of
// nothing it is the month at hand. An error says what would be right.
func NewSpan(month, since, until string, zone slo.Zone, now bus.Time) (Span, error) {
	s := Span{Zone: zone, Now: now}
	switch {
	case month != "" && (since != "" || until != ""):
		return s, fmt.Errorf("a month and a beginning or an end were given; it is one or the other")
	case until != "" && since == "":
		return s, fmt.Errorf("until %q needs a beginning: since, for example 30d or 2026-10-01", until)
	case since == "":
		return s.month(month)
	}
	var err error
	if s.From, err = s.moment("since", since); err != nil {
		return s, err
	}
	s.Until = now
	if until != "" {
		if s.Until, err = s.moment("until", until); err != nil {
			return s, err
		}
	}
	s.From, s.Until = s.From/bus.Minute*bus.Minute, s.Until/bus.Minute*bus.Minute
	s.Before = s.From - (s.Until - s.From)
	return s, s.check()
}

const monthForm = "2006-01"

func (s Span) month(text string) (Span, error) {
	first, err := time.Parse(monthForm, text)
	if text == "" {
		first, err = time.Unix(int64(s.Now/bus.Second)+s.Zone.East(int64(s.Now/bus.Second)), 0).UTC(), nil
	}
	if err != nil {
		return s, fmt.Errorf("%q is no month; write for example 2026-10", text)
	}
	first = time.Date(first.Year(), first.Month(), 1, 0, 0, 0, 0, time.UTC)
	s.Month = first.Format(monthForm)
	s.Before, s.From, s.Until = s.civil(first.AddDate(0, -1, 0)), s.civil(first), s.civil(first.AddDate(0, 1, 0))
	return s, s.check()
}

// civil returns when the zone's clocks show a civil time, given as if it were UTC.
func (s Span) civil(t time.Time) bus.Time { return bus.Time(s.Zone.Unix(t.Unix())) * bus.Second }

func (s Span) moment(name, text string) (bus.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return bus.TimeOf(t), nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return s.civil(t), nil
	}
	if d, err := slo.ParseDuration(text); err == nil {
		return s.Now - d.Time(), nil
	}
	return 0, fmt.Errorf("%s %q is neither a duration like 30d, a day like 2026-10-01 nor a time like 2026-10-01T00:00:00Z", name, text)
}

func (s Span) check() error {
	switch {
	case s.Until-s.From < bus.Minute:
		return fmt.Errorf("from %s to %s is less than a minute", s.From, s.Until)
	case s.Until-s.From > SpanMax:
		return fmt.Errorf("from %s to %s is more than %s", s.From, s.Until, slo.Duration(SpanMax))
	case s.From >= s.Now:
		return fmt.Errorf("from %s on nothing has happened yet: it is %s", s.From, s.Now)
	case s.Before <= 0:
		return fmt.Errorf("from %s is too long ago", s.From)
	}
	return nil
}

// Complete reports whether all of it is over.
func (s Span) Complete() bool { return s.Until <= s.Now }

// end is where what is known ends.
func (s Span) end() bus.Time { return min(s.Until, s.Now/bus.Minute*bus.Minute) }

// days returns when the days of the span begin that have begun, the first perhaps in its middle.
func (s Span) days() []bus.Time {
	out := []bus.Time{s.From}
	day := time.Unix(int64(s.From/bus.Second)+s.Zone.East(int64(s.From/bus.Second)), 0).UTC().Truncate(24 * time.Hour)
	for {
		day = day.AddDate(0, 0, 1)
		at := s.civil(day)
		if at >= s.end() {
			return out
		}
		out = append(out, at)
	}
}

// date writes the day of a moment in the zone.
func (s Span) date(t bus.Time) string { return s.clock(t, time.DateOnly) }

func (s Span) clock(t bus.Time, layout string) string {
	return time.Unix(int64(t/bus.Second)+s.Zone.East(int64(t/bus.Second)), 0).UTC().Format(layout)
}
