package slo

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"evenkeel.dev/bus"
)

// Bounds of groups. An SLO takes 16 KiB, and a label may have any number of values.
const (
	MaxGroupLabels   = 3
	DefaultMaxGroups = 100
	MaxGroups        = 1000

	maxGroupLabel = 128 // bytes of a label's name
	maxGroupValue = 256 // bytes of a label's value; a longer one tells no group
	maxGroupSlug  = 120 // bytes of a name after the roll-up's; a longer one ends in a hash
)

// Who alerts, of an objective with groups.
const (
	GroupAlertsGroups = "Groups" // each group; the roll-up does not
	GroupAlertsRollUp = "RollUp" // the roll-up alone
	GroupAlertsBoth   = "Both"
)

// Reasons for which series count in the roll-up alone, see [Groups].
const (
	ReasonGroupLimit = "GroupLimit" // there are as many groups as are allowed
	ReasonGroupValue = "GroupValue" // a label's value is longer than 256 bytes, or no text
)

// Reasons of the end of a group, for its alerts and in [DefinitionDetail].
const (
	ReasonGroupEnded   = "GroupEnded"   // none of its series is known any more
	ReasonGroupRemoved = "GroupRemoved" // the objective groups by other labels now, by none, or allows fewer groups
)

// Groups say, in the status of an objective that groups, which SLOs it has made.
type Groups struct {
	By        []string `json:"by"`                  // labels
	Count     int      `json:"count"`               // SLOs, one for each group
	Max       int      `json:"max"`                 // groups that are allowed
	Ungrouped int      `json:"ungrouped,omitempty"` // series that count in the roll-up and in no group
	Reason    string   `json:"reason,omitempty"`    // why there are such series
}

// validateGroups checks what an objective says of groups.
func (o *Objective) validateGroups() error {
	if err := CheckGroupBy(o.GroupBy); err != nil {
		return fmt.Errorf("groups by: %w", err)
	}
	switch {
	case o.MaxGroups < 0 || o.MaxGroups > MaxGroups:
		return fmt.Errorf("at most %d groups: from 1 to %d are allowed", o.MaxGroups, MaxGroups)
	case o.GroupAlerts != "" && !slices.Contains(GroupAlerts(), o.GroupAlerts):
		return fmt.Errorf("the alerts of groups %q are not known; it is one of %s", o.GroupAlerts, strings.Join(GroupAlerts(), ", "))
	case len(o.GroupBy) == 0 && o.RollUp == "" && (o.MaxGroups != 0 || o.GroupAlerts != ""):
		return fmt.Errorf("a bound or alerts of groups need labels to group by")
	case o.RollUp != "" && (len(o.GroupBy) > 0 || len(o.Group) == 0):
		return fmt.Errorf("an objective that is a group has its labels and no groups of its own")
	}
	return nil
}

// silent reports whether the objective leaves alerting to its groups, or to its roll-up.
func (o *Objective) silent() bool {
	if len(o.GroupBy) > 0 {
		return o.GroupAlerts == "" || o.GroupAlerts == GroupAlertsGroups
	}
	return o.RollUp != "" && o.GroupAlerts == GroupAlertsRollUp
}

func (o *Objective) maxGroups() int { return cmp.Or(o.MaxGroups, DefaultMaxGroups) }

// group returns the objective of one group: the same but for its name and what says which group it is. Where the roll-up is the actionable
// one of its service, it alone is.
func (o *Objective) group(values []string) Objective {
	g := *o
	g.Type = ""
	g.Name, g.RollUp, g.GroupBy, g.MaxGroups, g.Group = groupName(o.Name, values), o.Name, nil, 0, map[string]string{}
	if g.DisplayName != "" {
		g.DisplayName += " (" + strings.Join(values, ", ") + ")"
	}
	g.Alerting.Annotations = maps.Clone(o.Alerting.Annotations)
	if g.Alerting.Annotations == nil {
		g.Alerting.Annotations = map[string]string{}
	}
	for i, l := range o.GroupBy {
		g.Group[l] = values[i]
		g.Alerting.Annotations["group_"+annotationName(l)] = values[i]
	}
	return g
}

// annotationName makes of a label what every receiver takes as the name of an annotation.
func annotationName(label string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, label)
}

// groupName names a group: the roll-up's name, then "_" and the value for each label, in which letters, digits, "-" and "." stand for
// themselves and any other byte is "~" and two hexadecimal digits. So the values can be read from the name, and two groups never share one;
// the "_" keeps it apart from the names of definitions, which are DNS labels. What would be long is cut and ends in "~h" and 16 digits of a
// hash.
func groupName(rollUp string, values []string) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteByte('_')
		for i := range len(v) {
			switch c := v[i]; {
			case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.':
				b.WriteByte(c)
			default:
				fmt.Fprintf(&b, "~%02x", c)
			}
		}
	}
	slug := b.String()
	if len(slug) > maxGroupSlug {
		sum := sha256.Sum256([]byte(slug))
		slug = slug[:maxGroupSlug-18] + "~h" + hex.EncodeToString(sum[:8])
	}
	return rollUp + slug
}

// groupValues returns the values of the labels, "" for one that is missing; false where they tell no group.
func (o *Objective) groupValues(labels bus.Labels) ([]string, bool) {
	values := make([]string, len(o.GroupBy))
	for i, l := range o.GroupBy {
		values[i] = labels.Get(l)
		if len(values[i]) > maxGroupValue || !utf8.ValidString(values[i]) {
			return nil, false
		}
	}
	return values, true
}

// withGroups adds, for each objective that groups, the group that a series with these labels belongs to: it counts there what it counts in
// the roll-up.
func (s *Stage) withGroups(found []target, labels bus.Labels) []target {
	n := len(found)
	for i := range n {
		if t := s.trackers[found[i].slot]; len(t.o.GroupBy) > 0 {
			if g := s.groupFor(t, labels); g != nil {
				tg := found[i]
				tg.slot = g.slot
				found = append(found, tg)
			}
		}
	}
	if len(found) > n {
		slices.SortFunc(found, compareTargets)
	}
	return found
}

// groupFor returns the group of a series, which it makes at need; nil where the series counts in the roll-up alone.
func (s *Stage) groupFor(t *tracker, labels bus.Labels) *tracker {
	values, ok := t.o.groupValues(labels)
	if !ok {
		s.ungroup(t, ReasonGroupValue, fmt.Sprintf("a value of %s is longer than %d bytes, or no text", strings.Join(t.o.GroupBy, ", "), maxGroupValue))
		return nil
	}
	g := s.named(t, values)
	switch {
	case g != nil && g.rollUp == t:
		return g
	case g != nil:
		s.ungroup(t, ReasonGroupValue, fmt.Sprintf("the name %s is that of another SLO", g.o.Name))
	case t.groups >= t.o.maxGroups():
		s.ungroup(t, ReasonGroupLimit, fmt.Sprintf("%d groups are allowed; what else comes counts in the roll-up alone", t.o.maxGroups()))
	case s.groupCount >= s.MaxGroups:
		s.ungroup(t, ReasonGroupLimit, fmt.Sprintf("the partition holds %d groups already, which is its bound", s.MaxGroups))
	default:
		return s.createGroup(t, values)
	}
	return nil
}

// named returns the SLO that has a group's name.
func (s *Stage) named(t *tracker, values []string) *tracker {
	return s.byKey[keyOf(&Objective{GlobalNamespace: t.o.GlobalNamespace, Service: t.o.Service, Name: groupName(t.o.Name, values)})]
}

// limit marks an SLO of which a series was refused, and its group where there is one.
func (s *Stage) limit(t *tracker, labels bus.Labels) {
	t.limitAt = s.now
	s.Stats.SeriesOverLimit.Add(1)
	if values, ok := t.o.groupValues(labels); ok && len(values) > 0 {
		if g := s.named(t, values); g != nil && g.rollUp == t {
			g.limitAt = s.now
		}
	}
}

// ungroup notes why a series is in no group, and tells it when it is new.
func (s *Stage) ungroup(t *tracker, reason, message string) {
	s.Stats.SeriesUngrouped.Add(1)
	if t.ungrouped != reason {
		t.ungrouped = reason
		t.dirty = true
		s.defineDetail(t, reason, message)
	}
}

// createGroup makes the SLO of a group. What is known or missing of the roll-up's series holds for it too; it is covered from now on.
func (s *Stage) createGroup(t *tracker, values []string) *tracker {
	o := t.o.group(values)
	g := &tracker{ref: t.ref, key: keyOf(&o), o: o, sli: t.sli, generation: t.generation, rollUp: t}
	s.enter(g)
	g.configure()
	g.begin(s.now, s.closed-1)
	g.revision, g.unproven = t.revision, t.unproven
	g.gapReason, g.gapAfter, g.broken = t.gapReason, t.gapAfter, t.broken
	if t.shape != nil {
		g.shape.between, g.shape.late = t.shape.between, t.shape.late
	}
	t.dirty = true
	s.defineDetail(g, DefinitionNew, fmt.Sprintf("a group of %s", t.o.Name))
	return g
}

// watchedSince returns the record time since when no series of the SLO was missed: a group's would have come into being with it.
func (t *tracker) watchedSince() bus.Time {
	if t.rollUp != nil {
		return t.rollUp.defined
	}
	return t.defined
}

// groupsOf returns the groups of a roll-up, by key.
func (s *Stage) groupsOf(t *tracker) []*tracker {
	if t.groups == 0 {
		return nil
	}
	out := make([]*tracker, 0, t.groups)
	for _, g := range s.order {
		if g.rollUp == t {
			out = append(out, g)
		}
	}
	return out
}

// regroup brings the groups in line with a changed definition. Where other labels tell them they begin anew, when their series are next
// announced.
func (s *Stage) regroup(t *tracker, before *Objective, revision uint64) {
	same := slices.Equal(before.GroupBy, t.o.GroupBy)
	groups := s.groupsOf(t)
	var slots []int32
	for i, g := range groups {
		if !same || len(groups)-i > t.o.maxGroups() || g.sli != t.sli {
			slots = append(slots, g.slot)
		}
	}
	s.dropSlots(slots...)
	for _, g := range groups {
		if !same || t.groups > t.o.maxGroups() {
			s.retire(g, ReasonGroupRemoved, ReasonGroupRemoved)
			continue
		}
		values := make([]string, len(t.o.GroupBy))
		for i, l := range t.o.GroupBy {
			values[i] = g.o.Group[l]
		}
		o := t.o.group(values)
		s.update(g, &o, revision)
	}
	if !same || before.maxGroups() != t.o.maxGroups() {
		t.ungrouped = ""
		s.defined++
	}
}

// groupSweeps is how many sweeps a group has no data while its roll-up has, before it ends: as long as a series is remembered. While all is
// silent, or no engine runs, groups stay.
const groupSweeps = uint8(seriesExpiry / sweepEvery)

// sweepGroups ends the groups of which no series is known any more. Where others were refused, there is room for them now.
func (s *Stage) sweepGroups() {
	if s.groupCount == 0 {
		return
	}
	var slots []int32
	for _, g := range slices.Clone(s.order) {
		switch {
		case g.rollUp == nil:
			continue
		case s.now-g.fed <= sweepEvery:
			g.idle = 0
		case s.now-g.rollUp.fed <= sweepEvery:
			g.idle = min(g.idle+1, groupSweeps)
		}
		if g.idle >= groupSweeps && g.series == 0 {
			s.retire(g, ReasonGroupEnded, ReasonGroupEnded)
			slots = append(slots, g.slot)
		}
	}
	s.dropSlots(slots...)
	room := len(slots) > 0
	for _, t := range s.order {
		switch {
		case t.ungrouped == "":
		case t.grouped >= t.series:
			t.ungrouped = ""
		case room && t.ungrouped == ReasonGroupLimit && t.groups < t.o.maxGroups():
			s.defined++ // so that all series are matched again at their next announcement
		}
	}
}

// groupStatus says which groups the SLO has; nil where it groups by nothing.
func (t *tracker) groupStatus() *Groups {
	if len(t.o.GroupBy) == 0 {
		return nil
	}
	g := &Groups{By: t.o.GroupBy, Count: t.groups, Max: t.o.maxGroups(), Ungrouped: max(0, t.series-t.grouped)}
	if g.Ungrouped > 0 {
		g.Reason = t.ungrouped
	}
	return g
}

// groupsStatus writes which groups an SLO has, or which group it is.
func (e *encoder) groupsStatus(st *Status) {
	e.str(st.RollUp)
	if st.RollUp != "" {
		e.uint(uint64(len(st.Group)))
		for _, l := range slices.Sorted(maps.Keys(st.Group)) {
			e.str(l)
			e.str(st.Group[l])
		}
	}
	g := st.Groups
	if g == nil {
		e.uint(0)
		return
	}
	e.uint(uint64(len(g.By)))
	for _, l := range g.By {
		e.str(l)
	}
	e.uint(uint64(g.Count))
	e.uint(uint64(g.Max))
	e.uint(uint64(g.Ungrouped))
	e.name(g.Reason)
}

func (d *reader) groupsStatus(st *Status) {
	if st.RollUp = d.str(); st.RollUp != "" {
		st.Group = map[string]string{}
		for n := d.count(2); n > 0 && !d.bad; n-- {
			st.Group[d.str()] = d.str()
		}
	}
	n := d.count(1)
	if n == 0 || n > MaxGroupLabels {
		if n != 0 {
			d.fail()
		}
		return
	}
	g := &Groups{}
	for ; n > 0; n-- {
		g.By = append(g.By, d.str())
	}
	for _, v := range []*int{&g.Count, &g.Max, &g.Ungrouped} {
		*v = int(d.uint() & (1<<31 - 1))
	}
	g.Reason = d.name()
	st.Groups = g
}
