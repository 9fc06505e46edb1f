package slo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"evenkeel.dev/mesh"
)

// isExclusion reports whether a definition is an [Exclusion].
func isExclusion(ref mesh.Ref) bool {
	return ref.Kind == KindExclusion && ref.APIVersion == ExclusionVersion
}

// redefineExclusion takes the compiled form of an exclusion, nil when it is gone.
func (s *Stage) redefineExclusion(ref mesh.Ref, compiled []byte) {
	i, known := slices.BinarySearchFunc(s.exclusions, ref, func(e *exclusion, ref mesh.Ref) int { return e.Definition.Compare(ref) })
	var old, next *exclusion
	if known {
		old = s.exclusions[i]
	}
	if compiled != nil {
		var err error
		if next, err = s.readExclusion(ref, compiled); err != nil {
			s.deniedExclusion(ref, DefinitionUnreadable, err.Error())
			return
		}
		if old != nil && bytes.Equal(mustJSON(old.Exclusion), mustJSON(next.Exclusion)) {
			return // said again
		}
		if why := s.roomForExclusion(next, old); why != "" {
			s.deniedExclusion(ref, DefinitionRefused, why)
			return
		}
	}
	switch {
	case old == nil && next == nil:
		return
	case next == nil:
		s.exclusions = slices.Delete(s.exclusions, i, i+1)
	case old == nil:
		s.exclusions = slices.Insert(s.exclusions, i, next)
	default:
		s.exclusions[i] = next
	}
	for _, t := range s.order {
		if next != nil && next.matches(&t.o) || old != nil && old.matches(&t.o) {
			s.matchExclusions(t)
			s.correctExcluded(t, old, next)
		}
	}
}

func (s *Stage) readExclusion(ref mesh.Ref, compiled []byte) (*exclusion, error) {
	var x Exclusion
	if err := json.Unmarshal(compiled, &x); err != nil {
		return nil, err
	}
	x.Definition = ref
	return newExclusion(x)
}

// roomForExclusion says why there is no room for one more, or "".
func (s *Stage) roomForExclusion(next, old *exclusion) string {
	n := 0
	for _, e := range s.exclusions {
		if e != old && e.GlobalNamespace == next.GlobalNamespace {
			n++
		}
	}
	switch {
	case n >= MaxExclusions:
		return fmt.Sprintf("the global namespace %s has %d exclusions already, which is the bound; delete those that are over", next.GlobalNamespace, n)
	case old == nil && len(s.exclusions) >= maxExclusionsHeld:
		return fmt.Sprintf("there are %d exclusions already, which is the bound", len(s.exclusions))
	}
	return ""
}

// deniedExclusion tells it once, though every partition finds it.
func (s *Stage) deniedExclusion(ref mesh.Ref, reason, message string) {
	if s.Partition == 0 {
		s.denied(ref, nil, reason, message)
	}
}

// matchExclusions finds the exclusions of an SLO anew.
func (s *Stage) matchExclusions(t *tracker) {
	t.cut.exclusions, t.cut.quiet = nil, 0
	for _, e := range s.exclusions {
		if e.matches(&t.o) {
			t.cut.exclusions = append(t.cut.exclusions, e)
		}
	}
}

func (e *encoder) exclusions(s *Stage) {
	e.uint(uint64(len(s.exclusions)))
	for _, x := range s.exclusions {
		e.str(string(mustJSON(x.Exclusion)))
	}
}

// restoreExclusions reads them; it comes before the trackers, which look for theirs.
func (s *Stage) restoreExclusions(d *reader) error {
	n := d.count(32)
	if n > maxExclusionsHeld {
		d.fail()
	}
	for ; n > 0 && !d.bad; n-- {
		var x Exclusion
		if err := json.Unmarshal(d.bytes(d.uint()), &x); err != nil {
			return fmt.Errorf("exclusion: %w", err)
		}
		e, err := newExclusion(x)
		if err != nil {
			return fmt.Errorf("exclusion %s: %w", x.Definition, err)
		}
		if k := len(s.exclusions); k > 0 && s.exclusions[k-1].Definition.Compare(x.Definition) >= 0 {
			return fmt.Errorf("exclusion %s stands out of order", x.Definition)
		}
		s.exclusions = append(s.exclusions, e)
	}
	return nil
}
