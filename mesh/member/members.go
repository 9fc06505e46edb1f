package member

import (
	"fmt"
	"slices"
	"strings"
)

// Reasons of a [Verdict].
const (
	ReasonAccepted        = "Accepted"        // a member: acceptedFrom names where it comes from
	ReasonNotAccepted     = "NotAccepted"     // a candidate: no entry of acceptedFrom does
	ReasonContested       = "Contested"       // refused: another global namespace would admit it, too
	ReasonMemberOfOther   = "MemberOfOther"   // refused: another global namespace has admitted it
	ReasonSystemNamespace = "SystemNamespace" // refused: such a namespace must be named in full
	ReasonNoMatch         = "NoMatch"         // outside: no condition of any global namespace matches
)

// A Verdict is what was decided about a place.
type Verdict struct {
	Place
	Reason    string `json:"reason"`
	Condition int    `json:"condition"` // index of the condition that matches; -1 where none does
	Why       string `json:"why"`       // for people
}

// Members are the places that one global namespace has to do with, in order.
type Members struct {
	GlobalNamespace string    `json:"globalNamespace"`
	Members         []Verdict `json:"members"`
	Candidates      []Verdict `json:"candidates"`
	Refused         []Verdict `json:"refused"`
	Definers        []Place   `json:"definers"` // namespaces that may hold definitions for it
}

// A Membership says of each place of an inventory where it belongs.
type Membership struct {
	Namespaces []Members `json:"globalNamespaces"` // by name
	Outside    []Verdict `json:"outside"`          // places that no condition matches

	home map[Place]string // global namespaces of members
}

// Of returns the global namespace that a place is a member of, or "".
func (m *Membership) Of(p Place) string { return m.home[p] }

// MembersOf decides about each place of an inventory. The order of the definitions and of the inventory makes no difference.
func MembersOf(gs []GlobalNamespace, inv Inventory) Membership {
	sorted := slices.Clone(gs)
	slices.SortFunc(sorted, func(a, b GlobalNamespace) int { return strings.Compare(a.Name, b.Name) })
	m := Membership{Namespaces: make([]Members, len(sorted)), Outside: []Verdict{}, home: map[Place]string{}}
	for i := range sorted {
		m.Namespaces[i] = Members{GlobalNamespace: sorted[i].Name, Members: []Verdict{}, Candidates: []Verdict{}, Refused: []Verdict{}, Definers: []Place{}}
	}
	for _, s := range inv.sites() {
		m.decide(sorted, &s)
	}
	return m
}

// decide puts one place into the lists.
func (m *Membership) decide(gs []GlobalNamespace, s *site) {
	for i := range gs {
		if s.service == nil && gs[i].MayDefine(s.cluster.Name, s.namespace.Name) {
			m.Namespaces[i].Definers = append(m.Namespaces[i].Definers, s.place())
		}
	}
	verdicts, admitted := make([]*Verdict, len(gs)), []string{}
	matched := false
	for i := range gs {
		v := gs[i].judge(s)
		if v == nil {
			continue
		}
		verdicts[i], matched = v, true
		if v.Reason == ReasonAccepted {
			admitted = append(admitted, gs[i].Name)
		}
	}
	if !matched {
		m.Outside = append(m.Outside, Verdict{s.place(), ReasonNoMatch, -1, nearMiss(gs, s)})
		return
	}
	for i, v := range verdicts {
		if v != nil {
			m.Namespaces[i].add(v, admitted)
		}
	}
	if len(admitted) == 1 {
		m.home[s.place()] = admitted[0]
	}
}

// add puts a verdict into its list, given all who would admit the place.
func (l *Members) add(v *Verdict, admitted []string) {
	others := slices.DeleteFunc(slices.Clone(admitted), func(name string) bool { return name == l.GlobalNamespace })
	who := strings.Join(others, " and ")
	switch {
	case v.Reason == ReasonAccepted && len(others) == 0:
		l.Members = append(l.Members, *v)
		return
	case v.Reason == ReasonAccepted:
		v.Reason, v.Why = ReasonContested, who+" would admit it, too, so nobody does"
	case v.Reason == ReasonNotAccepted && len(others) == 0:
		l.Candidates = append(l.Candidates, *v)
		return
	case v.Reason == ReasonNotAccepted && len(others) == 1:
		v.Reason, v.Why = ReasonMemberOfOther, "it is a member of "+who
	case v.Reason == ReasonNotAccepted:
		v.Reason, v.Why = ReasonContested, who+" would admit it, so nobody does"
	}
	l.Refused = append(l.Refused, *v)
}

// judge says what a global namespace by itself makes of a place; nil where no condition matches.
func (g *GlobalNamespace) judge(s *site) *Verdict {
	at := -1
	for i := range g.Conditions {
		if c := &g.Conditions[i]; c.matches(s) && (at < 0 || c.byName() && !g.Conditions[at].byName()) {
			at = i // one that names the namespace in full counts more
		}
	}
	if at < 0 {
		return nil
	}
	v := &Verdict{Place: s.place(), Condition: at}
	if system(s.namespace.Name) && !g.Conditions[at].byName() {
		v.Reason, v.Why = ReasonSystemNamespace, "a namespace of the system joins only when a condition of type Exact names it"
		return v
	}
	for i, a := range g.AcceptedFrom {
		if a.Cluster == s.cluster.Name && (a.Author == "" || a.Author == s.namespace.Author) {
			v.Reason, v.Why = ReasonAccepted, fmt.Sprintf("matchConditions[%d] matches, acceptedFrom[%d] admits", at, i)
			return v
		}
	}
	v.Reason, v.Why = ReasonNotAccepted, fmt.Sprintf("matchConditions[%d] matches; %s", at, g.missing(s))
	return v
}

// missing says which entry of acceptedFrom would admit a place.
func (g *GlobalNamespace) missing(s *site) string {
	clusters := slices.ContainsFunc(g.AcceptedFrom, func(a Accept) bool { return a.Cluster == s.cluster.Name })
	switch {
	case !clusters:
		return fmt.Sprintf("acceptedFrom does not name cluster %s", s.cluster.Name)
	case s.namespace.Author == "":
		return fmt.Sprintf("acceptedFrom names authors in cluster %s, and who made the namespace is not known", s.cluster.Name)
	}
	return fmt.Sprintf("acceptedFrom does not name author %s in cluster %s", s.namespace.Author, s.cluster.Name)
}

// nearMiss says what keeps a place out that a condition would match by its namespace, of the first such condition.
func nearMiss(gs []GlobalNamespace, s *site) string {
	for i := range gs {
		for j := range gs[i].Conditions {
			c := &gs[i].Conditions[j]
			if c.Namespace == nil || !c.Namespace.Matches(s.namespace.Name, s.namespace.Labels) {
				continue
			}
			at := fmt.Sprintf("matchConditions[%d] of %s", j, gs[i].Name)
			switch {
			case !c.Cluster.Matches(s.cluster.Name, s.cluster.Labels):
				return at + " matches its namespace, but not its cluster"
			case s.service == nil:
				return at + " matches services in it, but not the namespace itself"
			}
			return at + " matches its namespace, but not its name"
		}
	}
	return "no condition of any global namespace matches"
}

// system reports whether a namespace belongs to the cluster and not to an application. A prefix or a label that takes it in is a mistake
// more often than a wish, and to encrypt or refuse its traffic could stop the cluster.
func system(namespace string) bool {
	return strings.HasPrefix(namespace, "kube-") || namespace == "istio-system" || namespace == "istio-cni"
}
