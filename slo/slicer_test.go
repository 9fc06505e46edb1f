package slo

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"evenkeel.dev/bus"
)

// sliced returns an objective that counts slices of a length.
func sliced(t testing.TB, method, target, slice, sliceTarget, none string) Objective {
	o := simObjective(t, target, "14d")
	d, err := ParseDuration(slice)
	if err != nil {
		t.Fatal(err)
	}
	o.Method, o.Slice, o.OnNoData = method, &Slice{Length: d, Target: MustDecimal(sliceTarget)}, none
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	return o
}

// traffic sends one sample a second of good and bad events, for as long as the function says.
func (s *sim) traffic(seconds int, each func(i int) (good, bad float64)) {
	for i := range seconds {
		g, b := each(i)
		s.good, s.bad = s.good+g, s.bad+b
		s.send(prom, point{series: "200", t: s.now, v: s.good}, point{series: "500", t: s.now, v: s.bad})
		s.flush()
		s.now += bus.Second
		s.tick()
	}
}

// Teams that promise good minutes would be billed for events: a minute is bad when its share of good events is below the target, whatever
// the traffic; the budget is a share of all minutes of the window, known from the first day.
func TestTimeslices(t *testing.T) {
	s := newSim(t)
	s.define(sliced(t, MethodTimeslices, "0.95", "1m", "0.9", ""))
	s.traffic(60, func(int) (float64, float64) { return 1, 0 }) // first contact; simStart is a whole minute
	s.traffic(600, func(i int) (float64, float64) {
		switch minute := i / 60; {
		case minute == 2:
			return 8, 2 // 80 %
		case minute == 5:
			return 0, 0 // no traffic
		case minute == 7:
			return 9, 1 // 90 %, which is enough
		}
		return 100, 0
	})
	s.run(20)
	st := s.status()
	want := Status{Events: Events{Good: 10, Total: 11}, Budget: Budget{Total: 1008, Consumed: 1, Remaining: 1007}, Slice: Duration(bus.Minute), Slices: 20160}
	got := Status{Events: st.Events, Budget: st.Budget, Slice: st.Slice, Slices: st.Slices}
	got.Budget.RemainingRatio = nil
	if d := cmp.Diff(want, got, cmpopts.EquateApprox(1e-12, 0), cmpopts.IgnoreUnexported(Decimal{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The SLI of a RatioTimeslices objective would be weighted by traffic: it is the mean of the minutes' shares. OpenSLO's worked example
// of two weeks at 95 % in minutes: 80 % good for one busy minute and 100 % for the quiet others.
func TestRatioTimeslices(t *testing.T) {
	s := newSim(t)
	s.define(sliced(t, MethodRatioTimeslices, "0.95", "1m", "0", ""))
	s.traffic(60, func(int) (float64, float64) { return 1, 0 })
	s.traffic(240, func(i int) (float64, float64) {
		if i/60 == 1 {
			return 800, 200
		}
		return 1, 0
	})
	s.run(20)
	st := s.status()
	if d := cmp.Diff(Events{Good: 4.8, Total: 5}, st.Events, cmpopts.EquateApprox(1e-12, 0)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if st.SLI == nil || st.SLI.String() != "0.96" {
		t.Errorf("SLI %v, want 0.96", st.SLI)
	}
}

// A dead exporter would be a good or a bad service by accident: what minutes without data count as is what the objective says.
func TestNoDataPolicies(t *testing.T) {
	for none, want := range map[string]Events{
		NoDataGood: {Good: 8, Total: 10}, NoDataBad: {Good: 3, Total: 10}, NoDataExclude: {Good: 3, Total: 5}, NoDataHold: {Good: 3, Total: 10},
	} {
		t.Run(none, func(t *testing.T) {
			s := newSim(t)
			o, second := sliced(t, MethodTimeslices, "0.9", "1m", "0.9", none), simObjective(t, "0.9", "7d")
			o.SLI.Total.Terms[0].Selector = selectorOf(t, "__name__", "requests", "code", "~200|500")
			second.Name = "second"
			second.SLI.Total.Terms[0].Selector = selectorOf(t, "__name__", "requests", "code", "other")
			second.SLI.Good = &second.SLI.Total
			s.define(o, second)
			s.traffic(120, func(int) (float64, float64) { return 10, 0 }) // minutes 0 and 1
			s.traffic(60, func(int) (float64, float64) { return 0, 10 })  // 2: bad
			other := bus.Source{Sender: "other"}
			for range 300 { // 3 to 7: another service of the partition goes on
				s.send(other, point{series: "other", t: s.now, v: 1})
				s.flush()
				s.now += bus.Second
				s.tick()
			}
			state := s.status().State
			if unknown := state == StateUnknown; unknown != (none == NoDataHold) {
				t.Errorf("without data the state is %s", state)
			}
			s.traffic(60, func(int) (float64, float64) { return 10, 0 })
			s.traffic(60, func(int) (float64, float64) { return 0, 10 }) // 9
			s.run(30)
			if d := cmp.Diff(want, s.status().Events); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A late sample would be lost, or count its minute twice: whatever order samples come in, each minute ends as what all of them say, and
// the windows hold what an exact list of minutes gives.
func TestSlicesAgreeWithListOfAllMinutes(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		o := sliced(t, MethodTimeslices, "0.9", []string{"10s", "60s", "100s"}[rnd.IntN(3)], "0.8", []string{NoDataGood, NoDataBad, NoDataExclude}[rnd.IntN(3)])
		tr := &tracker{o: o}
		tr.configure()
		tr.begin(simStart, secondOf(simStart))
		tr.fed = simStart
		length := int64(o.Slice.Length) / 1000
		all := map[int64]rawSlice{}
		first := int64(0)
		at := secondOf(simStart)
		for range 400 {
			step := 1 + rnd.Int64N(40)
			if rnd.IntN(40) == 0 {
				step = rnd.Int64N(5000)
			}
			next := at + step
			for range rnd.IntN(3) {
				second := at + rnd.Int64N(next-at)
				late := rnd.IntN(4) == 0 && first > 0
				if late {
					second = max(first*length, at-1-rnd.Int64N(600))
				}
				c := cell{good: float64(rnd.IntN(10))}
				c.total = c.good + float64(rnd.IntN(3))
				if first == 0 {
					first = second / length
				}
				r := all[second/length]
				all[second/length] = rawSlice{cell: cell{r.good + c.good, r.total + c.total}, data: true}
				if second < at {
					tr.correct(second, c, 0)
					continue
				}
				i := second % pendingBins
				if step > pendingBins { // bins are for what is near
					tr.close(at, second)
					at = second
					tr.count(second, c, 0)
					continue
				}
				tr.rings.bins[i].good += c.good
				tr.rings.bins[i].total += c.total
				tr.marks[i] = markData
			}
			tr.close(at, next)
			at = next
		}
		b := tr.rings.budget()
		var want cell
		oldest := (b.head - int64(b.n) + 1) * b.width
		for n := first; first > 0 && (n+1)*length <= at; n++ {
			if v, counts := tr.slicer.value(all[n]); counts && (n+1)*length-1 >= oldest {
				want.good += v
				want.total++
			}
		}
		if got := (cell{b.good, b.total}); got != want {
			t.Errorf("seed %d, slices of %d s, %s: %v, want %v", seed, length, o.OnNoData, got, want)
		}
	}
}

// Tanzu's users know these numbers: a month's budget in time, exact for the real month, an estimate of 30 days before.
func TestCalendarBudgetInTime(t *testing.T) {
	for _, c := range []struct {
		target, start string // of the month
		days          int
		seconds       float64
	}{
		{"0.98", "2027-04-01", 30, 14*3600 + 24*60},
		{"0.9999", "2027-04-01", 30, 259.2},
		{"0.99999", "2027-08-01", 31, 26.784},
		{"0.99", "2028-02-01", 29, 29 * 864},
	} {
		o := sliced(t, MethodTimeslices, c.target, "10s", "0.99", NoDataGood)
		o.Window = NewCalendarWindow(Calendar{Unit: UnitMonth, Count: 1, Start: "2026-01-01 00:00:00", Zone: Zone{Name: "UTC", Offsets: []Offset{{}}}})
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
		at := civil(t, c.start+" 12:00:00")
		tr := &tracker{o: o}
		tr.configure()
		tr.begin(bus.Time(at)*bus.Second, at)
		st := tr.status(at)
		if got := st.Budget.Total * 10; fmt.Sprintf("%.3f", got) != fmt.Sprintf("%.3f", c.seconds) {
			t.Errorf("%s of the month of %s: %v s, want %v", c.target, c.start, got, c.seconds)
		}
		if days := (st.Period.Until - st.Period.From) / Moment(bus.Day); int(days) != c.days {
			t.Errorf("%s has %d days", c.start, days)
		}
	}
}

func civil(t testing.TB, text string) int64 {
	c := Calendar{Unit: UnitDay, Count: 1, Start: text, Zone: Zone{Offsets: []Offset{{}}}}
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	return c.begin(0)
}

// The budget of a calendar month would not be given back, or late events of the old month would spend the new one's: a period begins
// empty, and what belongs before it changes nothing in it.
func TestCalendarPeriodBeginsAnew(t *testing.T) {
	s := newSim(t)
	o := simObjective(t, "0.99", "30d")
	o.Window = NewCalendarWindow(Calendar{Unit: UnitDay, Count: 1, Start: "2027-01-01 08:10:00", Zone: Zone{Name: "UTC", Offsets: []Offset{{}}}})
	s.define(o)
	s.traffic(590, func(int) (float64, float64) { return 9, 1 })
	if st := s.status(); st.State != StateViolation || st.Budget.Consumed < 500 {
		t.Fatalf("before: %s, %+v", st.State, st.Budget)
	}
	s.traffic(310, func(int) (float64, float64) { return 10, 0 })
	s.run(20)
	st := s.status()
	if st.Events.Total != 3000 && st.Events.Total != 3010 || st.Budget.Consumed != 0 {
		t.Errorf("after: %+v %+v", st.Events, st.Budget)
	}
	if st.Period == nil || st.Period.From.String() != "2027-01-15T08:10:00.000Z" {
		t.Errorf("the period is %+v", st.Period)
	}
	if st.Coverage < 0.99 {
		t.Errorf("coverage %v", st.Coverage)
	}
}

// In a month of 31 days an alert would spend less of the budget than it says: default factors are for the real length of the period.
func TestFactorsFollowThePeriod(t *testing.T) {
	o := simObjective(t, "0.999", "30d")
	o.Window = NewCalendarWindow(Calendar{Unit: UnitMonth, Count: 1, Start: "2026-01-01 00:00:00", Zone: Zone{Name: "UTC", Offsets: []Offset{{}}}})
	tr := &tracker{o: o}
	tr.configure()
	at := civil(t, "2027-02-14 00:00:00")
	tr.begin(bus.Time(at)*bus.Second, at)
	got := []string{tr.tiers[0].Pairs[0].Factor.String()}
	tr.fed = 1
	tr.close(at, civil(t, "2027-03-02 00:00:00"))
	got = append(got, tr.tiers[0].Pairs[0].Factor.String(), tr.tiers[1].Pairs[1].Factor.String())
	if d := cmp.Diff([]string{"13.44", "14.88", "1"}, got); d != "" {
		t.Errorf("factors (-want +got):\n%s", d)
	}
}

// (The last slice is not over: time stands still when nothing comes.) Queue lengths and measured ratios would be no SLO: each sample is an event, good by the comparison, or by its own share.
func TestGauges(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		slice  *Slice
		gauge  Gauge
		want   Events
	}{
		"below":         {MethodOccurrences, nil, Gauge{Op: OpLess, Value: MustDecimal("5")}, Events{5, 10}},
		"at least":      {MethodOccurrences, nil, Gauge{Op: OpGreaterEqual, Value: MustDecimal("5")}, Events{5, 10}},
		"shares":        {MethodOccurrences, nil, Gauge{Raw: RawSuccess}, Events{1, 2}},
		"bad shares":    {MethodOccurrences, nil, Gauge{Raw: RawFailure}, Events{1, 2}},
		"slices":        {MethodTimeslices, &Slice{Length: Duration(20 * bus.Second), Target: MustDecimal("0.5")}, Gauge{Op: OpLess, Value: MustDecimal("4")}, Events{2, 4}},
		"slices' mean":  {MethodTimeslices, &Slice{Length: Duration(20 * bus.Second)}, Gauge{Op: OpLessEqual, Value: MustDecimal("4.5"), Mean: true}, Events{3, 4}},
		"slices' least": {MethodTimeslices, &Slice{Length: Duration(20 * bus.Second)}, Gauge{Op: OpLess, Value: MustDecimal("5"), Over: OverLeast, Range: Duration(20 * bus.Second)}, Events{3, 4}},
		"slices' most":  {MethodTimeslices, &Slice{Length: Duration(20 * bus.Second)}, Gauge{Op: OpLess, Value: MustDecimal("5"), Over: OverMost}, Events{2, 4}},
		"mean shares":   {MethodRatioTimeslices, &Slice{Length: Duration(50 * bus.Second)}, Gauge{Raw: RawSuccess}, Events{0.5, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			o := simObjective(t, "0.9", "7d")
			o.Method, o.Slice = c.method, c.slice
			c.gauge.Selector = selectorOf(t, "__name__", "requests", "code", "200")
			o.SLI = SLI{Gauge: &c.gauge}
			if err := o.Validate(); err != nil {
				t.Fatal(err)
			}
			s.define(o)
			for i := range 10 { // 0 to 9, every ten seconds: falls and negative values are values
				v := float64(i)
				s.send(prom, point{series: "200", t: s.now, v: v})
				s.send(prom, point{series: "200", t: s.now, v: 77}) // said twice: the first stands
				s.flush()
				s.run(10)
			}
			s.run(30)
			if d := cmp.Diff(c.want, s.status().Events, cmpopts.EquateApprox(1e-12, 0)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// Users of Tanzu compare with what its console showed: three services of an August at 99.999 %, minutes left (signed) and the share of the
// period, which count the whole month of 31 days. Its samples were of ten seconds.
func TestTanzuAugust(t *testing.T) {
	for _, c := range []struct {
		bad           int64 // slices
		minutes, part string
	}{{99, "-16.05", "99.963"}, {110, "-17.89", "99.959"}, {195, "-32.05", "99.927"}} {
		o := sliced(t, MethodTimeslices, "0.99999", "10s", "0.99", NoDataGood)
		o.Window = NewCalendarWindow(Calendar{Unit: UnitMonth, Count: 1, Start: "2026-01-01 00:00:00", Zone: Zone{Name: "UTC", Offsets: []Offset{{}}}})
		first := civil(t, "2027-08-01 00:00:00")
		tr := &tracker{o: o}
		tr.configure()
		tr.begin(bus.Time(first)*bus.Second, first)
		tr.fed = 1
		for i := range int64(1000) { // the first slices of the month, of which some are bad
			second := first + 10*i
			tr.close(second-10, second)
			tr.count(second, cell{good: float64(bToInt(i >= c.bad)), total: 1}, 0)
		}
		at := first + 20*86400
		tr.close(first+9990, at)
		st := tr.status(at)
		minutes := fmt.Sprintf("%.2f", st.Budget.Remaining*10/60)
		part := fmt.Sprintf("%.3f", 100*(1-st.Budget.Consumed/st.Slices))
		if minutes != c.minutes || part != c.part {
			t.Errorf("%d bad slices: %s min left, %s %%; Tanzu showed %s and %s", c.bad, minutes, part, c.minutes, c.part)
		}
	}
}

// A slice's least or greatest value would hang on the order in which samples come, or on how many of them.
func TestLeastOfSlicesInAnyOrder(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		s := newSim(t)
		o := simObjective(t, "0.9", "7d")
		o.Method, o.Slice = MethodTimeslices, &Slice{Length: Duration(20 * bus.Second)}
		o.SLI = SLI{Gauge: &Gauge{Selector: selectorOf(t, "__name__", "requests"), Op: OpLess, Value: MustDecimal("3"), Over: []string{OverLeast, OverMost}[seed%2]}}
		s.define(o)
		want := Events{}
		for range 30 {
			extreme := -1
			for _, k := range rnd.Perm(4) { // four series, of which some come late and out of order
				v := rnd.IntN(12)
				if seed%2 == 1 {
					v /= 2
				}
				if extreme < 0 || seed%2 == 0 && v < extreme || seed%2 == 1 && v > extreme {
					extreme = v
				}
				s.send(prom, point{series: fmt.Sprint("2", k), t: s.now + bus.Time(rnd.IntN(19))*bus.Second, v: float64(v)})
				s.flush()
			}
			want.Total++
			want.Good += float64(bToInt(extreme < 3))
			s.run(20)
		}
		s.send(prom, point{series: "20", t: s.now, v: 5})
		s.flush()
		s.run(10)
		if got := s.status().Events; got != want {
			t.Errorf("seed %d: %+v, want %+v", seed, got, want)
		}
	}
}

// Values would be looked at over another time than a slice, twice or not at all.
func TestOverTimeIsChecked(t *testing.T) {
	for want, g := range map[string]Gauge{
		"min_over_time looks back 1m, and a slice of time is 20s long": {Over: OverLeast, Range: Duration(bus.Minute)},
		"have no range":                               {Range: Duration(bus.Minute)},
		`over "median" is not known`:                  {Over: "median"},
		"needs a threshold and the method Timeslices": {Over: OverMost, Op: "", Raw: RawSuccess},
	} {
		o := simObjective(t, "0.9", "7d")
		o.Method, o.Slice = MethodTimeslices, &Slice{Length: Duration(20 * bus.Second), Target: MustDecimal("1")}
		g.Selector = selectorOf(t, "__name__", "requests")
		if g.Raw == "" {
			g.Op, g.Value = OpLess, MustDecimal("1")
		}
		o.SLI = SLI{Gauge: &g}
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A team that counts in slices of ten minutes would be refused the alerts that everybody has, or have to write its own.
func TestDefaultAlertsOfLongSlices(t *testing.T) {
	for _, slice := range []string{"10m", "15m", "20m", "1h"} {
		o := sliced(t, MethodTimeslices, "0.995", slice, "0.9", "")
		if n := len(burnWindows(o.Tiers(), o.Window.Duration)); n < 5 || n > MaxWindows {
			t.Errorf("%s: %d windows", slice, n)
		}
	}
}
