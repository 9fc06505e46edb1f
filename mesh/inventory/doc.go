// Package inventory knows what runs where: clusters, their namespaces and nodes, services with their versions and instances, and which global
// namespace each belongs to.
//
// Observers (mesh/kube in this process, or an agent in the cluster) append an [Observation] for each change that they see. The stage keeps what they
// say, joins instances to services and versions, decides membership (mesh/member) and answers with public events:
//
//	evenkeel.mesh.cluster.-.<cluster>                                        a cluster's state
//	evenkeel.mesh.node.-.<cluster>.<node>                                    a node came, changed or went
//	evenkeel.mesh.service.<gns>.<service>.<cluster>.<namespace>              a service in one namespace: state, versions, counts
//	evenkeel.mesh.instance.<gns>.<service>.<cluster>.<namespace>.<instance>  an instance came, changed or went
//	evenkeel.mesh.member.<gns>.<cluster>.<namespace>                         a namespace joined or left
//	evenkeel.mesh.group.<gns>.<group>                                        what a resource group holds has changed
//
// The token "-" stands for the whole organisation; it is no global namespace's token. A service that is in no global namespace is in "default".
//
// # What a service is
//
// What Istio takes for one: the label service.istio.io/canonical-name, or app.kubernetes.io/name, or app, or else the name of the workload. So the
// names are those that telemetry carries. A version is the label service.istio.io/canonical-revision, app.kubernetes.io/version or version, or else
// the roll-out (the hash that Kubernetes gives each template), so that a roll-out makes a new version under the same service. A service is what has the same
// global namespace and name, in whatever cluster and namespace.
//
// # Darkness
//
// A cluster of which nothing was heard for [DarkAfter] is Dark: its last state is kept with its age, its instances are Unknown, and its
// capacity is unknown, not zero (SAFETY 13). A listing of an observer that comes back corrects what changed meanwhile.
package inventory
