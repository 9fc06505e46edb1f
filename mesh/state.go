package mesh

import (
	"encoding/json"
	"fmt"
)

// stateVersion is the version of the snapshot that this code writes; it reads the one before too, once there is one.
const stateVersion = 1

// catalogueState is a snapshot: every list in a fixed order, so that equal catalogues give equal bytes.
type catalogueState struct {
	Version     int                  `json:"v"`
	Revision    uint64               `json:"revision"`
	Definitions []Definition         `json:"definitions"` // by ref
	Deleting    map[string]deletions `json:"deleting"`    // encoding/json sorts the keys
	Answers     []Change             `json:"answers"`     // oldest first
	Due         bool                 `json:"due,omitempty"`
}

// Snapshot returns the catalogue as JSON.
func (c *Catalogue) Snapshot() ([]byte, error) {
	s := catalogueState{Version: stateVersion, Revision: c.revision, Definitions: c.List(), Deleting: c.deleting, Answers: []Change{}, Due: c.due}
	for _, id := range c.order {
		s.Answers = append(s.Answers, c.answers[id])
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("snapshot of the catalogue: %w", err)
	}
	return b, nil
}

// Restore replaces the catalogue by a snapshot.
func (c *Catalogue) Restore(state []byte) error {
	var s catalogueState
	if err := json.Unmarshal(state, &s); err != nil {
		return fmt.Errorf("restore the catalogue: %w", err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("restore the catalogue: the snapshot has version %d; this program reads version %d", s.Version, stateVersion)
	}
	c.clear()
	c.revision, c.due = s.Revision, s.Due
	for i := range s.Definitions {
		c.put(&s.Definitions[i])
	}
	for dir, d := range s.Deleting {
		c.deleting[dir] = d
	}
	for _, a := range s.Answers {
		c.remember(a)
	}
	return nil
}
