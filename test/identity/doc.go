// Package identity tries certificates of mesh/identity on verifiers that others have written.
package identity
