package bus

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// MatchType says how a [Matcher] compares, in the signs of PromQL.
type MatchType string

// The four comparisons of PromQL. Expressions are anchored at both ends; a missing label is the empty string.
const (
	MatchEqual     MatchType = "="
	MatchNotEqual  MatchType = "!="
	MatchRegexp    MatchType = "=~"
	MatchNotRegexp MatchType = "!~"
)

// A Matcher is one condition on one label.
type Matcher struct {
	Name  string    `json:"name"`
	Type  MatchType `json:"type"`
	Value string    `json:"value"`
}

// A Selector is the conjunction of its matchers: a PromQL vector selector without time. The metric's name is a matcher of
// "__name__". Compile it with [NewSelector]; the zero value matches nothing.
type Selector struct {
	matchers []Matcher
	regexps  []*regexp.Regexp // nil where the matcher is no expression
}

// NewSelector compiles the matchers. It refuses an expression that does not compile and a type that is none of the four.
func NewSelector(ms []Matcher) (Selector, error) {
	s := Selector{matchers: ms, regexps: make([]*regexp.Regexp, len(ms))}
	for i, m := range ms {
		switch m.Type {
		case MatchEqual, MatchNotEqual:
		case MatchRegexp, MatchNotRegexp:
			re, err := regexp.Compile("^(?s:" + m.Value + ")$")
			if err != nil {
				return Selector{}, fmt.Errorf("matcher %s%s%q: %w", m.Name, m.Type, m.Value, err)
			}
			s.regexps[i] = re
		default:
			return Selector{}, fmt.Errorf("matcher of %s: unknown comparison %q; it is one of =, !=, =~, !~", m.Name, m.Type)
		}
	}
	return s, nil
}

// Matchers returns the conditions; do not change them.
func (s Selector) Matchers() []Matcher { return s.matchers }

// MetricName returns the exact name that the selector asks for, or "" when it asks for none or for several.
func (s Selector) MetricName() string {
	for _, m := range s.matchers {
		if m.Name == "__name__" && m.Type == MatchEqual {
			return m.Value
		}
	}
	return ""
}

// Matches reports whether a series with these labels is selected.
func (s Selector) Matches(ls Labels) bool {
	if len(s.matchers) == 0 {
		return false
	}
	for i, m := range s.matchers {
		v := ls.Get(m.Name)
		var ok bool
		switch m.Type {
		case MatchEqual:
			ok = v == m.Value
		case MatchNotEqual:
			ok = v != m.Value
		case MatchRegexp:
			ok = s.regexps[i].MatchString(v)
		case MatchNotRegexp:
			ok = !s.regexps[i].MatchString(v)
		}
		if !ok {
			return false
		}
	}
	return true
}

// String returns the selector in PromQL.
func (s Selector) String() string {
	var b strings.Builder
	name := s.MetricName()
	b.WriteString(name)
	b.WriteByte('{')
	n := 0
	for _, m := range s.matchers {
		if m.Name == "__name__" && m.Type == MatchEqual {
			continue
		}
		if n > 0 {
			b.WriteByte(',')
		}
		n++
		fmt.Fprintf(&b, "%s%s%q", m.Name, m.Type, m.Value)
	}
	b.WriteByte('}')
	return b.String()
}

// MarshalJSON writes the matchers.
func (s Selector) MarshalJSON() ([]byte, error) { return json.Marshal(s.matchers) }

// UnmarshalJSON reads and compiles the matchers.
func (s *Selector) UnmarshalJSON(b []byte) error {
	var ms []Matcher
	if err := json.Unmarshal(b, &ms); err != nil {
		return err
	}
	c, err := NewSelector(ms)
	if err != nil {
		return err
	}
	*s = c
	return nil
}
