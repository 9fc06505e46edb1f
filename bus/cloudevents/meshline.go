package cloudevents

import (
	"fmt"
	"strings"
)

type clusterData struct {
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Previous string `json:"previous"`
	Objects  int    `json:"objects"`
}

func clusterLine(d *clusterData) string {
	text := d.State
	if d.Previous != "" {
		text = d.Previous + " -> " + d.State
	}
	return fmt.Sprintf("%s (%s), %d objects", text, d.Reason, d.Objects)
}

// A thingData is what nodes, services and instances have in common.
type thingData struct {
	Action   string `json:"action"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Version  string `json:"version"`
	Ready    any    `json:"ready"` // of a node whether, of a service how many
	Desired  int    `json:"desired"`
	Versions []struct {
		Name string `json:"name"`
	} `json:"versions"`
	Node string `json:"node"`
}

// why puts a reason into parentheses, where there is one.
func (d *thingData) why() string {
	if d.Reason == "" {
		return ""
	}
	return " (" + d.Reason + ")"
}

func nodeLine(d *thingData) string {
	state := "not ready"
	if d.Ready == true {
		state = "ready"
	}
	return fmt.Sprintf("node %s: %s%s", d.Action, state, d.why())
}

func serviceLine(d *thingData) string {
	var names []string
	for _, v := range d.Versions {
		names = append(names, v.Name)
	}
	return fmt.Sprintf("service %s: %s%s, %v of %d ready, versions %s", d.Action, d.State, d.why(), d.Ready, d.Desired, strings.Join(names, " "))
}

func instanceLine(d *thingData) string {
	return fmt.Sprintf("instance %s: %s%s, version %s on %s", d.Action, d.State, d.why(), d.Version, d.Node)
}

type memberData struct {
	Action          string `json:"action"`
	GlobalNamespace string `json:"globalNamespace"`
	Cluster         string `json:"cluster"`
	Namespace       string `json:"namespace"`
}

func memberLine(d *memberData) string {
	return fmt.Sprintf("namespace %s of %s %s %s", d.Namespace, d.Cluster, d.Action, d.GlobalNamespace)
}

type groupData struct {
	Kind   string     `json:"kind"`
	Count  int        `json:"count"`
	Joined []struct{} `json:"joined"`
	Left   []struct{} `json:"left"`
}

func groupLine(d *groupData) string {
	return fmt.Sprintf("%d of kind %s: %d joined, %d left", d.Count, d.Kind, len(d.Joined), len(d.Left))
}

type enrolmentData struct {
	Action  string `json:"action"`
	Cluster string `json:"cluster"`
	Reason  string `json:"reason"`
	From    string `json:"from"`
}

func enrolmentLine(d *enrolmentData) string {
	if d.Action == "accepted" {
		return fmt.Sprintf("an agent at %s speaks for %s from now on", d.From, d.Cluster)
	}
	return fmt.Sprintf("an agent at %s that would speak for %s was refused (%s)", d.From, d.Cluster, d.Reason)
}

type callData struct {
	Action  string `json:"action"`
	Service string `json:"service"`
	Caller  *struct {
		Service string `json:"service"`
	} `json:"caller"`
}

func callLine(d *callData) string {
	caller := "another global namespace"
	if d.Caller != nil {
		caller = d.Caller.Service
	}
	switch d.Action {
	case "plaintext":
		return fmt.Sprintf("%s calls %s without encryption", caller, d.Service)
	case "deleted":
		return fmt.Sprintf("%s has not called %s for an hour", caller, d.Service)
	}
	return fmt.Sprintf("%s calls %s", caller, d.Service)
}
