package slo

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"evenkeel.dev/bus"
)

// How a [Composite] joins what its members' minutes are worth.
const (
	JoinWorst        = "Worst"        // a minute is worth the least of its members' shares of good events
	JoinWeightedMean = "WeightedMean" // the mean of their shares, by their weights
	JoinAllMustHold  = "AllMustHold"  // a minute is good when each member meets its own objective in it, else bad
)

// Joins lists the ways to join members.
func Joins() []string { return []string{JoinWorst, JoinWeightedMean, JoinAllMustHold} }

// MaxMembers bounds the members of a composite.
const MaxMembers = 50

// compositeSlice is the unit of composites: that of the ledger, from which they are made.
const compositeSlice = Duration(bus.Minute)

// A Composite makes of an objective the joint one of other SLOs of its global namespace: of a user's journey over several services. It
// counts minutes, by the method RatioTimeslices.
type Composite struct {
	Join    string   `json:"join"` // one of the Join constants
	Members []Member `json:"members"`
}

// A Member is an SLO that counts in a composite.
type Member struct {
	Service string  `json:"service"`
	Name    string  `json:"name"`
	Target  Decimal `json:"target"` // JoinAllMustHold: the share of good events that a minute of it needs
	Weight  Decimal `json:"weight"` // JoinWeightedMean: above 0
}

// NewComposite makes o the joint objective of members.
func NewComposite(o Objective, c Composite) Objective {
	o.SLI, o.Method, o.Slice, o.Composite = SLI{}, MethodRatioTimeslices, &Slice{Length: compositeSlice}, &c
	return o
}

func (o *Objective) validateComposite() error {
	c := o.Composite
	switch {
	case !slices.Contains(Joins(), c.Join):
		return fmt.Errorf("members cannot be joined by %q; it is one of %s", c.Join, strings.Join(Joins(), ", "))
	case len(c.Members) < 1 || len(c.Members) > MaxMembers:
		return fmt.Errorf("a composite has %d members; from 1 to %d are allowed", len(c.Members), MaxMembers)
	case o.SLI.Gauge != nil || o.SLI.Good != nil || o.SLI.Bad != nil || len(o.SLI.Total.Terms) > 0:
		return fmt.Errorf("a composite has members and no queries")
	case o.Method != MethodRatioTimeslices || o.Slice == nil || o.Slice.Length != compositeSlice:
		return fmt.Errorf("a composite counts minutes, by the method %s with slices of %s", MethodRatioTimeslices, compositeSlice)
	case len(o.GroupBy) > 0:
		return fmt.Errorf("a composite has no series to group by")
	}
	one, limit := big.NewRat(1, 1), big.NewRat(1_000_000, 1)
	seen := map[StatusKey]bool{}
	for i := range c.Members {
		m := &c.Members[i]
		key := m.key(o.GlobalNamespace)
		switch t, w := m.Target.Rat(), m.Weight.Rat(); {
		case m.Service == "" || m.Name == "":
			return fmt.Errorf("member %d: it needs the service and the name of an SLO", i+1)
		case seen[key]:
			return fmt.Errorf("member %d: %s/%s is a member twice", i+1, m.Service, m.Name)
		case m.Service == o.Service && m.Name == o.Name:
			return fmt.Errorf("member %d: a composite cannot be its own member", i+1)
		case w.Sign() <= 0 || w.Cmp(limit) > 0:
			return fmt.Errorf("member %d: the weight %s is not above 0 and at most a million", i+1, m.Weight)
		case t.Sign() <= 0 || t.Cmp(one) > 0:
			return fmt.Errorf("member %d: the target %s is not above 0 and at most 1", i+1, m.Target)
		}
		seen[key] = true
	}
	return nil
}

func (m *Member) key(globalNamespace string) StatusKey {
	return StatusKey{globalNamespace, m.Service, m.Name}
}

// A part is what one member says of a minute: its share of good events, exactly.
type part struct {
	member *Member
	share  *big.Rat
}

// join returns what a minute is worth, from 0 to 1, computed as a fraction and rounded once.
func join(how string, parts []part) float64 {
	out := new(big.Rat)
	switch how {
	case JoinWorst:
		out = slices.MinFunc(parts, func(a, b part) int { return a.share.Cmp(b.share) }).share
	case JoinWeightedMean:
		weights := new(big.Rat)
		for _, p := range parts {
			w := p.member.Weight.Rat()
			weights.Add(weights, w)
			out.Add(out, w.Mul(w, p.share))
		}
		out.Quo(out, weights)
	case JoinAllMustHold:
		if !slices.ContainsFunc(parts, func(p part) bool { return p.share.Cmp(p.member.Target.Rat()) < 0 }) {
			out = big.NewRat(1, 1)
		}
	}
	v, _ := out.Float64()
	return v
}

// keptMinutes is for how many minutes members' counts are kept: as long as the slices of a composite can be corrected.
const keptMinutes = keptTime/60 + 2

// A memberMinute is what a member counted in one minute.
type memberMinute struct {
	number      int64 // minutes since the epoch; 0: none
	good, total float64
	covered     bool
}

// memberMinutes are the newest minutes of a member, by their number modulo that of minutes kept.
type memberMinutes [keptMinutes]memberMinute

// take adds what the ledger says of a minute; false where it is too old.
func (m *memberMinutes) take(minute int64, good, total float64, covered bool) bool {
	at := &m[mod(minute, keptMinutes)]
	if at.number > minute {
		return false
	}
	if at.number < minute {
		*at = memberMinute{number: minute}
	}
	at.good += good
	at.total += total
	at.covered = at.covered || covered
	return true
}

// share returns the share of good events in a minute; nil where there is no data. A minute with samples and without an event is good, as
// slices of time are.
func (m *memberMinutes) share(minute int64) *big.Rat {
	at := &m[mod(minute, keptMinutes)]
	one := big.NewRat(1, 1)
	switch {
	case at.number != minute || !at.covered:
		return nil
	case at.total <= 0 || at.good >= at.total:
		return one
	case at.good <= 0:
		return new(big.Rat)
	}
	good, total := new(big.Rat).SetFloat64(at.good), new(big.Rat).SetFloat64(at.total)
	if good == nil || total == nil {
		return nil
	}
	return good.Quo(good, total)
}
