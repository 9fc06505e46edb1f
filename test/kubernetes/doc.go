// Package kubernetes is the list of programs that a real cluster consists of, and of Istio's control plane, at their versions:
// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok (which plays the kubelets of many nodes and moves pods through
// their life) and pilot-discovery (istiod). Package peer builds them into the user's cache folder; package cluster runs them.
//
// It is a module of its own since none of them is a dependency of Evenkeel, and one module for all of them since what they share
// (client-go, gRPC, the machinery of the API) is then compiled once. The folder of the cache is keyed by the content of go.mod and go.sum:
// a version raised here is built anew by the next test that needs it. Kubernetes is to be raised in step: k8s.io/kubernetes v1.N.P and all
// replaces to v0.N.P.
package kubernetes
