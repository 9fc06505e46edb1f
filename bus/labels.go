package bus

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// A Label is one name and value of a series.
type Label struct{ Name, Value string }

// Labels are the labels of a series, sorted by name, without duplicates and without empty values. The metric's name is the label
// "__name__", as in Prometheus.
type Labels []Label

// Get returns the value of name, or "".
func (ls Labels) Get(name string) string {
	for i := range ls {
		if ls[i].Name == name {
			return ls[i].Value
		}
	}
	return ""
}

// Sort brings ls into canonical order and drops empty values; of equal names the last stays.
func (ls Labels) Sort() Labels {
	slices.SortStableFunc(ls, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	out := ls[:0]
	for i := range ls {
		if i+1 < len(ls) && ls[i+1].Name == ls[i].Name || ls[i].Value == "" {
			continue
		}
		out = append(out, ls[i])
	}
	return out
}

// String returns ls in the notation of Prometheus.
func (ls Labels) String() string {
	var b strings.Builder
	b.WriteString(ls.Get("__name__"))
	b.WriteByte('{')
	first := true
	for _, l := range ls {
		if l.Name == "__name__" {
			continue
		}
		if !first {
			b.WriteString(", ")
		}
		first = false
		b.WriteString(l.Name)
		b.WriteString(`="`)
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(l.Value))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

// Append appends the canonical encoding of ls: the number of labels, then each name and value with its length (uvarints).
func (ls Labels) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ls)))
	for i := range ls {
		dst = appendString(dst, ls[i].Name)
		dst = appendString(dst, ls[i].Value)
	}
	return dst
}

// MaxLabels bounds the labels of one series in a frame; Prometheus' usual limits are well below it.
const MaxLabels = 256

var errLabels = errors.New("bus: labels are cut short or too many")

// DecodeLabels reads what [Labels.Append] wrote and returns what follows it. It copies nothing but one string.
func DecodeLabels(b []byte) (Labels, []byte, error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > MaxLabels {
		return nil, nil, errLabels
	}
	rest := b[k:]
	end := rest
	for range 2 * n {
		l, k := binary.Uvarint(end)
		if k <= 0 || l > uint64(len(end)-k) {
			return nil, nil, errLabels
		}
		end = end[k+int(l):]
	}
	text := string(rest[:len(rest)-len(end)])
	ls := make(Labels, n)
	for i := range ls {
		ls[i].Name, text = cutString(text)
		ls[i].Value, text = cutString(text)
	}
	return ls, end, nil
}

func cutString(s string) (head, tail string) {
	var n, shift uint64
	i := 0
	for ; i < len(s) && s[i] >= 0x80; i++ {
		n |= uint64(s[i]&0x7f) << shift
		shift += 7
	}
	n |= uint64(s[i]) << shift
	i++
	return s[i : i+int(n)], s[i+int(n):]
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// A SeriesID names a series for good: the first 16 bytes of the SHA-256 of its global namespace and canonical labels. It is
// the same in every process and after every restart.
type SeriesID [16]byte

// IdentifySeries returns the identity of the series with these labels, stamped with the global namespace of its sender ("" where
// a sender may speak for all).
func IdentifySeries(globalNamespace string, ls Labels) SeriesID {
	b := appendString(make([]byte, 0, 256), globalNamespace)
	sum := sha256.Sum256(ls.Append(b))
	return SeriesID(sum[:16])
}

// String returns the identity in hexadecimal.
func (id SeriesID) String() string { return hex.EncodeToString(id[:]) }
