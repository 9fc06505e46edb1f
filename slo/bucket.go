package slo

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"evenkeel.dev/bus"
)

// LabelBound is the label of classic histograms that holds the upper bound of a bucket.
const LabelBound = "le"

// besideHold is how long a bucket may be missing while others of its histogram are there: requests that bring one scrape follow each
// other within that.
const besideHold = bus.Minute

// A Bound is an upper bound of a classic histogram's bucket that a term asks for.
type Bound struct {
	Text   string // as the term writes it
	Value  float64
	others bus.Selector // all other conditions of the term
}

// BoundOf returns the bound of a term with the condition le="…".
func BoundOf(t *Term) (Bound, bool) {
	var b Bound
	var others []bus.Matcher
	for _, m := range t.Selector.Matchers() {
		if m.Name == LabelBound && m.Type == bus.MatchEqual && b.Text == "" {
			b.Text = m.Value
			continue
		}
		others = append(others, m)
	}
	v, err := strconv.ParseFloat(b.Text, 64)
	if err != nil || math.IsNaN(v) || t.Selector.MetricName() == "" {
		return b, false
	}
	b.Value = v
	b.others, err = bus.NewSelector(others)
	return b, err == nil
}

// Beside reports whether the series is another bucket of a histogram in which the bound is looked for.
func (b *Bound) Beside(ls bus.Labels) bool {
	le := ls.Get(LabelBound)
	return le != "" && le != b.Text && b.others.Matches(ls)
}

// Neighbours are the bounds that were seen nearest to one that is looked for, as they are written; "" for none.
type Neighbours struct {
	Lower, Upper string // Lower may be the same number, written in another way
}

// Add takes a bound and reports whether it is nearer than those before.
func (n *Neighbours) Add(b Bound, le string) bool {
	v, err := strconv.ParseFloat(le, 64)
	if err != nil || math.IsNaN(v) || len(le) > 32 {
		return false
	}
	of, better := &n.Lower, func(old float64) bool { return v > old }
	if v > b.Value {
		of, better = &n.Upper, func(old float64) bool { return v < old }
	}
	if old, err := strconv.ParseFloat(*of, 64); err == nil && !better(old) {
		return false
	}
	*of = le
	return true
}

// A wanted is a bound that an objective asks for, with what is known of it.
type wanted struct {
	Bound
	met  bool // a series has it
	near Neighbours
	at   bus.Time // record time when a neighbour was first seen; 0: none
}

// wantedBounds returns the bounds that an objective asks for, in the order of its terms.
func wantedBounds(o *Objective) []wanted {
	var out []wanted
	for _, t := range o.Terms() {
		b, ok := BoundOf(&t)
		if _, guessed := o.SLI.interpolated(&t); guessed {
			continue // its neighbours will do
		}
		if ok && !slices.ContainsFunc(out, func(w wanted) bool { return w.Text == b.Text && w.others.String() == b.others.String() }) {
			out = append(out, wanted{Bound: b})
		}
	}
	return out
}

// meet notes that a bound exists.
func (t *tracker) meet(labels bus.Labels) {
	for i := range t.bounds {
		if w := &t.bounds[i]; !w.met && labels.Get(LabelBound) == w.Text && w.others.Matches(labels) {
			w.met = true
		}
	}
}

// beside notes that a series stands beside a bound that SLOs ask for.
func (s *Stage) beside(gns string, labels bus.Labels) {
	for _, t := range s.order {
		if gns != "" && gns != t.o.GlobalNamespace {
			continue
		}
		for i := range t.bounds {
			w := &t.bounds[i]
			if w.Beside(labels) && w.near.Add(w.Bound, labels.Get(LabelBound)) && w.at == 0 {
				w.at = max(s.now, 1)
			}
		}
	}
}

// missing returns the first bound that no series has, while others of its histogram are there.
func (t *tracker) missing(now bus.Time) *wanted {
	for i := range t.bounds {
		if w := &t.bounds[i]; !w.met && w.at > 0 && now-w.at >= besideHold {
			return w
		}
	}
	return nil
}

// message says what is missing and what would be right.
func (w *wanted) message() string {
	what := fmt.Sprintf("no series that %s selects has %s=%q", w.others, LabelBound, w.Text)
	lower, _ := strconv.ParseFloat(w.near.Lower, 64)
	switch {
	case w.near.Lower != "" && lower == w.Value:
		return fmt.Sprintf("%s; the bucket of this bound is written %s=%q", what, LabelBound, w.near.Lower)
	case w.near.Lower == "":
		return fmt.Sprintf("%s; the least bound is %q", what, w.near.Upper)
	case w.near.Upper == "":
		return fmt.Sprintf("%s; the largest bound is %q", what, w.near.Lower)
	}
	return fmt.Sprintf("%s; the bounds beside it are %q and %q", what, w.near.Lower, w.near.Upper)
}

// bounds writes what is known of the bounds that an objective asks for.
func (e *encoder) bounds(ws []wanted) {
	for i := range ws {
		w := &ws[i]
		e.bool(w.met)
		e.str(w.near.Lower)
		e.str(w.near.Upper)
		e.int(int64(w.at))
	}
}

func (d *reader) bounds(ws []wanted) {
	for i := range ws {
		w := &ws[i]
		w.met, w.near, w.at = d.bool(), Neighbours{d.str(), d.str()}, bus.Time(d.int())
	}
}
