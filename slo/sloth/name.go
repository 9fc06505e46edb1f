package sloth

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// labelMax is the length of a DNS label (RFC 1123).
const labelMax = 63

// unusual begins the label of a name whose first sign had to be encoded, since a label may not begin with a dash.
const unusual = "x--x"

// Label returns a name as a DNS label. A DNS label without "--" stays as it is; in any other name each byte but a-z, 0-9 and a dash
// between two of those becomes "--" and two hexadecimal digits. Different names have different labels, and [Name] reads them back. The
// label may be longer than the 63 characters that are allowed.
func Label(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if plain(c) || c == '-' && i > 0 && plain(name[i-1]) && i+1 < len(name) && plain(name[i+1]) {
			b.WriteByte(c)
			continue
		}
		if i == 0 {
			b.WriteString(unusual)
		}
		fmt.Fprintf(&b, "--%02x", c)
	}
	return b.String()
}

func plain(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// Name returns the name of which [Label] made a label.
func Name(label string) (string, error) {
	rest := label
	if after, ok := strings.CutPrefix(rest, unusual+"--"); ok {
		rest = "--" + after
	}
	var b strings.Builder
	for rest != "" {
		at := strings.Index(rest, "--")
		if at < 0 {
			at = len(rest)
		}
		b.WriteString(rest[:at])
		if rest = rest[at:]; rest == "" {
			break
		}
		c, err := hex.DecodeString(rest[2:min(4, len(rest))])
		if err != nil || len(c) != 1 {
			return "", fmt.Errorf("%q is no label of a name: behind \"--\" two hexadecimal digits must stand", label)
		}
		b.Write(c)
		rest = rest[4:]
	}
	if name := b.String(); Label(name) == label {
		return name, nil
	}
	return "", fmt.Errorf("%q is no label of a name", label)
}
