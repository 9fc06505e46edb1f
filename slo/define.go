package slo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
)

// SubjectDefinitionDetail carries a [DefinitionDetail]: log.detail.slo.definition.
const SubjectDefinitionDetail = bus.SubjectDetail + "slo.definition"

// What a change of definitions meant for an SLO.
const (
	DefinitionNew           = "New"
	DefinitionGeneration    = "NewGeneration"   // the SLI counts something else: counts begin anew
	DefinitionCountsKept    = "CountsKept"      // target or alerting changed
	DefinitionWindowRebuilt = "WindowRebuilt"   // windows changed: filled from the finest old windows, as far back as those reach
	DefinitionRemoved       = "Removed"         // deleted
	DefinitionRenamed       = "Renamed"         // another objective of the definition has the same SLI; it begins anew
	DefinitionRefused       = "Refused"         // not valid, over a bound, or another definition has an SLO of this name
	DefinitionBounds        = "BoundsChosen"    // an interpolated SLI has found the buckets around its threshold; those before it had others
	DefinitionUnreadable    = "CompiledDamaged" // what was compiled cannot be read; the SLOs stay as they were
)

// A DefinitionDetail says what the stage made of an objective that changed.
type DefinitionDetail struct {
	Definition      mesh.Ref `json:"definition"`
	GlobalNamespace string   `json:"globalNamespace,omitempty"`
	Service         string   `json:"service,omitempty"`
	SLO             string   `json:"slo,omitempty"`
	Reason          string   `json:"reason"`
	Message         string   `json:"message,omitempty"`
	Generation      uint32   `json:"generation,omitempty"` // of the SLI
}

// redefine applies a change of the catalogue.
func (s *Stage) redefine(data []byte) {
	var c mesh.Change
	if err := json.Unmarshal(data, &c); err != nil {
		s.denied(mesh.Ref{}, nil, DefinitionUnreadable, fmt.Sprintf("the change cannot be read: %v", err))
		return
	}
	if !c.Accepted {
		return
	}
	before := s.defined
	for _, ref := range c.Deleted {
		if isExclusion(ref) {
			s.redefineExclusion(ref, nil)
			continue
		}
		s.define(ref, 0, nil)
	}
	for i := range c.Set {
		d := &c.Set[i]
		if isExclusion(d.Ref) {
			s.redefineExclusion(d.Ref, d.Compiled)
			continue
		}
		if compiled := bytes.TrimSpace(d.Compiled); len(compiled) == 0 || compiled[0] != '[' {
			continue // a kind that is no SLO
		}
		var os []Objective
		if err := json.Unmarshal(d.Compiled, &os); err != nil {
			s.denied(d.Ref, nil, DefinitionUnreadable, err.Error())
			continue
		}
		s.define(d.Ref, max(d.Revision, 1), os)
	}
	if s.defined != before {
		s.index()
	}
}

// define makes the objectives of this partition those that the definition of ref holds, as of a revision of the catalogue.
func (s *Stage) define(ref mesh.Ref, revision uint64, os []Objective) {
	os = slices.DeleteFunc(os, func(o Objective) bool {
		return !s.owns(&o)
	})
	for _, t := range slices.Clone(s.order) {
		if t.ref == ref && t.rollUp == nil && !slices.ContainsFunc(os, func(o Objective) bool { return keyOf(&o) == t.key }) {
			s.remove(t, os)
		}
	}
	for i := range os {
		o := &os[i]
		o.Definition = ref
		t := s.byKey[keyOf(o)]
		switch err := o.Validate(); {
		case err != nil:
			s.denied(ref, o, DefinitionRefused, err.Error())
		case o.RollUp != "":
			s.denied(ref, o, DefinitionRefused, "the SLO of a group is made by the objective that groups, and not by a definition")
		case t != nil && (t.ref != ref || t.rollUp != nil):
			s.denied(ref, o, DefinitionRefused, fmt.Sprintf("%s %s/%s has an SLO of this name already", t.ref.Kind, t.ref.Namespace, t.ref.Name))
		case t != nil:
			before := t.o
			s.update(t, o, revision)
			s.regroup(t, &before, revision)
		case len(s.order)-s.groupCount >= s.MaxObjectives:
			s.denied(ref, o, DefinitionRefused, fmt.Sprintf("the partition holds %d objectives already, which is its bound", s.MaxObjectives))
		default:
			s.create(ref, o, revision)
		}
	}
}

// owns reports whether an objective is this stage's: one of its partition, or a composite.
func (s *Stage) owns(o *Objective) bool {
	if s.joint || o.Composite != nil {
		return s.joint && o.Composite != nil
	}
	return bus.Partition(o.GlobalNamespace, o.Service, s.Partitions) == s.Partition
}

func keyOf(o *Objective) string { return o.GlobalNamespace + "\x00" + o.Service + "\x00" + o.Name }

// counted says what the objective counts, in canonical JSON: where it is another, the counts of before mean nothing.
func (o *Objective) counted() string {
	sli := string(mustJSON(o.SLI))
	if o.Method != MethodOccurrences {
		sli += o.Method + string(mustJSON(o.Slice))
	}
	if o.Composite != nil {
		sli += string(mustJSON(o.Composite))
	}
	return sli
}

func (s *Stage) create(ref mesh.Ref, o *Objective, revision uint64) {
	t := &tracker{ref: ref, key: keyOf(o), o: *o, sli: o.counted(), generation: 1}
	s.enter(t)
	t.configure()
	t.begin(s.now, s.closed-1)
	s.require(t, revision)
	s.defined++
	s.defineDetail(t, DefinitionNew, "")
}

// enter gives a tracker its slot and its place in the order.
func (s *Stage) enter(t *tracker) {
	t.slot = int32(slices.Index(s.trackers, nil))
	if t.slot < 0 {
		t.slot = int32(len(s.trackers))
		s.trackers = append(s.trackers, nil)
	}
	s.trackers[t.slot] = t
	s.byKey[t.key] = t
	if t.rollUp != nil {
		t.rollUp.groups++
		s.groupCount++
	}
	i, _ := slices.BinarySearchFunc(s.order, t.key, func(t *tracker, key string) int { return strings.Compare(t.key, key) })
	s.order = slices.Insert(s.order, i, t)
	s.matchExclusions(t)
}

// begin empties the counts of a tracker, for its first or a new generation.
func (t *tracker) begin(now bus.Time, closed int64) {
	t.defined, t.back, t.dirty = now, 0, true
	t.rings = newRings(t.windows, t.o.Window, closed)
	t.slicer = newSlicer(&t.o)
	t.scale()
	t.marks, t.lumps, t.minute, t.late = [pendingBins]uint8{}, nil, entry{}, nil
	t.series, t.grouped, t.fed, t.data, t.interval, t.badAt, t.limitAt = 0, 0, 0, 0, 0, 0, 0
	t.gapReason, t.gapAfter, t.broken = "", 0, false
	t.bounds = wantedBounds(&t.o)
	t.shape = newShape(&t.o)
	t.alerts, t.fired = make([]alert, len(t.tiers)), nil
	for i := range t.alerts {
		t.alerts[i] = alert{state: AlertInactive, since: now}
	}
}

func (s *Stage) remove(t *tracker, os []Objective) {
	reason, detail := ReasonDeleted, DefinitionRemoved
	for i := range os {
		if s.byKey[keyOf(&os[i])] == nil && os[i].counted() == t.sli {
			reason, detail = ReasonRenamed, DefinitionRenamed
		}
	}
	slots := []int32{t.slot}
	for _, g := range s.groupsOf(t) {
		s.retire(g, reason, detail)
		slots = append(slots, g.slot)
	}
	s.retire(t, reason, detail)
	s.dropSlots(slots...)
	s.defined++
}

// retire ends an SLO. The caller takes it out of the target lists, several at once.
func (s *Stage) retire(t *tracker, reason, detail string) {
	for i := range t.alerts {
		s.drop(t, i, reason)
	}
	s.defineDetail(t, detail, "")
	if t.rollUp != nil {
		t.rollUp.groups--
		t.rollUp.grouped = max(0, t.rollUp.grouped-t.series)
		t.rollUp.dirty = true
		s.groupCount--
	}
	s.trackers[t.slot] = nil
	delete(s.byKey, t.key)
	s.order = slices.DeleteFunc(s.order, func(o *tracker) bool { return o == t })
	s.removed = append(s.removed, t.key)
}

// update changes an objective: another SLI begins anew, anything else keeps the counts.
func (s *Stage) update(t *tracker, o *Objective, revision uint64) {
	if bytes.Equal(mustJSON(o), mustJSON(t.o)) {
		return // said again, after a loss or because another objective of the file changed
	}
	t.dirty = true
	if sli := o.counted(); sli != t.sli {
		for i := range t.alerts {
			s.drop(t, i, ReasonSLIChanged)
		}
		s.dropSlots(t.slot)
		t.o, t.sli = *o, sli
		t.generation++
		t.configure()
		t.begin(s.now, s.closed-1)
		s.require(t, revision)
		s.defined++
		s.defineDetail(t, DefinitionGeneration, "the SLI changed: counts begin anew")
		return
	}
	old, alerts, windows, span := t.tiers, t.alerts, t.windows, t.o.Window
	tiers := o.Tiers()
	for i := range old {
		if !slices.ContainsFunc(tiers, func(n Tier) bool { return n.Name == old[i].Name }) {
			s.drop(t, i, ReasonAlertingChanged)
		}
	}
	t.o = *o
	t.configure()
	t.alerts, t.fired = nil, nil
	for _, n := range t.tiers {
		a := alert{state: AlertInactive, since: s.now}
		if i := slices.IndexFunc(old, func(o Tier) bool { return o.Name == n.Name }); i >= 0 {
			a = alerts[i]
			a.on, a.pair = 0, 0
		}
		t.alerts = append(t.alerts, a)
	}
	reason, message := DefinitionCountsKept, ""
	if t.slicer != nil {
		t.slicer.onNone = o.noData()
	}
	if !slices.Equal(windows, t.windows) || !bytes.Equal(mustJSON(span), mustJSON(o.Window)) {
		t.rings = t.rings.rebuild(t.windows, o.Window, s.closed)
		if t.shape != nil {
			t.shape.span(o.Window)
		}
		reason, message = DefinitionWindowRebuilt, "windows were filled from the finest windows kept before; what is older than those is missing, and coverage says so"
	}
	if o.shaped() != (t.shape != nil) {
		s.reshape(t)
	}
	t.scale()
	s.defineDetail(t, reason, message)
}

func (s *Stage) defineDetail(t *tracker, reason, message string) {
	s.detail(DefinitionDetail{
		Definition: t.ref, GlobalNamespace: t.o.GlobalNamespace, Service: t.o.Service, SLO: t.o.Name, Reason: reason, Message: message, Generation: t.generation,
	})
}

func (s *Stage) denied(ref mesh.Ref, o *Objective, reason, message string) {
	s.Stats.DefinitionsDenied.Add(1)
	d := DefinitionDetail{Definition: ref, Reason: reason, Message: message}
	if o != nil {
		d.GlobalNamespace, d.Service, d.SLO = o.GlobalNamespace, o.Service, o.Name
	}
	s.detail(d)
}

func (s *Stage) detail(d DefinitionDetail) {
	s.out = append(s.out, bus.Draft{Subject: SubjectDefinitionDetail, To: bus.All, Data: mustJSON(d)})
}
