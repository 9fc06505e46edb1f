package slo

import (
	"math"

	"evenkeel.dev/bus"
)

// shape writes what is counted of a histogram. How many series have a bound follows from the series.
func (e *encoder) shape(sh *shape) {
	if sh == nil {
		return
	}
	e.int(int64(sh.seen))
	e.int(sh.first)
	e.bool(sh.late)
	e.int(int64(sh.limitAt))
	e.int(sh.recentHead)
	e.int(sh.budgetHead)
	e.int(sh.until)
	e.bool(sh.between.chosen)
	e.float(sh.between.lower)
	e.float(sh.between.upper)
	e.uint(uint64(len(sh.buckets)))
	for _, b := range sh.buckets {
		e.float(b.at)
		e.int(int64(b.short))
		e.int(b.broken)
		for _, v := range b.recent {
			e.float(v)
		}
		for _, v := range b.budget {
			e.float(v)
		}
	}
}

func (d *reader) shape(sh *shape) {
	if sh == nil {
		return
	}
	sh.seen, sh.first, sh.late, sh.limitAt = bus.Time(d.int()), d.int(), d.bool(), bus.Time(d.int())
	sh.recentHead, sh.budgetHead, sh.until = d.int(), d.int(), d.int()
	sh.between = between{d.bool(), d.float(), d.float()}
	n := d.count(3 + recentCells + sh.budgetCells())
	if n > maxShapeBounds || min(sh.recentHead, sh.budgetHead, sh.until) < 0 || max(sh.recentHead, sh.budgetHead, sh.until, sh.first) > lastSecond {
		d.fail()
	}
	for ; n > 0 && !d.bad; n-- {
		at, i := d.float(), len(sh.buckets)
		if math.IsNaN(at) || i > 0 && !(at > sh.buckets[i-1].at) {
			d.fail()
			return
		}
		b := sh.insert(i, at)
		b.short, b.broken = bus.Time(d.int()), d.int()
		for k := range b.recent {
			b.recent[k] = d.float()
		}
		for k := range b.budget {
			b.budget[k] = d.float()
		}
	}
}
