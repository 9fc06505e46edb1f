package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strings"
)

// Token escapes s into one token of a subject: lower-case letters, digits and "-" stand for themselves, every other byte is "_"
// and two hexadecimal digits, and what would be longer than 63 bytes is cut and ends in "_h" and 16 digits of its SHA-256. The
// empty string is "_". Different strings give different tokens (but for a collision of 64 bits), so that a right on one global
// namespace never reaches another's subjects.
func Token(s string) string {
	if s == "" {
		return "_"
	}
	plain := len(s) <= 63
	for i := 0; plain && i < len(s); i++ {
		plain = tokenByte(s[i])
	}
	if plain {
		return s
	}
	const hexDigits = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if tokenByte(s[i]) {
			b.WriteByte(s[i])
		} else {
			b.WriteByte('_')
			b.WriteByte(hexDigits[s[i]>>4])
			b.WriteByte(hexDigits[s[i]&15])
		}
	}
	if b.Len() <= 63 {
		return b.String()
	}
	sum := sha256.Sum256([]byte(s))
	return b.String()[:45] + "_h" + hex.EncodeToString(sum[:8])
}

func tokenByte(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' }

// EventSubject returns the LOG subject of a public event: SubjectEvent, area and type, then each further name as a [Token]. The
// area is the folder that emits it; the first name is the global namespace.
func EventSubject(area, typ string, names ...string) string {
	var b strings.Builder
	b.WriteString(SubjectEvent)
	b.WriteString(area)
	b.WriteByte('.')
	b.WriteString(typ)
	for _, n := range names {
		b.WriteByte('.')
		b.WriteString(Token(n))
	}
	return b.String()
}

// PublicSubject returns the subject under which EVENTS publishes a LOG event subject, or "" if s is none.
func PublicSubject(s string) string {
	if rest, ok := strings.CutPrefix(s, SubjectEvent); ok {
		return "evenkeel." + rest
	}
	return ""
}

// DefaultPartitions is the number of partitions of a stage unless the settings say otherwise.
const DefaultPartitions = 16

// Partition returns the partition, below n, of a service: FNV-1a of its global namespace and name.
func Partition(globalNamespace, service string, n int) int {
	h := fnv.New64a()
	h.Write([]byte(globalNamespace))
	h.Write([]byte{0})
	h.Write([]byte(service))
	return int(h.Sum64() % uint64(n))
}
