package calls

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"evenkeel.dev/bus"
)

// EventCall is the CloudEvents type of a [CallEvent].
const EventCall = "dev.evenkeel.mesh.call.v1"

// SubjectCall is the prefix of those events in LOG.
const SubjectCall = bus.SubjectEvent + "mesh.call."

// Actions of a [CallEvent].
const (
	ActionCreated   = "created"   // a call is seen for the first time, or again after an hour
	ActionPlaintext = "plaintext" // it was seen without encryption, for the first time
	ActionDeleted   = "deleted"   // it was not seen for an hour
)

// A CallEvent says that a service is called by another, or no more.
type CallEvent struct {
	Action          string  `json:"action"`
	GlobalNamespace string  `json:"globalNamespace"` // of the called service
	Service         string  `json:"service"`
	Cluster         string  `json:"cluster"` // "" where it is not known
	Namespace       string  `json:"namespace"`
	Call            string  `json:"call"`             // a number that names the call from its first sight to its last
	Caller          *Caller `json:"caller,omitempty"` // missing where it belongs to another global namespace
	Seen            string  `json:"seen"`             // who reports it: destination, source or traces
}

// A Caller names who calls.
type Caller struct {
	GlobalNamespace string `json:"globalNamespace"` // "" of one of which nothing is known
	Cluster         string `json:"cluster"`
	Namespace       string `json:"namespace"`
	Service         string `json:"service"`
	Principal       string `json:"principal,omitempty"` // its identity, where it was proven
}

// tell drafts an event about a call.
func (s *Stage) tell(action string, k key, c *call, side Side) {
	src, dst := s.ends(k, side)
	e := CallEvent{
		Action: action, GlobalNamespace: dst.GlobalNamespace, Service: dst.Service, Cluster: dst.Cluster, Namespace: dst.Namespace, Call: fmt.Sprint(c.id), Seen: side.String(),
	}
	if k.stamp != "" && k.stamp != dst.GlobalNamespace {
		return // what a sender says of another global namespace's services is for its own picture alone
	}
	if src.GlobalNamespace == dst.GlobalNamespace || src.Service == Unknown {
		e.Caller = &Caller{src.GlobalNamespace, src.Cluster, src.Namespace, src.Service, c.principal}
	}
	b, err := json.Marshal(e)
	if err != nil {
		return // plain structs: it cannot be
	}
	names := []string{e.GlobalNamespace, e.Service, cmp.Or(e.Cluster, "-"), cmp.Or(e.Namespace, "-"), e.Call}
	s.out = append(s.out, bus.Draft{
		Subject: bus.EventSubject("mesh", "call", names...), To: bus.All, Data: b,
		Event: &bus.Event{Type: EventCall, Subject: strings.Join(names, "/"), Time: s.now},
	})
}
