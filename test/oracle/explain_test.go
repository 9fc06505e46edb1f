package oracle

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"evenkeel.dev/bus"
)

// Reasons why Prometheus counts something else.
const (
	byEdges      = "extrapolated to the ends of the range"
	byOldEnd     = "rise across the old end of the range is not in it"
	byLoneliness = "one sample in the range: nothing is returned"
	byBirth      = "first value of a new series is taken for what was there before"
	byRefusal    = "samples refused, being older than the head takes"
	byQuiet      = "restart that only the start timestamp shows"
)

// classes are all reasons, in the order of the table.
var classes = []string{byEdges, byOldEnd, byLoneliness, byBirth, byRefusal, byQuiet}

// explain takes apart what Prometheus says of one series: exactly counted, and by how much each reason changes that. all is the exact
// list of the series, kept what Prometheus holds of it. It says nothing of a series with fewer than two samples in the range.
func explain(all []increment, kept map[bus.Time]bool, s span) (exact float64, effects map[string]float64, says bool) {
	effects = map[string]float64{}
	for _, i := range all {
		if s.holds(i.t) {
			exact += i.add
		}
	}
	var in []increment
	taken := 0.0
	for _, i := range recount(all, kept) {
		if s.holds(i.t) {
			in = append(in, i)
			taken += i.add
		}
	}
	effects[byRefusal] = taken - exact
	switch {
	case len(in) == 0:
		return exact, effects, false
	case len(in) == 1:
		effects[byLoneliness] = -in[0].add
		return exact, effects, false
	case in[0].how == firstValue:
		effects[byBirth] = -in[0].add
	default:
		effects[byOldEnd] = -in[0].add
	}
	for k, i := range in[1:] {
		if i.how == quietReset {
			effects[byQuiet] -= in[k].v
		}
	}
	risen, result := extrapolated(in, s)
	effects[byEdges] = result - risen
	return exact, effects, true
}

// recount counts exactly what Prometheus kept of a series. What came before its first sample is not known to it.
func recount(all []increment, kept map[bus.Time]bool) []increment {
	var out []increment
	for k, i := range all {
		if !kept[i.t] {
			continue
		}
		switch {
		case len(out) == 0 && k > 0:
			i.how, i.add = firstValue, 0
		case len(out) == 0:
		default:
			before := out[len(out)-1]
			switch {
			case i.v < before.v:
				i.how, i.add = reset, i.v
			case i.start > before.t:
				i.how, i.add = quietReset, i.v
			default:
				i.how, i.add = plain, i.v-before.v
			}
		}
		out = append(out, i)
	}
	return out
}

// A table adds up the reasons over all cases.
type table struct {
	cases, series map[string]int
	most          map[string]float64 // largest effect on a count, as a share of the exact one

	ratios     []float64 // how far the bad ratio is off, as a share of the exact one
	fractional int
}

func newTable() *table {
	return &table{cases: map[string]int{}, series: map[string]int{}, most: map[string]float64{}}
}

func (t *table) print(cases int) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "why Prometheus differs from the exact count\tcases\tseries\tlargest effect on a series")
	for _, c := range classes {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.2f %%\n", c, t.cases[c], t.series[c], 100*t.most[c])
	}
	w.Flush()
	slices.Sort(t.ratios)
	at := func(q float64) float64 { return 100 * t.ratios[min(len(t.ratios)-1, int(q*float64(len(t.ratios))))] }
	off := 0
	for _, r := range t.ratios {
		if r > 1e-9 {
			off++
		}
	}
	fmt.Fprintf(&b, "share of bad events: Evenkeel exact in %d of %d cases, Prometheus off in %d of %d (median %.2f %%, nine of ten within %.1f %%, worst %.0f %%)\n",
		cases, cases, off, len(t.ratios), at(0.5), at(0.9), at(1))
	fmt.Fprintf(&b, "Prometheus counts parts of events in %d cases\n", t.fractional)
	return b.String()
}
