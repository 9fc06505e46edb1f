package zone

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/slo"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02T15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A budget of a civil day, month or year would begin at the wrong hour, or a day in which clocks change would have 24 hours.
func TestRules(t *testing.T) {
	const hour = 3600
	type change struct {
		at   string
		east int64
	}
	for _, c := range []struct {
		name, from, to string
		want           []change
	}{
		// 2026-03-29 02:00 CET is 01:00 UTC; 2026-10-25 03:00 CEST is 01:00 UTC.
		{"Europe/Berlin", "2026-01-01T00:00", "2027-01-01T00:00", []change{{"2026-01-01T00:00", hour}, {"2026-03-29T01:00", 2 * hour}, {"2026-10-25T01:00", hour}}},
		// Beyond the last change that the data write out, by the rule that they end with.
		{"Europe/Berlin", "2045-01-01T00:00", "2046-01-01T00:00", []change{{"2045-01-01T00:00", hour}, {"2045-03-26T01:00", 2 * hour}, {"2045-10-29T01:00", hour}}},
		{"America/New_York", "2026-01-01T00:00", "2027-01-01T00:00", []change{{"2026-01-01T00:00", -5 * hour}, {"2026-03-08T07:00", -4 * hour}, {"2026-11-01T06:00", -5 * hour}}},
		// Half an hour of daylight saving, and the year begins in it.
		{"Australia/Lord_Howe", "2026-01-01T00:00", "2027-01-01T00:00", []change{{"2026-01-01T00:00", 11 * hour}, {"2026-04-04T15:00", 21 * hour / 2}, {"2026-10-03T15:30", 11 * hour}}},
		{"Asia/Kolkata", "2020-01-01T00:00", "2050-01-01T00:00", []change{{"2020-01-01T00:00", 11 * hour / 2}}},
		{"UTC", "2020-01-01T00:00", "2050-01-01T00:00", []change{{"2020-01-01T00:00", 0}}},
		// A change at the beginning is the beginning; one at the end is not there.
		{"Europe/Berlin", "2026-03-29T01:00", "2026-10-25T01:00", []change{{"2026-03-29T01:00", 2 * hour}}},
		// A whole day was left out: Samoa went over the date line.
		{"Pacific/Apia", "2011-12-01T00:00", "2012-02-01T00:00", []change{{"2011-12-01T00:00", -10 * hour}, {"2011-12-30T10:00", 14 * hour}}},
	} {
		z, err := Load(c.name, at(t, c.from), at(t, c.to))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want := slo.Zone{Name: c.name}
		for _, w := range c.want {
			want.Offsets = append(want.Offsets, slo.Offset{From: at(t, w.at).Unix(), East: w.east})
		}
		if d := cmp.Diff(want, z); d != "" {
			t.Errorf("%s from %s (-want +got):\n%s", c.name, c.from, d)
		}
	}
}

// A zone of the data would have rules that differ from its clocks, or none.
func TestEveryZone(t *testing.T) {
	files, err := index()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 500 {
		t.Fatalf("there are %d zones", len(files))
	}
	for name := range files {
		z, err := Of(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		loc, err := location(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(z.Offsets); n == 0 || n > 5*(LastYear-FirstYear+1) || !slices.IsSortedFunc(z.Offsets, func(a, b slo.Offset) int { return int(a.From - b.From) }) {
			t.Errorf("%s: %d offsets, or out of order", name, n)
			continue
		}
		for i, o := range z.Offsets[1:] {
			_, before := time.Unix(o.From-1, 0).In(loc).Zone()
			_, after := time.Unix(o.From, 0).In(loc).Zone()
			if int64(before) != z.Offsets[i].East || int64(after) != o.East {
				t.Errorf("%s changes from %d to %d at %d, which is not when its clocks do", name, z.Offsets[i].East, o.East, o.From)
			}
		}
		for when, end := at(t, "2020-01-01T00:00"), at(t, "2050-01-01T00:00"); when.Before(end); when = when.Add(61 * time.Hour) {
			_, want := when.In(loc).Zone()
			if got := east(z, when.Unix()); got != int64(want) {
				t.Errorf("%s at %s: %d s ahead of UTC, want %d", name, when, got, want)
				break
			}
		}
	}
}

func east(z slo.Zone, when int64) int64 {
	out := z.Offsets[0].East
	for _, o := range z.Offsets {
		if o.From <= when {
			out = o.East
		}
	}
	return out
}

// The machine's own data, or its own zone, would change budgets from one machine to the next.
func TestMachineDoesNotMatter(t *testing.T) {
	t.Setenv("ZONEINFO", t.TempDir())
	t.Setenv("TZ", "Pacific/Apia")
	z, err := Of("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(z.Offsets), 1+2*(LastYear-FirstYear+1); got != want {
		t.Errorf("%d offsets, want %d: two changes a year", got, want)
	}
}

// Who misspells a zone would have to search for it.
func TestUnknownNames(t *testing.T) {
	for name, want := range map[string]string{
		"Europe/Berlim":                 `did you mean "Europe/Berlin"?`,
		"europe/berlin":                 `did you mean "Europe/Berlin"?`,
		"Berlin":                        `did you mean "Europe/Berlin"`,
		"America/New York":              `did you mean "America/New_York"`,
		"Asia/Calcuta":                  `"Asia/Calcutta"`,
		"Local":                         "depends on the machine",
		"":                              "depends on the machine",
		"Factory":                       "is no time zone",
		"../../etc/passwd":              "is no time zone",
		"Europe/":                       "is no time zone",
		strings.Repeat("Europe/", 1000): `urope/Europ..." is no time zone`,
	} {
		_, err := Of(name)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", name, err, want)
		}
	}
}

// A mistake in the span would write out nothing, or for ever.
func TestSpan(t *testing.T) {
	for _, to := range []string{"2026-01-01T00:00", "2025-01-01T00:00", "2127-01-01T00:00"} {
		if z, err := Load("Europe/Berlin", at(t, "2026-01-01T00:00"), at(t, to)); err == nil {
			t.Errorf("to %s: %d offsets and no error", to, len(z.Offsets))
		}
	}
}
