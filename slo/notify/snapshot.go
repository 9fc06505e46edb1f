package notify

import (
	"encoding/json"
	"fmt"

	"evenkeel.dev/bus"
)

// snapshotVersion is the version that Snapshot writes.
const snapshotVersion = 1

type snapshot struct {
	Version    int          `json:"version"`
	Targets    []*target    `json:"targets"` // by key
	Alerts     []*alert     `json:"alerts"`  // by ID
	Dead       []DeadLetter `json:"dead"`    // oldest first
	NextPublic bus.Time     `json:"nextPublic"`
	Stats      Stats        `json:"stats"`
}

// Snapshot implements [bus.Stage].
func (s *Stage) Snapshot() ([]byte, error) {
	v := snapshot{Version: snapshotVersion, Dead: s.dead.list, NextPublic: s.nextPublic, Stats: s.stats}
	for _, k := range s.order {
		v.Targets = append(v.Targets, s.targets[k])
	}
	for _, id := range s.alertIDs() {
		v.Alerts = append(v.Alerts, s.alerts[id])
	}
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
	if v.Version != snapshotVersion {
		return fmt.Errorf("notify: snapshot of version %d, known is %d", v.Version, snapshotVersion)
	}
	s.reset()
	s.nextPublic, s.stats = v.NextPublic, v.Stats
	for _, t := range v.Targets {
		s.targets[t.Key] = t
	}
	s.sortTargets()
	for _, a := range v.Alerts {
		for _, p := range a.Pairs {
			if s.targets[p.Target] == nil {
				return fmt.Errorf("notify: snapshot: alert %s has target %q, which is not in it", a.Event.ID, p.Target)
			}
			s.due(p, p.Due)
		}
		s.addAlert(a)
	}
	s.dead.list = v.Dead
	for i := range v.Dead {
		s.dead.bytes += v.Dead[i].Size
	}
	return nil
}
