package traffic

import (
	"cmp"
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/member"
)

// A Call is what was seen of calls from one place to a port of another, for example by Istio's istio_requests_total, whose label connection_security_policy is mutual_tls
// or not. A source that is not known is the zero Place.
type Call struct {
	Source      member.Place `json:"source"`
	Destination member.Place `json:"destination"`
	Port        int          `json:"port"` // of the destination's instances; 0 where it is not known
	MTLS        bool         `json:"mtls"`
	Count       uint64       `json:"count"`
	Last        bus.Time     `json:"last"`
}

// What becomes of plain calls.
const (
	ReasonStrict         = "Strict"         // refused: inside.mode asks for mTLS
	ReasonStrictHere     = "StrictHere"     // refused: an exception asks for mTLS
	ReasonPortUnknown    = "PortUnknown"    // refused, so far as is known: on which port they came nobody has seen, and the policy differs by port
	ReasonPermissive     = "Permissive"     // let through
	ReasonException      = "Exception"      // let through until the exception expires
	ReasonExceptionEnded = "ExceptionEnded" // refused: the exception that would let them through has expired
)

// A Verdict is what a policy makes of the plain calls from one place to another.
type Verdict struct {
	Call
	Reason string   `json:"reason"`
	Until  bus.Time `json:"until,omitempty"` // of an exception
}

// A Report is what would become of calls that were seen, were the policy enforced.
type Report struct {
	Calls   uint64    `json:"calls"`   // to members
	Plain   uint64    `json:"plain"`   // of these without mTLS
	Denied  uint64    `json:"denied"`  // of these refused
	Outside uint64    `json:"outside"` // to others, of which the policy says nothing
	Refused []Verdict `json:"refused"` // most calls first
	Let     []Verdict `json:"let"`     // likewise
}

// Plaintext says who would be refused by a policy, by calls that were seen since a time: to ask before Strict. Calls to places that are no
// members, of which home returns another global namespace, are counted only. What was not seen cannot be said: a job that runs once a month needs a month of calls.
func Plaintext(e *Encryption, home func(member.Place) string, calls []Call, since, now bus.Time) Report {
	out := Report{Refused: []Verdict{}, Let: []Verdict{}}
	for _, c := range join(calls, since) {
		if home(c.Destination) != e.GlobalNamespace {
			out.Outside += c.Count
			continue
		}
		out.Calls += c.Count
		if c.MTLS {
			continue
		}
		out.Plain += c.Count
		v := e.judge(c, now)
		if v.Reason == ReasonPermissive || v.Reason == ReasonException {
			out.Let = append(out.Let, v)
			continue
		}
		out.Denied += c.Count
		out.Refused = append(out.Refused, v)
	}
	for _, vs := range [][]Verdict{out.Refused, out.Let} {
		slices.SortStableFunc(vs, func(a, b Verdict) int { return cmp.Compare(b.Count, a.Count) })
	}
	return out
}

// join adds up what was seen of the same in several parts, in order.
func join(calls []Call, since bus.Time) []Call {
	sorted := slices.DeleteFunc(slices.Clone(calls), func(c Call) bool { return c.Last < since || c.Count == 0 })
	security := func(c Call) int {
		if c.MTLS {
			return 1
		}
		return 0
	}
	order := func(a, b Call) int {
		return cmp.Or(a.Destination.Compare(b.Destination), cmp.Compare(a.Port, b.Port), a.Source.Compare(b.Source), cmp.Compare(security(a), security(b)))
	}
	slices.SortFunc(sorted, order)
	var out []Call
	for _, c := range sorted {
		if n := len(out); n > 0 && order(out[n-1], c) == 0 {
			out[n-1].Count += c.Count
			out[n-1].Last = max(out[n-1].Last, c.Last)
			continue
		}
		out = append(out, c)
	}
	return out
}

// judge says what becomes of plain calls.
func (e *Encryption) judge(c Call, now bus.Time) Verdict {
	mode, by := e.At(c.Destination, c.Port, now)
	v := Verdict{Call: c, Reason: ReasonPermissive}
	switch {
	case mode != Strict && by != nil && e.Inside == Strict:
		v.Reason, v.Until = ReasonException, by.Expires
	case mode != Strict:
	case by != nil:
		v.Reason, v.Until = ReasonStrictHere, by.Expires
	default:
		v.Reason = e.refusal(c, now)
	}
	return v
}

// refusal says why plain calls are refused by inside.mode: plainly, or because an exception has ended, or because their port is not known and one would help.
func (e *Encryption) refusal(c Call, now bus.Time) string {
	for i := range e.Exceptions {
		x := &e.Exceptions[i]
		switch {
		case x.Mode == Strict:
		case c.Port == 0 && x.Port != 0 && now < x.Expires && x.fits(c.Destination, x.Port):
			return ReasonPortUnknown
		case now >= x.Expires && x.fits(c.Destination, c.Port):
			return ReasonExceptionEnded
		}
	}
	return ReasonStrict
}
