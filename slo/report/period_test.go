package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// berlin are the zone's rules of the year.
var berlin = slo.Zone{Name: "Europe/Berlin", Offsets: []slo.Offset{{From: 1761440400, East: 3600}, {From: 1774746000, East: 7200}, {From: 1792890000, East: 3600}}}

var utc = slo.Zone{Name: "UTC", Offsets: []slo.Offset{{}}}

func moment(t *testing.T, text string) bus.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return bus.TimeOf(at)
}

var rolling = slo.Window{Type: slo.WindowRolling, Duration: slo.Duration(30 * bus.Day)}

func status(name, target string) slo.Status {
	return slo.Status{GlobalNamespace: "default", Service: "shop", Name: name, Objective: slo.MustDecimal(target), Method: slo.MethodOccurrences, State: slo.StateHealthy, CountedFrom: 1, Window: rolling}
}

func all(slo.StatusKey) bool { return true }

func take(t *testing.T, m *Minutes, minute bus.Time, entries ...slo.LedgerEntry) {
	t.Helper()
	if err := m.Take(&slo.LedgerFrame{Minute: minute, Entries: entries}); err != nil {
		t.Fatal(err)
	}
}

func event(t *testing.T, m *Minutes, typ string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = m.Event(typ, b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// october is a report with everything that one can show.
func october(t *testing.T, now string) *Period {
	t.Helper()
	s, err := NewSpan("2026-10", "", "", berlin, moment(t, now))
	if err != nil {
		t.Fatal(err)
	}
	m := NewMinutes(s, all)
	present := []slo.Status{status("availability", "0.999"), status("availability_eu-1", "0.999"), status("minutes", "0.9999"), status("new", "0.95"), status("=quiet", "0.99")}
	present[1].RollUp, present[1].Group = "availability", map[string]string{"region": "eu-1"}
	present[2].Method, present[2].Slice, present[2].Service = slo.MethodTimeslices, slo.Duration(bus.Minute), "search"
	present[3].CountedFrom, present[3].State = slo.Moment(moment(t, "2026-10-20T12:00:00Z")), slo.StateUnknown
	gone := status("gone", "0.9")
	r := rand.New(rand.NewPCG(1, 2))
	for at := s.Before; at < s.end(); at += bus.Minute {
		bad := 0.0
		if at >= s.From+11*bus.Day && at < s.From+11*bus.Day+90*bus.Minute {
			bad = float64(r.IntN(40))
		} else if r.IntN(200) == 0 {
			bad = 3
		}
		e := func(st *slo.Status, good, total float64) slo.LedgerEntry {
			return slo.LedgerEntry{StatusKey: st.Key(), Generation: 1, Good: good, Total: total, Covered: 60}
		}
		es := []slo.LedgerEntry{e(&present[0], 100-bad, 100), e(&present[1], 50-bad/4, 50)}
		slice := 1.0
		if bad > 20 {
			slice = 0
		}
		es = append(es, e(&present[2], slice, 1))
		if at >= present[3].CountedFrom.Time() {
			es = append(es, e(&present[3], 10, 10))
		}
		if at < s.From+5*bus.Day {
			es = append(es, e(&gone, 1, 1))
		}
		if day := (at - s.From) / bus.Day; day == 18 {
			es = nil // nothing came
		} else if day == 24 {
			es[0].Excluded, es[0].Good, es[0].Total, es[0].Covered = 60, 0, 0, 0
		}
		take(t, m, at, es...)
	}
	for i, state := range []string{slo.AlertPending, slo.AlertFiring, slo.AlertResolved, slo.AlertFiring, slo.AlertLate} {
		sev := []string{slo.SeverityPage, slo.SeverityTicket}[i/3%2]
		event(t, m, slo.AlertEventType, slo.AlertEvent{GlobalNamespace: "default", Service: "shop", SLO: "availability", Tier: sev, Severity: sev, State: state, Window: rolling, StartsAt: (s.From + 11*bus.Day + bus.Time(i)*bus.Minute).String()})
	}
	was := present[0]
	was.AsOf, was.State = slo.Moment(s.Until+bus.Day), slo.StateHealthy
	event(t, m, slo.StatusEventType, slo.StatusEvent{Previous: slo.StateExhausted, Status: was})
	return m.Report(present, Past{Ledger: moment(t, "2026-09-10T00:00:00Z"), Events: moment(t, "2026-10-03T00:00:00Z"), Damaged: 2})
}

// Who reads reports, or the program that does, would find them in another form, or with other numbers.
func TestPeriodForms(t *testing.T) {
	for name, p := range map[string]*Period{"month": october(t, "2026-11-05T08:00:00Z"), "sofar": october(t, "2026-10-15T08:00:30Z")} {
		text := write(t, func(b *strings.Builder) error { return p.Table(b) })
		golden(t, name+".txt", text)
		golden(t, name+".html", write(t, func(b *strings.Builder) error { return p.HTML(b) }))
		golden(t, name+".csv", write(t, func(b *strings.Builder) error { return p.CSV(b) }))
		for line := range strings.Lines(string(text)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > Columns {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		var back Period
		form := write(t, func(b *strings.Builder) error { return p.JSON(b) })
		if err := json.Unmarshal(form, &back); err != nil {
			t.Fatal(err)
		}
		back.Zoned(berlin)
		if diff := cmp.Diff(p, &back, cmp.AllowUnexported(slo.Decimal{}, Period{})); diff != "" {
			t.Errorf("%s read back (-want +got):\n%s", name, diff)
		}
		whole, err := json.MarshalIndent(p, "", "  ")
		if err != nil || string(whole)+"\n" != string(form) {
			t.Errorf("%s: written SLO by SLO it is another JSON text (%v)", name, err)
		}
	}
	empty := NewMinutes(Span{Zone: utc, From: bus.Day, Until: 2 * bus.Day, Before: 1, Now: 3 * bus.Day}, all).Report(nil, Past{})
	if text := string(write(t, func(b *strings.Builder) error { return empty.JSON(b) })); !strings.HasSuffix(text, "\"slos\": []\n}\n") {
		t.Errorf("of nothing: %s", text)
	}
}

// A month of Tanzu Service Mesh would have another budget: signed minutes of the real month, against the SLI over it.
func TestSignedMinutes(t *testing.T) {
	for _, c := range []struct {
		month       string
		target      string
		badTens     int // slices of 10 s
		whole, left string
		sli         string
	}{
		{"2026-08", "0.99999", 99, "0.45", "-16.05", "99.963 %"},
		{"2026-08", "0.99999", 110, "0.45", "-17.89", "99.9589 %"},
		{"2026-08", "0.99999", 195, "0.45", "-32.05", "99.9271 %"},
		{"2026-09", "0.98", 0, "864.00", "864.00", "100 %"}, // 14 h 24 min
		{"2026-09", "0.9999", 6, "4.32", "3.32", "99.9976 %"},
		{"2028-02", "0.99", 0, "417.60", "417.60", "100 %"},
		{"2026-02", "0.99", 0, "403.20", "403.20", "100 %"},
	} {
		s, err := NewSpan(c.month, "", "", utc, moment(t, "2028-06-01T00:00:00Z"))
		if err != nil {
			t.Fatal(err)
		}
		st := status("s", c.target)
		st.Slice = slo.Duration(10 * bus.Second)
		slices := float64((s.Until - s.From) / (10 * bus.Second))
		m := NewMinutes(s, all)
		take(t, m, s.From, slo.LedgerEntry{StatusKey: st.Key(), Good: slices - float64(c.badTens), Total: slices, Covered: 60})
		o := m.Report([]slo.Status{st}, Past{}).SLOs[0]
		whole, _, left := o.budget()
		if whole != c.whole || left != c.left || sharePercent(o.SLI, 4) != c.sli || (o.Verdict == VerdictMissed) != strings.HasPrefix(left, "-") {
			t.Errorf("%s at %s: %s of %s left, SLI %s, %s; want %s of %s, %s", c.month, c.target, left, whole, sharePercent(o.SLI, 4), o.Verdict, c.left, c.whole, c.sli)
		}
	}
}

// A month would begin in another month's evening, or a day have events of its neighbour.
func TestSpans(t *testing.T) {
	now := moment(t, "2026-11-05T23:30:10Z")
	for _, c := range []struct {
		month, since, until string
		zone                slo.Zone
		from, to, before    string
		days                int
	}{
		{"2026-10", "", "", berlin, "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", "2026-08-31T22:00:00Z", 31}, // an hour more
		{"2026-10", "", "", utc, "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-09-01T00:00:00Z", 31},
		{"", "", "", berlin, "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z", "2026-09-30T22:00:00Z", 6}, // it is the 6th there
		{"", "", "", utc, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "2026-10-01T00:00:00Z", 5},
		{"", "36h", "", utc, "2026-11-04T11:30:00Z", "2026-11-05T23:30:00Z", "2026-11-02T23:30:00Z", 2},
		{"", "2026-10-24", "2026-10-26", berlin, "2026-10-23T22:00:00Z", "2026-10-25T23:00:00Z", "2026-10-21T21:00:00Z", 2},
		{"", "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z", utc, "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z", "2026-10-24T00:00:00Z", 1},
	} {
		s, err := NewSpan(c.month, c.since, c.until, c.zone, now)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
		} else if s.From != moment(t, c.from) || s.Until != moment(t, c.to) || s.Before != moment(t, c.before) || len(s.days()) != c.days {
			t.Errorf("%+v: from %s to %s, before %s, %d days", c, s.From, s.Until, s.Before, len(s.days()))
		}
	}
	for _, c := range [][4]string{
		{"2026-13", "", "", "is no month"}, {"october", "", "", "2026-10"}, {"2026-10", "30d", "", "one or the other"}, {"", "", "2026-10-01", "needs a beginning"}, {"", "soon", "", "neither"},
		{"", "2026-10-02", "2026-10-01", "less than a minute"}, {"", "2024-01-01", "", "more than 400d"}, {"2026-12", "", "", "nothing has happened yet"}, {"1970-01", "", "", "too long ago"},
	} {
		if _, err := NewSpan(c[0], c[1], c[2], utc, now); err == nil || !strings.Contains(err.Error(), c[3]) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// Events would be counted in the wrong day or month, twice, or together with those of another SLI.
func TestMinutesBelong(t *testing.T) {
	s, err := NewSpan("2026-10", "", "", utc, moment(t, "2026-11-05T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	st := status("s", "0.99")
	e := func(good, total float64, covered int) slo.LedgerEntry {
		return slo.LedgerEntry{StatusKey: st.Key(), Generation: 1, Good: good, Total: total, Covered: covered}
	}
	run := func(step func(m *Minutes)) *PeriodSLO {
		m := NewMinutes(s, all)
		step(m)
		return &m.Report([]slo.Status{st}, Past{}).SLOs[0]
	}
	late := func(at bus.Time) slo.LedgerEntry {
		n := e(1, 1, 0)
		n.LateGood, n.LateTotal, n.Late = 3, 5, []slo.LateMinute{{Minute: at, Good: 2, Total: 4}}
		return n
	}
	for name, c := range map[string]struct {
		step func(m *Minutes)
		want string // total of the first and the last day, the month before; seconds covered of those
	}{
		"edges": {func(m *Minutes) {
			for _, at := range []bus.Time{s.Before - bus.Minute, s.Before, s.From - bus.Minute, s.From, s.Until - bus.Minute, s.Until} {
				take(t, m, at, e(1, 1, 60))
			}
		}, "1 1 2; 60 60 120"},
		"what covers the evening before": {func(m *Minutes) { take(t, m, s.From, e(1, 1, 90)) }, "1 0 0; 60 0 30"},
		"late, in the day before":        {func(m *Minutes) { take(t, m, s.From+bus.Minute, late(s.From-bus.Minute)) }, "2 0 4; 0 0 0"},
		"late, told after the end": {func(m *Minutes) {
			take(t, m, s.Until-bus.Minute, e(1, 1, 60))
			take(t, m, s.Until+bus.Minute, late(s.Until-bus.Minute))
		}, "0 5 0; 0 60 0"},
		"another SLI": {func(m *Minutes) {
			take(t, m, s.From, e(1, 1, 60))
			n := e(7, 7, 60)
			n.Generation = 2
			take(t, m, s.Until-bus.Minute, n)
		}, "0 7 0; 0 60 0"},
		"another SLI after the end": {func(m *Minutes) {
			take(t, m, s.From, e(1, 1, 60))
			n := late(s.Until - bus.Minute)
			n.Generation = 2
			take(t, m, s.Until+bus.Minute, n)
		}, "1 0 0; 60 0 0"},
	} {
		o := run(c.step)
		before := Sums{}
		if o.Before != nil {
			before = *o.Before
		}
		first, last := o.Days[0], o.Days[len(o.Days)-1]
		if got := fmt.Sprintf("%g %g %g; %d %d %d", first.Total, last.Total, before.Total, first.Covered, last.Covered, before.CoveredSeconds); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	o := run(func(m *Minutes) { take(t, m, s.From+bus.Minute, late(s.From-bus.Minute)) })
	if len(o.Notes) != 1 || o.Notes[0].Reason != "LateEvents" || !strings.HasPrefix(o.Notes[0].Message, "1 events") {
		t.Errorf("that one event's minute is not known is not said: %+v", o.Notes)
	}
}

// A report would claim what nobody knows: met without data, a state or an objective of which nothing is kept.
func TestPeriodNotKnown(t *testing.T) {
	s, err := NewSpan("2026-10", "", "", utc, moment(t, "2026-12-05T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	idle, silent, gone, ended, later := status("idle", "0.99"), status("silent", "0.99"), status("gone", "0.99"), status("idle_eu", "0.99"), status("later", "0.99")
	later.CountedFrom = slo.Moment(s.Until + bus.Day)
	m := NewMinutes(s, all)
	take(t, m, s.From, slo.LedgerEntry{StatusKey: idle.Key(), Covered: 60}, slo.LedgerEntry{StatusKey: gone.Key(), Good: 1, Total: 2, Covered: 60}, slo.LedgerEntry{StatusKey: ended.Key(), Good: 1, Total: 2, Covered: 60})
	p := m.Report([]slo.Status{idle, silent, later}, Past{Events: s.Until + bus.Hour, Ledger: s.From + bus.Hour})
	var got []string
	for i := range p.SLOs {
		o := &p.SLOs[i]
		got = append(got, fmt.Sprintf("%s %s objective %t state %q", o.Name, o.Verdict, o.Objective != nil, o.StateAtEnd))
	}
	want := []string{`gone Unknown objective false state ""`, `idle NoEvent objective true state ""`, `idle_eu Missed objective true state ""`, `silent NoData objective true state ""`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(p.Notes) != 2 || p.Notes[0].Reason != "LedgerDropped" || p.Notes[1].Reason != "EventsDropped" {
		t.Errorf("notes: %+v", p.Notes)
	}
	if t0 := p.Totals[0]; t0.SLOs != 4 || t0.Missed != 1 || t0.NotKnown != 3 || t0.Gaps != 4 {
		t.Errorf("totals: %+v", t0)
	}
}

// A large engine would be taken down by one report.
func TestPeriodBound(t *testing.T) {
	s, err := NewSpan("", "400d", "", utc, moment(t, "2026-12-05T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	m := NewMinutes(s, all)
	f := &slo.LedgerFrame{Minute: s.From}
	for i := range CellsMax/400 + 1 {
		f.Entries = append(f.Entries, slo.LedgerEntry{StatusKey: slo.StatusKey{Name: fmt.Sprint(i)}, Total: 1})
	}
	var much *ErrTooMuch
	if err := m.Take(f); err == nil || !strings.Contains(err.Error(), "ask for one service") {
		t.Errorf("it took %d SLOs: %v %v", len(m.slos), err, much)
	}
}

// A name in a file or a label would run as a formula in the reader's spreadsheet, or as a script in the browser.
func TestPeriodHostileNames(t *testing.T) {
	evil := `"><script>alert(1)</script>` + "\x1b[2J\n\u202e"
	for _, name := range []string{"=cmd|' /C calc'!A1", "+1", "-1+1", "@SUM(A1)", "\t=1", "  =1", "'=1", "＝1", "%0A=1", "|x", evil} {
		st := status(name, "0.99")
		st.Service = name
		m := NewMinutes(Span{Zone: utc, From: bus.Day, Until: 2 * bus.Day, Before: 1, Now: 3 * bus.Day}, all)
		p := m.Report([]slo.Status{st}, Past{})
		rows, err := csv.NewReader(strings.NewReader(string(write(t, func(b *strings.Builder) error { return p.CSV(b) })))).ReadAll()
		if err != nil || len(rows) != 2 {
			t.Fatalf("%q: %d rows, %v", name, len(rows), err)
		}
		for _, v := range rows[1] {
			if s := strings.TrimLeft(v, " \t\r\n"); s != "" && strings.ContainsAny(s[:1], "=+-@|%") || strings.HasPrefix(s, "＝") || strings.ContainsAny(v, "\x1b\n\r\t") {
				t.Errorf("%q stands in a cell as %q", name, v)
			}
		}
		page := string(write(t, func(b *strings.Builder) error { return p.HTML(b) }))
		for _, bad := range []string{"<script", "src=", "href=", "url(", "@import", "NaN"} {
			if strings.Contains(page, bad) {
				t.Errorf("the page holds %q", bad)
			}
		}
	}
}
