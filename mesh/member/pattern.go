// Package member decides who belongs to what: which places of an inventory are in a global namespace, and which services, clusters and
// nodes are in a resource group. It is pure; the same inventory and the same definitions give the same answer, in whatever order they come.
//
// A match alone admits nobody. A place that a condition of a [GlobalNamespace] matches is a candidate, and becomes a member when an entry
// of AcceptedFrom names the cluster, and the author where one is written, that it comes from. So nobody joins "shop" by calling a namespace
// "shop-evil". A place is in one global namespace at most: where two would admit it, it is in neither, until one of them changes.
package member

import (
	"slices"
	"strings"
)

// Types of a [Pattern].
const (
	Exact      = "Exact"
	StartsWith = "StartsWith"
	Labels     = "Labels"
)

// A Pattern is a condition on one thing that has a name and labels.
type Pattern struct {
	Type     string       `json:"type"`            // Exact, StartsWith or Labels
	Match    string       `json:"match,omitempty"` // of Exact and StartsWith
	Required []Expression `json:"required,omitempty"`
}

// Operators of an [Expression], those of Kubernetes' label selectors.
const (
	In           = "In"
	NotIn        = "NotIn"
	Exists       = "Exists"
	DoesNotExist = "DoesNotExist"
)

// An Expression is a condition on one label.
type Expression struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values,omitempty"` // of In and NotIn
}

// Matches reports whether a thing of this name and these labels fits. A pattern that is not there fits all.
func (p *Pattern) Matches(name string, labels map[string]string) bool {
	switch {
	case p == nil:
		return true
	case p.Type == Exact:
		return name == p.Match
	case p.Type == StartsWith:
		return strings.HasPrefix(name, p.Match)
	case p.Type != Labels || len(p.Required) == 0:
		return false // of a later version, or empty: what is not understood admits nobody
	}
	for i := range p.Required {
		if !p.Required[i].holds(labels) {
			return false
		}
	}
	return true
}

// holds is Kubernetes' rule: NotIn holds where the label is missing.
func (e *Expression) holds(labels map[string]string) bool {
	v, ok := labels[e.Key]
	switch e.Operator {
	case In:
		return ok && slices.Contains(e.Values, v)
	case NotIn:
		return !ok || !slices.Contains(e.Values, v)
	case Exists:
		return ok
	case DoesNotExist:
		return !ok
	}
	return false
}

// An Overlap says whether two conditions can match the same place.
type Overlap int

// What an [Overlap] may be, from the least to the most certain.
const (
	Apart Overlap = iota
	MayOverlap
	Overlaps
)

// Overlap compares two patterns. By names it is exact; labels are not known here, so with them it is "may" unless they contradict.
func (p *Pattern) Overlap(o *Pattern) Overlap {
	switch {
	case p.byLabels() && o.byLabels() && contradict(p.Required, o.Required):
		return Apart
	case p.byLabels() || o.byLabels():
		return MayOverlap
	case p == nil || o == nil:
		return Overlaps
	}
	short, long := p, o
	if len(short.Match) > len(long.Match) {
		short, long = long, short
	}
	if !strings.HasPrefix(long.Match, short.Match) || short.Type == Exact && len(short.Match) < len(long.Match) {
		return Apart
	}
	return Overlaps // at what the longer one says, or begins
}

func (p *Pattern) byLabels() bool { return p != nil && p.Type == Labels }

// contradict reports whether no labels can satisfy both: one asks for a value of a label, or for its being there, that the other refuses.
func contradict(a, b []Expression) bool {
	for i := range a {
		for j := range b {
			if a[i].Key == b[j].Key && (a[i].refuses(&b[j]) || b[j].refuses(&a[i])) {
				return true
			}
		}
	}
	return false
}

// refuses reports whether nothing that e asks for is left by o, which is about the same label.
func (e *Expression) refuses(o *Expression) bool {
	switch e.Operator {
	case Exists:
		return o.Operator == DoesNotExist
	case In:
		return !slices.ContainsFunc(e.Values, func(v string) bool { return o.holds(map[string]string{o.Key: v}) })
	}
	return false
}
