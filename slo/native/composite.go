package native

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// memberMax is the greatest weight of a member.
const memberMax = 1_000_000

// composite makes of an objective the joint one of the members in spec.composite.
func (r *run) composite(d *mesh.Document, s *spec, o slo.Objective) slo.Objective {
	const path = "spec.composite"
	for _, f := range []struct{ name, message, hint string }{
		{"sli", "sli and composite exclude each other: a composite has the SLIs of its members", "keep one of them"},
		{"budgeting", "a composite counts minutes, each by what its members' events are worth", "leave budgeting out"},
		{"groupBy", "a composite has no series to group by", "leave groupBy out, or group an SLO of its own"},
	} {
		if node(d, "spec."+f.name) != nil {
			r.add(d.KeyProblem("spec."+f.name, f.message, f.hint))
		}
	}
	c := slo.Composite{Join: slo.JoinWeightedMean}
	if known := slo.Joins(); kindAt(d, path+".method", mesh.NodeString) {
		if c.Join = s.Composite.Method; !slices.Contains(known, c.Join) {
			r.oneOf(d, path+".method", c.Join, known)
		}
	}
	c.Members = r.members(d, s.Composite.Members, c.Join, &o)
	return slo.NewComposite(o, c)
}

// members compiles the members of the composite o.
func (r *run) members(d *mesh.Document, ms []member, join string, o *slo.Objective) []slo.Member {
	const path = "spec.composite.members"
	switch n := node(d, path); {
	case n == nil:
		r.absent(d, path, path+" is missing", "write for example members: [{service: cart, slo: cart-availability}]")
	case n.Kind == mesh.NodeList && len(ms) == 0:
		r.add(d.Problem(path, "the composite has no members", "write for example members: [{service: cart, slo: cart-availability}]"))
	case len(ms) > slo.MaxMembers:
		r.add(d.Problem(path, fmt.Sprintf("the composite has %d members; at most %d are taken", len(ms), slo.MaxMembers), "join some of them first, or leave some out"))
		return nil
	}
	var out []slo.Member
	for i := range ms {
		at := fmt.Sprintf("%s[%d]", path, i)
		if node(d, at) == nil {
			r.add(d.Problem(path, fmt.Sprintf("member %d is empty", i+1), "write {service: NAME, slo: NAME}"))
			continue
		}
		m := r.member(d, at, &ms[i], join)
		switch {
		case m.Service == "" || m.Name == "":
			continue // told already
		case m.Service == o.Service && m.Name == o.Name:
			r.add(d.Problem(at, "the composite is a member of itself", "name an SLO of its own"))
		case slices.ContainsFunc(out, func(o slo.Member) bool { return o.Service == m.Service && o.Name == m.Name }):
			r.add(d.Problem(at, fmt.Sprintf("%s/%s is a member twice", m.Service, m.Name), "leave one out, or give it a greater weight"))
		}
		out = append(out, m)
	}
	return out
}

// member compiles one member. What its method does not look at is written as 1, so that changing it does not begin the counts anew.
func (r *run) member(d *mesh.Document, at string, m *member, join string) slo.Member {
	out := slo.Member{Service: m.Service, Name: m.SLO, Target: slo.MustDecimal("1"), Weight: slo.MustDecimal("1")}
	for _, f := range []struct{ name, text, hint string }{
		{"service", m.Service, "name the service of the SLO"}, {"slo", m.SLO, "name the SLO, as in its metadata.name"},
	} {
		name := f.text
		if f.name == "slo" { // that of a group has its values behind a "_"
			name, _, _ = strings.Cut(name, "_")
		}
		switch hint := mesh.LabelHint(name); {
		case node(d, at+"."+f.name) == nil:
			r.absent(d, at+"."+f.name, at+"."+f.name+" is missing", f.hint)
		case hint != "" && kindAt(d, at+"."+f.name, mesh.NodeString):
			r.add(d.Problem(at+"."+f.name, fmt.Sprintf("the %s %q is not a DNS label", f.name, shorten(f.text)), hint))
		}
	}
	if m.Weight != nil {
		if v, ok := r.weight(d, at+".weight", m.Weight); ok && join == slo.JoinWeightedMean {
			out.Weight = v
		}
	}
	switch {
	case m.Objective != nil:
		if v, ok := r.percent(d, at+".objective", m.Objective, "99.9%"); ok && join == slo.JoinAllMustHold {
			out.Target = v
		}
	case join == slo.JoinAllMustHold:
		r.absent(d, at+".objective", at+".objective is missing", "the share of good events that a minute of it needs; write for example objective: 99.9%")
	}
	return out
}

func (r *run) weight(d *mesh.Document, at string, n *mesh.Node) (slo.Decimal, bool) {
	v, err := slo.ParseDecimal(n.Text)
	if n.Kind != mesh.NodeNumber || err != nil || v.Rat().Sign() <= 0 || v.Rat().Cmp(big.NewRat(memberMax, 1)) > 0 {
		r.add(d.Problem(at, fmt.Sprintf("%s must be a number above 0 and at most a million, found %s", at, found(n)), "write for example weight: 2: it counts twice as much as one of 1"))
		return slo.Decimal{}, false
	}
	return v, true
}

// checkMembers looks at the members of the composites among defs, where they are known: those of existing and of defs themselves. One that
// is not known may stand in the same change, in another format; until it counts it is a member without data.
func (r *run) checkMembers(docs []mesh.Document, defs, existing []mesh.Definition, fresh map[mesh.Ref]bool) {
	composites := map[int]*slo.Objective{}
	known := map[string]*slo.Objective{}
	learn := func(def *mesh.Definition) []slo.Objective {
		var os []slo.Objective
		if b := bytes.TrimSpace(def.Compiled); len(b) == 0 || b[0] != '[' || json.Unmarshal(b, &os) != nil {
			return nil // a kind that is no SLO
		}
		for i := range os {
			known[objectiveKey(os[i].GlobalNamespace, os[i].Service, os[i].Name)] = &os[i]
		}
		return os
	}
	for i := range defs {
		for k, os := 0, learn(&defs[i]); k < len(os); k++ {
			if os[k].Composite != nil {
				composites[i] = &os[k]
			}
		}
	}
	if len(composites) == 0 {
		return
	}
	for i := range existing {
		if !fresh[existing[i].Ref] {
			learn(&existing[i])
		}
	}
	for i, o := range composites { // problems are sorted afterwards
		for k := range o.Composite.Members {
			m := &o.Composite.Members[k]
			of := known[objectiveKey(o.GlobalNamespace, m.Service, m.Name)]
			at := fmt.Sprintf("spec.composite.members[%d].slo", k)
			switch {
			case of == nil:
			case of.Composite != nil:
				r.add(docs[i].Problem(at, fmt.Sprintf("%s/%s is a composite itself", m.Service, m.Name), "name its members here"))
			case of.Method != slo.MethodOccurrences:
				r.add(docs[i].Problem(at, fmt.Sprintf("%s/%s counts slices of time; members count events", m.Service, m.Name), "name an SLO with the method Occurrences"))
			}
		}
	}
}

// objectiveKey is what tells objectives apart: names have no slash.
func objectiveKey(globalNamespace, service, name string) string {
	return globalNamespace + "/" + service + "/" + name
}
