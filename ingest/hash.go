package ingest

import (
	"hash/maphash"
	"math/bits"
)

// A Hash is 128 bits by which a series is known. Seeds are random per process, so that nobody can make two series collide on
// purpose, and by chance it does not happen.
type Hash struct{ A, B uint64 }

type seeds struct{ a, b maphash.Seed }

func newSeeds() seeds { return seeds{maphash.MakeSeed(), maphash.MakeSeed()} }

// Hash hashes the bytes of a key, or of a part of one.
func (g *Gate) Hash(key []byte) Hash {
	return Hash{maphash.Bytes(g.seeds.a, key), maphash.Bytes(g.seeds.b, key)}
}

// Join returns the hash of the parts h, p in this order, h being the join of those before. Start with the zero Hash. Each half is
// a permutation of h for a given p, and the other way round, so that nothing is lost on the way.
func (h Hash) Join(p Hash) Hash {
	return Hash{bits.RotateLeft64(h.A^p.A, 29) * joinA, bits.RotateLeft64(h.B^p.B, 37) * joinB}
}

const (
	joinA = 0x9e3779b97f4a7c15 // odd constants without structure: the golden ratio and pi in binary
	joinB = 0x243f6a8885a308d3
)

// with makes the hash one of a sender's own. It is a permutation, so that nothing of the 128 bits is lost.
func (h Hash) with(salt Hash) Hash { return Hash{h.A ^ salt.A, h.B ^ salt.B} }

func (g *Gate) hash(s *sender, key []byte) Hash { return g.Hash(key).with(s.salt) }
