package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/zone"
)

// start is a Friday morning in UTC, not aligned to any slice.
const start = bus.Time(1_800_000_000_000)

// A term is one selector of an expression with its constant factor.
type term struct{ factor, selector string }

// A definition is what is counted: bad or good, and total.
type definition struct {
	good   bool // the first expression is of good events
	first  []term
	total  []term
	target string
	window slo.Window
	exact  bool // all factors are sums of powers of two, so that no float is rounded

	slice  int64  // seconds of a slice of time; 0: events are counted
	ratio  bool   // each slice counts as much as its share of good events
	reach  string // share of good events at which a slice is good
	noData string // what a slice without samples is
}

// A series is one counter of a pod.
type series struct {
	metric, code, pod, sender string
}

// A sample is one delivery of one value.
type sample struct {
	series int
	at     bus.Time // when it arrives
	t      bus.Time
	start  bus.Time // 0: the sender knows none
	v      float64
}

// A scenario is a definition and all that arrives, in order of arrival.
type scenario struct {
	seed     uint64
	def      definition
	interval bus.Time
	series   []series
	samples  []sample
	restore  int // the stage is restored from its snapshot before this many samples; 0: never
}

func (s *series) labels() bus.Labels {
	ls := bus.Labels{{Name: "__name__", Value: s.metric}, {Name: "pod", Value: s.pod}, {Name: "job", Value: "checkout"}, {Name: "instance", Value: s.pod + ":8080"}}
	if s.code != "" {
		ls = append(ls, bus.Label{Name: "code", Value: s.code})
	}
	return ls.Sort()
}

const (
	requests = "http_requests_total"
	failures = "http_request_failures_total" // of some definitions: a metric of its own for errors
)

var targets = []string{"0.9", "0.95", "0.99", "0.995", "0.999", "0.9995", "0.99999"}

// shapes are the expressions that people write.
var shapes = []definition{
	{first: []term{{"1", requests + `{code=~"5.."}`}}, total: []term{{"1", requests}}, exact: true},
	{good: true, first: []term{{"1", requests + `{code!~"5.."}`}}, total: []term{{"1", requests}}, exact: true},
	{first: []term{{"1", requests + `{code=~"5..|429"}`}}, total: []term{{"1", requests + `{code!="404"}`}}, exact: true},
	{first: []term{{"1", requests + `{code="500"}`}, {"0.5", requests + `{code="503"}`}}, total: []term{{"1", requests}}, exact: true},
	{first: []term{{"1", requests + `{code="500"}`}, {"0.1", requests + `{code="503"}`}}, total: []term{{"1", requests}}},
	{first: []term{{"1", failures}}, total: []term{{"1", requests}}, exact: true},
	{good: true, first: []term{{"1", requests + `{code="200"}`}, {"1", requests + `{code="404"}`}}, total: []term{{"1", requests}, {"-1", requests + `{code="429"}`}}, exact: true},
	{first: []term{{"1", requests + `{pod="checkout-0",code=~"5.."}`}}, total: []term{{"1", requests + `{pod="checkout-0"}`}}, exact: true},
}

// newScenario makes the scenario of a seed.
func newScenario(seed uint64) (*scenario, error) {
	return generate(&generator{rnd: rand.New(rand.NewPCG(seed, 20_261)), s: &scenario{seed: seed}, cutMost: 2 * bus.Hour})
}

// newSlices makes the scenario of a seed that counts slices of time. Nothing comes later than slices are corrected.
func newSlices(seed uint64) (*scenario, error) {
	sc, err := generate(&generator{rnd: rand.New(rand.NewPCG(seed, 20_262)), s: &scenario{seed: seed}, cutMost: 40 * bus.Minute})
	if err != nil {
		return nil, err
	}
	rnd := rand.New(rand.NewPCG(seed, 20_263))
	d := &sc.def
	d.slice, d.ratio = []int64{60, 300, 600}[rnd.IntN(3)], rnd.IntN(3) == 0
	d.reach, d.noData = []string{"0.5", "0.9", "0.95", "0.99", "0.999"}[rnd.IntN(5)], []string{slo.NoDataGood, slo.NoDataBad}[rnd.IntN(2)]
	return sc, nil
}

func generate(g *generator) (*scenario, error) {
	g.s.def = shapes[g.rnd.IntN(len(shapes))]
	g.s.def.target = targets[g.rnd.IntN(len(targets))]
	length, err := g.window()
	if err != nil {
		return nil, err
	}
	for _, i := range []bus.Time{10, 15, 20, 30, 60, 120, 240} {
		if g.s.interval = i * bus.Second; length/g.s.interval < 500 {
			break
		}
	}
	g.end = start + length
	g.starts = g.rnd.IntN(3) == 0
	g.senders(1 + g.rnd.IntN(2))
	for pod := range 1 + g.rnd.IntN(4) {
		g.pod(fmt.Sprintf("checkout-%d", pod))
	}
	slices.SortStableFunc(g.s.samples, func(a, b sample) int { return int(a.at - b.at) })
	if g.rnd.IntN(4) == 0 {
		g.s.restore = g.rnd.IntN(len(g.s.samples))
	}
	return g.s, nil
}

// A generator makes one scenario.
type generator struct {
	rnd    *rand.Rand
	s      *scenario
	end    bus.Time
	starts bool // samples carry start timestamps
	cuts   []spell
	// cutMost is how long a sender cannot reach the engine at most.
	cutMost bus.Time
}

// A spell is a part of the time of a scenario.
type spell struct{ from, to bus.Time }

func (s spell) holds(t bus.Time) bool { return t >= s.from && t < s.to }

// window chooses the window and returns how long the scenario is: shorter or longer than it.
func (g *generator) window() (bus.Time, error) {
	lengths := []bus.Time{bus.Hour, 2 * bus.Hour, 6 * bus.Hour, 12 * bus.Hour, bus.Day, 3 * bus.Day, 7 * bus.Day}
	switch n := g.rnd.IntN(20); {
	case n == 0:
		lengths = []bus.Time{28 * bus.Day, 30 * bus.Day}
	case n < 4:
		utc, err := zone.Of("UTC")
		if err != nil {
			return 0, err
		}
		unit, most := slo.UnitDay, 2*bus.Day
		if n == 1 {
			unit, most = slo.UnitWeek, 9*bus.Day
		}
		g.s.def.window = slo.NewCalendarWindow(slo.Calendar{Unit: unit, Count: 1, Start: "2026-01-05 00:00:00", Zone: utc})
		return g.between(most/4, most), nil
	}
	w := lengths[g.rnd.IntN(len(lengths))]
	g.s.def.window = slo.Window{Type: slo.WindowRolling, Duration: slo.Duration(w)}
	if w > 7*bus.Day {
		return g.between(w/5, w*11/10), nil
	}
	return g.between(w/3, w*8/5), nil
}

func (g *generator) between(a, b bus.Time) bus.Time { return a + bus.Time(g.rnd.Int64N(int64(b-a)+1)) }

// spell returns a random part of the time, none where it is not to happen.
func (g *generator) spell(chance float64, shortest, longest bus.Time) spell {
	if g.rnd.Float64() >= chance {
		return spell{}
	}
	from := g.between(start, g.end)
	return spell{from, from + g.between(shortest, max(shortest, longest))}
}

// senders says when each sender cannot reach the engine: what it has seen by then arrives afterwards, in order.
func (g *generator) senders(n int) {
	for range n {
		cut := g.spell(0.3, 2*bus.Minute, (g.end-start)/4)
		if g.rnd.IntN(10) == 0 {
			cut = g.spell(1, bus.Hour, 2*bus.Hour) // longer than Prometheus looks back for what comes late
		}
		g.cuts = append(g.cuts, spell{cut.from, min(cut.to, cut.from+g.cutMost)})
	}
}

// A counter is one counter inside a pod.
type counter struct {
	series int
	rate   float64 // events in an interval
	step   float64 // what an event adds
	v      float64
	shown  bool // it comes into being with its first event
	slow   spell
	lag    bus.Time
}

// pod adds one pod: its counters and all that arrives of them.
func (g *generator) pod(name string) {
	sender := g.rnd.IntN(len(g.cuts))
	began := start - g.between(bus.Hour, bus.Day) // its process ran before the engine did
	from := start + g.between(0, g.s.interval)
	if g.rnd.IntN(4) == 0 { // or it comes in mid-window
		from = g.between(start, g.end)
		began = from - g.between(0, 2*g.s.interval)
	}
	down := []spell{g.spell(0.4, g.s.interval, 20*g.s.interval), g.spell(0.2, 5*bus.Minute, max(6*bus.Minute, (g.end-start)/10))}
	restarts := []bus.Time{g.spell(0.5, 0, 0).from, g.spell(0.2, 0, 0).from, down[0].from + 1}
	cs := g.counters(name, fmt.Sprintf("prometheus-%d", sender), began < from-10*bus.Minute)
	for t := from; t < g.end; t += g.s.interval {
		for i, r := range restarts {
			if r > start && r <= t {
				restarts[i], began = 0, max(r, t-g.s.interval+1)
				for k := range cs {
					cs[k].v, cs[k].shown = 0, cs[k].shown && g.rnd.IntN(2) == 0
				}
			}
		}
		for k := range cs {
			g.count(&cs[k])
		}
		if !down[0].holds(t) && !down[1].holds(t) {
			g.scrape(cs, t, began, sender)
		}
	}
}

func (g *generator) counters(pod, sender string, old bool) []counter {
	var out []counter
	codes := []string{"200", "404", "429", "500", "503"}
	kinds := []series{}
	for _, code := range codes {
		if code == "200" || g.rnd.IntN(3) > 0 {
			kinds = append(kinds, series{requests, code, pod, sender})
		}
	}
	kinds = append(kinds, series{failures, "", pod, sender})
	step := []float64{1, 1, 1, 1, 0.25}[g.rnd.IntN(5)]
	for _, k := range kinds {
		c := counter{series: len(g.s.series), step: step, rate: []float64{0.02, 0.2, 3, 200}[g.rnd.IntN(4)]}
		if k.code == "200" {
			c.rate = []float64{0.5, 20, 3000}[g.rnd.IntN(3)]
		}
		if old && g.rnd.IntN(2) == 0 {
			c.v, c.shown = float64(g.rnd.IntN(1_000_000))*step, true
		}
		c.shown = c.shown || g.rnd.IntN(2) == 0 // or shown as zero from the start
		c.slow, c.lag = g.spell(0.1, g.s.interval, 30*g.s.interval), g.between(15*bus.Second, 90*bus.Second)
		g.s.series = append(g.s.series, k)
		out = append(out, c)
	}
	return out
}

// count lets the events of one interval happen.
func (g *generator) count(c *counter) {
	n := int64(c.rate * 2 * g.rnd.Float64())
	if c.rate < 1 {
		n = 0
		if g.rnd.Float64() < c.rate {
			n = 1 + g.rnd.Int64N(4)
		}
	}
	c.v += float64(n) * c.step
	c.shown = c.shown || n > 0
}

// scrape lets the sender see a pod. Some samples arrive twice, some late, some after their successor.
func (g *generator) scrape(cs []counter, t, began bus.Time, sender int) {
	at := t + bus.Time(g.rnd.IntN(900))
	if g.cuts[sender].holds(t) {
		at = g.cuts[sender].to
	}
	for _, c := range cs {
		if !c.shown {
			continue
		}
		s := sample{series: c.series, at: at, t: t, v: c.v}
		if g.starts {
			s.start = began
		}
		if c.slow.holds(t) {
			s.at = max(at, t+c.lag)
		}
		switch g.rnd.IntN(400) {
		case 0:
			s.at = max(at, t+g.s.interval+bus.Second) // after its successor
		case 1, 2:
			g.s.samples = append(g.s.samples, s) // twice
		case 3:
			other := s
			other.v++ // twice, the second time with another value
			g.s.samples = append(g.s.samples, s)
			s = other
		}
		g.s.samples = append(g.s.samples, s)
	}
}
