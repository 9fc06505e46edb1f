package inventory

import (
	"encoding/json"
	"fmt"

	"evenkeel.dev/bus"
)

// SubjectObservation is the prefix of observations in LOG; the token after it is the cluster's name, so that a right to write them reaches one
// cluster only.
const SubjectObservation = bus.SubjectObservation + "mesh."

// Subject returns the subject of a cluster's observations.
func Subject(cluster string) string { return SubjectObservation + bus.Token(cluster) }

// ObservationVersion is the version of [Observation] that this code writes and reads.
const ObservationVersion = 1

// Phases of an observer.
const (
	PhaseListing  = "Listing"  // it reads all there is; what it has not told of before Listed is gone then
	PhaseListed   = "Listed"   // the last part of that
	PhaseWatching = "Watching" // changes, or nothing new: a sign of life
	PhaseBlind    = "Blind"    // it lives, but cannot read the cluster
	PhaseLeft     = "Left"     // the cluster was detached and nothing of ours is left in it
)

// An Observation is what one observer tells of one cluster: what is new or has changed, and what is gone. Observations of an observer are
// numbered from 1; one that comes twice is passed over, and one that is missing makes the stage wait for the next listing.
type Observation struct {
	Version  int      `json:"v"`
	Cluster  string   `json:"cluster"`
	Observer string   `json:"observer"` // names one life of an observer; a new one begins with a listing
	Number   uint64   `json:"n"`
	Phase    string   `json:"phase"`
	Reason   string   `json:"reason,omitempty"` // of Blind: for people
	At       bus.Time `json:"atMs"`             // when it was seen, by the observer's clock

	Info       *Info       `json:"info,omitempty"` // with Listing
	Namespaces []Namespace `json:"namespaces,omitempty"`
	Nodes      []Node      `json:"nodes,omitempty"`
	Workloads  []Workload  `json:"workloads,omitempty"`
	Hosts      []Host      `json:"hosts,omitempty"`
	Instances  []Instance  `json:"instances,omitempty"`
	Gone       []Key       `json:"gone,omitempty"`
	Left       int         `json:"left,omitempty"` // objects that the observer's bounds keep out now
}

// Info is what a cluster says of itself.
type Info struct {
	Version     string            `json:"version"` // of Kubernetes, for example v1.37.2
	Labels      map[string]string `json:"labels,omitempty"`
	UID         string            `json:"uid,omitempty"` // of the namespace kube-system, which tells clusters apart
	TrustDomain string            `json:"trustDomain,omitempty"`
}

// Kinds of a [Key] beside those of [Workload].
const (
	KindNamespace = "Namespace"
	KindNode      = "Node"
	KindHost      = "Service"
	KindInstance  = "Pod"
)

// A Key names an object of a cluster; Kind is one of the constants, or the kind of a workload.
type Key struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// A Namespace is a namespace of a cluster.
type Namespace struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Author string            `json:"author,omitempty"` // who made it, as the cluster says; "" where that is not known
}

// A Node is a node of a cluster.
type Node struct {
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels,omitempty"`
	Version string            `json:"version,omitempty"` // of its kubelet
	Ready   bool              `json:"ready"`
	Reason  string            `json:"reason,omitempty"` // of not being ready
	Region  string            `json:"region,omitempty"`
	Zone    string            `json:"zone,omitempty"`
}

// A Workload is what makes instances: a Deployment, ReplicaSet, StatefulSet, DaemonSet, Job or CronJob that nothing else owns.
type Workload struct {
	Kind      string            `json:"kind"`
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Service   string            `json:"service"`           // that its instances belong to
	Version   string            `json:"version,omitempty"` // as its labels say; "" where they say nothing
	Labels    map[string]string `json:"labels,omitempty"`  // of its instances
	Desired   int               `json:"desired"`
	Created   bus.Time          `json:"createdMs"`
}

// A Host is a Service object of Kubernetes: a name under which instances are called.
type Host struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Selector  map[string]string `json:"selector,omitempty"` // of labels of instances
	ClusterIP string            `json:"clusterIP,omitempty"`
	Ports     []Port            `json:"ports,omitempty"`
}

// A Port is a port of a [Host].
type Port struct {
	Name        string `json:"name,omitempty"`
	Port        int    `json:"port"`
	Target      int    `json:"target,omitempty"` // port of the instances; 0 where it has a name
	Protocol    string `json:"protocol"`         // TCP, UDP or SCTP
	AppProtocol string `json:"appProtocol,omitempty"`
}

// States of an [Instance], a service and a version.
const (
	StateHealthy = "Healthy"
	StateWarning = "Warning"
	StateError   = "Error"
	StateUnknown = "Unknown"
)

// An Instance is a Pod.
type Instance struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Service   string   `json:"service"`
	Version   string   `json:"version"`
	Workload  string   `json:"workload,omitempty"` // "Deployment/cart"; "" of a bare Pod
	Node      string   `json:"node,omitempty"`
	IP        string   `json:"ip,omitempty"`
	Account   string   `json:"account,omitempty"` // its service account
	Identity  string   `json:"identity,omitempty"`
	Images    []Image  `json:"images,omitempty"`
	State     string   `json:"state"`
	Reason    string   `json:"reason,omitempty"` // of a state that is not Healthy, for example CrashLoopBackOff
	Done      bool     `json:"done,omitempty"`   // it has ended and shall not run again
	Sidecar   bool     `json:"sidecar,omitempty"`
	Restarts  int      `json:"restarts,omitempty"`
	Created   bus.Time `json:"createdMs"`

	Labels map[string]string `json:"labels,omitempty"` // those that some Host selects by
}

// An Image is what a container runs.
type Image struct {
	Container string `json:"container"`
	Name      string `json:"name"`             // as it was written
	Digest    string `json:"digest,omitempty"` // "sha256:…", once it runs
}

// Decode reads an observation and refuses one that it cannot trust.
func Decode(data []byte) (Observation, error) {
	var o Observation
	if err := json.Unmarshal(data, &o); err != nil {
		return o, fmt.Errorf("observation: %w", err)
	}
	switch {
	case o.Version != ObservationVersion:
		return o, fmt.Errorf("observation: it has version %d; this program reads version %d", o.Version, ObservationVersion)
	case o.Cluster == "" || o.Observer == "" || o.Number == 0:
		return o, fmt.Errorf("observation: cluster, observer and n must be there")
	}
	switch o.Phase {
	case PhaseListing, PhaseListed, PhaseWatching, PhaseBlind, PhaseLeft:
		return o, nil
	}
	return o, fmt.Errorf("observation: unknown phase %q", o.Phase)
}
