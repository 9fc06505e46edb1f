package inventory

// CloudEvents types of this package.
const (
	EventCluster  = "dev.evenkeel.mesh.cluster.v1"
	EventNode     = "dev.evenkeel.mesh.node.v1"
	EventService  = "dev.evenkeel.mesh.service.v1"
	EventInstance = "dev.evenkeel.mesh.instance.v1"
	EventMember   = "dev.evenkeel.mesh.member.v1"
	EventGroup    = "dev.evenkeel.mesh.group.v1"
)

// Organisation stands for the global namespace in subjects of what belongs to none. It is no DNS label, so that it is no global namespace's name.
const Organisation = "-"

// DefaultGlobalNamespace is where services are that are in no other.
const DefaultGlobalNamespace = "default"

// Actions of events.
const (
	ActionCreated = "created"
	ActionUpdated = "updated"
	ActionDeleted = "deleted"
	ActionJoined  = "joined"
	ActionLeft    = "left"
)

// A ClusterEvent says that a cluster's state has changed.
type ClusterEvent struct {
	Cluster  string `json:"cluster"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Previous string `json:"previous,omitempty"` // state
	Version  string `json:"version,omitempty"`  // of Kubernetes
	LastLook string `json:"lastLook,omitempty"` // RFC 3339, by the observer's clock
	Objects  int    `json:"objects"`
	Left     int    `json:"left,omitempty"` // objects that are over a bound
}

// A NodeEvent says that a node came, changed or went.
type NodeEvent struct {
	Action  string `json:"action"`
	Cluster string `json:"cluster"`
	Node
}

// A ServiceEvent is what a service is in one namespace of one cluster, after a change.
type ServiceEvent struct {
	Action          string    `json:"action"`
	GlobalNamespace string    `json:"globalNamespace"`
	Service         string    `json:"service"`
	Cluster         string    `json:"cluster"` // "" of a service outside Kubernetes
	Namespace       string    `json:"namespace"`
	State           string    `json:"state"`
	Reason          string    `json:"reason,omitempty"`
	Desired         int       `json:"desired"`
	Ready           int       `json:"ready"`
	Versions        []Version `json:"versions"`
	Hosts           []string  `json:"hosts,omitempty"` // Service objects that select its instances
}

// A Version is one version of a service in one namespace.
type Version struct {
	Name      string   `json:"name"`
	State     string   `json:"state"`
	Reason    string   `json:"reason,omitempty"`
	Instances int      `json:"instances"`
	Ready     int      `json:"ready"`
	Images    []string `json:"images,omitempty"` // with digests, where they are known; at most 16
}

// An InstanceEvent says that an instance came, changed or went.
type InstanceEvent struct {
	Action          string `json:"action"`
	GlobalNamespace string `json:"globalNamespace"`
	Cluster         string `json:"cluster"`
	Instance
}

// A MemberEvent says that a namespace of a cluster joined a global namespace or left it.
type MemberEvent struct {
	Action          string `json:"action"`
	GlobalNamespace string `json:"globalNamespace"`
	Cluster         string `json:"cluster"`
	Namespace       string `json:"namespace"`
}

// A GroupEvent says how the content of a resource group has changed. Of more than 100 that came or went the first are named.
type GroupEvent struct {
	GlobalNamespace string          `json:"globalNamespace"` // "-" of a group of the organisation
	Group           string          `json:"group"`
	Kind            string          `json:"kind"`
	Count           int             `json:"count"`
	Joined          []GroupResource `json:"joined,omitempty"`
	Left            []GroupResource `json:"left,omitempty"`
}

// A GroupResource names something in a group.
type GroupResource struct {
	Cluster   string `json:"cluster,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}
