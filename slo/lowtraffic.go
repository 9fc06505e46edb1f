package slo

import "math"

// A burn alert needs evidence, not only a ratio: where few events come, one failure is a high burn rate and says nothing.
//
// The test: an SLO that meets its objective exactly has n×B bad events in n, B being 1 - target; the chance of k or more is at most
// that of a Poisson variable with this mean (the upper tail of a binomial distribution, for k above its mean, lies below that of the
// Poisson distribution: W. Hoeffding, 1956). A long window counts as over its factor only where that chance is at most 1 in 1,000, and
// never for a single bad event. So a service that keeps its promise fails the test in a window at most once in a thousand times,
// whatever its traffic, if its failures are independent; and one that fails for real passes it after a handful of events: at 99.9 %
// two bad ones of up to 45, three of up to 190, nine of up to 2,452.
//
// poissonMeans[k] is the largest mean with which k or more events have a chance of at most 1 in 1,000; a test computes them anew.
var poissonMeans = [...]float64{
	0, 0.001000, 0.045402, 0.190533, 0.428552, 0.739371, 1.107105, 1.520336, 1.970814, 2.452423, 2.960520,
	3.491484, 4.042440, 4.611063, 5.195440, 5.793976, 6.405327, 7.028349, 7.662056, 8.305592, 8.958213,
}

// poissonMean returns a mean with which k or more events have a chance of at most 1 in 1,000: beyond the table by the first terms of
// the quantile's expansion (Cornish and Fisher), k - z√k + (z²-1)/3, whose last term is made smaller so that it stays below.
func poissonMean(k float64) float64 {
	if k < float64(len(poissonMeans)) {
		return poissonMeans[int(k)]
	}
	return k - float64(3.0903*math.Sqrt(k)) + 2.75
}

// significant reports whether a count of bad events says that the objective is missed, rather than that chance was at work.
func (b odds) significant(good, total float64) bool {
	bad := math.Floor(total - good)
	return bad >= 2 && total*b.num <= float64(poissonMean(bad)*b.den)
}

// sure reports whether a window holds enough bad events to say anything. Slices of time are not asked: each of them is a judgement already.
func (t *tracker) sure(c cell) bool {
	return t.slicer != nil || t.o.Alerting.Unguarded || t.budget.significant(c.good, c.total)
}
