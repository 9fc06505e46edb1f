package slo

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

var utcZone = Zone{Name: "UTC", Offsets: []Offset{{}}}

// berlin2026 are the rules of Europe/Berlin from 2026 to 2027.
var berlin2026 = Zone{Name: "Europe/Berlin", Offsets: []Offset{
	{From: 1767222000, East: 3600}, {From: 1774746000, East: 7200}, {From: 1792890000, East: 3600}, {From: 1806195600, East: 7200}, {From: 1824944400, East: 3600},
}}

func recurrenceOf(t testing.TB, start, rule, length string, z Zone) *occurrences {
	t.Helper()
	d, err := ParseDuration(length)
	if err != nil {
		t.Fatal(err)
	}
	r := Recurrence{Start: start, Duration: d, Zone: z, Rule: rule}
	o, err := r.occurrences()
	if err != nil {
		t.Fatalf("%s: %v", rule, err)
	}
	return o
}

// begins lists the days of the first n occurrences by asking again and again what follows.
func begins(o *occurrences, n int) []string {
	var out []string
	for at := int64(0); len(out) < n; {
		from, until, ok := o.around(at)
		if !ok {
			break
		}
		out = append(out, time.Unix(from, 0).UTC().Format("20060102"))
		at = until
	}
	return out
}

// Maintenance would be excluded on the wrong days: the examples of RFC 5545, section 3.8.5.3, as far as they are of the subset, with
// the results that stand there. The recurrence there begins on 1997-09-02, a Tuesday, at 09:00.
func TestRulesOfTheRFC(t *testing.T) {
	for _, c := range []struct{ start, rule, want string }{
		{"19970902", "FREQ=DAILY;COUNT=10", "19970902 19970903 19970904 19970905 19970906 19970907 19970908 19970909 19970910 19970911"},
		{"19970902", "FREQ=DAILY;UNTIL=19970905T000000Z", "19970902 19970903 19970904"},
		{"19970902", "FREQ=DAILY;INTERVAL=2", "19970902 19970904 19970906 19970908 19970910"},
		{"19970902", "FREQ=DAILY;INTERVAL=10;COUNT=5", "19970902 19970912 19970922 19971002 19971012"},
		{"19980101", "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA", "19980101 19980102 19980103 19980104"},
		{"19980101", "FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1", "19980101 19980102 19980103 19980104"},
		{"19970902", "FREQ=WEEKLY;COUNT=10", "19970902 19970909 19970916 19970923 19970930 19971007 19971014 19971021 19971028 19971104"},
		{"19970902", "FREQ=WEEKLY;INTERVAL=2;WKST=SU", "19970902 19970916 19970930 19971014 19971028"},
		{"19970902", "FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH", "19970902 19970904 19970909 19970911 19970916 19970918 19970923 19970925 19970930 19971002"},
		{"19970901", "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR", "19970901 19970903 19970905 19970915 19970917 19970919 19970929"},
		{"19970902", "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH", "19970902 19970904 19970916 19970918 19970930 19971002 19971014 19971016"},
		{"19970905", "FREQ=MONTHLY;COUNT=10;BYDAY=1FR", "19970905 19971003 19971107 19971205 19980102 19980206 19980306 19980403 19980501 19980605"},
		{"19970907", "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU", "19970907 19970928 19971102 19971130 19980104 19980125 19980301 19980329 19980503 19980531"},
		{"19970922", "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", "19970922 19971020 19971117 19971222 19980119 19980216"},
		{"19970928", "FREQ=MONTHLY;BYMONTHDAY=-3", "19970928 19971029 19971128 19971229 19980129 19980226"},
		{"19970902", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15", "19970902 19970915 19971002 19971015 19971102 19971115 19971202 19971215 19980102 19980115"},
		{"19970930", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1", "19970930 19971001 19971031 19971101 19971130 19971201 19971231 19980101 19980131 19980201"},
		{"19970910", "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15", "19970910 19970911 19970912 19970913 19970914 19970915 19990310 19990311 19990312 19990313"},
		{"19970902", "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU", "19970902 19970909 19970916 19970923 19970930 19971104 19971111 19971118 19971125"},
		{"19970610", "FREQ=YEARLY;COUNT=10;BYMONTH=6,7", "19970610 19970710 19980610 19980710 19990610 19990710 20000610 20000710 20010610 20010710"},
		{"19970310", "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3", "19970310 19990110 19990210 19990310 20010110 20010210 20010310 20030110 20030210 20030310"},
		{"19970519", "FREQ=YEARLY;BYDAY=20MO", "19970519 19980518 19990517"},
		{"19970313", "FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "19970313 19970320 19970327 19980305 19980312 19980319 19980326 19990304"},
		{"19970605", "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8", "19970605 19970612 19970619 19970626 19970703 19970710 19970717 19970724 19970731 19970807 19970814 19970821 19970828 19980604"},
		{"19980213", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "19980213 19980313 19981113 19990813 20001013"},
		{"19970913", "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13", "19970913 19971011 19971108 19971213 19980110 19980207 19980307 19980411 19980509 19980613"},
		{"19961105", "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "19961105 20001107 20041102"},
		{"19970805", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "19970805 19970810 19970819 19970824"},
		{"19970805", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "19970805 19970817 19970819 19970831"},
		{"20070115", "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "20070115 20070130 20070215 20070315 20070330"},
		// Not there: days that not all months have, weekdays with and without a number (the library rrule-go wants both at once), an American spring.
		{"20280229", "FREQ=YEARLY", "20280229 20320229 20360229"},
		{"20260131", "FREQ=MONTHLY", "20260131 20260331 20260531 20260731 20260831"},
		{"20260601", "FREQ=MONTHLY;BYDAY=1MO,SA", "20260601 20260606 20260613 20260620 20260627 20260704 20260706"},
		{"20260308", "FREQ=YEARLY;BYMONTH=3;BYDAY=2SU", "20260308 20270314 20280312"},
	} {
		want := strings.Fields(c.want)
		start, err := time.Parse("20060102", c.start)
		if err != nil {
			t.Fatal(err)
		}
		o := recurrenceOf(t, start.Add(9*time.Hour).Format(civilForm), c.rule, "1h", utcZone)
		n := len(want)
		if strings.Contains(c.rule, "COUNT") && !strings.Contains(c.rule, "INTERVAL=18") || strings.Contains(c.rule, "UNTIL=19970905") {
			n++ // nothing may follow
		}
		if d := cmp.Diff(want, begins(o, n)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.rule, d)
		}
	}
}

// An exclusion would depend on which second was asked for before: for any second the answer is the first span of the list that ends
// after it.
func TestAroundAnySecond(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ rule, length string }{
		{"FREQ=DAILY", "36h"}, {"FREQ=DAILY;INTERVAL=3", "1h"}, {"FREQ=WEEKLY;BYDAY=SU,WE;INTERVAL=2", "2h"}, {"FREQ=MONTHLY;BYDAY=1SU,-1SU", "31d"},
		{"FREQ=YEARLY;BYMONTH=1,7;BYMONTHDAY=4,-1", "3d"}, {"FREQ=DAILY;COUNT=40", "2h"}, {"FREQ=DAILY;UNTIL=20260301T000000Z", "2h"},
	} {
		start := "2026-01-04 02:30:00"
		o := recurrenceOf(t, start, c.rule, c.length, berlin2026)
		var all []Span
		o.walk(0, func(civil int64) bool {
			at := berlin2026.Unix(civil)
			if o.until == 0 || at <= o.until {
				all = append(all, Span{at, at + o.length})
			}
			return len(all) < 800
		})
		x := exclusion{occ: o}
		for range 2000 {
			at := all[0].From - 100_000 + rnd.Int64N(86_400*500)
			i := slices.IndexFunc(all, func(s Span) bool { return s.Until > at })
			want := Span{9223372036854775807, 9223372036854775807}
			if i >= 0 {
				want = all[i]
			}
			if got := x.around(at); got != want {
				t.Fatalf("%s: around %d: %v, want %v", c.rule, at, got, want)
			}
		}
	}
}

// Maintenance at half past two at night would move by an hour, vanish or come twice when clocks are turned.
func TestRulesWhenClocksAreTurned(t *testing.T) {
	o := recurrenceOf(t, "2026-03-28 02:30:00", "FREQ=DAILY;COUNT=3", "1h", berlin2026)
	want := []int64{
		time.Date(2026, 3, 28, 1, 30, 0, 0, time.UTC).Unix(), time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC).Unix(), // shows 03:30
		time.Date(2026, 3, 30, 0, 30, 0, 0, time.UTC).Unix(),
	}
	autumn := recurrenceOf(t, "2026-10-24 02:30:00", "FREQ=DAILY;COUNT=3", "1h", berlin2026)
	want = append(want, time.Date(2026, 10, 24, 0, 30, 0, 0, time.UTC).Unix(), time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC).Unix(), // the first of two
		time.Date(2026, 10, 26, 1, 30, 0, 0, time.UTC).Unix())
	var got []int64
	for _, o := range []*occurrences{o, autumn} {
		for at := int64(0); ; {
			from, until, ok := o.around(at)
			if !ok {
				break
			}
			got = append(got, from)
			at = until
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A rule that is not understood would exclude other time than was meant: it is refused, by name and place.
func TestRulesAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"FREQ=HOURLY":                               "1: FREQ=HOURLY is not supported (what comes back more often than daily should not be counted in the first place)",
		"FREQ=WEEKLY;BYHOUR=2":                      "13: BYHOUR is not supported (the clock time is that of start; write one Exclusion for each hour)",
		"FREQ=MONTHLY;BYDAY=FR;BYSETPOS=-1":         "23: BYSETPOS is not supported (write BYDAY with a number, for example BYDAY=-1FR for the last Friday)",
		"FREQ=WEEKLY;BYDAY=1SU":                     "1: BYDAY with a number needs FREQ=MONTHLY or FREQ=YEARLY (for the last Friday of a month write FREQ=MONTHLY;BYDAY=-1FR)",
		"FREQ=WEEKLY;BYDAY=SUN":                     `13: BYDAY: "SUN" is no weekday (write for example SU, 2TU for the second Tuesday or -1FR for the last Friday)`,
		"FREQ=WEEKLY;BYMONTHDAY=1":                  "1: BYMONTHDAY does not go with FREQ=WEEKLY (write FREQ=MONTHLY)",
		"FREQ=FORTNIGHTLY":                          "1: FREQ=FORTNIGHTLY is not known (it is DAILY, WEEKLY, MONTHLY or YEARLY)",
		"BYDAY=SU":                                  "1: FREQ is missing (it is DAILY, WEEKLY, MONTHLY or YEARLY)",
		"FREQ=DAILY;FREQ=DAILY":                     "12: FREQ stands twice",
		"FREQ=DAILY;UNTIL=20261231":                 "12: UNTIL=20261231 is no time in UTC (write for example UNTIL=20261231T235959Z)",
		"FREQ=DAILY;COUNT=0":                        "12: COUNT=0 is no whole number from 1 to 1000",
		"FREQ=DAILY;COUNT=3;UNTIL=20261231T235959Z": "1: COUNT and UNTIL exclude each other (keep one of them)",
		"FREQ=MONTHLY;BYMONTHDAY=0":                 "14: BYMONTHDAY has 0 or the same number twice",
		"FREQ=MONTHLY;BYMONTH=13":                   "14: BYMONTH=13 is no whole number from 1 to 12",
		"RRULE:FREQ=DAILY":                          "1: RRULE:FREQ is not supported (write the rule without RRULE:)",
		"weekly":                                    `1: "weekly" is no NAME=VALUE (write for example FREQ=WEEKLY;BYDAY=SU)`,
		"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30":       "1: the rule never comes true after start",
		"FREQ=WEEKLY;BYDAY=MO":                      "1: the rule does not hold for the start 2026-01-04 02:00:00 itself (write start: 2026-01-05 02:00:00)",
	} {
		r := Recurrence{Start: "2026-01-04 02:00:00", Duration: Duration(bus.Hour), Zone: utcZone, Rule: text}
		err := r.Validate()
		var re *RuleError
		if !errors.As(err, &re) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := string(rune('0'+re.Column/10)) + string(rune('0'+re.Column%10)) + ": " + re.Error(); strings.TrimPrefix(got, "0") != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

// Anyone who may write a file could stop the engine: whatever a rule says, it is refused or answered in bounded time.
func FuzzRule(f *testing.F) {
	for _, s := range []string{"FREQ=DAILY", "FREQ=MONTHLY;BYDAY=-1FR;COUNT=3", "FREQ=YEARLY;INTERVAL=1000;BYMONTH=2;BYMONTHDAY=29", "FREQ=WEEKLY;BYDAY=SU;UNTIL=20261231T235959Z"} {
		f.Add(s, int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, at int64) {
		rl, err := parseRule(text)
		if err != nil {
			return
		}
		o := newOccurrences(rl, &berlin2026, 1_767_492_000, lastSecond, 7200)
		at = mod(at, lastSecond)
		from, until, ok := o.around(at)
		if ok && (until != from+7200 || until <= at) {
			t.Fatalf("%q around %d: %d to %d", text, at, from, until)
		}
	})
}
