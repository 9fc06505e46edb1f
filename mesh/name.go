package mesh

import (
	"fmt"
	"strings"
)

// LabelHint says what is wrong with a name that is no DNS label (RFC 1123: at most 63 of a-z, 0-9 and "-", the ends being a letter
// or digit), or "".
func LabelHint(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > 63:
		return fmt.Sprintf("it has %d characters; at most 63 are allowed", len(s))
	}
	valid := s[0] != '-' && s[len(s)-1] != '-'
	for i := range len(s) {
		c := s[i]
		valid = valid && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if valid {
		return ""
	}
	hint := "use lower-case letters, digits and \"-\", with a letter or digit at both ends"
	if slug := Slug(s); slug != "" {
		hint += fmt.Sprintf("; for example %q", slug)
	}
	return hint
}

// Slug turns any text into a DNS label: what is no letter or digit becomes "-". It may be "".
func Slug(s string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(s) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() == 63 {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}
