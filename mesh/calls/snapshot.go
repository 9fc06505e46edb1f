package calls

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evenkeel.dev/bus"
)

// snapshotVersion is the version of the snapshot that this code writes and reads.
const snapshotVersion = 1

// A snapshot is the state: every list in a fixed order, so that equal states give equal bytes.
type snapshot struct {
	Version int           `json:"v"`
	Now     bus.Time      `json:"now"`
	Minute  uint32        `json:"minute"`
	Since   bus.Time      `json:"since"`
	Next    uint64        `json:"next"`
	Over    bool          `json:"over"`
	OverAt  uint32        `json:"overAt"`
	Calls   []callState   `json:"calls"`
	Writers []writerState `json:"writers"`
	Homes   []homeState   `json:"homes"`
}

type callState struct {
	Source      End             `json:"source"`
	Destination End             `json:"destination"`
	Stamp       string          `json:"stamp,omitempty"`
	ID          uint64          `json:"id"`
	First       bus.Time        `json:"first"`
	Last        bus.Time        `json:"last"`
	Heard       [sides]bus.Time `json:"heard"`
	Plain       bool            `json:"plain,omitempty"`
	Principal   string          `json:"principal,omitempty"`
	Versions    []versionState  `json:"versions"`
}

type versionState struct {
	Caller string `json:"caller"`
	Name   string `json:"name"`
	Rings  []byte `json:"rings"` // of all sides, one after the other
}

type writerState struct {
	Name   string   `json:"name"`
	Number uint64   `json:"n"`
	Heard  bus.Time `json:"heard"`
	Over   uint64   `json:"over"`
}

type homeState struct {
	Service   string `json:"service"`
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	Home      string `json:"home"`
}

// Snapshot returns the state as JSON.
func (s *Stage) Snapshot() ([]byte, error) {
	st := snapshot{Version: snapshotVersion, Now: s.now, Minute: s.minute, Since: s.since, Next: s.next, Over: s.over, OverAt: s.overAt}
	for _, k := range slices.SortedFunc(maps.Keys(s.calls), key.compare) {
		c := s.calls[k]
		v := callState{k.source, k.destination, k.stamp, c.id, c.first, c.last, c.heard, c.plain, c.principal, nil}
		for _, name := range slices.SortedFunc(maps.Keys(c.versions), versions.compare) {
			var b []byte
			for _, r := range c.versions[name] {
				b = r.append(b)
			}
			v.Versions = append(v.Versions, versionState{name.caller, name.called, b})
		}
		st.Calls = append(st.Calls, v)
	}
	for _, name := range slices.Sorted(maps.Keys(s.writers)) {
		w := s.writers[name]
		st.Writers = append(st.Writers, writerState{name, w.number, w.heard, w.over})
	}
	for _, name := range slices.Sorted(maps.Keys(s.homes)) {
		at := s.homes[name]
		for _, p := range slices.SortedFunc(maps.Keys(at), func(a, b place) int {
			return strings.Compare(a.cluster+"\x00"+a.namespace, b.cluster+"\x00"+b.namespace)
		}) {
			st.Homes = append(st.Homes, homeState{name, p.cluster, p.namespace, at[p]})
		}
	}
	b, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("snapshot of calls: %w", err)
	}
	return b, nil
}

// Restore replaces the state by a snapshot.
func (s *Stage) Restore(state []byte) error {
	var st snapshot
	if err := json.Unmarshal(state, &st); err != nil {
		return fmt.Errorf("restore calls: %w", err)
	}
	if st.Version != snapshotVersion {
		return fmt.Errorf("restore calls: the snapshot has version %d; this program reads version %d", st.Version, snapshotVersion)
	}
	s.clear()
	s.now, s.minute, s.since, s.next, s.over, s.overAt = st.Now, st.Minute, st.Since, st.Next, st.Over, st.OverAt
	for i := range st.Calls {
		v := &st.Calls[i]
		c := &call{id: v.ID, first: v.First, last: v.Last, heard: v.Heard, plain: v.Plain, principal: v.Principal, versions: map[versions]*[sides]ring{}}
		for _, ver := range v.Versions {
			rings, b := &[sides]ring{}, ver.Rings
			for i := range rings {
				var err error
				if rings[i], b, err = readRing(b); err != nil {
					return fmt.Errorf("restore calls: %w", err)
				}
			}
			c.versions[versions{ver.Caller, ver.Name}] = rings
			s.edges++
		}
		s.calls[key{v.Source, v.Destination, v.Stamp}] = c
	}
	for _, w := range st.Writers {
		s.writers[w.Name] = &writer{w.Number, w.Heard, w.Over}
	}
	for _, h := range st.Homes {
		if s.homes[h.Service] == nil {
			s.homes[h.Service] = map[place]string{}
		}
		s.homes[h.Service][place{h.Cluster, h.Namespace}] = h.Home
		s.placed++
	}
	return nil
}
