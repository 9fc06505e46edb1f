package slo

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

func rolling(d Duration) Window { return Window{Type: WindowRolling, Duration: d} }

// naive is the oracle of a window: all events, one by one.
type naive []span

func (n naive) sum(after, last int64) cell {
	var c cell
	for _, e := range n {
		if e.last > after && e.last <= last {
			c.good += e.good
			c.total += e.total
		}
	}
	return c
}

// A user would see a burn rate or a budget of another time span than it says: every window holds exactly the events from the
// beginning of a slice that is at most one slice older than the window's length, late ones included.
func TestWindowsAgreeWithListOfAllEvents(t *testing.T) {
	burn := []Duration{Duration(5 * bus.Minute), Duration(30 * bus.Minute), Duration(bus.Hour), Duration(6 * bus.Hour), Duration(7*bus.Minute + 13*bus.Second)}
	for _, budget := range []bus.Time{7 * bus.Day, 28 * bus.Day, 30 * bus.Day, 90 * bus.Day} {
		rnd := rand.New(rand.NewPCG(1, uint64(budget)))
		now := int64(1_800_000_000)
		rs := newRings(burn, rolling(Duration(budget)), now)
		var all naive
		for i := range 4000 {
			now += rnd.Int64N(3000)
			if i%500 == 499 {
				now += rnd.Int64N(int64(budget / bus.Second / 3))
			}
			rs.advance(now)
			at := now
			if rnd.IntN(4) == 0 {
				at -= rnd.Int64N(20_000) // late
			}
			c := cell{float64(rnd.IntN(100)), 0}
			c.total = c.good + float64(rnd.IntN(5))
			rs.add(at, c, 0)
			all = append(all, span{last: at, cell: c})
			if i%50 != 0 {
				continue
			}
			for k := range rs.rings {
				r := &rs.rings[k]
				oldest := (r.head - int64(r.n) + 1) * r.width // first second that the window holds
				if d := cmp.Diff(all.sum(oldest-1, now), cell{r.good, r.total}, cmp.AllowUnexported(cell{})); d != "" {
					t.Fatalf("window %s of %s: %s", r.length, Duration(budget), d)
				}
				seconds := int64(r.length) / 1000
				if over := now - oldest + 1 - seconds; over < 0 || over > r.width+r.width {
					t.Fatalf("window %s holds %d s more than it should, slices are %d s", r.length, over, r.width)
				}
			}
		}
	}
}

// A user would see an error budget that grows or shrinks by rounding, month after month: sums of counts that are no integers are
// made anew each revolution.
func TestFractionalCountsDoNotDrift(t *testing.T) {
	rs := newRings([]Duration{sliWindow}, rolling(Duration(bus.Day)), 0)
	rnd := rand.New(rand.NewPCG(1, 2))
	for now := int64(1); now < 2_000_000; now += 7 {
		rs.advance(now)
		rs.add(now, cell{rnd.Float64() * 1e9, 1e9}, 0)
	}
	r := rs.rings[0]
	got := r.good
	rs.sum(&r)
	if d := got/r.good - 1; d > 1e-12 || d < -1e-12 {
		t.Errorf("running sum is off by %g of itself", d)
	}
}

// A user who changes a window would lose the counts that are there: a rebuilt window holds them all, as far back as the old ones reach.
func TestRebuiltWindowKeepsCounts(t *testing.T) {
	burn := burnWindows((&Objective{Target: MustDecimal("0.999"), Window: Window{Duration: Duration(30 * bus.Day)}}).Tiers(), Duration(30*bus.Day))
	now := int64(1_800_000_000)
	rs := newRings(burn, rolling(Duration(30*bus.Day)), now)
	var all cell
	for range 20_000 {
		now += 97
		rs.advance(now)
		rs.add(now, cell{9, 10}, 0)
		rs.cover(now-96, now)
		all.good += 9
		all.total += 10
	}
	rs.add(now, cell{100, 1000}, Duration(12*bus.Hour)) // an increase over an hour
	all.good += 100
	all.total += 1000
	for _, d := range []bus.Time{28 * bus.Day, 45 * bus.Day, 90 * bus.Day} {
		next := rs.rebuild(burn, rolling(Duration(d)), now+1)
		if b := next.budget(); b.good != all.good || b.total != all.total {
			t.Errorf("budget window of %s: %v of %v, want %v of %v", Duration(d), b.good, b.total, all.good, all.total)
		}
		if c := next.coverage(now-97*20_000, now, 0); c < 0.99 {
			t.Errorf("coverage %v", c)
		}
	}
	next := rs.rebuild([]Duration{sliWindow, Duration(10 * bus.Minute), Duration(bus.Hour)}, rolling(Duration(30*bus.Day)), now+1)
	if a, b := next.window(Duration(bus.Hour)), rs.window(Duration(bus.Hour)); a.total != b.total {
		t.Errorf("a window that stays: %v, was %v", a.total, b.total)
	}
	if r := next.window(Duration(10 * bus.Minute)); r.total < 60 || r.total > 80 {
		t.Errorf("a new window of 10m holds %v events of about 65", r.total)
	}
}

// An operator with 10,000 SLOs would need more memory than the documents say: 16 KiB for a rolling 30-day SLO with all its windows,
// counted as the sum of the allocator's size classes of everything that belongs to it but its definition's text.
func TestMemoryOfAnSLO(t *testing.T) {
	o := simObjective(t, "0.999", "30d")
	tr := &tracker{o: o}
	tr.configure()
	tr.begin(simStart, secondOf(simStart))
	parts := []int{
		cap(tr.rings.cells) * int(unsafe.Sizeof(cell{})), cap(tr.rings.covered) * 2, cap(tr.rings.rings) * int(unsafe.Sizeof(ring{})),
		int(unsafe.Sizeof(tracker{}) - unsafe.Sizeof(Objective{})), cap(tr.alerts) * int(unsafe.Sizeof(alert{})), cap(tr.windows) * 8,
	}
	total := 0
	for _, p := range parts {
		total += sizeClass(p)
	}
	t.Logf("%d bytes: %v", total, parts)
	if total > 16<<10 {
		t.Errorf("%d bytes, more than 16 KiB: %v", total, parts)
	}
	for _, bounds := range []int{12, 20, maxShapeBounds} {
		o := latencyObjective(t, "0.25")
		o.Percentiles = true
		sh := newShape(&o)
		bytes := sizeClass(int(unsafe.Sizeof(shape{})))
		for i := range bounds {
			sh.count(float64(i), 1, simStart, 1)
			b := sh.buckets[i]
			bytes += sizeClass(int(unsafe.Sizeof(*b))) + sizeClass(cap(b.recent)*8) + sizeClass(cap(b.budget)*8)
		}
		bytes += sizeClass(cap(sh.buckets) * 8)
		t.Logf("percentiles over %d bounds: %d bytes more", bounds, bytes)
		if bytes > 16<<10 {
			t.Errorf("%d bytes", bytes)
		}
	}
}

// sizeClass is what Go's allocator takes for n bytes, measured.
func sizeClass(n int) int {
	b := append([]byte(nil), make([]byte, n)...)
	return cap(b)
}
