// Package mesh holds tests of the mesh end to end: real clusters, the whole program, and what its users see of both.
package mesh
