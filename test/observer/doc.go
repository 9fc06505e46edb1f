// Package observer holds tests of mesh/kube against a real Kubernetes: with the rights that deploy/kubernetes gives, through roll-outs, cut watches
// and the death of the API server, what was told adds up to what there is.
package observer
