package notify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"evenkeel.dev/bus"
)

// snapshotVersion is the version that Snapshot writes; Restore also reads the one before, which has no silences, cool-downs, groups and
// tests.
const snapshotVersion = 2

type snapshot struct {
	Version    int          `json:"version"`
	Targets    []*target    `json:"targets"` // by key
	Alerts     []*alert     `json:"alerts"`  // by ID
	Dead       []DeadLetter `json:"dead"`    // oldest first
	NextPublic bus.Time     `json:"nextPublic"`
	Stats      Stats        `json:"stats"`
	Silences   []*Silence   `json:"silences,omitempty"` // by ID
	Cool       []coolState  `json:"cool,omitempty"`     // by alert and target
	Groups     []*group     `json:"groups,omitempty"`   // by key
	Trials     []Trial      `json:"trials,omitempty"`   // oldest first
}

type coolState struct {
	Alert  string   `json:"alert"` // key
	Target string   `json:"target"`
	Until  bus.Time `json:"until"`
}

// Snapshot implements [bus.Stage].
func (s *Stage) Snapshot() ([]byte, error) {
	v := snapshot{Version: snapshotVersion, Dead: s.dead.list, NextPublic: s.nextPublic, Stats: s.stats, Silences: s.silenceList(), Trials: s.trials}
	for _, k := range s.order {
		v.Targets = append(v.Targets, s.targets[k])
	}
	for _, id := range s.alertIDs() {
		v.Alerts = append(v.Alerts, s.alerts[id])
	}
	for k, until := range s.cool {
		v.Cool = append(v.Cool, coolState{k.alert, k.target, until})
	}
	slices.SortFunc(v.Cool, func(x, y coolState) int {
		return cmp.Or(cmp.Compare(x.Alert, y.Alert), cmp.Compare(x.Target, y.Target))
	})
	for _, g := range s.groups {
		v.Groups = append(v.Groups, g)
	}
	slices.SortFunc(v.Groups, func(x, y *group) int { return cmp.Compare(x.Key, y.Key) })
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("notify: encode snapshot: %w", err)
	}
	return b, nil
}

// Restore implements [bus.Stage].
func (s *Stage) Restore(state []byte) error {
	var v snapshot
	if err := json.Unmarshal(state, &v); err != nil {
		return fmt.Errorf("notify: decode snapshot: %w", err)
	}
	if v.Version != snapshotVersion && v.Version != snapshotVersion-1 {
		return fmt.Errorf("notify: snapshot of version %d, known are %d and %d", v.Version, snapshotVersion-1, snapshotVersion)
	}
	s.reset()
	s.nextPublic, s.stats, s.trials = v.NextPublic, v.Stats, v.Trials
	s.restoreHolds(&v)
	for _, t := range v.Targets {
		s.targets[t.Key] = t
	}
	s.sortTargets()
	for _, a := range v.Alerts {
		for _, p := range a.Pairs {
			if s.targets[p.Target] == nil {
				return fmt.Errorf("notify: snapshot: alert %s has target %q, which is not in it", a.Event.ID, p.Target)
			}
			if p.Group != "" && s.groups[p.Group] == nil {
				return fmt.Errorf("notify: snapshot: alert %s waits in group %q, which is not in it", a.Event.ID, p.Group)
			}
			s.due(p, p.Due)
		}
		s.addAlert(a)
		for _, p := range a.Pairs {
			s.setBatch(a, p, p.Batch, p.BatchN)
		}
	}
	s.dead.list = v.Dead
	for i := range v.Dead {
		s.dead.bytes += v.Dead[i].Size
	}
	return nil
}

// restoreHolds takes over silences, cool-downs and waiting groups.
func (s *Stage) restoreHolds(v *snapshot) {
	for _, x := range v.Silences {
		s.silences[x.ID] = x
		s.endAt(x.EndsAt)
	}
	for _, c := range v.Cool {
		s.cool[coolKey{c.Alert, c.Target}] = c.Until
		s.endAt(c.Until)
	}
	for _, g := range v.Groups {
		s.groups[g.Key] = g
		s.groupAt(g.Due)
	}
}
