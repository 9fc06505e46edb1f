// Package fleet holds tests of fleets against a real Kubernetes API server: Cluster API's objects with the rights that deploy/kubernetes gives, and a folder of kubeconfigs.
package fleet
