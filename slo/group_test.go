package slo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// byInstance is an objective with a group for each instance.
func byInstance(t testing.TB, with func(o *Objective)) Objective {
	o := simObjective(t, "0.99", "7d")
	o.DisplayName = "Answers"
	o.GroupBy = []string{"instance"}
	o.Alerting.Tiers = []Tier{{Name: "page", Severity: "page", Pairs: []BurnPair{{Long: Duration(10 * bus.Minute), Short: Duration(bus.Minute), Factor: MustDecimal("2")}}}}
	o.Alerting.Annotations = map[string]string{"description": "d"}
	if with != nil {
		with(&o)
	}
	return o
}

// answer sends what instances answer every ten seconds: a hundred good events each, and as many bad ones as stand beside it.
func (s *sim) answer(rounds int, bad map[string]float64) {
	for range rounds {
		s.good += 100
		for _, i := range sortedInstances(bad) {
			s.counts["200@"+i] += 100
			s.counts["500@"+i] += bad[i]
			s.send(prom, point{series: "200@" + i, t: s.now, v: s.counts["200@"+i]}, point{series: "500@" + i, t: s.now, v: s.counts["500@"+i]})
		}
		s.flush()
		s.run(10)
	}
}

func sortedInstances(m map[string]float64) []string {
	var out []string
	for i := range m {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// again announces all series but those of some instances, as a writer does after a change of definitions.
func (s *sim) again(gone ...string) {
	var all []string
	for series := range s.refs {
		if _, instance, _ := strings.Cut(series, "@"); !slices.Contains(gone, instance) {
			all = append(all, series)
		}
	}
	slices.Sort(all)
	for _, series := range all {
		s.announce(series, s.refs[series], 0)
	}
	if len(all) > 0 {
		s.flush()
	}
}

// names lists the SLOs with their generation.
func (s *sim) names() []string {
	var out []string
	for _, t := range s.stage.order {
		out = append(out, fmt.Sprintf("%s %d", t.o.Name, t.generation))
	}
	return out
}

func (s *sim) statusOf(name string) Status {
	s.t.Helper()
	t := s.stage.byKey["shop\x00checkout\x00"+name]
	if t == nil {
		s.t.Fatalf("there is no %s: %v", name, s.names())
	}
	return t.status(s.stage.closed)
}

// told returns alert events as "slo tier state reason".
func (s *sim) told() []string {
	var out []string
	for _, d := range s.drafts {
		if d.Event == nil || d.Event.Type != AlertEventType {
			continue
		}
		var e AlertEvent
		if err := json.Unmarshal(d.Data, &e); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, strings.Join([]string{e.SLO, e.Tier, e.State, e.Reason}, " "))
	}
	return out
}

// A user would see one bad region drowned in the sum of all, or the sum differ from its parts: each value of the label has an SLO of its
// own with its own budget and pages, and the roll-up counts them all and leaves paging to them.
func TestGroups(t *testing.T) {
	s := newSim(t)
	s.define(byInstance(t, nil))
	s.answer(60, map[string]float64{"eu-1": 0, "us 1": 0})
	s.answer(30, map[string]float64{"eu-1": 0, "us 1": 50})
	all, eu, us := s.statusOf("availability"), s.statusOf("availability_eu-1"), s.statusOf("availability_us~201")
	if got, want := all.Events, (Events{eu.Events.Good + us.Events.Good, eu.Events.Total + us.Events.Total}); got != want || eu.Events.Total == 0 || us.Events.Good == us.Events.Total {
		t.Errorf("the roll-up has %v, its groups %v and %v", got, eu.Events, us.Events)
	}
	if d := cmp.Diff([]string{"availability_us~201 page firing BurnRateHigh"}, s.told()); d != "" {
		t.Errorf("alerts (-want +got):\n%s", d)
	}
	if d := cmp.Diff(&Groups{By: []string{"instance"}, Count: 2, Max: DefaultMaxGroups}, all.Groups); d != "" {
		t.Errorf("groups (-want +got):\n%s", d)
	}
	if us.RollUp != "availability" || us.Group["instance"] != "us 1" || eu.State != StateHealthy || us.State != StateViolation && us.State != StateWarning {
		t.Errorf("the groups: %+v, %+v", eu, us)
	}
	if len(all.BurnRates) != len(us.BurnRates) || len(all.Alerts) != 0 || len(us.Alerts) != 1 {
		t.Errorf("%d burn rates and %d alerts of the roll-up, %d and %d of a group", len(all.BurnRates), len(all.Alerts), len(us.BurnRates), len(us.Alerts))
	}
	o := s.stage.byKey["shop\x00checkout\x00availability_us~201"].o
	if d := cmp.Diff(map[string]string{"description": "d", "group_instance": "us 1"}, o.Alerting.Annotations); d != "" || o.DisplayName != "Answers (us 1)" {
		t.Errorf("annotations of %q (-want +got):\n%s", o.DisplayName, d)
	}
}

// A user who asks for one page for all regions would get one for each, or none at all.
func TestWhoAlerts(t *testing.T) {
	for alerts, want := range map[string][]string{
		"":                {"availability_a", "availability_b"},
		GroupAlertsGroups: {"availability_a", "availability_b"},
		GroupAlertsRollUp: {"availability"},
		GroupAlertsBoth:   {"availability", "availability_a", "availability_b"},
	} {
		s := newSim(t)
		s.define(byInstance(t, func(o *Objective) { o.GroupAlerts = alerts }))
		s.answer(30, map[string]float64{"a": 50, "b": 50})
		var got []string
		for _, line := range s.told() {
			if name, ok := strings.CutSuffix(line, " page firing BurnRateHigh"); ok {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", alerts, d)
		}
	}
}

// A user whose label has a thousand values would lose memory, other people's SLOs or, in silence, events (SAFETY 16): over the bound the
// roll-up counts what else comes and says so, and others count as before.
func TestGroupsAreBounded(t *testing.T) {
	s := newSim(t)
	other := simObjective(t, "0.99", "7d")
	other.Name = "other"
	s.define(byInstance(t, func(o *Objective) { o.MaxGroups = 3 }), other)
	bad := map[string]float64{strings.Repeat("long", 100): 0}
	for i := range 9 {
		bad[fmt.Sprint("i", i)] = 0
	}
	s.answer(30, bad)
	st := s.statusOf("availability")
	if d := cmp.Diff(&Groups{By: []string{"instance"}, Count: 3, Max: 3, Ungrouped: 14, Reason: st.Groups.Reason}, st.Groups); d != "" || st.Groups.Reason == "" {
		t.Errorf("groups, with a reason (-want +got):\n%s", d)
	}
	if o := s.statusOf("other"); st.Events != o.Events || o.State != StateHealthy || st.State != StateHealthy {
		t.Errorf("the roll-up is %s with %v, the other one %s with %v", st.State, st.Events, o.State, o.Events)
	}
	if d := cmp.Diff([]string{"availability 1", "availability_i0 1", "availability_i1 1", "availability_i2 1", "other 1"}, s.names()); d != "" {
		t.Errorf("SLOs (-want +got):\n%s", d)
	}
	if n := s.stage.Stats.SeriesUngrouped.Load(); n != 14 {
		t.Errorf("%d announcements are counted as without a group", n)
	}
}

// A user would keep paging SLOs of pods that are gone for good, or lose every group's budget because the sender was down for a night.
func TestGroupEnds(t *testing.T) {
	s := newSim(t)
	s.define(byInstance(t, func(o *Objective) { o.MaxGroups = 2 }))
	s.answer(60, map[string]float64{"a": 0, "b": 50})
	s.answer(6, map[string]float64{"a": 0, "c": 0})
	if d := cmp.Diff([]string{"availability 1", "availability_a 1", "availability_b 1"}, s.names()); d != "" {
		t.Fatalf("before (-want +got):\n%s", d)
	}
	s.run(6 * 3600) // all is silent: who knows
	if d := cmp.Diff([]string{"availability 1", "availability_a 1", "availability_b 1"}, s.names()); d != "" {
		t.Fatalf("after a night without any data (-want +got):\n%s", d)
	}
	s.answer(1, map[string]float64{"a": 0, "c": 0})
	s.again("b")
	s.answer(6*360, map[string]float64{"a": 0, "c": 0})
	s.again("b")
	s.answer(6, map[string]float64{"a": 0, "c": 0})
	if d := cmp.Diff([]string{"availability 1", "availability_a 1", "availability_c 1"}, s.names()); d != "" {
		t.Errorf("after six hours without b (-want +got):\n%s", d)
	}
	told := s.told()
	if last := told[len(told)-1]; last != "availability_b page resolved GroupEnded" {
		t.Errorf("the last alert is %q", last)
	}
	if g := s.statusOf("availability").Groups; g.Ungrouped != 0 || g.Reason != "" {
		t.Errorf("there is room again: %+v", g)
	}
}

// A user who edits a grouped SLO would lose the groups' budgets, or keep SLOs that mean something else now.
func TestGroupsFollowTheDefinition(t *testing.T) {
	for name, c := range map[string]struct {
		with   func(o *Objective)
		want   []string
		kept   bool
		reason string // of the end of b's alert
	}{
		"another target": {func(o *Objective) { o.Target = MustDecimal("0.95") }, []string{"availability 1", "availability_a 1", "availability_b 1"}, true, ""},
		"another window": {func(o *Objective) { o.Window.Duration = Duration(28 * bus.Day) }, []string{"availability 1", "availability_a 1", "availability_b 1"}, true, ""},
		"another SLI":    {func(o *Objective) { o.SLI.Good, o.SLI.Bad = nil, o.SLI.Good }, []string{"availability 2", "availability_a 2", "availability_b 2"}, false, "SLIChanged"},
		"other labels":   {func(o *Objective) { o.GroupBy = []string{"code"} }, []string{"availability 1", "availability_200 1", "availability_500 1"}, false, "GroupRemoved"},
		"no labels":      {func(o *Objective) { o.GroupBy = nil }, []string{"availability 1"}, false, "GroupRemoved"},
		"fewer groups":   {func(o *Objective) { o.MaxGroups = 1 }, []string{"availability 1", "availability_b 1"}, true, ""},
		"other alerts":   {func(o *Objective) { o.GroupAlerts = GroupAlertsRollUp }, []string{"availability 1", "availability_a 1", "availability_b 1"}, true, "AlertingChanged"},
		"another name":   {func(o *Objective) { o.Name = "renamed" }, []string{"renamed 1", "renamed_a 1", "renamed_b 1"}, false, "Renamed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.define(byInstance(t, nil))
			s.answer(60, map[string]float64{"a": 0, "b": 50})
			before := s.statusOf("availability_b").Events
			s.drafts = nil
			s.define(byInstance(t, c.with))
			s.again()
			if d := cmp.Diff(c.want, s.names()); d != "" {
				t.Fatalf("SLOs (-want +got):\n%s", d)
			}
			if c.kept && s.statusOf("availability_b").Events != before {
				t.Errorf("events %v, before %v", s.statusOf("availability_b").Events, before)
			}
			if c.reason != "" && !slices.Contains(s.told(), "availability_b page resolved "+c.reason) {
				t.Errorf("told %v", s.told())
			}
			s.answer(6, map[string]float64{"a": 0, "b": 0})
			sum := 0
			for _, g := range s.stage.order {
				if g.rollUp != nil {
					sum += g.series
				}
			}
			if tr := s.stage.byKey["shop\x00checkout\x00"+strings.Fields(c.want[0])[0]]; tr.grouped != sum || tr.series != 4 {
				t.Errorf("%d series, %d in groups, the groups have %d", tr.series, tr.grouped, sum)
			}
			s.change(mesh.Change{Accepted: true, Deleted: []mesh.Ref{{APIVersion: "openslo/v1", Kind: "SLO", Namespace: "default", Name: "a"}}})
			if len(s.names()) != 0 || s.stage.groupCount != 0 {
				t.Errorf("deleted, and there are still %v", s.names())
			}
		})
	}
}

// A user would lose the first errors of a region, in the region's budget and in the roll-up's, although the roll-up was watching: the group's
// SLO is made by the very series that brings them.
func TestFirstErrorOfAGroupCounts(t *testing.T) {
	s := newSim(t)
	s.define(byInstance(t, func(o *Objective) { o.GroupBy = []string{"code"} }))
	s.watch(4)
	s.child(prom, "500@a")
	if st := s.statusOf("availability_500"); st.Events.Total != 110 {
		t.Errorf("the group counted %v", st.Events)
	}
	if st := s.statusOf("availability"); st.Events.Total != 110 {
		t.Errorf("the roll-up counted %v", st.Events)
	}
}

// Two groups would share one budget, or a group overwrite somebody's SLO.
func TestGroupNames(t *testing.T) {
	for want, values := range map[string][]string{
		"a_eu-west-1":         {"eu-west-1"},
		"a_":                  {""},
		"a_GET_~2fv1~2fx.y":   {"GET", "/v1/x.y"},
		"a_a~5fb":             {"a_b"},
		"a_a_b":               {"a", "b"},
		"a_~c3~bc":            {"ü"},
		"a_~7e20":             {"~20"},
		"a_" + xs(101) + "~h": {xs(200)},
	} {
		if got := groupName("a", values); got != want && (!strings.HasSuffix(want, "~h") || !strings.HasPrefix(got, want)) || len(got) > 122 {
			t.Errorf("%q is named %s, want %s", values, got, want)
		}
	}
}

func xs(n int) string { return strings.Repeat("x", n) }

// Two label values that someone chose would end in one SLO.
func FuzzGroupNames(f *testing.F) {
	f.Add("eu", "a", "eu_", "a")
	f.Add("~h", "", "~", "h")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		one, two := groupName("n", []string{a, b}), groupName("n", []string{c, d})
		if same := a == c && b == d; same != (one == two) {
			t.Errorf("%q %q is %s, %q %q is %s", a, b, one, c, d, two)
		}
		if strings.ContainsAny(one, "/\x00 ") || len(one) > 1+maxGroupSlug {
			t.Errorf("the name %q", one)
		}
	})
}

// A definition that cannot work would be taken, and the stage be stopped by its own state.
func TestGroupsAreChecked(t *testing.T) {
	for want, with := range map[string]func(o *Objective){
		"4 labels": func(o *Objective) { o.GroupBy = []string{"a", "b", "c", "d"} },
		"twice":    func(o *Objective) { o.GroupBy = []string{"a", "a"} },
		"labels that begin with __ are Prometheus": func(o *Objective) { o.GroupBy = []string{"__name__"} },
		"at most 1001 groups":                      func(o *Objective) { o.MaxGroups = 1001 },
		"alerts of groups \"All\"":                 func(o *Objective) { o.GroupAlerts = "All" },
		"need labels":                              func(o *Objective) { o.GroupBy, o.MaxGroups = nil, 3 },
		"no groups of its own":                     func(o *Objective) { o.RollUp = "x" },
	} {
		o := byInstance(t, with)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	s := newSim(t)
	s.define(byInstance(t, func(o *Objective) { o.RollUp, o.Group, o.GroupBy = "x", map[string]string{"a": "b"}, nil }))
	if len(s.names()) != 0 {
		t.Errorf("a definition made itself a group: %v", s.names())
	}
}

// A user of the API would not see which group an SLO is, nor that some series are in none.
func TestGroupsInStatusFrames(t *testing.T) {
	s := newSim(t)
	s.define(byInstance(t, func(o *Objective) { o.MaxGroups, o.GroupBy = 1, []string{"instance", "job"} }))
	s.answer(3, map[string]float64{"a": 0, "b": 0})
	f := &StatusFrame{AsOf: Moment(s.stage.closed * 1000), Statuses: []Status{s.statusOf("availability"), s.statusOf("availability_a_shop")}}
	got, err := DecodeStatusFrame(EncodeStatusFrame(f))
	if err != nil {
		t.Fatal(err)
	}
	for i := range got.Statuses {
		f.Statuses[i].Coverage = got.Statuses[i].Coverage
	}
	if d := cmp.Diff(f, got, cmp.AllowUnexported(Decimal{})); d != "" || got.Statuses[0].Groups.Ungrouped != 2 || got.Statuses[1].Group["job"] != "shop" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Each group that falls silent would page, although the alert is about the service as a whole; or nobody would hear of that.
func TestAlertsOfTheRollUp(t *testing.T) {
	names := func(ts []Tier) (out []string) {
		for _, t := range ts {
			out = append(out, t.Name)
		}
		return out
	}
	for who, want := range map[string][2][]string{
		"": {{"absent"}, {"page"}}, GroupAlertsGroups: {{"absent"}, {"page"}}, GroupAlertsRollUp: {{"page", "absent"}, nil}, GroupAlertsBoth: {{"page", "absent"}, {"page"}},
	} {
		o := byInstance(t, func(o *Objective) {
			o.GroupAlerts = who
			tiers, _ := DefaultTiers(o.Target, o.Window.Duration)
			o.Alerting = Alerting{Tiers: tiers[:1], Extra: []Tier{{Name: "absent", Severity: SeverityPage, Absent: Duration(5 * bus.Minute), RollUp: true}}}
		})
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
		g := o.group([]string{"a"})
		if d := cmp.Diff(want, [2][]string{names(o.Tiers()), names(g.Tiers())}); d != "" {
			t.Errorf("%s (-want +got):\n%s", who, d)
		}
	}
}

// Scaling would look at the SLOs of single regions as well as at the one of the service.
func TestGroupsAreNotActionable(t *testing.T) {
	o := byInstance(t, func(o *Objective) { o.Type = TypeActionable })
	if g := o.group([]string{"a"}); g.Type != "" || o.Type != TypeActionable {
		t.Errorf("the group is %q, the roll-up %q", g.Type, o.Type)
	}
}
