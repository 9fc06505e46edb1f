package oracle

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// Teams that promise good minutes would be told of others than there were: slices of time, good or bad, and the budget in slices equal
// exact arithmetic in every case, whatever resets, gaps, duplicates, late and new series there are.
func TestOracleOfSlices(t *testing.T) {
	for n := range uint64(*casesFlag) {
		if err := playSlices(*seedFlag + n); err != nil {
			t.Fatalf("seed %d: %v\ngo test ./test/oracle -run Slices -cases 1 -seed %d plays it again", *seedFlag+n, err, *seedFlag+n)
		}
	}
}

func playSlices(seed uint64) error {
	sc, err := newSlices(seed)
	if err != nil || len(sc.samples) == 0 {
		return err
	}
	first, total, l, e, err := sc.sides()
	if err != nil {
		return err
	}
	if err := feed(sc, l, e, nil); err != nil {
		return err
	}
	st, err := e.finish(l.newest)
	if err != nil {
		return err
	}
	closed := int64(st.AsOf) / 1000
	for _, begin := range l.begins(sc.def.slice) { // of several that may be, one is right for all windows
		if err = l.slices(&sc.def, first, total, begin, closed).check(&sc.def, st, closed); err == nil {
			return nil
		}
	}
	return err
}

// begins returns the slices that may be the first that counts: that of the earliest increment that came in time, and, where an earlier one
// came late, its slice too: it hangs on the other senders whether it was late for the engine.
func (l *ledger) begins(length int64) []int64 {
	inTime, any := int64(math.MaxInt64), int64(math.MaxInt64)
	for i := range l.list {
		if !l.isData(&l.list[i]) {
			continue
		}
		slice := int64(l.list[i].t) / 1000 / length
		any = min(any, slice)
		if l.list[i].at-l.list[i].t <= 4*bus.Second {
			inTime = min(inTime, slice)
		}
	}
	switch {
	case any == math.MaxInt64:
		return []int64{any}
	case any == inTime:
		return []int64{any}
	}
	return []int64{inTime, any}
}

// isData reports whether an increment says something about its slice: a first value does so only where it counts.
func (l *ledger) isData(i *increment) bool {
	return l.needed[i.series] && (i.how != firstValue || i.add > 0)
}

// A verdict is what one slice counts as.
type verdict struct {
	slice int64
	v     *big.Rat
}

type verdicts []verdict

// slices judges all slices that are over and count.
func (l *ledger) slices(d *definition, first, total weighing, begin, closed int64) verdicts {
	type sums struct{ one, all *big.Rat }
	bySlice := map[int64]*sums{}
	for k := range l.list {
		i := &l.list[k]
		if !l.isData(i) {
			continue
		}
		n := int64(i.t) / 1000 / d.slice
		s := bySlice[n]
		if s == nil {
			s = &sums{new(big.Rat), new(big.Rat)}
			bySlice[n] = s
		}
		add := new(big.Rat).SetFloat64(i.add)
		if w := first[i.series]; w != nil {
			s.one.Add(s.one, new(big.Rat).Mul(w, add))
		}
		if w := total[i.series]; w != nil {
			s.all.Add(s.all, new(big.Rat).Mul(w, add))
		}
	}
	var out verdicts
	earliest := begin
	for n := range bySlice {
		earliest = min(earliest, n)
	}
	for n := earliest; (n+1)*d.slice <= closed; n++ {
		s := bySlice[n]
		switch {
		case s != nil:
			out = append(out, verdict{n, d.judge(s.one, s.all)})
		case n >= begin && d.noData == slo.NoDataGood:
			out = append(out, verdict{n, big.NewRat(1, 1)})
		case n >= begin:
			out = append(out, verdict{n, new(big.Rat)})
		}
	}
	return out
}

// judge returns what a slice with samples counts as.
func (d *definition) judge(one, all *big.Rat) *big.Rat {
	yes, no := big.NewRat(1, 1), new(big.Rat)
	if all.Sign() <= 0 {
		return yes
	}
	good := one
	if !d.good {
		good = new(big.Rat).Sub(all, one)
	}
	share := new(big.Rat).Quo(good, all)
	switch {
	case d.ratio && share.Sign() < 0:
		return no
	case d.ratio && share.Cmp(yes) > 0:
		return yes
	case d.ratio:
		return share
	case share.Cmp(slo.MustDecimal(d.reach).Rat()) >= 0:
		return yes
	}
	return no
}

// in adds up the slices whose last second is in a window.
func (vs verdicts) in(w span, length int64) (good *big.Rat, total int64) {
	good = new(big.Rat)
	for _, v := range vs {
		if end := (v.slice+1)*length - 1; end >= w.from && end <= w.to {
			good.Add(good, v.v)
			total++
		}
	}
	return good, total
}

// check compares what the engine says with the exact slices.
func (vs verdicts) check(d *definition, st slo.Status, closed int64) error {
	near := func(got float64, want *big.Rat) bool {
		w, _ := want.Float64()
		return math.Abs(got-w) <= 1e-9*math.Max(1, math.Abs(w))
	}
	good, total := vs.in(d.budgetWindow(closed-1), d.slice)
	whole := st.Window.Duration.Time() / bus.Second
	if st.Period != nil {
		whole = (st.Period.Until.Time() - st.Period.From.Time()) / bus.Second
	}
	share := new(big.Rat).Sub(big.NewRat(1, 1), slo.MustDecimal(d.target).Rat())
	budget := new(big.Rat).Mul(share, big.NewRat(int64(whole)/d.slice, 1))
	switch {
	case st.Events.Total != float64(total) || !near(st.Events.Good, good):
		return fmt.Errorf("%v of %v slices of %d s are good, exactly %s of %d (window %s, %s)", st.Events.Good, st.Events.Total, d.slice, good.FloatString(6), total, st.Window.Duration, st.Reason)
	case !near(st.Budget.Total, budget) || !near(st.Budget.Consumed, new(big.Rat).Sub(big.NewRat(total, 1), good)):
		return fmt.Errorf("budget %v, consumed %v; exactly %s of %d - %s slices", st.Budget.Total, st.Budget.Consumed, budget.FloatString(6), total, good.FloatString(6))
	}
	for _, b := range st.BurnRates {
		good, total := vs.in(sliced(b.Window, 60, closed-1), d.slice)
		if (b.Rate == nil) != (total == 0) {
			return fmt.Errorf("burn rate of %s: %v of %d slices", b.Window, b.Rate, total)
		}
		if b.Rate == nil {
			continue
		}
		bad := new(big.Rat).Sub(big.NewRat(total, 1), good)
		if want := bad.Quo(bad, new(big.Rat).Mul(share, big.NewRat(total, 1))); !near(*b.Rate, want) {
			return fmt.Errorf("burn rate of %s: %v, exactly %s", b.Window, *b.Rate, want.FloatString(9))
		}
	}
	return nil
}
