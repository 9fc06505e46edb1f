package slo

import (
	"math/big"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

const markData = 1

// Rules of data that is there, and of data that is not.
const (
	// maxSpan is the longest time between two samples over which the later one's increase is said to cover the time; it is
	// Prometheus' lookback.
	maxSpan = 300
	// minStale is the least time without data, in seconds, after which an SLO is UNKNOWN; otherwise four of its own intervals.
	minStale = 120
	// completeSlice is the length, in seconds, of the slice that ends a gap.
	completeSlice = 10
	// limitHold is how long an SLO stays UNKNOWN after a series was refused: two rounds of announcements.
	limitHold = 11 * bus.Minute
)

// A tracker counts one SLO.
type tracker struct {
	slot       int32
	generation uint32 // rises when the SLI changes
	ref        mesh.Ref
	key        string
	o          Objective
	sli        string   // the SLI in canonical JSON, to see a change
	defined    bus.Time // record time when this generation was defined
	back       int64    // minute from which on history was counted too; 0: none was
	budget     odds     // 1 - target
	than       float64  // what values are compared with
	tiers      []Tier
	pairs      [][]pair // by tier
	windows    []Duration

	rings  rings
	slicer *slicer // nil where events are counted
	period int64   // of the budget window for which the factors stand, see configure
	marks  [pendingBins]uint8
	lumps  []lump
	cut    cut // what does not count
	shape  *shape

	rollUp    *tracker // of a group; else nil
	groups    int      // SLOs of groups
	grouped   int      // series that count in one of them
	ungrouped string   // why a series does not
	idle      uint8    // of a group: sweeps without data, see groupSweeps

	series   int
	fed      bus.Time // record time of the last sample
	data     int64    // newest second that is closed and has data; 0: none yet
	interval int64    // between seconds with data; a slow maximum
	badAt    int64    // newest second with a value that no counter can have
	limitAt  bus.Time // record time when a series was refused
	bounds   []wanted // of classic histograms, that the SLI asks for

	gapReason string
	gapAfter  int64 // a slice that begins after this second ends the gap
	broken    bool  // the time since the last data is not covered, whatever comes

	revision uint64       // of the catalogue, when the SLI was defined
	unproven bus.Time     // event time up to which ingest may have matched arrivals without this SLI, see Stage.outdated
	minute   entry        // of the ledger, being filled
	late     []LateMinute // of that entry, ascending

	state  string
	reason string
	sliBad bool
	alerts []alert
	fired  []fired // the newest firings, ascending
	dirty  bool    // to be told within a second
}

// A lump is an increase over a long time that waits for its second to close.
type lump struct {
	second int64
	least  Duration
	c      cell
}

// maxLumps bounds the lumps that wait: seconds ahead of the watermark times the windows that tell them apart would be more than ever
// comes; what is over is added to the last one.
const maxLumps = 256

// odds is a fraction of two whole numbers, so that comparisons of counts are exact.
type odds struct{ num, den float64 }

func oddsOf(r *big.Rat) odds {
	n, _ := new(big.Float).SetInt(r.Num()).Float64()
	d, _ := new(big.Float).SetInt(r.Denom()).Float64()
	return odds{n, d}
}

// A pair is a burn pair with the rings it reads and its factor as a fraction.
type pair struct {
	long, short int
	factor      odds
}

// configure derives what follows from the objective's target and tiers.
func (t *tracker) configure() {
	t.budget = oddsOf(new(big.Rat).Sub(big.NewRat(1, 1), t.o.Target.Rat()))
	if g := t.o.SLI.Gauge; g != nil {
		t.than = g.Value.Float()
	}
	t.tiers = t.o.Tiers()
	t.windows = burnWindows(t.o.tiersOf(t.o.Window.Duration), t.o.Window.Duration)
	t.period = 0
	t.pair()
}

// pair derives what the tiers' window pairs are compared with.
func (t *tracker) pair() {
	t.pairs = nil
	for _, tier := range t.tiers {
		var ps []pair
		for _, p := range tier.Pairs {
			ps = append(ps, pair{long: t.windowIndex(p.Long), short: t.windowIndex(p.Short), factor: oddsOf(p.Factor.Rat())})
		}
		t.pairs = append(t.pairs, ps)
	}
}

// scale gives the default tiers the factors of the period at hand: a factor is a share of the budget of the whole window, and months
// have 28 to 31 days.
func (t *tracker) scale() {
	if t.rings.calendar == nil || t.period == t.rings.from {
		return
	}
	t.period = t.rings.from
	t.tiers = t.o.tiersFor(t.rings.budget().length)
	t.pair()
}

func (t *tracker) windowIndex(d Duration) int {
	for i, w := range t.windows {
		if w == d {
			return i
		}
	}
	return 0
}

// close folds the seconds from and including first up to before end into the windows.
func (t *tracker) close(first, end int64) {
	t.exclude(first, end)
	if t.fed == 0 {
		t.rings.advance(end - 1) // nothing ever came
		return
	}
	for second := first; second < min(end, first+pendingBins); second++ {
		i := second % pendingBins
		if t.marks[i] == 0 {
			continue
		}
		b := t.rings.bins[i]
		t.rings.bins[i], t.marks[i] = cell{}, 0
		t.count(second, b, 0)
	}
	t.closeLumps(end)
	if t.slicer != nil {
		t.finish(end)
	}
	t.rings.advance(end - 1)
	t.scale()
}

// count puts what came in a second that closes into the windows.
func (t *tracker) count(second int64, c cell, least Duration) {
	if t.slicer != nil {
		t.finish(second)
	}
	t.rings.advance(second)
	switch {
	case t.cut.holds(second): // no part of any window
	case t.slicer != nil:
		t.slice(second, c)
	default:
		t.rings.add(second, c, least)
		t.minute.good += c.good
		t.minute.total += c.total
	}
	t.saw(second)
}

func (t *tracker) closeLumps(end int64) {
	kept := t.lumps[:0]
	for _, l := range t.lumps {
		if l.second >= end {
			kept = append(kept, l)
			continue
		}
		t.count(l.second, l.c, l.least)
	}
	if t.lumps = kept; len(kept) == 0 {
		t.lumps = nil
	}
}

// saw notes that a second has data: it covers the time since the data before, unless that is too long ago or samples are missing.
func (t *tracker) saw(second int64) {
	if second <= t.data {
		return
	}
	first := second
	if gap := second - t.data; t.data > 0 && gap <= maxSpan {
		t.interval = max(gap, t.interval-(t.interval-gap+7)/8)
		if !t.broken {
			first = t.data + 1
		}
	}
	if second > t.gapAfter {
		t.broken = false
	}
	if !t.broken {
		t.cover(first, second)
	}
	if t.data == 0 {
		t.dirty = true
	}
	t.data = second
}

// correct adds a sample behind the watermark to its slices.
func (t *tracker) correct(second int64, c cell, least Duration) {
	switch {
	case t.cut.holds(second):
	case t.slicer != nil:
		t.slice(second, c)
	default:
		t.rings.add(second, c, least)
		t.minute.lateGood += c.good
		t.minute.lateTotal += c.total
		t.lateAt(second, c)
	}
	t.saw(second)
}

func (t *tracker) pendLump(second int64, c cell, least Duration) {
	for i := range t.lumps {
		l := &t.lumps[i]
		if l.second == second && t.sameWindows(l.least, least) || i == maxLumps-1 {
			l.c.good += c.good
			l.c.total += c.total
			return
		}
	}
	t.lumps = append(t.lumps, lump{second, least, c})
}

// sameWindows reports whether two ages are counted in the same windows.
func (t *tracker) sameWindows(a, b Duration) bool {
	for _, w := range t.windows {
		if (w >= a) != (w >= b) {
			return false
		}
	}
	return true
}

// unknown returns why the SLO cannot be told at a second of event time, or "". now is the record time.
func (t *tracker) unknown(at int64, now bus.Time) string {
	limit := max(minStale, 4*t.interval)
	switch {
	case t.cut.holds(at - 1):
		return ReasonExcluded
	case t.o.Unread != nil:
		return t.o.Unread.Reason
	case t.limitAt > 0 && now-t.limitAt <= limitHold:
		return ReasonSeriesLimit
	case len(t.bounds) > 0 && t.missing(now) != nil, t.noBounds(now):
		return ReasonNoSuchBucket
	case t.gapReason != "":
		return t.gapReason
	case t.data > 0 && (at-t.data <= limit || t.o.noData() != NoDataHold):
		return "" // or the objective says what no data means
	case t.badAt > t.data && at-t.badAt <= limit:
		return ReasonBadData
	case t.data == 0:
		return ReasonNoDataYet
	case t.fed > 0 && now-t.fed <= bus.Minute:
		return ReasonBehind
	}
	return ReasonNoData
}

// endGap ends a gap once a slice after it is whole.
func (t *tracker) endGap(closed int64) {
	if t.gapReason == "" {
		return
	}
	first := (floorDiv(t.gapAfter, completeSlice) + 1) * completeSlice
	if closed >= first+completeSlice && t.data >= first {
		t.gapReason = ""
	}
}

// over reports whether a count burns faster than factor times the budget allows; exactly, as long as counts and their products with
// the target's digits are below 2^53.
func (b odds) over(good, total float64, factor odds) bool {
	return total > 0 && (total-good)*b.den*factor.den > total*b.num*factor.num
}

// rate returns the burn rate, false where there are no events.
func (b odds) rate(good, total float64) (float64, bool) {
	if total <= 0 {
		return 0, false
	}
	return (total - good) * b.den / (total * b.num), true
}

// burn returns what a burn window has counted in its length before closed: what it holds, less the share by time of its oldest slice
// that is older. So with steady traffic a window is as long as it says, to the second. Slices of time are whole.
// Whether the SLI meets the objective is judged without this: a share in whole events would tip it to and fro where it is just met.
func (t *tracker) burn(i int, closed int64) cell {
	r := &t.rings.rings[i]
	oldest := r.head - int64(r.n) + 1
	old := t.rings.cell(r, oldest)
	over := min(closed-int64(r.length)/1000-oldest*r.width, r.width)
	if over <= 0 || old.total == 0 || t.slicer != nil {
		return cell{r.good, r.total}
	}
	older := old.share(over, r.width)
	return cell{r.good - older.good, r.total - older.total}
}

// judge brings state and reason up to date and reports whether one of them changed.
func (t *tracker) judge(closed int64, now bus.Time) bool {
	state, reason := t.state, t.reason
	short, whole := &t.rings.rings[t.windowIndex(sliWindow)], t.rings.budget()
	t.sliBad = false
	if r := t.unknown(secondOf(now)-lagAllowed, now); r != "" {
		t.state, t.reason = StateUnknown, r
		if r == ReasonExcluded {
			t.cut.at = secondOf(now) - lagAllowed - 1
		}
	} else {
		t.sliBad = t.burnsNow()
		total := whole.total
		if t.slicer != nil && total > 0 {
			total = t.expected(closed)
		}
		spent := total > 0 && (whole.total-whole.good)*t.budget.den >= total*t.budget.num
		t.state, t.reason = stateOf(t.sliBad, spent, short.total > 0 || t.slicer != nil)
	}
	return t.state != state || t.reason != reason
}

// lagAllowed is what data may always be behind the log's time, in seconds: the lateness and the way.
const lagAllowed = 6

func stateOf(sliBad, spent, traffic bool) (state, reason string) {
	switch {
	case sliBad && spent:
		return StateViolation, ReasonMissesObjective
	case sliBad:
		return StateWarning, ReasonMissesObjective
	case spent && !traffic:
		return StateExhausted, ReasonNoTraffic
	case spent:
		return StateExhausted, ReasonBudgetSpent
	case !traffic:
		return StateHealthy, ReasonNoTraffic
	}
	return StateHealthy, ReasonMeetsObjective
}

// message says more of a reason that alone does not say what to do.
func (t *tracker) message(now bus.Time) string {
	switch {
	case t.o.Unread != nil:
		return t.o.Unread.Message
	case t.reason != ReasonNoSuchBucket:
	case t.noBounds(now):
		return t.boundsMessage()
	default:
		if w := t.missing(now); w != nil {
			return w.message()
		}
	}
	return ""
}

// status renders the tracker.
func (t *tracker) status(closed int64) Status {
	st := t.counts(closed)
	st.derive()
	return st
}

// figures are the counts with what decides nothing beside them.
func (t *tracker) figures(closed int64, now bus.Time) Status {
	st := t.counts(closed)
	st.Message, st.Percentiles, st.Interpolation = t.message(now), t.percentiles(closed, now), t.interpolation(closed)
	return st
}

// counts renders what a status frame holds: all but what follows from counts and objective.
func (t *tracker) counts(closed int64) Status {
	b := t.rings.budget()
	st := Status{
		GlobalNamespace: t.o.GlobalNamespace, Service: t.o.Service, Name: t.o.Name,
		Objective: t.o.Target, Window: t.o.Window.brief(), Method: t.o.Method,
		State: t.state, Reason: t.reason, SLIBad: t.sliBad, CountedFrom: Moment(t.began() * 1000),
		Events:   Events{Good: b.good, Total: b.total},
		Coverage: t.rings.coverage(t.began(), closed-1, t.excludedSeconds(closed)), Excluded: t.excluded(closed),
		AsOf:   Moment(closed * int64(bus.Second)),
		RollUp: t.o.RollUp, Group: t.o.Group, Groups: t.groupStatus(),
	}
	if t.state == "" {
		st.State, st.Reason = StateUnknown, ReasonNoDataYet
	}
	if t.slicer != nil {
		st.Slice, st.Slices = t.o.Slice.Length, t.expected(closed)
	}
	if t.rings.calendar != nil {
		st.Period = &Period{From: Moment(t.rings.from * 1000), Until: Moment(t.rings.until * 1000)}
	}
	if t.state != StateUnknown && t.state != "" {
		st.Forecast = t.forecast(closed)
	}
	for i, w := range t.windows {
		r := t.burn(i, closed)
		br := BurnRate{Window: w}
		if rate, ok := t.budget.rate(r.good, r.total); ok {
			br.Rate = &rate
		}
		st.BurnRates = append(st.BurnRates, br)
	}
	for i := range t.alerts {
		st.Alerts = append(st.Alerts, AlertStatus{Tier: t.tiers[i].Name, State: t.alerts[i].shown(), Since: Moment(t.alerts[i].since)})
	}
	return st
}

// derive fills SLI and budget from the counts and the objective.
func (st *Status) derive() {
	good, total := st.Events.Good, st.Events.Total
	budget := oddsOf(new(big.Rat).Sub(big.NewRat(1, 1), st.Objective.Rat()))
	st.SLI = nil
	whole := total
	if st.Slice > 0 {
		whole = st.Slices
	}
	st.Budget = Budget{Total: whole * budget.num / budget.den, Consumed: total - good}
	st.Budget.Remaining = st.Budget.Total - st.Budget.Consumed
	if total > 0 && st.Budget.Total > 0 {
		ratio := st.Budget.Remaining / st.Budget.Total
		st.Budget.RemainingRatio = &ratio
		g, t := new(big.Rat), new(big.Rat)
		if g.SetFloat64(good) != nil && t.SetFloat64(total) != nil {
			sli := DecimalOf(g.Quo(g, t), 12)
			if !isWhole(cell{good, total}) { // its last digits are rounding anyway
				sli = MustDecimal(trimZeros(g.FloatString(12)))
			}
			st.SLI = &sli
		}
	}
}
