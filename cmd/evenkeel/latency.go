package main

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"evenkeel.dev/console"
	"evenkeel.dev/slo"
)

// more writes what the table of the status has no column for: what a reason does not say, and how long requests took.
func (c *cli) more(s *console.SLO) {
	name := clean(s.GlobalNamespace + "/" + s.Service + "/" + s.Name)
	if s.Message != "" {
		fmt.Fprintf(c.out, "%s: %s: %s\n", name, s.Reason, clean(s.Message))
	}
	for i := range s.Percentiles {
		p := &s.Percentiles[i]
		fmt.Fprintf(c.out, "%s, last %s: p50 %s, p90 %s, p99 %s of %.0f requests\n", name, p.Window,
			quantile(p.P50, p.Unit), quantile(p.P90, p.Unit), quantile(p.P99, p.Unit), p.Count)
	}
	if n := s.Interpolation; n != nil {
		fmt.Fprintf(c.out, "%s: interpolated at %s between %s and %s; SLI from %s to %s\n", name,
			plainNumber(n.Threshold), plainNumber(n.Lower), plainNumber(n.Upper), share(n.SLIMin), share(n.SLIMax))
	}
}

// quantile writes a value with the bounds that it surely lies between.
func quantile(q *slo.Quantile, unit string) string {
	switch {
	case q == nil:
		return "-"
	case q.Upper == nil || q.Value == nil:
		return "over " + measure(q.Lower, unit)
	}
	return fmt.Sprintf("%s (%s to %s)", measure(*q.Value, unit), measure(q.Lower, unit), measure(*q.Upper, unit))
}

// measure writes a value in its unit, with three digits that count.
func measure(v float64, unit string) string {
	scale, ok := map[string]time.Duration{"s": time.Second, "ms": time.Millisecond}[unit]
	ns := v * float64(scale)
	if !ok || v <= 0 || ns > math.MaxInt64/2 {
		return plainNumber(v) + unit
	}
	step := math.Pow(10, math.Floor(math.Log10(ns))-2)
	return time.Duration(math.Round(math.Round(ns/step) * step)).String()
}

func plainNumber(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

func share(v *float64) string {
	if v == nil {
		return "?"
	}
	return percent(*v)
}
