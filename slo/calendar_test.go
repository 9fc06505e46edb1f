package slo

import (
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata"
)

// zoneOf writes out a zone's rules from Go's own data.
func zoneOf(t testing.TB, name string) Zone {
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	z := Zone{Name: name}
	for at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).In(l); at.Year() < 2040; {
		_, east := at.Zone()
		start, end := at.ZoneBounds()
		if start.IsZero() {
			start = at
		}
		z.Offsets = append(z.Offsets, Offset{From: start.Unix(), East: int64(east)})
		if end.IsZero() {
			break
		}
		at = end
	}
	return z
}

func monthly(t testing.TB, zone string) *Calendar {
	return &Calendar{Unit: UnitMonth, Count: 1, Start: "2025-01-01 00:00:00", Zone: zoneOf(t, zone)}
}

// A budget would be given back on the wrong day, or an hour off for half of the year: periods begin where the calendar of the zone says,
// over days of 23 and 25 hours, months of 28 to 31 days, and starts on a day that some months do not have.
func TestPeriodsFollowTheCalendar(t *testing.T) {
	for _, c := range []struct {
		zone, unit, start string
		count             int
		at, from, until   string // RFC 3339
	}{
		{"Europe/Berlin", UnitDay, "2026-01-01 00:00:00", 1, "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},         // 23 hours
		{"Europe/Berlin", UnitDay, "2026-01-01 00:00:00", 1, "2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},         // 25 hours
		{"America/New_York", UnitMonth, "2020-01-21 12:30:00", 1, "2026-03-10T00:00:00Z", "2026-02-21T17:30:00Z", "2026-03-21T16:30:00Z"},    // over the change
		{"UTC", UnitMonth, "2024-01-31 00:00:00", 1, "2024-02-29T12:00:00Z", "2024-02-29T00:00:00Z", "2024-03-31T00:00:00Z"},                 // leap year
		{"UTC", UnitMonth, "2024-01-31 00:00:00", 1, "2025-02-28T00:00:00Z", "2025-02-28T00:00:00Z", "2025-03-31T00:00:00Z"},                 // and not
		{"UTC", UnitQuarter, "2026-01-01 00:00:00", 1, "2026-05-05T00:00:00Z", "2026-04-01T00:00:00Z", "2026-07-01T00:00:00Z"},               //
		{"UTC", UnitYear, "2024-02-29 00:00:00", 1, "2025-06-01T00:00:00Z", "2025-02-28T00:00:00Z", "2026-02-28T00:00:00Z"},                  //
		{"Asia/Kolkata", UnitWeek, "2026-01-05 09:00:00", 2, "2026-01-01T00:00:00Z", "2025-12-22T03:30:00Z", "2026-01-05T03:30:00Z"},         // before the start
		{"America/Sao_Paulo", UnitDay, "2017-01-01 00:00:00", 1, "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},     // midnight did not exist
		{"Australia/Lord_Howe", UnitMonth, "2026-01-01 00:00:00", 1, "2026-04-15T00:00:00Z", "2026-03-31T13:00:00Z", "2026-04-30T13:30:00Z"}, // half an hour
	} {
		cal := Calendar{Unit: c.unit, Count: c.count, Start: c.start, Zone: zoneOf(t, c.zone)}
		if err := cal.validate(); err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		from, until := cal.around(at.Unix())
		got := time.Unix(from, 0).UTC().Format(time.RFC3339) + " " + time.Unix(until, 0).UTC().Format(time.RFC3339)
		if got != c.from+" "+c.until {
			t.Errorf("%s %s from %s holds %s: %s, want %s %s", c.zone, c.unit, c.start, c.at, got, c.from, c.until)
		}
	}
}

// Periods would overlap or leave time out: each second belongs to exactly one, and Go's own calendar agrees with where it begins.
func TestPeriodsTileTime(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 7))
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"} {
		l, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, unit := range []string{UnitDay, UnitWeek, UnitMonth, UnitQuarter, UnitYear} {
			cal := Calendar{Unit: unit, Count: 1, Start: "2024-01-01 00:00:00", Zone: zoneOf(t, zone)}
			for range 200 {
				at := time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC).Unix() + rnd.Int64N(20*365*86400)
				from, until := cal.around(at)
				if at < from || at >= until {
					t.Fatalf("%s %s: %d is not in [%d, %d)", zone, unit, at, from, until)
				}
				if f, u := cal.around(until); f != until || u <= f {
					t.Fatalf("%s %s: after [%d, %d) comes [%d, %d)", zone, unit, from, until, f, u)
				}
				begin := time.Unix(from, 0).In(l)
				if unit == UnitMonth && zone != "Pacific/Apia" && (begin.Day() != 1 || begin.Hour() != 0 || begin.Minute() != 0) {
					t.Fatalf("%s: a month begins at %s", zone, begin)
				}
			}
		}
	}
}

// Users would be told nonsense, or the stage would loop: a calendar that says nothing sensible is refused with what would be right.
func TestCalendarMistakes(t *testing.T) {
	for _, c := range []Calendar{
		{Unit: "Fortnight", Count: 1, Start: "2026-01-01 00:00:00", Zone: Zone{Offsets: []Offset{{}}}},
		{Unit: UnitDay, Count: 0, Start: "2026-01-01 00:00:00", Zone: Zone{Offsets: []Offset{{}}}},
		{Unit: UnitDay, Count: 1, Start: "2026-13-01", Zone: Zone{Offsets: []Offset{{}}}},
		{Unit: UnitDay, Count: 1, Start: "1066-01-01 00:00:00", Zone: Zone{Offsets: []Offset{{}}}},
		{Unit: UnitDay, Count: 1, Start: "2026-01-01 00:00:00"},
		{Unit: UnitDay, Count: 1, Start: "2026-01-01 00:00:00", Zone: Zone{Offsets: []Offset{{From: 5}, {From: 5}}}},
		{Unit: UnitDay, Count: 1, Start: "2026-01-01 00:00:00", Zone: Zone{Offsets: []Offset{{East: 1 << 40}}}},
	} {
		if c.validate() == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	if (*Calendar)(nil).validate() == nil {
		t.Error("no calendar was taken")
	}
}
