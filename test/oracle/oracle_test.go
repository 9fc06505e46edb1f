package oracle

import (
	"flag"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

var (
	casesFlag = flag.Int("cases", 200, "how many random definitions with their series")
	seedFlag  = flag.Uint64("seed", 1, "seed of the first one; the next has the next")
)

// A user's error budget would be a guess, as it is elsewhere: Evenkeel's counts, budget and burn rates equal exact arithmetic in every
// case, whatever resets, gaps, duplicates, late and new series there are; and what Prometheus says of the same is exact plus named
// reasons, nothing else.
func TestOracle(t *testing.T) {
	tab := newTable()
	for n := range uint64(*casesFlag) {
		if err := play(t.TempDir(), *seedFlag+n, tab); err != nil {
			t.Errorf("seed %d: %v", *seedFlag+n, err)
		}
		if t.Failed() {
			t.Fatalf("go test ./test/oracle -cases 1 -seed %d plays it again", *seedFlag+n)
		}
	}
	t.Log("\n" + tab.print(*casesFlag))
}

// play plays one scenario three ways and compares.
func play(dir string, seed uint64, tab *table) error {
	sc, err := newScenario(seed)
	if err != nil {
		return err
	}
	if len(sc.samples) == 0 {
		return nil
	}
	first, total, l, e, err := sc.sides()
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "tsdb")
	p, err := newPrometheus(data, sc.series)
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)
	defer p.db.Close()
	if err := feed(sc, l, e, p); err != nil {
		return err
	}
	st, err := e.finish(l.newest)
	if err != nil {
		return err
	}
	last := int64(st.AsOf)/1000 - 1
	in := sc.def.budgetWindow(last)
	c := l.count(&sc.def, first, total, in, 0)
	if err := checkEvenkeel(&sc.def, st, c); err != nil {
		return fmt.Errorf("Evenkeel is not exact: %w", err)
	}
	for _, b := range st.BurnRates {
		if err := checkBurn(&sc.def, b, l.burn(&sc.def, first, total, b.Window, last)); err != nil {
			return fmt.Errorf("Evenkeel is not exact: %w", err)
		}
	}
	return checkPrometheus(sc, l, p, in, c, tab)
}

// sides returns the weights of a scenario's series, the exact list and the engine, both empty.
func (sc *scenario) sides() (first, total weighing, l *ledger, e *engine, err error) {
	if first, err = weigh(sc.def.first, sc.series); err != nil {
		return
	}
	if total, err = weigh(sc.def.total, sc.series); err != nil {
		return
	}
	e, err = newEngine(&sc.def)
	return first, total, newLedger(sc.series, first, total), e, err
}

// feed sends everything to everybody, in order of arrival; what arrives in one moment arrives together.
func feed(sc *scenario, l *ledger, e *engine, p *prometheus) error {
	for i := 0; i < len(sc.samples); {
		k := i + 1
		for k < len(sc.samples) && sc.samples[k].at == sc.samples[i].at {
			k++
		}
		if sc.restore > 0 && sc.restore <= i {
			sc.restore = 0
			if err := e.restore(); err != nil {
				return err
			}
		}
		batch := sc.samples[i:k]
		newest := map[string]bus.Time{}
		for _, s := range batch {
			sender := sc.series[s.series].sender
			newest[sender] = max(newest[sender], s.t)
		}
		for _, s := range batch {
			l.take(s, newest[sc.series[s.series].sender])
		}
		if err := e.send(sc.series, batch); err != nil {
			return err
		}
		if p != nil {
			if err := p.send(batch); err != nil {
				return err
			}
		}
		i = k
	}
	return nil
}

// same reports whether a float is the rational number: the nearest one, or, where factors such as 0.1 had to be rounded, as near as
// sums of that many events can be.
func (d *definition) same(got float64, want, events *big.Rat) bool {
	w, _ := want.Float64()
	n, _ := events.Float64()
	return got == w || !d.exact && math.Abs(got-w) <= 1e-12*math.Max(1, n)
}

func checkEvenkeel(d *definition, st slo.Status, c count) error {
	if !d.same(st.Events.Good, c.good, c.total) || !d.same(st.Events.Total, c.total, c.total) {
		return fmt.Errorf("it counted %v of %v good, the exact list holds %s of %s (window %s, %s)", st.Events.Good, st.Events.Total, c.good.FloatString(3), c.total.FloatString(3), st.Window.Duration, st.Reason)
	}
	share := new(big.Rat).Sub(big.NewRat(1, 1), slo.MustDecimal(d.target).Rat())
	budget := new(big.Rat).Mul(share, c.total)
	left := new(big.Rat).Sub(budget, c.bad)
	l, _ := left.Float64()
	n, _ := c.total.Float64()
	switch {
	case !d.same(st.Budget.Total, budget, c.total), !d.same(st.Budget.Consumed, c.bad, c.total):
		return fmt.Errorf("budget %v, consumed %v; exactly %s and %s", st.Budget.Total, st.Budget.Consumed, budget.FloatString(6), c.bad.FloatString(6))
	case math.Abs(st.Budget.Remaining-l) > 1e-12*math.Max(1, n):
		return fmt.Errorf("remaining %v, exactly %s", st.Budget.Remaining, left.FloatString(6))
	case (st.SLI == nil) != (c.total.Sign() <= 0):
		return fmt.Errorf("SLI %v of %s events", st.SLI, c.total.FloatString(3))
	}
	if st.SLI == nil {
		return nil
	}
	sli := new(big.Rat).Quo(c.good, c.total)
	off := new(big.Rat).Sub(sli, st.SLI.Rat())
	if off.Abs(off).Cmp(big.NewRat(1, 1_000_000_000_000)) > 0 {
		return fmt.Errorf("SLI %s, exactly %s", st.SLI, sli.FloatString(15))
	}
	return nil
}

func checkBurn(d *definition, b slo.BurnRate, c count) error {
	if (b.Rate == nil) != (c.total.Sign() <= 0) {
		return fmt.Errorf("burn rate of %s: %v of %s events", b.Window, b.Rate, c.total.FloatString(3))
	}
	if b.Rate == nil {
		return nil
	}
	share := new(big.Rat).Sub(big.NewRat(1, 1), slo.MustDecimal(d.target).Rat())
	rate := new(big.Rat).Quo(c.bad, new(big.Rat).Mul(share, c.total))
	if want, _ := rate.Float64(); math.Abs(*b.Rate-want) > 1e-12*math.Max(1, want)*1e3 {
		return fmt.Errorf("burn rate of %s: %v, exactly %s", b.Window, *b.Rate, rate.FloatString(9))
	}
	return nil
}

// checkPrometheus holds what Prometheus says against the exact count and the reasons why it differs.
func checkPrometheus(sc *scenario, l *ledger, p *prometheus, in span, c count, tab *table) error {
	kept, err := p.kept()
	if err != nil {
		return err
	}
	got, err := p.increases(in)
	if err != nil {
		return err
	}
	lists := make([][]increment, len(sc.series))
	for _, i := range l.list {
		lists[i.series] = append(lists[i.series], i)
	}
	seen := map[string]bool{}
	for i, list := range lists {
		exact, effects, says := explain(list, kept[i], in)
		want := exact
		for _, class := range classes {
			v := effects[class]
			if math.Abs(v) <= 1e-9 {
				continue
			}
			want += v
			seen[class] = true
			tab.series[class]++
			tab.most[class] = max(tab.most[class], math.Abs(v)/math.Max(1, exact))
		}
		v, ok := got[i]
		if ok != says || math.Abs(v-want) > 1e-9*math.Max(1, math.Abs(want)) && ok {
			return fmt.Errorf("series %v: increase() is %v (%v), exactly %v; with what is known to change it %v (%v)", sc.series[i], v, ok, exact, want, effects)
		}
	}
	for class := range seen {
		tab.cases[class]++
	}
	return checkRatio(sc, p, in, c, got, tab)
}

// checkRatio notes how far the ratio is off that Prometheus users see; it must be made of the increases that were explained.
func checkRatio(sc *scenario, p *prometheus, in span, c count, got map[int]float64, tab *table) error {
	r, err := p.ratio(&sc.def, in)
	if err != nil {
		return err
	}
	sums := [2]float64{}
	for k, ts := range [2][]term{sc.def.first, sc.def.total} {
		w, err := weigh(ts, sc.series)
		if err != nil {
			return err
		}
		for i, v := range got {
			if w[i] != nil {
				f, _ := w[i].Float64()
				sums[k] += f * v
			}
		}
	}
	bad := sums[0]
	if sc.def.good {
		bad = sums[1] - sums[0]
	}
	if want := bad / sums[1]; math.Abs(r-want) > 1e-9 || math.IsNaN(r) != math.IsNaN(want) {
		return fmt.Errorf("the ratio is %v, the increases make %v", r, want)
	}
	tab.fractional += notWhole(sc, bad, c)
	if c.bad.Sign() <= 0 || c.total.Sign() <= 0 {
		return nil
	}
	exact, _ := new(big.Rat).Quo(c.bad, c.total).Float64()
	if math.IsNaN(r) {
		r = 0
	}
	tab.ratios = append(tab.ratios, math.Abs(r-exact)/exact)
	return nil
}

func notWhole(sc *scenario, bad float64, c count) int {
	if c.bad.IsInt() && math.Abs(bad-math.Round(bad)) > 1e-6 && !strings.Contains(fmt.Sprint(sc.def.first), "0.") {
		return 1
	}
	return 0
}
