// Package customresources tries deploy/crds on a real API server, and Evenkeel on the objects in it. Its tests have the build tag peers.
package customresources
