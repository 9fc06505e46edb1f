package slo

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

func extra(tiers ...Tier) func(*Objective) {
	return func(o *Objective) { o.Alerting.Extra, o.Alerting.Disabled = tiers, true }
}

func decimalPtr(text string) *Decimal {
	d := MustDecimal(text)
	return &d
}

// A team would learn that its budget is gone from the state alone: alerts tell when a share of it is spent, and, with the period, that it
// is there again.
func TestBudgetSpentAlerts(t *testing.T) {
	s := newSim(t)
	o := simObjective(t, "0.9", "30d")
	o.Window = NewCalendarWindow(Calendar{Unit: UnitDay, Count: 1, Start: "2027-01-01 08:20:00", Zone: Zone{Name: "UTC", Offsets: []Offset{{}}}})
	extra(Tier{Name: "half", Severity: SeverityTicket, Spent: decimalPtr("0.5")}, Tier{Name: "all", Severity: SeverityPage, Spent: decimalPtr("1")})(&o)
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	s.define(o)
	s.traffic(300, func(int) (float64, float64) { return 100, 0 })
	s.traffic(900, func(int) (float64, float64) { return 85, 15 }) // 1.5 times the budget's rate
	s.traffic(200, func(int) (float64, float64) { return 100, 0 }) // 8:20 was 1200 s after the start
	s.run(10)
	want := []string{"half firing BudgetShareSpent", "all firing BudgetShareSpent", "half resolved BudgetShareLeft", "all resolved BudgetShareLeft"}
	if d := cmp.Diff(want, s.alerts()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Nobody would hear of an exporter that died, or of a query that matches nothing; and an engine that was away would report its own absence.
func TestAbsentAlerts(t *testing.T) {
	s := newSim(t)
	o := simObjective(t, "0.9", "7d")
	extra(Tier{Name: "no-data", Severity: SeverityTicket, Absent: Duration(10 * bus.Minute)})(&o)
	s.define(o)
	s.run(599)
	if got := s.alerts(); len(got) > 0 {
		t.Fatalf("too early: %v", got)
	}
	s.run(2) // it never came
	s.traffic(60, func(int) (float64, float64) { return 1, 0 })
	s.now += 2 * bus.Hour // the engine is away
	s.tick()
	s.run(300)
	s.traffic(60, func(int) (float64, float64) { return 1, 0 })
	s.run(700)
	want := []string{"no-data firing DataAbsent", "no-data resolved DataBack", "no-data firing DataAbsent"}
	if d := cmp.Diff(want, s.alerts()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A short time without data would page at each scrape that is late or fails.
func TestShortAbsence(t *testing.T) {
	s := newSim(t)
	o := simObjective(t, "0.9", "7d")
	extra(Tier{Name: "no-data", Severity: SeverityPage, Absent: Duration(bus.Minute)})(&o)
	s.define(o)
	for i := range 20 {
		s.traffic(1, func(int) (float64, float64) { return 1, 0 })
		s.run(59)
		if i == 12 {
			s.run(60) // one is missing
		}
	}
	if got := s.alerts(); len(got) > 0 {
		t.Fatalf("scrapes of a minute: %v", got)
	}
	s.run(300)
	if d := cmp.Diff([]string{"no-data firing DataAbsent"}, s.alerts()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A team would be told of the end of its budget when it is over: the forecast says when, with an interval, and an alert says so in time.
func TestForecast(t *testing.T) {
	s := newSim(t)
	o := simObjective(t, "0.99", "7d")
	extra(Tier{Name: "ends", Severity: SeverityTicket, Exhaustion: Duration(4 * bus.Day)})(&o)
	o.Alerting.Tiers = []Tier{{Name: "slow", Severity: SeverityTicket, Pairs: []BurnPair{{Long: Duration(bus.Hour), Short: Duration(5 * bus.Minute), Factor: MustDecimal("50")}}}}
	o.Alerting.Disabled = false
	s.define(o)
	s.traffic(3600, func(int) (float64, float64) { return 1000, 0 })
	s.run(10)
	if f := s.status().Forecast; f != nil {
		t.Fatalf("nothing burns, and the budget ends in %v", f.In)
	}
	s.traffic(3600, func(int) (float64, float64) { return 980, 20 }) // burn rate 2
	f := s.status().Forecast
	if f == nil {
		t.Fatal("no forecast")
	}
	// Two hours are over, one of them at rate 2: the budget of the two is spent, and what is left of 7 d lasts half as long.
	left := (7*24 - 2) / 2.0
	if d := float64(f.In)/3600_000 - left; math.Abs(d) > 0.5 || f.Early >= f.In || f.Late <= f.In {
		t.Errorf("in %v (%v to %v), want about %v h", f.In, f.Early, f.Late, left)
	}
	if d := cmp.Diff([]string{"ends firing ExhaustionNear"}, s.alerts()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Somebody would be woken for one failed request of ten: the table that says how many failures of how many requests are chance is right.
func TestPoissonMeans(t *testing.T) {
	// tail is the chance of k or more events of a Poisson variable.
	tail := func(k int, mean float64) float64 {
		lg, _ := math.Lgamma(float64(k) + 1)
		term, sum := math.Exp(float64(k)*math.Log(mean)-mean-lg), 0.0
		for i := k; term > 1e-18*sum || i < k+10; i++ {
			sum += term
			term *= mean / float64(i+1)
		}
		return sum
	}
	for k := 1; k < 3000; k++ {
		mean := poissonMean(float64(k))
		if p := tail(k, mean); p > 1.0005e-3 {
			t.Errorf("%d or more at a mean of %v: chance %v, more than 1 in 1,000", k, mean, p)
		}
		if k < len(poissonMeans) {
			if p := tail(k, mean+2e-6); p < 1e-3 {
				t.Errorf("%d at %v: the table could allow more (%v)", k, mean, p)
			}
		}
		if mean <= poissonMean(float64(k-1)) {
			t.Errorf("%d events prove no more than %d", k, k-1)
		}
	}
}

// One failed request of ten pages nobody, and eight days of failures page once (the case of fedora-homelab #165): at 99.9 % and ten
// requests an hour a ratio alone does the first, and a least number of failures an hour misses the second.
func TestLowTraffic(t *testing.T) {
	pages := func(unguarded bool, hours int, failed func(hour, request int) bool) []string {
		s := newSim(t)
		o := simObjective(t, "0.999", "30d")
		o.Alerting.Unguarded = unguarded
		s.define(o)
		for hour := range hours {
			for i := range 360 { // a sample every ten seconds
				if i%36 == 0 {
					if failed(hour, i/36) {
						s.bad++
					} else {
						s.good++
					}
				}
				s.send(prom, point{series: "200", t: s.now, v: s.good}, point{series: "500", t: s.now, v: s.bad})
				s.flush()
				s.now += 10 * bus.Second
				s.tick()
			}
		}
		var out []string
		for _, a := range s.alerts() {
			if strings.HasPrefix(a, "page firing") {
				out = append(out, a)
			}
		}
		return out
	}
	one := func(hour, request int) bool { return hour == 20 && request == 5 }
	if got := pages(false, 30, one); len(got) > 0 {
		t.Errorf("one failure of ten: %v", got)
	}
	if got := pages(true, 30, one); len(got) != 1 {
		t.Errorf("without the guard one failure of ten pages once: %v", got)
	}
	most := func(hour, request int) bool { return hour >= 20 && request > 0 }
	if got := pages(false, 60, most); len(got) != 1 {
		t.Errorf("nine failures of ten for days: %v", got)
	}
}

// The doc of the test says at most one healthy window in a thousand: with random failures at exactly the objective it holds.
func TestHealthyServicesAreRarelySignificant(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	b := oddsOf(MustDecimal("0.01").Rat())
	for _, n := range []int{10, 100, 1000} {
		const windows = 10_000
		hits := 0
		for range windows {
			bad := 0
			for range n {
				if rnd.Float64() < 0.01 {
					bad++
				}
			}
			if b.significant(float64(n-bad), float64(n)) {
				hits++
			}
		}
		if share := float64(hits) / windows; share > 2e-3 { // three standard deviations above 1e-3
			t.Errorf("%d events: %v of healthy windows look bad", n, share)
		}
	}
}

// Five bad minutes would foretell the end of a week's budget to whoever has no burn alerts: the pace is that of some hours all the same.
func TestForecastWithoutBurnAlerts(t *testing.T) {
	s := newSim(t)
	o := simObjective(t, "0.99", "7d")
	o.Alerting.Disabled = true
	extra(Tier{Name: "ends", Severity: SeverityTicket, Exhaustion: Duration(bus.Day)})(&o)
	s.define(o)
	s.serve(6*3600, 10, 0)
	s.serve(300, 9, 1)
	if got := s.alerts(); len(got) > 0 {
		t.Errorf("five minutes of 10 %% failures: %v", got)
	}
	s.serve(3*3600, 7, 3)
	if got := s.alerts(); len(got) != 1 || !strings.HasPrefix(got[0], "ends firing") {
		t.Errorf("three hours of 30 %% failures: %v", got)
	}
}
