// Package kube lists the clusters of a fleet that Kubernetes' own means describe: a folder of kubeconfig files ([Folder]), or the Cluster objects of Cluster API in a
// management cluster ([Management]).
//
// A [Cluster] is told by the name that it has there, where it was found, and how to reach it. One that is known and cannot be reached has a nil REST and the Reason; the others
// are told all the same. A list that cannot be had as a whole is an error and never a short list, since who reads it stops observing what is missing from it.
//
// # Trust
//
// A folder is the operator's: its files may name programs and other files, as kubectl's do. Secrets of a management cluster are written by many; a kubeconfig there must hold
// all it needs, since a program that it names would run here and a file that it names would be sent to its server. Neither may turn off the verification of the server.
//
// # Bounds
//
// 256 clusters, kubeconfigs of 1 MiB, 20 s for a list. Errors and reasons quote nothing of a kubeconfig but the names of its contexts.
package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// MaxClusters is how many clusters a fleet may have.
	MaxClusters = 256
	// MaxKubeconfig is how many bytes a kubeconfig may have.
	MaxKubeconfig = 1 << 20

	listTime = 20 * time.Second
)

// A Cluster is one of a fleet.
type Cluster struct {
	Name   string // in the fleet; it need not be a DNS label
	From   string // where it was found, for people: a file and its context, or an object
	Labels map[string]string
	Region string // "" where nothing says it

	REST *rest.Config // nil: there is no way to it from here
	// Revision changes when the kubeconfig behind REST does. It is a hash; connections themselves cannot be compared.
	Revision string
	Reason   string // why REST is nil, or what is wrong with a kubeconfig whose last good text still holds
}

// revision is a hash of what a connection was made of.
func revision(text []byte, context string) string {
	h := sha256.New()
	h.Write(text)
	h.Write([]byte{0})
	h.Write([]byte(context))
	return hex.EncodeToString(h.Sum(nil)[:16])
}
