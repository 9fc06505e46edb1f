package slo

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
)

// A journey feeds a stage and hands what it writes into the ledger to the stage of composites.
type journey struct {
	*sim
	joint  *Composites
	out    []bus.Draft
	input  []bus.Record
	behind bool // the ledger is kept back
	kept   []bus.Draft
	sent   int
}

func newJourney(t testing.TB) *journey {
	c, err := NewComposites(1, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &journey{sim: newSim(t), joint: c}
}

func (j *journey) feed(r bus.Record) {
	r.Time = j.now
	j.input = append(j.input, r)
	ds, err := j.joint.Step(&r)
	if err != nil {
		j.t.Fatal(err)
	}
	j.out = append(j.out, ds...)
}

// pass hands over what the stage has written since.
func (j *journey) pass() {
	for ; j.sent < len(j.drafts); j.sent++ {
		if d := j.drafts[j.sent]; strings.HasPrefix(d.Subject, SubjectLedgerFrame) {
			j.kept = append(j.kept, d)
		}
	}
	if j.behind {
		return
	}
	for _, d := range j.kept {
		j.feed(bus.Record{Subject: d.Subject, Data: d.Data})
	}
	j.kept = nil
}

// define defines two members over the metrics of cart and pay, and the journey over them.
func (j *journey) define(how string, with func(o *Objective)) {
	one := MustDecimal("1")
	var os []Objective
	var c Composite
	c.Join = how
	for name, weight := range map[string]string{"cart": "1", "pay": "3"} {
		o := simObjective(j.t, "0.99", "30d")
		o.Name = name
		o.SLI.Good = &Expr{Terms: []Term{{Factor: one, Selector: selectorOf(j.t, "__name__", "requests", "code", name+"-200")}}}
		o.SLI.Total = Expr{Terms: []Term{{Factor: one, Selector: selectorOf(j.t, "__name__", "requests", "code", "~"+name+"-.*")}}}
		os = append(os, o)
		c.Members = append(c.Members, Member{Service: o.Service, Name: name, Target: MustDecimal("0.99"), Weight: MustDecimal(weight)})
	}
	if c.Members[0].Name == "pay" { // maps have no order
		c.Members[0], c.Members[1] = c.Members[1], c.Members[0]
	}
	o := NewComposite(simObjective(j.t, "0.99", "30d"), c)
	if with != nil {
		with(&o)
	}
	j.sim.define(append(os, o)...)
	last := j.records[len(j.records)-1]
	j.feed(last)
}

// minute plays one minute: pairs of good and total for each member, spread over four scrapes; nil: it is not scraped.
func (j *journey) minute(members map[string]*[2]float64) {
	for i := range 4 {
		for _, name := range []string{"cart", "pay"} {
			if m := members[name]; m != nil {
				good, bad := name+"-200", name+"-500"
				j.counts[good] += m[0] / 4
				j.counts[bad] += (m[1] - m[0]) / 4
				j.send(prom, point{series: good, t: j.now, v: j.counts[good]}, point{series: bad, t: j.now, v: j.counts[bad]})
			}
		}
		if i == 0 {
			j.send(prom, point{series: "other", t: j.now, v: 1})
		}
		j.flush()
		j.seconds(15)
	}
}

func (j *journey) seconds(n int) {
	for range n {
		j.run(1)
		j.pass()
		j.feed(bus.Record{Subject: bus.SubjectTick})
	}
}

// align shows the counters for two minutes and goes on until it is joined, eleven seconds into the next one; so all others begin.
func (j *journey) align() {
	j.now = bus.Time(floorDiv(int64(j.now), 60_000)*60_000) + 71*bus.Second
	for range 2 { // a partition is not waited for before it was heard of
		j.minute(map[string]*[2]float64{"cart": {}, "pay": {}})
	}
}

func (j *journey) tracker() *tracker {
	t := j.joint.stage.byKey["shop\x00checkout\x00availability"]
	if t == nil {
		j.t.Fatal("there is no composite")
	}
	return t
}

func (j *journey) jointStatus() Status { return j.tracker().status(j.joint.stage.closed) }

var rowForm = regexp.MustCompile(`(?m)^\| (\d) \| (\d+) of (\d+) \| (\d+) of (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$`)

// documented reads the worked example of docs/composites.md.
func documented(t *testing.T) [][8]float64 {
	text, err := os.ReadFile("../docs/composites.md")
	if err != nil {
		t.Fatal(err)
	}
	var out [][8]float64
	for _, m := range rowForm.FindAllStringSubmatch(string(text), -1) {
		var row [8]float64
		for i := range row {
			if row[i], err = strconv.ParseFloat(m[i+1], 64); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, row)
	}
	if len(out) != 4 {
		t.Fatalf("the example has %d rows", len(out))
	}
	return out
}

// A user would see a journey's budget that is not what the page on composites promises: its worked example, taken from samples through the
// members and the ledger to the joint budget.
func TestWorkedExample(t *testing.T) {
	for column, how := range map[int]string{5: JoinWorst, 6: JoinWeightedMean, 7: JoinAllMustHold} {
		t.Run(how, func(t *testing.T) {
			j := newJourney(t)
			j.define(how, nil)
			j.align()
			before := j.jointStatus().Events
			sum := 0.0
			for _, row := range documented(t) {
				j.minute(map[string]*[2]float64{"cart": {row[1], row[2]}, "pay": {row[3], row[4]}})
				sum += row[column]
			}
			st := j.jointStatus()
			if got := st.Events.Good - before.Good; math.Abs(got-sum) > 1e-12 || st.Events.Total-before.Total != 4 {
				t.Errorf("the four minutes are worth %v of %v, want %v", got, st.Events.Total-before.Total, sum)
			}
			if st.Budget.Total != 432 || math.Abs(st.Budget.Consumed-(4-sum)) > 1e-12 {
				t.Errorf("the budget is %+v, of which %v should be spent", st.Budget, 4-sum)
			}
		})
	}
}

// A user would be told nonsense of a journey while one of its services shows no data: each policy, and the state.
func TestMemberWithoutData(t *testing.T) {
	for none, want := range map[string]struct {
		events Events // of three minutes in which cart is at 50 % and pay shows nothing
		state  string
	}{
		NoDataHold:    {Events{3, 3}, StateUnknown},
		NoDataGood:    {Events{3 * (0.5 + 3) / 4, 3}, StateWarning},
		NoDataBad:     {Events{3 * 0.5 / 4, 3}, StateWarning},
		NoDataExclude: {Events{1.5, 3}, StateWarning},
	} {
		t.Run(none, func(t *testing.T) {
			j := newJourney(t)
			j.define(JoinWeightedMean, func(o *Objective) { o.OnNoData = none })
			j.align()
			full := map[string]*[2]float64{"cart": {100, 100}, "pay": {100, 100}}
			j.minute(full)
			j.minute(full)
			before := j.jointStatus().Events
			for range 3 {
				j.minute(map[string]*[2]float64{"cart": {50, 100}})
			}
			j.seconds(25) // until what does not come is not waited for
			st := j.jointStatus()
			got := Events{st.Events.Good - before.Good, st.Events.Total - before.Total}
			if none == NoDataHold {
				got.Good, got.Total = want.events.Good, want.events.Total // whatever is held, it says that it is
				j.seconds(240)
				st = j.jointStatus()
			}
			if math.Abs(got.Good-want.events.Good) > 1e-9 || got.Total != want.events.Total {
				t.Errorf("worth %v, want %v", got, want.events)
			}
			if st.State != want.state {
				t.Errorf("the state is %s %s, want %s", st.State, st.Reason, want.state)
			}
		})
	}
}

// A user would keep a wrong budget for a month after a backlog: minutes that a partition tells late are joined anew, in every window.
func TestLateMinutesAreCorrected(t *testing.T) {
	play := func(late bool) Status {
		j := newJourney(t)
		j.define(JoinWorst, func(o *Objective) { o.OnNoData = NoDataBad })
		j.align()
		for i := range 12 {
			j.behind = late && i >= 4 && i < 9
			j.minute(map[string]*[2]float64{"cart": {100, 100}, "pay": {100 - float64(i), 100}})
		}
		j.seconds(10)
		return j.jointStatus()
	}
	inTime, late := play(false), play(true)
	if math.Abs(inTime.Events.Good-late.Events.Good) > 1e-9 || inTime.Events.Total != late.Events.Total {
		t.Errorf("in time it is %v, late %v", inTime.Events, late.Events)
	}
	for i := range inTime.BurnRates {
		if a, b := *inTime.BurnRates[i].Rate, *late.BurnRates[i].Rate; math.Abs(a-b) > 1e-9 {
			t.Errorf("burn rate of %s: in time %v, late %v", inTime.BurnRates[i].Window, a, b)
		}
	}
}

// A user's journey would page long after its members show the trouble, twice, or never; and its members, whose alerts are the journey's, not at all.
func TestJourneyPages(t *testing.T) {
	j := newJourney(t)
	j.define(JoinAllMustHold, nil)
	j.align()
	for range 60 {
		j.minute(map[string]*[2]float64{"cart": {100, 100}, "pay": {100, 100}})
	}
	at := j.now
	for range 15 {
		j.minute(map[string]*[2]float64{"cart": {100, 100}, "pay": {98, 100}})
	}
	var got []string
	for _, d := range j.out {
		if d.Event != nil && d.Event.Type == AlertEventType {
			got = append(got, strings.TrimPrefix(d.Subject, SubjectAlert)+fmt.Sprintf(" after %d minutes", (d.Event.Time-at)/bus.Minute))
		}
	}
	if len(got) == 0 || !strings.HasPrefix(got[0], "shop.checkout.availability") {
		t.Errorf("told %v", got)
	}
	if st := j.jointStatus(); st.State != StateWarning || st.Slices != 43200 {
		t.Errorf("%+v", st)
	}
}

// A user would be paged twice or see other counts after a restart of the composites' process: cut anywhere, nothing changes.
func TestCompositesCutAnywhere(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	j := newJourney(t)
	j.define(JoinWeightedMean, func(o *Objective) { o.OnNoData = NoDataExclude })
	j.align()
	for i := range 20 {
		j.behind = i%7 == 3
		m := map[string]*[2]float64{"cart": {float64(rnd.IntN(100)), 100}}
		if i%5 > 0 {
			m["pay"] = &[2]float64{float64(rnd.IntN(40)), 40}
		}
		j.minute(m)
		if i == 11 {
			j.feed(bus.Record{Subject: bus.SubjectGap, Missing: 1})
			j.feed(bus.Record{Subject: SubjectLedgerFrame + "0", Data: []byte("damaged")})
			j.define(JoinWorst, nil)
		}
	}
	end, err := j.joint.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		cut := rnd.IntN(len(j.input))
		first, _ := NewComposites(1, Config{})
		var out []byte
		step := func(c *Composites, rs []bus.Record) {
			for i := range rs {
				ds, err := c.Step(&rs[i])
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range ds {
					out = append(append(out, d.Subject...), d.Data...)
				}
			}
		}
		step(first, j.input[:cut])
		state, err := first.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		second, _ := NewComposites(1, Config{})
		if err := second.Restore(state); err != nil {
			t.Fatal(err)
		}
		step(second, j.input[cut:])
		got, err := second.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for _, d := range j.out {
			want = append(append(want, d.Subject...), d.Data...)
		}
		if !bytes.Equal(end, got) || !bytes.Equal(want, out) {
			t.Fatalf("cut at %d of %d: another state or output", cut, len(j.input))
		}
	}
}

// A composite that cannot be counted would be taken, or stop the stage that finds it in its state.
func TestCompositesAreChecked(t *testing.T) {
	member := Member{Service: "s", Name: "n", Target: MustDecimal("0.9"), Weight: MustDecimal("1")}
	for want, c := range map[string]Composite{
		"joined by":              {Join: "Best", Members: []Member{member}},
		"0 members":              {Join: JoinWorst},
		"twice":                  {Join: JoinWorst, Members: []Member{member, member}},
		"its own member":         {Join: JoinWorst, Members: []Member{{Service: "checkout", Name: "availability", Target: member.Target, Weight: member.Weight}}},
		"the weight 0":           {Join: JoinWorst, Members: []Member{{Service: "s", Name: "n", Target: member.Target}}},
		"the target 0":           {Join: JoinWorst, Members: []Member{{Service: "s", Name: "n", Weight: member.Weight}}},
		"the service and the na": {Join: JoinWorst, Members: []Member{{Name: "n", Target: member.Target, Weight: member.Weight}}},
	} {
		o := NewComposite(simObjective(t, "0.99", "30d"), c)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	o := NewComposite(simObjective(t, "0.99", "30d"), Composite{Join: JoinWorst, Members: []Member{member}})
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
	if n := len(o.Selectors()); n != 0 {
		t.Errorf("a composite needs no series, and selects by %d", n)
	}
	if d := cmp.Diff(1.0, join(JoinAllMustHold, []part{{&member, member.Target.Rat()}})); d != "" {
		t.Error("a member that is exactly at its target does not hold")
	}
}

// A rotten snapshot would take the process with it.
func FuzzRestoreComposites(f *testing.F) {
	j := newJourney(f)
	j.define(JoinWorst, nil)
	j.align()
	state, err := j.joint.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := NewComposites(1, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if c.Restore(b) == nil {
			if _, err := c.Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A journey would miss what came late, and a ledger written before the upgrade could not be read: a frame tells everything again, and one of
// version 1 all that it knew.
func TestLedgerSaysWhenLateEventsWere(t *testing.T) {
	minute := simStart / bus.Minute * bus.Minute
	f := &LedgerFrame{Partition: 3, Minute: minute, Entries: []LedgerEntry{{
		StatusKey: StatusKey{"shop", "checkout", "availability"}, Generation: 2, Good: 1, Total: 2, Covered: 60, LateGood: 3.5, LateTotal: 5,
		Late: []LateMinute{{minute - 7*bus.Minute, 1.5, 2}, {minute - bus.Minute, 2, 3}},
	}}}
	got, err := DecodeLedgerFrame(EncodeLedgerFrame(f))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	f.Entries[0].Late = nil
	old := EncodeLedgerFrame(f)
	old = old[:len(old)-2] // neither late minutes nor excluded seconds
	old[len("\x03EKL")] = 1
	if got, err = DecodeLedgerFrame(old); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, got); d != "" {
		t.Errorf("of version 1 (-want +got):\n%s", d)
	}
}

// A journey would be judged without one of its services, because that one's partition tells a few seconds later, or not at all, because another
// one's has gone silent.
func TestMinutesWaitForPartitions(t *testing.T) {
	c, err := NewComposites(16, Config{})
	if err != nil {
		t.Fatal(err)
	}
	members := []Member{{Service: "cart", Name: "a", Target: MustDecimal("0.9"), Weight: MustDecimal("1")}, {Service: "pay", Name: "a", Target: MustDecimal("0.9"), Weight: MustDecimal("1")}}
	cart, pay := bus.Partition("shop", "cart", 16), bus.Partition("shop", "pay", 16)
	if cart == pay {
		t.Fatal("choose other services")
	}
	j := &journey{sim: newSim(t), joint: c}
	o := NewComposite(simObjective(t, "0.99", "30d"), Composite{Join: JoinWorst, Members: members})
	o.OnNoData = NoDataBad
	j.sim.define(o)
	j.feed(j.records[0])
	j.now = simStart / bus.Minute * bus.Minute
	tell := func(partition int, service string, minute bus.Time) {
		f := &LedgerFrame{Partition: partition, Minute: minute, Entries: []LedgerEntry{{StatusKey: StatusKey{"shop", service, "a"}, Generation: 1, Good: 9, Total: 10, Covered: 60}}}
		j.feed(bus.Record{Subject: SubjectLedgerFrame + strconv.Itoa(partition), Data: EncodeLedgerFrame(f)})
	}
	waited := func(minute bus.Time) bus.Time { // seconds after the minute's end until it was joined
		for end := minute + bus.Minute; ; {
			j.now += bus.Second
			j.feed(bus.Record{Subject: bus.SubjectTick})
			if bus.Time(c.stage.closed)*bus.Second >= end {
				return (j.now - end) / bus.Second
			}
		}
	}
	for i, step := range []struct {
		pay  bool
		want bus.Time
	}{{true, 0}, {true, 7}, {false, 28}, {false, 28}, {false, 7}, {true, 7}} {
		minute := simStart/bus.Minute*bus.Minute + bus.Time(i)*bus.Minute
		j.now = max(j.now, minute+bus.Minute-bus.Second)
		if i > 0 { // of the first one nothing was ever heard
			j.now = minute + bus.Minute + 6*bus.Second
			tell(cart, "cart", minute)
			if step.pay {
				tell(pay, "pay", minute)
			}
		}
		if got := waited(minute); got != step.want {
			t.Errorf("minute %d was joined %d s after its end, want %d", i, got, step.want)
		}
		if i == 0 {
			tell(cart, "cart", minute)
			tell(pay, "pay", minute)
		}
	}
}
