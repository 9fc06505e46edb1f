// Package istio tests what mesh/istio compiles against a real API server with the CRDs of Istio and of the Gateway API, and by what becomes of calls that a real istiod has a say in.
package istio
