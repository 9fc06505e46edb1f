package slo

import (
	"fmt"
	"slices"
	"time"
)

// civilForm is how a calendar writes when its windows begin.
const civilForm = "2006-01-02 15:04:05"

// Bounds of a calendar: rules of a zone (two a year are usual, for a lifetime of decades), units of a window, and the years for which
// beginnings are computed.
const (
	maxOffsets   = 1000
	maxUnits     = 366
	firstYear    = 1970
	lastYear     = 2200
	maxEast      = 26 * 3600 // seconds; the farthest ever used is below
	secondsOfDay = 86_400
	lastSecond   = (lastYear - firstYear) * 366 * secondsOfDay
)

// validate returns the calendar's mistake.
func (c *Calendar) validate() error {
	if c == nil {
		return fmt.Errorf("a calendar window needs a calendar: its unit, its start and its time zone")
	}
	start, err := time.Parse(civilForm, c.Start)
	switch {
	case !slices.Contains([]string{UnitDay, UnitWeek, UnitMonth, UnitQuarter, UnitYear}, c.Unit):
		return fmt.Errorf("the calendar's unit %q is not known; it is Day, Week, Month, Quarter or Year", c.Unit)
	case c.Count < 1 || c.Count > maxUnits:
		return fmt.Errorf("a calendar window of %d units: from 1 to %d are allowed", c.Count, maxUnits)
	case err != nil:
		return fmt.Errorf("the calendar's start %q is not understood; write for example 2026-01-01 00:00:00", c.Start)
	case start.Year() < firstYear || start.Year() >= lastYear:
		return fmt.Errorf("the calendar's start %s is not between %d and %d", c.Start, firstYear, lastYear)
	}
	return c.Zone.validate()
}

func (z *Zone) validate() error {
	if len(z.Offsets) == 0 || len(z.Offsets) > maxOffsets {
		return fmt.Errorf("the time zone %q has %d rules; from 1 to %d are allowed", z.Name, len(z.Offsets), maxOffsets)
	}
	for i, o := range z.Offsets {
		if o.East < -maxEast || o.East > maxEast || i > 0 && o.From <= z.Offsets[i-1].From {
			return fmt.Errorf("the time zone %q has rules out of order or farther than %d h from UTC", z.Name, maxEast/3600)
		}
	}
	return nil
}

// East returns what the zone's clocks are ahead of UTC at a moment, in seconds.
func (z *Zone) East(unix int64) int64 {
	i, found := slices.BinarySearchFunc(z.Offsets, unix, func(o Offset, unix int64) int {
		switch {
		case o.From < unix:
			return -1
		case o.From > unix:
			return 1
		}
		return 0
	})
	if !found {
		i = max(i-1, 0)
	}
	return z.Offsets[i].East
}

// Unix returns the moment at which the zone's clocks show a civil time, given as if it were UTC. Of two (clocks were turned back) it is
// the first; where there is none (they were turned forward) the moment that shows as much more as was left out.
func (z *Zone) Unix(civil int64) int64 {
	before := civil - z.East(civil-maxEast) // with the rules of a day earlier, before any change that is near
	if z.East(before) == civil-before {
		return before
	}
	after := civil - z.East(before)
	if z.East(after) == civil-after {
		return after
	}
	return before
}

// begin returns the beginning of the n-th window after the one that begins at Start, as Unix seconds.
func (c *Calendar) begin(n int64) int64 {
	start, err := time.Parse(civilForm, c.Start)
	if err != nil {
		return 0 // Validate has refused it
	}
	n *= int64(c.Count)
	switch c.Unit {
	case UnitDay:
		return c.Zone.Unix(start.Unix() + n*secondsOfDay)
	case UnitWeek:
		return c.Zone.Unix(start.Unix() + 7*n*secondsOfDay)
	case UnitQuarter:
		n *= 3
	case UnitYear:
		n *= 12
	}
	month := int64(start.Year())*12 + int64(start.Month()) - 1 + n
	year, m := floorDiv(month, 12), time.Month(mod(month, 12)+1)
	day := min(start.Day(), time.Date(int(year), m+1, 0, 0, 0, 0, 0, time.UTC).Day())
	clock := start.Unix() - time.Date(start.Year(), start.Month(), start.Day(), 0, 0, 0, 0, time.UTC).Unix()
	return c.Zone.Unix(time.Date(int(year), m, day, 0, 0, 0, 0, time.UTC).Unix() + clock)
}

// around returns the window that holds a second: its first second and the first one behind it.
func (c *Calendar) around(second int64) (from, until int64) {
	n := floorDiv(second-c.begin(0), int64(c.usual())/1000)
	from = c.begin(n)
	for from > second {
		n--
		from = c.begin(n)
	}
	for until = c.begin(n + 1); until <= second; until = c.begin(n + 1) {
		n++
		from = until
	}
	return from, until
}

// usual returns the length by which people speak of the window.
func (c *Calendar) usual() Duration {
	days := map[string]int64{UnitDay: 1, UnitWeek: 7, UnitMonth: 30, UnitQuarter: 91, UnitYear: 365}[c.Unit]
	return Duration(days * int64(max(1, c.Count)) * secondsOfDay * 1000)
}

// NewCalendarWindow returns the window of a calendar, with its usual length.
func NewCalendarWindow(c Calendar) Window {
	return Window{Type: WindowCalendar, Duration: c.usual(), Calendar: &c}
}

// brief returns the window without the rules of its zone.
func (w Window) brief() Window {
	if w.Calendar != nil {
		c := *w.Calendar
		c.Zone.Offsets = nil
		w.Calendar = &c
	}
	return w
}

// Around returns the window that holds a moment, in Unix seconds: its beginning and its end. Of a rolling window it is the time of its
// length that ends there.
func (w *Window) Around(second int64) (from, until int64) {
	if w.Calendar == nil {
		return second - int64(w.Duration)/1000, second
	}
	return w.Calendar.around(second)
}
