package inventory

import (
	"encoding/json"
	"slices"
	"strings"

	"evenkeel.dev/bus"
)

// SubjectEnrolment carries an [EnrolmentRequest]; SubjectEnrolled carries the [Enrolled] that answers it.
const (
	SubjectEnrolment = bus.SubjectProposal + "enrolment"
	SubjectEnrolled  = bus.SubjectDraft + "mesh.enrolled"
)

// EventEnrolment is the CloudEvents type of an [EnrolmentEvent].
const EventEnrolment = "dev.evenkeel.mesh.enrolment.v1"

// EnrolmentVersion is the version of [EnrolmentRequest] that this code writes and reads.
const EnrolmentVersion = 1

// EnrolmentsMax bounds the enrolments that are remembered: those of clusters that stand, and those whose token could still be shown again.
const EnrolmentsMax = 4096

// Reasons of an answer to an enrolment.
const (
	EnrolmentAccepted  = "Accepted"
	EnrolmentRepeated  = "Repeated" // the same agent has asked again, and is answered as before
	RefusedNoCluster   = "NoSuchCluster"
	RefusedNoAgent     = "NoAgentExpected" // the cluster's definition names no token
	RefusedDetaching   = "Detaching"
	RefusedTokenWrong  = "TokenWrong"
	RefusedTokenUsed   = "TokenUsed" // another agent has enrolled with it: one of the two is not who it should be
	RefusedExpired     = "TokenExpired"
	RefusedKeyTaken    = "KeyTaken" // the key speaks for another cluster
	RefusedTooMany     = "TooMany"
	RefusedKeyMissing  = "KeyMissing"
	ActionAccepted     = "accepted"
	ActionRefused      = "refused"
	enrolmentKeyMax    = 128 // bytes; a public nkey has 56
	enrolmentFromMax   = 64
	enrolmentNameMax   = 253
	enrolmentIDMax     = 64
	enrolmentSumLength = 64
)

// An EnrolmentRequest is an agent's wish to speak for a cluster. The token itself never enters the log: who reads the log could use it.
type EnrolmentRequest struct {
	Version  int    `json:"v"`
	ID       string `json:"id"` // by which the answer is known
	Cluster  string `json:"cluster"`
	TokenSum string `json:"tokenSum"`       // hexadecimal SHA-256 of the token that was shown
	Key      string `json:"key"`            // public key that the agent will prove to have
	From     string `json:"from,omitempty"` // address that the request came from
}

// An Enrolled answers an [EnrolmentRequest].
type Enrolled struct {
	ID       string `json:"id"`
	Cluster  string `json:"cluster"`
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason"`
}

// An EnrolmentEvent says that somebody has shown a token for a cluster. Refusals are told too, so that a stolen token is noticed.
type EnrolmentEvent struct {
	Action  string `json:"action"` // accepted or refused
	Cluster string `json:"cluster"`
	Reason  string `json:"reason"`
	Key     string `json:"key"`              // public key that was to speak for the cluster
	Holder  string `json:"holder,omitempty"` // with TokenUsed: the key that was enrolled with the token
	From    string `json:"from,omitempty"`
}

// An enrolment is a token that was used.
type enrolment struct {
	TokenSum string   `json:"tokenSum"`
	Cluster  string   `json:"cluster"`
	Key      string   `json:"key"`
	At       bus.Time `json:"at"`
	Expires  bus.Time `json:"expires"` // of the token, as its definition last said
}

// An Agent is who may speak for a cluster now.
type Agent struct {
	Cluster string   `json:"cluster"`
	Key     string   `json:"key"`
	Since   bus.Time `json:"sinceMs"`
}

// enrol answers a request. Requests are judged in the log's order, so that of two with one token the first alone is accepted, whoever asks which process.
func (s *Stage) enrol(r *bus.Record) {
	var q EnrolmentRequest
	if json.Unmarshal(r.Data, &q) != nil || q.Version != EnrolmentVersion || q.Cluster == "" || len(q.Cluster) > enrolmentNameMax || len(q.ID) > enrolmentIDMax || len(q.Key) > enrolmentKeyMax || len(q.From) > enrolmentFromMax {
		s.stats.Undecodable++
		return
	}
	s.prune()
	reason, holder := s.judge(&q)
	accepted := reason == EnrolmentAccepted || reason == EnrolmentRepeated
	if reason == EnrolmentAccepted {
		spec := s.clusters[q.Cluster].spec
		s.enrolments = append(s.enrolments, enrolment{q.TokenSum, q.Cluster, q.Key, s.now, spec.Agent.Expires})
		slices.SortFunc(s.enrolments, func(a, b enrolment) int { return strings.Compare(a.TokenSum, b.TokenSum) })
	}
	if b, err := json.Marshal(Enrolled{q.ID, q.Cluster, accepted, reason}); err == nil {
		s.out = append(s.out, bus.Draft{Subject: SubjectEnrolled, To: bus.All, Data: b})
	}
	if reason == EnrolmentRepeated {
		return // it has been told
	}
	e := EnrolmentEvent{Action: ActionAccepted, Cluster: q.Cluster, Reason: reason, Key: q.Key, Holder: holder, From: q.From}
	if !accepted {
		e.Action = ActionRefused
		s.stats.EnrolmentsRefused++
	}
	s.event(EventEnrolment, e, Organisation, q.Cluster)
}

// judge returns the reason of the answer, and with TokenUsed who holds the token.
func (s *Stage) judge(q *EnrolmentRequest) (reason, holder string) {
	c := s.clusters[q.Cluster]
	switch {
	case c == nil || c.spec == nil:
		return RefusedNoCluster, ""
	case c.spec.Agent == nil:
		return RefusedNoAgent, ""
	case len(q.TokenSum) != enrolmentSumLength || q.TokenSum != c.spec.Agent.TokenSum:
		return RefusedTokenWrong, ""
	case q.Key == "":
		return RefusedKeyMissing, ""
	case c.spec.Detach:
		return RefusedDetaching, ""
	}
	for _, e := range s.enrolments {
		switch {
		case e.TokenSum == q.TokenSum && e.Key == q.Key && e.Cluster == q.Cluster:
			return EnrolmentRepeated, ""
		case e.TokenSum == q.TokenSum:
			return RefusedTokenUsed, e.Key
		case e.Key == q.Key && e.Cluster != q.Cluster && s.speaks(&e):
			return RefusedKeyTaken, ""
		}
	}
	switch {
	case s.now > c.spec.Agent.Expires:
		return RefusedExpired, ""
	case len(s.enrolments) >= EnrolmentsMax:
		return RefusedTooMany, ""
	}
	return EnrolmentAccepted, ""
}

// speaks reports whether an enrolment counts: it was made with the token that the cluster's definition names. So a new token, and the end of the
// definition, take the old agent's right away at once.
func (s *Stage) speaks(e *enrolment) bool {
	c := s.clusters[e.Cluster]
	return c != nil && c.spec != nil && c.spec.Agent != nil && c.spec.Agent.TokenSum == e.TokenSum
}

// prune forgets the tokens that nobody could use again: no definition names them, and they have expired.
func (s *Stage) prune() {
	s.enrolments = slices.DeleteFunc(s.enrolments, func(e enrolment) bool { return !s.speaks(&e) && s.now > e.Expires })
}

// Agents returns who may speak for clusters, by cluster. An agent of a cluster that is to leave still may: it says that it has left.
func (s *Stage) Agents() []Agent {
	out := []Agent{}
	for i := range s.enrolments {
		if e := &s.enrolments[i]; s.speaks(e) {
			out = append(out, Agent{e.Cluster, e.Key, e.At})
		}
	}
	slices.SortFunc(out, func(a, b Agent) int { return strings.Compare(a.Cluster, b.Cluster) })
	return out
}

// A Standing is what an agent must know of its cluster.
type Standing struct {
	Observer string       // whose observations count
	Missed   bool         // some are missing: only a listing can mend it
	Spec     *ClusterSpec // nil: nobody defines the cluster
}

// Standing returns how a cluster stands.
func (s *Stage) Standing(name string) Standing {
	c := s.clusters[name]
	if c == nil {
		return Standing{}
	}
	return Standing{c.observer, c.missed, c.spec}
}

// DetachTimeout is how long an agent may take to say that its cluster has left, before it is given up.
const DetachTimeout = 5 * bus.Minute

// Leaving returns the clusters that are to leave and of which nothing more will come: their agent has said that it has left, or is not there, or has
// said nothing for [DetachTimeout]. Their definitions may go.
func (s *Stage) Leaving() []string {
	agents := map[string]bool{}
	for _, a := range s.Agents() {
		agents[a.Cluster] = true
	}
	var out []string
	for _, name := range s.clusterNames() {
		c := s.clusters[name]
		if c.spec != nil && c.spec.Detach && (c.phase == PhaseLeft || !agents[name] || c.told == ClusterDetaching && s.now-c.since > DetachTimeout) {
			out = append(out, name)
		}
	}
	return out
}
