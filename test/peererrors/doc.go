// Package peererrors plays, one test each, errors of other SLO tools that their users have reported. Each test says its source, computes
// what the other tool's published arithmetic makes of the case, and shows that Evenkeel's stage gets it right. docs/peers.md lists them.
package peererrors
